/* Files that jobs keep. A row that goes leaves its bytes and its name as garbage, in the same transaction:
 * whoever removes files knows from there which rows they were of. */
#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT a.id, a.build_id, a.job_id, a.name, a.path, a.size, a.sha256, a.mode, a.keep, a.created_at,"     \
    " a.expires_at, j.name FROM artifact a JOIN job j ON j.id = a.job_id"

static void fill(DbStmt *st, const void *mem, void *row) {
    Artifact *a = row;

    a->id = db_int(st, 0);
    a->build_id = db_int(st, 1);
    a->job_id = db_int(st, 2);
    a->name = row_text(st, 3, mem);
    a->path = row_text(st, 4, mem);
    a->size = db_int(st, 5);
    a->sha256 = row_text(st, 6, mem);
    a->mode = db_int(st, 7);
    a->keep = db_int(st, 8);
    a->created_at = db_int(st, 9);
    a->expires_at = db_int(st, 10);
    a->job = row_text(st, 11, mem);
}

/* ---- rows that go ---- */

/* The rows that `which` (a condition of a.) is true for become garbage, and go. */
#define LEAVE(which)                                                                                         \
    "INSERT INTO artifact_garbage (sha256, folder, path)"                                                    \
    " SELECT a.sha256, CASE b.commit_hash WHEN '' THEN b.uuid ELSE b.commit_hash END, a.path"                \
    " FROM artifact a JOIN build b ON b.id = a.build_id WHERE " which
#define GO(which) "DELETE FROM artifact AS a WHERE " which

#define OF_PLACE "a.job_id = ?1 AND a.name = ?2 AND a.path = ?3"
#define OF_JOB "a.job_id = ?1"
#define OF_WORKSPACES "a.build_id = ?1 AND a.path >= '.pelton/workspace/' AND a.path < '.pelton/workspace0'"
#define OF_EXPIRED                                                                                           \
    "a.id IN (SELECT e.id FROM artifact e WHERE e.build_id = ?1 AND e.expires_at > 0 AND e.expires_at <= ?2" \
    " ORDER BY e.expires_at, e.id LIMIT ?3)"

int store_artifact_put(Db *db, const Artifact *a, bool *ret_replaced, Err *err) {
    const char *name = a->name ? a->name : "";
    int64_t left = 0;
    int r = db_exec(db, &left, err, LEAVE(OF_PLACE), "iss", a->job_id, name, a->path);

    if (r >= 0 && left)
        r = db_exec(db, NULL, err, GO(OF_PLACE), "iss", a->job_id, name, a->path);
    if (r >= 0)
        r = db_exec(
            db, NULL, err,
            "INSERT INTO artifact (build_id, job_id, name, path, size, sha256, mode, keep, created_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            "iissisiii", a->build_id, a->job_id, name, a->path, a->size, a->sha256, a->mode, a->keep,
            a->created_at);
    *ret_replaced = left > 0;
    return r;
}

int store_artifacts_drop(Db *db, int64_t job_id, int64_t *ret_count, Err *err) {
    int r = db_exec(db, ret_count, err, LEAVE(OF_JOB), "i", job_id);

    return r < 0 || *ret_count == 0 ? r : db_exec(db, NULL, err, GO(OF_JOB), "i", job_id);
}

int store_artifacts_drop_workspaces(Db *db, int64_t build_id, int64_t *ret_count, Err *err) {
    int r = db_exec(db, ret_count, err, LEAVE(OF_WORKSPACES), "i", build_id);

    return r < 0 || *ret_count == 0 ? r : db_exec(db, NULL, err, GO(OF_WORKSPACES), "i", build_id);
}

/* ---- for how long ---- */

int store_artifacts_ended(Db *db, int64_t build_id, int64_t now, int64_t *ret_first, Err *err) {
    int r =
        db_exec(db, NULL, err, "UPDATE artifact SET expires_at = ?2 + keep WHERE build_id = ?1 AND keep > 0",
                "ii", build_id, now);

    return r < 0 ? r : store_artifacts_first(db, build_id, ret_first, err);
}

int store_artifacts_first(Db *db, int64_t build_id, int64_t *ret, Err *err) {
    return db_query_int(
        db, ret, err,
        "SELECT COALESCE(MIN(expires_at), 0) FROM artifact WHERE build_id = ?1 AND expires_at > 0", "i",
        build_id);
}

/* What is told of it later is kept a line for each name. */
int store_artifacts_expire(Db *db, int64_t build_id, int64_t now, int64_t limit, Err *err) {
    int r = db_exec(db, NULL, err, LEAVE(OF_EXPIRED), "iii", build_id, now, limit);

    if (r >= 0)
        r = db_exec(db, NULL, err,
                    "INSERT INTO artifact_expired (build_id, job_id, name, keep, files, size, removed_at)"
                    " SELECT a.build_id, a.job_id, a.name, MAX(a.keep), COUNT(*), SUM(a.size), ?2"
                    " FROM artifact a WHERE " OF_EXPIRED " GROUP BY a.build_id, a.job_id, a.name"
                    " ON CONFLICT (job_id, name) DO UPDATE SET files = artifact_expired.files + "
                    "excluded.files,"
                    " size = artifact_expired.size + excluded.size, removed_at = excluded.removed_at",
                    "iii", build_id, now, limit);
    return r < 0 ? r : db_exec(db, NULL, err, GO(OF_EXPIRED), "iii", build_id, now, limit);
}

#define SELECT_EXPIRED                                                                                       \
    "SELECT e.build_id, j.name, e.name, e.keep, e.files, e.size, e.removed_at"                               \
    " FROM artifact_expired e JOIN job j ON j.id = e.job_id"

static void fill_expired(DbStmt *st, const void *mem, void *row) {
    ArtifactExpired *e = row;

    e->build_id = db_int(st, 0);
    e->job = row_text(st, 1, mem);
    e->name = row_text(st, 2, mem);
    e->keep = db_int(st, 3);
    e->files = db_int(st, 4);
    e->size = db_int(st, 5);
    e->removed_at = db_int(st, 6);
}

int store_artifacts_expired(Db *db, int64_t build_id, const void *mem, ArtifactExpired **ret,
                            size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(ArtifactExpired), fill_expired, ret, ret_count, err,
                    SELECT_EXPIRED " WHERE e.build_id = ?1 ORDER BY j.position, e.name", "i", build_id);
}

int store_artifacts_expired_of_commit(Db *db, const char *commit, const void *mem, ArtifactExpired **ret,
                                      size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(ArtifactExpired), fill_expired, ret, ret_count, err,
                    SELECT_EXPIRED " JOIN build b ON b.id = e.build_id WHERE b.commit_hash = ?1"
                                   " ORDER BY e.removed_at DESC",
                    "s", commit);
}

/* ---- reading ---- */

int store_artifacts(Db *db, int64_t build_id, const void *mem, Artifact **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Artifact), fill, ret, ret_count, err,
                    SELECT " WHERE a.build_id = ?1 ORDER BY a.path, j.position, a.id", "i", build_id);
}

/* The jobs that ?1 needs, also through others; those that are called ?3, or are of a matrix of that name. */
#define NEEDED                                                                                               \
    "WITH RECURSIVE needed (id) AS (SELECT need_id FROM job_need WHERE job_id = ?1"                          \
    " UNION SELECT n.need_id FROM job_need n JOIN needed ON n.job_id = needed.id) "
#define CALLED " AND (?3 = '' OR j.name = ?3 OR substr(j.name, 1, length(?3) + 2) = ?3 || ' (')"

int store_artifacts_needed(Db *db, const ArtifactWish *wish, int64_t job_id, int64_t limit, const void *mem,
                           Artifact **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Artifact), fill, ret, ret_count, err,
                    NEEDED SELECT
                    " WHERE a.job_id IN (SELECT id FROM needed) AND (?2 = '' OR a.name = ?2)" CALLED
                    " AND NOT (a.name = '' AND a.path >= '.pelton/' AND a.path < '.pelton0')"
                    " ORDER BY a.path, j.position, a.id LIMIT ?4",
                    "issi", job_id, wish->name, wish->job, limit);
}

int store_artifacts_needed_expired(Db *db, const ArtifactWish *wish, int64_t job_id, const void *mem,
                                   ArtifactExpired **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(ArtifactExpired), fill_expired, ret, ret_count, err,
                    NEEDED SELECT_EXPIRED
                    " WHERE e.job_id IN (SELECT id FROM needed) AND (?2 = '' OR e.name = ?2)" CALLED
                    " ORDER BY j.position, e.name",
                    "iss", job_id, wish->name, wish->job);
}

int store_artifact_load(Db *db, const ArtifactWish *wish, const void *mem, Artifact **ret, Err *err) {
    return rows_one(db, mem, sizeof(Artifact), fill, "artifact", ret, err,
                    SELECT " WHERE a.build_id = ?1 AND a.path = ?2 AND (a.name = ?3 OR ?3 IS NULL)"
                           " AND (j.name = ?4 OR ?4 IS NULL) ORDER BY j.position DESC, a.id DESC LIMIT 1",
                    "isss", wish->build_id, wish->path, wish->name, wish->job);
}

int store_artifact_by_id(Db *db, int64_t id, const void *mem, Artifact **ret, Err *err) {
    return rows_one(db, mem, sizeof(Artifact), fill, "artifact", ret, err, SELECT " WHERE a.id = ?1", "i",
                    id);
}

int store_artifact_count(Db *db, int64_t build_id, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err, "SELECT COUNT(*) FROM artifact WHERE build_id = ?1", "i", build_id);
}

int store_artifact_of_commit(Db *db, const char *commit, const char *path, const void *mem, Artifact **ret,
                             Err *err) {
    return rows_one(db, mem, sizeof(Artifact), fill, "artifact", ret, err,
                    SELECT " JOIN build b ON b.id = a.build_id WHERE b.commit_hash = ?1 AND a.path = ?2"
                           " ORDER BY b.id DESC, j.position DESC, a.id DESC LIMIT 1",
                    "ss", commit, path);
}

/* From the end of its own build on. */
int store_artifacts_copy(Db *db, const Job *from, int64_t build_id, int64_t job_id, Err *err) {
    int r = db_exec(
        db, NULL, err,
        "INSERT INTO artifact (build_id, job_id, name, path, size, sha256, mode, keep, created_at)"
        " SELECT ?2, ?3, name, path, size, sha256, mode, keep, created_at FROM artifact WHERE job_id = ?1",
        "iii", from->id, build_id, job_id);

    if (r >= 0)
        r = db_exec(db, NULL, err,
                    "INSERT INTO artifact_expired (build_id, job_id, name, keep, files, size, removed_at)"
                    " SELECT ?2, ?3, name, keep, files, size, removed_at FROM artifact_expired"
                    " WHERE job_id = ?1",
                    "iii", from->id, build_id, job_id);
    return r;
}

/* ---- garbage ---- */

static void fill_garbage(DbStmt *st, const void *mem, void *row) {
    ArtifactGarbage *g = row;

    g->id = db_int(st, 0);
    g->sha256 = row_text(st, 1, mem);
    g->folder = row_text(st, 2, mem);
    g->path = row_text(st, 3, mem);
}

int store_garbage(Db *db, int64_t limit, const void *mem, ArtifactGarbage **ret, size_t *ret_count,
                  Err *err) {
    return rows_all(db, mem, sizeof(ArtifactGarbage), fill_garbage, ret, ret_count, err,
                    "SELECT id, sha256, folder, path FROM artifact_garbage ORDER BY id LIMIT ?1", "i", limit);
}

int store_garbage_bytes_used(Db *db, const ArtifactGarbage *g, int64_t *ret, Err *err) {
    return db_query_int(db, ret, err,
                        "SELECT EXISTS (SELECT 1 FROM artifact WHERE sha256 = ?1)"
                        " OR EXISTS (SELECT 1 FROM deployment WHERE status = 'live' AND sha256 = ?1)"
                        " OR EXISTS (SELECT 1 FROM artifact_garbage WHERE sha256 = ?1 AND id > ?2)",
                        "si", g->sha256, g->id);
}

int store_garbage_name_used(Db *db, const ArtifactGarbage *g, int64_t *ret, Err *err) {
    return db_query_int(
        db, ret, err,
        "SELECT EXISTS (SELECT 1 FROM artifact_garbage WHERE folder = ?1 AND path = ?2 AND id > ?3)", "ssi",
        g->folder, g->path, g->id);
}

static void fill_sha(DbStmt *st, const void *mem, void *row) {
    *(const char **)row = row_text(st, 0, mem);
}

int store_garbage_name_bytes(Db *db, const ArtifactGarbage *g, const void *mem, const char **ret, Err *err) {
    const char **newest;
    int r = rows_one(db, mem, sizeof(const char *), fill_sha, "artifact", &newest, err,
                     "SELECT a.sha256 FROM build b JOIN artifact a ON a.build_id = b.id AND a.path = ?2"
                     " WHERE b.commit_hash = ?1 OR b.uuid = ?1 ORDER BY a.id DESC LIMIT 1",
                     "ss", g->folder, g->path);

    if (r == -ERR_NOT_FOUND)
        *ret = NULL;
    else if (r >= 0)
        *ret = *newest;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

int store_garbage_done(Db *db, int64_t id, Err *err) {
    return db_exec(db, NULL, err, "DELETE FROM artifact_garbage WHERE id = ?1", "i", id);
}
