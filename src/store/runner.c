#include "store/rows.h"
#include "store/store.h"

#define COLUMNS                                                                                              \
    "id, uuid, name, arch, labels, executors, version, drained_by, slots, created_at, last_seen, cpu,"       \
    " memory, disk, drained_at"
#define SELECT "SELECT " COLUMNS " FROM runner"

static void fill(DbStmt *st, const void *mem, void *row) {
    Runner *r = row;
    const char **texts[] = {&r->uuid,      &r->name,    &r->arch,      &r->labels,
                            &r->executors, &r->version, &r->drained_by};
    int64_t *numbers[] = {&r->slots,  &r->created_at, &r->last_seen, &r->cpu,
                          &r->memory, &r->disk,       &r->drained_at};

    r->id = db_int(st, 0);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = row_text(st, (int)i + 1, mem);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        *numbers[i] = db_int(st, (int)(i + 1 + ELEMENTS(texts)));
}

int store_runner_put(Db *db, Runner *runner, const void *mem, Err *err) {
    Runner *row;
    int r = rows_one(
        db, mem, sizeof(Runner), fill, "runner", &row, err,
        "INSERT INTO runner (uuid, name, arch, labels, executors, slots, version, created_at, cpu, memory,"
        " disk) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (name) DO UPDATE SET"
        " arch = excluded.arch, labels = excluded.labels, executors = excluded.executors,"
        " slots = excluded.slots, version = excluded.version, cpu = excluded.cpu, memory = excluded.memory,"
        " disk = excluded.disk RETURNING " COLUMNS,
        "sssssisiiii", runner->uuid, runner->name, runner->arch, runner->labels, runner->executors,
        runner->slots, runner->version, runner->created_at, runner->cpu, runner->memory, runner->disk);

    if (r < 0)
        return r;
    *runner = *row;
    return 0;
}

int store_runner_by_id(Db *db, int64_t id, const void *mem, Runner **ret, Err *err) {
    return rows_one(db, mem, sizeof(Runner), fill, "runner", ret, err, SELECT " WHERE id = ?1", "i", id);
}

int store_runner_by_name(Db *db, const char *name, const void *mem, Runner **ret, Err *err) {
    return rows_one(db, mem, sizeof(Runner), fill, "runner", ret, err, SELECT " WHERE name = ?1", "s", name);
}

int store_runner_drain(Db *db, int64_t id, const char *by, int64_t now, bool *ret_changed, Err *err) {
    int64_t changes = 0;
    int r = db_exec(db, &changes, err,
                    "UPDATE runner SET drained_by = ?2, drained_at = ?3 WHERE id = ?1"
                    " AND (drained_at = 0) <> (?3 = 0)",
                    "isi", id, by ? by : "", by ? now : (int64_t)0);

    if (r < 0)
        return r;
    *ret_changed = changes > 0;
    return 0;
}

int store_runners(Db *db, const void *mem, Runner **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Runner), fill, ret, ret_count, err,
                    SELECT " WHERE removed_at = 0 ORDER BY name", "");
}

int store_runner_remove(Db *db, int64_t id, const char *name, int64_t now, Err *err) {
    return db_exec(db, NULL, err, "UPDATE runner SET name = ?2, removed_at = ?3 WHERE id = ?1", "isi", id,
                   name, now);
}

int store_runner_seen(Db *db, int64_t id, int64_t now, Err *err) {
    return db_exec(db, NULL, err, "UPDATE runner SET last_seen = ?2 WHERE id = ?1", "ii", id, now);
}

int store_runners_seen_shift(Db *db, int64_t by, Err *err) {
    return db_exec(db, NULL, err, "UPDATE runner SET last_seen = last_seen + ?1 WHERE last_seen > 0", "i",
                   by);
}

int store_runners_seen_cap(Db *db, int64_t now, Err *err) {
    return db_exec(db, NULL, err, "UPDATE runner SET last_seen = ?1 WHERE last_seen > ?1", "i", now);
}
