#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT id, runner_id, name, role, kind, created_at, expires_at, revoked_at, parent_id FROM token"

static void fill(DbStmt *st, const void *mem, void *row) {
    Token *t = row;

    t->id = db_int(st, 0);
    t->runner_id = db_int(st, 1);
    t->name = row_text(st, 2, mem);
    t->role = row_text(st, 3, mem);
    t->kind = row_text(st, 4, mem);
    t->created_at = db_int(st, 5);
    t->expires_at = db_int(st, 6);
    t->revoked_at = db_int(st, 7);
    t->parent_id = db_int(st, 8);
}

int store_token_insert(Db *db, Token *t, const char *hash, Err *err) {
    int64_t id;
    int r = db_query_int(
        db, &id, err,
        "INSERT INTO token (name, hash, role, kind, runner_id, created_at, expires_at, parent_id)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        "ssssiiii", t->name, hash, t->role, t->kind, t->runner_id, t->created_at, t->expires_at,
        t->parent_id);

    if (r < 0)
        return r;
    t->id = id;
    return 0;
}

int store_token_by_hash(Db *db, const char *hash, const void *mem, Token **ret, Err *err) {
    return rows_one(db, mem, sizeof(Token), fill, "token", ret, err, SELECT " WHERE hash = ?1", "s", hash);
}

int store_tokens(Db *db, const void *mem, Token **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Token), fill, ret, ret_count, err,
                    SELECT " WHERE kind = 'token' ORDER BY id", "");
}

int store_token_is_last_admin(Db *db, int64_t id, int64_t now, bool *ret, Err *err) {
    int64_t last;
    int r =
        db_query_int(db, &last, err,
                     "SELECT COUNT(*) = 1 AND MAX(id) = ?1 FROM token WHERE role = 'admin' AND kind = 'token'"
                     " AND revoked_at = 0 AND (expires_at = 0 OR expires_at > ?2)",
                     "ii", id, now);

    if (r >= 0)
        *ret = last != 0;
    return r;
}

int store_token_revoke(Db *db, int64_t id, int64_t now, Err *err) {
    int64_t changes = 0;
    int r = db_exec(db, &changes, err, "UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at = 0",
                    "ii", id, now);

    if (r < 0)
        return r;
    if (!changes)
        return err_set(err, ERR_NOT_FOUND, "no such token, or revoked already");
    return db_exec(db, NULL, err,
                   "UPDATE token SET revoked_at = ?2 WHERE parent_id = ?1 AND parent_id <> 0"
                   " AND revoked_at = 0",
                   "ii", id, now);
}

int store_tokens_revoke_runner(Db *db, int64_t runner_id, int64_t now, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE token SET revoked_at = ?2 WHERE runner_id = ?1 AND runner_id <> 0"
                   " AND revoked_at = 0",
                   "ii", runner_id, now);
}

int store_sessions_prune(Db *db, int64_t now, Err *err) {
    return db_exec(db, NULL, err,
                   "DELETE FROM token WHERE parent_id <> 0 AND expires_at <> 0 AND expires_at < ?1", "i",
                   now);
}
