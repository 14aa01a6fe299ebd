/* Stored pipelines, their versions and triggers, and the builds that are their executions. The same rules as
 * in store.h. */
#pragma once

#include "store/store.h"

typedef struct Pipeline {
    int64_t id, project_id;
    const char *uuid, *name, *description; /* description "": none */
    int64_t version, created_at, updated_at;
} Pipeline;
/* Fills in id; the first version is stored by store_pipeline_version_insert. */
_must_check_ int store_pipeline_insert(Db *db, Pipeline *p, Err *err);
/* Name, description, version, updated_at. */
_must_check_ int store_pipeline_update(Db *db, const Pipeline *p, Err *err);
/* Gone for everybody; its executions stay. */
_must_check_ int store_pipeline_delete(Db *db, int64_t id, int64_t now, Err *err);
_must_check_ int store_pipeline_by_uuid(Db *db, const char *uuid, const void *mem, Pipeline **ret, Err *err);
_must_check_ int store_pipeline_by_id(Db *db, int64_t id, const void *mem, Pipeline **ret, Err *err);
_must_check_ int store_pipelines(Db *db, const void *mem, Pipeline **ret, size_t *ret_count,
                                 Err *err); /* oldest first */

typedef struct PipelineVersion {
    int64_t pipeline_id, number, created_at;
    const char *created_by, *yaml; /* yaml NULL in lists */
} PipelineVersion;
_must_check_ int store_pipeline_version_insert(Db *db, const PipelineVersion *v, Err *err);
_must_check_ int store_pipeline_version(Db *db, int64_t pipeline_id, int64_t number, const void *mem,
                                        PipelineVersion **ret, Err *err);
_must_check_ int store_pipeline_versions(Db *db, int64_t pipeline_id, const void *mem, PipelineVersion **ret,
                                         size_t *ret_count, Err *err);

typedef struct PipelineTrigger {
    int64_t id, pipeline_id;
    const char *type, *repository, *cron, *timezone; /* "" where it says none */
} PipelineTrigger;
_must_check_ int store_pipeline_trigger_insert(Db *db, PipelineTrigger *t, Err *err); /* fills in id */
/* And the timers of its schedules. */
_must_check_ int store_pipeline_triggers_drop(Db *db, int64_t pipeline_id, Err *err);
_must_check_ int store_pipeline_trigger_load(Db *db, int64_t id, const void *mem, PipelineTrigger **ret,
                                             Err *err);
/* Pipelines that want to hear of what happens in a repository of ours. */
_must_check_ int store_pipelines_watching(Db *db, const char *repository, const void *mem, Pipeline **ret,
                                          size_t *ret_count, Err *err);

/* What a build has beside other builds because a stored pipeline made it. */
typedef struct Execution {
    int64_t build_id, pipeline_id, version;
    const char *pipeline; /* its UUID; filled in by reading */
    const char *trigger_type, *triggered_by, *commit, *branch, *repository;
    const char *payload; /* JSON, "" none */
} Execution;
_must_check_ int store_execution_insert(Db *db, const Execution *e, Err *err);
/* Of a build that repeats another one; nothing when that is no execution. */
_must_check_ int store_execution_copy(Db *db, int64_t from_build, int64_t to_build, Err *err);
_must_check_ int store_execution_of_build(Db *db, int64_t build_id, const void *mem, Execution **ret,
                                          Err *err);
/* ERR_NOT_FOUND "no such execution" also for a build that is none. */
_must_check_ int store_execution_by_uuid(Db *db, const char *uuid, const void *mem, int64_t *ret_build,
                                         Err *err);
/* A line of the list, newest first; pipeline_id 0: all. */
typedef struct ExecutionRow {
    int64_t build_id, started_at, finished_at;
    const char *uuid, *pipeline, *state, *reason;
} ExecutionRow;
_must_check_ int store_executions(Db *db, int64_t pipeline_id, int64_t limit, const void *mem,
                                  ExecutionRow **ret, size_t *ret_count, Err *err);
