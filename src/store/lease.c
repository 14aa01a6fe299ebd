/* Leases: a running job is held by (runner, attempt) until a time. Every statement here names what it expects
 * to find. */
#include "store/rows.h"

#include "store/store.h"
#include <inttypes.h>

int store_job_lease(Db *db, int64_t id, int64_t runner_id, int64_t until, int64_t now, int64_t *ret_attempt,
                    Err *err) {
    int64_t attempt;
    int r = db_query_int(db, &attempt, err,
                         "UPDATE job SET state = 'running', reason = '', message = '', attempt = attempt + 1,"
                         " runner_id = ?2, lease_until = ?3, stop_reason = '', started_at = ?4"
                         " WHERE id = ?1 AND state = 'queued' RETURNING attempt",
                         "iiii", id, runner_id, until, now);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT, "job %" PRId64 " is not queued any more", id);
    if (r < 0)
        return r;
    r = db_exec(db, NULL, err,
                "INSERT INTO attempt (job_id, number, runner_id, state, started_at) VALUES (?1, ?2, ?3, "
                "'running', ?4)",
                "iiii", id, attempt, runner_id, now);
    if (r < 0)
        return r;
    *ret_attempt = attempt;
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
}

#define SELECT "SELECT id, build_id, attempt, stop_reason, started_at, lease_until, runner_id, kind FROM job"

int store_job_leases(Db *db, int64_t runner_id, const void *mem, Job **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Job), fill_lease, ret, ret_count, err,
                    SELECT " WHERE state = 'running' AND runner_id = ?1 ORDER BY id", "i", runner_id);
}

int store_job_lease_count(Db *db, int64_t runner_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COUNT(*) FROM job WHERE state = 'running' AND runner_id = ?1",
                        "i", runner_id);
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

int store_job_requeue(Db *db, int64_t id, int64_t attempt, const char *reason, int64_t now, Err *err) {
    int r = rows_update(db, err, "this attempt does not hold the job any more",
                        "UPDATE job SET state = 'queued', queued_at = ?3, runner_id = 0, lease_until = 0"
                        " WHERE id = ?1 AND attempt = ?2 AND state = 'running'",
                        "iii", id, attempt, now);

    if (r < 0)
        return r;
    return db_exec(db, NULL, err,
                   "UPDATE attempt SET state = 'failed', reason = ?3, finished_at = ?4 WHERE job_id = ?1 AND "
                   "number = ?2",
                   "iisi", id, attempt, reason, now);
}

int store_job_leases_extend(Db *db, int64_t until, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE job SET lease_until = ?1 WHERE state = 'running' AND lease_until < ?1", "i",
                   until);
}
