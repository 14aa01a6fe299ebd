#include "executor/executor.h"

#include "base/str.h"
#include "executor/tree.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

const ExecutorOps *const executors[] = {&executor_sandbox, &executor_shell, &executor_docker, &executor_nix,
                                        NULL};

const ExecutorOps *executor_find(const char *name) {
    for (size_t i = 0; executors[i]; i++)
        if (str_eq(executors[i]->name, name))
            return executors[i];
    return NULL;
}

void executor_name_status(int status, char *out, size_t size) {
    if (status > 128)
        snprintf(out, size, "exit status %d (%s)", status,
                 sigdescr_np(status - 128) ? sigdescr_np(status - 128) : "signal");
    else
        snprintf(out, size, "exit status %d", status);
}

static void limit(int what, uint64_t value) {
    struct rlimit l = {.rlim_cur = value, .rlim_max = value};

    setrlimit((__rlimit_resource_t)what, &l);
}

/* A limit on processes counts all of the user's: only a user of the slot's own can have one. */
int executor_before_exec(void *arg) {
    ExecutorJob *job = arg;
    const CgroupLimits *l = &job->cgroup.rlimits;

    limit(RLIMIT_CORE, 0);
    if (job->drop_user)
        limit(RLIMIT_NPROC, l->processes > 0 ? (uint64_t)l->processes : EXECUTOR_PROCESSES);
    if (l->memory > 0)
        limit(RLIMIT_AS, l->memory);
    return cgroup_join(&job->cgroup);
}

int64_t executor_processes_inside(const ExecutorJob *job) {
    return job->drop_user ? 0 : job->cgroup.rlimits.processes;
}

_noreturn_ static void child_main(ExecutorJob *job, int (*fn)(ExecutorJob *job, void *arg, Err *err),
                                  void *arg) {
    sigset_t none;
    Err err = {0};
    int r;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    r = fn(job, arg, &err);
    if (r < 0)
        job->shared->err = err;
    _exit(r < 0 ? 1 : r);
}

int executor_fork(ExecutorJob *job, int (*fn)(ExecutorJob *job, void *arg, Err *err), void *arg,
                  pid_t *ret_pid, Err *err) {
    pid_t pid;

    job->shared->err.code = 0;
    job->shared->oom = false;
    pid = fork();
    if (pid < 0)
        return err_errno(err, "fork");
    if (pid == 0)
        child_main(job, fn, arg);
    *ret_pid = pid;
    return 0;
}

/* Most steps leave nothing: then this is two system calls. A group is killed at once, so that nothing can
 * fork away; where there is none, and in a sandbox, whose end is that of its pid name space, all that is
 * found is killed until nothing is. */
void executor_stop_tree(ExecutorJob *job) {
    pid_t pid;

    do
        pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0 || (pid < 0 && errno == EINTR));
    if (pid < 0) {
        cgroup_tidy(&job->cgroup);
        return;
    }
    if (cgroup_kill(&job->cgroup)) {
        tree_reap_all();
        cgroup_renew(&job->cgroup);
    } else {
        tree_reap_all();
    }
}
