#include "http/request.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define REQUEST_POOL 2048
/* Half of it is the read buffer, so an upload comes in pieces of 16 KiB; above 32 KiB libmicrohttpd would map
 * memory for each connection, and it clears all of it between two requests. */
#define CONN_MEMORY ((size_t)32 * 1024)
#define DAEMON_STACK ((size_t)512 * 1024)
#define FD_RESERVE 512

/* ---- requests ---- */

static void request_set_id(HttpRequest *req) {
    snprintf(req->id, sizeof(req->id), "%s%08x", req->server->id_prefix,
             atomic_fetch_add_explicit(&req->server->id_next, 1, memory_order_relaxed));
}

/* Path and query of the target; an absolute form (RFC 9112, section 3.2.2) loses its origin. */
static void request_set_target(HttpRequest *req, const char *uri) {
    const char *after = uri[0] == '/' ? NULL : strstr(uri, "://");
    char *mark;

    if (after) {
        after = strchr(after + 3, '/');
        uri = after ? after : "/";
    }
    req->path = mem_strdup(req->mem, uri);
    mark = strchr(req->path, '?');
    req->query = mark ? mark + 1 : req->path + strlen(req->path);
    if (mark)
        *mark = '\0';
}

HttpRequest *request_new(HttpServer *s, Conn *c, const char *uri) {
    void *mem = talloc_pool(NULL, REQUEST_POOL);
    HttpRequest *req;

    if (!mem)
        abort();
    req = mem_new(mem, HttpRequest);
    req->mem = mem;
    req->server = s;
    req->conn = c;
    atomic_init(&req->refs, 1);
    req->started = clock_mono();
    req->reply.fd = -1;
    memcpy(req->peer, c->peer, sizeof(req->peer));
    request_set_target(req, uri);
    request_set_id(req);
    atomic_fetch_add(&s->requests, 1);
    return req;
}

void server_request_done(HttpServer *s) {
    if (atomic_fetch_sub(&s->requests, 1) != 1 || !atomic_load(&s->stopping))
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

void request_unref(HttpRequest *req) {
    HttpServer *s = req->server;

    if (atomic_fetch_sub(&req->refs, 1) != 1)
        return;
    reply_discard(&req->reply);
    buf_done(&req->body);
    json_decref(req->json);
    talloc_free(req->mem);
    server_request_done(s);
}

void request_leave(HttpRequest *req) {
    if (req->waiter)
        waiter_end(req);
    if (req->hold)
        hold_end(req);
    req->conn->req = NULL;
    req->conn = NULL;
}

uint64_t request_body_limit(const HttpRequest *req) {
    return req->route->max_body ? req->route->max_body : req->server->options.max_body;
}

uint64_t request_body_left(const HttpRequest *req) {
    return req->length == UINT64_MAX ? UINT64_MAX : req->length - req->seen;
}

void request_log(const HttpRequest *req) {
    int64_t took;

    if (!req->server->options.access_log || !log_enabled(LOG_INFO))
        return;
    took = clock_mono() - req->started;
    log_info("http", "%s %s %d %llu %lld.%03lldms %s %s", req->method_name ? req->method_name : "-",
             req->path, req->reply.status, (unsigned long long)req->sent, (long long)(took / 1000),
             (long long)(took % 1000), req->id, req->peer);
}

/* ---- connections ---- */

void conn_set_phase(Conn *c, ConnPhase phase) {
    atomic_store_explicit(&c->since, clock_mono(), memory_order_relaxed);
    /* whoever sees the new phase sees the new time: an old one would end the connection */
    atomic_store_explicit(&c->phase, phase, memory_order_release);
}

bool conn_hung_up(const Conn *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

int conn_take_over(Conn *c) {
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

    if (fd >= 0)
        c->handed_over = true;
    return fd;
}

static void peer_name(struct MHD_Connection *mhd, char *out, size_t size) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *addr = info ? info->client_addr : NULL;
    const char *mapped;

    snprintf(out, size, "?");
    if (addr && addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, out, (socklen_t)size);
    else if (addr && addr->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)addr)->sin6_addr, out, (socklen_t)size);
    mapped = str_after(out, "::ffff:");
    if (mapped && strchr(mapped, '.'))
        memmove(out, mapped, strlen(mapped) + 1);
}

static void conn_open(HttpServer *s, struct MHD_Connection *mhd, void **context) {
    Conn *c = calloc(1, sizeof(*c));

    if (!c)
        abort();
    c->server = s;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    peer_name(mhd, c->peer, sizeof(c->peer));
    conn_set_phase(c, CONN_IDLE);
    pthread_mutex_lock(&s->lock);
    c->prev = s->conns_tail;
    *(c->prev ? &c->prev->next : &s->conns) = c;
    s->conns_tail = c;
    pthread_mutex_unlock(&s->lock);
    guard_start(c);
    *context = c;
}

/* Called before libmicrohttpd closes the socket: behind it nobody may touch c->fd. */
static void conn_close(HttpServer *s, Conn *c) {
    loop_timer_cancel(s->loop, &c->guard);
    pthread_mutex_lock(&s->lock);
    *(c->prev ? &c->prev->next : &s->conns) = c->next;
    *(c->next ? &c->next->prev : &s->conns_tail) = c->prev;
    pthread_mutex_unlock(&s->lock);
    if (!c->handed_over)
        atomic_fetch_sub(&s->sockets, 1);
    free(c);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(arg, mhd, context);
    else if (*context)
        conn_close(arg, *context);
}

/* The request line is there: a request begins. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *mhd) {
    Conn *c = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    c->req = request_new(arg, c, uri);
    return c->req;
}

static int status_sent(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);

    return info ? (int)info->http_status : 0;
}

/* The answer was sent, or the connection broke. NULL: the request lives on in a stream. */
static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code) {
    HttpRequest *req = *context;
    Conn *c;

    (void)arg;
    (void)code;
    if (!req)
        return;
    c = req->conn;
    *context = NULL;
    conn_set_phase(c, CONN_IDLE);
    if (!req->task || task_abandon(req)) {
        if (!req->reply.status)
            req->reply.status = status_sent(mhd); /* an error that libmicrohttpd answered, or nothing */
        request_log(req);
        request_leave(req);
    }
    request_unref(req);
}

static size_t keep_encoded(void *arg, struct MHD_Connection *mhd, char *s) {
    (void)arg;
    (void)mhd;
    return strlen(s);
}

static void mhd_log(void *arg, const char *fmt, va_list ap) {
    char text[512];

    (void)arg;
    if (!log_enabled(LOG_DEBUG))
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof(text), fmt, ap);
#pragma GCC diagnostic pop
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_DEBUG, "http", "%s", text);
}

/* ---- start and stop ---- */

/* A daemon an epoll thread, without a listening socket: accept.c gives them their connections. TURBO leaves
 * out the shutdown() before close(), which would end a socket that was handed over. */
static int daemon_start(HttpServer *s, struct MHD_Daemon **ret, Err *err) {
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_TURBO |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, handle_call, s, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONN_MEMORY,
        MHD_OPTION_CONNECTION_LIMIT, s->max_connections + FD_RESERVE, MHD_OPTION_THREAD_STACK_SIZE,
        DAEMON_STACK, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, s, MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded,
        NULL, MHD_OPTION_END);

    if (!d)
        return err_errno(err, "start the HTTP server");
    *ret = d;
    return 0;
}

static unsigned connection_limit(const HttpServerOptions *o) {
    struct rlimit files;
    rlim_t limit = 1024;

    if (o->max_connections)
        return o->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        limit = files.rlim_cur;
    if (limit < 2 * FD_RESERVE)
        return (unsigned)MAX(limit / 2, (rlim_t)16);
    return (unsigned)MIN(limit - FD_RESERVE, (rlim_t)1000000);
}

/* The caller may forget the options: the list of tables and the texts are copied, the tables are constant. */
static void copy_options(HttpServer *s, const HttpServerOptions *options) {
    const HttpRoute **tables = NULL;
    size_t count = 0;

    s->options = *options;
    while (options->tables && options->tables[count])
        count++;
    tables = mem_array(s, const HttpRoute *, count + 1);
    for (size_t i = 0; i < count; i++)
        tables[i] = options->tables[i];
    s->options.tables = tables;
    s->options.listen = mem_strdup(s, options->listen);
    s->options.title = mem_strdup(s, options->title);
    s->options.version = mem_strdup(s, options->version);
}

static HttpServer *server_new(const HttpServerOptions *options) {
    HttpServer *s = mem_new(NULL, HttpServer);
    unsigned char random[4];
    pthread_condattr_t attr;

    copy_options(s, options);
    s->listen_fd = s->spare_fd = -1;
    s->max_connections = connection_limit(options);
    s->end_streams.run = streams_end;
    id_bytes(random, sizeof(random));
    str_hex(random, sizeof(random), s->id_prefix);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->idle, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

static void server_free(HttpServer *s) {
    if (s->listen_fd >= 0)
        accept_stop(s);
    for (unsigned i = 0; i < s->daemon_count; i++)
        MHD_stop_daemon(s->daemons[i]);
    if (s->workers)
        workers_stop(s);
    atomic_store(&s->killed, true);
    if (s->loop) {
        loop_post(s->loop, &s->end_streams);
        loop_stop(s->loop);
    }
    if (s->spare_fd >= 0)
        close(s->spare_fd);
    buf_done(&s->openapi);
    buf_done(&s->piece);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    talloc_free(s);
}

static int server_run(HttpServer *s, Err *err) {
    unsigned threads = MAX(s->options.threads, 1u);
    int r = router_new(s, s->options.tables, &s->router, err);

    if (r >= 0)
        r = loop_start(&s->loop, err);
    if (r >= 0)
        r = workers_start(s, err);
    s->daemons = mem_array(s, struct MHD_Daemon *, threads);
    for (unsigned i = 0; i < threads && r >= 0; i++) {
        r = daemon_start(s, &s->daemons[i], err);
        if (r >= 0)
            s->daemon_count++;
    }
    return r < 0 ? r : accept_start(s, err);
}

int http_server_start(const HttpServerOptions *options, HttpServer **ret, Err *err) {
    HttpServer *s = server_new(options);
    sigset_t all, old;
    int r;

    /* signals are the main thread's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = server_run(s, err);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0) {
        server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

const char *http_server_address(const HttpServer *s) {
    return s->address;
}

/* Shuts the sockets of connections, so that their daemons notice: the idle ones, or all. */
static void shut_connections(HttpServer *s, bool all) {
    pthread_mutex_lock(&s->lock);
    for (Conn *c = s->conns; c; c = c->next)
        if (all || atomic_load(&c->phase) == CONN_IDLE)
            shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
}

static void wait_idle(HttpServer *s, int64_t until) {
    struct timespec ts = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};

    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->requests) > 0)
        if (pthread_cond_timedwait(&s->idle, &s->lock, &ts) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&s->lock);
}

void http_server_stop(HttpServer *s, int64_t grace_us) {
    atomic_store(&s->stopping, true);
    accept_stop(s);
    waiters_stop(s);
    loop_post(s->loop, &s->end_streams);
    shut_connections(s, false);
    wait_idle(s, clock_mono() + grace_us);
    atomic_store(&s->killed, true);
    waiters_stop(s);
    workers_kill(s);
    shut_connections(s, true);
    server_free(s);
}
