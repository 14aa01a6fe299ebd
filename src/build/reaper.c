/* Ends leases that nobody renews. One thread that sleeps until the next one is due, or for ever while nothing
 * runs. */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <inttypes.h>
#include <pthread.h>

typedef struct Reaper Reaper;

struct Reaper {
    Builds *b;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, look;
    bool idle; /* nothing runs: only then does a new lease matter, for it ends after all others */
};

#define BATCH 100

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
        r = state_job_lost(&tx, job, err);
    }
    return tx_end(&tx, r, err);
}

static int reap(Builds *b, Err *err) {
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
    return r < 0 ? r : result;
}

static int extend_all(Builds *b, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = store_job_leases_extend(b->db, clock_now() + b->options.lease_us, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    return r;
}

/* We look when a lease ends. One that has ended long ago means that it was us who slept: the process was
 * stopped, the machine suspended, its clock set. Nobody could renew then. */
static bool overslept(const Builds *b, int64_t due) {
    return clock_now() - due > b->options.lease_us / 2;
}

/* The wall clock time of the next look; 0: when somebody wakes us. */
static int64_t look(Builds *b) {
    int64_t next = 0;
    Err err;
    int r;

    if (store_job_next_expiry(b->db, &next, &err) < 0) {
        log_err("build", "look for lost leases", &err);
        return clock_now() + b->options.lease_us;
    }
    if (next == 0 || next > clock_now())
        return next ? next + US_PER_MS : 0;
    r = overslept(b, next) ? extend_all(b, &err) : reap(b, &err);
    if (r < 0) {
        log_err("build", "end lost leases", &err);
        return clock_now() + US_PER_S;
    }
    return clock_now();
}

static void *run(void *arg) {
    Reaper *reaper = arg;

    pthread_mutex_lock(&reaper->lock);
    while (!reaper->stop) {
        int64_t next;

        reaper->look = false;
        pthread_mutex_unlock(&reaper->lock);
        next = look(reaper->b);
        pthread_mutex_lock(&reaper->lock);
        reaper->idle = next == 0;
        while (!reaper->stop && !(reaper->idle && reaper->look) && (next == 0 || next > clock_now())) {
            struct timespec until = {.tv_sec = next / US_PER_S, .tv_nsec = next % US_PER_S * 1000};

            if (next)
                pthread_cond_timedwait(&reaper->changed, &reaper->lock, &until);
            else
                pthread_cond_wait(&reaper->changed, &reaper->lock);
        }
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

int build_reaper_start(Builds *b, Err *err) {
    Reaper *reaper;
    int r = extend_all(b, err);

    if (r < 0)
        return r;
    reaper = mem_new(NULL, Reaper);
    reaper->b = b;
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->changed, NULL);
    r = pthread_create(&reaper->thread, NULL, run, reaper);
    if (r != 0) {
        talloc_free(reaper);
        return err_set(err, ERR_UNAVAILABLE, "start the reaper's thread: error %d", r);
    }
    b->reaper = reaper;
    return 0;
}

void build_reaper_wake(Builds *b) {
    if (!b->reaper)
        return;
    pthread_mutex_lock(&b->reaper->lock);
    b->reaper->look = true;
    pthread_cond_signal(&b->reaper->changed);
    pthread_mutex_unlock(&b->reaper->lock);
}

void build_reaper_stop(Builds *b) {
    Reaper *reaper = b->reaper;

    if (!reaper)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->stop = true;
    pthread_cond_signal(&reaper->changed);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->changed);
    pthread_mutex_destroy(&reaper->lock);
    talloc_free(reaper);
    b->reaper = NULL;
}
