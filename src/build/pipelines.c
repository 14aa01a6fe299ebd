/* Stored pipelines: saving and deleting them, and what their triggers set up. */
#include "build/pipelines.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "build/state.h"
#include <ctype.h>

#define NAME_LEN 60

/* Where a pipeline's builds hang when they are of no repository of ours: a project of its own, whose name
 * nobody can give a repository (a dot is not allowed there). */
static const char *project_name(const char *pipeline, const char *uuid, const void *mem) {
    _cleanup_buf_ Buf name = BUF_INIT;

    for (const char *c = pipeline; *c && name.len < NAME_LEN; c++) {
        if (isalnum((unsigned char)*c))
            buf_addc(&name, (char)tolower((unsigned char)*c));
        else if (name.len && name.data[name.len - 1] != '-')
            buf_addc(&name, '-');
    }
    while (name.len && name.data[name.len - 1] == '-')
        name.len--;
    return mem_printf(mem, "%.*s%s%.8s.pipeline", (int)name.len, name.len ? name.data : "",
                      name.len ? "-" : "", uuid);
}

static int insert_project(Tx *tx, Pipeline *p, Err *err) {
    char uuid[ID_UUID_SIZE];
    Project project = {.uuid = uuid,
                       .name = project_name(p->name, p->uuid, tx->mem),
                       .source = "remote",
                       .path = "",
                       .url = "",
                       .created_at = tx->now};
    int r;

    id_uuid(uuid);
    r = store_project_insert(tx->b->db, &project, tx->mem, err);
    if (r >= 0)
        p->project_id = project.id;
    return r;
}

/* ---- triggers ---- */

static int set_schedule(Tx *tx, const PipelineTrigger *t, Err *err) {
    return timer_set_cron(tx, "cron", t->id, t->cron, t->timezone, err);
}

static int insert_triggers(Tx *tx, const Pipeline *p, const StagesInfo *info, Err *err) {
    int r = store_pipeline_triggers_drop(tx->b->db, p->id, err);

    for (size_t i = 0; r >= 0 && i < info->trigger_count; i++) {
        const StagesTrigger *from = &info->triggers[i];
        PipelineTrigger t = {.pipeline_id = p->id,
                             .type = from->type,
                             .repository =
                                 from->repository ? stages_repository_name(from->repository, tx->mem) : "",
                             .cron = from->cron ? from->cron : "",
                             .timezone = from->timezone};

        r = store_pipeline_trigger_insert(tx->b->db, &t, err);
        if (r >= 0 && from->cron)
            r = set_schedule(tx, &t, err);
    }
    return r;
}

/* ---- saving ---- */

typedef struct Saving {
    const char *yaml, *by;
    const StagesInfo *info;
    Pipeline *pipeline;
} Saving;

static int insert_version(Tx *tx, const Saving *s, Err *err) {
    PipelineVersion v = {.pipeline_id = s->pipeline->id,
                         .number = s->pipeline->version,
                         .created_at = tx->now,
                         .created_by = s->by,
                         .yaml = s->yaml};
    int r = store_pipeline_version_insert(tx->b->db, &v, err);

    return r < 0 ? r : insert_triggers(tx, s->pipeline, s->info, err);
}

static int insert_new(Tx *tx, Saving *s, Err *err) {
    Pipeline *p = s->pipeline;
    int r;

    p->version = 1;
    p->created_at = p->updated_at = tx->now;
    r = insert_project(tx, p, err);
    if (r >= 0)
        r = store_pipeline_insert(tx->b->db, p, err);
    return r < 0 ? r : insert_version(tx, s, err);
}

static int insert_next(Tx *tx, Saving *s, Err *err) {
    Pipeline *p = s->pipeline, *now;
    PipelineVersion *last;
    int r = store_pipeline_by_uuid(tx->b->db, p->uuid, tx->mem, &now, err);

    if (r >= 0)
        r = store_pipeline_version(tx->b->db, now->id, now->version, tx->mem, &last, err);
    if (r < 0)
        return r;
    p->id = now->id;
    p->project_id = now->project_id;
    p->created_at = now->created_at;
    p->updated_at = now->updated_at;
    p->version = now->version;
    if (str_eq(last->yaml, s->yaml))
        return 0;
    p->version++;
    p->updated_at = tx->now;
    r = store_pipeline_update(tx->b->db, p, err);
    return r < 0 ? r : insert_version(tx, s, err);
}

/* Nothing is known yet of what it will be run for. */
static int check(Builds *b, const char *yaml, size_t len, const void *mem, StagesInfo **ret,
                 PlanProblems **ret_problems, Err *err) {
    PlanContext context = {.project = "",
                           .branch = "",
                           .ref = "",
                           .commit = "",
                           .event = "manual",
                           .bare = true,
                           .allow_shell = b->options.allow_shell};
    Plan *unused;

    return stages_plan(yaml, len, &context, mem, &unused, ret, ret_problems, err);
}

int build_pipeline_save(Builds *b, const char *uuid, const char *yaml, size_t len, const char *by,
                        const void *mem, Pipeline **ret, PlanProblems **ret_problems, Err *err) {
    char fresh[ID_UUID_SIZE];
    Pipeline *p = mem_new(mem, Pipeline);
    Saving s = {.by = by, .pipeline = p};
    StagesInfo *info;
    Tx tx;
    int r = check(b, yaml, len, p, &info, ret_problems, err);

    if (r < 0)
        return r;
    id_uuid(fresh);
    *p = (Pipeline){.uuid = mem_strdup(p, uuid ? uuid : fresh),
                    .name = info->name,
                    .description = info->description ? info->description : ""};
    s.yaml = mem_strndup(p, yaml, len);
    s.info = info;
    r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    r = tx_end(&tx, uuid ? insert_next(&tx, &s, err) : insert_new(&tx, &s, err), err);
    if (r < 0)
        return err_wrap(err, "store the pipeline");
    *ret = p;
    return 0;
}

static int delete_in(Tx *tx, const char *uuid, Err *err) {
    Pipeline *p;
    int r = store_pipeline_by_uuid(tx->b->db, uuid, tx->mem, &p, err);

    if (r >= 0)
        r = store_pipeline_triggers_drop(tx->b->db, p->id, err);
    return r < 0 ? r : store_pipeline_delete(tx->b->db, p->id, tx->now, err);
}

int build_pipeline_delete(Builds *b, const char *uuid, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, delete_in(&tx, uuid, err), err);
}

/* ---- the clock ---- */

static int run_scheduled(Tx *tx, const PipelineTrigger *t, Err *err) {
    PipelineRun run = {.trigger_type = "schedule",
                       .triggered_by = "schedule",
                       .who = "schedule",
                       .branch = "",
                       .commit = "",
                       .repository = "",
                       .payload = ""};
    BuildRequest request = {.event = "schedule", .ref = "", .commit = "", .pusher = run.who, .run = &run};
    PipelineVersion *version;
    BuildOutcome outcome;
    Pipeline *p;
    Project *project;
    int r = store_pipeline_by_id(tx->b->db, t->pipeline_id, tx->mem, &p, err);

    if (r >= 0)
        r = store_pipeline_version(tx->b->db, p->id, p->version, tx->mem, &version, err);
    if (r >= 0)
        r = store_project_by_id(tx->b->db, p->project_id, tx->mem, &project, err);
    if (r < 0)
        return r;
    run.pipeline = p;
    request.project = project;
    request.version = version->number;
    request.yaml = version->yaml;
    request.yaml_len = strlen(version->yaml);
    return create_in(tx, &request, &outcome, err);
}

/* What was due while the server was away runs once, however often its time has passed. */
int pipelines_cron_due(Tx *tx, int64_t trigger_id, Err *err) {
    PipelineTrigger *t;
    int r = store_pipeline_trigger_load(tx->b->db, trigger_id, tx->mem, &t, err);

    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r >= 0)
        r = set_schedule(tx, t, err);
    return r < 0 ? r : run_scheduled(tx, t, err);
}
