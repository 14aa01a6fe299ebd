#include "http/stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define STREAM_PIECE ((size_t)32 * 1024) /* what a source is asked for at a time */
#define STREAM_TURN 8                    /* pieces before other streams have their turn */
#define STREAM_UNSENT (128 * 1024) /* bytes that the kernel holds for a slow peer before it says "full" */
#define CHUNK_HEAD 8               /* "%06x\r\n" */

/* ---- making ---- */

static HttpStream *stream_new(HttpRequest *req, const HttpSource *source, void *state,
                              void (*attach)(void *, HttpStream *), int64_t keepalive_us) {
    HttpStream *st = mem_new(req->mem, HttpStream);

    st->server = req->server;
    st->req = req;
    st->fd = -1;
    st->source = source;
    st->state = state;
    st->attach = attach;
    st->keepalive_us = keepalive_us;
    return st;
}

static void set_stream(HttpRequest *req, HttpStream *st, int status, const char *type) {
    req->reply.kind = REPLY_STREAM;
    req->reply.status = status;
    req->reply.type = type;
    req->reply.stream = st;
}

void http_reply_stream(HttpRequest *req, const char *content_type, const HttpSource *source, void *state,
                       void (*attach)(void *state, HttpStream *stream), int64_t keepalive_us) {
    HttpStream *st;

    if (req->reply.kind != REPLY_NONE) {
        source->close(state);
        return;
    }
    st = stream_new(req, source, state, attach, keepalive_us);
    st->chunked = !req->http10;
    req->reply.cut = true;
    http_add_header(req, "Cache-Control", "no-cache");
    http_add_header(req, "X-Accel-Buffering", "no");
    set_stream(req, st, 200, mem_strdup(req->mem, content_type));
}

static bool header_has(const HttpRequest *req, const char *name, const char *word) {
    const char *p = http_header(req, name);
    size_t len = strlen(word);

    while (p && *p) {
        size_t n;

        p += strspn(p, " \t,");
        n = strcspn(p, " \t,");
        if (n == len && strncasecmp(p, word, n) == 0)
            return true;
        p += n;
    }
    return false;
}

bool http_wants_websocket(const HttpRequest *req) {
    return req->method == HTTP_GET && !req->head && header_has(req, "Connection", "upgrade") &&
           header_has(req, "Upgrade", "websocket");
}

void http_reply_websocket(HttpRequest *req, const HttpSource *source, void *state,
                          void (*attach)(void *state, HttpStream *stream), int64_t keepalive_us) {
    const char *key = http_header(req, "Sec-WebSocket-Key");
    unsigned char raw[24];
    char accept[32];
    HttpStream *st;
    Err err;

    if (req->reply.kind == REPLY_NONE && http_wants_websocket(req) && key && strlen(key) == 24 &&
        str_base64_decode(key, 24, raw, sizeof(raw)) == 16 &&
        str_eq(http_header(req, "Sec-WebSocket-Version"), "13")) {
        st = stream_new(req, source, state, attach, keepalive_us);
        st->websocket = true;
        ws_accept_key(key, accept);
        http_add_header(req, "Upgrade", "websocket");
        http_add_header(req, "Connection", "Upgrade");
        http_add_header(req, "Sec-WebSocket-Accept", accept);
        set_stream(req, st, 101, NULL);
        return;
    }
    source->close(state);
    if (req->reply.kind != REPLY_NONE)
        return;
    http_add_header(req, "Upgrade", "websocket");
    http_add_header(req, "Sec-WebSocket-Version", "13");
    req->reply.status = 426;
    (void)err_set(&err, ERR_INVALID, "this address is a WebSocket (RFC 6455, version 13)");
    http_reply_err(req, &err);
}

void stream_discard(HttpStream *st) {
    st->source->close(st->state);
}

void http_stream_wake(HttpStream *st) {
    loop_post(st->server->loop, &st->task);
}

/* ---- its end ---- */

/* The socket is closed, or handed to linger.c when there may be something left to read. */
static void stream_close(HttpStream *st, bool politely) {
    HttpServer *s = st->server;
    Buf nothing = BUF_INIT;

    loop_timer_cancel(s->loop, &st->timer);
    st->source->close(st->state);
    if (st->added) {
        loop_del(s->loop, st->fd);
        *(st->prev ? &st->prev->next : &s->streams) = st->next;
        if (st->next)
            st->next->prev = st->prev;
    }
    if (politely) {
        linger_start(s, st->fd, &nothing);
    } else {
        close(st->fd);
        atomic_fetch_sub(&s->sockets, 1);
    }
    ws_free(st);
    buf_done(&st->pending);
    request_log(st->req);
    st->dead = true;
    if (!atomic_load(&st->task.posted)) /* else its run, which is to come, frees */
        request_unref(st->req);
}

/* ---- writing ---- */

static ssize_t send_some(HttpStream *st, const char *bytes, size_t len) {
    size_t done = 0;

    while (done < len) {
        ssize_t n = send(st->fd, bytes + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0) {
            st->full = true;
            break;
        }
        done += (size_t)n;
    }
    if (done)
        st->wrote = loop_now(st->server->loop);
    return (ssize_t)done;
}

bool stream_send(HttpStream *st, const void *bytes, size_t len) {
    ssize_t n;

    if (st->pending.len > st->pending_at) {
        n = send_some(st, st->pending.data + st->pending_at, st->pending.len - st->pending_at);
        if (n < 0)
            return false;
        st->pending_at += (size_t)n;
        if (st->pending_at < st->pending.len) {
            if (len)
                buf_add(&st->pending, bytes, len);
            return true;
        }
        buf_done(&st->pending);
        st->pending_at = 0;
    }
    n = send_some(st, bytes, len);
    if (n < 0)
        return false;
    if ((size_t)n < len)
        buf_add(&st->pending, (const char *)bytes + n, len - (size_t)n);
    return true;
}

/* out has CHUNK_HEAD bytes of room before the data. */
static bool send_chunk(HttpStream *st, Buf *out) {
    static const char digits[] = "0123456789abcdef";
    size_t len = out->len - CHUNK_HEAD;

    st->req->sent += len;
    if (!st->chunked)
        return stream_send(st, out->data + CHUNK_HEAD, len);
    for (int i = 5; i >= 0; i--, len >>= 4)
        out->data[i] = digits[len & 15];
    out->data[6] = '\r';
    out->data[7] = '\n';
    buf_add(out, "\r\n", 2);
    return stream_send(st, out->data, out->len);
}

static bool send_piece(HttpStream *st, Buf *out) {
    if (st->websocket) {
        Buf text = {.data = out->data + CHUNK_HEAD, .len = out->len - CHUNK_HEAD};

        st->req->sent += text.len;
        return ws_message(st, &text);
    }
    return send_chunk(st, out);
}

static bool send_end(HttpStream *st) {
    if (st->websocket)
        return ws_close(st, atomic_load(&st->server->stopping) ? WSLAY_CODE_GOING_AWAY
                                                               : WSLAY_CODE_NORMAL_CLOSURE);
    return !st->chunked || stream_send(st, "0\r\n\r\n", 5);
}

/* How long it may be silent: a keep-alive is due then. One that has ended must get rid of its last bytes. */
static int64_t stream_patience(const HttpStream *st) {
    return st->ended ? st->server->options.idle_timeout_us : st->keepalive_us;
}

/* Asks the source while the socket takes what it gives. False: the stream is over and closed. */
static bool stream_pump(HttpStream *st) {
    Buf *out = &st->server->piece;
    int turns = 0, more = 1;

    if (!st->ended && !http_still_allowed(st->req)) {
        stream_close(st, false);
        return false;
    }
    while (more && !st->full && !st->ended) {
        if (turns++ == STREAM_TURN) {
            loop_post(st->server->loop, &st->task);
            return true;
        }
        buf_clear(out);
        buf_reserve(out, CHUNK_HEAD + STREAM_PIECE + 64);
        out->len = CHUNK_HEAD;
        more = atomic_load(&st->server->stopping) ? -1 : st->source->read(st->state, out, STREAM_PIECE);
        st->ended = more < 0;
        if ((out->len > CHUNK_HEAD && !send_piece(st, out)) || (st->ended && !send_end(st))) {
            stream_close(st, false);
            return false;
        }
        /* a source that filled its measure may have more, whatever it says */
        if (more == 0 && out->len > CHUNK_HEAD + STREAM_PIECE / 2)
            more = 1;
    }
    if (st->ended && !st->full && st->pending.len == st->pending_at) {
        stream_close(st, true);
        return false;
    }
    if (st->ended)
        loop_timer_set(st->server->loop, &st->timer, st->wrote + stream_patience(st));
    return true;
}

static bool send_keepalive(HttpStream *st) {
    static const char comment[] = "........: keep-alive\n\n";
    _cleanup_buf_ Buf out = BUF_INIT;

    if (st->websocket)
        return ws_ping(st);
    buf_add(&out, comment, sizeof(comment) - 1);
    return send_chunk(st, &out);
}

/* ---- what wakes it ---- */

static void stream_ready(LoopIo *io, uint32_t events) {
    HttpStream *st = (HttpStream *)((char *)io - offsetof(HttpStream, io));
    bool alive = !(events & (EPOLLERR | EPOLLHUP));

    if (alive && st->websocket && (events & EPOLLIN))
        alive = ws_readable(st);
    else if (events & EPOLLRDHUP)
        alive = false;
    else if (events & EPOLLIN) {
        char dropped[4096];

        while (recv(st->fd, dropped, sizeof(dropped), MSG_DONTWAIT) > 0) {
        }
    }
    if (alive && st->full && (events & EPOLLOUT)) {
        st->full = false;
        alive = st->websocket ? ws_writable(st) : stream_send(st, NULL, 0);
        if (alive) {
            (void)stream_pump(st);
            return;
        }
    }
    if (!alive)
        stream_close(st, false);
}

static void stream_timer(LoopTimer *t) {
    HttpStream *st = (HttpStream *)((char *)t - offsetof(HttpStream, timer));

    atomic_store(&st->timer_due, true);
    loop_post(st->server->loop, &st->task);
}

/* False: closed. */
static bool stream_check_silence(HttpStream *st) {
    int64_t now = clock_mono(), patience = stream_patience(st);

    if (!atomic_exchange(&st->timer_due, false) || patience == 0)
        return true;
    if (st->wrote + patience <= now) {
        if (st->ended || (!st->full && !send_keepalive(st))) {
            stream_close(st, false);
            return false;
        }
    }
    /* a socket that is full is tried again later */
    loop_timer_set(st->server->loop, &st->timer,
                   st->wrote + patience > now ? st->wrote + patience : now + patience);
    return true;
}

static bool stream_begin(HttpStream *st) {
    HttpServer *s = st->server;
    _cleanup_buf_ Buf head = BUF_INIT;
    int unsent = STREAM_UNSENT;
    Err err;

    st->io.ready = stream_ready;
    st->timer.fire = stream_timer;
    setsockopt(st->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    if (loop_add(s->loop, st->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &st->io, &err) < 0) {
        log_err("http", "stream", &err);
        return false;
    }
    st->added = true;
    st->next = s->streams;
    if (st->next)
        st->next->prev = st;
    s->streams = st;
    if (st->websocket)
        ws_open(st);
    reply_head(st->req, UINT64_MAX, st->chunked, &head);
    if (!stream_send(st, head.data, head.len))
        return false;
    if (st->req->head)
        st->ended = true;
    else if (st->attach)
        st->attach(st->state, st);
    if (stream_patience(st))
        loop_timer_set(s->loop, &st->timer, st->wrote + stream_patience(st));
    return true;
}

static void stream_run(LoopTask *task) {
    HttpStream *st = (HttpStream *)((char *)task - offsetof(HttpStream, task));

    if (st->dead) {
        request_unref(st->req);
        return;
    }
    if (!st->added && !stream_begin(st)) {
        stream_close(st, false);
        return;
    }
    if (stream_check_silence(st))
        (void)stream_pump(st);
}

bool stream_start(HttpRequest *req) {
    HttpStream *st = req->reply.stream;

    st->fd = conn_take_over(req->conn);
    if (st->fd < 0)
        return false;
    req->reply.stream = NULL; /* it is its own from here on */
    request_leave(req);
    st->task.run = stream_run;
    loop_post(st->server->loop, &st->task);
    return true;
}

void streams_end(LoopTask *task) {
    HttpServer *s = (HttpServer *)((char *)task - offsetof(HttpServer, end_streams));

    if (atomic_load(&s->killed)) {
        for (HttpStream *st = s->streams, *next; st; st = next) {
            next = st->next;
            stream_close(st, false);
        }
        lingers_close(s);
        return;
    }
    for (HttpStream *st = s->streams, *next; st; st = next) {
        next = st->next;
        if (!st->ended)
            (void)stream_pump(st);
    }
}
