/* A plain process in the workspace, with the runner's own rights: for pipelines that are trusted. */
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/executor.h"
#include "executor/tree.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int shell_available(Err *err) {
    return access("/bin/sh", X_OK) < 0 ? err_errno(err, "/bin/sh") : 0;
}

static int shell_start(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err) {
    const char *argv[] = {str_empty(step->shell) ? "/bin/sh" : step->shell, "-e", "-c", step->run, NULL};
    char cwd[PATH_MAX];
    ProcOptions options = {
        .argv = argv,
        .envp = step->env,
        .cwd = cwd,
        .out = step->out,
        .err = step->out,
        .die_with_parent = true,
        .cgroup_fd = MAX(job->cgroup.tree_fd, 0),
        .before_exec = executor_before_exec,
        .arg = job,
    };

    if (snprintf(cwd, sizeof(cwd), "%s%s%s", job->workspace, str_empty(step->cwd) ? "" : "/", step->cwd) >=
        (int)sizeof(cwd))
        return err_set(err, ERR_INVALID, "working-directory: the path is too long");
    return proc_start(&options, ret_pid, NULL, err);
}

static void shell_ask(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(getpid(), 1, sig);
}

const ExecutorOps executor_shell = {
    .name = "shell",
    .help = "a plain process with the runner's own rights (trusted pipelines only)",
    .available = shell_available,
    .start = shell_start,
    .ask = shell_ask,
    .stop = executor_stop_tree,
};
