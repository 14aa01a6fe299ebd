#include "build/state.h"

#include "base/str.h"
#include <inttypes.h>

/* Jobs that do not run end at once; what they would have unblocked is cancelled with them, so nothing
 * follows. */
static int cancel_job(Tx *tx, const Job *job, const char *reason, const char *message, int64_t *ended,
                      Err *err) {
    JobEnd end = {.state = "cancelled",
                  .reason = reason,
                  .message = str_empty(message) ? "cancelled before it began" : message};
    int r;

    if (str_eq(job->state, "running")) {
        tx_wake_runner(tx, job->runner_id);
        return store_job_request_stop(tx->b->db, job->id, reason, err);
    }
    if (!str_eq(job->state, "queued") && !str_eq(job->state, "blocked"))
        return 0;
    r = store_job_end(tx->b->db, job->id, -1, "cancelled", reason, message, -1, tx->now, err);
    if (r >= 0)
        r = timer_leave(tx, job, err);
    if (r < 0)
        return r;
    (*ended)++;
    tx_unqueued(tx, job->id);
    return state_deployment_end(tx, job, &end, err);
}

int state_build_stop(Tx *tx, const Build *build, const char *reason, const char *message, Err *err) {
    int64_t ended = 0, left;
    size_t count;
    Job *jobs;
    int r = store_build_request_stop(tx->b->db, build->id, reason, message, err);

    if (r >= 0)
        r = store_jobs_of_build(tx->b->db, build->id, tx->mem, &jobs, &count, err);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = cancel_job(tx, &jobs[i], reason, message, &ended, err);
    if (r >= 0)
        r = store_build_jobs_ended(tx->b->db, build->id, ended, &left, err);
    return r < 0 ? r : state_build_settle(tx, build->id, err);
}

static int cancel(Tx *tx, int64_t build_id, const char *by, Err *err) {
    const char *message = str_empty(by) ? "" : mem_printf(tx->mem, "cancelled by %s", by);
    Build *build;
    int r = store_build_load(tx->b->db, build_id, tx->mem, &build, err);

    if (r < 0)
        return r;
    if (build->finished_at)
        return err_set(err, ERR_CONFLICT, "build %" PRId64 " has finished already: %s", build_id,
                       build->state);
    return state_build_stop(tx, build, "user", message, err);
}

int build_cancel(Builds *b, int64_t build_id, const char *by, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, cancel(&tx, build_id, by, err), err);
}
