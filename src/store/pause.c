/* The queue as a whole: what is in it, and whether it moves. */
#include "store/rows.h"
#include "store/store.h"

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Pause *)row =
        (Pause){.by = row_text(st, 0, mem), .reason = row_text(st, 1, mem), .since = db_int(st, 2)};
}

int store_pause_load(Db *db, const void *mem, Pause **ret, Err *err) {
    Pause *row;
    int r = rows_one(db, mem, sizeof(Pause), fill, "pause", &row, err,
                     "SELECT paused_by, reason, paused_at FROM pause", "");

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = r < 0 ? NULL : row;
    return 0;
}

int store_pause_set(Db *db, const Pause *pause, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO pause (id, paused_by, reason, paused_at) VALUES (1, ?1, ?2, ?3)"
                   " ON CONFLICT (id) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason",
                   "ssi", pause->by, pause->reason, pause->since);
}

int store_pause_clear(Db *db, bool *ret_changed, Err *err) {
    int64_t changes = 0;
    int r = db_exec(db, &changes, err, "DELETE FROM pause", "");

    if (r < 0)
        return r;
    *ret_changed = changes > 0;
    return 0;
}

static void fill_count(DbStmt *st, const void *mem, void *row) {
    *(QueueCount *)row =
        (QueueCount){.id = db_int(st, 0), .jobs = db_int(st, 1), .project = row_text(st, 2, mem)};
}

int store_queue_by_fit(Db *db, int64_t limit, const void *mem, QueueCount **ret, size_t *ret_count,
                       Err *err) {
    return rows_all(db, mem, sizeof(QueueCount), fill_count, ret, ret_count, err,
                    "SELECT fit_id, COUNT(*) AS jobs, '' FROM job WHERE state = 'queued' GROUP BY fit_id"
                    " ORDER BY jobs DESC, fit_id LIMIT ?1",
                    "i", limit);
}

int store_queue_by_project(Db *db, int64_t limit, const void *mem, QueueCount **ret, size_t *ret_count,
                           Err *err) {
    return rows_all(db, mem, sizeof(QueueCount), fill_count, ret, ret_count, err,
                    "SELECT p.id, q.jobs, p.name FROM (SELECT project_id, COUNT(*) AS jobs FROM job"
                    " WHERE state = 'queued' GROUP BY project_id) AS q JOIN project p ON p.id = q.project_id"
                    " ORDER BY q.jobs DESC, p.id LIMIT ?1",
                    "i", limit);
}

int store_queue_total(Db *db, int64_t *ret_queued, int64_t *ret_running, Err *err) {
    int64_t queued;
    int r = db_query_int(db, &queued, err, "SELECT COUNT(*) FROM job WHERE state = 'queued'", "");

    if (r >= 0)
        r = db_query_int(db, ret_running, err, "SELECT COUNT(*) FROM job WHERE state = 'running'", "");
    if (r >= 0)
        *ret_queued = queued;
    return r;
}
