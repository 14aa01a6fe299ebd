#include "build/state.h"

#include "base/str.h"
#include <inttypes.h>

/* Jobs that do not run end at once; what they would have unblocked is cancelled with them, so nothing
 * follows. */
static int cancel_job(Tx *tx, const Job *job, const char *reason, int64_t *ended, Err *err) {
    JobEnd end = {.state = "cancelled", .reason = reason, .message = "cancelled before it began"};
    int r;

    if (str_eq(job->state, "running")) {
        tx_wake_runner(tx, job->runner_id);
        return store_job_request_stop(tx->b->db, job->id, reason, err);
    }
    if (!str_eq(job->state, "queued") && !str_eq(job->state, "blocked"))
        return 0;
    r = store_job_end(tx->b->db, job->id, -1, "cancelled", reason, "", -1, tx->now, err);
    if (r < 0)
        return r;
    (*ended)++;
    r = timer_leave(tx, job, err);
    return r < 0 ? r : state_deployment_end(tx, job, &end, err);
}

static int cancel_all(Tx *tx, int64_t build_id, const char *reason, Err *err) {
    int64_t ended = 0, left;
    size_t count;
    Build *build;
    Job *jobs;
    int r = store_build_load(tx->b->db, build_id, tx->mem, &build, err);

    if (r < 0)
        return r;
    if (build->finished_at)
        return err_set(err, ERR_CONFLICT, "build %" PRId64 " has finished already: %s", build_id,
                       build->state);
    r = store_jobs_of_build(tx->b->db, build_id, tx->mem, &jobs, &count, err);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = cancel_job(tx, &jobs[i], reason, &ended, err);
    if (r >= 0)
        r = store_build_jobs_ended(tx->b->db, build_id, ended, &left, err);
    return r < 0 ? r : state_build_settle(tx, build_id, err);
}

int build_cancel(Builds *b, int64_t build_id, const char *reason, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, cancel_all(&tx, build_id, reason, err), err);
}
