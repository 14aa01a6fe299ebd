/* What is done for a job beside its steps: in a child of its own, so that a cancel and the job's timeout end
 * it like a step. */
#include "executor/tree.h"
#include "runner/process.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

typedef struct Child {
    const char *what;
    int (*fn)(void *arg, int out, Err *err);
    void *arg;
    Err *shared; /* its error: memory of both */
} Child;

static void ask_tree(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(getpid(), 1, sig);
}

static void stop_tree(ExecutorJob *job) {
    tree_reap_all();
}

_noreturn_ static void child_main(const Child *c, int out) {
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    _exit(c->fn(c->arg, out, c->shared) < 0 ? 1 : 0);
}

static int end_of(const Child *c, WatchEnd end, const Watch *w, Err *err) {
    switch (end) {
    case WATCH_EXITED:
        if (w->status == 0)
            return 0;
        if (w->status == 1 && c->shared->code) {
            *err = *c->shared;
            return -(int)c->shared->code;
        }
        return err_set(err, ERR_IO, "the %s ended with status %d", c->what, w->status);
    case WATCH_BROKEN:
        *err = w->err;
        return -(int)err->code;
    case WATCH_TIMEOUT:
        return err_set(err, ERR_TIMEOUT, "the job's time is over");
    default:
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
}

static int follow(JobProcess *j, const Child *c, Err *err) {
    Watch w = {.ask = ask_tree, .stop = stop_tree};
    _cleanup_close_ int in = -1, out = -1;
    WatchEnd end;
    int r = watch_pipe(&in, &out, err);

    if (r < 0)
        return r;
    w.pid = fork();
    if (w.pid < 0)
        return err_errno(err, "fork");
    if (w.pid == 0)
        child_main(c, out);
    mem_close(TAKE_FD(out));
    w.out = in;
    end = watch_process(j, &w);
    return end_of(c, end, &w, err);
}

int child_run(JobProcess *j, const char *what, int (*fn)(void *arg, int out, Err *err), void *arg, Err *err) {
    Child c = {.what = what, .fn = fn, .arg = arg};
    int r;

    c.shared = mmap(NULL, sizeof(*c.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c.shared == MAP_FAILED)
        return err_errno(err, "mmap");
    r = follow(j, &c, err);
    munmap(c.shared, sizeof(*c.shared));
    return r;
}
