/* A finished build once more: a new build, so that the history stays what it was. Jobs that run again do so
 * from their stored specifications; the others are copied with their results. */
#include "build/state.h"

#include "base/id.h"
#include "base/str.h"
#include "pipeline/pipeline.h"
#include "store/notice.h"
#include "store/pipeline.h"
#include <inttypes.h>

typedef struct Rerun {
    const RerunRequest *request;
    Build *old, build;
    Job *jobs; /* of the old build, by id */
    size_t count;
    JobNeed *needs;
    size_t need_count;
    bool *again;         /* of each job */
    bool *gone;          /* of each job: the one that made it runs again, and may make it again */
    int64_t *open_needs; /* of each job: those that run again */
    int64_t *ids;        /* of the new jobs */
} Rerun;

static size_t index_of(const Rerun *r, int64_t job_id) {
    size_t low = 0, high = r->count;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (r->jobs[middle].id <= job_id)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- which jobs ---- */

static int no_such_job(Tx *tx, const Rerun *r, const char *name, Err *err) {
    const char **names = mem_array(tx->mem, const char *, r->count + 1), *near;

    for (size_t i = 0; i < r->count; i++)
        names[i] = r->jobs[i].name;
    near = str_nearest(name, names);
    return err_set(err, ERR_INVALID, "build %" PRId64 " has no job '%s'%s%s%s", r->old->id, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int choose_named(Tx *tx, Rerun *r, Err *err) {
    for (const char *const *name = r->request->jobs; *name; name++) {
        bool found = false;

        for (size_t i = 0; i < r->count; i++)
            if (plan_name_means(*name, strlen(*name), r->jobs[i].name))
                r->again[i] = found = true;
        if (!found)
            return no_such_job(tx, r, *name, err);
    }
    return 0;
}

static bool did_not_succeed(const Job *job) {
    return str_eq(job->state, "failed") || str_eq(job->state, "cancelled") ||
           (str_eq(job->state, "skipped") && str_eq(job->reason, "dependency"));
}

/* What depends on a job that runs again does so too. */
static void choose_dependents(Rerun *r) {
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < r->need_count; i++) {
            bool *again = &r->again[index_of(r, r->needs[i].job_id)];

            if (*again || !r->again[index_of(r, r->needs[i].need_id)])
                continue;
            *again = more = true;
        }
    }
}

/* Who made a job is before it. */
static void leave_made(Rerun *r) {
    for (size_t i = 0; i < r->count; i++) {
        size_t maker = r->jobs[i].made_by ? index_of(r, r->jobs[i].made_by) : i;

        r->gone[i] = r->gone[maker] || (maker != i && r->again[maker]);
        r->again[i] = r->again[i] && !r->gone[i];
    }
}

static int choose(Tx *tx, Rerun *r, Err *err) {
    int result = r->request->jobs ? choose_named(tx, r, err) : 0;

    for (size_t i = 0; i < r->count && !r->request->jobs; i++)
        r->again[i] = !r->request->failed || did_not_succeed(&r->jobs[i]);
    if (result < 0)
        return result;
    choose_dependents(r);
    leave_made(r);
    for (size_t i = 0; i < r->count; i++)
        r->build.jobs_left += r->again[i];
    if (r->build.jobs_left == 0 && r->count > 0)
        return err_set(err, ERR_CONFLICT, "no job of build %" PRId64 " has failed", r->old->id);
    return 0;
}

static int load(Tx *tx, Rerun *r, Err *err) {
    Db *db = tx->b->db;
    int result = 0;

    if (!r->old->finished_at)
        return err_set(err, ERR_CONFLICT,
                       "build %" PRId64 " has not finished: wait for it, or cancel it first", r->old->id);
    result = repo_check(tx, r->old->project_id, err);
    if (result >= 0)
        result = store_jobs_as_made(db, r->old->id, tx->mem, &r->jobs, &r->count, err);
    if (result >= 0)
        result = store_job_needs_of_build(db, r->old->id, tx->mem, &r->needs, &r->need_count, err);
    if (result < 0)
        return result;
    if (r->count == 0)
        return err_set(err, ERR_CONFLICT, "build %" PRId64 " has no jobs to run again: %s", r->old->id,
                       r->old->message);
    r->again = mem_array(tx->mem, bool, r->count);
    r->gone = mem_array(tx->mem, bool, r->count);
    r->open_needs = mem_array(tx->mem, int64_t, r->count);
    r->ids = mem_array(tx->mem, int64_t, r->count);
    return 0;
}

/* ---- the new rows ---- */

/* In the group of the old one; it waits for its turn, and takes nobody's. It is trusted as far as that is. */
static int insert_build(Tx *tx, Rerun *r, Err *err) {
    int64_t left = r->build.jobs_left;
    char uuid[ID_UUID_SIZE];
    int result;

    id_uuid(uuid);
    r->build = *r->old;
    r->build.uuid = mem_strdup(tx->mem, uuid);
    r->build.pusher = r->request->by;
    r->build.state = "queued";
    r->build.reason = r->build.message = r->build.stop_reason = r->build.stop_message = "";
    r->build.created_at = tx->now;
    r->build.started_at = r->build.finished_at = 0;
    r->build.jobs_left = left;
    r->build.held = !str_empty(r->old->concurrency_group);
    r->build.rerun_of = r->old->id;
    result = store_build_insert(tx->b->db, &r->build, err);
    if (result >= 0)
        result = store_execution_copy(tx->b->db, r->old->id, r->build.id, err);
    if (result >= 0)
        result = store_notices_copy(tx->b->db, r->old->id, r->build.id, err);
    if (result >= 0)
        result = store_signature_copy(tx->b->db, r->old->id, r->build.id, err);
    return result < 0 ? result : tx_event(tx, "created", r->build.id, r->build.state, err);
}

/* The new row of the job that made it; 0: none. */
static int64_t maker_of(const Rerun *r, size_t i) {
    return r->jobs[i].made_by ? r->ids[index_of(r, r->jobs[i].made_by)] : 0;
}

static int copy_job(Tx *tx, Rerun *r, size_t i, Err *err) {
    char uuid[ID_UUID_SIZE];
    int result;
    Job job;

    id_uuid(uuid);
    result = store_job_copy(tx->b->db, r->jobs[i].id, uuid, r->build.id, maker_of(r, i), &r->ids[i], err);
    job = r->jobs[i];
    job.build_id = r->build.id;
    if (result >= 0)
        result = retry_counts(tx, &job, err);
    return result < 0 ? result : store_artifacts_copy(tx->b->db, &r->jobs[i], r->build.id, r->ids[i], err);
}

/* All of them blocked at first. */
static int insert_job(Tx *tx, Rerun *r, size_t i, Err *err) {
    const Job *old = &r->jobs[i];
    char uuid[ID_UUID_SIZE];
    Job job = {.uuid = uuid,
               .build_id = r->build.id,
               .project_id = r->build.project_id,
               .position = old->position,
               .name = old->name,
               .kind = old->kind,
               .executor = old->executor,
               .arch = old->arch,
               .fit_id = old->fit_id,
               .priority = old->priority,
               .retry = old->retry,
               .queue_timeout = old->queue_timeout,
               .allow_failure = old->allow_failure,
               .condition = old->condition,
               .spec = old->spec,
               .state = "blocked",
               .reason = "",
               .message = "",
               .needs_left = r->open_needs[i],
               .made_by = maker_of(r, i),
               .created_at = tx->now};
    int result;

    id_uuid(uuid);
    result = store_job_insert(tx->b->db, &job, err);
    r->ids[i] = job.id;
    if (result >= 0)
        result = retry_counts(tx, &job, err);
    return result < 0 || !str_eq(job.kind, "deploy") ? result : create_deployment(tx, &r->build, &job, err);
}

static int insert_jobs(Tx *tx, Rerun *r, Err *err) {
    int result = 0;

    for (size_t i = 0; i < r->need_count; i++)
        r->open_needs[index_of(r, r->needs[i].job_id)] += r->again[index_of(r, r->needs[i].need_id)];
    for (size_t i = 0; result >= 0 && i < r->count; i++)
        if (!r->gone[i])
            result = r->again[i] ? insert_job(tx, r, i, err) : copy_job(tx, r, i, err);
    for (size_t i = 0; result >= 0 && i < r->need_count; i++) {
        size_t job = index_of(r, r->needs[i].job_id), need = index_of(r, r->needs[i].need_id);

        if (!r->gone[job] && !r->gone[need])
            result = store_job_need_insert(tx->b->db, r->ids[job], r->ids[need], err);
    }
    return result;
}

static int insert_trigger(Tx *tx, const Rerun *r, Err *err) {
    Trigger trigger = {.project_id = r->build.project_id,
                       .build_id = r->build.id,
                       .delivery = r->request->delivery,
                       .kind = "rerun",
                       .ref = r->build.ref,
                       .old_rev = "",
                       .new_rev = r->build.commit,
                       .pusher = r->request->by,
                       .outcome = "build"};
    int64_t id;

    return store_trigger_insert(tx->b->db, &trigger, &id, err);
}

static int rerun(Tx *tx, Rerun *r, Err *err) {
    int result = load(tx, r, err);

    if (result >= 0)
        result = choose(tx, r, err);
    if (result >= 0)
        result = insert_build(tx, r, err);
    if (result >= 0)
        result = insert_jobs(tx, r, err);
    if (result >= 0)
        result = insert_trigger(tx, r, err);
    if (result < 0)
        return result;
    return r->build.held ? group_enter(tx, &r->build, "none", err) : state_build_begin(tx, &r->build, err);
}

static int rerun_once(Tx *tx, const RerunRequest *request, const void *mem, BuildOutcome *ret, Err *err) {
    Rerun r = {.request = request};
    bool before;
    int result = store_build_load(tx->b->db, request->build, tx->mem, &r.old, err);

    if (result >= 0)
        result =
            build_delivered(tx->b, r.old->project_id, request->delivery, "rerun", mem, &before, ret, err);
    if (result < 0 || before)
        return result;
    result = rerun(tx, &r, err);
    *ret = (BuildOutcome){.id = r.build.id, .status = "queued", .message = ""};
    return result;
}

int build_rerun(Builds *b, const RerunRequest *request, const void *mem, BuildOutcome *ret, Err *err) {
    BuildOutcome outcome;
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = tx_end(&tx, rerun_once(&tx, request, mem, &outcome, err), err);
    if (r >= 0)
        *ret = outcome;
    return r;
}
