/* How a step runs: a table an executor, chosen by the job's `executor`. */
#pragma once

#include "base/err.h"
#include "executor/cgroup.h"
#include <stdbool.h>
#include <sys/types.h>

#define EXECUTOR_PROCESSES 4096 /* of a sandboxed job that sets no limit */

/* A job, as its steps need it; the runner fills it in. */
typedef struct ExecutorJob {
    const char *workspace;        /* absolute */
    const char *etc;              /* for the sandbox; see sandbox_etc_make */
    const char *const *read_only; /* further folders that steps may read, NULL-terminated, or NULL */
    bool network;
    bool drop_user; /* a sandbox is started as this user, who owns the workspace */
    uid_t uid;
    gid_t gid;
    Cgroup cgroup;
} ExecutorJob;

typedef struct ExecutorStep {
    const char *run;        /* the script */
    const char *const *env; /* all of it, NULL-terminated */
    const char *cwd;        /* beneath the workspace, relative; "" */
    int out;                /* standard output and error */
} ExecutorStep;

typedef struct ExecutorOps {
    const char *name, *help;
    const char *workspace_inside; /* what PELTON_WORKSPACE says; NULL: the workspace's own path */
    /* ERR_UNSUPPORTED: not on this host; what is missing. */
    int (*available)(Err *err);
    /* Starts `/bin/sh -e -c RUN`. The caller is a child subreaper, and has no other children; it reaps
     * *ret_pid. */
    int (*start)(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err);
    /* Sends sig to all that the step started, so that it can end by itself. */
    void (*ask)(ExecutorJob *job, pid_t pid, int sig);
    /* Kills what is left of the step, reaps it, and returns when nothing is left. */
    void (*stop)(ExecutorJob *job);
} ExecutorOps;

extern const ExecutorOps executor_sandbox;
extern const ExecutorOps executor_shell;
/* NULL-terminated. */
extern const ExecutorOps *const executors[];
/* NULL: there is none of that name. */
const ExecutorOps *executor_find(const char *name);

/* For executors: the cgroup and rlimits of the job; ProcOptions.before_exec with the ExecutorJob. */
int executor_before_exec(void *job);
void executor_stop_tree(ExecutorJob *job);
