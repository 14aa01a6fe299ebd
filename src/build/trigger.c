/* What a push is to us. Hooks of pushes that follow each other closely come in any order, and a push may be
 * told twice: by its hook and by comparing refs. The repository itself says where a ref is now. */
#include "build/state.h"

#include "base/str.h"
#include "git/git.h"

int trigger_ref_now(const Project *project, const char *ref, const void *mem, const char **ret, Err *err) {
    const char *commit, *full;
    int r = git_resolve(project->path, ref, mem, &commit, &full, err);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return err_wrap(err, "look for %s", ref);
    *ret = r < 0 || !str_eq(full, ref) ? NULL : commit;
    return 0;
}

/* The trigger that brought the ref to this commit last (old_rev: from there), or NULL. */
static int last_of(Builds *b, const BuildRequest *push, const char *old_rev, const void *mem, Trigger **ret,
                   Err *err) {
    int r = store_trigger_last(b->db, push->project->id, push->ref, old_rev, push->commit, mem, ret, err);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (r < 0)
        *ret = NULL;
    return 0;
}

/* From the same commit to the same one is the same push, unless the ref is back where it went from: it may go
 * the same way again. That it left a commit more often than it came there cannot be, whatever the order in
 * which hooks come. */
static bool same_way(const TriggerWay *way) {
    return way->times > 0 && way->left >= way->reached;
}

/* The trigger that the push was told, or found, with before; NULL: none. */
static int told_before(Builds *b, const BuildRequest *push, bool here, const void *mem, PushState *state,
                       Trigger **ret, Err *err) {
    TriggerWay way;
    Trigger *last;
    int r = last_of(b, push, NULL, mem, &last, err);

    *ret = NULL;
    if (r < 0 || !last)
        return r;
    r = store_trigger_way(b->db, push->project->id, push->ref, push->old_rev, push->commit, mem, &way, err);
    if (r < 0)
        return r;
    state->times = way.times;
    if (!here && !state->late) /* the ref has left it since, and is there again */
        return 0;
    /* comparing refs finds one push where there may have been several */
    if (push->old_unknown || (here && (push->found || str_eq(last->kind, "found"))))
        *ret = last;
    else if (same_way(&way))
        return last_of(b, push, push->old_rev, mem, ret, err);
    return 0;
}

int trigger_look(Builds *b, const BuildRequest *push, const void *mem, PushState *ret, Err *err) {
    const char *known, *now;
    PushState state = {0};
    Trigger *before;
    int r = store_ref_get(b->db, push->project->id, push->ref, mem, &known, err);

    /* in the transaction, so that of two pushes the one that sees the newer state is not undone by the other;
     * a branch is one small file */
    if (r >= 0)
        r = trigger_ref_now(push->project, push->ref, mem, &now, err);
    if (r < 0)
        return r;
    state.late = !str_eq(now, push->commit);
    r = told_before(b, push, !state.late && str_eq(known, push->commit), mem, &state, &before, err);
    if (r < 0)
        return r;
    if (before) {
        state.seen = true;
        state.found = str_eq(before->kind, "found");
        state.build = before->build_id;
    }
    *ret = state;
    return 0;
}

/* What the request gave before, as it stands now. */
static int outcome_of(Builds *b, const Trigger *trigger, const void *mem, BuildOutcome *ret, Err *err) {
    Build *build;
    int r;

    *ret = (BuildOutcome){.status = "skipped", .message = trigger->outcome};
    if (!trigger->build_id)
        return 0;
    r = store_build_load(b->db, trigger->build_id, mem, &build, err);
    if (r >= 0)
        *ret = (BuildOutcome){
            .id = build->id, .status = build->state, .message = build->message, .uuid = build->uuid};
    return r;
}

int build_delivered(Builds *b, int64_t project_id, const char *delivery, const char *kind, const void *mem,
                    bool *ret, BuildOutcome *ret_outcome, Err *err) {
    Trigger *trigger;
    int r;

    *ret = false;
    if (!delivery)
        return 0;
    r = store_trigger_by_delivery(b->db, project_id, delivery, mem, &trigger, err);
    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r >= 0 && !str_eq(trigger->kind, kind))
        r = err_set(err, ERR_CONFLICT, "the key \"%s\" was used for another request (%s): take a new one",
                    delivery, trigger->kind);
    if (r >= 0)
        r = outcome_of(b, trigger, mem, ret_outcome, err);
    *ret = r >= 0;
    return r;
}

const char *trigger_kind(const BuildRequest *request) {
    if (request->run)
        return "pipeline";
    return request->pull && !request->old_rev ? "manual" : request->event;
}

int trigger_insert(Tx *tx, const BuildRequest *request, int64_t build_id, const char *outcome, Err *err) {
    Trigger trigger = {.project_id = request->project->id,
                       .build_id = build_id,
                       .delivery = request->delivery,
                       .kind = request->found ? "found" : trigger_kind(request),
                       .ref = request->ref,
                       .old_rev = request->old_rev ? request->old_rev : "",
                       .new_rev = request->commit,
                       .pusher = request->pusher,
                       .outcome = outcome};
    int64_t id;

    return store_trigger_insert(tx->b->db, &trigger, &id, err);
}
