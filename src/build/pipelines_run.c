/* Stored pipelines: their executions. */
#include "build/pipelines.h"

#include "base/log.h"
#include "base/str.h"
#include "build/state.h"
#include "git/git.h"
#include <inttypes.h>

static int hosted(Builds *b, const char *repository, const void *mem, Project **ret, Err *err) {
    int r = store_project_by_name(b->db, stages_repository_name(repository, mem), mem, ret, err);

    if (r >= 0 && str_empty((*ret)->path))
        return err_set(err, ERR_NOT_FOUND, "no repository");
    return r;
}

/* The commit of a repository of ours that is meant. */
static int resolve(const PipelineRun *run, BuildRequest *request, const void *mem, Err *err) {
    const char *path = request->project->path;
    const char *ref = !str_empty(run->commit) ? run->commit : run->branch, *full;
    int r = 0;

    if (str_empty(ref))
        r = git_head(path, mem, &ref, err);
    if (r >= 0)
        r = git_resolve(path, ref, mem, &request->commit, &full, err);
    if (r < 0)
        return r;
    request->ref = *full || str_empty(run->branch) ? full : mem_printf(mem, "refs/heads/%s", run->branch);
    return 0;
}

/* Of no repository of ours: what is said of branch and commit is the steps' to use. */
static int told(Builds *b, const PipelineRun *run, BuildRequest *request, const void *mem, Err *err) {
    Project *project;
    int r = store_project_by_id(b->db, run->pipeline->project_id, mem, &project, err);

    if (r < 0)
        return r;
    request->project = project;
    request->commit = str_is_commit(run->commit) ? run->commit : "";
    request->ref = str_empty(run->branch)            ? ""
                   : str_after(run->branch, "refs/") ? run->branch
                                                     : mem_printf(mem, "refs/heads/%s", run->branch);
    return 0;
}

static int place(Builds *b, const PipelineRun *run, BuildRequest *request, const void *mem, Err *err) {
    Project *project;
    int r = str_empty(run->repository) ? -ERR_NOT_FOUND : hosted(b, run->repository, mem, &project, err);

    if (r == -ERR_NOT_FOUND)
        return told(b, run, request, mem, err);
    if (r < 0)
        return r;
    request->project = project;
    return resolve(run, request, mem, err);
}

static const char *event_of(const PipelineRun *run) {
    static const char *const events[][2] = {
        {"git_push", "push"},
        {"webhook", "push"},
        {"git_tag", "tag"},
        {"schedule", "schedule"},
        {"pull_request", "pull_request"},
    };

    for (size_t i = 0; i < ELEMENTS(events); i++)
        if (str_eq(events[i][0], run->trigger_type))
            return events[i][1];
    return "manual";
}

int build_pipeline_run(Builds *b, const PipelineRun *run, const void *mem, PipelineStarted *ret, Err *err) {
    BuildRequest request = {
        .event = event_of(run), .pusher = run->who, .env = run->env, .untrusted = run->untrusted, .run = run};
    PipelineVersion *version;
    BuildOutcome outcome;
    int r = place(b, run, &request, mem, err);

    if (r >= 0)
        r = store_pipeline_version(b->db, run->pipeline->id, run->pipeline->version, mem, &version, err);
    if (r < 0)
        return r;
    if (run->delivery)
        request.delivery = mem_printf(mem, "%s %s", run->pipeline->uuid, run->delivery);
    request.version = version->number;
    request.yaml = version->yaml;
    request.yaml_len = strlen(version->yaml);
    r = build_create(b, &request, mem, &outcome, err);
    if (r < 0)
        return r;
    *ret = (PipelineStarted){.build = outcome.id, .uuid = outcome.uuid, .why = outcome.message};
    return 0;
}

/* ---- pushes to repositories of ours ---- */

/* The same for the same push, so that what was begun before is not run again; another one when the ref goes
 * the same way once more. */
static const char *delivery_of(const BuildRequest *push, const PushState *state, const void *mem) {
    const char *way = mem_printf(mem, "%s %s %s", push->ref, push->old_rev, push->commit);

    return state->times ? mem_printf(mem, "%s %" PRId64, way, state->times) : way;
}

static int run_for_push(Builds *b, const Pipeline *p, const BuildRequest *push, const char *delivery,
                        const void *mem, Err *err) {
    bool tag = str_eq(push->event, "tag");
    const char *ref = str_after(push->ref, tag ? "refs/tags/" : "refs/heads/");
    PipelineRun run = {.pipeline = p,
                       .trigger_type = tag ? "git_tag" : "git_push",
                       .triggered_by = "push",
                       .who = push->pusher,
                       .branch = tag ? push->ref : ref,
                       .commit = push->commit,
                       .repository = push->project->name,
                       .payload = "",
                       .delivery = delivery};
    const PlanContext context = {.project = "", .branch = "", .ref = "", .commit = "", .event = "push"};
    PlanProblems *problems;
    PipelineVersion *version;
    PipelineStarted started;
    StagesInfo *info;
    Plan *plan;
    int r = store_pipeline_version(b->db, p->id, p->version, mem, &version, err);

    if (r >= 0)
        r = stages_plan(version->yaml, strlen(version->yaml), &context, mem, &plan, &info, &problems, err);
    if (r < 0 || !ref || !stages_wants(info, push->event, ref, push->project->name))
        return r;
    return build_pipeline_run(b, &run, mem, &started, err);
}

void pipelines_of_push(Builds *b, const BuildRequest *push) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    PushState state = {0};
    Pipeline *pipelines;
    size_t count = 0;
    Err err;

    if (store_pipelines_watching(b->db, push->project->name, mem, &pipelines, &count, &err) < 0 ||
        (count && trigger_look(b, push, mem, &state, &err) < 0)) {
        log_err("build", "look for pipelines that wait for a push", &err);
        return;
    }
    for (size_t i = 0; i < count && !state.seen; i++)
        if (run_for_push(b, &pipelines[i], push, delivery_of(push, &state, mem), mem, &err) < 0)
            log_err("build", mem_printf(mem, "run pipeline %s for a push", pipelines[i].name), &err);
}
