#include "queue/queue.h"

#include <pthread.h>

typedef struct Waiter Waiter;
struct Waiter {
    Waiter *next, *prev; /* in the order of waiting */
    Queue *queue;
    int64_t runner_id;
    uint64_t mark; /* has looked at everything up to here */
    bool woken;
    HttpWaiter *http;
    BusSubscription *subscription;
};

struct Queue {
    pthread_mutex_t lock;
    uint64_t mark;
    Waiter *first, *last;
    Bus *bus;
    BusSubscription *work, *runners;
};

static void wake(Waiter *w) {
    w->woken = true;
    http_waiter_wake(w->http);
}

/* The one that has waited longest and is still asleep. */
static Waiter *oldest(Queue *q, uint64_t looked_before) {
    for (Waiter *w = q->first; w; w = w->next)
        if (!w->woken && w->mark < looked_before)
            return w;
    return NULL;
}

static void wake_next(Queue *q) {
    Waiter *w = oldest(q, q->mark);

    if (w)
        wake(w);
}

static void work_came(void *arg) {
    Queue *q = arg;

    pthread_mutex_lock(&q->lock);
    q->mark++;
    wake_next(q);
    pthread_mutex_unlock(&q->lock);
}

/* Whoever looked before this and is not asleep yet looks again. */
static void some_runner_called(void *arg) {
    Queue *q = arg;

    pthread_mutex_lock(&q->lock);
    q->mark++;
    pthread_mutex_unlock(&q->lock);
}

static void runner_called(void *arg) {
    Waiter *w = arg;

    pthread_mutex_lock(&w->queue->lock);
    wake(w);
    pthread_mutex_unlock(&w->queue->lock);
}

Queue *queue_new(const void *mem, Bus *bus) {
    Queue *q = mem_new(mem, Queue);

    pthread_mutex_init(&q->lock, NULL);
    q->mark = 1;
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

bool queue_enter(Queue *q, int64_t runner_id, const HttpWaiter *own) {
    bool mine;
    Waiter *w;

    pthread_mutex_lock(&q->lock);
    w = find(q, runner_id);
    mine = w && w->http == own;
    if (w && (mine || !own))
        unlink_waiter(w);
    pthread_mutex_unlock(&q->lock);
    if (mine)
        waiter_free(w);
    else if (!own)
        replace(w);
    return mine || !own;
}

void queue_wait(Queue *q, int64_t runner_id, HttpWaiter *http, uint64_t mark) {
    Waiter *w = mem_new(NULL, Waiter), *old;

    *w = (Waiter){.queue = q, .runner_id = runner_id, .mark = mark, .http = http};
    w->subscription = bus_subscribe(q->bus, BUS_RUNNER, runner_id, runner_called, w);
    pthread_mutex_lock(&q->lock);
    old = find(q, runner_id);
    if (old)
        unlink_waiter(old);
    w->prev = q->last;
    *(q->last ? &q->last->next : &q->first) = w;
    q->last = w;
    if (mark < q->mark)
        wake(w);
    pthread_mutex_unlock(&q->lock);
    replace(old);
}

void queue_pass_on(Queue *q, uint64_t mark) {
    Waiter *w;

    pthread_mutex_lock(&q->lock);
    w = oldest(q, mark);
    if (w)
        wake(w);
    pthread_mutex_unlock(&q->lock);
}
