#include "store/rows.h"
#include "store/store.h"

#define COLUMNS "id, executor, arch, labels, cpu, memory, disk"

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Fit *)row = (Fit){.id = db_int(st, 0),
                        .executor = row_text(st, 1, mem),
                        .arch = row_text(st, 2, mem),
                        .labels = row_text(st, 3, mem),
                        .cpu = db_int(st, 4),
                        .memory = db_int(st, 5),
                        .disk = db_int(st, 6)};
}

static int find(Db *db, Fit *fit, Err *err) {
    return db_query_int(db, &fit->id, err,
                        "SELECT id FROM fit WHERE executor = ?1 AND arch = ?2 AND labels = ?3 AND cpu = ?4"
                        " AND memory = ?5 AND disk = ?6",
                        "sssiii", fit->executor, fit->arch, fit->labels, fit->cpu, fit->memory, fit->disk);
}

int store_fit_put(Db *db, Fit *fit, Err *err) {
    int r = find(db, fit, err);

    if (r != -ERR_NOT_FOUND)
        return r;
    return db_query_int(db, &fit->id, err,
                        "INSERT INTO fit (executor, arch, labels, cpu, memory, disk)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
                        "sssiii", fit->executor, fit->arch, fit->labels, fit->cpu, fit->memory, fit->disk);
}

int store_fit_load(Db *db, int64_t id, const void *mem, Fit **ret, Err *err) {
    return rows_one(db, mem, sizeof(Fit), fill, "fit", ret, err, "SELECT " COLUMNS " FROM fit WHERE id = ?1",
                    "i", id);
}
