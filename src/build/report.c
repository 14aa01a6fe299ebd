/* What a job process tells of its attempt. */
#include "build/part.h"
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

static int stale(Attempt a, Err *err) {
    return err_set(err, ERR_CONFLICT, "attempt %" PRId64 " does not hold job %" PRId64 " any more", a.attempt,
                   a.job);
}

static bool holds(const Job *job, Attempt a, int64_t runner_id) {
    return job->attempt == a.attempt && job->runner_id == runner_id && str_eq(job->state, "running");
}

static int renew(Tx *tx, const Job *job, Err *err) {
    const char *stop;

    return store_job_renew(tx->b->db, job->id, job->attempt, job->runner_id,
                           tx->now + tx->b->options.lease_us, tx->mem, &stop, err);
}

/* A job process that speaks is alive, though its runner may be away: written when a third of the lease is
 * over. */
static int keep_alive(Builds *b, const Job *job, Err *err) {
    Tx tx;
    int r;

    if (job->lease_until - clock_now() > b->options.lease_us * 2 / 3)
        return 0;
    r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    tx.casual = true;
    return tx_end(&tx, renew(&tx, job, err), err);
}

int build_check_attempt(Builds *b, Attempt attempt, int64_t runner_id, const void *mem, Job **ret, Err *err) {
    Job *job;
    int r = store_job_load(b->db, attempt.job, mem, &job, err);

    if (r < 0)
        return r;
    if (!holds(job, attempt, runner_id))
        return stale(attempt, err);
    r = keep_alive(b, job, err);
    if (r < 0)
        return r;
    *ret = job;
    return 0;
}

static int put_steps(Tx *tx, const JobReport *report, Err *err) {
    for (size_t i = 0; i < report->step_count; i++) {
        int r =
            store_step_put(tx->b->db, report->attempt.job, report->attempt.attempt, &report->steps[i], err);

        if (r < 0)
            return r;
    }
    return 0;
}

static int put_outputs(Tx *tx, const JobReport *report, Err *err) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < report->output_count; i++)
        r = store_output_put(tx->b->db, report->attempt.job, report->attempt.attempt, &report->outputs[i],
                             err);
    return r < 0 || report->output_count == 0
               ? r
               : store_job_has_outputs(tx->b->db, report->attempt.job, (int64_t)report->output_count, err);
}

/* A part of a pipeline with mistakes is a mistake of the job that made it. */
static int add_part(Tx *tx, const Part *part, const Job *job, JobEnd *end, Err *err) {
    const char *problem = NULL;
    int r = part_insert(tx, part, job, &problem, err);

    if (r >= 0 && problem)
        *end = (JobEnd){.state = "failed", .reason = "invalid", .message = problem};
    return r;
}

static int apply(Tx *tx, const JobReport *report, const Part *part, const Job *job, Err *err) {
    JobEnd end = {.state = report->state,
                  .reason = report->reason,
                  .message = report->message,
                  .exit_code = report->exit_code};
    int r = put_steps(tx, report, err);

    if (r < 0)
        return r;
    if (str_eq(report->state, "running"))
        r = renew(tx, job, err);
    if (r < 0)
        return r;
    if (str_eq(report->state, "running"))
        return tx_event(tx, "updated", job->build_id, "running", err);
    if (str_eq(report->state, "lost"))
        return state_job_lost(tx, job, str_empty(report->message) ? STATE_RUNNER_LOST : report->message, err);
    r = put_outputs(tx, report, err);
    if (r < 0)
        return r;
    if (str_eq(report->state, "cancelled") && !str_empty(job->stop_reason)) {
        r = state_stop_words(tx, job, &end, err);
        if (r < 0)
            return r;
    }
    if (part)
        r = add_part(tx, part, job, &end, err);
    return r < 0 ? r : state_job_end(tx, job, report->attempt.attempt, &end, err);
}

static int check_log(Builds *b, const JobReport *report, uint64_t *ret_next, Err *err) {
    uint64_t size;
    int r;

    if (report->log_size < 0 || str_eq(report->state, "running"))
        return 0;
    r = blob_log_size(b->blob, report->attempt.job, report->attempt.attempt, &size, err);
    if (r < 0 || size >= (uint64_t)report->log_size)
        return r;
    *ret_next = size;
    return err_set(err, ERR_CONFLICT, "the log has %" PRIu64 " of %" PRId64 " bytes", size, report->log_size);
}

/* A success with a part that has mistakes is recorded as a failure (add_part). */
static bool is_end(const AttemptRow *row, const JobReport *report) {
    bool part = report->pipeline && str_eq(report->state, "success") && str_eq(row->reason, "invalid");

    return row->finished_at && (part || str_eq(row->state, report->state));
}

/* An attempt that has ended may have said so before, and our answer was lost; its job may be anywhere by now.
 * What was lost with its runner says nothing any more. */
static int said_before(Tx *tx, const JobReport *report, Err *err) {
    AttemptRow *row;
    int r = store_attempt_load(tx->b->db, report->attempt.job, report->attempt.attempt, tx->mem, &row, err);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (r < 0 || row->runner_id != report->runner_id || !is_end(row, report) || str_eq(row->reason, "lost"))
        return stale(report->attempt, err);
    return 0;
}

static int record(Builds *b, const JobReport *report, uint64_t *ret_next, bool *ret_stop, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    bool runs = str_eq(report->state, "running");
    Part *part = NULL;
    Job *job;
    Tx tx;
    int r = 0;

    if (report->pipeline && str_eq(report->state, "success"))
        r = part_read(b, report->attempt.job, report->pipeline, mem, &part, err);
    if (r >= 0)
        r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    tx.casual = runs;
    r = store_job_load(b->db, report->attempt.job, tx.mem, &job, err);
    if (r < 0)
        return tx_end(&tx, r, err);
    if (!holds(job, report->attempt, report->runner_id))
        return tx_end(&tx, said_before(&tx, report, err), err);
    *ret_stop = !str_empty(job->stop_reason);
    r = check_log(b, report, ret_next, err);
    if (r >= 0)
        r = apply(&tx, report, part, job, err);
    return tx_end(&tx, r, err);
}

/* A long log goes to the disk before the transaction, in which nobody else could write. */
int build_report(Builds *b, const JobReport *report, uint64_t *ret_next, bool *ret_stop, Err *err) {
    bool runs = str_eq(report->state, "running");
    int r = runs ? 0 : blob_log_keep(b->blob, report->attempt.job, report->attempt.attempt, err);

    *ret_next = UINT64_MAX;
    *ret_stop = false;
    if (r < 0)
        return r;
    r = record(b, report, ret_next, ret_stop, err);
    if (!runs)
        blob_log_unkeep(b->blob, report->attempt.job, report->attempt.attempt);
    return r;
}

int attempt_holds(Tx *tx, Attempt attempt, int64_t runner_id, Job **ret, Err *err) {
    Job *job;
    int r = store_job_load(tx->b->db, attempt.job, tx->mem, &job, err);

    if (r < 0)
        return r;
    if (!holds(job, attempt, runner_id))
        return stale(attempt, err);
    *ret = job;
    return 0;
}
