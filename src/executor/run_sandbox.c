/* The sandbox as an executor. */
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/executor.h"
#include "executor/sandbox.h"
#include "executor/tree.h"

static int run_start(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err) {
    const char *command[] = {str_empty(step->shell) ? "/bin/sh" : step->shell, "-e", "-c", step->run, NULL};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int filter = -1;
    int keep[2] = {-1, -1};
    const SandboxBind binds[] = {{job->handover, EXECUTOR_HANDOVER, false}, {NULL, NULL, false}};
    SandboxOptions sandbox = {
        .folder = job->workspace,
        .cwd = step->cwd,
        .etc = job->etc,
        .read_only = job->read_only,
        .binds = binds,
        .network = job->network,
        .processes = executor_processes_inside(job),
    };
    ProcOptions options = {
        .envp = step->env,
        .out = step->out,
        .err = step->out,
        .keep = keep,
        .die_with_parent = true,
        .drop_user = job->drop_user,
        .uid = job->uid,
        .gid = job->gid,
        .cgroup_fd = MAX(job->cgroup.tree_fd, 0),
        .before_exec = executor_before_exec,
        .arg = job,
    };
    int r;

    r = sandbox_seccomp_open(&filter, err);
    if (r < 0)
        return r;
    sandbox.seccomp_fd = keep[0] = filter;
    r = sandbox_argv(&sandbox, command, mem, (const char ***)&options.argv, err);
    return r < 0 ? r : proc_start(&options, ret_pid, NULL, err);
}

/* Bubblewrap itself and its init are the first two of the tree: a signal to them would end the sandbox at
 * once. */
static void run_ask(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(pid, 2, sig);
}

/* Its pid name space ends with it, whole. */
static void run_stop(ExecutorJob *job) {
    tree_reap_all();
}

const ExecutorOps executor_sandbox = {
    .name = "sandbox",
    .help = "bubblewrap: own name spaces and user, the system read-only, a seccomp filter",
    .workspace_inside = SANDBOX_FOLDER,
    .sandboxed = true,
    .available = sandbox_available,
    .start = run_start,
    .ask = run_ask,
    .stop = run_stop,
};
