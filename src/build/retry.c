/* A job's own rule: which failures are worth another attempt, how often, after which pause. Attempts that
 * were lost with their runner are counted apart, for they say nothing of the job. */
#include "build/state.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

static bool names(const json_t *list, const char *word) {
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (str_eq(json_string_value(item), word))
            return true;
    return false;
}

/* Twice as long each time. */
static int64_t pause_after(int64_t backoff, int64_t retries) {
    int64_t pause = MIN(backoff, RETRY_PAUSE_MAX);

    while (retries-- > 0 && pause > 0 && pause < RETRY_PAUSE_MAX)
        pause *= 2;
    return MIN(pause, RETRY_PAUSE_MAX);
}

static int read_rule(const Job *job, json_t **ret, int64_t *ret_times, Err *err) {
    int r = json_read(job->retry, strlen(job->retry), ret, err);

    if (r >= 0)
        r = json_get_i64(*ret, "times", ret_times, err);
    return r < 0 ? err_wrap(err, "retry rule of job %s", job->name) : 0;
}

int retry_times(const Job *job, int64_t *ret, Err *err) {
    _cleanup_json_ json_t *rule = NULL;

    return read_rule(job, &rule, ret, err);
}

int retry_counts(Tx *tx, const Job *job, Err *err) {
    int64_t times = 0;
    int r = str_empty(job->retry) ? 0 : retry_times(job, &times, err);

    if (r < 0 || times == 0)
        return r;
    return store_build_count_retries(tx->b->db, job->build_id, job->retries, times, err);
}

int retry_applies(const Job *job, const JobEnd *end, bool *ret, int64_t *ret_pause, Err *err) {
    _cleanup_json_ json_t *rule = NULL;
    int64_t times = 0, backoff = 0;
    json_t *on = NULL;
    int r;

    *ret = false;
    if (str_empty(job->retry) || !str_eq(end->state, "failed") || !str_empty(job->stop_reason))
        return 0;
    r = read_rule(job, &rule, &times, err);
    if (r >= 0)
        r = json_opt_i64(rule, "backoff", &backoff, err);
    if (r >= 0)
        r = json_opt_array(rule, "on", &on, err);
    if (r < 0)
        return err_wrap(err, "retry rule of job %s", job->name);
    *ret = job->retries < times && names(on, end->reason);
    *ret_pause = pause_after(backoff, job->retries);
    return 0;
}

int retry_begin(Tx *tx, const Job *job, const JobEnd *end, int64_t pause, Err *err) {
    Attempt a = {.job = job->id, .attempt = job->attempt};
    Job *now;
    int r = store_job_retry(tx->b->db, job->id, job->attempt, end->reason, end->message ? end->message : "",
                            end->exit_code, tx->now, err);

    if (r >= 0)
        r = artifacts_drop(tx, job, err);
    if (r >= 0)
        r = store_build_count_retries(tx->b->db, job->build_id, 1, 0, err);
    if (r < 0)
        return r;
    mem_append(tx->mem, tx->ended, tx->ended_count, a);
    tx_wake_runner(tx, job->runner_id);
    r = tx_event(tx, "updated", job->build_id, "running", err);
    if (r < 0 || pause > 0)
        return r < 0 ? r : timer_set(tx, "retry", job->id, tx->now + pause, err);
    r = store_job_load(tx->b->db, job->id, tx->mem, &now, err);
    return r < 0 ? r : state_job_queue(tx, now, err);
}

int retry_due(Tx *tx, int64_t job_id, Err *err) {
    Job *job;
    int r = store_job_load(tx->b->db, job_id, tx->mem, &job, err);

    if (r < 0 || !str_eq(job->state, "blocked"))
        return r;
    r = state_job_queue(tx, job, err);
    return r < 0 ? r : tx_event(tx, "updated", job->build_id, "running", err);
}
