#include "base/clock.h"
#include "http/client_impl.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int poll_time(const Wire *w) {
    int64_t left;

    if (!w->deadline)
        return -1;
    left = w->deadline - clock_mono();
    return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, INT64_C(86400000));
}

int wire_wait(Wire *w, int want, Err *err) {
    for (;;) {
        struct pollfd fds[2] = {
            {.fd = w->fd,
             .events = (short)((want & WIRE_READ ? POLLIN : 0) | (want & WIRE_WRITE ? POLLOUT : 0))},
            {.fd = w->interrupt_fd, .events = POLLIN},
        };
        int n = poll(fds, 2, poll_time(w)), got = 0;
        uint64_t count;

        if (n < 0 && errno != EINTR)
            return err_errno(err, "poll");
        if (n > 0 && fds[1].revents) {
            if (read(w->interrupt_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
                return err_errno(err, "eventfd");
            return err_set(err, ERR_CANCELLED, "interrupted");
        }
        if (n > 0) {
            if (fds[0].revents & (POLLIN | POLLERR | POLLHUP))
                got |= want & WIRE_READ;
            if (fds[0].revents & (POLLOUT | POLLERR | POLLHUP))
                got |= want & WIRE_WRITE;
            if (got)
                return got;
        }
        if (w->deadline && clock_mono() >= w->deadline)
            return err_set(err, ERR_TIMEOUT, "no answer in time");
    }
}

void wire_close(Wire *w) {
    if (w->fd >= 0)
        close(TAKE_FD(w->fd));
}

void wire_reset(Wire *w) {
    const struct linger at_once = {.l_onoff = 1};

    if (w->fd >= 0)
        setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    wire_close(w);
}

/* Connects w->fd; ERR_UNAVAILABLE without a message when the address does not answer. */
static int connect_fd(Wire *w, const struct sockaddr *addr, socklen_t len, Err *err) {
    int failure = 0, r;
    socklen_t size = sizeof(failure);

    if (connect(w->fd, addr, len) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EAGAIN)
        return err_set(err, ERR_UNAVAILABLE, "%s", strerror(errno));
    r = wire_wait(w, WIRE_WRITE, err);
    if (r < 0)
        return r;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0 || failure)
        return err_set(err, ERR_UNAVAILABLE, "%s", strerror(failure ? failure : errno));
    return 0;
}

static int connect_unix(Wire *w, const char *path, Err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path))
        return err_set(err, ERR_INVALID, "socket path is too long: %s", path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0)
        return err_errno(err, "socket");
    return connect_fd(w, (struct sockaddr *)&addr, sizeof(addr), err);
}

static bool is_outside_v4(uint32_t address) {
    uint32_t top = address >> 24;

    /* this network, loopback, link-local, multicast and what is above it */
    return top != 0 && top != 127 && address >> 16 != 0xa9fe && top < 224;
}

static bool is_outside_v6(const struct in6_addr *a) {
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a))
        return is_outside_v4((uint32_t)a->s6_addr[12] << 24 | (uint32_t)a->s6_addr[13] << 16 |
                             (uint32_t)a->s6_addr[14] << 8 | a->s6_addr[15]);
    return !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_UNSPECIFIED(a) && !IN6_IS_ADDR_LINKLOCAL(a) &&
           !IN6_IS_ADDR_MULTICAST(a);
}

bool http_address_is_outside(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return is_outside_v4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    return address->sa_family == AF_INET6 &&
           is_outside_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static int connect_tcp(Wire *w, const char *host, const char *port, Err *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
    int on = 1, r = getaddrinfo(host, port, &hints, &found);

    if (r == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
        r = getaddrinfo(host, port, &hints, &found);
    }
    if (r != 0)
        return err_set(err, ERR_UNAVAILABLE, "%s", gai_strerror(r));
    r = -ERR_UNAVAILABLE;
    for (struct addrinfo *ai = found; ai && r == -ERR_UNAVAILABLE; ai = ai->ai_next) {
        wire_close(w);
        if (w->guard.allow && !w->guard.allow(w->guard.arg, ai->ai_addr)) {
            r = err_set(err, ERR_FORBIDDEN, "this address is not allowed");
            break;
        }
        w->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = w->fd < 0 ? err_errno(err, "socket") : connect_fd(w, ai->ai_addr, ai->ai_addrlen, err);
    }
    freeaddrinfo(found);
    if (r >= 0)
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return r;
}

int wire_connect(Wire *w, const char *host, const char *port, const char *path, Err *err) {
    int r = host ? connect_tcp(w, host, port, err) : connect_unix(w, path, err);

    if (r >= 0)
        return 0;
    wire_close(w);
    return host ? err_wrap(err, "connect to %s:%s", host, port) : err_wrap(err, "connect to %s", path);
}
