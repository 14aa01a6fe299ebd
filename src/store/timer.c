/* What is to happen at a time. */
#include "store/rows.h"
#include "store/store.h"

int store_timer_set(Db *db, const Timer *timer, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO timer (kind, subject_id, due_at) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT (kind, subject_id) DO UPDATE SET due_at = excluded.due_at",
                   "sii", timer->kind, timer->subject_id, timer->due_at);
}

int store_timer_drop(Db *db, const char *kind, int64_t subject_id, bool *ret_was, Err *err) {
    int64_t changes = 0;
    int r = db_exec(db, &changes, err, "DELETE FROM timer WHERE kind = ?1 AND subject_id = ?2", "si", kind,
                    subject_id);

    if (r >= 0 && ret_was)
        *ret_was = changes == 1;
    return r;
}

int store_timer_take(Db *db, const Timer *timer, bool *ret_was, Err *err) {
    int64_t changes = 0;
    int r =
        db_exec(db, &changes, err, "DELETE FROM timer WHERE kind = ?1 AND subject_id = ?2 AND due_at = ?3",
                "sii", timer->kind, timer->subject_id, timer->due_at);

    if (r >= 0)
        *ret_was = changes == 1;
    return r;
}

int store_timer_due(Db *db, const char *kind, int64_t subject_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err,
                        "SELECT COALESCE(MAX(due_at), 0) FROM timer WHERE kind = ?1 AND subject_id = ?2",
                        "si", kind, subject_id);
}

int store_timer_next(Db *db, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COALESCE(MIN(due_at), 0) FROM timer", "");
}

int store_timers_shift(Db *db, const char *kind, int64_t by, Err *err) {
    return db_exec(db, NULL, err, "UPDATE timer SET due_at = due_at + ?2 WHERE kind = ?1", "si", kind, by);
}

int store_timers_cap(Db *db, int64_t now, int64_t retry_most, Err *err) {
    static const char *const caps[] = {
        "UPDATE timer SET due_at = ?1 + (SELECT timeout FROM build WHERE id = subject_id)"
        " WHERE kind = 'build' AND due_at - ?1 > (SELECT timeout FROM build WHERE id = subject_id)",
        "UPDATE timer SET due_at = ?1 + (SELECT queue_timeout FROM job WHERE id = subject_id)"
        " WHERE kind = 'queue' AND due_at - ?1 > (SELECT queue_timeout FROM job WHERE id = subject_id)",
    };
    int r =
        db_exec(db, NULL, err, "UPDATE timer SET due_at = ?1 + ?2 WHERE kind = 'retry' AND due_at - ?1 > ?2",
                "ii", now, retry_most);

    for (size_t i = 0; r >= 0 && i < ELEMENTS(caps); i++)
        r = db_exec(db, NULL, err, caps[i], "i", now);
    return r;
}

static void fill(DbStmt *st, const void *mem, void *row) {
    Timer *t = row;

    t->kind = row_text(st, 0, mem);
    t->subject_id = db_int(st, 1);
    t->due_at = db_int(st, 2);
}

int store_timers_before(Db *db, int64_t time, int64_t limit, const void *mem, Timer **ret, size_t *ret_count,
                        Err *err) {
    return rows_all(db, mem, sizeof(Timer), fill, ret, ret_count, err,
                    "SELECT kind, subject_id, due_at FROM timer WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
                    "ii", time, limit);
}
