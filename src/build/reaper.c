/* Ends leases that nobody renews, does what is due, and tells of room on the disk. One thread that sleeps
 * until the next of these, or for ever while there is none. */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

typedef struct Reaper Reaper;

struct Reaper {
    Builds *b;
    pthread_t thread;
    pthread_mutex_t lock;
    int wake_fd;  /* written when it shall look, or end */
    int clock_fd; /* readable when the wall clock was set */
    bool stop;
    int64_t next;        /* when it looks again; INT64_MAX: when it is woken */
    int64_t asked;       /* to look at, since it last began to */
    atomic_bool crowded; /* somebody waits for room on the disk */
    /* the thread's own, while leases are due: */
    int64_t tick;         /* when it wants to be awake next; 0: none is due */
    int64_t steady_until; /* they are ended then, if it was awake all the time */
    int late;             /* how often it was not */
};

#define BATCH 100
/* Who could not reach the server tries again every 5 s at the latest. */
#define RETURN_US (10 * US_PER_S)
#define STEADY_US (500 * US_PER_MS)
#define STEADY_TICKS 5
#define ROOM_US US_PER_S
#define LATE_MAX 20 /* then the machine is so busy that it is like this for ever */

/* One lease, in a transaction of its own: one that cannot be ended does not keep the others. */
static int end_lease(Builds *b, const Job *lease, Err *err) {
    Job *job;
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = store_job_load(b->db, lease->id, tx.mem, &job, err);
    if (r >= 0 && str_eq(job->state, "running") && job->lease_until < tx.now) {
        log_warn("build", "job %" PRId64 " attempt %" PRId64 ": its runner is silent, the lease is lost",
                 job->id, job->attempt);
        r = state_job_lost(&tx, job, STATE_RUNNER_LOST, err);
    }
    return tx_end(&tx, r, err);
}

static int reap_some(Builds *b, size_t *ret_count, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    size_t count = 0;
    int result = 0;
    Job *jobs;
    int r = store_job_expired(b->db, clock_now(), BATCH, mem, &jobs, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        int one = end_lease(b, &jobs[i], err);

        if (one < 0)
            result = one;
    }
    *ret_count = count;
    return r < 0 ? r : result;
}

static int reap(Builds *b, Err *err) {
    size_t count;
    int r;

    do
        r = reap_some(b, &count, err);
    while (r == 0 && count == BATCH);
    return r;
}

int leases_anew(Tx *tx, Err *err) {
    return store_job_leases_anew(tx->b->db, tx->now + MAX(tx->b->options.lease_us, RETURN_US), err);
}

static int casually(Builds *b, int (*what)(Tx *tx, Err *err), Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    tx.casual = true;
    return tx_end(&tx, what(&tx, err), err);
}

/* Runners renew while we are awake: a lease that ends right after the process was stopped, or the machine
 * suspended, is no sign of its runner. So a lease is ended when we have been awake for a while after it was
 * due, and were late for none of the moments in between. Gives the next of them, or 0: end them now. */
static int64_t become_steady(Reaper *reaper) {
    int64_t now = clock_now(), length = MIN(STEADY_US, reaper->b->options.lease_us / 4),
            pause = length / STEADY_TICKS;
    bool late = reaper->tick && now - reaper->tick > pause && reaper->late++ < LATE_MAX;

    if (reaper->tick == 0 || late) {
        reaper->steady_until = now + length;
    } else if (now < reaper->tick) { /* woken for something else */
        return reaper->tick;
    } else if (now >= reaper->steady_until) {
        reaper->tick = reaper->late = 0;
        return 0;
    }
    reaper->tick = now + pause;
    return reaper->tick;
}

/* We look when a lease ends. One that has ended long ago means that it was us who slept: the process was
 * stopped. Nobody could renew then. */
static bool overslept(const Builds *b, int64_t due) {
    return clock_now() - due > b->options.lease_us / 2;
}

/* When to look again; INT64_MAX: when somebody wakes us. */
static int64_t look_at_leases(Reaper *reaper) {
    Builds *b = reaper->b;
    int64_t next = 0, tick;
    bool slept;
    Err err;
    int r;

    if (store_job_next_expiry(b->db, &next, &err) < 0) {
        log_err("build", "look for lost leases", &err);
        return clock_now() + b->options.lease_us;
    }
    if (next == 0 || next > clock_now()) {
        reaper->tick = reaper->late = 0;
        return next ? next + US_PER_MS : INT64_MAX;
    }
    slept = overslept(b, next);
    tick = slept ? 0 : become_steady(reaper);
    if (tick)
        return tick;
    r = slept ? casually(b, leases_anew, &err) : reap(b, &err);
    if (r < 0) {
        log_err("build", "end lost leases", &err);
        return clock_now() + US_PER_S;
    }
    return clock_now();
}

static int64_t look_at_timers(Builds *b) {
    int64_t next = 0;
    Err err;

    if (store_timer_next(b->db, &next, &err) < 0) {
        log_err("build", "look for what is due", &err);
        return clock_now() + US_PER_S;
    }
    if (next == 0 || next > clock_now())
        return next ? next : INT64_MAX;
    if (timer_fire_due(b, &err) < 0) {
        log_err("build", "do what is due", &err);
        return clock_now() + US_PER_S;
    }
    return clock_now();
}

/* Until the time, by a clock that nobody sets; or until it is woken, or the wall clock was set. */
static void sleep_until(Reaper *reaper, int64_t time) {
    struct pollfd fds[] = {{.fd = reaper->wake_fd, .events = POLLIN},
                           {.fd = reaper->clock_fd, .events = POLLIN}};
    int64_t left = MAX(time - clock_now(), (int64_t)0);
    struct timespec wait = {.tv_sec = left / US_PER_S, .tv_nsec = left % US_PER_S * 1000};
    eventfd_t count;

    ppoll(fds, ELEMENTS(fds), time == INT64_MAX ? NULL : &wait, NULL);
    eventfd_read(reaper->wake_fd, &count);
    eventfd_read(reaper->clock_fd, &count); /* as much of a timer: ECANCELED when the clock was set */
}

/* When to look again; INT64_MAX: when somebody wakes us. */
static int64_t look_at_clock(Builds *b) {
    Err err;

    if (jump_look(b, &err) >= 0)
        return INT64_MAX;
    log_err("build", "look at the clock", &err);
    return clock_now() + US_PER_S;
}

/* Nothing tells us of room on a disk, so we look as long as somebody waits for it. */
static int64_t look_at_room(Reaper *reaper) {
    Builds *b = reaper->b;

    if (!reaper->crowded)
        return INT64_MAX;
    if (disk_is_low(&b->disk))
        return clock_now() + ROOM_US;
    reaper->crowded = false;
    bus_publish(b->bus, BUS_QUEUE, 0);
    bus_publish(b->bus, BUS_DEPLOY, 0);
    return INT64_MAX;
}

static void *run(void *arg) {
    Reaper *reaper = arg;

    pthread_mutex_lock(&reaper->lock);
    while (!reaper->stop) {
        int64_t clock, leases, timers, room, next;

        reaper->asked = INT64_MAX;
        pthread_mutex_unlock(&reaper->lock);
        clock = look_at_clock(reaper->b);
        leases = look_at_leases(reaper);
        timers = look_at_timers(reaper->b);
        room = look_at_room(reaper);
        pthread_mutex_lock(&reaper->lock);
        reaper->next = MIN(MIN(clock, room), MIN(leases, timers));
        next = reaper->stop ? 0 : MIN(reaper->next, reaper->asked);
        pthread_mutex_unlock(&reaper->lock);
        sleep_until(reaper, next);
        pthread_mutex_lock(&reaper->lock);
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

/* Before a runner goes on with them: it has what they lack. What cannot be mended (a full disk) does not keep
 * the server from starting, which tries again at its next start. */
static void mend_logs(Builds *b) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    size_t count = 0;
    Job *jobs;
    Err err;
    int r;

    if (!b->blob || !blob_power_was_off(b->blob))
        return;
    r = store_job_expired(b->db, INT64_MAX, INT64_MAX, mem, &jobs, &count, &err);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = blob_log_mend(b->blob, jobs[i].id, jobs[i].attempt, &err);
    if (r >= 0)
        r = blob_mended(b->blob, &err);
    if (r < 0)
        log_err("build", "mend the logs of running jobs", &err);
}

/* Its time never comes (as far ahead as the kernel counts): it is for being told when the clock is set
 * (timerfd_create(2)). */
static int watch_clock(int *ret, Err *err) {
    const struct itimerspec never = {.it_value = {.tv_sec = INT64_MAX / (1000 * US_PER_S)}};
    _cleanup_close_ int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0)
        return err_errno(err, "watch the clock");
    *ret = TAKE_FD(fd);
    return 0;
}

static int reaper_destroy(Reaper *reaper) {
    mem_close(reaper->wake_fd);
    mem_close(reaper->clock_fd);
    pthread_mutex_destroy(&reaper->lock);
    return 0;
}

static int reaper_new(Builds *b, Reaper **ret, Err *err) {
    _cleanup_talloc_ Reaper *reaper = mem_new(NULL, Reaper);
    int r;

    *reaper = (Reaper){.b = b, .next = INT64_MAX, .asked = INT64_MAX, .clock_fd = -1};
    pthread_mutex_init(&reaper->lock, NULL);
    reaper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    talloc_set_destructor(reaper, reaper_destroy);
    if (reaper->wake_fd < 0)
        return err_errno(err, "eventfd");
    r = watch_clock(&reaper->clock_fd, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(reaper);
    return 0;
}

int build_reaper_start(Builds *b, Err *err) {
    Reaper *reaper;
    int r;

    mend_logs(b);
    r = casually(b, jump_at_start, err);
    if (r >= 0)
        r = reaper_new(b, &reaper, err);
    if (r < 0)
        return r;
    r = pthread_create(&reaper->thread, NULL, run, reaper);
    if (r != 0) {
        talloc_free(reaper);
        return err_set(err, ERR_UNAVAILABLE, "start the reaper's thread: error %d", r);
    }
    b->reaper = reaper;
    return 0;
}

void build_reaper_wake(Builds *b, int64_t due) {
    Reaper *reaper = b->reaper;

    if (!reaper)
        return;
    pthread_mutex_lock(&reaper->lock);
    if (due < MIN(reaper->next, reaper->asked))
        eventfd_write(reaper->wake_fd, 1);
    reaper->asked = MIN(reaper->asked, due);
    pthread_mutex_unlock(&reaper->lock);
}

void build_reaper_await_room(Builds *b) {
    if (!b->reaper)
        return;
    b->reaper->crowded = true;
    build_reaper_wake(b, clock_now() + ROOM_US);
}

void build_reaper_stop(Builds *b) {
    Reaper *reaper = b->reaper;

    if (!reaper)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->stop = true;
    eventfd_write(reaper->wake_fd, 1);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    talloc_free(reaper);
    b->reaper = NULL;
}
