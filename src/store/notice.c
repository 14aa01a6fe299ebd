#include "store/notice.h"

#include "store/rows.h"

#define SELECT                                                                                               \
    "SELECT id, build_id, attempts, due_at, done_at, moment, kind, config, state, error FROM notice"

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Notice *)row = (Notice){.id = db_int(st, 0),
                              .build_id = db_int(st, 1),
                              .attempts = db_int(st, 2),
                              .due_at = db_int(st, 3),
                              .done_at = db_int(st, 4),
                              .moment = row_text(st, 5, mem),
                              .kind = row_text(st, 6, mem),
                              .config = row_text(st, 7, mem),
                              .state = row_text(st, 8, mem),
                              .error = row_text(st, 9, mem)};
}

int store_notice_insert(Db *db, const Notice *n, Err *err) {
    return db_exec(
        db, NULL, err,
        "INSERT INTO notice (build_id, moment, kind, config, state) VALUES (?1, ?2, ?3, ?4, 'waiting')",
        "isss", n->build_id, n->moment, n->kind, n->config);
}

int store_notices_copy(Db *db, int64_t from_build, int64_t to_build, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO notice (build_id, moment, kind, config, state)"
                   " SELECT ?2, moment, kind, config, 'waiting' FROM notice WHERE build_id = ?1 ORDER BY id",
                   "ii", from_build, to_build);
}

int store_notices_begun(Db *db, int64_t build_id, int64_t now, int64_t *ret_count, Err *err) {
    return db_exec(db, ret_count, err,
                   "UPDATE notice SET state = 'due', due_at = ?2"
                   " WHERE build_id = ?1 AND state = 'waiting' AND moment = 'start'",
                   "ii", build_id, now);
}

int store_notices_ended(Db *db, int64_t build_id, const char *moment, int64_t now, int64_t end_at,
                        int64_t *ret_count, Err *err) {
    return db_exec(db, ret_count, err,
                   "UPDATE notice SET state = CASE WHEN moment IN ('end', ?2) THEN 'due' ELSE 'dropped' END,"
                   " due_at = CASE WHEN moment = 'end' THEN ?4 ELSE ?3 END"
                   " WHERE build_id = ?1 AND state = 'waiting'",
                   "isii", build_id, moment ? moment : "", now, end_at);
}

int store_notices_of_build(Db *db, int64_t build_id, const void *mem, Notice **ret, size_t *ret_count,
                           Err *err) {
    return rows_all(db, mem, sizeof(Notice), fill, ret, ret_count, err,
                    SELECT " WHERE build_id = ?1 ORDER BY id", "i", build_id);
}

static void fill_lane(DbStmt *st, const void *mem, void *row) {
    *(NoticeLane *)row = (NoticeLane){.project_id = db_int(st, 0), .kind = row_text(st, 1, mem)};
}

int store_notice_lanes(Db *db, int64_t now, const void *mem, NoticeLane **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(NoticeLane), fill_lane, ret, ret_count, err,
                    "SELECT build.project_id, kind FROM notice JOIN build ON build.id = build_id"
                    " WHERE notice.state = 'due' AND due_at <= ?1 GROUP BY 1, 2 ORDER BY 1, 2",
                    "i", now);
}

int store_notices_due(Db *db, const NoticeLane *lane, int64_t now, int64_t limit, const void *mem,
                      Notice **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Notice), fill, ret, ret_count, err,
                    SELECT " WHERE state = 'due' AND due_at <= ?1 AND kind = ?2"
                           " AND EXISTS (SELECT 1 FROM build WHERE build.id = build_id AND project_id = ?3)"
                           " ORDER BY due_at, id LIMIT ?4",
                    "isii", now, lane->kind, lane->project_id, limit);
}

int store_notices_next(Db *db, int64_t now, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err,
                        "SELECT COALESCE(MIN(due_at), 0) FROM notice WHERE state = 'due' AND due_at > ?1",
                        "i", now);
}

int store_notices_shift(Db *db, int64_t by, Err *err) {
    return db_exec(db, NULL, err, "UPDATE notice SET due_at = due_at + ?1 WHERE state = 'due'", "i", by);
}

int store_notice_set(Db *db, int64_t id, const char *state, const char *error, int64_t due_at, int64_t now,
                     Err *err) {
    return rows_update(
        db, err, "the notice is done already",
        "UPDATE notice SET state = ?2, error = ?3, due_at = ?4, done_at = ?5, attempts = attempts + 1"
        " WHERE id = ?1 AND state = 'due'",
        "issii", id, state, error, due_at, now);
}
