#include "http/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_EVENTS 128
#define LOOP_STACK ((size_t)256 * 1024)
/* A round of tasks of duration d is followed by a pause of PAUSE_FACTOR * d, at most PAUSE_MAX_US: many wakes
 * of many streams become one write each, and a lone one is never late. */
#define LOOP_PAUSE_FACTOR 3
#define LOOP_PAUSE_MAX_US 1000

struct Loop {
    int epoll_fd;
    int wake_fd;
    LoopIo wake;
    pthread_t thread;
    atomic_bool ending;
    atomic_bool asleep; /* a poster must write to wake_fd */
    _Atomic(LoopTask *) tasks;
    pthread_mutex_t lock; /* of the timers */
    LoopTimer **heap;     /* [1..count], the earliest first */
    size_t count, capacity;
    int64_t now;         /* the thread's only */
    int64_t slept_until; /* what the thread sleeps to; a timer before that must wake it */
};

/* ---- timers ---- */

static void put(Loop *l, size_t place, LoopTimer *t) {
    l->heap[place] = t;
    t->place = place;
}

static void sift_up(Loop *l, LoopTimer *t, size_t place) {
    for (; place > 1 && l->heap[place / 2]->due > t->due; place /= 2)
        put(l, place, l->heap[place / 2]);
    put(l, place, t);
}

static void sift_down(Loop *l, LoopTimer *t, size_t place) {
    for (size_t kid; (kid = place * 2) <= l->count; place = kid) {
        if (kid < l->count && l->heap[kid + 1]->due < l->heap[kid]->due)
            kid++;
        if (l->heap[kid]->due >= t->due)
            break;
        put(l, place, l->heap[kid]);
    }
    put(l, place, t);
}

static void heap_remove(Loop *l, LoopTimer *t) {
    size_t place = t->place;
    LoopTimer *last = l->heap[l->count--];

    t->place = 0;
    if (last == t)
        return;
    if (place > 1 && l->heap[place / 2]->due > last->due)
        sift_up(l, last, place);
    else
        sift_down(l, last, place);
}

void loop_timer_set_locked(Loop *l, LoopTimer *t, int64_t due) {
    if (t->place)
        heap_remove(l, t);
    t->due = due;
    if (l->count + 2 > l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->heap = realloc(l->heap, l->capacity * sizeof(LoopTimer *));
        if (!l->heap)
            abort();
    }
    l->count++;
    sift_up(l, t, l->count);
}

static void wake_up(Loop *l) {
    uint64_t one = 1;

    if (write(l->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

void loop_timer_set(Loop *l, LoopTimer *t, int64_t due) {
    bool sooner;

    pthread_mutex_lock(&l->lock);
    loop_timer_set_locked(l, t, due);
    sooner = due < l->slept_until;
    if (sooner)
        l->slept_until = due;
    pthread_mutex_unlock(&l->lock);
    if (sooner)
        wake_up(l);
}

void loop_timer_cancel(Loop *l, LoopTimer *t) {
    pthread_mutex_lock(&l->lock);
    if (t->place)
        heap_remove(l, t);
    pthread_mutex_unlock(&l->lock);
}

void loop_timers_lock(Loop *l) {
    pthread_mutex_lock(&l->lock);
}

void loop_timers_unlock(Loop *l) {
    pthread_mutex_unlock(&l->lock);
}

/* Fires what is due; gives the time of the next one, and keeps it in slept_until: capped at `until`. */
static int64_t fire_timers(Loop *l, int64_t until) {
    int64_t now = clock_mono();

    pthread_mutex_lock(&l->lock);
    while (l->count && l->heap[1]->due <= now) {
        LoopTimer *t = l->heap[1];

        heap_remove(l, t);
        t->fire(t);
    }
    if (l->count)
        until = MIN(until, l->heap[1]->due);
    l->slept_until = until;
    pthread_mutex_unlock(&l->lock);
    return until;
}

/* ---- tasks ---- */

void loop_post(Loop *l, LoopTask *task) {
    LoopTask *head;

    if (atomic_exchange(&task->posted, true))
        return;
    head = atomic_load_explicit(&l->tasks, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak(&l->tasks, &head, task));
    if (atomic_load(&l->asleep) && atomic_exchange(&l->asleep, false))
        wake_up(l);
}

static void run_tasks(Loop *l) {
    LoopTask *newest = atomic_exchange(&l->tasks, NULL), *first = NULL;

    while (newest) {
        LoopTask *next = newest->next;

        newest->next = first;
        first = newest;
        newest = next;
    }
    while (first) {
        LoopTask *next = first->next;

        atomic_store(&first->posted, false);
        first->run(first);
        first = next;
    }
}

/* ---- the thread ---- */

static void drain_wake(LoopIo *io, uint32_t events) {
    Loop *l = (Loop *)((char *)io - offsetof(Loop, wake));
    uint64_t count;

    (void)events;
    if (read(l->wake_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN);
}

static int wait_events(Loop *l, struct epoll_event *events, int64_t until) {
    int64_t left = until == INT64_MAX ? 0 : MAX(until - clock_mono(), 0);
    struct timespec ts = {.tv_sec = left / US_PER_S, .tv_nsec = left % US_PER_S * 1000};
    int n = epoll_pwait2(l->epoll_fd, events, LOOP_EVENTS, until == INT64_MAX ? NULL : &ts, NULL);

    if (n < 0 && errno == ENOSYS) /* before Linux 5.11 */
        n = epoll_wait(l->epoll_fd, events, LOOP_EVENTS,
                       until == INT64_MAX ? -1 : (int)MIN((left + 999) / 1000, INT64_C(60000)));
    return n;
}

static void *loop_main(void *arg) {
    Loop *l = arg;
    struct epoll_event events[LOOP_EVENTS];
    int64_t pause_until = 0;

    pthread_setname_np(pthread_self(), "http-loop");
    for (;;) {
        bool pending = atomic_load(&l->tasks) != NULL;
        int64_t until;
        int n;

        l->now = clock_mono();
        if (pending && l->now >= pause_until) {
            run_tasks(l);
            pause_until = clock_mono();
            pause_until += MIN((pause_until - l->now) * LOOP_PAUSE_FACTOR, LOOP_PAUSE_MAX_US);
            pending = atomic_load(&l->tasks) != NULL;
        } else if (!pending && atomic_load(&l->ending)) {
            return NULL;
        }
        atomic_store(&l->asleep, !pending);
        if (!pending && (atomic_load(&l->tasks) || atomic_load(&l->ending)))
            pending = true;
        until = fire_timers(l, pending ? pause_until : INT64_MAX);
        n = wait_events(l, events, until);
        atomic_store(&l->asleep, false);
        for (int i = 0; i < n; i++) {
            LoopIo *io = events[i].data.ptr;

            io->ready(io, events[i].events);
        }
    }
}

static void loop_free(Loop *l) {
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l);
}

int loop_start(Loop **ret, Err *err) {
    Loop *l = calloc(1, sizeof(*l));
    pthread_attr_t attr;
    int r;

    if (!l)
        abort();
    pthread_mutex_init(&l->lock, NULL);
    l->wake.ready = drain_wake;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->wake_fd < 0) {
        r = err_errno(err, "epoll");
        loop_free(l);
        return r;
    }
    r = loop_add(l, l->wake_fd, EPOLLIN, &l->wake, err);
    if (r < 0) {
        loop_free(l);
        return r;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, LOOP_STACK);
    errno = pthread_create(&l->thread, &attr, loop_main, l);
    pthread_attr_destroy(&attr);
    if (errno) {
        r = err_errno(err, "start a thread");
        loop_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void loop_stop(Loop *l) {
    atomic_store(&l->ending, true);
    wake_up(l);
    pthread_join(l->thread, NULL);
    loop_free(l);
}

int64_t loop_now(const Loop *l) {
    return l->now;
}

int loop_add(Loop *l, int fd, uint32_t events, LoopIo *io, Err *err) {
    struct epoll_event event = {.events = events, .data.ptr = io};

    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return err_errno(err, "epoll_ctl");
    return 0;
}

void loop_del(Loop *l, int fd) {
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}
