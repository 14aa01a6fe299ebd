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
