#include "store/rows.h"
#include "store/store.h"

int store_signature_put(Db *db, int64_t build_id, const Signature *s, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO signature (build_id, status, key, signer) VALUES (?1, ?2, ?3, ?4)", "isss",
                   build_id, s->status, s->key, s->signer);
}

int store_signature_copy(Db *db, int64_t from_build, int64_t to_build, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO signature (build_id, status, key, signer)"
                   " SELECT ?2, status, key, signer FROM signature WHERE build_id = ?1",
                   "ii", from_build, to_build);
}

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Signature *)row = (Signature){
        .status = row_text(st, 0, mem), .key = row_text(st, 1, mem), .signer = row_text(st, 2, mem)};
}

int store_signature_load(Db *db, int64_t build_id, const void *mem, Signature **ret, Err *err) {
    int r = rows_one(db, mem, sizeof(Signature), fill, "signature", ret, err,
                     "SELECT status, key, signer FROM signature WHERE build_id = ?1", "i", build_id);

    if (r != -ERR_NOT_FOUND)
        return r;
    *ret = NULL;
    return 0;
}
