#include "build/state.h"

#include "base/json.h"
#include "base/str.h"
#include "pipeline/pipeline.h"
#include <inttypes.h>

int state_deployment_end(Tx *tx, const Job *job, const JobEnd *end, Err *err) {
    Deployment *d;
    int r;

    if (!str_eq(job->kind, "deploy"))
        return 0;
    r = store_deployment_by_job(tx->b->db, job->id, tx->mem, &d, err);

    if (r < 0)
        return r;
    /* one that went live, or was told its end by the deployer, stays so */
    if (!str_eq(d->status, "pending") && !str_eq(d->status, "building") && !str_eq(d->status, "deploying"))
        return 0;
    return store_deployment_set(
        tx->b->db, d->id, str_eq(end->state, "failed") ? "failed" : "cancelled", NULL, 0, NULL,
        str_empty(end->message) ? "the build did not come to its deploy" : end->message, tx->now, err);
}

/* Ends one job, without what follows from it. */
static int end_one(Tx *tx, const Job *job, int64_t attempt, const JobEnd *end, Err *err) {
    int r = store_job_end(tx->b->db, job->id, attempt, end->state, end->reason ? end->reason : "",
                          end->message ? end->message : "", end->exit_code, tx->now, err);

    if (r < 0)
        return r;
    r = state_deployment_end(tx, job, end, err);
    if (r >= 0)
        r = timer_leave(tx, job, err);
    tx_unqueued(tx, job->id);
    if (r >= 0 && attempt >= 0 && (str_eq(end->state, "cancelled") || str_eq(end->reason, "lost")))
        r = artifacts_drop(tx, job, err); /* half of what it would have been */
    if (r < 0)
        return r;
    if (attempt >= 0) {
        Attempt a = {.job = job->id, .attempt = attempt};

        mem_append(tx->mem, tx->ended, tx->ended_count, a);
        tx_wake_runner(tx, job->runner_id);
    }
    return 0;
}

/* A deploy has nothing to start when the job that makes its release was skipped, however well that is. */
static int check_release(Tx *tx, const Job *job, const char **ret_skip, Err *err) {
    _cleanup_json_ json_t *spec = NULL;
    json_t *deploy = NULL;
    const char *name = NULL;
    Job *maker;
    int r = json_read(job->spec, strlen(job->spec), &spec, err);

    if (r >= 0)
        r = json_opt_object(spec, "deploy", &deploy, err);
    if (r >= 0)
        r = json_get_str(deploy, "job", &name, err);
    if (r >= 0)
        r = store_job_by_name(tx->b->db, job->build_id, name, tx->mem, &maker, err);
    if (r < 0)
        return err_wrap(err, "deploy of build %" PRId64, job->build_id);
    if (!str_eq(maker->state, "success"))
        *ret_skip = mem_printf(tx->mem, "job %s, which makes the release, did not run", maker->name);
    return 0;
}

/* Somebody repeats an old build: what its branch holds by now is not to give way to it. */
static int check_branch(Tx *tx, const Build *build, const char **ret_skip, Err *err) {
    const char *now = NULL;
    Project *project;
    int r;

    if (!build->rerun_of)
        return 0;
    r = store_project_by_id(tx->b->db, build->project_id, tx->mem, &project, err);
    if (r >= 0)
        r = trigger_ref_now(project, build->ref, tx->mem, &now, err);
    if (r < 0)
        return err_wrap(err, "deploy of build %" PRId64, build->id);
    if (!str_eq(now, build->commit))
        *ret_skip = mem_printf(tx->mem, "%s is not at %.8s any more, which is not deployed again",
                               build->branch, build->commit);
    return 0;
}

/* Which of the jobs that it needs did not go well. */
static int name_missed(Tx *tx, const Job *job, const char **ret, Err *err) {
    NeedMissed *missed;
    int r = store_job_need_missed(tx->b->db, job->id, tx->mem, &missed, err);

    if (r < 0)
        return r;
    *ret = mem_printf(tx->mem, "job %s, which it needs, %s%s", missed->name,
                      str_eq(missed->state, "failed") ? "" : "was ", missed->state);
    if (missed->count > 1)
        *ret = mem_printf(tx->mem, "%s; %" PRId64 " more did not succeed", *ret, missed->count - 1);
    return 0;
}

/* Decides a job whose needs have ended: *ret_skip tells that it will not run, and why. */
static int decide(Tx *tx, const Job *job, const Build *build, const char **ret_skip, const char **ret_reason,
                  Err *err) {
    PlanContext context = {.project = build->project,
                           .branch = build->branch,
                           .ref = build->ref,
                           .commit = build->commit,
                           .event = build->event};
    bool failed = false, cancelled = false, run;
    PlanNeed *needs;
    CondStatus status;
    int r = store_job_needs_outcome(tx->b->db, job->id, &failed, &cancelled, err);

    if (r < 0)
        return r;
    status = failed ? COND_FAILURE : cancelled ? COND_CANCELLED : COND_SUCCESS;
    r = needs_read(tx->b, job->id, job->condition, tx->mem, &needs, &context.need_count, err);
    if (r < 0)
        return r;
    context.needs = needs;
    r = condition_eval(job->condition, &context, status, &run, err);
    if (r < 0)
        return err_wrap(err, "condition of job %s", job->name);
    *ret_skip = run ? NULL : "its condition is false";
    *ret_reason = status == COND_SUCCESS ? "" : "dependency";
    if (!run)
        return status == COND_SUCCESS ? 0 : name_missed(tx, job, ret_skip, err);
    if (!str_eq(job->kind, "deploy"))
        return 0;
    r = check_branch(tx, build, ret_skip, err);
    return r < 0 || *ret_skip ? r : check_release(tx, job, ret_skip, err);
}

/* A list of jobs that have just ended is worked off until nothing follows any more. */
typedef struct Ended {
    int64_t *ids;
    size_t count;
} Ended;

/* It waits for nothing but a runner now. */
static int queued(Tx *tx, const Job *job, Err *err) {
    tx_queued(tx, job);
    return job->queue_timeout ? timer_set(tx, "queue", job->id, tx->now + job->queue_timeout, err) : 0;
}

int state_job_queue(Tx *tx, const Job *job, Err *err) {
    int r = str_eq(job->state, "queued") ? 0 : store_job_queue(tx->b->db, job->id, tx->now, err);

    return r < 0 ? r : queued(tx, job, err);
}

static int ready(Tx *tx, const Job *job, const Build *build, Ended *ended, Err *err) {
    const char *skip, *reason;
    JobEnd end = {.state = "skipped", .exit_code = -1};
    int r = decide(tx, job, build, &skip, &reason, err);

    if (r < 0)
        return r;
    if (!skip)
        return approval_lacks(build, job) ? 0 : state_job_queue(tx, job, err);
    end.reason = reason;
    end.message = skip;
    r = end_one(tx, job, -1, &end, err);
    if (r < 0)
        return r;
    mem_append(tx->mem, ended->ids, ended->count, job->id);
    return 0;
}

static int follow(Tx *tx, const Build *build, Ended *ended, Err *err) {
    for (size_t i = 0; i < ended->count; i++) {
        int64_t *free_ids;
        size_t count;
        int r = store_job_unblock(tx->b->db, ended->ids[i], tx->mem, &free_ids, &count, err);

        if (r < 0)
            return r;
        for (size_t k = 0; k < count; k++) {
            Job *job;

            r = store_job_load(tx->b->db, free_ids[k], tx->mem, &job, err);
            if (r >= 0)
                r = ready(tx, job, build, ended, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int build_of(Tx *tx, int64_t build_id, Build **ret, Err *err) {
    return store_build_load(tx->b->db, build_id, tx->mem, ret, err);
}

/* A build that did not succeed says what its first job to do so said. */
static int explain(Tx *tx, int64_t build_id, const char *state, const char **ret_reason,
                   const char **ret_message, Err *err) {
    Job *first;
    int r;

    *ret_reason = *ret_message = "";
    if (str_eq(state, "success"))
        return 0;
    r = store_job_first_in_state(tx->b->db, build_id, state, tx->mem, &first, err);
    if (r < 0)
        return r;
    *ret_reason = first->reason;
    *ret_message =
        str_empty(first->message) ? "" : mem_printf(tx->mem, "job %s: %s", first->name, first->message);
    return 0;
}

/* One that went well all the same. */
static int explain_allowed(Tx *tx, int64_t build_id, int64_t count, const char **ret_reason,
                           const char **ret_message, Err *err) {
    Job *first;
    int r = store_job_first_in_state(tx->b->db, build_id, "failed", tx->mem, &first, err);

    if (r < 0)
        return r;
    *ret_reason = "";
    *ret_message = count == 1
                       ? mem_printf(tx->mem, "job %s failed, as it may", first->name)
                       : mem_printf(tx->mem, "%" PRId64 " jobs failed, as they may; job %s was the first",
                                    count, first->name);
    return 0;
}

/* One that was made to end, and whose jobs did, says why it was; a time that is over is a failure. */
static int conclude(Tx *tx, const Build *build, const char **ret_state, const char **ret_reason,
                    const char **ret_message, Err *err) {
    BuildTally tally;
    int r = store_build_tally(tx->b->db, build->id, &tally, err);

    if (r < 0)
        return r;
    *ret_state = tally.cancelled ? "cancelled" : tally.failed ? "failed" : "success";
    if (str_eq(*ret_state, "success") && tally.allowed)
        return explain_allowed(tx, build->id, tally.allowed, ret_reason, ret_message, err);
    if (!tally.cancelled || str_empty(build->stop_reason))
        return explain(tx, build->id, *ret_state, ret_reason, ret_message, err);
    *ret_reason = build->stop_reason;
    *ret_message = build->stop_message;
    if (str_eq(build->stop_reason, "timeout"))
        *ret_state = "failed";
    return 0;
}

static int finish(Tx *tx, const Build *build, Err *err) {
    const char *state, *reason, *message;
    int r = conclude(tx, build, &state, &reason, &message, err);

    if (r >= 0)
        r = store_build_finish(tx->b->db, build->id, state, reason, message, tx->now, err);
    if (r >= 0 && build->timeout)
        r = store_timer_drop(tx->b->db, "build", build->id, NULL, err);
    if (r >= 0)
        r = artifacts_ended(tx, build->id, err);
    if (r < 0)
        return r;
    group_left(tx, build);
    r = notice_ended(tx, build->id, state, err);
    return r < 0 ? r : tx_event(tx, "completed", build->id, state, err);
}

static int count_down(Tx *tx, const Build *build, size_t ended, Err *err) {
    int64_t left;
    int r = store_build_jobs_ended(tx->b->db, build->id, (int64_t)ended, &left, err);

    if (r < 0)
        return r;
    return left > 0 ? tx_event(tx, "updated", build->id, "running", err) : finish(tx, build, err);
}

/* What follows from the jobs in the list; the build is only read when another job may follow. */
static int after(Tx *tx, int64_t build_id, Ended *ended, Err *err) {
    Build *build;
    int r = build_of(tx, build_id, &build, err);

    if (r < 0)
        return r;
    if (build->jobs_left > (int64_t)ended->count) {
        r = follow(tx, build, ended, err);
        if (r < 0)
            return r;
    }
    return count_down(tx, build, ended->count, err);
}

/* Whether the attempt's end is not the job's. */
static int try_again(Tx *tx, const Job *job, int64_t attempt, const JobEnd *end, bool *ret, Err *err) {
    int64_t pause;
    int r;

    *ret = false;
    if (attempt < 0)
        return 0;
    r = retry_applies(job, end, ret, &pause, err);
    return r < 0 || !*ret ? r : retry_begin(tx, job, end, pause, err);
}

int state_job_end(Tx *tx, const Job *job, int64_t attempt, const JobEnd *end, Err *err) {
    Ended ended = {0};
    bool again;
    int r = try_again(tx, job, attempt, end, &again, err);

    if (r < 0 || again)
        return r;
    r = end_one(tx, job, attempt, end, err);
    if (r < 0)
        return r;
    mem_append(tx->mem, ended.ids, ended.count, job->id);
    return after(tx, job->build_id, &ended, err);
}

int state_job_ready(Tx *tx, const Job *job, const Build *build, Err *err) {
    Ended ended = {0};
    int r = ready(tx, job, build, &ended, err);

    if (r < 0 || ended.count == 0)
        return r;
    return after(tx, build->id, &ended, err);
}

/* What follows from one of them touches only jobs that need something. */
int state_build_begin(Tx *tx, const Build *build, Err *err) {
    size_t count;
    Job *jobs;
    int r = store_jobs_of_build(tx->b->db, build->id, tx->mem, &jobs, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        if (str_eq(jobs[i].state, "blocked") && jobs[i].needs_left == 0 && jobs[i].attempt == 0)
            r = state_job_ready(tx, &jobs[i], build, err);
    return r;
}

int state_build_settle(Tx *tx, int64_t build_id, Err *err) {
    Ended none = {0};

    return after(tx, build_id, &none, err);
}

/* The next attempt of a job that its runner does not hold any more; nothing of this one counts. */
static int requeue(Tx *tx, const Job *job, const char *reason, const char *message, Err *err) {
    Attempt a = {.job = job->id, .attempt = job->attempt};
    int r = store_job_requeue(tx->b->db, job->id, job->attempt, reason, message, tx->now, err);

    if (r >= 0)
        r = artifacts_drop(tx, job, err);
    if (r >= 0)
        r = queued(tx, job, err);
    if (r < 0)
        return r;
    mem_append(tx->mem, tx->ended, tx->ended_count, a);
    tx_wake_runner(tx, job->runner_id);
    return tx_event(tx, "updated", job->build_id, "running", err);
}

int state_stop_words(Tx *tx, const Job *job, JobEnd *end, Err *err) {
    Build *build;
    int r = build_of(tx, job->build_id, &build, err);

    if (r < 0)
        return r;
    end->reason = job->stop_reason;
    if (str_empty(end->message))
        end->message = build->stop_message;
    return 0;
}

int state_job_lost(Tx *tx, const Job *lease, const char *why, Err *err) {
    JobEnd end = {.state = "failed", .reason = "lost", .message = why, .exit_code = -1};
    int64_t losses;
    Job *job;
    int r = store_job_load(tx->b->db, lease->id, tx->mem, &job, err);

    if (r < 0)
        return r;
    losses = job->losses + 1;
    if (str_empty(job->stop_reason) && losses < tx->b->options.max_attempts)
        return requeue(tx, job, "lost", why, err);
    if (losses > 1)
        end.message =
            mem_printf(tx->mem, "it was lost in each of %" PRId64 " attempts; in the last %s", losses, why);
    if (!str_empty(job->stop_reason))
        end = (JobEnd){.state = "cancelled",
                       .reason = job->stop_reason,
                       .message = mem_printf(tx->mem, "it was to stop when %s", why),
                       .exit_code = -1};
    return state_job_end(tx, job, lease->attempt, &end, err);
}

int state_job_handed_back(Tx *tx, const Job *lease, Err *err) {
    Job *job;
    int r = store_job_load(tx->b->db, lease->id, tx->mem, &job, err);

    if (r < 0)
        return r;
    return str_empty(job->stop_reason) ? requeue(tx, job, "handed back", "", err)
                                       : state_job_lost(tx, lease, STATE_RUNNER_LOST, err);
}
