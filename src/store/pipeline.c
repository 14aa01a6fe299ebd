#include "store/pipeline.h"

#include "store/rows.h"

#define SELECT                                                                                               \
    "SELECT p.id, p.project_id, p.uuid, p.name, p.description, p.version, p.created_at, p.updated_at"        \
    " FROM pipeline p"
#define THERE " p.deleted_at = 0"

static void fill(DbStmt *st, const void *mem, void *row) {
    *(Pipeline *)row = (Pipeline){.id = db_int(st, 0),
                                  .project_id = db_int(st, 1),
                                  .uuid = row_text(st, 2, mem),
                                  .name = row_text(st, 3, mem),
                                  .description = row_text(st, 4, mem),
                                  .version = db_int(st, 5),
                                  .created_at = db_int(st, 6),
                                  .updated_at = db_int(st, 7)};
}

int store_pipeline_insert(Db *db, Pipeline *p, Err *err) {
    return db_query_int(
        db, &p->id, err,
        "INSERT INTO pipeline (project_id, uuid, name, description, version, created_at, updated_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
        "isssiii", p->project_id, p->uuid, p->name, p->description, p->version, p->created_at, p->updated_at);
}

int store_pipeline_update(Db *db, const Pipeline *p, Err *err) {
    return rows_update(db, err, "the pipeline is gone",
                       "UPDATE pipeline SET name = ?2, description = ?3, version = ?4, updated_at = ?5"
                       " WHERE id = ?1 AND deleted_at = 0",
                       "issii", p->id, p->name, p->description, p->version, p->updated_at);
}

int store_pipeline_delete(Db *db, int64_t id, int64_t now, Err *err) {
    return rows_update(db, err, "the pipeline is gone already",
                       "UPDATE pipeline SET deleted_at = ?2 WHERE id = ?1 AND deleted_at = 0", "ii", id, now);
}

int store_pipeline_by_uuid(Db *db, const char *uuid, const void *mem, Pipeline **ret, Err *err) {
    return rows_one(db, mem, sizeof(Pipeline), fill, "pipeline", ret, err,
                    SELECT " WHERE p.uuid = ?1 AND" THERE, "s", uuid);
}

int store_pipeline_by_id(Db *db, int64_t id, const void *mem, Pipeline **ret, Err *err) {
    return rows_one(db, mem, sizeof(Pipeline), fill, "pipeline", ret, err,
                    SELECT " WHERE p.id = ?1 AND" THERE, "i", id);
}

int store_pipelines(Db *db, const void *mem, Pipeline **ret, size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Pipeline), fill, ret, ret_count, err,
                    SELECT " WHERE" THERE " ORDER BY p.id", "");
}

int store_pipelines_watching(Db *db, const char *repository, const void *mem, Pipeline **ret,
                             size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(Pipeline), fill, ret, ret_count, err,
                    SELECT " WHERE" THERE " AND p.id IN (SELECT t.pipeline_id FROM pipeline_trigger t"
                           " WHERE t.repository = ?1 AND t.type IN ('git_push', 'git_tag')) ORDER BY p.id",
                    "s", repository);
}

/* ---- versions ---- */

static void fill_version(DbStmt *st, const void *mem, void *row) {
    *(PipelineVersion *)row = (PipelineVersion){.pipeline_id = db_int(st, 0),
                                                .number = db_int(st, 1),
                                                .created_by = row_text(st, 2, mem),
                                                .created_at = db_int(st, 3)};
}

static void fill_whole_version(DbStmt *st, const void *mem, void *row) {
    fill_version(st, mem, row);
    ((PipelineVersion *)row)->yaml = row_text(st, 4, mem);
}

int store_pipeline_version_insert(Db *db, const PipelineVersion *v, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO pipeline_version (pipeline_id, number, created_by, created_at, yaml)"
                   " VALUES (?1, ?2, ?3, ?4, ?5)",
                   "iisis", v->pipeline_id, v->number, v->created_by, v->created_at, v->yaml);
}

int store_pipeline_version(Db *db, int64_t pipeline_id, int64_t number, const void *mem,
                           PipelineVersion **ret, Err *err) {
    return rows_one(db, mem, sizeof(PipelineVersion), fill_whole_version, "version", ret, err,
                    "SELECT pipeline_id, number, created_by, created_at, yaml FROM pipeline_version"
                    " WHERE pipeline_id = ?1 AND number = ?2",
                    "ii", pipeline_id, number);
}

int store_pipeline_versions(Db *db, int64_t pipeline_id, const void *mem, PipelineVersion **ret,
                            size_t *ret_count, Err *err) {
    return rows_all(db, mem, sizeof(PipelineVersion), fill_version, ret, ret_count, err,
                    "SELECT pipeline_id, number, created_by, created_at FROM pipeline_version"
                    " WHERE pipeline_id = ?1 ORDER BY number DESC",
                    "i", pipeline_id);
}

/* ---- triggers ---- */

static void fill_trigger(DbStmt *st, const void *mem, void *row) {
    *(PipelineTrigger *)row = (PipelineTrigger){.id = db_int(st, 0),
                                                .pipeline_id = db_int(st, 1),
                                                .type = row_text(st, 2, mem),
                                                .repository = row_text(st, 3, mem),
                                                .cron = row_text(st, 4, mem),
                                                .timezone = row_text(st, 5, mem)};
}

int store_pipeline_trigger_insert(Db *db, PipelineTrigger *t, Err *err) {
    return db_query_int(db, &t->id, err,
                        "INSERT INTO pipeline_trigger (pipeline_id, type, repository, cron, timezone)"
                        " VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
                        "issss", t->pipeline_id, t->type, t->repository, t->cron, t->timezone);
}

int store_pipeline_triggers_drop(Db *db, int64_t pipeline_id, Err *err) {
    int r = db_exec(db, NULL, err,
                    "DELETE FROM timer WHERE kind = 'cron' AND subject_id IN"
                    " (SELECT id FROM pipeline_trigger WHERE pipeline_id = ?1)",
                    "i", pipeline_id);

    return r < 0 ? r
                 : db_exec(db, NULL, err, "DELETE FROM pipeline_trigger WHERE pipeline_id = ?1", "i",
                           pipeline_id);
}

int store_pipeline_trigger_load(Db *db, int64_t id, const void *mem, PipelineTrigger **ret, Err *err) {
    return rows_one(
        db, mem, sizeof(PipelineTrigger), fill_trigger, "trigger", ret, err,
        "SELECT id, pipeline_id, type, repository, cron, timezone FROM pipeline_trigger WHERE id = ?1", "i",
        id);
}

/* ---- executions ---- */

static void fill_execution(DbStmt *st, const void *mem, void *row) {
    *(Execution *)row = (Execution){.build_id = db_int(st, 0),
                                    .pipeline_id = db_int(st, 1),
                                    .version = db_int(st, 2),
                                    .pipeline = row_text(st, 3, mem),
                                    .trigger_type = row_text(st, 4, mem),
                                    .triggered_by = row_text(st, 5, mem),
                                    .commit = row_text(st, 6, mem),
                                    .branch = row_text(st, 7, mem),
                                    .repository = row_text(st, 8, mem),
                                    .payload = row_text(st, 9, mem)};
}

int store_execution_insert(Db *db, const Execution *e, Err *err) {
    return db_exec(db, NULL, err,
                   "INSERT INTO execution (build_id, pipeline_id, version, trigger_type, triggered_by,"
                   " commit_hash, branch, repository, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                   "iiissssss", e->build_id, e->pipeline_id, e->version, e->trigger_type, e->triggered_by,
                   e->commit, e->branch, e->repository, e->payload);
}

int store_execution_copy(Db *db, int64_t from_build, int64_t to_build, Err *err) {
    return db_exec(
        db, NULL, err,
        "INSERT INTO execution (build_id, pipeline_id, version, trigger_type, triggered_by,"
        " commit_hash, branch, repository, payload) SELECT ?2, pipeline_id, version, trigger_type,"
        " triggered_by, commit_hash, branch, repository, payload FROM execution WHERE build_id = ?1",
        "ii", from_build, to_build);
}

int store_execution_of_build(Db *db, int64_t build_id, const void *mem, Execution **ret, Err *err) {
    return rows_one(db, mem, sizeof(Execution), fill_execution, "execution", ret, err,
                    "SELECT e.build_id, e.pipeline_id, e.version, p.uuid, e.trigger_type, e.triggered_by,"
                    " e.commit_hash, e.branch, e.repository, e.payload FROM execution e"
                    " JOIN pipeline p ON p.id = e.pipeline_id WHERE e.build_id = ?1",
                    "i", build_id);
}

int store_execution_by_uuid(Db *db, const char *uuid, const void *mem, int64_t *ret_build, Err *err) {
    int r = db_query_int(db, ret_build, err,
                         "SELECT b.id FROM build b JOIN execution e ON e.build_id = b.id WHERE b.uuid = ?1",
                         "s", uuid);

    return r == -ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "no such execution") : r;
}

static void fill_row(DbStmt *st, const void *mem, void *row) {
    *(ExecutionRow *)row = (ExecutionRow){.build_id = db_int(st, 0),
                                          .started_at = db_int(st, 1),
                                          .finished_at = db_int(st, 2),
                                          .uuid = row_text(st, 3, mem),
                                          .pipeline = row_text(st, 4, mem),
                                          .state = row_text(st, 5, mem),
                                          .reason = row_text(st, 6, mem)};
}

#define ROWS                                                                                                 \
    "SELECT b.id, b.started_at, b.finished_at, b.uuid, p.uuid, b.state, b.reason FROM execution e"           \
    " JOIN build b ON b.id = e.build_id JOIN pipeline p ON p.id = e.pipeline_id"

int store_executions(Db *db, int64_t pipeline_id, int64_t limit, const void *mem, ExecutionRow **ret,
                     size_t *ret_count, Err *err) {
    if (pipeline_id)
        return rows_all(db, mem, sizeof(ExecutionRow), fill_row, ret, ret_count, err,
                        ROWS " WHERE e.pipeline_id = ?1 ORDER BY e.build_id DESC LIMIT ?2", "ii", pipeline_id,
                        limit);
    return rows_all(db, mem, sizeof(ExecutionRow), fill_row, ret, ret_count, err,
                    ROWS " ORDER BY e.build_id DESC LIMIT ?1", "i", limit);
}
