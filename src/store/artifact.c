#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT a.id, a.build_id, a.job_id, a.path, a.size, a.sha256, a.created_at, j.name"                      \
    " FROM artifact a JOIN job j ON j.id = a.job_id"

static void fill(DbStmt *st, const void *mem, void *row) {
    Artifact *a = row;

    a->id = db_int(st, 0);
    a->build_id = db_int(st, 1);
    a->job_id = db_int(st, 2);
    a->path = row_text(st, 3, mem);
    a->size = db_int(st, 4);
    a->sha256 = row_text(st, 5, mem);
    a->created_at = db_int(st, 6);
    a->job = row_text(st, 7, mem);
}

int store_artifact_put(Db *db, const Artifact *a, Err *err) {
    return db_exec(
        db, NULL, err,
        "INSERT INTO artifact (build_id, job_id, path, size, sha256, created_at) VALUES (?1, ?2, ?3, ?4, ?5, "
        "?6)"
        " ON CONFLICT (build_id, path) DO UPDATE SET job_id = excluded.job_id, size = excluded.size,"
        " sha256 = excluded.sha256, created_at = excluded.created_at",
        "iisisi", a->build_id, a->job_id, a->path, a->size, a->sha256, a->created_at);
}

int store_artifacts(Db *db, int64_t build_id, const void *mem, Artifact **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Artifact), fill, ret, ret_count, err,
                    SELECT " WHERE a.build_id = ?1 ORDER BY a.path", "i", build_id);
}

int store_artifact_load(Db *db, int64_t build_id, const char *path, const void *mem, Artifact **ret,
                        Err *err) {
    return rows_one(db, mem, sizeof(Artifact), fill, "artifact", ret, err,
                    SELECT " WHERE a.build_id = ?1 AND a.path = ?2", "is", build_id, path);
}

int store_artifacts_copy(Db *db, const Job *from, int64_t build_id, int64_t job_id, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO artifact (build_id, job_id, path, size, sha256, created_at)"
                   " SELECT ?3, ?4, path, size, sha256, created_at FROM artifact"
                   " WHERE build_id = ?1 AND job_id = ?2",
                   "iiii", from->build_id, from->id, build_id, job_id);
}

int store_artifacts_drop(Db *db, int64_t build_id, int64_t job_id, Err *err) {
    return db_exec(db, NULL, err, "DELETE FROM artifact WHERE build_id = ?1 AND job_id = ?2", "ii", build_id,
                   job_id);
}

int store_artifact_count(Db *db, int64_t build_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COUNT(*) FROM artifact WHERE build_id = ?1", "i", build_id);
}

int store_artifact_of_commit(Db *db, const char *commit, const char *path, const void *mem, Artifact **ret,
                             Err *err) {
    return rows_one(db, mem, sizeof(Artifact), fill, "artifact", ret, err,
                    SELECT " JOIN build b ON b.id = a.build_id WHERE b.commit_hash = ?1 AND a.path = ?2"
                           " ORDER BY a.id DESC LIMIT 1",
                    "ss", commit, path);
}

int store_artifacts_workspaces(Db *db, int64_t build_id, const void *mem, Artifact **ret, size_t *ret_count,
                               Err *err) {
    return rows_all(db, mem, sizeof(Artifact), fill, ret, ret_count, err,
                    SELECT " WHERE a.build_id = ?1 AND a.path >= '.pelton/workspace/'"
                           " AND a.path < '.pelton/workspace0' ORDER BY a.path",
                    "i", build_id);
}

int store_artifact_delete(Db *db, const Artifact *a, int64_t *ret_left, Err *err) {
    int r = db_exec(db, NULL, err, "DELETE FROM artifact WHERE id = ?1", "i", a->id);

    return r < 0 ? r
                 : db_query_int(db, ret_left, err, "SELECT COUNT(*) FROM artifact WHERE sha256 = ?1", "s",
                                a->sha256);
}
