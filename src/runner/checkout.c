/* The commit in the workspace. In a child of its own, so that a cancel and the job's timeout end it like a
 * step. */
#include "base/str.h"
#include "executor/sandbox.h"
#include "git/git.h"
#include "runner/process.h"
#include "runner/server.h"
#include <stdio.h>

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

static int check_out(void *arg, int out, Err *err) {
    GitCheckout *checkout = arg;

    checkout->log_fd = out;
    return git_checkout(checkout, err);
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

static int follow_to_success(JobProcess *j, const GitCheckout *wanted, Err *err) {
    ServerRetry retry = {0};
    int unclear = 0, r;

    for (;;) {
        GitCheckout checkout = *wanted;

        find_server(j, &checkout);
        r = child_run(j, "checkout", check_out, &checkout, err);
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

/* Who may not push here must not read what our token reads. */
static const char *withheld(const JobProcess *j) {
    const long long build = j->spec->build;

    return j->spec->untrusted
               ? mem_printf(
                     j->mem,
                     "one of this server is not fetched for a build from a fork before it is approved: "
                     "pelton build approve %lld, then pelton rerun %lld",
                     build, build)
               : NULL;
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
        .withheld = withheld(j),
        .drop_user = j->run.drop_user,
        .uid = j->run.uid,
        .gid = j->run.gid,
    };
    int r;

    if (!checkout.url || !str_is_commit(checkout.commit))
        return err_set(err, ERR_INVALID, "the job has no repository or no commit to check out");
    r = follow_to_success(j, &checkout, err);
    /* the workspace's .git borrows objects: steps that call git must see them, at their own place */
    read_only[0] = borrow ? borrow : checkout.mirror;
    j->run.read_only = read_only;
    return r;
}
