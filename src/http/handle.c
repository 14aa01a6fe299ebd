/* What libmicrohttpd calls for a request: once when its header is there, for each piece of its body, and at
 * its end; then again whenever a suspended connection was resumed. */
#include "http/request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <strings.h>
#include <sys/socket.h>

/* ---- the answer ---- */

static struct MHD_Response *make_response(Reply *reply) {
    if (reply->kind == REPLY_FILE) {
        struct MHD_Response *r =
            MHD_create_response_from_fd_at_offset64(reply->length, reply->fd, reply->offset);

        if (r)
            reply->fd = -1; /* libmicrohttpd closes it */
        return r;
    }
    /* the request outlives the sending */
    return MHD_create_response_from_buffer(reply->body.len, reply->body.data, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result queue_response(HttpRequest *req) {
    Reply *reply = &req->reply;
    struct MHD_Response *r = make_response(reply);
    enum MHD_Result ok;

    if (!r)
        return MHD_NO;
    if (reply->type)
        MHD_add_response_header(r, "Content-Type", reply->type);
    MHD_add_response_header(r, "X-Request-Id", req->id);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < reply->header_count; i++)
        MHD_add_response_header(r, reply->headers[i].name, reply->headers[i].value);
    if (reply->cut || atomic_load_explicit(&req->server->stopping, memory_order_relaxed))
        MHD_add_response_header(r, "Connection", "close");
    if (!req->head)
        req->sent = reply->kind == REPLY_FILE ? reply->length : reply->body.len;
    conn_set_phase(req->conn, CONN_MOVING);
    ok = MHD_queue_response(req->conn->mhd, (unsigned)reply->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* Answers before the body was read to its end, which libmicrohttpd cannot: on a socket of our own. */
static enum MHD_Result answer_early(HttpRequest *req, void **context) {
    Reply *reply = &req->reply;
    Buf out = BUF_INIT;
    int fd = reply->kind == REPLY_BYTES ? conn_take_over(req->conn) : -1;

    if (fd >= 0) {
        reply->cut = true;
        reply_head(req, reply->body.len, false, &out);
        if (!req->head)
            buf_add(&out, reply->body.data, reply->body.len);
        req->sent = req->head ? 0 : reply->body.len;
        linger_start(req->server, fd, &out);
    }
    request_log(req);
    request_leave(req);
    *context = NULL;
    request_unref(req);
    return MHD_NO; /* closes what libmicrohttpd still holds */
}

static enum MHD_Result start_stream(HttpRequest *req, void **context) {
    Err err;

    if (!stream_start(req)) {
        reply_discard(&req->reply);
        (void)err_set(&err, ERR_UNAVAILABLE, "out of file descriptors");
        http_reply_err(req, &err);
        return queue_response(req);
    }
    *context = NULL;
    return MHD_NO;
}

/* The request is here whole and has its answer. */
static enum MHD_Result answer(HttpRequest *req, void **context) {
    if (req->hold)
        hold_end(req);
    switch (req->reply.kind) {
    case REPLY_STREAM:
        return start_stream(req, context);
    case REPLY_BYTES:
    case REPLY_FILE:
        return queue_response(req);
    case REPLY_DIRECT: /* the worker wrote it, or the connection broke under it */
    case REPLY_NONE:
    default:
        return MHD_NO;
    }
}

/* ---- the header ---- */

static HttpMethod method_of(const char *name) {
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

    if (strcmp(name, "HEAD") == 0)
        return HTTP_GET;
    for (unsigned i = 0; i < ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (HttpMethod)i;
    return HTTP_METHOD_NONE;
}

/* Methods live as long as the request; those that we know are constants. */
static const char *method_name(const HttpRequest *req, const char *name) {
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

    if (req->head)
        return "HEAD";
    return req->method < HTTP_METHODS ? names[req->method] : mem_strdup(req->mem, name);
}

static void take_request_id(HttpRequest *req) {
    const char *id = request_header(req, "X-Request-Id");
    size_t len = id ? strlen(id) : 0;

    if (len == 0 || len > HTTP_ID_MAX)
        return;
    if (strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len)
        memcpy(req->id, id, len + 1);
}

typedef struct Framing {
    unsigned lengths, encodings, hosts;
    bool bad_name;
    const char *length, *encoding;
} Framing;

static enum MHD_Result note_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value) {
    Framing *f = arg;

    (void)kind;
    if (strcasecmp(name, "Content-Length") == 0) {
        f->lengths++;
        f->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->encodings++;
        f->encoding = value;
    } else if (strcasecmp(name, "Host") == 0) {
        f->hosts++;
    } else if (strpbrk(name, " \t")) {
        f->bad_name = true;
    }
    return MHD_YES;
}

/* How the body is framed. What two readers could understand in two ways is refused (RFC 9112, sections 3.2,
 * 5.1 and 6.3). */
static int read_framing(HttpRequest *req, Err *err) {
    Framing f = {0};

    MHD_get_connection_values(req->conn->mhd, MHD_HEADER_KIND, note_header, &f);
    if (f.hosts > 1)
        return err_set(err, ERR_INVALID, "more than one Host");
    if (f.bad_name)
        return err_set(err, ERR_INVALID, "a header's name has a space in it");
    if (f.lengths + f.encodings == 0)
        return 0;
    req->has_body = true;
    req->length = UINT64_MAX;
    if (f.lengths + f.encodings > 1)
        return err_set(err, ERR_INVALID, "more than one Content-Length or Transfer-Encoding");
    if (f.encodings)
        return strcasecmp(f.encoding, "chunked") == 0
                   ? 0
                   : err_set(err, ERR_INVALID, "Transfer-Encoding: expected \"chunked\"");
    if (!str_to_u64(f.length, UINT64_MAX - 1, &req->length))
        return err_set(err, ERR_INVALID, "Content-Length: not a number");
    req->has_body = req->length > 0;
    return 0;
}

static int too_large(const HttpRequest *req, Err *err) {
    return err_set(err, ERR_TOO_LARGE, "the body is larger than %llu bytes",
                   (unsigned long long)request_body_limit(req));
}

/* Whether a Content-Type is one of the accepted: "application/json", or a list with commas. Parameters and
 * case do not matter; "application/vnd.x+json" is JSON too (RFC 6839). */
static bool type_accepted(const char *type, const char *accepted) {
    size_t len = strcspn(type, "; \t");

    while (*accepted) {
        size_t n = strcspn(accepted, ", ");

        if (n == len && strncasecmp(type, accepted, len) == 0)
            return true;
        if (n == 16 && strncmp(accepted, "application/json", n) == 0 && len > 5 &&
            strncasecmp(type + len - 5, "+json", 5) == 0)
            return true;
        accepted += n;
        accepted += strspn(accepted, ", ");
    }
    return false;
}

static int check_body(HttpRequest *req, Err *err) {
    const char *type;

    if (!req->has_body)
        return 0;
    if (req->length != UINT64_MAX && req->length > request_body_limit(req))
        return too_large(req, err);
    type = req->route->accept ? request_header(req, "Content-Type") : NULL;
    if (type && !type_accepted(type, req->route->accept))
        return err_set(err, ERR_UNSUPPORTED, "Content-Type \"%.100s\": expected %s", type,
                       req->route->accept);
    return 0;
}

static void add_allow(HttpRequest *req, unsigned allowed) {
    static const char *const names[] = {"GET, HEAD", "POST", "PUT", "PATCH", "DELETE"};
    Buf list = BUF_INIT;

    for (unsigned i = 0; i < HTTP_METHODS; i++)
        if (allowed & 1u << i)
            buf_addf(&list, "%s, ", names[i]);
    buf_adds(&list, "OPTIONS");
    http_add_header(req, "Allow", list.data);
    buf_done(&list);
}

/* No route: 404, or what the path has for other methods. */
static int refuse_route(HttpRequest *req, const char *method, unsigned allowed, Err *err) {
    if (!allowed)
        return err_set(err, ERR_NOT_FOUND, "no such path: %.200s", req->path);
    add_allow(req, allowed);
    if (strcmp(method, "OPTIONS") == 0) {
        http_reply_empty(req, 204);
        return 0;
    }
    req->reply.status = 405;
    return err_set(err, ERR_UNSUPPORTED, "%.20s is not possible here", method);
}

static int decode_params(HttpRequest *req, Err *err) {
    for (unsigned i = 0; i < router_entry_params(req->match.entry); i++) {
        const RouterSpan *v = &req->match.values[i];

        req->values[i] = mem_strndup(req->mem, v->at, v->len);
        if (memchr(v->at, '%', v->len) && !str_url_decode(req->values[i]))
            return err_set(err, ERR_INVALID, "%s: bad percent-encoding in the path",
                           router_entry_param(req->match.entry, i));
    }
    return 0;
}

static int find_route(HttpRequest *req, const char *method, Err *err) {
    HttpMethod wanted = req->method < HTTP_METHODS ? req->method : HTTP_GET;
    bool found = router_find(req->server->router, wanted, req->path, &req->match);

    if (found && req->method == HTTP_METHOD_NONE) {
        /* a method that no route has: ask for all that the path has */
        req->match.allowed = 0;
        for (unsigned m = 0; m < HTTP_METHODS; m++) {
            RouterMatch other;

            if (router_find(req->server->router, (HttpMethod)m, req->path, &other))
                req->match.allowed |= 1u << m;
        }
        found = false;
    }
    if (!found)
        return refuse_route(req, method, req->match.allowed, err);
    req->route = router_entry_route(req->match.entry);
    req->promise = req->route->promise;
    return decode_params(req, err);
}

static int check_header(HttpRequest *req, const char *method, Err *err) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const HttpServerOptions *o = &req->server->options;
    int r = read_framing(req, err);

    if (r < 0)
        return r;
    if (info && info->header_size > HTTP_HEADER_MAX) {
        req->reply.status = 431;
        return err_set(err, ERR_TOO_LARGE, "the header is larger than %zu bytes", HTTP_HEADER_MAX);
    }
    r = find_route(req, method, err);
    if (r < 0 || !req->route)
        return r;
    if (req->route->roles && !o->authorize)
        return err_set(err, ERR_FORBIDDEN, "nobody may do this");
    r = req->route->roles ? o->authorize(o->arg, req, req->route, err) : 0;
    if (r >= 0 && req->route->query)
        r = request_check_query(req, err);
    return r < 0 ? r : check_body(req, err);
}

static enum MHD_Result begin_request(HttpRequest *req, const char *method, const char *version,
                                     void **context) {
    Err err;
    int r;

    req->begun = true;
    req->method = method_of(method);
    req->head = strcmp(method, "HEAD") == 0;
    req->method_name = method_name(req, method);
    req->http10 = strcmp(version, "HTTP/1.0") == 0;
    take_request_id(req);
    r = check_header(req, method, &err);
    if (r >= 0 && req->route && req->route->mode == HTTP_STREAMED && req->route->begin) {
        conn_set_phase(req->conn, CONN_HANDLER);
        r = req->route->begin(req, &err);
    }
    if (r < 0)
        http_reply_err(req, &err);
    if (req->reply.kind == REPLY_NONE && req->route && req->route->mode == HTTP_THREADED) {
        conn_set_phase(req->conn, CONN_MOVING);
        if (task_start(req))
            return MHD_YES; /* from here on the answer is the worker's */
    }
    if (!req->has_body)
        return MHD_YES; /* called again at once, for the end */
    req->discard = req->reply.kind != REPLY_NONE;
    if (req->discard && (req->length > HTTP_DRAIN_MAX || request_header(req, "Expect")))
        return answer_early(req, context);
    conn_set_phase(req->conn, req->route && req->route->mode != HTTP_BUFFERED ? CONN_MOVING : CONN_BODY);
    return MHD_YES;
}

/* ---- the body ---- */

static int take_piece(HttpRequest *req, const char *data, size_t *size, Err *err) {
    size_t len = *size;

    *size = 0;
    if (req->discard)
        return 0;
    switch (req->route->mode) {
    case HTTP_STREAMED:
        return req->route->body ? req->route->body(req, data, len, err) : 0;
    case HTTP_BUFFERED:
    default:
        if (!req->body.data && req->length != UINT64_MAX)
            buf_reserve(&req->body, req->length);
        buf_add(&req->body, data, len);
        return 0;
    }
}

static enum MHD_Result take_task_body(HttpRequest *req, const char *data, size_t *size) {
    *size -= task_feed(req, data, *size);
    /* a worker that ended early has answered on a socket of its own, or means the rest to be dropped */
    return task_ended(req) && req->reply.kind == REPLY_DIRECT ? MHD_NO : MHD_YES;
}

static enum MHD_Result take_body(HttpRequest *req, const char *data, size_t *size, void **context) {
    Err err;
    int r = 0;

    req->seen += *size;
    if (!req->discard && req->seen > request_body_limit(req))
        r = too_large(req, &err);
    else
        r = take_piece(req, data, size, &err);
    if (r < 0)
        http_reply_err(req, &err);
    if (req->reply.kind == REPLY_NONE)
        return MHD_YES;
    req->discard = true;
    if (req->reply.kind == REPLY_BYTES && request_body_left(req) > HTTP_DRAIN_MAX)
        return answer_early(req, context);
    return MHD_YES;
}

/* libmicrohttpd takes a read that got less than it could for the last until the next event. An end that came
 * before such a read makes no other one, unless it is shut down once more here; what came is read all the
 * same. */
static void mind_the_end(const HttpRequest *req, size_t size) {
    if (req->seen + size != req->length && conn_hung_up(req->conn))
        shutdown(req->conn->fd, SHUT_RD);
}

/* ---- the end ---- */

static enum MHD_Result answer_settled(HttpRequest *req, void **context) {
    request_settle(req);
    return req->hold && hold_sleep(req) ? MHD_YES : answer(req, context);
}

static enum MHD_Result run_handler(HttpRequest *req, void **context) {
    Err err;

    do {
        int r;

        if (atomic_load_explicit(&req->server->killed, memory_order_relaxed))
            return MHD_NO;
        waiter_prepare(req);
        req->promise = req->route->promise; /* what it said of an answer that it did not give is no more */
        conn_set_phase(req->conn, CONN_HANDLER);
        r = req->route->handle(req, &err);
        if (r < 0)
            http_reply_err(req, &err);
        if (req->reply.kind != REPLY_NONE)
            return answer_settled(req, context);
        if (!req->waiter || (req->timed_out && atomic_load(&req->server->stopping))) {
            (void)err_set(&err, req->waiter ? ERR_UNAVAILABLE : ERR_INTERNAL,
                          req->waiter ? "the server is stopping" : "the handler gave no answer");
            http_reply_err(req, &err);
            return answer(req, context);
        }
    } while (!waiter_sleep(req->waiter));
    return MHD_YES;
}

enum MHD_Result handle_call(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *data, size_t *size, void **context) {
    HttpRequest *req = *context;

    (void)arg;
    (void)mhd;
    (void)url;
    if (!req)
        return MHD_NO;
    if (!req->begun)
        return begin_request(req, method, version, context);
    if (*size) {
        mind_the_end(req, *size);
        return req->task ? take_task_body(req, data, size) : take_body(req, data, size, context);
    }
    if (req->task) {
        int state = task_finish(req);

        return state > 0 ? answer(req, context) : state == 0 ? MHD_YES : MHD_NO;
    }
    if (req->reply.kind != REPLY_NONE)
        return answer(req, context);
    return run_handler(req, context);
}
