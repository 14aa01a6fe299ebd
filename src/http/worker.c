/* THREADED handlers: threads made on demand, ended when idle. The body comes to them through a ring that
 * libmicrohttpd's thread fills; a streamed answer they write to a socket of their own, where the kernel's
 * buffer is the bound. */
#include "http/request.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define RING_SIZE ((size_t)128 * 1024)
#define WORKER_STACK ((size_t)512 * 1024)
#define WORKER_IDLE_US (5 * US_PER_S)

/* A request in a worker's hands. Until `ended` the request is the worker's, but for what is said here. */
struct Task {
    HttpRequest *req;
    pthread_mutex_t lock; /* of all below, of req->conn and req->seen; held while suspending and resuming */
    pthread_cond_t changed;
    char *ring;
    size_t at, used;
    bool whole;     /* the body is here to its end */
    bool too_large; /* it went over its limit */
    bool suspended; /* the connection */
    bool ended;     /* the handler */
    bool abandoned; /* the connection is gone */
    int fd;         /* of the streamed answer, -1 before */
    bool chunked;
    Task *prev, *next; /* the queue, then the running ones; by the pool's lock */
};

struct WorkerPool {
    HttpServer *server;
    pthread_mutex_t lock;
    pthread_cond_t work, over;
    Task *queue, *queue_tail, *running;
    unsigned queued, threads, idle, max;
    bool ending;
};

typedef struct WorkerPool WorkerPool;

/* ---- the connection's side ---- */

static void task_resume(Task *t) {
    if (!t->suspended)
        return;
    t->suspended = false;
    MHD_resume_connection(t->req->conn->mhd);
}

/* Copies into the ring what fits. */
static size_t ring_put(Task *t, const char *data, size_t len) {
    size_t end, first;

    if (!t->ring) {
        t->ring = malloc(RING_SIZE);
        if (!t->ring)
            abort();
    }
    len = MIN(len, RING_SIZE - t->used);
    end = (t->at + t->used) % RING_SIZE;
    first = MIN(len, RING_SIZE - end);
    memcpy(t->ring + end, data, first);
    memcpy(t->ring, data + first, len - first);
    t->used += len;
    return len;
}

static size_t ring_get(Task *t, char *out, size_t size) {
    size_t len = MIN(size, t->used), first = MIN(len, RING_SIZE - t->at);

    memcpy(out, t->ring + t->at, first);
    memcpy(out + first, t->ring, len - first);
    t->at = (t->at + len) % RING_SIZE;
    t->used -= len;
    return len;
}

size_t task_feed(HttpRequest *req, const char *data, size_t len) {
    Task *t = req->task;
    size_t taken = len;

    pthread_mutex_lock(&t->lock);
    if (t->ended || t->too_large || atomic_load(&req->server->killed)) {
        /* nobody wants it */
    } else if (req->seen + len > request_body_limit(req)) {
        t->too_large = true;
    } else {
        taken = ring_put(t, data, len);
    }
    req->seen += taken;
    t->suspended = taken < len;
    conn_set_phase(req->conn, t->suspended ? CONN_HANDLER : CONN_MOVING);
    if (t->suspended)
        MHD_suspend_connection(req->conn->mhd);
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return taken;
}

int task_finish(HttpRequest *req) {
    Task *t = req->task;
    int state;

    pthread_mutex_lock(&t->lock);
    t->whole = true;
    state = t->ended ? 1 : atomic_load(&req->server->killed) ? -1 : 0;
    if (state == 0) {
        conn_set_phase(req->conn, CONN_HANDLER);
        t->suspended = true;
        MHD_suspend_connection(req->conn->mhd);
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    return state;
}

bool task_ended(HttpRequest *req) {
    bool ended;

    pthread_mutex_lock(&req->task->lock);
    ended = req->task->ended;
    pthread_mutex_unlock(&req->task->lock);
    return ended;
}

bool task_abandon(HttpRequest *req) {
    Task *t = req->task;
    bool ended;

    pthread_mutex_lock(&t->lock);
    ended = t->ended;
    if (!ended) {
        t->abandoned = true;
        t->suspended = false;
        request_leave(req);
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    return ended;
}

bool task_peer_gone(HttpRequest *req) {
    Task *t = req->task;
    bool gone;

    pthread_mutex_lock(&t->lock);
    gone = t->abandoned || conn_hung_up(req->conn);
    pthread_mutex_unlock(&t->lock);
    return gone;
}

/* ---- the handler's side ---- */

ssize_t http_body_read(HttpRequest *req, void *buf, size_t size, Err *err) {
    Task *t = req->task;
    ssize_t n = 0;

    if (!t)
        return err_set(err, ERR_INTERNAL, "http_body_read in a handler that is not THREADED");
    pthread_mutex_lock(&t->lock);
    while (!t->used && !t->whole && !t->too_large && !t->abandoned && !atomic_load(&req->server->killed))
        pthread_cond_wait(&t->changed, &t->lock);
    if (t->used) {
        n = (ssize_t)ring_get(t, buf, size);
        if (t->used <= RING_SIZE / 2 && !t->whole)
            task_resume(t);
    } else if (t->too_large) {
        n = err_set(err, ERR_TOO_LARGE, "the body is larger than %llu bytes",
                    (unsigned long long)request_body_limit(req));
    } else if (t->abandoned) {
        n = err_set(err, ERR_IO, "the peer has closed the connection before the end of the body");
    } else if (!t->whole) {
        n = err_set(err, ERR_CANCELLED, "the server is stopping");
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

/* Sends all of it, waiting for a slow peer, but not for one that takes nothing for idle_timeout. */
static int send_all(HttpRequest *req, int fd, struct iovec *iov, size_t count, Err *err) {
    int64_t patience = req->server->options.idle_timeout_us;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};

    while (msg.msg_iovlen) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            int r = poll(&p, 1, (int)MIN(MAX(patience / 1000, INT64_C(1)), INT64_C(3600000)));

            if (r == 0)
                return err_set(err, ERR_TIMEOUT, "the peer does not read the answer");
            if (r > 0 || errno == EINTR)
                continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "send the answer");
        while (msg.msg_iovlen && (size_t)n >= msg.msg_iov->iov_len) {
            n -= (ssize_t)msg.msg_iov->iov_len;
            msg.msg_iov++;
            msg.msg_iovlen--;
        }
        if (msg.msg_iovlen) {
            msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + n;
            msg.msg_iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int http_body_begin(HttpRequest *req, int status, const char *content_type, Err *err) {
    Task *t = req->task;
    _cleanup_buf_ Buf head = BUF_INIT;
    struct iovec iov;
    int fd = -1;

    if (!t || req->reply.kind != REPLY_NONE)
        return err_set(err, ERR_INTERNAL, "http_body_begin twice, or in a handler that is not THREADED");
    pthread_mutex_lock(&t->lock);
    if (!t->abandoned)
        t->fd = fd = conn_take_over(req->conn);
    pthread_mutex_unlock(&t->lock);
    if (fd < 0)
        return t->abandoned ? err_set(err, ERR_IO, "the peer has closed the connection")
                            : err_set(err, ERR_UNAVAILABLE, "out of file descriptors");
    req->reply.kind = REPLY_DIRECT;
    req->reply.status = status;
    req->reply.type = mem_strdup(req->mem, content_type);
    req->reply.cut = true;
    t->chunked = !req->http10 && !req->head && status != 204 && status != 304;
    reply_head(req, UINT64_MAX, t->chunked, &head);
    iov = (struct iovec){head.data, head.len};
    return send_all(req, fd, &iov, 1, err);
}

int http_body_write(HttpRequest *req, const void *data, size_t len, Err *err) {
    Task *t = req->task;
    char size[24];
    struct iovec iov[3];
    int n;

    if (!t || t->fd < 0)
        return err_set(err, ERR_INTERNAL, "http_body_write before http_body_begin");
    if (len == 0 || req->head)
        return 0;
    req->sent += len;
    n = snprintf(size, sizeof(size), "%zx\r\n", len);
    iov[0] = (struct iovec){size, (size_t)n};
    iov[1] = (struct iovec){(void *)data, len};
    iov[2] = (struct iovec){"\r\n", 2};
    return t->chunked ? send_all(req, t->fd, iov, 3, err) : send_all(req, t->fd, iov + 1, 1, err);
}

/* The end of a streamed answer; one that is not whole ends with a reset. */
static void end_direct(Task *t, bool whole) {
    HttpRequest *req = t->req;
    Buf nothing = BUF_INIT;
    struct linger hard = {.l_onoff = 1};
    struct iovec end = {"0\r\n\r\n", 5};
    int fd;
    Err err;

    if (whole && t->chunked)
        whole = send_all(req, t->fd, &end, 1, &err) == 0;
    pthread_mutex_lock(&t->lock);
    fd = TAKE_FD(t->fd);
    pthread_mutex_unlock(&t->lock);
    if (whole) {
        linger_start(req->server, fd, &nothing);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
    atomic_fetch_sub(&req->server->sockets, 1);
}

/* An answer while much of the body is still to come, which libmicrohttpd cannot give. */
static void answer_early(Task *t) {
    HttpRequest *req = t->req;
    Buf out = BUF_INIT;
    int fd = conn_take_over(req->conn);

    if (fd >= 0) {
        req->reply.cut = true;
        reply_head(req, req->reply.body.len, false, &out);
        if (!req->head)
            buf_add(&out, req->reply.body.data, req->reply.body.len);
        req->sent = req->head ? 0 : req->reply.body.len;
        linger_start(req->server, fd, &out);
    }
    req->reply.kind = REPLY_DIRECT;
}

static void task_end(Task *t) {
    HttpRequest *req = t->req;
    bool abandoned;

    pthread_mutex_lock(&t->lock);
    abandoned = t->abandoned;
    if (!abandoned) {
        if (!t->whole && req->reply.kind == REPLY_BYTES && request_body_left(req) > HTTP_DRAIN_MAX)
            answer_early(t);
        t->ended = true;
        task_resume(t);
    }
    free(TAKE_PTR(t->ring));
    pthread_mutex_unlock(&t->lock);
    if (abandoned)
        request_log(req);
    request_unref(req);
}

static void task_run(Task *t) {
    HttpRequest *req = t->req;
    bool skip;
    Err err;
    int r;

    pthread_mutex_lock(&t->lock);
    skip = t->abandoned;
    pthread_mutex_unlock(&t->lock);
    if (!skip) {
        r = req->route->handle(req, &err);
        if (req->reply.kind == REPLY_NONE && r >= 0)
            r = err_set(&err, ERR_INTERNAL, "the handler gave no answer");
        if (req->reply.kind == REPLY_DIRECT) {
            if (r < 0)
                log_err("http", req->path, &err);
            end_direct(t, r >= 0);
        } else if (r < 0) {
            http_reply_err(req, &err);
        } else {
            request_settle(req);
        }
    }
    task_end(t);
}

/* ---- the threads ---- */

static void unlink_running(WorkerPool *p, Task *t) {
    *(t->prev ? &t->prev->next : &p->running) = t->next;
    if (t->next)
        t->next->prev = t->prev;
}

static Task *take_task(WorkerPool *p) {
    Task *t = p->queue;

    p->queue = t->next;
    if (!p->queue)
        p->queue_tail = NULL;
    p->queued--;
    t->prev = NULL;
    t->next = p->running;
    if (t->next)
        t->next->prev = t;
    p->running = t;
    return t;
}

/* False: nothing came for a while. */
static bool wait_for_task(WorkerPool *p) {
    int64_t until = clock_mono() + WORKER_IDLE_US;
    struct timespec ts = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};
    int r = 0;

    p->idle++;
    while (!p->queue && !p->ending && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&p->work, &p->lock, &ts);
    p->idle--;
    return p->queue != NULL;
}

static void *worker_main(void *arg) {
    WorkerPool *p = arg;

    pthread_setname_np(pthread_self(), "http-worker");
    pthread_mutex_lock(&p->lock);
    while (wait_for_task(p)) {
        Task *t = take_task(p);
        HttpRequest *req = t->req;

        pthread_mutex_unlock(&p->lock);
        atomic_fetch_add(&req->refs, 1); /* t is in its memory */
        task_run(t);
        pthread_mutex_lock(&p->lock);
        unlink_running(p, t);
        pthread_mutex_unlock(&p->lock);
        request_unref(req);
        pthread_mutex_lock(&p->lock);
    }
    p->threads--;
    pthread_cond_signal(&p->over);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* With the pool's lock. */
static void add_worker(WorkerPool *p) {
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, worker_main, p) == 0)
        p->threads++;
    pthread_attr_destroy(&attr);
}

static int task_free(Task *t) {
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t->ring);
    return 0;
}

bool task_start(HttpRequest *req) {
    WorkerPool *p = req->server->workers;
    Task *t = mem_new(req->mem, Task);
    bool none;
    Err err;

    request_detach_header(req);
    t->req = req;
    t->fd = -1;
    t->whole = !req->has_body;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    talloc_set_destructor(t, task_free);
    pthread_mutex_lock(&p->lock);
    if (p->idle <= p->queued && p->threads < p->max)
        add_worker(p);
    none = p->threads == 0;
    if (!none) {
        atomic_fetch_add(&req->refs, 1);
        req->task = t;
        *(p->queue_tail ? &p->queue_tail->next : &p->queue) = t;
        p->queue_tail = t;
        p->queued++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    if (none) {
        talloc_free(t);
        (void)err_set(&err, ERR_UNAVAILABLE, "no thread can be started");
        http_reply_err(req, &err);
    }
    return !none;
}

int workers_start(HttpServer *s, Err *err) {
    WorkerPool *p = mem_new(s, WorkerPool);
    pthread_condattr_t attr;

    (void)err;
    p->server = s;
    p->max = MAX(s->options.max_workers, 1u);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->over, NULL);
    pthread_condattr_destroy(&attr);
    s->workers = p;
    return 0;
}

static void kill_tasks(Task *t) {
    for (; t; t = t->next) {
        pthread_mutex_lock(&t->lock);
        if (t->fd >= 0)
            shutdown(t->fd, SHUT_RDWR);
        task_resume(t);
        pthread_cond_signal(&t->changed);
        pthread_mutex_unlock(&t->lock);
    }
}

void workers_kill(HttpServer *s) {
    pthread_mutex_lock(&s->workers->lock);
    kill_tasks(s->workers->queue);
    kill_tasks(s->workers->running);
    pthread_mutex_unlock(&s->workers->lock);
}

void workers_stop(HttpServer *s) {
    WorkerPool *p = s->workers;

    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->work);
    while (p->threads)
        pthread_cond_wait(&p->over, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->over);
    pthread_mutex_destroy(&p->lock);
}
