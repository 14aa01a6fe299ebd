/* Answers that are kept back until what they promise holds. On an epoll thread the connection sleeps
 * meanwhile, as in a long poll, but its handler does not run again. */
#include "http/request.h"

typedef enum HoldState {
    HOLD_NEW,      /* the handler's thread has not come to sleep yet */
    HOLD_ASLEEP,   /* the connection is suspended */
    HOLD_RELEASED, /* the answer may go */
} HoldState;

struct HttpHold {
    atomic_int refs;      /* the request's, and that of who releases */
    pthread_mutex_t lock; /* of the rest; held while suspending and resuming, so that these cannot cross */
    HoldState state;
    struct MHD_Connection *mhd;
    bool failed;
    Err err;
};

void request_settle(HttpRequest *req) {
    const HttpServerOptions *o = &req->server->options;

    if (o->settle && req->method != HTTP_GET && req->promise != HTTP_PROMISE_NONE &&
        req->reply.kind == REPLY_BYTES && req->reply.status < 400)
        o->settle(o->arg, req);
}

HttpPromise http_promise(const HttpRequest *req) {
    return req->promise;
}

void http_set_promise(HttpRequest *req, HttpPromise promise) {
    req->promise = promise;
}

bool http_may_block(const HttpRequest *req) {
    return req->task != NULL;
}

HttpHold *http_hold(HttpRequest *req) {
    HttpHold *hold = calloc(1, sizeof(*hold));

    if (!hold)
        abort();
    atomic_init(&hold->refs, 2);
    pthread_mutex_init(&hold->lock, NULL);
    hold->mhd = req->conn->mhd;
    req->hold = hold;
    return hold;
}

static void hold_unref(HttpHold *hold) {
    if (atomic_fetch_sub(&hold->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&hold->lock);
    free(hold);
}

void http_release(HttpHold *hold, const Err *err) {
    pthread_mutex_lock(&hold->lock);
    hold->failed = err != NULL;
    if (err)
        hold->err = *err;
    if (hold->state == HOLD_ASLEEP)
        MHD_resume_connection(hold->mhd);
    hold->state = HOLD_RELEASED;
    pthread_mutex_unlock(&hold->lock);
    hold_unref(hold);
}

bool hold_sleep(HttpRequest *req) {
    HttpHold *hold = req->hold;
    bool sleeps;

    pthread_mutex_lock(&hold->lock);
    sleeps = hold->state == HOLD_NEW;
    if (sleeps) {
        hold->state = HOLD_ASLEEP;
        MHD_suspend_connection(hold->mhd);
    }
    pthread_mutex_unlock(&hold->lock);
    return sleeps;
}

void hold_end(HttpRequest *req) {
    HttpHold *hold = TAKE_PTR(req->hold);
    bool failed;
    Err err;

    pthread_mutex_lock(&hold->lock);
    failed = hold->failed;
    err = hold->err;
    pthread_mutex_unlock(&hold->lock);
    if (failed)
        http_reply_instead(req, &err);
    hold_unref(hold);
}
