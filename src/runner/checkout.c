/* The commit in the workspace. In a child of its own, so that a cancel and the job's timeout end it like a
 * step. */
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/sandbox.h"
#include "executor/tree.h"
#include "git/git.h"
#include "runner/process.h"
#include "runner/server.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static void ask_tree(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(getpid(), 1, sig);
}

static void stop_tree(ExecutorJob *job) {
    tree_reap_all();
}

/* A repository on this disk that the job's user can read: nothing has to be fetched. */
static const char *borrowable(const JobProcess *j) {
    const char *path = j->spec->repository_path, *objects;
    Err err;

    if (str_empty(path) || path[0] != '/')
        return NULL;
    objects = mem_printf(j->mem, "%s/objects", path);
    if (access(objects, R_OK | X_OK) < 0)
        return NULL;
    if (j->run.drop_user && sandbox_reachable(objects, j->run.uid, j->run.gid, &err) < 0)
        return NULL;
    return path;
}

_noreturn_ static void child_main(const GitCheckout *checkout, Err *shared) {
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    _exit(git_checkout(checkout, shared) < 0 ? 1 : 0);
}

static int end_of_checkout(JobProcess *j, WatchEnd end, const Watch *w, const Err *shared, Err *err) {
    switch (end) {
    case WATCH_EXITED:
        if (w->status == 0)
            return 0;
        if (w->status == 1 && shared->code) {
            *err = *shared;
            return -(int)shared->code;
        }
        return err_set(err, ERR_IO, "the checkout ended with status %d", w->status);
    case WATCH_BROKEN:
        *err = w->err;
        return -(int)err->code;
    case WATCH_TIMEOUT:
        return err_set(err, ERR_TIMEOUT, "the job's time is over");
    default:
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
}

static int follow(JobProcess *j, GitCheckout *checkout, Err *shared, Err *err) {
    Watch w = {.ask = ask_tree, .stop = stop_tree};
    _cleanup_close_ int in = -1, out = -1;
    WatchEnd end;
    int r = watch_pipe(&in, &out, err);

    if (r < 0)
        return r;
    checkout->log_fd = out;
    w.pid = fork();
    if (w.pid < 0)
        return err_errno(err, "fork");
    if (w.pid == 0)
        child_main(checkout, shared);
    mem_close(TAKE_FD(out));
    w.out = in;
    end = watch_process(j, &w);
    return end_of_checkout(j, end, &w, shared, err);
}

/* How often it is tried after an error that may be the network's or the server's, but does not say so. */
#define UNCLEAR_TRIES 3

/* Whether another try may go well. A server that is out of reach comes back: a job waits for it as long as it
 * has time, here as anywhere. */
static bool may_pass(int r, int *unclear) {
    switch (-r) {
    case ERR_UNAVAILABLE:
        return true;
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
    case ERR_NO_SPACE:
    case ERR_TIMEOUT:
    case ERR_CANCELLED:
        return false;
    default:
        return ++*unclear < UNCLEAR_TRIES;
    }
}

/* The repository is where the server is: it may have moved since it gave the job. */
static void find_server(JobProcess *j, GitCheckout *checkout) {
    const char *before = j->host->o.server, *rest = str_after(checkout->url, before), *now;

    now = rest ? server_address(j->host->o.server_file, j->mem) : NULL;
    if (now)
        checkout->url = mem_printf(j->mem, "%s%s", now, rest);
}

static int follow_to_success(JobProcess *j, const GitCheckout *wanted, Err *shared, Err *err) {
    ServerRetry retry = {0};
    int unclear = 0, r;

    for (;;) {
        GitCheckout checkout = *wanted;

        *shared = (Err){0};
        find_server(j, &checkout);
        r = follow(j, &checkout, shared, err);
        if (r >= 0 || !may_pass(r, &unclear))
            return r;
        job_say(j, "checkout: %s; trying again", err->msg);
        if (!watch_pause(j, server_retry_pause(&retry)))
            return r;
        r = job_empty_workspace(j, err);
        if (r < 0)
            return r;
    }
}

int checkout_run(JobProcess *j, Err *err) {
    const char *borrow = borrowable(j);
    const char **read_only = mem_array(j->mem, const char *, 2);
    GitCheckout checkout = {
        .url = j->spec->repository_url,
        .token = j->host->token,
        .borrow = borrow,
        .mirror = mem_printf(j->mem, "%s/mirrors/%lld.git", j->host->o.dir, (long long)j->spec->project_id),
        .workspace = j->workspace,
        .commit = j->spec->commit,
        .drop_user = j->run.drop_user,
        .uid = j->run.uid,
        .gid = j->run.gid,
    };
    Err *shared;
    int r;

    if (!checkout.url || !str_is_commit(checkout.commit))
        return err_set(err, ERR_INVALID, "the job has no repository or no commit to check out");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return err_errno(err, "mmap");
    r = follow_to_success(j, &checkout, shared, err);
    munmap(shared, sizeof(*shared));
    /* the workspace's .git borrows objects: steps that call git must see them, at their own place */
    read_only[0] = borrow ? borrow : checkout.mirror;
    j->run.read_only = read_only;
    return r;
}
