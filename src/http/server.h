/* The HTTP server: libmicrohttpd on epoll threads, behind a router read from a constant table.
 *
 * A handler runs in one of three modes (HttpMode). It answers by exactly one http_reply_* call, or returns a
 * negative ErrCode with err filled, which is answered as an error of the route's family. Everything that a
 * request needs lives in its talloc context (http_mem) and is gone after the answer was sent.
 *
 * TLS and HTTP/2 are HAProxy's, in front. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;
typedef struct HttpRoute HttpRoute;

typedef enum HttpMethod {
    HTTP_GET, /* HEAD is answered from it */
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_METHODS
} HttpMethod;

/* Whether an answer may have to wait until what it promises holds (HttpServerOptions.settle). */
typedef enum HttpPromise {
    HTTP_PROMISE,        /* yes; a little later than necessary is as good */
    HTTP_PROMISE_URGENT, /* yes, and somebody is kept waiting */
    HTTP_PROMISE_NONE,   /* no: the next call would say the same again */
} HttpPromise;

typedef enum HttpMode {
    HTTP_BUFFERED, /* handle() runs on an epoll thread when the whole body (≤ max_body) is there; must not
                    * block on anything but the database */
    HTTP_STREAMED, /* begin() when the headers are there, body() for each piece, handle() at its end; epoll
                      thread */
    HTTP_THREADED, /* handle() runs on a worker thread and may block: http_body_read, http_body_write */
} HttpMode;

/* How a family of routes words its errors (see contracts: each founding API keeps its own). */
typedef struct HttpFamily {
    const char *name;
    /* Writes the body of an error into out and gives its content type. */
    const char *(*error_body)(HttpRequest *req, int status, const Err *err, Buf *out);
    const char *schema; /* OpenAPI: type of the body that is JSON; NULL: "Error" */
    bool text;          /* OpenAPI: it is plain text unless JSON is asked for */
} HttpFamily;

/* A type of an answer, for OpenAPI:
 *   int number text bool time object any   a time as RFC 3339 has it; an object of any fields
 *   =a|b           one of these words
 *   Name           the type of that name (HttpServerOptions.schemas; "Error" is ours)
 *   [T]  {T}       a list; an object of any names
 *   (a:T b?:T)     an object; b is not always there
 *   T/T  T?        either; or null */
typedef struct HttpSchema {
    const char *name, *type;
} HttpSchema;

/* {"error","message","details","suggestions","timestamp"}: every route without a family. */
extern const HttpFamily http_family_default;

struct HttpRoute {
    HttpMethod method;
    const char *path; /* "/api/builds/{id}/logs"; "{name}" is one segment, "{path*}" (last) the whole rest */
    unsigned roles;   /* bits handed to HttpServerOptions.authorize; 0: open to everyone */
    HttpMode mode;
    const HttpFamily *family; /* NULL: http_family_default */
    int (*handle)(HttpRequest *req, Err *err);
    int (*begin)(HttpRequest *req, Err *err); /* STREAMED; may reply at once (then no body() follows) */
    int (*body)(HttpRequest *req, const void *data, size_t len, Err *err); /* STREAMED */
    uint64_t max_body;   /* bytes; 0: HttpServerOptions.max_body; UINT64_MAX: any */
    const char *accept;  /* required media type of a body, e.g. "application/json"; or NULL */
    const char *tag;     /* OpenAPI: the group */
    const char *summary; /* OpenAPI: one line */
    const char *request; /* OpenAPI: JSON Schema text of the body, or NULL */
    const char *query;   /* OpenAPI: "offset: first byte; follow: …" name: text; …, or NULL */
    const char *answer;  /* OpenAPI: type (HttpSchema) of the JSON of a 2xx answer, or NULL */
    const char *events;  /* OpenAPI: type of the data of a server-sent event, or NULL */
    const char *frames;  /* OpenAPI: type of a WebSocket's messages, or NULL */
    const char *type;    /* OpenAPI: media type of a 2xx answer that is not JSON; NULL: none, or any when
                          * nothing else is said */
    const char *stale;   /* OpenAPI: type of a 409 of the route's own, or NULL */
    int status;          /* OpenAPI: the 2xx status; 0: 200 */
    int also;            /* OpenAPI: another status of the same answer, or 0 */
    HttpPromise promise;
    bool grows; /* it adds to what is kept: authorize may refuse it for want of room */
};

typedef struct HttpServerOptions {
    const char *listen;         /* "127.0.0.1:8080", "[::1]:0"; port 0 takes a free one */
    unsigned threads;           /* epoll threads, ≥ 1 */
    unsigned max_connections;   /* 0: from RLIMIT_NOFILE less a reserve of 512 for files */
    uint64_t max_body;          /* bytes of a BUFFERED body */
    int64_t idle_timeout_us;    /* a connection that says nothing */
    int64_t request_timeout_us; /* from first byte to the end of the body, BUFFERED routes and headers */
    unsigned max_workers;       /* threads for THREADED handlers */
    bool access_log;
    const HttpRoute *const
        *tables;               /* NULL-terminated list of tables, each ended by an entry with path NULL */
    const HttpSchema *schemas; /* that the tables name, ended by one with name NULL; or NULL */
    /* Called before begin()/handle() of every route with roles != 0 (and not for others). Sets the principal
     * by http_set_principal. ERR_UNAUTHORIZED is answered 401 with WWW-Authenticate, ERR_FORBIDDEN 403.. Git
     * wants a challenge of its own: http_add_header(req, "WWW-Authenticate", "Basic …") before returning
     * replaces ours. */
    int (*authorize)(void *arg, HttpRequest *req, const HttpRoute *route, Err *err);
    /* Whether what authorize has said of the request holds as before. Called before a stream of such a route
     * sends more, on the loop's thread, so it must be quick: false cuts the stream off; and for
     * http_still_allowed. NULL: it does. */
    bool (*still)(void *arg, HttpRequest *req);
    /* A handler has answered, and not with an error; not called for streams, for GET, nor for routes that
     * promise nothing. On its thread: a worker (http_may_block) waits until what the answer promises holds;
     * elsewhere http_hold keeps the answer back until it does. NULL: answers go out at once. */
    void (*settle)(void *arg, HttpRequest *req);
    /* The address that holds, before the first request is taken; NULL: not told. */
    void (*listening)(void *arg, const char *address);
    void *arg;                   /* handed to authorize and listening, and to handlers by http_arg */
    const char *title, *version; /* of the OpenAPI document */
} HttpServerOptions;

/* Starts listening. Checks the table (two routes that collide, a bad path) first. */
_must_check_ int http_server_start(const HttpServerOptions *options, HttpServer **ret, Err *err);
/* "127.0.0.1:8080": the address that holds. */
const char *http_server_address(const HttpServer *s);
/* Graceful: stops accepting, ends streams, lets requests finish for at most grace_us, then closes; frees. */
void http_server_stop(HttpServer *s, int64_t grace_us);
/* The OpenAPI 3.1 document of the tables, made once; valid as long as the server. Also served by the server
 * itself at /api/openapi.json when a table has that route with handle == http_handle_openapi. */
const char *http_server_openapi(HttpServer *s, size_t *ret_len);
int http_handle_openapi(HttpRequest *req, Err *err);

/* ---- the request ---- */
void *http_arg(const HttpRequest *req);
TALLOC_CTX *http_mem(HttpRequest *req);
HttpMethod http_method(const HttpRequest *req);
bool http_is_head(const HttpRequest *req);
const HttpRoute *http_route(const HttpRequest *req);
const char *http_url(const HttpRequest *req);          /* path, as sent, without the query */
const char *http_query_string(const HttpRequest *req); /* "" when there is none; undecoded */
const char *http_param(const HttpRequest *req,
                       const char *name); /* of the path, percent-decoded; never NULL */
_must_check_ int http_param_id(HttpRequest *req, const char *name, int64_t *ret,
                               Err *err);                         /* else ERR_NOT_FOUND */
const char *http_query(const HttpRequest *req, const char *name); /* decoded; NULL: not given */
_must_check_ int http_query_i64(HttpRequest *req, const char *name, int64_t min, int64_t max, int64_t *io,
                                Err *err);
_must_check_ int http_query_bool(HttpRequest *req, const char *name, bool *io, Err *err);
const char *http_header(const HttpRequest *req, const char *name); /* or NULL */
/* The media type of the list (NULL-terminated, without parameters) that the request's Accept likes best: by
 * weight, then by how exactly it is named, by its place there, and by the list. NULL: none of them, or there
 * is no such header. */
const char *http_accepted(const HttpRequest *req, const char *const *types);
/* A field that came behind a body in chunks, or NULL; for a STREAMED handler, at the body's end. */
const char *http_trailer(const HttpRequest *req, const char *name);
const char *http_cookie(const HttpRequest *req, const char *name); /* or NULL */
/* The bearer token, the password of Basic, or NULL. Owned by the request. */
const char *http_credential(HttpRequest *req);
const char *http_request_id(const HttpRequest *req);
const char *http_peer(const HttpRequest *req); /* "127.0.0.1" */
void http_set_principal(HttpRequest *req, void *principal);
void *http_principal(const HttpRequest *req);
/* State of a STREAMED handler between begin, body and handle; freed with the request when it is talloc'ed. */
void http_set_data(HttpRequest *req, void *data);
void *http_data(const HttpRequest *req);

/* BUFFERED: the whole body. */
const char *http_body(const HttpRequest *req, size_t *ret_len);
/* BUFFERED, and THREADED (waits for it): the body as a JSON object (an empty body is {} when optional). Owned
 * by the request. A field that the route's schema does not have is refused where that says
 * "additionalProperties":false. */
_must_check_ int http_body_json(HttpRequest *req, bool optional, json_t **ret, Err *err);

/* THREADED: blocking. Reads up to size bytes; 0 at the end. The bytes are as sent (no decoding). */
_must_check_ ssize_t http_body_read(HttpRequest *req, void *buf, size_t size, Err *err);

/* ---- the answer: one of these, once ---- */
void http_add_header(HttpRequest *req, const char *name,
                     const char *value); /* before the reply; replaces nothing */
void http_reply(HttpRequest *req, int status, const char *content_type, const void *data, size_t len);
void http_reply_buf(HttpRequest *req, int status, const char *content_type,
                    Buf *body);                                /* takes the content */
void http_reply_json(HttpRequest *req, int status, Buf *body); /* takes the content */
void http_reply_text(HttpRequest *req, int status, const char *text);
void http_reply_empty(HttpRequest *req, int status);
void http_reply_redirect(HttpRequest *req, int status, const char *location);
/* A part of a file, by sendfile; honours Range (one range; 206, 416), If-None-Match against etag (may be
 * NULL). Takes over fd. size: the bytes of the file that count (a growing log has more later). */
void http_reply_file(HttpRequest *req, int fd, uint64_t size, const char *content_type, const char *etag);
/* Answers err in the words of the route's family; what returning a negative code from handle() does. */
void http_reply_err(HttpRequest *req, const Err *err);
/* The same with a status that no ErrCode has: 422, 501, 502 … */
void http_reply_err_as(HttpRequest *req, int status, const Err *err);
int http_status_of(ErrCode code);
/* A status as an error's type ("ValidationError"), for families that word it so; *ret_suggestion: what to do,
 * or NULL. */
const char *http_error_words(int status, const char **ret_suggestion);

/* THREADED: a streamed answer: begin once, then write (blocks while the peer is slow), end by returning 0
 * from handle(). A handler that fails after begin cuts the connection, so that the peer sees it is not whole.
 * The body may still be read meanwhile. The connection is closed behind such an answer. */
_must_check_ int http_body_begin(HttpRequest *req, int status, const char *content_type, Err *err);
_must_check_ int http_body_write(HttpRequest *req, const void *data, size_t len, Err *err);

/* ---- an answer that is kept back: for HttpServerOptions.settle ---- */
typedef struct HttpHold HttpHold;
/* The route's, unless its handler has said otherwise of this answer. */
HttpPromise http_promise(const HttpRequest *req);
void http_set_promise(HttpRequest *req, HttpPromise promise);
/* Whether this thread is a worker's, which may block. */
bool http_may_block(const HttpRequest *req);
/* Elsewhere: the answer that was given is not sent before http_release. */
HttpHold *http_hold(HttpRequest *req);
/* Once, on any thread: the answer goes out, or with err that error in its stead. */
void http_release(HttpHold *hold, const Err *err);
/* Answers with the error instead of what was answered, which has not been sent. */
void http_reply_instead(HttpRequest *req, const Err *err);

/* ---- waiting (long poll), BUFFERED only ----
 * handle() calls http_wait and returns 0 without a reply; the connection sleeps without a thread. After
 * http_waiter_wake (any thread, any number of times) or at the deadline handle() runs again from its start;
 * http_timed_out tells the deadline. A waiter is counted: http_wait gives a reference that the caller drops
 * by http_waiter_unref when nobody can wake it any more; waking a request that is gone does nothing.
 * A wake between http_wait and the return of handle() is not lost: so wait first, subscribe, then look
 * whether what is waited for is there (an answer given all the same wins). When the server stops all waiters
 * end as if at their deadline. A later http_wait of the same request gives another reference to the same
 * waiter. */
typedef struct HttpWaiter HttpWaiter;
HttpWaiter *http_wait(HttpRequest *req, int64_t deadline_mono_us);
void http_waiter_wake(HttpWaiter *w);
void http_waiter_unref(HttpWaiter *w);
bool http_timed_out(const HttpRequest *req);
/* What http_wait gave when this request waited before; NULL in its handler's first run. To compare: no
 * reference. */
const HttpWaiter *http_waiter(const HttpRequest *req);
/* Whether the request may still do what it was let in for (HttpServerOptions.still): a handler that has
 * waited asks before it does anything, for meanwhile its token may have expired or been revoked. */
bool http_still_allowed(HttpRequest *req);
/* Whether the peer has closed the connection (worth asking before handing it something precious). */
bool http_peer_gone(const HttpRequest *req);

/* ---- streams: SSE, WebSocket, chunked text ----
 * A source is asked for bytes whenever the connection can take some; when it has none the connection sleeps,
 * holding no thread and no buffer, until http_stream_wake. */
typedef struct HttpStream HttpStream;
typedef struct HttpSource {
    /* Appends what there is to out, up to about max bytes. 0 and nothing appended: nothing now, sleep. 1:
     * call again when written. -1: the end (what was appended is still sent). Called on an epoll thread; must
     * not block. A WebSocket sends each call's bytes as one text message; SSE sources frame themselves
     * (http_sse_*). */
    int (*read)(void *state, Buf *out, size_t max);
    /* The connection is gone or the source has ended: unsubscribe, free. After it returns no more wake may
     * come. Called exactly once
     * for each source that was handed over, also when the stream never began or the server stops. */
    void (*close)(void *state);
} HttpSource;

/* Starts the answer. `attach` is handed the stream before the first read, to subscribe with (may be NULL).
 * keepalive_us: after that long without bytes ": keep-alive\n\n" (SSE) or a ping (WebSocket) is sent; 0:
 * never. attach, read
 * and close run on one thread of the server's, one at a time; the request's header is no longer to be read
 * there, its memory (http_mem) lives until close. The connection ends with the stream. */
void http_reply_stream(HttpRequest *req, const char *content_type, const HttpSource *source, void *state,
                       void (*attach)(void *state, HttpStream *stream), int64_t keepalive_us);
/* The same as a WebSocket (RFC 6455, by wslay); a plain request gets 426. What the peer sends is read and
 * dropped (close and ping are answered). */
void http_reply_websocket(HttpRequest *req, const HttpSource *source, void *state,
                          void (*attach)(void *state, HttpStream *stream), int64_t keepalive_us);
bool http_wants_websocket(const HttpRequest *req);
/* Any thread, cheap when the stream is awake already; many wakes before a read are one. */
void http_stream_wake(HttpStream *s);

/* Server-sent events (WHATWG HTML, section 9.2). id < 0: none; event NULL: none; data may have newlines. */
void http_sse_add(Buf *out, int64_t id, const char *event, const char *data, size_t len);
/* The Last-Event-ID header (or query lastEventId) as a number, or fallback. */
int64_t http_sse_last_id(const HttpRequest *req, int64_t fallback);
