/* Builds from somebody else's fork: some of their jobs wait until somebody who may push here has looked at
 * the commit. They stay blocked with no need left; all others run. One that has finished (what it lacked may
 * have been its end) is approved for what repeats it. */
#include "build/state.h"

#include "base/json.h"
#include "base/str.h"
#include <inttypes.h>

static bool builds_image(const json_t *spec) {
    const json_t *step;
    size_t i;

    json_array_foreach (json_object_get(spec, "steps"), i, step)
        if (str_eq(json_string_value(json_object_get(step, "uses")), "docker"))
            return true;
    return false;
}

/* An image that is built is there for the other jobs of the runner's engine, under any name. */
const char *approval_lacks(const Build *build, const Job *job) {
    _cleanup_json_ json_t *spec = NULL;
    Err err;

    if (!build->untrusted)
        return NULL;
    if (str_eq(job->executor, "shell"))
        return "runs outside the sandbox";
    if (json_read(job->spec, strlen(job->spec), &spec, &err) < 0)
        return "cannot be read";
    if (json_array_size(json_object_get(spec, "secrets")))
        return "names secrets";
    return builds_image(spec) ? "builds an image" : NULL;
}

static int approve(Tx *tx, int64_t id, const char *by, Err *err) {
    Build *build;
    int r = store_build_load(tx->b->db, id, tx->mem, &build, err);

    if (r < 0 || !str_empty(build->approved_by))
        return r;
    if (!build->untrusted)
        return err_set(err, ERR_CONFLICT, "build %" PRId64 " is not from a fork: it needs no approval", id);
    r = store_build_approve(tx->b->db, id, by, err);
    build->untrusted = false;
    if (r >= 0)
        r = tx_event(tx, "updated", id, build->state, err);
    return r < 0 || build->held || build->finished_at ? r : state_build_begin(tx, build, err);
}

int build_approve(Builds *b, int64_t build_id, const char *by, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, approve(&tx, build_id, by, err), err);
}
