/* The times that the server watches: of a build, from its start; of a job that only waits for a runner. Those
 * of jobs and steps are their job process's. */
#include "build/state.h"
#include "build/why.h"

#include "base/str.h"

int timeout_build_due(Tx *tx, int64_t build_id, Err *err) {
    Build *build;
    int r = store_build_load(tx->b->db, build_id, tx->mem, &build, err);

    if (r < 0 || build->finished_at)
        return r;
    return state_build_stop(
        tx, build, "timeout",
        mem_printf(tx->mem, "the build's time of %s is over", why_time(build->timeout, tx->mem)), err);
}

int timeout_queue_due(Tx *tx, int64_t job_id, Err *err) {
    JobEnd end = {.state = "failed", .reason = "timeout", .exit_code = -1};
    const char *why;
    Job *job;
    int r = store_job_load(tx->b->db, job_id, tx->mem, &job, err);

    if (r < 0 || !str_eq(job->state, "queued"))
        return r;
    r = build_why(why_new(tx->b, tx->mem), job, tx->mem, &why, err);
    if (r < 0)
        return r;
    end.message = mem_printf(tx->mem, "no runner took it within its queue-timeout of %s: %s",
                             why_time(job->queue_timeout, tx->mem), why);
    return state_job_end(tx, job, -1, &end, err);
}
