#include "store/rows.h"
#include "store/store.h"

#define SELECT "SELECT id, org_id, project_id, name, sealed, updated_by, created_at, updated_at FROM secret"

static void fill(DbStmt *st, const void *mem, void *row) {
    Secret *s = row;

    s->id = db_int(st, 0);
    s->org_id = db_int(st, 1);
    s->project_id = db_int(st, 2);
    s->name = row_text(st, 3, mem);
    s->sealed = row_text(st, 4, mem);
    s->updated_by = row_text(st, 5, mem);
    s->created_at = db_int(st, 6);
    s->updated_at = db_int(st, 7);
}

int store_secret_put(Db *db, const Secret *s, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO secret (org_id, project_id, name, sealed, updated_by, created_at, updated_at)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)"
                   " ON CONFLICT (org_id, project_id, name) DO UPDATE SET sealed = excluded.sealed,"
                   " updated_by = excluded.updated_by, updated_at = excluded.updated_at",
                   "iisssi", s->org_id, s->project_id, s->name, s->sealed, s->updated_by, s->updated_at);
}

int store_secret_load(Db *db, int64_t org_id, int64_t project_id, const char *name, const void *mem,
                      Secret **ret, Err *err) {
    return rows_one(db, mem, sizeof(Secret), fill, "secret", ret, err,
                    SELECT " WHERE org_id = ?1 AND project_id = ?2 AND name = ?3", "iis", org_id, project_id,
                    name);
}

int store_secrets(Db *db, int64_t org_id, int64_t project_id, const void *mem, Secret **ret,
                  size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Secret), fill, ret, ret_count, err,
                    SELECT " WHERE org_id = ?1 AND project_id = ?2 ORDER BY name", "ii", org_id, project_id);
}

int store_secrets_all(Db *db, const void *mem, Secret **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Secret), fill, ret, ret_count, err, SELECT " ORDER BY id", "");
}

int store_secret_reseal(Db *db, int64_t id, const char *sealed, Err *err) {
    return rows_update(db, err, "the secret is gone", "UPDATE secret SET sealed = ?2 WHERE id = ?1", "is", id,
                       sealed);
}

int store_secret_delete(Db *db, int64_t org_id, int64_t project_id, const char *name, Err *err) {
    int64_t changes = 0;
    int r =
        db_exec(db, &changes, err, "DELETE FROM secret WHERE org_id = ?1 AND project_id = ?2 AND name = ?3",
                "iis", org_id, project_id, name);

    if (r < 0)
        return r;
    return changes ? 0 : err_set(err, ERR_NOT_FOUND, "there is no secret %s", name);
}
