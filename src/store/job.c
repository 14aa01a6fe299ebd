#include "base/str.h"
#include "store/lane.h"
#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT id, build_id, position, uuid, name, kind, executor, arch, condition, spec, state, reason, "      \
    "message,"                                                                                               \
    " stop_reason, retry, attempt, needs_left, priority, runner_id, lease_until, exit_code, created_at,"     \
    " queued_at, started_at, finished_at, project_id, fit_id, copied_from, retries, losses, queue_timeout,"  \
    " allow_failure, outputs, made_by"                                                                       \
    " FROM job"

static void fill(DbStmt *st, const void *mem, void *row) {
    Job *j = row;
    const char **texts[] = {&j->uuid, &j->name,  &j->kind,   &j->executor, &j->arch,        &j->condition,
                            &j->spec, &j->state, &j->reason, &j->message,  &j->stop_reason, &j->retry};
    int64_t *numbers[] = {&j->attempt,       &j->needs_left,  &j->priority,   &j->runner_id,
                          &j->lease_until,   &j->exit_code,   &j->created_at, &j->queued_at,
                          &j->started_at,    &j->finished_at, &j->project_id, &j->fit_id,
                          &j->copied_from,   &j->retries,     &j->losses,     &j->queue_timeout,
                          &j->allow_failure, &j->outputs,     &j->made_by};

    j->id = db_int(st, 0);
    j->build_id = db_int(st, 1);
    j->position = db_int(st, 2);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = row_text(st, (int)i + 3, mem);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        *numbers[i] = db_int(st, (int)(i + 3 + ELEMENTS(texts)));
}

static LaneKey lane_of(const Job *j) {
    return (LaneKey){.fit_id = j->fit_id, .priority = j->priority, .project_id = j->project_id};
}

static int insert(Db *db, Job *j, Err *err) {
    return db_query_int(
        db, &j->id, err,
        "INSERT INTO job (uuid, build_id, position, name, kind, executor, arch, condition, spec, state,"
        " reason, message, needs_left, priority, created_at, queued_at, finished_at, project_id, fit_id,"
        " copied_from, retry, queue_timeout, allow_failure, made_by)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
        " ?20, ?21, ?22, ?23, ?24) RETURNING id",
        "siisssssssssiiiiiiiisiii", j->uuid, j->build_id, j->position, j->name, j->kind, j->executor, j->arch,
        j->condition, j->spec, j->state, j->reason, j->message, j->needs_left, j->priority, j->created_at,
        j->queued_at, j->finished_at, j->project_id, j->fit_id, j->copied_from, j->retry ? j->retry : "",
        j->queue_timeout, j->allow_failure, j->made_by);
}

int store_job_insert(Db *db, Job *j, Err *err) {
    int r = 0;

    if (j->fit_id == 0) {
        Fit fit = {.executor = j->executor, .arch = j->arch, .labels = "{}"};

        r = store_fit_put(db, &fit, err);
        j->fit_id = fit.id;
    }
    if (r >= 0)
        r = insert(db, j, err);
    return r < 0 || !str_eq(j->state, "queued") ? r : lane_enter(db, lane_of(j), err);
}

#define COPIED                                                                                               \
    "position, name, kind, executor, arch, condition, spec, state, reason, message, attempt, needs_left,"    \
    " priority, runner_id, exit_code, created_at, queued_at, started_at, finished_at, project_id, fit_id,"   \
    " retry, retries, losses, queue_timeout, allow_failure, outputs"

int store_job_copy(Db *db, int64_t id, const char *uuid, int64_t build_id, int64_t made_by, int64_t *ret_id,
                   Err *err) {
    return db_query_int(db, ret_id, err,
                        "INSERT INTO job (uuid, build_id, made_by, copied_from, " COPIED
                        ") SELECT ?2, ?3, ?4,"
                        " CASE WHEN copied_from = 0 THEN id ELSE copied_from END, " COPIED
                        " FROM job WHERE id = ?1 RETURNING id",
                        "isii", id, uuid, build_id, made_by);
}

int store_job_need_insert(Db *db, int64_t job_id, int64_t need_id, Err *err) {
    return db_exec(db, NULL, err, "INSERT INTO job_need (job_id, need_id) VALUES (?1, ?2)", "ii", job_id,
                   need_id);
}

int store_job_load(Db *db, int64_t id, const void *mem, Job **ret, Err *err) {
    return rows_one(db, mem, sizeof(Job), fill, "job", ret, err, SELECT " WHERE id = ?1", "i", id);
}

int store_jobs_of_build(Db *db, int64_t build_id, const void *mem, Job **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Job), fill, ret, ret_count, err,
                    SELECT " WHERE build_id = ?1 ORDER BY position", "i", build_id);
}

int store_jobs_as_made(Db *db, int64_t build_id, const void *mem, Job **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Job), fill, ret, ret_count, err,
                    SELECT " WHERE build_id = ?1 ORDER BY id", "i", build_id);
}

int store_job_at(Db *db, int64_t build_id, int64_t position, const void *mem, Job **ret, Err *err) {
    return rows_one(db, mem, sizeof(Job), fill, "job", ret, err,
                    SELECT " WHERE build_id = ?1 AND position >= ?2 ORDER BY position LIMIT 1", "ii",
                    build_id, position);
}

int store_job_move(Db *db, int64_t id, int64_t position, Err *err) {
    return db_exec(db, NULL, err, "UPDATE job SET position = ?2 WHERE id = ?1", "ii", id, position);
}

int store_job_count(Db *db, int64_t build_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COUNT(*) FROM job WHERE build_id = ?1", "i", build_id);
}

int store_job_by_name(Db *db, int64_t build_id, const char *name, const void *mem, Job **ret, Err *err) {
    return rows_one(db, mem, sizeof(Job), fill, "job", ret, err, SELECT " WHERE build_id = ?1 AND name = ?2",
                    "is", build_id, name);
}

int store_job_first_in_state(Db *db, int64_t build_id, const char *state, const void *mem, Job **ret,
                             Err *err) {
    return rows_one(
        db, mem, sizeof(Job), fill, "job", ret, err,
        SELECT " WHERE build_id = ?1 AND state = ?2 ORDER BY allow_failure, finished_at, position LIMIT 1",
        "is", build_id, state);
}

static void fill_need(DbStmt *st, const void *mem, void *row) {
    *(JobNeed *)row = (JobNeed){.job_id = db_int(st, 0), .need_id = db_int(st, 1)};
}

int store_job_needs_of_build(Db *db, int64_t build_id, const void *mem, JobNeed **ret, size_t *ret_count,
                             Err *err) {
    return rows_all(
        db, mem, sizeof(JobNeed), fill_need, ret, ret_count, err,
        "SELECT n.job_id, n.need_id FROM job j JOIN job_need n ON n.job_id = j.id WHERE j.build_id = ?1"
        " ORDER BY n.job_id, n.need_id",
        "i", build_id);
}

static void fill_id(DbStmt *st, const void *mem, void *row) {
    *(int64_t *)row = db_int(st, 0);
}

int store_job_unblock(Db *db, int64_t need_id, const void *mem, int64_t **ret, size_t *ret_count, Err *err) {
    int r = db_exec(db, NULL, err,
                    "UPDATE job SET needs_left = needs_left - 1 WHERE state = 'blocked' AND id IN"
                    " (SELECT job_id FROM job_need WHERE need_id = ?1)",
                    "i", need_id);

    if (r < 0)
        return r;
    return rows_all(db, mem, sizeof(int64_t), fill_id, ret, ret_count, err,
                    "SELECT j.id FROM job_need n JOIN job j ON j.id = n.job_id WHERE n.need_id = ?1"
                    " AND j.needs_left = 0 AND j.state = 'blocked' ORDER BY j.id",
                    "i", need_id);
}

static void fill_name(DbStmt *st, const void *mem, void *row) {
    *(const char **)row = row_text(st, 0, mem);
}

int store_job_names(Db *db, int64_t build_id, const void *mem, const char ***ret, size_t *ret_count,
                    Err *err) {
    return rows_all(db, mem, sizeof(char *), fill_name, ret, ret_count, err,
                    "SELECT name FROM job WHERE build_id = ?1 ORDER BY id", "i", build_id);
}

int store_job_needs_more(Db *db, int64_t id, int64_t count, Err *err) {
    return rows_update(db, err, "the job is not blocked",
                       "UPDATE job SET needs_left = needs_left + ?2 WHERE id = ?1 AND state = 'blocked'",
                       "ii", id, count);
}

int store_job_open_needs(Db *db, int64_t job_id, int64_t limit, const void *mem, const char ***ret,
                         size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(char *), fill_name, ret, ret_count, err,
                    "SELECT j.name FROM job_need n JOIN job j ON j.id = n.need_id WHERE n.job_id = ?1"
                    " AND j.state IN ('blocked', 'queued', 'running') ORDER BY j.position LIMIT ?2",
                    "ii", job_id, limit);
}

int store_job_first_waiting(Db *db, int64_t build_id, const void *mem, Job **ret, Err *err) {
    int r = rows_one(db, mem, sizeof(Job), fill, "job", ret, err,
                     SELECT " WHERE build_id = ?1 AND state IN ('queued', 'blocked')"
                            " ORDER BY CASE WHEN state = 'queued' THEN 0 ELSE 1 END, position LIMIT 1",
                     "i", build_id);

    if (r == -ERR_NOT_FOUND)
        *ret = NULL;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static void fill_need_state(DbStmt *st, const void *mem, void *row) {
    *(NeedState *)row = (NeedState){.name = row_text(st, 0, mem),
                                    .state = row_text(st, 1, mem),
                                    .log_job = db_int(st, 2),
                                    .attempt = db_int(st, 3),
                                    .outputs = db_int(st, 4)};
}

int store_job_need_states(Db *db, int64_t job_id, const void *mem, NeedState **ret, size_t *ret_count,
                          Err *err) {
    return rows_all(
        db, mem, sizeof(NeedState), fill_need_state, ret, ret_count, err,
        "SELECT j.name, j.state, CASE WHEN j.copied_from = 0 THEN j.id ELSE j.copied_from END, j.attempt,"
        " j.outputs FROM job_need n JOIN job j ON j.id = n.need_id WHERE n.job_id = ?1"
        " ORDER BY j.position",
        "i", job_id);
}

#define MISSED                                                                                               \
    "((j.state = 'failed' AND j.allow_failure = 0) OR (j.state = 'skipped' AND j.reason = 'dependency'))"

int store_job_needs_outcome(Db *db, int64_t job_id, bool *ret_failed, bool *ret_cancelled, Err *err) {
    int64_t bits;
    int r = db_query_int(db, &bits, err,
                         "SELECT COALESCE(MAX(CASE WHEN " MISSED " THEN 1 ELSE 0 END), 0)"
                         " + 2 * COALESCE(MAX(CASE WHEN j.state = 'cancelled' THEN 1 ELSE 0 END), 0)"
                         " FROM job_need n JOIN job j ON j.id = n.need_id WHERE n.job_id = ?1",
                         "i", job_id);

    if (r < 0)
        return r;
    *ret_failed = bits & 1;
    *ret_cancelled = bits & 2;
    return 0;
}

static void fill_missed(DbStmt *st, const void *mem, void *row) {
    *(NeedMissed *)row =
        (NeedMissed){.name = row_text(st, 0, mem), .state = row_text(st, 1, mem), .count = db_int(st, 2)};
}

int store_job_need_missed(Db *db, int64_t job_id, const void *mem, NeedMissed **ret, Err *err) {
    return rows_one(db, mem, sizeof(NeedMissed), fill_missed, "job", ret, err,
                    "SELECT j.name, j.state, COUNT(*) OVER () FROM job_need n JOIN job j ON j.id = n.need_id"
                    " WHERE n.job_id = ?1 AND (" MISSED " OR j.state = 'cancelled') ORDER BY"
                    " CASE j.state WHEN 'failed' THEN 0 WHEN 'cancelled' THEN 1 ELSE 2 END, j.position"
                    " LIMIT 1",
                    "i", job_id);
}

int store_job_queue(Db *db, int64_t id, int64_t now, Err *err) {
    _cleanup_talloc_ LaneKey *lane = NULL;
    int r = rows_one(db, NULL, sizeof(LaneKey), lane_fill_key, "job", &lane, err,
                     "UPDATE job SET state = 'queued', queued_at = ?2 WHERE id = ?1 AND state = 'blocked'"
                     " RETURNING fit_id, priority, project_id",
                     "ii", id, now);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT, "the job is not blocked");
    return r < 0 ? r : lane_enter(db, *lane, err);
}

int store_jobs_queued_shift(Db *db, int64_t by, Err *err) {
    return db_exec(db, NULL, err, "UPDATE job SET queued_at = queued_at + ?1 WHERE state = 'queued'", "i",
                   by);
}

int store_job_end(Db *db, int64_t id, int64_t attempt, const char *state, const char *reason,
                  const char *message, int64_t exit_code, int64_t now, Err *err) {
    _cleanup_talloc_ LaneKey *lane = NULL;
    int r = rows_one(db, NULL, sizeof(LaneKey), lane_fill_key, "job", &lane, err,
                     "UPDATE job SET state = ?3, reason = ?4, message = ?5, exit_code = ?6, finished_at = ?7,"
                     " lease_until = 0 WHERE id = ?1 AND (?2 < 0 OR (attempt = ?2 AND state = 'running'))"
                     " AND state IN ('blocked', 'queued', 'running') RETURNING fit_id, priority, project_id",
                     "iisssii", id, attempt, state, reason, message, exit_code, now);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT,
                       "the job has ended already, or this attempt does not hold it any more");
    if (r >= 0 && attempt < 0)
        r = lane_leave(db, *lane, err);
    if (r < 0)
        return r;
    return attempt_end(db, id, state, reason, message, exit_code, now, err);
}

int store_job_request_stop(Db *db, int64_t id, const char *reason, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE job SET stop_reason = ?2 WHERE id = ?1 AND state = 'running' AND stop_reason = ''",
                   "is", id, reason);
}

/* ---- steps ---- */

int store_step_put(Db *db, int64_t job_id, int64_t attempt, const Step *s, Err *err) {
    return db_exec(
        db, NULL, err,
        "INSERT INTO step (job_id, attempt, position, name, state, exit_code, started_at, finished_at,"
        " log_start, log_end, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        " ON CONFLICT (job_id, attempt, position) DO UPDATE SET state = excluded.state,"
        " exit_code = excluded.exit_code, started_at = excluded.started_at,"
        " finished_at = excluded.finished_at, log_start = excluded.log_start, log_end = excluded.log_end,"
        " reason = excluded.reason",
        "iiissiiiiis", job_id, attempt, s->position, s->name, s->state, s->exit_code, s->started_at,
        s->finished_at, s->log_start, s->log_end, s->reason);
}

static void fill_step(DbStmt *st, const void *mem, void *row) {
    Step *s = row;

    s->position = db_int(st, 0);
    s->name = row_text(st, 1, mem);
    s->state = row_text(st, 2, mem);
    s->exit_code = db_int(st, 3);
    s->started_at = db_int(st, 4);
    s->finished_at = db_int(st, 5);
    s->log_start = db_int(st, 6);
    s->log_end = db_int(st, 7);
    s->reason = row_text(st, 8, mem);
}

int store_steps(Db *db, int64_t job_id, int64_t attempt, const void *mem, Step **ret, size_t *ret_count,
                Err *err) {
    return rows_all(
        db, mem, sizeof(Step), fill_step, ret, ret_count, err,
        "SELECT position, name, state, exit_code, started_at, finished_at, log_start, log_end, reason"
        " FROM step"
        " WHERE job_id = ?1 AND attempt = ?2 ORDER BY position",
        "ii", job_id, attempt);
}
