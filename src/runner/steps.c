#include "base/clock.h"
#include "base/str.h"
#include "executor/env.h"
#include "executor/sandbox.h"
#include "runner/handover.h"
#include "runner/process.h"
#include <errno.h>
#include <stdio.h>

/* What the system is like, where it is not an image's own. */
static void fill_system(const ExecutorOps *ops, Env *env) {
    bool inside = ops->workspace_inside != NULL;
    const char *home = inside ? SANDBOX_HOME : getenv("HOME"), *path = inside ? NULL : getenv("PATH");

    env_set(env, "PATH", path ? path : SANDBOX_PATH);
    env_set(env, "HOME", home ? home : "/");
    env_set(env, "LANG", "C.UTF-8");
}

/* What the job says, over what the system is like. step NULL: what all of them have. */
static void fill_job(const JobProcess *j, const ExecutorOps *ops, const JobStep *step, Env *env) {
    if (!ops->own_system)
        fill_system(ops, env);
    env_set(env, "CI", "true");
    env_set_all(env, &j->spec->env);
    env_set_all(env, &j->values);
    spec_set_secrets(j->spec, step, env);
}

/* Last, for who we say it is stands. */
static void fill_ours(const JobProcess *j, const ExecutorOps *ops, Env *env) {
    const char *handover = ops->workspace_inside ? EXECUTOR_HANDOVER : j->run.handover;
    const JobSpec *s = j->spec;
    const char *tag = str_after(s->ref, "refs/tags/");

    env_unset(env, EXECUTOR_LOGIN);
    env_set(env, "PELTON", "true");
    env_set(env, "PELTON_BUILD", mem_printf(env->mem, "%lld", (long long)s->build));
    env_set(env, "PELTON_BUILD_URL", s->build_url);
    env_set(env, "PELTON_JOB", mem_printf(env->mem, "%lld", (long long)s->id));
    env_set(env, "PELTON_JOB_NAME", s->name);
    env_set(env, "PELTON_ATTEMPT", mem_printf(env->mem, "%lld", (long long)s->attempt));
    env_set(env, "PELTON_PROJECT", s->project);
    env_set(env, "PELTON_COMMIT", s->commit);
    env_set(env, "PELTON_REF", s->ref);
    env_set(env, "PELTON_BRANCH", tag ? "" : s->branch);
    env_set(env, "PELTON_TAG", tag ? tag : "");
    env_set(env, "PELTON_PULL_REQUEST",
            s->pull_number ? mem_printf(env->mem, "%lld", (long long)s->pull_number) : "");
    env_set(env, "PELTON_TARGET_BRANCH", s->target);
    env_set(env, "PELTON_EVENT", s->event);
    env_set(env, "PELTON_SCHEDULE", s->schedule);
    env_set(env, "PELTON_WORKSPACE", ops->workspace_inside ? ops->workspace_inside : j->workspace);
    env_set(env, "PELTON_OUTPUT", mem_printf(env->mem, "%s/" HANDOVER_OUTPUT, handover));
    env_set(env, "PELTON_PIPELINE", mem_printf(env->mem, "%s/" HANDOVER_PIPELINE, handover));
}

static int fill_step(const JobProcess *j, const ExecutorOps *ops, const JobStep *step, Env *env, Err *err) {
    int r;

    fill_job(j, ops, step, env);
    env_set_all(env, &step->env);
    r = values_env(j, &step->computed, env, err);
    fill_ours(j, ops, env);
    return r;
}

/* A job of the docker executor that has no image runs its scripts in the sandbox. */
static const ExecutorOps *ops_of(const JobProcess *j, const JobStep *step) {
    return j->ops == &executor_docker && !*j->spec->container.image && !step->build ? &executor_sandbox
                                                                                    : j->ops;
}

static CondStatus status_so_far(const JobProcess *j) {
    if (j->cancelled)
        return COND_CANCELLED;
    return j->state || j->timed_out ? COND_FAILURE : COND_SUCCESS;
}

/* Whether the step runs when so much has come of the job. */
static int runs_after(const JobProcess *j, size_t i, CondStatus status, bool *ret, Err *err) {
    const char *condition = j->spec->steps[i].condition;
    PlanContext context = values_context(j);

    *ret = status == COND_SUCCESS;
    return str_empty(condition) ? 0 : condition_eval(condition, &context, status, ret, err);
}

static bool runs_in_spite_of_a_cancel(const JobProcess *j, size_t i) {
    bool run;
    Err ignored;

    return runs_after(j, i, COND_CANCELLED, &run, &ignored) >= 0 && run;
}

static bool shall_run(JobProcess *j, size_t i) {
    bool run;
    Err err;

    if (runs_after(j, i, status_so_far(j), &run, &err) < 0) {
        job_fail(j, "invalid", 0, "step %zu (%s): if: %s", i + 1, j->spec->steps[i].name, err.msg);
        return false;
    }
    if (!run)
        return false;
    if (!j->cleaning || clock_mono() < j->deadline)
        return true;
    job_say(j, "step %zu/%zu: does not run: the time for cleaning up is over", i + 1, j->spec->step_count);
    return false;
}

/* What a try again would not mend is the pipeline's. */
static const char *executor_reason(const Err *err) {
    switch (err->code) {
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_FORBIDDEN:
        return "invalid";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_CONFLICT: /* a service has ended */
        return "exit";
    default:
        return "infrastructure";
    }
}

/* A group of v2 counts what the machine has killed, too. */
static void name_oom(const JobProcess *j, char *out, size_t size) {
    if (j->spec->limits.memory > 0)
        snprintf(out, size, "out of memory: over the limit of %llu MiB",
                 (unsigned long long)(j->spec->limits.memory >> 20));
    else
        snprintf(out, size, "out of memory: the machine had none left");
}

/* What the end of the step's process means for the step and the job. */
static void judge(JobProcess *j, size_t i, WatchEnd end, const Watch *w, bool oom) {
    StepResult *result = &j->steps[i];
    char took[CLOCK_RFC3339_SIZE], what[sizeof(Err)];
    const char *reason = "exit";

    clock_human(result->finished_at - result->started_at, took);
    result->exit_code = w->status;
    result->state = end == WATCH_CANCELLED ? STEP_CANCELLED : STEP_FAILED;
    executor_name_status(w->status, what, sizeof(what));
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
        snprintf(what, sizeof(what), "%s", w->over);
    } else if (end == WATCH_BROKEN) {
        reason = "infrastructure";
        snprintf(what, sizeof(what), "%s", w->err.msg);
    } else if (j->run.shared && j->run.shared->err.code) {
        reason = executor_reason(&j->run.shared->err);
        snprintf(what, sizeof(what), "%s", j->run.shared->err.msg);
    } else if (oom) {
        reason = "oom";
        name_oom(j, what, sizeof(what));
    } else if (disk_is_full(&j->host->disk)) {
        reason = "infrastructure";
        snprintf(what + strlen(what), sizeof(what) - strlen(what), "; %s is full: %s", j->host->disk.whose,
                 j->host->disk.path);
    }
    result->reason = reason;
    if (end != WATCH_BROKEN)
        job_say(j, "step %zu/%zu: %s after %s", i + 1, j->spec->step_count, what, took);
    if (j->spec->steps[i].continue_on_error && !j->timed_out && !j->cancelled && end != WATCH_BROKEN)
        job_say(j, "step %zu/%zu: the job goes on all the same (continue-on-error)", i + 1,
                j->spec->step_count);
    else if (end != WATCH_CANCELLED)
        job_fail(j, reason, w->status, "step %zu (%s): %s", i + 1, j->spec->steps[i].name, what);
}

/* A try again would not mend it. */
static int too_long(Err *err) {
    return err_set(err, ERR_INVALID,
                   "the command or a variable is longer than a program can be given (128 KiB): put it into a "
                   "file, a script of the repository say");
}

static int start_step(JobProcess *j, size_t i, Watch *w, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const JobStep *step = &j->spec->steps[i];
    const ExecutorOps *ops = ops_of(j, step);
    Env env = {.mem = mem};
    ExecutorStep start = {
        .run = step->run, .shell = step->shell, .cwd = step->cwd, .build = step->build, .nix = step->nix};
    _cleanup_close_ int out = -1, in = -1;
    int r = fill_step(j, ops, step, &env, err);

    w->ask = ops->ask;
    w->stop = ops->stop;
    start.env = env_list(&env);
    if (r == 0 && step->computed_build)
        r = values_build(j, step->build, mem, &start.build, err);
    if (r == 0)
        r = watch_pipe(&in, &out, err);
    if (r < 0)
        return r;
    start.out = out;
    r = ops->start(&j->run, &start, &w->pid, err);
    if (r == 0)
        w->out = TAKE_FD(in);
    return r < 0 && err->sys == E2BIG ? too_long(err) : r;
}

static void run_step(JobProcess *j, size_t i) {
    const JobStep *step = &j->spec->steps[i];
    StepResult *result = &j->steps[i];
    Watch w = {.timeout_us = step->timeout_us, .cleaning = runs_in_spite_of_a_cancel(j, i)};
    WatchEnd end = WATCH_EXITED;
    bool oom;
    Err err;

    if (j->cancelled || j->timed_out)
        watch_begin_cleaning(j);
    result->started_at = clock_now();
    result->state = STEP_RUNNING;
    job_say(j, "step %zu/%zu: %s", i + 1, j->spec->step_count,
            str_empty(step->name) ? step->run : step->name);
    result->log_start = result->log_end = uploader_size(j->uploader);
    if (start_step(j, i, &w, &err) < 0) {
        result->state = STEP_FAILED;
        result->reason = executor_reason(&err);
        result->finished_at = clock_now();
        job_say(j, "step %zu/%zu: %s", i + 1, j->spec->step_count, err.msg);
        job_fail(j, executor_reason(&err), 0, "step %zu (%s): %s", i + 1, step->name, err.msg);
        return;
    }
    report_send(j);
    end = watch_process(j, &w);
    mem_close(w.out);
    /* also of one that went well: a kill that it got over is not the next step's */
    oom = cgroup_oom(&j->run.cgroup) || (j->run.shared && j->run.shared->oom);
    result->finished_at = clock_now();
    result->log_end = uploader_size(j->uploader);
    judge(j, i, end, &w, oom);
    if (end == WATCH_EXITED)
        handover_outputs(j, i);
}

/* ---- what they need ---- */

static int begin_prepare(JobProcess *j, Watch *w, Err *err) {
    _cleanup_close_ int in = -1, out = -1;
    int r = watch_pipe(&in, &out, err);

    if (r == 0)
        r = j->ops->prepare(&j->run, out, &w->pid, err);
    if (r == 0)
        w->out = TAKE_FD(in);
    return r;
}

/* False: the job has failed, or shall not go on. */
static bool prepare_executor(JobProcess *j) {
    Watch w = {.ask = j->ops->ask, .stop = j->ops->stop};
    Env env = {.mem = j->mem};
    WatchEnd end;
    Err err;

    fill_job(j, j->ops, NULL, &env);
    fill_ours(j, j->ops, &env);
    j->run.container.env = env_list(&env);
    if (begin_prepare(j, &w, &err) < 0) {
        job_say(j, "%s", err.msg);
        job_fail(j, "infrastructure", 0, "%s", err.msg);
        return false;
    }
    end = watch_process(j, &w);
    mem_close(w.out);
    if (end == WATCH_EXITED && w.status == 0)
        return true;
    if (end == WATCH_CANCELLED || end == WATCH_STALE)
        return false;
    err = end == WATCH_BROKEN ? w.err : j->run.shared->err;
    if (end == WATCH_TIMEOUT || !err.code)
        err_set(&err, ERR_TIMEOUT, end == WATCH_TIMEOUT ? "the job's time is over" : "preparing broke off");
    job_say(j, "%s", err.msg);
    job_fail(j, end == WATCH_TIMEOUT ? "timeout" : executor_reason(&err), 0, "%s", err.msg);
    return false;
}

/* What the job's own environment has that the planner could not know. */
static bool fill_values(JobProcess *j) {
    Err err;

    j->values.mem = j->mem;
    if (values_env(j, &j->spec->computed, &j->values, &err) == 0)
        return true;
    job_say(j, "env: %s", err.msg);
    job_fail(j, executor_reason(&err), 0, "env: %s", err.msg);
    return false;
}

static void say_line(void *arg, const char *line) {
    job_say(arg, "%s", line);
}

void steps_run(JobProcess *j) {
    bool contained = *j->spec->container.image;

    if (!fill_values(j))
        return;
    if (j->ops->prepare && contained && !prepare_executor(j))
        return;
    for (size_t i = 0; i < j->spec->step_count && !j->stale; i++) {
        if (shall_run(j, i)) {
            run_step(j, i);
        } else {
            j->steps[i].state = STEP_SKIPPED;
            j->steps[i].log_start = j->steps[i].log_end = uploader_size(j->uploader);
        }
    }
    if (j->ops->look_back && contained && !j->stale)
        j->ops->look_back(&j->run, say_line, j);
    if (status_so_far(j) == COND_SUCCESS)
        handover_pipeline(j);
}
