/* What became of each attempt of a job. */
#include "store/rows.h"
#include "store/store.h"

int attempt_end(Db *db, int64_t job, const char *state, const char *reason, const char *message,
                int64_t exit_code, int64_t now, Err *err) {
    int r =
        db_exec(db, NULL, err,
                "UPDATE attempt SET state = ?2, reason = ?3, message = ?4, exit_code = ?5, finished_at = ?6"
                " WHERE job_id = ?1 AND finished_at = 0",
                "isssii", job, state, reason, message, exit_code, now);

    if (r < 0)
        return r;
    return db_exec(db, NULL, err,
                   "UPDATE step SET state = CASE WHEN ?2 = 'cancelled' THEN ?2 ELSE 'failed' END,"
                   " finished_at = ?3 WHERE job_id = ?1 AND state = 'running'",
                   "isi", job, state, now);
}

int store_job_retry(Db *db, int64_t id, int64_t attempt, const char *reason, const char *message,
                    int64_t exit_code, int64_t now, Err *err) {
    int r = rows_update(db, err, "this attempt does not hold the job any more",
                        "UPDATE job SET state = 'blocked', queued_at = 0, started_at = 0, runner_id = 0,"
                        " lease_until = 0, retries = retries + 1, losses = 0"
                        " WHERE id = ?1 AND attempt = ?2 AND state = 'running'",
                        "ii", id, attempt);

    if (r < 0)
        return r;
    return attempt_end(db, id, "failed", reason, message, exit_code, now, err);
}

static void fill_attempt(DbStmt *st, const void *mem, void *row) {
    AttemptRow *a = row;

    a->job_id = db_int(st, 0);
    a->number = db_int(st, 1);
    a->runner_id = db_int(st, 2);
    a->state = row_text(st, 3, mem);
    a->reason = row_text(st, 4, mem);
    a->message = row_text(st, 5, mem);
    a->exit_code = db_int(st, 6);
    a->started_at = db_int(st, 7);
    a->finished_at = db_int(st, 8);
    a->runner = row_text(st, 9, mem);
}

#define SELECT_ATTEMPT                                                                                       \
    "SELECT job_id, number, runner_id, state, reason, message, exit_code, started_at, finished_at,"          \
    " (SELECT r.name FROM runner r WHERE r.id = runner_id) FROM attempt"

int store_attempt_load(Db *db, int64_t job_id, int64_t number, const void *mem, AttemptRow **ret, Err *err) {
    return rows_one(db, mem, sizeof(AttemptRow), fill_attempt, "attempt", ret, err,
                    SELECT_ATTEMPT " WHERE job_id = ?1 AND number = ?2", "ii", job_id, number);
}

int store_attempts(Db *db, int64_t job_id, const void *mem, AttemptRow **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(AttemptRow), fill_attempt, ret, ret_count, err,
                    SELECT_ATTEMPT " WHERE job_id = ?1 ORDER BY number", "i", job_id);
}
