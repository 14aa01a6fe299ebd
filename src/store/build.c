#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT b.id, b.project_id, p.name, b.uuid, b.commit_hash, b.ref, b.branch, b.event, b.planner, "        \
    "b.author,"                                                                                              \
    " b.email, b.subject, b.pusher, b.env, b.state, b.reason, b.message, b.jobs_left, b.created_at,"         \
    " b.started_at, b.finished_at, b.concurrency_limit, b.held, b.timeout, b.rerun_of, b.concurrency_group," \
    " b.stop_reason, b.stop_message, b.schedule, b.pull, b.untrusted, b.approved_by, b.retries, "            \
    "b.max_retries, b.inputs, b.old_rev"                                                                     \
    " FROM build b JOIN project p ON p.id = b.project_id"

static void fill(DbStmt *st, const void *mem, void *row) {
    Build *b = row;
    const char **texts[] = {&b->project, &b->uuid,    &b->commit, &b->ref,    &b->branch,
                            &b->event,   &b->planner, &b->author, &b->email,  &b->subject,
                            &b->pusher,  &b->env,     &b->state,  &b->reason, &b->message};

    b->id = db_int(st, 0);
    b->project_id = db_int(st, 1);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = row_text(st, (int)i + 2, mem);
    b->jobs_left = db_int(st, 17);
    b->created_at = db_int(st, 18);
    b->started_at = db_int(st, 19);
    b->finished_at = db_int(st, 20);
    b->concurrency_limit = db_int(st, 21);
    b->held = db_int(st, 22) != 0;
    b->timeout = db_int(st, 23);
    b->rerun_of = db_int(st, 24);
    b->concurrency_group = row_text(st, 25, mem);
    b->stop_reason = row_text(st, 26, mem);
    b->stop_message = row_text(st, 27, mem);
    b->schedule = row_text(st, 28, mem);
    b->pull = row_text(st, 29, mem);
    b->untrusted = db_int(st, 30) != 0;
    b->approved_by = row_text(st, 31, mem);
    b->retries = db_int(st, 32);
    b->max_retries = db_int(st, 33);
    b->inputs = row_text(st, 34, mem);
    b->old_rev = row_text(st, 35, mem);
}

int store_build_insert(Db *db, Build *b, Err *err) {
    int64_t id;
    int r = db_query_int(
        db, &id, err,
        "INSERT INTO build (uuid, project_id, commit_hash, ref, branch, event, planner, author, email,"
        " subject, pusher, env, state, reason, message, jobs_left, created_at, started_at, finished_at,"
        " concurrency_group, concurrency_limit, held, timeout, rerun_of, schedule, pull, untrusted,"
        " approved_by, inputs, old_rev) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
        "?15, ?16, ?17,"
        " ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30) RETURNING id",
        "sisssssssssssssiiiisiiiississs", b->uuid, b->project_id, b->commit, b->ref, b->branch, b->event,
        b->planner, b->author, b->email, b->subject, b->pusher, b->env, b->state, b->reason, b->message,
        b->jobs_left, b->created_at, b->started_at, b->finished_at,
        b->concurrency_group ? b->concurrency_group : "", b->concurrency_limit, (int64_t)b->held, b->timeout,
        b->rerun_of, b->schedule ? b->schedule : "", b->pull ? b->pull : "", (int64_t)b->untrusted,
        b->approved_by ? b->approved_by : "", b->inputs ? b->inputs : "", b->old_rev ? b->old_rev : "");

    if (r < 0)
        return r;
    b->id = id;
    return db_exec(db, NULL, err,
                   "UPDATE project SET builds_count = builds_count + 1, last_build_id = ?2 WHERE id = ?1",
                   "ii", b->project_id, id);
}

int store_build_count_retries(Db *db, int64_t id, int64_t retries, int64_t max_retries, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE build SET retries = retries + ?2, max_retries = max_retries + ?3 WHERE id = ?1",
                   "iii", id, retries, max_retries);
}

int store_build_finished_at(Db *db, int64_t id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT finished_at FROM build WHERE id = ?1", "i", id);
}

int store_build_load(Db *db, int64_t id, const void *mem, Build **ret, Err *err) {
    return rows_one(db, mem, sizeof(Build), fill, "build", ret, err, SELECT " WHERE b.id = ?1", "i", id);
}

int store_builds(Db *db, int64_t project_id, int64_t before, int64_t limit, const void *mem, Build **ret,
                 size_t *ret_count, Err *err) {
    if (before <= 0)
        before = INT64_MAX;
    if (project_id)
        return rows_all(db, mem, sizeof(Build), fill, ret, ret_count, err,
                        SELECT " WHERE b.project_id = ?1 AND b.id < ?2 ORDER BY b.id DESC LIMIT ?3", "iii",
                        project_id, before, limit);
    return rows_all(db, mem, sizeof(Build), fill, ret, ret_count, err,
                    SELECT " WHERE b.id < ?1 ORDER BY b.id DESC LIMIT ?2", "ii", before, limit);
}

static void fill_id(DbStmt *st, const void *mem, void *row) {
    *(int64_t *)row = db_int(st, 0);
}

int store_builds_active(Db *db, int64_t project_id, int64_t limit, const void *mem, int64_t **ret,
                        size_t *ret_count, Err *err) {
    return rows_all(
        db, mem, sizeof(int64_t), fill_id, ret, ret_count, err,
        "SELECT id FROM build WHERE state IN ('queued', 'running') AND project_id = ?1 ORDER BY id"
        " LIMIT ?2",
        "ii", project_id, limit);
}

int store_build_start(Db *db, int64_t id, int64_t now, bool *ret_changed, Err *err) {
    int64_t changes = 0;
    int r = db_exec(db, &changes, err,
                    "UPDATE build SET state = 'running', started_at = ?2 WHERE id = ?1 AND state = 'queued'",
                    "ii", id, now);

    if (r < 0)
        return r;
    *ret_changed = changes == 1;
    return 0;
}

int store_build_unhold(Db *db, int64_t id, Err *err) {
    return rows_update(db, err, "the build is not held",
                       "UPDATE build SET held = 0 WHERE id = ?1 AND held = 1 AND state = 'queued'", "i", id);
}

int store_build_approve(Db *db, int64_t id, const char *by, Err *err) {
    return rows_update(db, err, "the build waits for no approval",
                       "UPDATE build SET untrusted = 0, approved_by = ?2 WHERE id = ?1 AND untrusted = 1",
                       "is", id, by);
}

int store_build_request_stop(Db *db, int64_t id, const char *reason, const char *message, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE build SET stop_reason = ?2, stop_message = ?3 WHERE id = ?1 AND stop_reason = ''"
                   " AND state IN ('queued', 'running')",
                   "iss", id, reason, message);
}

/* As the index build_group has it. */
#define OF_GROUP                                                                                             \
    " WHERE b.project_id = ?1 AND b.concurrency_group = ?2 AND b.concurrency_group <> ''"                    \
    " AND b.state IN ('queued', 'running')"

int store_group_builds(Db *db, int64_t project_id, const char *group, const void *mem, Build **ret,
                       size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Build), fill, ret, ret_count, err, SELECT OF_GROUP " ORDER BY b.id", "is",
                    project_id, group);
}

int store_group_count(Db *db, int64_t project_id, const char *group, bool held, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COUNT(*) FROM build b" OF_GROUP " AND b.held = ?3", "isi",
                        project_id, group, (int64_t)held);
}

static void fill_ahead(DbStmt *st, const void *mem, void *row) {
    *(GroupAhead *)row = (GroupAhead){.count = db_int(st, 0), .last = db_int(st, 1)};
}

int store_group_ahead(Db *db, const Build *build, GroupAhead *ret, Err *err) {
    _cleanup_talloc_ GroupAhead *row = NULL;
    int r = rows_one(db, NULL, sizeof(GroupAhead), fill_ahead, "group", &row, err,
                     "SELECT COUNT(*), COALESCE(MAX(b.id), 0) FROM build b" OF_GROUP " AND b.id < ?3", "isi",
                     build->project_id, build->concurrency_group, build->id);

    if (r < 0)
        return r;
    *ret = *row;
    return 0;
}

int store_group_next(Db *db, int64_t project_id, const char *group, const void *mem, Build **ret, Err *err) {
    int r = rows_one(db, mem, sizeof(Build), fill, "build", ret, err,
                     SELECT OF_GROUP " AND b.held = 1 ORDER BY b.id LIMIT 1", "is", project_id, group);

    if (r != -ERR_NOT_FOUND)
        return r;
    *ret = NULL;
    return 0;
}

int store_build_jobs_ended(Db *db, int64_t id, int64_t count, int64_t *ret_left, Err *err) {
    return db_query_int(db, ret_left, err,
                        "UPDATE build SET jobs_left = jobs_left - ?2 WHERE id = ?1 RETURNING jobs_left", "ii",
                        id, count);
}

int store_build_jobs_added(Db *db, int64_t id, int64_t count, Err *err) {
    return rows_update(db, err, "the build has finished",
                       "UPDATE build SET jobs_left = jobs_left + ?2 WHERE id = ?1 AND state = 'running'",
                       "ii", id, count);
}

int store_build_finish(Db *db, int64_t id, const char *state, const char *reason, const char *message,
                       int64_t now, Err *err) {
    return rows_update(db, err, "the build has finished already",
                       "UPDATE build SET state = ?2, reason = ?3, message = ?4, finished_at = ?5"
                       " WHERE id = ?1 AND state IN ('queued', 'running')",
                       "isssi", id, state, reason, message, now);
}

static void fill_tally(DbStmt *st, const void *mem, void *row) {
    *(BuildTally *)row =
        (BuildTally){.failed = db_int(st, 0), .cancelled = db_int(st, 1), .allowed = db_int(st, 2)};
}

int store_build_tally(Db *db, int64_t id, BuildTally *ret, Err *err) {
    _cleanup_talloc_ BuildTally *row = NULL;
    int r = rows_one(db, NULL, sizeof(BuildTally), fill_tally, "build", &row, err,
                     "SELECT COALESCE(SUM(CASE WHEN state = 'failed' THEN 1 - allow_failure ELSE 0 END), 0),"
                     " COALESCE(SUM(CASE WHEN state = 'cancelled' THEN 1 ELSE 0 END), 0),"
                     " COALESCE(SUM(CASE WHEN state = 'failed' THEN allow_failure ELSE 0 END), 0)"
                     " FROM job WHERE build_id = ?1",
                     "i", id);

    if (r < 0)
        return r;
    *ret = *row;
    return 0;
}
