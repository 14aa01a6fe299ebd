/* Leases: a running job is held by (runner, attempt) until a time. Every statement here names what it expects
 * to find. */
#include "store/lane.h"
#include "store/rows.h"

#include "store/store.h"
#include <inttypes.h>

typedef struct Leased {
    LaneKey lane;
    int64_t attempt;
} Leased;

static void fill_leased(DbStmt *st, const void *mem, void *row) {
    Leased *leased = row;

    lane_fill_key(st, mem, &leased->lane);
    leased->attempt = db_int(st, 3);
}

int store_job_lease(Db *db, int64_t id, int64_t runner_id, int64_t until, int64_t now, int64_t *ret_attempt,
                    Err *err) {
    _cleanup_talloc_ Leased *leased = NULL;
    int r = rows_one(db, NULL, sizeof(Leased), fill_leased, "job", &leased, err,
                     "UPDATE job SET state = 'running', reason = '', message = '', attempt = attempt + 1,"
                     " runner_id = ?2, lease_until = ?3, stop_reason = '', started_at = ?4"
                     " WHERE id = ?1 AND state = 'queued' RETURNING fit_id, priority, project_id, attempt",
                     "iiii", id, runner_id, until, now);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT, "job %" PRId64 " is not queued any more", id);
    if (r >= 0)
        r = lane_leave(db, leased->lane, err);
    if (r >= 0)
        r = lane_served(db, leased->lane.project_id, now, err);
    if (r >= 0)
        r = db_exec(db, NULL, err,
                    "INSERT INTO attempt (job_id, number, runner_id, state, started_at) VALUES (?1, ?2, ?3, "
                    "'running', ?4)",
                    "iiii", id, leased->attempt, runner_id, now);
    if (r < 0)
        return r;
    *ret_attempt = leased->attempt;
    return 0;
}

static void fill_text(DbStmt *st, const void *mem, void *row) {
    *(const char **)row = row_text(st, 0, mem);
}

int store_job_renew(Db *db, int64_t id, int64_t attempt, int64_t runner_id, int64_t until, const void *mem,
                    const char **ret_stop, Err *err) {
    const char **stop;
    int r = rows_one(db, mem, sizeof(char *), fill_text, "lease", &stop, err,
                     "UPDATE job SET lease_until = ?4 WHERE id = ?1 AND attempt = ?2 AND runner_id = ?3"
                     " AND state = 'running' RETURNING stop_reason",
                     "iiii", id, attempt, runner_id, until);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret_stop = r < 0 ? NULL : *stop;
    return 0;
}

static void fill_lease(DbStmt *st, const void *mem, void *row) {
    Job *j = row;

    j->id = db_int(st, 0);
    j->build_id = db_int(st, 1);
    j->attempt = db_int(st, 2);
    j->stop_reason = row_text(st, 3, mem);
    j->started_at = db_int(st, 4);
    j->lease_until = db_int(st, 5);
    j->runner_id = db_int(st, 6);
    j->kind = row_text(st, 7, mem);
    j->executor = row_text(st, 8, mem);
    j->fit_id = db_int(st, 9);
}

#define SELECT                                                                                               \
    "SELECT id, build_id, attempt, stop_reason, started_at, lease_until, runner_id, kind, executor, fit_id"  \
    " FROM job"

int store_job_leases(Db *db, int64_t runner_id, const void *mem, Job **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Job), fill_lease, ret, ret_count, err,
                    SELECT " WHERE state = 'running' AND runner_id = ?1 ORDER BY id", "i", runner_id);
}

static void fill_held(DbStmt *st, const void *mem, void *row) {
    (void)mem;
    *(RunnerHeld *)row = (RunnerHeld){.jobs = db_int(st, 0),
                                      .cpu = db_int(st, 1),
                                      .memory = db_int(st, 2),
                                      .disk = db_int(st, 3),
                                      .newest = db_int(st, 4),
                                      .runner_id = db_int(st, 5)};
}

#define HELD                                                                                                 \
    "SELECT COUNT(*), CAST(SUM(f.cpu) AS BIGINT), CAST(SUM(f.memory) AS BIGINT),"                            \
    " CAST(SUM(f.disk) AS BIGINT), MAX(j.started_at), MAX(j.runner_id)"                                      \
    " FROM job j LEFT JOIN fit f ON f.id = j.fit_id WHERE j.state = 'running'"

int store_runner_held(Db *db, int64_t runner_id, RunnerHeld *ret, Err *err) {
    _cleanup_talloc_ RunnerHeld *row = NULL;
    int r = rows_one(db, NULL, sizeof(RunnerHeld), fill_held, "runner", &row, err,
                     HELD " AND j.runner_id = ?1", "i", runner_id);

    if (r < 0)
        return r;
    *ret = *row;
    return 0;
}

int store_runners_held(Db *db, const void *mem, RunnerHeld **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(RunnerHeld), fill_held, ret, ret_count, err, HELD " GROUP BY j.runner_id",
                    "");
}

int store_claim_bar(Db *db, int64_t runner_id, ClaimBar *ret, Err *err) {
    int64_t bits;
    int r = db_query_int(db, &bits, err,
                         "SELECT (SELECT COUNT(*) FROM pause)"
                         " + 2 * (SELECT COUNT(*) FROM runner WHERE id = ?1 AND drained_at > 0)",
                         "i", runner_id);

    if (r < 0)
        return r;
    *ret = (ClaimBar){.paused = bits & 1, .drained = bits & 2};
    return 0;
}

int store_job_expired(Db *db, int64_t now, int64_t limit, const void *mem, Job **ret, size_t *ret_count,
                      Err *err) {
    return rows_all(db, mem, sizeof(Job), fill_lease, ret, ret_count, err,
                    SELECT " WHERE state = 'running' AND lease_until < ?1 ORDER BY lease_until LIMIT ?2",
                    "ii", now, limit);
}

int store_job_next_expiry(Db *db, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COALESCE(MIN(lease_until), 0) FROM job WHERE state = 'running'",
                        "");
}

int store_job_requeue(Db *db, int64_t id, int64_t attempt, const char *reason, const char *message,
                      int64_t now, Err *err) {
    _cleanup_talloc_ LaneKey *lane = NULL;
    int r = rows_one(db, NULL, sizeof(LaneKey), lane_fill_key, "job", &lane, err,
                     "UPDATE job SET state = 'queued', queued_at = ?3, runner_id = 0, lease_until = 0,"
                     " losses = losses + CASE WHEN ?4 = 'lost' THEN 1 ELSE 0 END"
                     " WHERE id = ?1 AND attempt = ?2 AND state = 'running'"
                     " RETURNING fit_id, priority, project_id",
                     "iiis", id, attempt, now, reason);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT, "this attempt does not hold the job any more");
    if (r >= 0)
        r = lane_enter(db, *lane, err);
    if (r < 0)
        return r;
    return attempt_end(db, id, "failed", reason, message, -1, now, err);
}

int store_job_leases_anew(Db *db, int64_t until, Err *err) {
    return db_exec(db, NULL, err, "UPDATE job SET lease_until = ?1 WHERE state = 'running'", "i", until);
}
