/* The deadlines of connections. libmicrohttpd's own time-out is about silence only, so that a byte a second
 * would hold a connection for ever, and costs a lock for every piece; so it is off, and each connection has a
 * timer here that looks now and then at what the connection is doing. A request never touches the timer. */
#include "http/request.h"

#include "base/clock.h"
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* An eviction takes only connections that have been silent for this long. */
#define EVICT_AGE_US US_PER_S

/* Bytes that came, and bytes of ours that arrived, since the connection began. */
static uint64_t bytes_moved(const Conn *c) {
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return 0;
    return info.tcpi_bytes_received + info.tcpi_bytes_acked;
}

/* A request's header comes in, byte by byte perhaps: bytes have moved, and there is no request yet. */
static int64_t look_idle(Conn *c, int64_t since, bool partial, int64_t now) {
    const HttpServerOptions *o = &c->server->options;

    if (partial && !c->partial_since)
        c->partial_since = now;
    if (since + o->idle_timeout_us <= now ||
        (c->partial_since && c->partial_since + o->request_timeout_us <= now))
        return 0;
    return MIN(since + o->idle_timeout_us, now + o->request_timeout_us);
}

/* 0: its time is over; else when to look again. */
static int64_t look(Conn *c, int64_t now) {
    const HttpServerOptions *o = &c->server->options;
    ConnPhase phase =
        atomic_load_explicit(&c->phase, memory_order_acquire); /* before since: see conn_set_phase */
    int64_t since = atomic_load_explicit(&c->since, memory_order_relaxed);
    uint64_t bytes = bytes_moved(c);
    bool same = since == c->guard_since, moved = bytes != c->guard_bytes;

    if (!same)
        c->partial_since = 0;
    if (!same || moved)
        c->moved = now;
    c->guard_since = since;
    c->guard_bytes = bytes;
    switch (phase) {
    case CONN_IDLE:
        return look_idle(c, since, same && moved, now);
    case CONN_BODY:
        return since + o->request_timeout_us <= now ? 0 : since + o->request_timeout_us;
    case CONN_MOVING:
        return c->moved + o->idle_timeout_us <= now ? 0 : c->moved + o->idle_timeout_us;
    case CONN_HANDLER:
    default:
        return now + MIN(o->idle_timeout_us, o->request_timeout_us);
    }
}

static void on_guard(LoopTimer *t) {
    Conn *c = (Conn *)((char *)t - offsetof(Conn, guard));
    int64_t now = clock_mono(), next = look(c, now);

    if (next == 0) {
        shutdown(c->fd, SHUT_RDWR); /* its daemon sees the end and cleans up */
        next = now + c->server->options.idle_timeout_us;
    }
    loop_timer_set_locked(c->server->loop, t, MAX(next, now + 1000));
}

void guard_start(Conn *c) {
    const HttpServerOptions *o = &c->server->options;

    c->guard.fire = on_guard;
    c->guard_since = c->moved = atomic_load(&c->since);
    loop_timer_set(c->server->loop, &c->guard,
                   c->guard_since + MIN(o->idle_timeout_us, o->request_timeout_us));
}

unsigned guard_evict(HttpServer *s, unsigned count) {
    int64_t now = clock_mono();
    unsigned done = 0, looked = 0;

    pthread_mutex_lock(&s->lock);
    for (Conn *c = s->conns; c && done < count && looked < 64 * count; c = c->next, looked++) {
        if (c->evicted || atomic_load(&c->phase) != CONN_IDLE || now - atomic_load(&c->since) < EVICT_AGE_US)
            continue;
        c->evicted = true;
        shutdown(c->fd, SHUT_RDWR);
        done++;
    }
    pthread_mutex_unlock(&s->lock);
    return done;
}
