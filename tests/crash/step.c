/* What a step of the crash harness runs: it tells the ledger that it has begun, prints bytes that follow from
 * the build, the job, the step and the attempt alone, makes files of such bytes, and tells the ledger what it
 * has done. Without libraries, for it also runs in the sandbox, from the checkout.
 *
 *     crash-step SOCKET STEP SIZE KIND MS [exit=N] [well=N] [file=PATH:SIZE] [brood] [deaf] [output]
 *                [part=PATH] [got=JOB]
 *
 * SIZE bytes of KIND (text, binary, line) within about MS milliseconds. exit: its exit status; well: but 0
 * from the N-th attempt on; brood: leaves a process of its own session behind; deaf: does not end at SIGTERM;
 * output: hands over o=JOB-ATTEMPT; part: hands over the jobs of the file; got: $GOT must be what the JOB
 * handed over.
 *
 *     crash-step --emit SEED SIZE KIND
 *
 * prints the bytes that a step must have printed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BLOCK ((size_t)4096)
#define LINE_MAX_BYTES 120

enum { EXIT_NO_LEDGER = 99, EXIT_NO_OUTPUT = 98, EXIT_USAGE = 97, EXIT_NOT_GOT = 96 };

typedef struct Source {
    uint64_t state;
    const char *kind;
    size_t in_line; /* text: bytes until the line feed */
} Source;

typedef struct Step {
    const char *number, *kind;
    size_t size;
    long ms;
    int exit_code;
    bool brood;
} Step;

static int ledger = -1;
static struct sockaddr_un ledger_address = {.sun_family = AF_UNIX};
static socklen_t ledger_len;
static char who[512]; /* "build job attempt name step trigger" */

/* ---- bytes ---- */

static uint64_t next_number(Source *s) { /* xorshift64*, Vigna 2016 */
    s->state ^= s->state >> 12;
    s->state ^= s->state << 25;
    s->state ^= s->state >> 27;
    return s->state * UINT64_C(2685821657736338717);
}

static Source source_of(const char *seed, const char *kind) {
    Source s = {.state = UINT64_C(14695981039346656037), .kind = kind};

    for (; *seed; seed++) /* FNV-1a */
        s.state = (s.state ^ (unsigned char)*seed) * UINT64_C(1099511628211);
    return s;
}

static char next_byte(Source *s) {
    uint64_t n = next_number(s) >> 32;

    if (strcmp(s->kind, "binary") == 0)
        return (char)n;
    if (strcmp(s->kind, "text") == 0 && s->in_line-- == 0) {
        s->in_line = n % LINE_MAX_BYTES;
        return '\n';
    }
    return (char)(' ' + n % 95);
}

static void fill(Source *s, char *block, size_t len) {
    for (size_t i = 0; i < len; i++)
        block[i] = next_byte(s);
}

static uint32_t crc32_add(uint32_t crc, const char *data, size_t len) {
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static bool write_all(int fd, const char *data, size_t len) {
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void pause_ms(long ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* Within about ms milliseconds; false: nobody takes it. */
static bool emit(int fd, const char *seed, const char *kind, size_t size, long ms, uint32_t *crc) {
    Source s = source_of(seed, kind);
    size_t blocks = size / BLOCK + 1;
    long slept = 0;
    char block[BLOCK];

    for (size_t i = 0; i < blocks; i++) {
        size_t len = i + 1 < blocks ? BLOCK : size % BLOCK;
        long until = (long)((i + 1) * (size_t)ms / blocks);

        fill(&s, block, len);
        *crc = crc32_add(*crc, block, len);
        if (!write_all(fd, block, len))
            return false;
        if (until - slept >= 5 || i + 1 == blocks) {
            pause_ms(until - slept);
            slept = until;
        }
    }
    return true;
}

/* ---- the ledger ---- */

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...) {
    char text[1024];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    while (sendto(ledger, text, (size_t)len, 0, (struct sockaddr *)&ledger_address, ledger_len) < 0)
        if (errno != EINTR)
            _exit(EXIT_NO_LEDGER);
}

static const char *env(const char *name) {
    const char *value = getenv(name);

    return value && *value ? value : "-";
}

/* An abstract name: it is found in a sandbox as well, which shares the runner's network. */
static void open_ledger(const char *name, const char *step) {
    size_t len = strlen(name);

    if (len + 1 > sizeof(ledger_address.sun_path))
        _exit(EXIT_USAGE);
    memcpy(ledger_address.sun_path + 1, name, len);
    ledger_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
    ledger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (ledger < 0)
        _exit(EXIT_NO_LEDGER);
    snprintf(who, sizeof(who), "%s %s %s %s %s %s", env("PELTON_BUILD"), env("PELTON_JOB"),
             env("PELTON_ATTEMPT"), env("PELTON_JOB_NAME"), step, env("CRASH_TRIGGER"));
}

static void asked_to_end(int sig) {
    tell("term %s", who);
    _exit(128 + sig);
}

/* ---- the step ---- */

static void seed_of(const char *what, char *out, size_t size) {
    snprintf(out, size, "%s/%s/%s/%s", env("PELTON_BUILD"), env("PELTON_JOB_NAME"), what,
             env("PELTON_ATTEMPT"));
}

static void leave_brood(void) {
    if (fork() == 0) {
        signal(SIGTERM, SIG_IGN);
        setsid();
        pause_ms(600 * 1000);
        _exit(0);
    }
}

/* "PATH:SIZE" */
static void make_file(char *what) {
    char *size = strrchr(what, ':'), seed[512];
    uint32_t crc = 0;
    int fd;

    if (!size)
        _exit(EXIT_USAGE);
    *size++ = '\0';
    seed_of(what, seed, sizeof(seed));
    fd = open(what, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || !emit(fd, seed, "binary", strtoul(size, NULL, 10), 0, &crc) || close(fd) < 0)
        _exit(EXIT_NO_OUTPUT);
    tell("file %s %s %s %u", who, what, size, crc);
}

/* Behind what is in the file of the variable. */
static void hand_over(const char *variable, const char *data, size_t len) {
    int fd = open(env(variable), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0 || !write_all(fd, data, len) || close(fd) < 0)
        _exit(EXIT_NO_OUTPUT);
}

static void hand_output(void) {
    char line[512];
    int len = snprintf(line, sizeof(line), "o=%s-%s\n", env("PELTON_JOB_NAME"), env("PELTON_ATTEMPT"));

    hand_over("PELTON_OUTPUT", line, (size_t)len);
}

static void hand_part(const char *path) {
    char block[BLOCK];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        _exit(EXIT_USAGE);
    while ((n = read(fd, block, sizeof(block))) > 0)
        hand_over("PELTON_PIPELINE", block, (size_t)n);
    close(fd);
}

static void check_got(const char *job) {
    size_t len = strlen(job);

    if (strncmp(env("GOT"), job, len) != 0 || env("GOT")[len] != '-')
        _exit(EXIT_NOT_GOT);
}

static void take_option(Step *step, char *option) {
    if (strncmp(option, "exit=", 5) == 0)
        step->exit_code = atoi(option + 5);
    else if (strncmp(option, "file=", 5) == 0)
        make_file(option + 5);
    else if (strncmp(option, "well=", 5) == 0)
        step->exit_code = atoi(env("PELTON_ATTEMPT")) >= atoi(option + 5) ? 0 : step->exit_code;
    else if (strncmp(option, "part=", 5) == 0)
        hand_part(option + 5);
    else if (strncmp(option, "got=", 4) == 0)
        check_got(option + 4);
    else if (strcmp(option, "output") == 0)
        hand_output();
    else if (strcmp(option, "brood") == 0)
        step->brood = true;
    else if (strcmp(option, "deaf") == 0)
        signal(SIGTERM, SIG_IGN);
    else
        _exit(EXIT_USAGE);
}

static int run(char **argv) {
    Step step = {.number = argv[2], .size = strtoul(argv[3], NULL, 10), .kind = argv[4], .ms = atol(argv[5])};
    char seed[512];
    uint32_t crc = 0;

    open_ledger(argv[1], step.number);
    signal(SIGTERM, asked_to_end);
    tell("start %s %d", who, (int)getpid());
    for (char **option = argv + 6; *option; option++)
        take_option(&step, *option);
    if (step.brood)
        leave_brood();
    seed_of(step.number, seed, sizeof(seed));
    if (!emit(STDOUT_FILENO, seed, step.kind, step.size, step.ms, &crc))
        return EXIT_NO_OUTPUT;
    tell("end %s %d %zu %u", who, step.exit_code, step.size, crc);
    return step.exit_code;
}

int main(int argc, char **argv) {
    uint32_t crc = 0;

    if (argc == 5 && strcmp(argv[1], "--emit") == 0)
        return emit(STDOUT_FILENO, argv[2], argv[4], strtoul(argv[3], NULL, 10), 0, &crc) ? 0
                                                                                          : EXIT_NO_OUTPUT;
    return argc >= 6 ? run(argv) : EXIT_USAGE;
}
