/* /api/builds (contracts/git-ci.md; document 3), with jobs and steps. */
#include "api/finished.h"
#include "api/pulls.h"
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"
#include "git/git.h"
#include <inttypes.h>

#define MAX_LIST 100
#define MAX_SIGNATURE 500
#define MAX_PUSHES 1000

/* Why the first job of a build that has not begun waits. */
static int render_waiting(JsonWriter *w, Builds *b, Why *why, const Build *build, const void *mem, Err *err) {
    const char *waiting = "";
    Job *job = NULL;
    int r = 0;

    if (str_eq(build->state, "queued"))
        r = store_job_first_waiting(b->db, build->id, mem, &job, err);
    if (r >= 0 && job)
        r = build_why(why, job, mem, &waiting, err);
    if (r >= 0)
        jw_str(w, "waiting", waiting);
    return r;
}

/* The contract's BuildInfo and nothing more, unless the query asks for `waiting`: then also why what ended
 * did so. */
static int render_list(HttpRequest *req, JsonWriter *w, const Build *builds, size_t count, Err *err) {
    Builds *b = api_of(req)->builds;
    Why *why = http_query(req, "waiting") ? why_new(b, http_mem(req)) : NULL;
    int r = 0;

    jw_array(w, "builds");
    for (size_t i = 0; r >= 0 && i < count; i++) {
        jw_object(w, NULL);
        render_build_fields(w, &builds[i]);
        if (why) {
            jw_str(w, "reason", builds[i].reason);
            r = render_waiting(w, b, why, &builds[i], http_mem(req), err);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
    return r;
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    _cleanup_view_ Db *view = NULL;
    Db *db = api_of(req)->builds->db;
    int64_t limit = MAX_LIST, before = 0, total, project_id = 0;
    const char *repo = http_query(req, "repo");
    Project *project;
    Build *builds;
    size_t count;
    int r = http_query_i64(req, "limit", 1, MAX_LIST, &limit, err);

    if (r >= 0)
        r = http_query_i64(req, "before", 0, INT64_MAX, &before, err);
    if (r >= 0)
        r = db_view(db, &view, err);
    if (r >= 0 && repo) {
        r = load_project(req, repo, &project, err);
        project_id = r < 0 ? 0 : project->id;
    }
    if (r >= 0)
        r = store_builds(db, project_id, before, limit, http_mem(req), &builds, &count, err);
    if (r >= 0)
        r = store_builds_total(db, project_id, &total, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    r = render_list(req, &w, builds, count, err);
    jw_int(&w, "total", total);
    jw_end_object(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- one build, whole ---- */

typedef struct JobView {
    Why *why;
    const Job *jobs;
    size_t count;
    const JobNeed *needs;
    size_t need_count;
    const Runner *runners;
    size_t runner_count;
} JobView;

static const char *job_name(const JobView *v, int64_t id) {
    /* the jobs that a build begins with are inserted together: their ids are in order */
    int64_t index = id - v->jobs[0].id;

    if (index >= 0 && index < (int64_t)v->count && v->jobs[index].id == id)
        return v->jobs[index].name;
    for (size_t i = 0; i < v->count; i++)
        if (v->jobs[i].id == id)
            return v->jobs[i].name;
    return "";
}

/* One that was removed is in no list. */
static int runner_name(Builds *b, const JobView *v, int64_t id, const void *mem, const char **ret, Err *err) {
    Runner *removed;
    int r;

    for (size_t i = 0; i < v->runner_count; i++)
        if (v->runners[i].id == id) {
            *ret = v->runners[i].name;
            return 0;
        }
    r = id ? store_runner_by_id(b->db, id, mem, &removed, err) : -ERR_NOT_FOUND;
    if (r >= 0)
        *ret = removed->name;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

/* needs come sorted by job. */
static size_t first_need(const JobView *v, int64_t job_id) {
    size_t low = 0, high = v->need_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (v->needs[middle].job_id < job_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void render_needs(JsonWriter *w, const JobView *v, const Job *job) {
    jw_array(w, "needs");
    for (size_t i = first_need(v, job->id); i < v->need_count && v->needs[i].job_id == job->id; i++)
        jw_str(w, NULL, job_name(v, v->needs[i].need_id));
    jw_end_array(w);
}

static void render_outputs(JsonWriter *w, const Output *outputs, size_t count) {
    jw_object(w, "outputs");
    for (size_t i = 0; i < count; i++)
        jw_str(w, outputs[i].name, outputs[i].value);
    jw_end_object(w);
}

static int render_job(JsonWriter *w, Builds *b, const JobView *v, const Job *job, const void *mem, Err *err) {
    uint64_t log_size = 0;
    size_t count = 0;
    size_t output_count = 0;
    Output *outputs = NULL;
    Step *steps = NULL;
    const char *waiting, *runner = NULL;
    int r = build_why(v->why, job, mem, &waiting, err);

    if (r >= 0 && job->attempt) {
        r = store_steps(b->db, log_job(job), job->attempt, mem, &steps, &count, err);
        if (r >= 0)
            r = blob_log_size(b->blob, log_job(job), job->attempt, &log_size, err);
    }
    if (r >= 0 && job->outputs)
        r = store_outputs(b->db, log_job(job), job->attempt, mem, &outputs, &output_count, err);
    if (r >= 0)
        r = runner_name(b, v, job->runner_id, mem, &runner, err);
    if (r < 0)
        return r;
    jw_object(w, NULL);
    jw_int(w, "id", job->id);
    jw_str(w, "uuid", job->uuid);
    jw_str(w, "name", job->name);
    jw_str(w, "kind", job->kind);
    jw_str(w, "status", job->state);
    jw_str(w, "reason", job->reason);
    jw_str(w, "message", job->message);
    jw_str(w, "waiting", waiting);
    jw_str(w, "executor", job->executor);
    jw_str(w, "runner", runner);
    jw_int(w, "attempt", job->attempt);
    jw_int(w, "retries", job->retries);
    jw_bool(w, "allow_failure", job->allow_failure != 0);
    jw_bool(w, "copied", job->copied_from != 0);
    jw_str(w, "made_by", job->made_by ? job_name(v, job->made_by) : NULL);
    render_needs(w, v, job);
    jw_time(w, "created_at", job->created_at);
    jw_time(w, "queued_at", job->queued_at);
    jw_time(w, "started_at", job->started_at);
    jw_time(w, "finished_at", job->finished_at);
    jw_seconds(w, "duration_seconds",
               job->started_at && job->finished_at ? job->finished_at - job->started_at : -1);
    jw_int(w, "exit_code", job->exit_code);
    jw_int(w, "log_size", (int64_t)log_size);
    render_outputs(w, outputs, output_count);
    render_steps(w, steps, count);
    jw_end_object(w);
    return 0;
}

static int render_jobs(JsonWriter *w, Builds *b, int64_t build_id, const void *mem, Err *err) {
    JobView v = {.why = why_new(b, mem)};
    int r = store_jobs_of_build(b->db, build_id, mem, (Job **)&v.jobs, &v.count, err);

    if (r >= 0 && v.count > 1)
        r = store_job_needs_of_build(b->db, build_id, mem, (JobNeed **)&v.needs, &v.need_count, err);
    if (r >= 0)
        r = store_runners(b->db, mem, (Runner **)&v.runners, &v.runner_count, err);
    jw_array(w, "jobs");
    for (size_t i = 0; r >= 0 && i < v.count; i++)
        r = render_job(w, b, &v, &v.jobs[i], mem, err);
    jw_end_array(w);
    return r;
}

static void render_signature(JsonWriter *w, const Signature *s) {
    jw_str(w, "gpg_status", s ? s->status : NULL);
    jw_str(w, "gpg_key", s && *s->key ? s->key : NULL);
    jw_str(w, "gpg_signer", s && *s->signer ? s->signer : NULL);
}

static int render_whole(HttpRequest *req, JsonWriter *w, Err *err) {
    Builds *b = api_of(req)->builds;
    Signature *signature = NULL;
    int64_t artifacts;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = store_artifact_count(b->db, build->id, &artifacts, err);
    if (r >= 0)
        r = store_signature_load(b->db, build->id, http_mem(req), &signature, err);
    if (r < 0)
        return r;
    jw_object(w, NULL);
    render_build_fields(w, build);
    jw_str(w, "uuid", build->uuid);
    jw_str(w, "event", build->event);
    jw_str(w, "schedule", str_empty(build->schedule) ? NULL : build->schedule);
    jw_str(w, "ref", build->ref);
    jw_str(w, "planner", build->planner);
    jw_str(w, "reason", build->reason);
    jw_str(w, "message", build->message);
    jw_str(w, "stop_reason", build->stop_reason);
    jw_str(w, "concurrency_group", str_empty(build->concurrency_group) ? NULL : build->concurrency_group);
    jw_bool(w, "held", build->held);
    render_pull(w, build);
    if (build->rerun_of)
        jw_int(w, "rerun_of", build->rerun_of);
    else
        jw_null(w, "rerun_of");
    jw_str(w, "commit_author", build->author);
    jw_str(w, "commit_email", build->email);
    jw_str(w, "commit_message", build->subject);
    render_signature(w, signature);
    jw_str(w, "pusher", build->pusher);
    jw_str(w, "url", build_url(req, build->id));
    jw_int(w, "artifacts_count", artifacts);
    r = render_jobs(w, b, build->id, http_mem(req), err);
    jw_end_object(w);
    return r;
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_view_ Db *view = NULL;
    JsonWriter w = JSON_WRITER(&out);
    Api *api = api_of(req);
    int64_t id, finished_at = 0;
    int r = build_id(req, &id, err);

    if (r >= 0)
        r = db_view(api->builds->db, &view, err);
    if (r >= 0)
        r = store_build_finished_at(api->builds->db, id, &finished_at, err);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (!finished_at || !finished_get(api->finished, id, finished_at, &out)) {
        r = render_whole(req, &w, err);
        if (r < 0)
            return r;
        if (finished_at)
            finished_put(api->finished, id, finished_at, &out);
    }
    http_reply_json(req, 200, &out);
    return 0;
}

static int cancel(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Builds *b = api_of(req)->builds;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = build_cancel(b, build->id, ((Principal *)http_principal(req))->name, err);
    if (r >= 0)
        r = load_build(req, &build, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "id", build->id);
    jw_str(&w, "status", build->state);
    jw_str(&w, "message", build->finished_at ? "cancelled" : "its running jobs are being stopped");
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- the hook's, and by hand ---- */

static int check_rev(const char *field, const char *rev, Err *err) {
    if (str_is_commit(rev))
        return 0;
    return err_set(err, ERR_INVALID, "field \"%s\": expected 40 hex digits", field);
}

/* What a hook tells of a ref (contracts/git-ci.md, 4.2). */
typedef struct Told {
    json_t *body;
    const char *repo, *path;
    RefChange change;
    Signature signature;
} Told;

/* Hooks that know nothing of signatures leave them out, or send empty texts. */
static int read_signature(json_t *body, Told *ret, Err *err) {
    Signature *s = &ret->signature;
    int r;

    *s = (Signature){.status = "", .key = "", .signer = ""};
    r = json_opt_str(body, "gpg_status", &s->status, err);
    if (r >= 0)
        r = json_opt_str(body, "gpg_key", &s->key, err);
    if (r >= 0)
        r = json_opt_str(body, "gpg_signer", &s->signer, err);
    ret->change.signature = r < 0 || !*s->status ? NULL : s;
    return r;
}

static int read_told(json_t *body, Told *ret, Err *err) {
    RefChange *change = &ret->change;
    int r = json_get_str(body, "repo", &ret->repo, err);

    ret->body = body;
    *change = (RefChange){.pusher = ""};
    if (r >= 0)
        r = json_get_str(body, "bare_repo_path", &ret->path, err);
    if (r >= 0)
        r = json_get_str(body, "new_rev", &change->new_rev, err);
    if (r >= 0)
        r = json_get_str(body, "ref", &change->ref, err);
    if (r >= 0)
        r = json_opt_str(body, "old_rev", &change->old_rev, err);
    if (str_empty(change->old_rev)) /* of what a hook does not know it may send nothing */
        change->old_rev = NULL;
    if (r >= 0)
        r = json_opt_str(body, "pusher", &change->pusher, err);
    return r < 0 ? r : read_signature(body, ret, err);
}

static int check_signature(const Signature *s, Err *err) {
    if (s && (s->status[1] || !strchr("GBUXYREN", *s->status)))
        return err_set(err, ERR_INVALID, "field \"gpg_status\": expected one of the letters G B U X Y R E N");
    if (s && (strlen(s->key) > MAX_SIGNATURE || strlen(s->signer) > MAX_SIGNATURE))
        return err_set(err, ERR_INVALID, "fields \"gpg_key\", \"gpg_signer\": expected at most %d bytes",
                       MAX_SIGNATURE);
    return 0;
}

static int check_told(HttpRequest *req, Told *told, Project **ret, Err *err) {
    int r = check_rev("new_rev", told->change.new_rev, err);

    if (r >= 0)
        r = told->change.old_rev ? check_rev("old_rev", told->change.old_rev, err) : 0;
    if (r >= 0)
        r = pull_told(req, told->body, told->change.ref, &told->change.pull, err);
    if (r >= 0)
        r = check_signature(told->change.signature, err);
    if (r >= 0)
        r = load_repository(req, told->repo, ret, err);
    if (r < 0)
        return r;
    /* nobody makes us read a repository that is not ours by naming its path */
    if (!str_eq(told->path, (*ret)->path))
        return err_set(err, ERR_INVALID, "field \"bare_repo_path\": repository '%s' is not there",
                       told->repo);
    return 0;
}

static int take_told(HttpRequest *req, const Project *project, const RefChange *change, BuildOutcome *ret,
                     Err *err) {
    Api *api = api_of(req);
    int r = build_ref_changed(api->builds, project, change, http_mem(req), ret, err);

    if (r < 0) {
        /* the push is there all the same: nobody will tell us of it again */
        build_compare_ask(api->builds, project->id);
        return err_wrap(err, "Failed to enqueue build");
    }
    build_push_heard(api->builds, project->id);
    return 0;
}

static int hook(HttpRequest *req, Err *err) {
    BuildOutcome outcome;
    Project *project;
    json_t *body;
    Told told;
    int r = http_body_json(req, false, &body, err);

    if (r < 0)
        return r;
    if (read_told(body, &told, err) < 0)
        return reply_unprocessable(req, err);
    r = check_told(req, &told, &project, err);
    if (r >= 0)
        r = take_told(req, project, &told.change, &outcome, err);
    if (r < 0)
        return r;
    reply_outcome(req, &outcome);
    return 0;
}

/* All of one repository: what a push has changed. */
static int read_pushes(HttpRequest *req, Told **ret, size_t *ret_count, Project **ret_project, Err *err) {
    json_t *body, *list = NULL, *item;
    Told *told;
    size_t i;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_opt_array(body, "pushes", &list, err);
    if (r >= 0 && (json_array_size(list) == 0 || json_array_size(list) > MAX_PUSHES))
        r = err_set(err, ERR_INVALID, "field \"pushes\": expected 1 to %d of them", MAX_PUSHES);
    if (r < 0)
        return r;
    told = mem_array(http_mem(req), Told, json_array_size(list));
    json_array_foreach (list, i, item) {
        r = read_told(item, &told[i], err);
        if (r >= 0)
            r = check_told(req, &told[i], ret_project, err);
        if (r >= 0 && !str_eq(told[i].repo, told[0].repo))
            r = err_set(err, ERR_INVALID, "field \"repo\": expected the same one in all");
        if (r < 0)
            return err_wrap(err, "pushes[%zu]", i);
    }
    *ret = told;
    *ret_count = i;
    return 0;
}

/* One that cannot be taken now does not keep the others. */
static int pushes(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Project *project = NULL;
    RefChange *changes;
    size_t count;
    Told *told;
    int r = read_pushes(req, &told, &count, &project, err);

    if (r < 0)
        return r;
    changes = mem_array(http_mem(req), RefChange, count);
    for (size_t i = 0; i < count; i++)
        changes[i] = told[i].change;
    build_refs_ahead(project, changes, count, http_mem(req));
    jw_object(&w, NULL);
    jw_array(&w, "results");
    for (size_t i = 0; i < count; i++) {
        BuildOutcome outcome;
        Err why;

        jw_object(&w, NULL);
        if (take_told(req, project, &changes[i], &outcome, &why) >= 0)
            render_outcome(req, &w, &outcome);
        else
            jw_str(&w, "error", why.msg);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* An object as text for a build request; NULL when there is none. */
static const char *object_text(HttpRequest *req, const json_t *object) {
    _cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    return mem_strdup(http_mem(req), text);
}

static int read_jobs(json_t *body, const void *mem, const char *const **ret, Err *err) {
    json_t *list = NULL, *item;
    const char **names;
    size_t i;
    int r = json_opt_array(body, "jobs", &list, err);

    if (r < 0 || !list)
        return r;
    names = mem_array(mem, const char *, json_array_size(list) + 1);
    json_array_foreach (list, i, item) {
        names[i] = json_string_value(item);
        if (!names[i])
            return err_set(err, ERR_INVALID, "field \"jobs[%zu]\": expected a job's name", i);
    }
    if (i == 0)
        return err_set(err, ERR_INVALID, "field \"jobs\": expected at least one job's name");
    *ret = names;
    return 0;
}

/* A bare commit is built as one of the branch that the body names, and not deployed: the branch may be
 * elsewhere. */
static int stand_for(json_t *body, const void *mem, BuildRequest *request, Err *err) {
    const char *branch = NULL;
    int r = json_opt_str(body, "branch", &branch, err);

    if (r < 0 || !branch)
        return r;
    if (!str_empty(request->ref))
        return err_set(
            err, ERR_INVALID,
            "field \"branch\": it is what a commit in \"ref\" is built as; a branch to be built is "
            "itself the \"ref\"");
    request->ref = mem_printf(mem, "refs/heads/%s", branch);
    request->no_deploy = true;
    if (!git_ref_valid(request->ref))
        return err_set(err, ERR_INVALID, "field \"branch\": expected a branch's name");
    return 0;
}

/* NULL: the repository's own branch. */
static int resolve(HttpRequest *req, const char *ref, BuildRequest *request, Err *err) {
    const char *path = request->project->path;
    int r = ref ? 0 : git_head(path, http_mem(req), &ref, err);

    return r < 0 ? r : git_resolve(path, ref, http_mem(req), &request->commit, &request->ref, err);
}

/* The head of a pull request is built as one, by whatever name it is asked for. */
static int read_ref(HttpRequest *req, json_t *body, BuildRequest *request, Err *err) {
    const char *ref = NULL;
    int r = json_opt_str(body, "ref", &ref, err);

    if (r >= 0)
        r = resolve(req, ref, request, err);
    if (r >= 0)
        r = stand_for(body, http_mem(req), request, err);
    if (r < 0)
        return r;
    request->pull = pull_unknown(req, request->ref);
    if (request->pull)
        request->event = "pull_request";
    return 0;
}

static int read_start(HttpRequest *req, json_t *body, BuildRequest *request, Err *err) {
    json_t *env = NULL, *inputs = NULL, *pull = NULL;
    int r = json_opt_object(body, "env", &env, err);

    if (r >= 0)
        r = check_env("env", env, err);
    if (r >= 0)
        r = json_opt_object(body, "inputs", &inputs, err);
    if (r >= 0)
        r = read_jobs(body, http_mem(req), &request->jobs, err);
    if (r >= 0)
        r = json_opt_object(body, "pull_request", &pull, err);
    if (r >= 0)
        r = pull ? pull_asked(req, body, pull, request, err) : read_ref(req, body, request, err);
    request->env = object_text(req, env);
    request->inputs = object_text(req, inputs);
    return r;
}

/* A request that came before is answered before its ref is looked up, which may be elsewhere by now. */
static int start(HttpRequest *req, Err *err) {
    Builds *b = api_of(req)->builds;
    BuildRequest request = {.event = "manual", .pusher = ((Principal *)http_principal(req))->name};
    BuildOutcome outcome;
    Project *project;
    json_t *body;
    bool before;
    int r = load_repository(req, http_param(req, "name"), &project, err);

    if (r >= 0)
        r = http_body_json(req, true, &body, err);
    if (r >= 0)
        r = read_delivery(req, &request.delivery, err);
    if (r >= 0)
        r = build_delivered(b, project->id, request.delivery, request.event, http_mem(req), &before, &outcome,
                            err);
    if (r >= 0 && !before) {
        request.project = project;
        r = read_start(req, body, &request, err);
        if (r >= 0)
            r = build_create(b, &request, http_mem(req), &outcome, err);
    }
    if (r < 0)
        return r;
    if (!outcome.id &&
        !json_is_object(json_object_get(body, "pull_request"))) /* who asks by hand has meant a build */
        return err_set(err, ERR_INVALID, "%s", outcome.message);
    reply_outcome(req, &outcome);
    return 0;
}

static void render_input(JsonWriter *w, const PlanInput *input) {
    jw_object(w, NULL);
    jw_str(w, "name", input->name);
    jw_str(w, "type", input->type);
    jw_array(w, "options");
    for (size_t i = 0; input->options[i]; i++)
        jw_str(w, NULL, input->options[i]);
    jw_end_array(w);
    jw_str(w, "default", input->fallback);
    jw_bool(w, "required", input->required);
    jw_str(w, "description", input->description);
    jw_end_object(w);
}

static int inputs(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    BuildRequest request = {.event = "manual"};
    PlanInput *all;
    size_t count;
    int r = load_repository(req, http_param(req, "name"), (Project **)&request.project, err);

    if (r >= 0)
        r = resolve(req, http_query(req, "ref"), &request, err);
    if (r >= 0)
        r = build_inputs(api_of(req)->builds, &request, http_mem(req), &all, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "ref", request.ref);
    jw_str(&w, "commit", request.commit);
    jw_array(&w, "inputs");
    for (size_t i = 0; i < count; i++)
        render_input(&w, &all[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

#define SCHEMA_TOLD                                                                                          \
    "{\"type\":\"object\",\"required\":[\"repo\",\"bare_repo_path\",\"new_rev\",\"ref\"],\"properties\":{"   \
    "\"repo\":{\"type\":\"string\"},\"bare_repo_path\":{\"type\":\"string\"},\"new_rev\":{\"type\":"         \
    "\"string\"},"                                                                                           \
    "\"old_rev\":{\"type\":\"string\"},\"ref\":{\"type\":\"string\"},\"pusher\":{\"type\":\"string\"},"      \
    "\"pull_request\":" SCHEMA_PULL ","                                                                      \
    "\"gpg_status\":{\"enum\":[\"\",\"G\",\"B\",\"U\",\"X\",\"Y\",\"R\",\"E\",\"N\"]},"                      \
    "\"gpg_key\":{\"type\":\"string\"},\"gpg_signer\":{\"type\":\"string\"}}}"

const HttpRoute api_builds[] = {
    {.method = HTTP_GET,
     .path = "/api/builds",
     .family = &family_git_ci,
     .roles = ROLE_READ,
     .handle = list,
     .tag = "builds",
     .summary = "The newest builds first",
     .query = "repo: only this repository's; limit: at most 100; before: only builds with a smaller id; "
              "waiting: also why a build that has not begun waits",
     .answer = "(builds:[BuildListed] total:int)"},
    {.method = HTTP_POST,
     .path = "/api/builds",
     .family = &family_git_ci,
     .roles = ROLE_HOOK,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = hook,
     .accept = JSON,
     .tag = "builds",
     .summary = "A ref was pushed: for the post-receive hook and its own token",
     .status = 202,
     .request = SCHEMA_TOLD,
     .also = 200,
     .answer = "Outcome"},
    {.method = HTTP_POST,
     .path = "/api/pushes",
     .roles = ROLE_HOOK,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = pushes,
     .accept = JSON,
     .tag = "builds",
     .summary = "Several refs of a repository were pushed together: for the hook; a result for each",
     .request = "{\"type\":\"object\",\"required\":[\"pushes\"]," ONLY_THESE ",\"properties\":"
                "{\"pushes\":{\"type\":\"array\",\"maxItems\":1000,\"items\":" SCHEMA_TOLD "}}}",
     .answer = "(results:[Outcome/(error:text)])"},
    {.method = HTTP_GET,
     .path = "/api/builds/{id}",
     .family = &family_git_ci,
     .roles = ROLE_READ,
     .handle = show,
     .tag = "builds",
     .summary = "A build with its jobs and steps",
     .answer = "BuildWhole"},
    {.method = HTTP_POST,
     .path = "/api/builds/{id}/cancel",
     .family = &family_git_ci,
     .roles = ROLE_WRITE,
     .handle = cancel,
     .tag = "builds",
     .summary = "Cancel: waiting jobs at once, running ones when they have stopped",
     .answer = "Outcome"},
    {.method = HTTP_GET,
     .path = "/api/repos/{name}/inputs",
     .roles = ROLE_READ,
     .mode = HTTP_THREADED,
     .handle = inputs,
     .tag = "builds",
     .summary = "What a build that is started by hand may be given: the inputs of its pipeline file",
     .query = "ref: a branch, a tag or a commit, instead of the repository's own branch",
     .answer = "(ref:text commit:text inputs:[Input])"},
    {.method = HTTP_POST,
     .path = "/api/repos/{name}/builds",
     .family = &family_git_ci,
     .roles = ROLE_WRITE,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = start,
     .tag = "builds",
     .summary =
         "Start a build by hand, or one of a pull request; the same Idempotency-Key gives the same build",
     .status = 202,
     .request =
         "{\"type\":\"object\"," ONLY_THESE
         ",\"properties\":{\"ref\":{\"type\":\"string\"},\"env\":{\"type\":\"object\","
         "\"additionalProperties\":{\"type\":\"string\"}},\"inputs\":{\"type\":\"object\","
         "\"additionalProperties\":"
         "{\"type\":[\"string\",\"number\",\"boolean\"]}},\"jobs\":{\"type\":\"array\",\"items\":{\"type\":"
         "\"string\"}},\"branch\":{\"type\":\"string\"},\"pull_request\":" SCHEMA_PULL "}}",
     .also = 200,
     .answer = "Outcome"},
    {0},
};
