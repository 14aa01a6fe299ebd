/* What happens at a time: rows, so that none is forgotten over a restart; what was due meanwhile is done
 * late. The reaper's thread sleeps until the first of them. A build that sets no time has none. */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define BATCH 100

int timer_set(Tx *tx, const char *kind, int64_t subject_id, int64_t due, Err *err) {
    Timer timer = {.kind = kind, .subject_id = subject_id, .due_at = due};

    tx->due = MIN(tx->due, due);
    return store_timer_set(tx->b->db, &timer, err);
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
} kinds[] = {
    {"build", timeout_build_due},
    {"queue", timeout_queue_due},
    {"retry", retry_due},
    {"cron", pipelines_cron_due},
};

/* Still there when its turn comes: what it was for may have ended meanwhile. */
static int fire(Tx *tx, const Timer *timer, Err *err) {
    bool was;
    int r = store_timer_drop(tx->b->db, timer->kind, timer->subject_id, &was, err);

    for (size_t i = 0; r >= 0 && was && i < ELEMENTS(kinds); i++)
        if (str_eq(kinds[i].kind, timer->kind))
            return kinds[i].due(tx, timer->subject_id, err);
    return r;
}

static int fire_one(Builds *b, const Timer *timer, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, fire(&tx, timer, err), err);
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
