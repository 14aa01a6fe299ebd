/* The least that a server of followers can do here: each line is written to every socket by a loop.
 *
 *     bench-fan PORT FOLLOWERS RATE COUNT
 *
 * Prints "ready" when it listens, answers as many requests with a stream, and sends all of them the lines of
 * `bench-lines rate`, as events that `bench-follow` reads, once its standard input has ended. */
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int followers[100000];
static size_t count;

static uint64_t clock_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What a socket does not take at once is waited for: nothing may be lost. */
static void send_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            err(1, "send");
        data += n;
        len -= (size_t)n;
    }
}

static void send_everyone(const char *data) {
    for (size_t i = 0; i < count; i++)
        send_all(followers[i], data, strlen(data));
}

static int listen_at(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
        err(1, "port %u", port);
    return fd;
}

/* The request is small, and comes whole. */
static void greet(int fd) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    char request[4096];

    if (fd < 0 || recv(fd, request, sizeof(request), 0) <= 0)
        err(1, "accept");
    send_all(fd, head, strlen(head));
}

static void sleep_until(uint64_t when) {
    struct timespec t = {.tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void send_line(uint64_t number) {
    char event[100], chunk[120];
    int len = snprintf(event, sizeof(event),
                       "data: {\"text\":\"@%08" PRIu64 " %016" PRIu64 " test_something ... ok\\n\"}\n\n",
                       number, clock_ns());

    snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)len, event);
    send_everyone(chunk);
}

int main(int argc, char **argv) {
    size_t expected = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    uint64_t rate = argc == 5 ? strtoull(argv[3], NULL, 10) : 0, lines, begin;
    char byte;
    int fd;

    if (expected < 1 || expected > sizeof(followers) / sizeof(*followers) || rate < 1)
        errx(2, "usage: bench-fan PORT FOLLOWERS RATE COUNT");
    lines = strtoull(argv[4], NULL, 10);
    fd = listen_at((uint16_t)strtoul(argv[1], NULL, 10));
    puts("ready");
    fflush(stdout);
    for (count = 0; count < expected; count++)
        greet(followers[count] = accept(fd, NULL, NULL));
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    begin = clock_ns();
    for (uint64_t i = 0; i < lines; i++) {
        sleep_until(begin + i * 1000000000 / rate);
        send_line(i);
    }
    send_everyone("0\r\n\r\n");
    return 0;
}
