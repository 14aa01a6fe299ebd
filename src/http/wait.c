/* Long polls: a request that sleeps without a thread. */
#include "http/request.h"

#include "base/clock.h"

typedef enum WaitState {
    WAIT_AWAKE,  /* the handler runs, or is about to */
    WAIT_WOKEN,  /* woken while the handler still ran: it runs again at once */
    WAIT_ASLEEP, /* the connection is suspended */
    WAIT_OVER,   /* the request is gone */
} WaitState;

struct HttpWaiter {
    atomic_int refs;
    pthread_mutex_t
        lock; /* of state and late; held while suspending and resuming, so that these cannot cross */
    WaitState state;
    bool late;
    struct MHD_Connection *mhd;
    HttpServer *server;
    int64_t deadline;
    LoopTimer timer;
    HttpWaiter *prev, *next; /* the server's, by its lock */
};

static void wake(HttpWaiter *w, bool late) {
    pthread_mutex_lock(&w->lock);
    if (w->state != WAIT_OVER && late)
        w->late = true;
    if (w->state == WAIT_AWAKE) {
        w->state = WAIT_WOKEN;
    } else if (w->state == WAIT_ASLEEP) {
        w->state = WAIT_WOKEN;
        MHD_resume_connection(w->mhd);
    }
    pthread_mutex_unlock(&w->lock);
}

static void on_deadline(LoopTimer *t) {
    wake((HttpWaiter *)((char *)t - offsetof(HttpWaiter, timer)), true);
}

static HttpWaiter *waiter_new(HttpRequest *req) {
    HttpServer *s = req->server;
    HttpWaiter *w = calloc(1, sizeof(*w));

    if (!w)
        abort();
    atomic_init(&w->refs, 1);
    pthread_mutex_init(&w->lock, NULL);
    w->server = s;
    w->mhd = req->conn->mhd;
    w->timer.fire = on_deadline;
    pthread_mutex_lock(&s->lock);
    w->next = s->waiters;
    if (w->next)
        w->next->prev = w;
    s->waiters = w;
    pthread_mutex_unlock(&s->lock);
    return w;
}

HttpWaiter *http_wait(HttpRequest *req, int64_t deadline_mono_us) {
    if (!req->waiter)
        req->waiter = waiter_new(req);
    req->waiter->deadline = deadline_mono_us;
    atomic_fetch_add(&req->waiter->refs, 1);
    return req->waiter;
}

void http_waiter_wake(HttpWaiter *w) {
    wake(w, false);
}

void http_waiter_unref(HttpWaiter *w) {
    if (atomic_fetch_sub(&w->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void waiter_prepare(HttpRequest *req) {
    HttpWaiter *w = req->waiter;
    bool stopping = atomic_load(&req->server->stopping);

    if (!w) {
        req->timed_out = stopping;
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->state = WAIT_AWAKE;
    req->timed_out = w->late || stopping || w->deadline <= clock_mono();
    w->late = false;
    pthread_mutex_unlock(&w->lock);
}

bool waiter_sleep(HttpWaiter *w) {
    bool sleeps;

    /* first the timer, whose lock comes before ours */
    loop_timer_set(w->server->loop, &w->timer, w->deadline);
    pthread_mutex_lock(&w->lock);
    sleeps = w->state == WAIT_AWAKE && !atomic_load(&w->server->stopping);
    if (sleeps) {
        w->state = WAIT_ASLEEP;
        MHD_suspend_connection(w->mhd);
    }
    pthread_mutex_unlock(&w->lock);
    return sleeps;
}

void waiter_end(HttpRequest *req) {
    HttpWaiter *w = TAKE_PTR(req->waiter);
    HttpServer *s = req->server;

    loop_timer_cancel(s->loop, &w->timer);
    pthread_mutex_lock(&s->lock);
    *(w->prev ? &w->prev->next : &s->waiters) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&w->lock);
    w->state = WAIT_OVER;
    pthread_mutex_unlock(&w->lock);
    http_waiter_unref(w);
}

void waiters_stop(HttpServer *s) {
    pthread_mutex_lock(&s->lock);
    for (HttpWaiter *w = s->waiters; w; w = w->next)
        wake(w, true);
    pthread_mutex_unlock(&s->lock);
}

bool http_timed_out(const HttpRequest *req) {
    return req->timed_out;
}

const HttpWaiter *http_waiter(const HttpRequest *req) {
    return req->waiter;
}
