/* Listening and accepting, on the loop's thread. It is ours and not libmicrohttpd's, because that spins when
 * descriptors run out while a daemon has no connection, and drops connections over its limit without a word.
 */
#include "http/request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPT_BATCH 64
#define ACCEPT_EVICT 16
#define ACCEPT_SLACK 128 /* connections over the limit while evicted ones go */

static const char busy_answer[] =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Content-Type: application/json\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 99\r\n\r\n"
    "{\"error\":\"Unavailable\",\"message\":\"too many connections\",\"details\":null,\"suggestions\":[\"try "
    "later\"]}";

/* A line a second at most: whoever floods us must not fill the log too. */
static void complain(HttpServer *s, const char *what) {
    int64_t now = clock_mono();

    if (s->complained && now - s->complained < US_PER_S)
        return;
    s->complained = now;
    log_warn("http", "%s: %u connections", what, atomic_load(&s->sockets));
}

static void refuse(int fd) {
    if (send(fd, busy_answer, sizeof(busy_answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    }
    close(fd);
}

/* Descriptors ran out: gives the peer an end instead of leaving it in the queue, which would wake us for
 * ever. */
static bool accept_without_descriptor(HttpServer *s) {
    int fd;

    complain(s, "out of file descriptors");
    guard_evict(s, ACCEPT_EVICT);
    if (s->spare_fd < 0)
        return false;
    close(s->spare_fd);
    fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        refuse(fd);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void admit(HttpServer *s, int fd, const struct sockaddr *addr, socklen_t len) {
    unsigned open = atomic_fetch_add(&s->sockets, 1) + 1;
    int on = 1;

    if (open > s->max_connections) {
        complain(s, "too many connections");
        if (guard_evict(s, ACCEPT_EVICT) == 0 || open > s->max_connections + ACCEPT_SLACK) {
            atomic_fetch_sub(&s->sockets, 1);
            refuse(fd);
            return;
        }
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (MHD_add_connection(s->daemons[s->next_daemon++ % s->daemon_count], fd, addr, len) != MHD_YES)
        atomic_fetch_sub(&s->sockets, 1);
}

static void on_listener(LoopIo *io, uint32_t events) {
    HttpServer *s = (HttpServer *)((char *)io - offsetof(HttpServer, listen_io));

    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof(addr);
        int fd = accept4(s->listen_fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            admit(s, fd, (struct sockaddr *)&addr, len);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!accept_without_descriptor(s))
                return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* "host:port" or "[v6]:port" into out[0] and out[1]. */
static int split_address(const void *mem, const char *listen, char *out[2], Err *err) {
    const char *colon = strrchr(listen, ':');
    const char *host = listen;
    size_t len = colon ? (size_t)(colon - listen) : 0;
    int64_t port;

    if (!colon || !str_to_i64(colon + 1, 0, 65535, &port))
        return err_set(err, ERR_INVALID, "address \"%s\": expected HOST:PORT", listen);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    out[0] = mem_strndup(mem, host, len);
    out[1] = mem_strdup(mem, colon + 1);
    return 0;
}

static int open_listener(const struct addrinfo *ai) {
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0) {
        mem_close(fd);
        return -1;
    }
    return fd;
}

static void name_address(HttpServer *s) {
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    char host[INET6_ADDRSTRLEN], port[8];

    if (getsockname(s->listen_fd, (struct sockaddr *)&addr, &len) < 0 ||
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(s->address, sizeof(s->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int listen_on(HttpServer *s, Err *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    char *parts[2] = {NULL, NULL};
    int r = split_address(s, s->options.listen, parts, err);

    if (r < 0)
        return r;
    r = getaddrinfo(*parts[0] ? parts[0] : NULL, parts[1], &hints, &found);
    if (r != 0)
        return err_set(err, ERR_INVALID, "address \"%s\": %s", s->options.listen, gai_strerror(r));
    for (struct addrinfo *ai = found; ai && s->listen_fd < 0; ai = ai->ai_next)
        s->listen_fd = open_listener(ai);
    freeaddrinfo(found);
    if (s->listen_fd < 0 && errno == EADDRINUSE)
        return err_set(err, ERR_CONFLICT, "listen on %s: another program does", s->options.listen);
    if (s->listen_fd < 0)
        return err_errno(err, "listen on %s", s->options.listen);
    name_address(s);
    return 0;
}

static void close_listener(LoopTask *task) {
    HttpServer *s = (HttpServer *)((char *)task - offsetof(HttpServer, close_listener));

    if (s->listening)
        loop_del(s->loop, s->listen_fd);
    pthread_mutex_lock(&s->lock);
    close(s->listen_fd);
    s->listen_fd = -1;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* Runs on the loop's thread: its epoll set is nobody else's. */
static void open_for_all(LoopTask *task) {
    HttpServer *s = (HttpServer *)((char *)task - offsetof(HttpServer, open_listener));
    Err err;

    if (loop_add(s->loop, s->listen_fd, EPOLLIN, &s->listen_io, &err) < 0)
        log_err("http", "listen", &err);
    else
        s->listening = true;
}

int accept_start(HttpServer *s, Err *err) {
    int r = listen_on(s, err);

    if (r < 0)
        return r;
    if (s->options.listening)
        s->options.listening(s->options.arg, s->address);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->listen_io.ready = on_listener;
    s->open_listener.run = open_for_all;
    s->close_listener.run = close_listener;
    loop_post(s->loop, &s->open_listener);
    return 0;
}

void accept_stop(HttpServer *s) {
    loop_post(s->loop, &s->close_listener);
    pthread_mutex_lock(&s->lock);
    while (s->listen_fd >= 0)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
