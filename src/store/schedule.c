/* When builds of projects start by themselves. */
#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT s.id, s.project_id, s.name, s.cron, s.timezone, s.message, s.last_at, s.last_build_id,"          \
    " COALESCE(t.due_at, 0) FROM schedule s"                                                                 \
    " LEFT JOIN timer t ON t.kind = 'schedule' AND t.subject_id = s.id"

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Schedule *)row = (Schedule){.id = db_int(st, 0),
                                  .project_id = db_int(st, 1),
                                  .name = row_text(st, 2, mem),
                                  .cron = row_text(st, 3, mem),
                                  .timezone = row_text(st, 4, mem),
                                  .message = row_text(st, 5, mem),
                                  .last_at = db_int(st, 6),
                                  .last_build_id = db_int(st, 7),
                                  .next_at = db_int(st, 8)};
}

int store_schedule_insert(Db *db, Schedule *s, Err *err) {
    return db_query_int(db, &s->id, err,
                        "INSERT INTO schedule (project_id, name, cron, timezone) VALUES (?1, ?2, ?3, ?4)"
                        " RETURNING id",
                        "isss", s->project_id, s->name, s->cron, s->timezone);
}

int store_schedule_drop(Db *db, int64_t id, Err *err) {
    int r = store_timer_drop(db, "schedule", id, NULL, err);

    return r < 0 ? r : db_exec(db, NULL, err, "DELETE FROM schedule WHERE id = ?1", "i", id);
}

int store_schedule_load(Db *db, int64_t id, const void *mem, Schedule **ret, Err *err) {
    return rows_one(db, mem, sizeof(Schedule), fill, "schedule", ret, err, SELECT " WHERE s.id = ?1", "i",
                    id);
}

int store_schedules(Db *db, int64_t project_id, const void *mem, Schedule **ret, size_t *ret_count,
                    Err *err) {
    return rows_all(db, mem, sizeof(Schedule), fill, ret, ret_count, err,
                    SELECT " WHERE s.project_id = ?1 ORDER BY s.name", "i", project_id);
}

int store_schedule_note(Db *db, int64_t id, int64_t at, int64_t build_id, const char *message, Err *err) {
    return rows_update(db, err, "the schedule is gone",
                       "UPDATE schedule SET last_at = ?2, last_build_id = ?3, message = ?4 WHERE id = ?1",
                       "iiis", id, at, build_id, message);
}

int store_schedule_excuse(Db *db, int64_t id, const char *message, Err *err) {
    return rows_update(db, err, "the schedule is gone", "UPDATE schedule SET message = ?2 WHERE id = ?1",
                       "is", id, message);
}
