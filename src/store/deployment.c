#include "store/rows.h"
#include "store/store.h"

#define SELECT                                                                                               \
    "SELECT d.id, d.project_id, d.build_id, d.job_id, d.uuid, p.name, p.slug, d.commit_hash, d.branch, "     \
    "d.status, "                                                                                             \
    "d.sha256,"                                                                                              \
    " d.spec, d.url, d.message, b.subject, b.author, d.size, d.created_at, d.started_at, d.completed_at"     \
    " FROM deployment d JOIN project p ON p.id = d.project_id JOIN build b ON b.id = d.build_id"

static void fill(DbStmt *st, const void *mem, void *row) {
    Deployment *d = row;
    int64_t *ids[] = {&d->id, &d->project_id, &d->build_id, &d->job_id};
    const char **texts[] = {&d->uuid,   &d->project, &d->slug, &d->commit,  &d->branch,  &d->status,
                            &d->sha256, &d->spec,    &d->url,  &d->message, &d->subject, &d->author};
    int64_t *numbers[] = {&d->size, &d->created_at, &d->started_at, &d->completed_at};

    for (size_t i = 0; i < ELEMENTS(ids); i++)
        *ids[i] = db_int(st, (int)i);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = row_text(st, (int)i + 4, mem);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        *numbers[i] = db_int(st, (int)i + 16);
}

int store_deployment_insert(Db *db, Deployment *d, Err *err) {
    int64_t id;
    int r = db_query_int(
        db, &id, err,
        "INSERT INTO deployment (uuid, project_id, build_id, job_id, commit_hash, branch, status, spec,"
        " created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
        "siiissssi", d->uuid, d->project_id, d->build_id, d->job_id, d->commit, d->branch, d->status, d->spec,
        d->created_at);

    if (r < 0)
        return r;
    d->id = id;
    return 0;
}

int store_deployment_by_job(Db *db, int64_t job_id, const void *mem, Deployment **ret, Err *err) {
    return rows_one(db, mem, sizeof(Deployment), fill, "deployment", ret, err, SELECT " WHERE d.job_id = ?1",
                    "i", job_id);
}

int store_deployment_by_uuid(Db *db, const char *uuid, const void *mem, Deployment **ret, Err *err) {
    return rows_one(db, mem, sizeof(Deployment), fill, "deployment", ret, err, SELECT " WHERE d.uuid = ?1",
                    "s", uuid);
}

int store_deployment_live(Db *db, int64_t project_id, const void *mem, Deployment **ret, Err *err) {
    Deployment *d;
    int r = rows_one(db, mem, sizeof(Deployment), fill, "deployment", &d, err,
                     SELECT " WHERE d.project_id = ?1 AND d.status = 'live'", "i", project_id);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = r < 0 ? NULL : d;
    return 0;
}

int store_deployments(Db *db, int64_t project_id, int64_t limit, const void *mem, Deployment **ret,
                      size_t *ret_count, Err *err) {
    if (project_id)
        return rows_all(db, mem, sizeof(Deployment), fill, ret, ret_count, err,
                        SELECT " WHERE d.project_id = ?1 ORDER BY d.id DESC LIMIT ?2", "ii", project_id,
                        limit);
    return rows_all(db, mem, sizeof(Deployment), fill, ret, ret_count, err,
                    SELECT " ORDER BY d.id DESC LIMIT ?1", "i", limit);
}

int store_deployments_live(Db *db, const void *mem, Deployment **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Deployment), fill, ret, ret_count, err,
                    SELECT " WHERE d.status = 'live' ORDER BY d.project_id", "");
}

int store_deployment_set(Db *db, int64_t id, const char *status, const char *sha256, int64_t size,
                         const char *url, const char *message, int64_t now, Err *err) {
    return rows_update(
        db, err, "the deployment has ended already",
        "UPDATE deployment SET status = ?2, sha256 = COALESCE(?3, sha256),"
        " size = CASE WHEN ?3 IS NULL THEN size ELSE ?4 END, url = COALESCE(?5, url),"
        " message = COALESCE(?6, message),"
        " started_at = CASE WHEN started_at = 0 AND ?2 <> 'pending' THEN ?7 ELSE started_at END,"
        " completed_at = CASE WHEN ?2 IN ('live', 'failed', 'cancelled') THEN ?7 ELSE 0 END"
        " WHERE id = ?1 AND status IN ('pending', 'building', 'deploying')",
        "ississi", id, status, sha256, size, url, message, now);
}

int store_deployment_stop(Db *db, int64_t id, const char *message, Err *err) {
    return rows_update(db, err, "the deployment is not live",
                       "UPDATE deployment SET status = 'superseded', message = ?2"
                       " WHERE id = ?1 AND status = 'live'",
                       "is", id, message);
}

int store_deployment_supersede(Db *db, int64_t project_id, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE deployment SET status = 'superseded' WHERE project_id = ?1 AND status = 'live'",
                   "i", project_id);
}

int store_deployment_building(Db *db, int64_t build_id, int64_t now, Err *err) {
    return db_exec(db, NULL, err,
                   "UPDATE deployment SET status = 'building', started_at = ?2 WHERE build_id = ?1 AND "
                   "status = 'pending'",
                   "ii", build_id, now);
}
