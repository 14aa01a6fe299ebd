/* Many followers of one log, in one process: each reads the event stream and checks that it gets every line.
 *
 *     bench-follow PORT PATH TOKEN FOLLOWERS LINES SECONDS
 *
 * The lines are those of `bench-lines rate`. Prints "ready" when every follower has its answer's head, and
 * when every stream has ended (or the seconds are over) one JSON object: how many got every line once and in
 * order, and the time from a line's writing to its reading here. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RECORD 26 /* "@" number " " time */
#define BUCKETS 6000000
#define BUCKET_NS 10000
#define ACCEPT_PAUSE 64 /* connections between two looks at what has come */

typedef enum Wire { WIRE_HEAD, WIRE_SIZE, WIRE_DATA, WIRE_DATA_END, WIRE_END } Wire;

/* SEEK: outside the event's text; UNICODE: skipping the digits of \uXXXX */
typedef enum Text { TEXT_SEEK, TEXT_INSIDE, TEXT_ESCAPE, TEXT_UNICODE } Text;

typedef struct Follower {
    int fd;
    Wire wire;
    Text text;
    bool wrong; /* a line was missing, doubled or out of order */
    unsigned char matched;
    unsigned char digits;
    unsigned char record_len;
    size_t size; /* of the chunk: what is left */
    uint64_t next;
    char head[13];
    size_t head_len;
    char record[RECORD];
} Follower;

static uint32_t histogram[BUCKETS];
static uint64_t lines, refused, ready, ended, complete, last_line, expected;
static uint64_t now; /* when what is being read had come */
static int poller;

static uint64_t clock_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- a line of the log ---- */

static uint64_t digits(const char *text, size_t len) {
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    return value;
}

static void line_end(Follower *f) {
    uint64_t bucket;

    if (f->record_len == RECORD && f->record[0] == '@') {
        f->wrong = f->wrong || digits(f->record + 1, 8) != f->next;
        f->next++;
        lines++;
        last_line = now;
        bucket = (now - digits(f->record + 10, 16)) / BUCKET_NS;
        histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    }
    f->record_len = 0;
}

/* ---- the text inside the events' JSON ---- */

static void seek(Follower *f, char c) {
    static const char key[] = "\"text\":\"";

    f->matched = c == key[f->matched] ? f->matched + 1 : c == '"';
    if (!key[f->matched]) {
        f->matched = 0;
        f->text = TEXT_INSIDE;
    }
}

static void inside(Follower *f, char c) {
    if (c == '"')
        f->text = TEXT_SEEK;
    else if (c == '\\')
        f->text = TEXT_ESCAPE;
    else if (f->record_len < RECORD)
        f->record[f->record_len++] = c;
}

static void escaped(Follower *f, char c) {
    f->digits = 4;
    f->text = c == 'u' ? TEXT_UNICODE : TEXT_INSIDE;
    if (c == 'n')
        line_end(f);
}

static void feed_text(Follower *f, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (f->text) {
        case TEXT_SEEK:
            seek(f, bytes[i]);
            break;
        case TEXT_INSIDE:
            inside(f, bytes[i]);
            break;
        case TEXT_ESCAPE:
            escaped(f, bytes[i]);
            break;
        case TEXT_UNICODE:
            if (--f->digits == 0)
                f->text = TEXT_INSIDE;
            break;
        }
    }
}

/* ---- HTTP (RFC 9112): the head, then chunks ---- */

static void feed_head(Follower *f, char c) {
    static const char end[] = "\r\n\r\n";

    if (f->head_len < sizeof(f->head) - 1)
        f->head[f->head_len++] = c;
    f->matched = c == end[f->matched] ? f->matched + 1 : c == '\r';
    if (f->matched < 4)
        return;
    f->matched = 0;
    if (strncmp(f->head + 9, "200", 3) == 0) {
        f->wire = WIRE_SIZE;
        ready++;
    } else {
        f->wire = WIRE_END;
        refused++;
    }
}

static void feed_size(Follower *f, char c) {
    if (c == '\n')
        f->wire = f->size > 0 ? WIRE_DATA : WIRE_END;
    else if (c >= '0' && c <= '9')
        f->size = f->size * 16 + (size_t)(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        f->size = f->size * 16 + (size_t)((c | 0x20) - 'a' + 10);
}

static void feed(Follower *f, const char *bytes, size_t len) {
    while (len > 0 && f->wire != WIRE_END) {
        size_t n = 1;

        if (f->wire == WIRE_HEAD) {
            feed_head(f, *bytes);
        } else if (f->wire == WIRE_SIZE) {
            feed_size(f, *bytes);
        } else if (f->wire == WIRE_DATA) {
            n = len < f->size ? len : f->size;
            feed_text(f, bytes, n);
            f->size -= n;
            if (f->size == 0)
                f->wire = WIRE_DATA_END;
        } else if (*bytes == '\n') {
            f->wire = WIRE_SIZE;
        }
        bytes += n;
        len -= n;
    }
}

/* ---- the followers ---- */

static void end(Follower *f) {
    close(f->fd);
    f->fd = -1;
    ended++;
    complete += !f->wrong && f->next == expected;
}

/* One read each time, so that no follower is read much later than the others. */
static void read_some(Follower *f) {
    static char buffer[256 * 1024];
    ssize_t n = recv(f->fd, buffer, sizeof(buffer), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    now = clock_ns();
    if (n > 0)
        feed(f, buffer, (size_t)n);
    if (n <= 0 || f->wire == WIRE_END)
        end(f);
}

static void look(int timeout_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, timeout_ms);

    for (int i = 0; i < n; i++)
        read_some(events[i].data.ptr);
}

static void follow(Follower *f, uint16_t port, const char *request, size_t len) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = f};

    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        err(1, "socket");
    if (connect(f->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        err(1, "connect");
    if (send(f->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        err(1, "send");
    if (fcntl(f->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, f->fd, &event) < 0)
        err(1, "epoll");
}

static double quantile(double q) {
    uint64_t left = (uint64_t)((double)lines * q);

    for (size_t i = 0; i < BUCKETS; i++) {
        if (histogram[i] > left)
            return (double)(i + 1) * BUCKET_NS / 1e6;
        left -= histogram[i];
    }
    return (double)BUCKETS * BUCKET_NS / 1e6;
}

static void report(uint64_t followers, double connect_s, double seconds) {
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    printf("{\"followers\":%" PRIu64 ",\"complete\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"lines\":%" PRIu64
           ",\"connect_s\":%.3f,\"seconds\":%.3f,\"p50_ms\":%.2f,\"p95_ms\":%.2f,\"p99_ms\":%.2f,\"cpu_s\":%."
           "2f}\n",
           followers, complete, refused, lines, connect_s, seconds, quantile(0.5), quantile(0.95),
           quantile(0.99),
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void allow_descriptors(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
    uint64_t count = argc == 7 ? strtoull(argv[4], NULL, 10) : 0, begin, attached, deadline;
    Follower *followers = calloc(count + 1, sizeof(*followers));
    char request[2048];
    int len;

    if (count < 1 || !followers)
        errx(2, "usage: bench-follow PORT PATH TOKEN FOLLOWERS LINES SECONDS");
    expected = strtoull(argv[5], NULL, 10);
    allow_descriptors();
    poller = epoll_create1(EPOLL_CLOEXEC);
    len = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\n"
                   "Accept: text/event-stream\r\n\r\n",
                   argv[2], argv[1], argv[3]);
    begin = clock_ns();
    deadline = begin + strtoull(argv[6], NULL, 10) * 1000000000;
    for (uint64_t i = 0; i < count; i++) {
        follow(&followers[i], (uint16_t)strtoul(argv[1], NULL, 10), request, (size_t)len);
        if (i % ACCEPT_PAUSE == 0)
            look(0);
    }
    while (ready + refused < count && clock_ns() < deadline)
        look(100);
    attached = clock_ns();
    puts("ready");
    fflush(stdout);
    while (ended < count && clock_ns() < deadline)
        look(100);
    report(count, (double)(attached - begin) / 1e9, (double)(last_line - attached) / 1e9);
    free(followers);
    return 0;
}
