#include "store/rows.h"
#include "store/store.h"

int store_output_put(Db *db, int64_t job_id, int64_t attempt, const Output *output, Err *err) {
    return db_exec(db, NULL, err, "INSERT INTO output (job_id, attempt, name, value) VALUES (?1, ?2, ?3, ?4)",
                   "iiss", job_id, attempt, output->name, output->value);
}

int store_job_has_outputs(Db *db, int64_t id, int64_t count, Err *err) {
    return db_exec(db, NULL, err, "UPDATE job SET outputs = ?2 WHERE id = ?1", "ii", id, count);
}

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Output *)row = (Output){.name = row_text(st, 0, mem), .value = row_text(st, 1, mem)};
}

int store_outputs(Db *db, int64_t job_id, int64_t attempt, const void *mem, Output **ret, size_t *ret_count,
                  Err *err) {
    return rows_all(db, mem, sizeof(Output), fill, ret, ret_count, err,
                    "SELECT name, value FROM output WHERE job_id = ?1 AND attempt = ?2 ORDER BY name", "ii",
                    job_id, attempt);
}
