#include "deploy/health.h"

#include "base/clock.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define PAUSE_MIN_MS 5
#define PAUSE_MAX_MS 500
#define TRY_MAX (5 * US_PER_S)

/* One GET with its own small client: each wait in it also ends when the application does, or when somebody
 * cancels. */
typedef struct Try {
    const HealthCheck *check;
    int64_t until;
    char found[160]; /* what the last try found */
} Try;

typedef enum Waited { WAIT_READY, WAIT_TIMEOUT, WAIT_CHANGED, WAIT_CANCELLED } Waited;

static void empty(int fd) {
    char data[4096];
    struct pollfd more = {.fd = fd, .events = POLLIN};

    while (poll(&more, 1, 0) > 0 && read(fd, data, sizeof(data)) > 0)
        continue;
}

static Waited wait_for(const Try *t, int fd, short events, int64_t until) {
    struct pollfd fds[] = {{.fd = fd, .events = events},
                           {.fd = t->check->watch_fd, .events = POLLIN},
                           {.fd = t->check->cancel_fd, .events = POLLIN}};
    int64_t left = MIN(until, t->until) - clock_mono();

    if (left <= 0)
        return WAIT_TIMEOUT;
    poll(fds, ELEMENTS(fds), (int)(left / US_PER_MS + 1));
    if (fds[2].revents)
        return WAIT_CANCELLED;
    if (fds[1].revents) {
        empty(t->check->watch_fd);
        return WAIT_CHANGED;
    }
    return fds[0].revents ? WAIT_READY : WAIT_TIMEOUT;
}

static int dial(const char *address) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    char host[INET_ADDRSTRLEN];
    int64_t port = 0;
    int fd;

    if (!colon || (size_t)(colon - address) >= sizeof(host) || !str_to_i64(colon + 1, 1, 65535, &port))
        return -1;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    inet_pton(AF_INET, host, &a.sin_addr);
    a.sin_port = htons((uint16_t)port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static Waited failed(Try *t, const char *found) {
    snprintf(t->found, sizeof(t->found), "%s", found);
    return WAIT_TIMEOUT;
}

static Waited read_status(Try *t, int fd, int64_t until) {
    char head[64];
    size_t len = 0;
    int64_t status = 0;

    while (len < 12) {
        Waited w = wait_for(t, fd, POLLIN, until);
        ssize_t n;

        if (w != WAIT_READY)
            return w == WAIT_TIMEOUT ? failed(t, "no answer in time") : w;
        n = recv(fd, head + len, sizeof(head) - 1 - len, 0);
        if (n <= 0)
            return failed(t, n == 0 ? "the connection was closed without an answer" : strerror(errno));
        len += (size_t)n;
    }
    head[12] = '\0';
    if (!str_after(head, "HTTP/1.") || !str_to_i64(head + 9, 100, 599, &status))
        return failed(t, "the answer is not HTTP");
    if (status >= 200 && status < 400)
        return WAIT_READY;
    snprintf(t->found, sizeof(t->found), "status %d", (int)status);
    return WAIT_TIMEOUT;
}

/* WAIT_READY: it is well. WAIT_TIMEOUT: not yet. */
static Waited try_once(Try *t, const char *address) {
    int64_t until = clock_mono() + TRY_MAX;
    _cleanup_close_ int fd = dial(address);
    socklen_t size = sizeof(int);
    char request[1400];
    int error = 0, len;
    Waited w;

    if (fd < 0)
        return failed(t, strerror(errno));
    w = wait_for(t, fd, POLLOUT, until);
    if (w != WAIT_READY)
        return w == WAIT_TIMEOUT ? failed(t, "no connection in time") : w;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
        return failed(t, error == ECONNREFUSED ? "nothing listens on $PORT" : strerror(error));
    len = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pelton-health\r\nAccept: */*\r\nConnection: "
                   "close\r\n\r\n",
                   t->check->path, t->check->host);
    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        return failed(t, strerror(errno));
    return read_status(t, fd, until);
}

int health_wait(const HealthCheck *h, int64_t *ret_us, Err *err) {
    int64_t begin = clock_mono();
    Try t = {.check = h, .until = begin + h->timeout_us, .found = "it was not asked"};
    int pause = PAUSE_MIN_MS;

    for (;;) {
        char address[64], human[CLOCK_RFC3339_SIZE];
        Waited w;

        if (h->where(h->arg, address, sizeof(address), err) < 0)
            return -(int)err->code;
        w = try_once(&t, address);
        if (w == WAIT_READY)
            break;
        if (w == WAIT_TIMEOUT)
            w = wait_for(&t, -1, 0, clock_mono() + pause * US_PER_MS);
        if (w == WAIT_CANCELLED)
            return err_set(err, ERR_CANCELLED, "cancelled");
        if (clock_mono() >= t.until)
            return err_set(err, ERR_TIMEOUT, "not healthy after %s: GET %s: %s",
                           clock_human(h->timeout_us, human), h->path, t.found);
        pause = MIN(pause * 3 / 2 + 1, PAUSE_MAX_MS);
    }
    if (ret_us)
        *ret_us = clock_mono() - begin;
    return 0;
}
