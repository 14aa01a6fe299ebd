#include "store/rows.h"
#include "store/store.h"

/* Followers resume within this many events; older ones go, a thousand at a time. */
#define KEEP 100000
#define PRUNE_EVERY 1000

int store_event_insert(Db *db, const char *kind, int64_t build_id, const char *state, int64_t now, Err *err) {
    int64_t id;
    int r = db_query_int(
        db, &id, err,
        "INSERT INTO event (kind, build_id, state, created_at) VALUES (?1, ?2, ?3, ?4) RETURNING id", "sisi",
        kind, build_id, state, now);

    if (r < 0 || id % PRUNE_EVERY != 0)
        return r;
    return db_exec(db, NULL, err, "DELETE FROM event WHERE id < ?1", "i", id - KEEP);
}

static void fill(DbStmt *st, const void *mem, void *row) {
    EventRow *e = row;

    e->id = db_int(st, 0);
    e->build_id = db_int(st, 1);
    e->kind = row_text(st, 2, mem);
    e->state = row_text(st, 3, mem);
}

int store_events_after(Db *db, int64_t after, int64_t limit, const void *mem, EventRow **ret,
                       size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(EventRow), fill, ret, ret_count, err,
                    "SELECT id, build_id, kind, state FROM event WHERE id > ?1 ORDER BY id LIMIT ?2", "ii",
                    after, limit);
}

int store_event_last(Db *db, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COALESCE(MAX(id), 0) FROM event", "");
}
