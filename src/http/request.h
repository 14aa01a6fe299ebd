/* The inside of the server: what its files share. See README.md for how a request goes through. */
#pragma once

#include "base/buf.h"
#include "http/loop.h"
#include "http/router.h"
#include "http/server.h"
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#define HTTP_HEADER_MAX ((size_t)16 * 1024) /* bytes of a request's line and header; more is 431 */
#define HTTP_DRAIN_MAX                                                                                       \
    ((uint64_t)64 * 1024) /* an unwanted body up to this is read, a longer one ends the connection */
#define HTTP_ID_MAX 64
#define HTTP_METHOD_NONE HTTP_METHODS /* OPTIONS, or one that we do not have */

typedef struct Task Task;

/* What a connection is doing, for its deadline (guard.c). */
typedef enum ConnPhase {
    CONN_IDLE,   /* waits for a request or reads its header: idle_timeout; once bytes came: request_timeout */
    CONN_BODY,   /* the body of a BUFFERED request comes in: request_timeout for all of it */
    CONN_MOVING, /* a long body comes in or an answer goes out: idle_timeout without a byte */
    CONN_HANDLER, /* a handler, a waiter or a worker has it; the connection has no deadline of its own */
} ConnPhase;

/* A connection of libmicrohttpd. Made and freed on its daemon's thread; the loop's thread looks at it with
 * the timers' lock held, which the daemon's thread takes before it frees. */
typedef struct Conn {
    HttpServer *server;
    struct MHD_Connection *mhd;
    int fd;
    atomic_int phase;
    _Atomic int64_t since; /* when the phase began */
    LoopTimer guard;
    int64_t guard_since;   /* of the phase that the guard saw last */
    uint64_t guard_bytes;  /* received and acknowledged at that time */
    int64_t partial_since; /* when the guard first saw a part of a request; 0: not */
    int64_t moved;         /* when the guard last saw bytes move */
    bool evicted;
    bool handed_over; /* the socket lives on in a stream, a worker or a linger */
    struct Conn *prev, *next;
    HttpRequest *req;
    char peer[48];
} Conn;

typedef enum ReplyKind {
    REPLY_NONE,
    REPLY_BYTES,  /* body */
    REPLY_FILE,   /* fd, offset, length */
    REPLY_STREAM, /* stream */
    REPLY_DIRECT, /* a worker writes to the socket itself (direct.c) */
} ReplyKind;

typedef struct HeaderPair {
    const char *name;
    const char *value;
} HeaderPair;

typedef struct Reply {
    ReplyKind kind;
    int status;
    const char *type; /* content type, or NULL */
    HeaderPair *headers;
    size_t header_count;
    bool cut; /* close the connection after it */
    Buf body;
    int fd;
    uint64_t offset, length;
    HttpStream *stream;
} Reply;

struct HttpRequest {
    TALLOC_CTX *mem; /* owns this */
    HttpServer *server;
    Conn *conn;      /* NULL when the connection has gone or was handed over */
    atomic_int refs; /* the connection's and a worker's */
    HttpMethod method;
    const char *method_name;
    bool head;
    bool begun; /* the first call was made: routed, checked, authorised */
    bool http10;
    bool has_body;   /* the request has one, whatever its length */
    bool discard;    /* the rest of the body is of no use */
    uint64_t length; /* declared; UINT64_MAX: chunked */
    uint64_t seen;   /* bytes of the body so far */
    char *path;      /* raw */
    char *query;     /* raw, "" when there is none */
    RouterMatch match;
    const HttpRoute *route; /* NULL: none found */
    char *values[ROUTER_PARAMS_MAX];
    HeaderPair *copied; /* the header, when it must outlive the connection */
    size_t copied_count;
    char id[HTTP_ID_MAX + 1];
    char peer[48];
    int64_t started;
    uint64_t sent; /* body bytes of the answer, for the access log */
    Buf body;
    json_t *json;
    const char *credential;
    bool credential_known;
    void *principal;
    void *data;
    HttpWaiter *waiter;
    bool timed_out;
    HttpPromise promise; /* the route's, or what the handler has found */
    HttpHold *hold;
    Task *task;
    Reply reply;
};

struct HttpServer {
    HttpServerOptions options;
    char address[64];
    Router *router;
    Loop *loop;
    struct MHD_Daemon **daemons;
    unsigned daemon_count, next_daemon;
    int listen_fd, spare_fd;
    LoopIo listen_io;
    bool listening; /* the loop's thread only */
    LoopTask open_listener, close_listener, end_streams;
    int64_t complained; /* about descriptors that ran out */
    unsigned max_connections;
    atomic_uint sockets;  /* open ones: connections, streams, lingering ones */
    atomic_uint requests; /* being served, streams included */
    atomic_bool stopping; /* no new work: waiters end, connections close after their answer */
    atomic_bool killed;   /* the grace is over */
    char id_prefix[9];
    atomic_uint id_next;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t idle;
    Conn *conns, *conns_tail; /* oldest first */
    HttpWaiter *waiters;
    HttpStream *streams; /* the loop's thread only, as the next */
    struct Linger *lingers;
    Buf piece; /* what a source gives */
    struct WorkerPool *workers;
    Buf openapi;
};

/* server.c */
HttpRequest *request_new(HttpServer *s, Conn *c, const char *uri);
void request_unref(HttpRequest *req);
void request_log(const HttpRequest *req);
/* The connection goes, or goes its own way: the request forgets it. */
void request_leave(HttpRequest *req);
uint64_t request_body_limit(const HttpRequest *req);
/* How much more body may come; UINT64_MAX when nobody knows. */
uint64_t request_body_left(const HttpRequest *req);
/* One request fewer is being served. */
void server_request_done(HttpServer *s);
void conn_set_phase(Conn *c, ConnPhase phase);
/* A socket of our own for the connection's, which libmicrohttpd will close; -1: descriptors ran out. */
int conn_take_over(Conn *c);
/* Whether the peer will send no more. */
bool conn_hung_up(const Conn *c);

/* guard.c */
void guard_start(Conn *c);
/* Closes the connections that have been idle for longest, up to count; gives how many. */
unsigned guard_evict(HttpServer *s, unsigned count);

/* accept.c */
_must_check_ int accept_start(HttpServer *s, Err *err);
/* Closes the listening socket; returns when it is closed. */
void accept_stop(HttpServer *s);

/* handle.c: libmicrohttpd's access handler */
enum MHD_Result handle_call(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *data, size_t *size, void **context);

/* request.c */
/* Whether each value of the query can be decoded: else one that a route knows would be taken for one that was
 * not given. */
_must_check_ int request_check_query(const HttpRequest *req, Err *err);
const char *request_header(const HttpRequest *req, const char *name);
/* Copies the header, so that the request can be read without the connection. */
void request_detach_header(HttpRequest *req);

/* negotiate.c: http_accepted, of a header's text. */
const char *negotiate(const char *accept, const char *const *types);

/* schema.c: a type (HttpSchema) as JSON Schema. key: as the writer's. */
void schema_write(JsonWriter *w, const char *key, const char *type);

/* fields.c: whether the body has only fields that the route's schema knows, where that takes no others. */
_must_check_ int request_check_fields(const HttpRequest *req, const json_t *body, Err *err);

/* reply.c */
/* Status line and header of an answer that we send ourselves. length UINT64_MAX: chunked, or until the end.
 */
void reply_head(const HttpRequest *req, uint64_t length, bool chunked, Buf *out);
bool reply_has_header(const HttpRequest *req, const char *name);
/* Drops an answer that will not be sent. */
void reply_discard(Reply *reply);
const char *reply_reason(int status);

/* wait.c: gives whether the connection was suspended; else handle() must run again. */
bool waiter_sleep(HttpWaiter *w);
void waiter_prepare(HttpRequest *req);
/* The request is over. */
void waiter_end(HttpRequest *req);
/* The server stops: all end as if their deadline had come. */
void waiters_stop(HttpServer *s);

/* hold.c */
/* The handler has answered: asks HttpServerOptions.settle. */
void request_settle(HttpRequest *req);
/* Whether the connection was suspended; else the answer may go out now. */
bool hold_sleep(HttpRequest *req);
/* The answer goes out: drops the hold, and takes its error. */
void hold_end(HttpRequest *req);

/* linger.c: sends what is left of `bytes` (taken over), then reads and drops what the peer still sends, and
 * closes. */
void linger_start(HttpServer *s, int fd, Buf *bytes);
/* The loop's thread: closes all of them. */
void lingers_close(HttpServer *s);

/* worker.c: THREADED */
_must_check_ int workers_start(HttpServer *s, Err *err);
/* The grace is over: wakes the workers that wait for a peer. */
void workers_kill(HttpServer *s);
/* Waits for the handlers that still run. */
void workers_stop(HttpServer *s);
/* The header is there: hands the request to a worker. False: there is none, and the error is the answer. */
bool task_start(HttpRequest *req);
/* A piece of the body; gives how much was taken, having suspended the connection when that is less than len.
 */
size_t task_feed(HttpRequest *req, const char *data, size_t len);
/* The request is here whole. 1: the handler has ended; 0: the connection was suspended; -1: the server stops.
 */
int task_finish(HttpRequest *req);
/* Whether the handler has ended: before that the answer is the worker's. */
bool task_ended(HttpRequest *req);
/* The connection is gone. False: the worker still runs, was woken, and cleans up. */
bool task_abandon(HttpRequest *req);
bool task_peer_gone(HttpRequest *req);

/* stream.c */
/* Takes over the socket and starts the stream; false: descriptors ran out. Consumes a reference of the
 * request. */
bool stream_start(HttpRequest *req);
/* The server stops: a task of the loop. Ends all streams politely, or at once when killed. */
void streams_end(LoopTask *task);
/* An answer that was never started: closes the source. */
void stream_discard(HttpStream *st);
