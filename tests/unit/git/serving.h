/* A server that serves the fixture's folder as /git/, and asks for a token when it has one. */
#pragma once

#include "fixture.h"
#include "http/server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define TOKEN "s3cret"

static struct Serving {
    Fixture *f;
    HttpServer *server;
    const char *url; /* "http://127.0.0.1:1234/git/" */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool locked; /* a token is wanted */
    atomic_uint started, handled, gzipped, chunked, v2, lengths;
} serving = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static inline void note_headers(HttpRequest *req) {
    const char *coding = http_header(req, "Content-Encoding"),
               *transfer = http_header(req, "Transfer-Encoding");
    const char *protocol = http_header(req, "Git-Protocol");

    pthread_mutex_lock(&serving.lock);
    serving.started++;
    pthread_cond_broadcast(&serving.changed);
    serving.gzipped += str_eq(coding, "gzip");
    serving.chunked += str_eq(transfer, "chunked");
    serving.v2 += str_eq(protocol, "version=2");
    serving.lengths += http_header(req, "Content-Length") != NULL;
    pthread_mutex_unlock(&serving.lock);
}

static inline int serve_repo(HttpRequest *req, Err *err) {
    static const char *const env[] = {"PELTON_PUSHER=ada", NULL};
    char *repo = mem_printf(http_mem(req), "%s/%s", serving.f->dir, http_param(req, "repo"));
    int r;

    note_headers(req);
    if (serving.locked && !str_eq(http_credential(req), TOKEN))
        r = err_set(err, ERR_UNAUTHORIZED, "a token is needed");
    else
        r = git_serve_http(req, repo, http_param(req, "rest"), "ada", env, err);
    pthread_mutex_lock(&serving.lock);
    serving.handled++;
    pthread_cond_broadcast(&serving.changed);
    pthread_mutex_unlock(&serving.lock);
    return r;
}

/* Waits until *counter is so high. */
static inline void wait_for(const atomic_uint *counter, unsigned count) {
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&serving.lock);
    while (*counter < count)
        assert_int_equal(pthread_cond_timedwait(&serving.changed, &serving.lock, &until), 0);
    pthread_mutex_unlock(&serving.lock);
}

static const HttpRoute git_routes[] = {
    {.method = HTTP_GET,
     .path = "/git/{repo}/{rest*}",
     .mode = HTTP_THREADED,
     .handle = serve_repo,
     .tag = "git",
     .summary = "fetch"},
    {.method = HTTP_POST,
     .path = "/git/{repo}/{rest*}",
     .mode = HTTP_THREADED,
     .handle = serve_repo,
     .max_body = UINT64_MAX,
     .tag = "git",
     .summary = "push"},
    {0},
};

static inline int serving_setup(void **state) {
    static const HttpRoute *const tables[] = {git_routes, NULL};
    const HttpServerOptions options = {
        .listen = "127.0.0.1:0",
        .threads = 1,
        .max_connections = 64,
        .max_body = 1 << 20,
        .idle_timeout_us = 60000000,
        .request_timeout_us = 60000000,
        .max_workers = 8,
        .tables = tables,
        .title = "test",
        .version = "0",
    };
    Fixture *f;

    fixture_setup(state);
    f = *state;
    serving.f = f;
    serving.locked = false;
    serving.started = serving.handled = serving.gzipped = serving.chunked = serving.v2 = serving.lengths = 0;
    assert_ok(f, http_server_start(&options, &serving.server, &f->err));
    serving.url = mem_printf(f, "http://%s/git/", http_server_address(serving.server));
    run(f, "git -C work remote set-url origin %shello.git", serving.url);
    return 0;
}

static inline int serving_teardown(void **state) {
    if (serving.server)
        http_server_stop(serving.server, 1000000);
    serving.server = NULL;
    return fixture_teardown(state);
}

static inline int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    int64_t port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(str_to_i64(strrchr(http_server_address(serving.server), ':') + 1, 1, 65535, &port));
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* Sends the request and gives what comes back until the server closes. */
static inline char *ask_raw(Fixture *f, const char *request) {
    _cleanup_close_ int fd = dial();
    _cleanup_buf_ Buf answer = BUF_INIT;
    ssize_t n;

    assert_ok(f, file_write_all(fd, request, strlen(request), &f->err));
    while ((n = read(fd, buf_reserve(&answer, 4096), 4096)) > 0)
        answer.len += (size_t)n;
    if (answer.data)
        answer.data[answer.len] = '\0';
    return buf_dup(&answer, f);
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, serving_setup, serving_teardown)
