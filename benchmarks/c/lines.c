/* Writes numbered lines on standard output: what a job that talks a lot does.
 *
 *     bench-lines bulk BYTES              as fast as they are taken
 *     bench-lines rate N COUNT [FIFO]     N lines a second, each with the time it was written; waits first
 * until somebody opens the FIFO
 *
 * A line of the second kind begins "@NUMBER TIME ", 8 and 16 digits; the time is CLOCK_MONOTONIC in
 * nanoseconds. */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 100
#define BLOCK (LINE * 10000)

static void write_all(const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);

        if (n < 0)
            err(1, "write");
        bytes += n;
        len -= (size_t)n;
    }
}

static int bulk(uint64_t bytes) {
    static char block[BLOCK + 1];

    for (size_t at = 0; at < BLOCK; at += LINE)
        snprintf(block + at, LINE + 1, "%08zu %-*s\n", at / LINE, LINE - 10,
                 "compiling src/server/something.c -> build/server/something.o (warnings: 0)");
    for (uint64_t left = bytes; left > 0;) {
        size_t len = left < BLOCK ? (size_t)left : BLOCK;

        write_all(block, len);
        left -= len;
    }
    return 0;
}

static void wait_for(const char *fifo) {
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", fifo);
    close(fd);
}

static int rate(uint64_t a_second, uint64_t count) {
    uint64_t start, now;
    struct timespec t;
    char line[128];

    clock_gettime(CLOCK_MONOTONIC, &t);
    start = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due = start + i * 1000000000 / a_second;
        int len;

        t = (struct timespec){.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        clock_gettime(CLOCK_MONOTONIC, &t);
        now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        len = snprintf(line, sizeof(line), "@%08" PRIu64 " %016" PRIu64 " test_something ... ok\n", i, now);
        write_all(line, (size_t)len);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "bulk") == 0)
        return bulk(strtoull(argv[2], NULL, 10));
    if ((argc != 4 && argc != 5) || strcmp(argv[1], "rate") != 0)
        errx(2, "usage: bench-lines bulk BYTES | rate N COUNT [FIFO]");
    if (argc == 5)
        wait_for(argv[4]);
    return rate(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
}
