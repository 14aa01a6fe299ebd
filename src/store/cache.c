#include "store/rows.h"
#include "store/store.h"

#define SELECT "SELECT id, project_id, size, created_at, used_at, uuid, scope, key, xxh64 FROM cache"

static void fill(DbStmt *st, const void *mem, void *row) {
    Cache *c = row;

    c->id = db_int(st, 0);
    c->project_id = db_int(st, 1);
    c->size = db_int(st, 2);
    c->created_at = db_int(st, 3);
    c->used_at = db_int(st, 4);
    c->uuid = row_text(st, 5, mem);
    c->scope = row_text(st, 6, mem);
    c->key = row_text(st, 7, mem);
    c->xxh64 = row_text(st, 8, mem);
}

int store_cache_insert(Db *db, Cache *c, Err *err) {
    int64_t id = 0;
    int r =
        db_query_int(db, &id, err,
                     "INSERT INTO cache (uuid, project_id, scope, key, size, xxh64, created_at, used_at)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)"
                     " ON CONFLICT (project_id, scope, key) DO NOTHING RETURNING id",
                     "sissisi", c->uuid, c->project_id, c->scope, c->key, c->size, c->xxh64, c->created_at);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_EXISTS, "a cache with this key is there already");
    if (r >= 0)
        c->id = id;
    return r;
}

int store_cache_by_key(Db *db, int64_t project_id, const char *scope, const char *key, const void *mem,
                       Cache **ret, Err *err) {
    return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err,
                    SELECT " WHERE project_id = ?1 AND scope = ?2 AND key = ?3", "iss", project_id, scope,
                    key);
}

int store_cache_by_prefix(Db *db, int64_t project_id, const char *scope, const char *prefix, const void *mem,
                          Cache **ret, Err *err) {
    return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err,
                    SELECT " WHERE project_id = ?1 AND scope = ?2 AND SUBSTR(key, 1, LENGTH(?3)) = ?3"
                           " ORDER BY id DESC LIMIT 1",
                    "iss", project_id, scope, prefix);
}

int store_cache_load(Db *db, int64_t id, const void *mem, Cache **ret, Err *err) {
    return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err, SELECT " WHERE id = ?1", "i", id);
}

int store_cache_by_uuid(Db *db, const char *uuid, const void *mem, Cache **ret, Err *err) {
    return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err, SELECT " WHERE uuid = ?1", "s", uuid);
}

int store_caches(Db *db, int64_t project_id, const void *mem, Cache **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Cache), fill, ret, ret_count, err,
                    SELECT " WHERE project_id = ?1 ORDER BY used_at DESC, id DESC", "i", project_id);
}

int store_cache_oldest(Db *db, int64_t project_id, const void *mem, Cache **ret, Err *err) {
    if (project_id)
        return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err,
                        SELECT " WHERE project_id = ?1 ORDER BY used_at, id LIMIT 1", "i", project_id);
    return rows_one(db, mem, sizeof(Cache), fill, "cache", ret, err, SELECT " ORDER BY used_at, id LIMIT 1",
                    "");
}

int store_cache_total(Db *db, int64_t project_id, int64_t *ret, Err *err) {
    if (project_id)
        return db_query_int(db, ret, err, "SELECT COALESCE(SUM(size), 0) FROM cache WHERE project_id = ?1",
                            "i", project_id);
    return db_query_int(db, ret, err, "SELECT COALESCE(SUM(size), 0) FROM cache", "");
}

int store_cache_used(Db *db, int64_t id, int64_t now, Err *err) {
    return db_exec(db, NULL, err, "UPDATE cache SET used_at = ?2 WHERE id = ?1", "ii", id, now);
}

int store_cache_delete(Db *db, int64_t id, Err *err) {
    return db_exec(db, NULL, err, "DELETE FROM cache WHERE id = ?1", "i", id);
}
