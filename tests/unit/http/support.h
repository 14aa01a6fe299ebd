/* A server on a free port, and raw sockets to be rude with. */
#pragma once

#include "base/clock.h"
#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs what is above */
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 20000

static HttpServer *server_of(HttpServerOptions options, const HttpRoute *table) {
    const HttpRoute *tables[] = {table, NULL};
    HttpServer *s = NULL;
    Err err;

    options.listen = options.listen ? options.listen : "127.0.0.1:0";
    options.threads = options.threads ? options.threads : 2;
    options.max_body = options.max_body ? options.max_body : 1024 * 1024;
    options.idle_timeout_us = options.idle_timeout_us ? options.idle_timeout_us : 30 * US_PER_S;
    options.request_timeout_us = options.request_timeout_us ? options.request_timeout_us : 30 * US_PER_S;
    options.max_workers = options.max_workers ? options.max_workers : 8;
    options.tables = tables;
    if (http_server_start(&options, &s, &err) < 0)
        fail_msg("start: %s", err.msg);
    return s;
}

static _unused_ HttpServer *server_new_for(const HttpRoute *table) {
    return server_of((HttpServerOptions){0}, table);
}

static _unused_ HttpClient *client_of(HttpServer *s) {
    char base[128];
    HttpClient *c = NULL;
    Err err;

    snprintf(base, sizeof(base), "http://%s", http_server_address(s));
    if (http_client_new(NULL, base, NULL, &c, &err) < 0)
        fail_msg("client: %s", err.msg);
    return c;
}

/* A call that must get an answer; gives its status. */
static _unused_ int call_of(HttpClient *c, HttpCall *call) {
    Err err;

    call->timeout_us = call->timeout_us ? call->timeout_us : DEADLINE_MS * US_PER_MS;
    if (http_client_call(c, call, &err) < 0)
        fail_msg("%s %s: %s", call->method, call->path, err.msg);
    return call->status;
}

static _unused_ int get(HttpClient *c, const char *path, Buf *answer) {
    HttpCall call = {.method = "GET", .path = path};
    int status = call_of(c, &call);

    if (answer) {
        buf_done(answer);
        *answer = call.answer;
    } else {
        buf_done(&call.answer);
    }
    return status;
}

static _unused_ uint16_t port_of(HttpServer *s) {
    int64_t port = 0;

    assert_true(str_to_i64(strrchr(http_server_address(s), ':') + 1, 1, 65535, &port));
    return (uint16_t)port;
}

static _unused_ int raw_connect(HttpServer *s) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_port = htons(port_of(s));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static _unused_ void raw_send(int fd, const char *text) {
    size_t len = strlen(text);

    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Reads until `until` is in what came (NULL: until the end). False: the end or the deadline came first. */
static _unused_ bool raw_read(int fd, const char *until, Buf *out) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char bytes[4096];
        ssize_t n;

        if (until && strstr(buf_str(out), until))
            return true;
        if (poll(&p, 1, DEADLINE_MS) <= 0)
            return false;
        n = recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0)
            return !until;
        buf_add(out, bytes, (size_t)n);
    }
}

/* The whole talk on a connection of its own. */
static _unused_ void raw_talk(HttpServer *s, const char *request, Buf *out) {
    int fd = raw_connect(s);

    buf_done(out);
    raw_send(fd, request);
    assert_true(raw_read(fd, NULL, out));
    close(fd);
}

#define assert_contains(buf, text)                                                                           \
    do {                                                                                                     \
        if (!strstr(buf_str(buf), (text)))                                                                   \
            fail_msg("no \"%s\" in: %s", (text), buf_str(buf));                                              \
    } while (0)

/* A count that threads raise and a test waits for. */
typedef struct Gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
} Gate;

#define GATE_INIT                                                                                            \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static _unused_ void gate_add(Gate *g) {
    pthread_mutex_lock(&g->lock);
    g->count++;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static _unused_ void gate_wait(Gate *g, int count) {
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&g->lock);
    while (g->count < count && r == 0)
        r = pthread_cond_timedwait(&g->changed, &g->lock, &until);
    pthread_mutex_unlock(&g->lock);
    assert_int_equal(r, 0);
}

static _unused_ void gate_reset(Gate *g) {
    pthread_mutex_lock(&g->lock);
    g->count = 0;
    pthread_mutex_unlock(&g->lock);
}
