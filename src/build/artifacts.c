/* Artifacts: a job keeps them, their time runs from their build's end on, and what no row is of goes from the
 * disk. Files are removed when the rows that were of them are gone for good (a power loss would bring back
 * what is not on the disk yet), while nobody can record another of the same bytes: a row that lives has its
 * file. */
#include "build/state.h"

#include "base/log.h"
#include "base/str.h"
#include "build/flake.h"
#include <inttypes.h>

#define EXPIRE_BATCH 1000
#define SWEEP_BATCH 64

const char *build_artifact_folder(const Build *build) {
    return str_empty(build->commit) ? build->uuid : build->commit;
}

/* ---- kept ---- */

static int64_t keep_of(const Builds *b, const Artifact *a) {
    if (a->keep)
        return MAX(a->keep, INT64_C(0));
    return str_empty(a->name) && str_after(a->path, ARTIFACTS_OWN) ? 0 : b->options.artifact_keep_us;
}

/* A stranger's flake is not the repository's. */
static int note_flake(Tx *tx, const Build *build, const Artifact *a, Err *err) {
    const char *offers = build->untrusted ? NULL : flake_offers(tx->b, a, tx->mem);

    return offers ? store_flake_put(tx->b->db, build->project_id, build->id, offers, err) : 0;
}

static int keep(Tx *tx, const Artifact *artifact, Err *err) {
    Artifact a = *artifact;
    bool replaced;
    Build *build;
    int r = store_build_load(tx->b->db, a.build_id, tx->mem, &build, err);

    if (r < 0)
        return r;
    if (!blob_artifact_there(tx->b->blob, a.sha256, build_artifact_folder(build), a.path))
        return err_set(err, ERR_UNAVAILABLE, "artifact %s was removed with an older one; send it again",
                       a.path);
    a.keep = keep_of(tx->b, artifact);
    r = store_artifact_put(tx->b->db, &a, &replaced, err);
    if (r >= 0)
        r = note_flake(tx, build, &a, err);
    return r < 0 || !replaced ? r : artifacts_left(tx, err);
}

int build_keep_artifact(Builds *b, Attempt attempt, int64_t runner_id, const Artifact *artifact, Err *err) {
    Job *job;
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = attempt_holds(&tx, attempt, runner_id, &job, err);
    return tx_end(&tx, r < 0 ? r : keep(&tx, artifact, err), err);
}

/* ---- their time ---- */

int artifacts_drop(Tx *tx, const Job *job, Err *err) {
    int64_t count = 0;
    int r = store_artifacts_drop(tx->b->db, job->id, &count, err);

    return r < 0 || count == 0 ? r : artifacts_left(tx, err);
}

int artifacts_ended(Tx *tx, int64_t build_id, Err *err) {
    int64_t first = 0;
    int r = store_artifacts_ended(tx->b->db, build_id, tx->now, &first, err);

    return r < 0 || first == 0 ? r : timer_set(tx, "artifacts", build_id, first, err);
}

/* Of very many some, then those who wait for the database, then the rest. */
int artifacts_due(Tx *tx, int64_t build_id, Err *err) {
    int64_t next = 0;
    int r = store_artifacts_expire(tx->b->db, build_id, tx->now, EXPIRE_BATCH, err);

    if (r >= 0)
        r = store_artifacts_first(tx->b->db, build_id, &next, err);
    if (r >= 0 && next)
        r = timer_set(tx, "artifacts", build_id, next, err);
    return r < 0 ? r : artifacts_left(tx, err);
}

/* ---- what is left on the disk ---- */

int artifacts_left(Tx *tx, Err *err) {
    return timer_set(tx, "garbage", 0, tx->now, err);
}

int build_workspaces_remove(Builds *b, int64_t build_id, Err *err) {
    int64_t count = 0;
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = store_artifacts_drop_workspaces(b->db, build_id, &count, err);
    if (r >= 0 && count)
        r = artifacts_left(&tx, err);
    return tx_end(&tx, r, err);
}

/* Who cannot remove a file says so, and does not keep the others. */
static void said(const ArtifactGarbage *g, int r, const Err *err) {
    if (r < 0)
        log_warn("build", "artifact %s of %s is left on the disk: %s", g->path, g->folder, err->msg);
}

static int sweep_name(Tx *tx, const ArtifactGarbage *g, Err *err) {
    const char *instead = NULL;
    int64_t used = 0;
    int r = store_garbage_name_used(tx->b->db, g, &used, err);
    Err failure;

    if (r >= 0 && !used)
        r = store_garbage_name_bytes(tx->b->db, g, tx->mem, &instead, err);
    if (r < 0 || used)
        return r;
    if (!instead)
        said(g, blob_name_remove(tx->b->blob, g->folder, g->path, &failure), &failure);
    else if (!str_eq(instead, g->sha256))
        said(g, blob_name_change(tx->b->blob, g->sha256, g->folder, g->path, instead, &failure), &failure);
    return 0;
}

/* The name first: by its bytes it is known whether it is of them. */
static int sweep_one(Tx *tx, const ArtifactGarbage *g, Err *err) {
    int64_t used = 0;
    int r = sweep_name(tx, g, err);
    Err failure;

    if (r >= 0)
        r = store_garbage_bytes_used(tx->b->db, g, &used, err);
    if (r >= 0 && !used)
        said(g, blob_object_remove(tx->b->blob, g->sha256, &failure), &failure);
    return r < 0 ? r : store_garbage_done(tx->b->db, g->id, err);
}

static int sweep(Tx *tx, const ArtifactGarbage *all, size_t count, Err *err) {
    int r = store_timer_drop(tx->b->db, "garbage", 0, NULL, err);
    ArtifactGarbage *more;
    size_t more_count = 0;

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = sweep_one(tx, &all[i], err);
    if (r >= 0)
        r = store_garbage(tx->b->db, 1, tx->mem, &more, &more_count, err);
    return r < 0 || more_count == 0 ? r : artifacts_left(tx, err);
}

/* What is found before is on the disk after; what comes later is newer garbage, which counts as a use. */
int artifacts_sweep(Builds *b, const Timer *timer, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    ArtifactGarbage *all;
    size_t count;
    Tx tx;
    int r = store_garbage(b->db, SWEEP_BATCH, mem, &all, &count, err);

    if (r >= 0)
        r = db_durable(b->db, db_promised(b->db), 0, err);
    if (r >= 0)
        r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    tx.casual = true;
    return tx_end(&tx, sweep(&tx, all, count, err), err);
}
