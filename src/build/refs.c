/* Refs of hosted repositories: what a push changed, and what changed while nobody could tell us. */
#include "build/state.h"

#include "base/log.h"
#include "base/str.h"
#include "git/git.h"

static const char not_built[] = "neither a branch, a tag nor the head of a pull request";
static const char zero_rev[] = "0000000000000000000000000000000000000000";

/* Without its default branch a repository has no schedules. */
static int ref_gone(Tx *tx, const BuildRequest *push, Err *err) {
    bool sets = false;
    int r = store_ref_delete(tx->b->db, push->project->id, push->ref, err);

    if (r >= 0)
        r = schedules_default(push->project, push->ref, &sets, err);
    return r < 0 || !sets ? r : schedules_set(tx, push->project->id, NULL, err);
}

static int store_only(Tx *tx, const BuildRequest *push, bool gone, const char *outcome, Err *err) {
    int r = gone ? ref_gone(tx, push, err) : 0;

    return r < 0 ? r : trigger_insert(tx, push, 0, outcome, err);
}

/* What was told of a pull request goes with its head. */
static int forget_pull(Tx *tx, const BuildRequest *push, Err *err) {
    int64_t number = git_pull_number(push->ref);

    return number ? store_pull_delete(tx->b->db, push->project->id, number, err) : 0;
}

/* A ref that was deleted; unless it was pushed again meanwhile, which is told, or found, on its own. */
static int forget(Builds *b, const BuildRequest *push, Err *err) {
    BuildRequest deleted = *push;
    const char *now;
    Tx tx;
    int r = tx_begin(b, &tx, err);

    deleted.event = "delete";
    deleted.found = false;
    if (r < 0)
        return r;
    r = trigger_ref_now(push->project, push->ref, tx.mem, &now, err);
    if (r >= 0 && !(now && push->found))
        r = store_only(&tx, &deleted, !now, "deleted", err);
    if (r >= 0 && !now)
        r = forget_pull(&tx, push, err);
    return tx_end(&tx, r, err);
}

/* Notes, what a forge has merged for a pull request, and the like. */
static int pass_over(Builds *b, const BuildRequest *push, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, store_only(&tx, push, false, not_built, err), err);
}

/* HEAD of a new repository names a branch that may never come: it follows the first one that is pushed
 * instead, so that a clone has something to check out (contracts/git-ci.md, 4.2). Worth no more than a word
 * in the log when it fails. */
static void adopt_head(const BuildRequest *push, const void *mem) {
    const char *branch = str_after(push->ref, "refs/heads/"), *head, *commit, *full;
    Err err;
    int r;

    if (!branch || !str_eq(push->old_rev, zero_rev))
        return;
    r = git_head(push->project->path, mem, &head, &err);
    if (r >= 0)
        r = git_resolve(push->project->path, mem_printf(mem, "refs/heads/%s", head), mem, &commit, &full,
                        &err);
    if (r == -ERR_NOT_FOUND)
        r = git_set_head(push->project->path, branch, &err);
    if (r < 0)
        log_err("build", "set the default branch", &err);
}

/* NULL: the ref is not the head of one. */
static const PullRequest *pull_of(const BuildRequest *push, const void *mem) {
    int64_t number = git_pull_number(push->ref);
    PullRequest *pull;

    if (!number || push->pull)
        return number ? push->pull : NULL;
    pull = mem_new(mem, PullRequest);
    pull->number = number;
    return pull;
}

/* Who does not tell where the ref was means a push from where it was known to be. */
static int fill_old(Builds *b, BuildRequest *push, const void *mem, Err *err) {
    int r;

    if (push->old_rev)
        return 0;
    push->old_unknown = true;
    r = store_ref_get(b->db, push->project->id, push->ref, mem, &push->old_rev, err);
    if (r >= 0 && !push->old_rev)
        push->old_rev = zero_rev;
    return r;
}

static int ref_changed(Builds *b, BuildRequest *push, const void *mem, BuildOutcome *ret, Err *err) {
    bool tag = str_after(push->ref, "refs/tags/") != NULL;
    const char *message = NULL, *full;
    int r = fill_old(b, push, mem, err);

    if (r < 0)
        return r;
    push->pull = pull_of(push, mem);
    push->event = tag ? "tag" : push->pull ? "pull_request" : "push";
    if (str_eq(push->commit, zero_rev)) {
        message = mem_printf(mem, "%s was deleted", push->ref);
        r = forget(b, push, err);
    } else if (!tag && !push->pull && !str_after(push->ref, "refs/heads/")) {
        message = mem_printf(mem, "%s is %s", push->ref, not_built);
        r = pass_over(b, push, err);
    }
    if (message) {
        if (r >= 0)
            *ret = (BuildOutcome){.status = "skipped", .message = message};
        return r;
    }
    /* an annotated tag's object is not a commit: its build is of the commit that it points to */
    if (tag)
        r = git_resolve(push->project->path, push->commit, mem, &push->commit, &full, err);
    adopt_head(push, mem);
    if (r < 0)
        return r;
    /* before the push counts as seen: what dies in between is done again, and each of them runs once */
    if (!push->pull)
        pipelines_of_push(b, push);
    return build_create(b, push, mem, ret, err);
}

int build_ref_changed(Builds *b, const Project *project, const RefChange *change, const void *mem,
                      BuildOutcome *ret, Err *err) {
    BuildRequest push = {.project = project,
                         .ref = change->ref,
                         .commit = change->new_rev,
                         .old_rev = change->old_rev,
                         .pusher = change->pusher,
                         .pull = change->pull,
                         .signature = change->signature};

    return ref_changed(b, &push, mem, ret, err);
}

static const char *known_commit(const RefRow *known, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(known[i].name, name))
            return known[i].commit;
    return NULL;
}

static bool still_there(const GitRef *refs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(refs[i].name, name))
            return true;
    return false;
}

static int compare_ref(Builds *b, const Project *project, const char *ref, const char *old_rev,
                       const char *new_rev, const void *mem, Err *err) {
    BuildRequest push = {
        .project = project, .ref = ref, .commit = new_rev, .old_rev = old_rev, .pusher = "", .found = true};
    BuildOutcome outcome;
    int r = ref_changed(b, &push, mem, &outcome, err);

    if (r < 0)
        return err_wrap(err, "a push to %s that was missed", ref);
    log_info("build", "found a push that nobody told of: %s %s %.8s: %s", project->name, ref, new_rev,
             outcome.status);
    return 0;
}

int refs_compare(Builds *b, const Project *project, size_t *count, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    RefRow *known;
    GitRef *refs;
    size_t known_count, ref_count;
    int result = 0, r = store_refs(b->db, project->id, mem, &known, &known_count, err);

    if (r >= 0)
        r = git_refs(project->path, mem, &refs, &ref_count, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ref_count; i++) {
        const char *old = known_commit(known, known_count, refs[i].name);

        if (str_eq(old, refs[i].commit))
            continue;
        r = compare_ref(b, project, refs[i].name, old ? old : zero_rev, refs[i].commit, mem, err);
        result = MIN(result, r);
        (*count)++;
    }
    for (size_t i = 0; i < known_count; i++) {
        if (still_there(refs, ref_count, known[i].name))
            continue;
        r = compare_ref(b, project, known[i].name, known[i].commit, zero_rev, mem, err);
        result = MIN(result, r);
        (*count)++;
    }
    return result;
}
