#include "queue/queue.h"

#include <pthread.h>

/* What was published lately, for those who have looked before and do not wait yet: more than come about while
 * a call looks. */
#define RECENT 64

typedef enum NewsKind { NEWS_FIT, NEWS_RUNNER, NEWS_ALL } NewsKind;

typedef struct News {
    NewsKind kind;
    int64_t key;     /* the fit, the runner */
    uint64_t before; /* concerns who has looked before this mark */
} News;

typedef struct Waiter Waiter;
struct Waiter {
    Waiter *next, *prev; /* in the order of waiting */
    Queue *queue;
    int64_t runner_id;
    uint64_t mark; /* has looked at everything up to here */
    bool woken;
    bool bears; /* a job has woken it, and nobody else */
    void *room; /* NULL: it can take nothing */
    HttpWaiter *http;
    BusSubscription *subscription;
};

struct Queue {
    pthread_mutex_t lock;
    uint64_t mark;
    Waiter *first, *last;
    News recent[RECENT];
    size_t next;        /* place in recent */
    uint64_t forgotten; /* who has looked before this mark may have missed something */
    QueueFits fits;
    void *arg;
    Bus *bus;
    BusSubscription *work, *runners;
};

static void wake(Waiter *w) {
    w->woken = true;
    http_waiter_wake(w->http);
}

static bool concerns(const Queue *q, const News *news, const Waiter *w) {
    if (w->mark >= news->before)
        return false;
    return news->kind == NEWS_FIT      ? w->room && q->fits(q->arg, news->key, w->room)
           : news->kind == NEWS_RUNNER ? w->runner_id == news->key
                                       : true;
}

static void remember(Queue *q, News news) {
    News *place = &q->recent[q->next];

    for (size_t i = 0; i < RECENT; i++) {
        News *same = &q->recent[i];

        if (same->kind != news.kind || same->key != news.key || !same->before)
            continue;
        same->before = MAX(same->before, news.before);
        return;
    }
    if (place->before > q->forgotten)
        q->forgotten = place->before;
    *place = news;
    q->next = (q->next + 1) % RECENT;
}

/* The one that has waited longest, is still asleep and could run it; with nobody there, who comes to wait and
 * has not looked since will hear of it. */
static void wake_one(Queue *q, int64_t fit, uint64_t before) {
    News news = {.kind = NEWS_FIT, .key = fit, .before = before};

    for (Waiter *w = q->first; w; w = w->next) {
        if (w->woken || !concerns(q, &news, w))
            continue;
        w->bears = true;
        wake(w);
        return;
    }
    remember(q, news);
}

static void wake_all(Queue *q) {
    for (Waiter *w = q->first; w; w = w->next)
        if (!w->woken)
            wake(w);
    remember(q, (News){.kind = NEWS_ALL, .before = q->mark});
}

static void work_came(void *arg, int64_t fit) {
    Queue *q = arg;

    pthread_mutex_lock(&q->lock);
    q->mark++;
    if (fit)
        wake_one(q, fit, q->mark);
    else
        wake_all(q);
    pthread_mutex_unlock(&q->lock);
}

/* For the runner's call that has looked before this and is not asleep yet. */
static void some_runner_called(void *arg, int64_t runner_id) {
    Queue *q = arg;

    pthread_mutex_lock(&q->lock);
    q->mark++;
    remember(q, (News){.kind = NEWS_RUNNER, .key = runner_id, .before = q->mark});
    pthread_mutex_unlock(&q->lock);
}

static void runner_called(void *arg, int64_t runner_id) {
    Waiter *w = arg;

    pthread_mutex_lock(&w->queue->lock);
    wake(w);
    pthread_mutex_unlock(&w->queue->lock);
}

Queue *queue_new(const void *mem, Bus *bus, QueueFits fits, void *arg) {
    Queue *q = mem_new(mem, Queue);

    pthread_mutex_init(&q->lock, NULL);
    q->mark = 1;
    q->fits = fits;
    q->arg = arg;
    q->bus = bus;
    q->work = bus_subscribe(bus, BUS_QUEUE, 0, work_came, q);
    q->runners = bus_subscribe(bus, BUS_RUNNER, 0, some_runner_called, q);
    return q;
}

static void unlink_waiter(Waiter *w) {
    Queue *q = w->queue;

    *(w->prev ? &w->prev->next : &q->first) = w->next;
    *(w->next ? &w->next->prev : &q->last) = w->prev;
}

static void waiter_free(Waiter *w) {
    bus_unsubscribe(w->subscription);
    http_waiter_unref(w->http);
    talloc_free(w);
}

void queue_free(Queue *q) {
    bus_unsubscribe(q->work);
    bus_unsubscribe(q->runners);
    while (q->first) {
        Waiter *w = q->first;

        pthread_mutex_lock(&q->lock);
        unlink_waiter(w);
        http_waiter_wake(w->http);
        pthread_mutex_unlock(&q->lock);
        waiter_free(w);
    }
    pthread_mutex_destroy(&q->lock);
    talloc_free(q);
}

uint64_t queue_mark(Queue *q) {
    uint64_t mark;

    pthread_mutex_lock(&q->lock);
    mark = q->mark;
    pthread_mutex_unlock(&q->lock);
    return mark;
}

/* With the lock held. */
static Waiter *find(Queue *q, int64_t runner_id) {
    Waiter *w = q->first;

    while (w && w->runner_id != runner_id)
        w = w->next;
    return w;
}

/* A waiter whose place a newer call has taken: its request runs once more, and ends. */
static void replace(Waiter *old) {
    if (!old)
        return;
    http_waiter_wake(old->http);
    waiter_free(old);
}

bool queue_enter(Queue *q, int64_t runner_id, const HttpWaiter *own, bool *ret_bears) {
    bool mine;
    Waiter *w;

    *ret_bears = false;
    pthread_mutex_lock(&q->lock);
    w = find(q, runner_id);
    mine = w && w->http == own;
    if (w && (mine || !own)) {
        unlink_waiter(w);
        *ret_bears = w->bears;
    }
    pthread_mutex_unlock(&q->lock);
    if (mine)
        waiter_free(w);
    else if (!own)
        replace(w);
    return mine || !own;
}

/* Whether something came while it looked. */
static bool missed_something(const Queue *q, Waiter *w) {
    w->bears = w->mark < q->forgotten;
    if (w->bears)
        return true;
    for (size_t i = 0; i < RECENT; i++) {
        if (!concerns(q, &q->recent[i], w))
            continue;
        w->bears = q->recent[i].kind == NEWS_FIT;
        return true;
    }
    return false;
}

void queue_wait(Queue *q, int64_t runner_id, HttpWaiter *http, uint64_t mark, void *room) {
    Waiter *w = mem_new(NULL, Waiter), *old;

    *w = (Waiter){.queue = q, .runner_id = runner_id, .mark = mark, .http = http};
    w->room = room ? talloc_steal(w, room) : NULL;
    w->subscription = bus_subscribe(q->bus, BUS_RUNNER, runner_id, runner_called, w);
    pthread_mutex_lock(&q->lock);
    old = find(q, runner_id);
    if (old)
        unlink_waiter(old);
    w->prev = q->last;
    *(q->last ? &q->last->next : &q->first) = w;
    q->last = w;
    w->bears = old && old->bears;
    if (w->bears || missed_something(q, w))
        wake(w);
    pthread_mutex_unlock(&q->lock);
    replace(old);
}

void queue_pass_on(Queue *q, int64_t fit, uint64_t mark) {
    pthread_mutex_lock(&q->lock);
    wake_one(q, fit, mark);
    pthread_mutex_unlock(&q->lock);
}
