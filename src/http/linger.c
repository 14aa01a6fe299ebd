/* An answer that is sent before its request was read whole. Closing at once would make the kernel answer the
 * peer's further bytes with a reset, which may destroy the answer on its way (RFC 9112, section 9.6): so the
 * rest is read and dropped for a while. */
#include "http/request.h"

#include "base/clock.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define LINGER_TIME_US (3 * US_PER_S)
#define LINGER_BYTES ((uint64_t)64 * 1024 * 1024)

typedef struct Linger {
    LoopIo io;
    LoopTask task;
    LoopTimer timer;
    HttpServer *server;
    int fd;
    Buf bytes;
    size_t sent;
    uint64_t dropped;
    atomic_bool late;
    bool added, finished, dead;
    struct Linger *prev, *next;
} Linger;

static void linger_free(Linger *g) {
    HttpServer *s = g->server;

    loop_timer_cancel(s->loop, &g->timer);
    *(g->prev ? &g->prev->next : &s->lingers) = g->next;
    if (g->next)
        g->next->prev = g->prev;
    if (g->added)
        loop_del(s->loop, g->fd);
    shutdown(g->fd, SHUT_RDWR); /* libmicrohttpd may hold the socket too */
    close(g->fd);
    buf_done(&g->bytes);
    atomic_fetch_sub(&s->sockets, 1);
    g->dead = true;
    if (!atomic_load(&g->task.posted)) /* else its run, which is to come, frees */
        free(g);
}

/* False: the connection is of no use any more. */
static bool linger_send(Linger *g) {
    while (g->sent < g->bytes.len) {
        ssize_t n = send(g->fd, g->bytes.data + g->sent, g->bytes.len - g->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        g->sent += (size_t)n;
    }
    if (!g->finished)
        shutdown(g->fd, SHUT_WR);
    g->finished = true;
    return true;
}

static bool linger_read(Linger *g) {
    char bytes[16384];

    for (;;) {
        ssize_t n = recv(g->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        g->dropped += (uint64_t)n;
        if (n == 0 || g->dropped > LINGER_BYTES)
            return false;
    }
}

static void linger_ready(LoopIo *io, uint32_t events) {
    Linger *g = (Linger *)((char *)io - offsetof(Linger, io));

    (void)events;
    if (!linger_send(g) || !linger_read(g))
        linger_free(g);
}

static void linger_late(LoopTimer *t) {
    Linger *g = (Linger *)((char *)t - offsetof(Linger, timer));

    atomic_store(&g->late, true);
    loop_post(g->server->loop, &g->task);
}

/* The first run takes the socket into the loop, the next one is the end of its time. */
static void linger_run(LoopTask *task) {
    Linger *g = (Linger *)((char *)task - offsetof(Linger, task));
    HttpServer *s = g->server;
    Err err;

    if (g->dead) {
        free(g);
        return;
    }
    if (!g->added) {
        g->next = s->lingers;
        if (g->next)
            g->next->prev = g;
        s->lingers = g;
        g->added = loop_add(s->loop, g->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &g->io, &err) == 0;
        if (g->added && linger_send(g) && linger_read(g) && !atomic_load(&s->killed)) {
            loop_timer_set(s->loop, &g->timer, clock_mono() + LINGER_TIME_US);
            return;
        }
    } else if (!atomic_load(&g->late)) {
        return;
    }
    linger_free(g);
}

void linger_start(HttpServer *s, int fd, Buf *bytes) {
    Linger *g = calloc(1, sizeof(*g));

    if (!g)
        abort();
    g->server = s;
    g->fd = fd;
    g->bytes = *bytes;
    *bytes = BUF_INIT;
    g->io.ready = linger_ready;
    g->task.run = linger_run;
    g->timer.fire = linger_late;
    loop_post(s->loop, &g->task);
}

void lingers_close(HttpServer *s) {
    for (Linger *g = s->lingers, *next; g; g = next) {
        next = g->next;
        linger_free(g);
    }
}
