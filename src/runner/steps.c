#include "base/clock.h"
#include "base/str.h"
#include "executor/env.h"
#include "executor/sandbox.h"
#include "runner/process.h"
#include <stdio.h>

/* Ours first, so that the job's own win; but who we say it is stands. */
static void fill_env(const JobProcess *j, const JobStep *step, Env *env) {
    const JobSpec *s = j->spec;
    bool inside = j->ops->workspace_inside != NULL;
    const char *home = inside ? SANDBOX_HOME : getenv("HOME"), *path = inside ? NULL : getenv("PATH");

    env_set(env, "PATH", path ? path : SANDBOX_PATH);
    env_set(env, "HOME", home ? home : "/");
    env_set(env, "LANG", "C.UTF-8");
    env_set(env, "CI", "true");
    env_set_all(env, &s->env);
    env_set_all(env, &step->env);
    env_set(env, "PELTON", "true");
    env_set(env, "PELTON_BUILD", mem_printf(env->mem, "%lld", (long long)s->build));
    env_set(env, "PELTON_JOB", mem_printf(env->mem, "%lld", (long long)s->id));
    env_set(env, "PELTON_JOB_NAME", s->name);
    env_set(env, "PELTON_ATTEMPT", mem_printf(env->mem, "%lld", (long long)s->attempt));
    env_set(env, "PELTON_PROJECT", s->project);
    env_set(env, "PELTON_COMMIT", s->commit);
    env_set(env, "PELTON_REF", s->ref);
    env_set(env, "PELTON_BRANCH", s->branch);
    env_set(env, "PELTON_EVENT", s->event);
    env_set(env, "PELTON_WORKSPACE", inside ? j->ops->workspace_inside : j->workspace);
}

static CondStatus status_so_far(const JobProcess *j) {
    if (j->cancelled)
        return COND_CANCELLED;
    return j->state || j->timed_out ? COND_FAILURE : COND_SUCCESS;
}

static bool shall_run(JobProcess *j, size_t i) {
    const JobSpec *s = j->spec;
    PlanContext context = {
        .project = s->project, .branch = s->branch, .ref = s->ref, .commit = s->commit, .event = s->event};
    bool run = false;
    Err err;

    if (str_empty(s->steps[i].condition))
        return status_so_far(j) == COND_SUCCESS;
    if (condition_eval(s->steps[i].condition, &context, status_so_far(j), &run, &err) < 0)
        job_fail(j, "invalid", 0, "step %zu (%s): if: %s", i + 1, s->steps[i].name, err.msg);
    return run;
}

static void name_signal(int status, char *out, size_t size) {
    if (status > 128)
        snprintf(out, size, "exit status %d (%s)", status,
                 sigdescr_np(status - 128) ? sigdescr_np(status - 128) : "signal");
    else
        snprintf(out, size, "exit status %d", status);
}

/* What the end of the step's process means for the step and the job. */
static void judge(JobProcess *j, size_t i, WatchEnd end, const Watch *w, bool oom) {
    StepResult *result = &j->steps[i];
    char took[CLOCK_RFC3339_SIZE], what[128];
    const char *reason = "exit";

    clock_human(result->finished_at - result->started_at, took);
    result->exit_code = w->status;
    result->state = end == WATCH_CANCELLED ? STEP_CANCELLED : STEP_FAILED;
    name_signal(w->status, what, sizeof(what));
    if (end == WATCH_STALE)
        return;
    if (end == WATCH_EXITED && w->status == 0) {
        result->state = STEP_SUCCESS;
        return;
    }
    if (end == WATCH_CANCELLED) {
        snprintf(what, sizeof(what), "cancelled");
    } else if (end == WATCH_TIMEOUT) {
        reason = "timeout";
        snprintf(what, sizeof(what), j->timed_out ? "the job's time is over" : "timed out");
    } else if (end == WATCH_BROKEN) {
        reason = "infrastructure";
        snprintf(what, sizeof(what), "%.100s", w->err.msg);
    } else if (oom) {
        reason = "oom";
        snprintf(what, sizeof(what), "out of memory: over the limit of %llu MiB",
                 (unsigned long long)(j->spec->limits.memory >> 20));
    }
    if (end != WATCH_BROKEN)
        job_say(j, "step %zu/%zu: %s after %s", i + 1, j->spec->step_count, what, took);
    if (j->spec->steps[i].continue_on_error && !j->timed_out && !j->cancelled && end != WATCH_BROKEN)
        job_say(j, "step %zu/%zu: the job goes on all the same (continue_on_error)", i + 1,
                j->spec->step_count);
    else if (end != WATCH_CANCELLED)
        job_fail(j, reason, w->status, "step %zu (%s): %s", i + 1, j->spec->steps[i].name, what);
}

static int start_step(JobProcess *j, size_t i, Watch *w, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const JobStep *step = &j->spec->steps[i];
    Env env = {.mem = mem};
    ExecutorStep start = {.run = step->run, .cwd = step->cwd};
    _cleanup_close_ int out = -1, in = -1;
    int r;

    fill_env(j, step, &env);
    start.env = env_list(&env);
    r = watch_pipe(&in, &out, err);
    if (r < 0)
        return r;
    start.out = out;
    r = j->ops->start(&j->run, &start, &w->pid, err);
    if (r == 0)
        w->out = TAKE_FD(in);
    return r;
}

static void run_step(JobProcess *j, size_t i) {
    const JobStep *step = &j->spec->steps[i];
    StepResult *result = &j->steps[i];
    Watch w = {
        .timeout_us = step->timeout_us, .cleaning = j->cancelled, .ask = j->ops->ask, .stop = j->ops->stop};
    WatchEnd end = WATCH_EXITED;
    bool oom = false;
    Err err;

    result->started_at = clock_now();
    result->state = STEP_RUNNING;
    job_say(j, "step %zu/%zu: %s", i + 1, j->spec->step_count,
            str_empty(step->name) ? step->run : step->name);
    result->log_start = result->log_end = uploader_size(j->uploader);
    if (start_step(j, i, &w, &err) < 0) {
        result->state = STEP_FAILED;
        result->finished_at = clock_now();
        job_say(j, "step %zu/%zu: %s", i + 1, j->spec->step_count, err.msg);
        job_fail(j, "infrastructure", 0, "step %zu (%s): %s", i + 1, step->name, err.msg);
        return;
    }
    report_send(j);
    end = watch_process(j, &w);
    mem_close(w.out);
    if (w.status != 0)
        oom = cgroup_oom(&j->run.cgroup);
    result->finished_at = clock_now();
    result->log_end = uploader_size(j->uploader);
    judge(j, i, end, &w, oom);
}

void steps_run(JobProcess *j) {
    for (size_t i = 0; i < j->spec->step_count && !j->stale; i++) {
        if (shall_run(j, i)) {
            run_step(j, i);
        } else {
            j->steps[i].state = STEP_SKIPPED;
            j->steps[i].log_start = j->steps[i].log_end = uploader_size(j->uploader);
        }
    }
}
