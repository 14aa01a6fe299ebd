/* What happens at a time: rows, so that none is forgotten over a restart; what was due meanwhile is done
 * late. The reaper's thread sleeps until the first of them. A build that sets no time has none. */
#include "build/state.h"

#include "base/clock.h"
#include "base/cron.h"
#include "base/log.h"
#include "base/str.h"

#define BATCH 100

int timer_set(Tx *tx, const char *kind, int64_t subject_id, int64_t due, Err *err) {
    Timer timer = {.kind = kind, .subject_id = subject_id, .due_at = due};

    tx->due = MIN(tx->due, due);
    return store_timer_set(tx->b->db, &timer, err);
}

int timer_set_cron(Tx *tx, const char *kind, int64_t subject_id, const char *cron, const char *timezone,
                   Err *err) {
    int64_t next;
    Cron times;
    int r = cron_read(cron, timezone, &times, err);

    if (r >= 0)
        r = cron_next(&times, tx->now, &next, err);
    if (r == -ERR_NOT_FOUND) /* a day that never comes */
        return 0;
    return r < 0 ? r : timer_set(tx, kind, subject_id, next, err);
}

/* Still there when its turn comes: what it was for may have ended meanwhile, or it was set anew. What is due
 * is now, also where the clock was put back a little: no time comes twice. */
int timer_take(Tx *tx, const Timer *timer, bool *ret, Err *err) {
    tx->now = MAX(tx->now, timer->due_at);
    return store_timer_take(tx->b->db, timer, ret, err);
}

int timer_leave(Tx *tx, const Job *job, Err *err) {
    if (str_eq(job->state, "queued") && job->queue_timeout)
        return store_timer_drop(tx->b->db, "queue", job->id, NULL, err);
    if (str_eq(job->state, "blocked") && job->retries)
        return store_timer_drop(tx->b->db, "retry", job->id, NULL, err);
    return 0;
}

static const struct {
    const char *kind;
    int (*due)(Tx *tx, int64_t subject_id, Err *err);
    int (*alone)(Builds *b, const Timer *timer,
                 Err *err); /* with a transaction of its own, in which it takes it */
    bool lasts; /* for a while, whatever the wall clock says; others are a time of it, and told to people */
} kinds[] = {
    {.kind = "build", .due = timeout_build_due, .lasts = true},
    {.kind = "queue", .due = timeout_queue_due, .lasts = true},
    {.kind = "retry", .due = retry_due, .lasts = true},
    {.kind = "cron", .due = pipelines_cron_due},
    {.kind = "schedule", .alone = schedule_due},
    {.kind = "artifacts", .due = artifacts_due},
    {.kind = "garbage", .alone = artifacts_sweep, .lasts = true},
};

int timers_shift(Tx *tx, int64_t by, Err *err) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS(kinds); i++)
        if (kinds[i].lasts)
            r = store_timers_shift(tx->b->db, kinds[i].kind, by, err);
    return r;
}

static int fire(Tx *tx, const Timer *timer, int (*due)(Tx *tx, int64_t subject_id, Err *err), Err *err) {
    bool was;
    int r = timer_take(tx, timer, &was, err);

    return r < 0 || !was ? r : due(tx, timer->subject_id, err);
}

static int fire_one(Builds *b, const Timer *timer, Err *err) {
    size_t i = 0;
    Tx tx;
    int r;

    while (i + 1 < ELEMENTS(kinds) && !str_eq(kinds[i].kind, timer->kind))
        i++;
    if (kinds[i].alone)
        return kinds[i].alone(b, timer, err);
    r = tx_begin(b, &tx, err);
    return r < 0 ? r : tx_end(&tx, fire(&tx, timer, kinds[i].due, err), err);
}

int timer_fire_due(Builds *b, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    int result = 0;
    size_t count;
    Timer *timers;
    int r = store_timers_before(b->db, clock_now(), BATCH, mem, &timers, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        int one = fire_one(b, &timers[i], err);

        if (one < 0)
            result = one;
    }
    return r < 0 ? r : result;
}
