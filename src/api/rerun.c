/* What becomes of a build's jobs after their first time: their attempts, and the build once more. */
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

#define MAX_NAMES 1000

/* ---- attempts ---- */

static int render_attempt(JsonWriter *w, Builds *b, const Job *job, const AttemptRow *a, const void *mem,
                          Err *err) {
    uint64_t log_size = 0;
    size_t count = 0;
    Step *steps;
    int r = store_steps(b->db, a->job_id, a->number, mem, &steps, &count, err);

    if (r >= 0)
        r = blob_log_size(b->blob, a->job_id, a->number, &log_size, err);
    if (r < 0)
        return r;
    jw_object(w, NULL);
    jw_str(w, "job", job->name);
    jw_int(w, "attempt", a->number);
    jw_str(w, "status", a->state);
    jw_str(w, "reason", a->reason);
    jw_str(w, "message", a->message);
    jw_int(w, "exit_code", a->exit_code);
    jw_str(w, "runner", a->runner);
    jw_time(w, "started_at", a->started_at);
    jw_time(w, "finished_at", a->finished_at);
    jw_seconds(w, "duration_seconds", a->finished_at ? a->finished_at - a->started_at : -1);
    jw_int(w, "log_size", (int64_t)log_size);
    render_steps(w, steps, count);
    jw_end_object(w);
    return 0;
}

static int render_attempts(JsonWriter *w, Builds *b, const Job *job, const void *mem, Err *err) {
    AttemptRow *rows;
    size_t count = 0;
    int r = store_attempts(b->db, log_job(job), mem, &rows, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = render_attempt(w, b, job, &rows[i], mem, err);
    return r;
}

static int attempts(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    _cleanup_view_ Db *view = NULL;
    JsonWriter w = JSON_WRITER(&out);
    Builds *b = api_of(req)->builds;
    const char *name = http_query(req, "job");
    const void *mem = http_mem(req);
    Job *jobs = NULL;
    size_t count = 0;
    bool found = false;
    Build *build;
    int r = db_view(b->db, &view, err);

    if (r >= 0)
        r = load_build(req, &build, err);
    if (r >= 0)
        r = store_jobs_of_build(b->db, build->id, mem, &jobs, &count, err);
    jw_object(&w, NULL);
    jw_array(&w, "attempts");
    for (size_t i = 0; r >= 0 && i < count; i++) {
        if (name && !str_eq(jobs[i].name, name))
            continue;
        found = true;
        r = render_attempts(&w, b, &jobs[i], mem, err);
    }
    if (r < 0)
        return r;
    if (name && !found)
        return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no job '%s'", build->id, name);
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- once more ---- */

static int read_names(json_t *list, const void *mem, RerunRequest *request, Err *err) {
    const char **names = mem_array(mem, const char *, json_array_size(list) + 1);
    json_t *item;
    size_t i;

    if (json_array_size(list) == 0 || json_array_size(list) > MAX_NAMES)
        return err_set(err, ERR_INVALID, "field \"jobs\": expected 1 to %d names", MAX_NAMES);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return err_set(err, ERR_INVALID, "field \"jobs[%zu]\": expected a string", i);
        names[i] = json_string_value(item);
    }
    request->jobs = names;
    return 0;
}

static int read_rerun(HttpRequest *req, RerunRequest *request, Err *err) {
    json_t *body, *jobs;
    int r = build_id(req, &request->build, err);

    if (r >= 0)
        r = http_body_json(req, true, &body, err);
    if (r >= 0)
        r = read_delivery(req, &request->delivery, err);
    if (r < 0)
        return r;
    jobs = json_object_get(body, "jobs");
    if (json_is_array(jobs))
        return read_names(jobs, http_mem(req), request, err);
    request->failed = str_eq(json_string_value(jobs), "failed");
    if (jobs && !request->failed && !str_eq(json_string_value(jobs), "all"))
        return err_set(err, ERR_INVALID, "field \"jobs\": expected \"all\", \"failed\" or a list of names");
    return 0;
}

static int rerun(HttpRequest *req, Err *err) {
    RerunRequest request = {.by = ((Principal *)http_principal(req))->name};
    BuildOutcome outcome;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = read_rerun(req, &request, err);
    if (r >= 0)
        r = build_rerun(api_of(req)->builds, &request, http_mem(req), &outcome, err);
    if (r >= 0)
        reply_outcome(req, &outcome);
    return r;
}

const HttpRoute api_rerun[] = {
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/attempts",
     .roles = ROLE_READ,
     .handle = attempts,
     .tag = "builds",
     .summary = "The attempts of its jobs, also those that failed or were lost, with their steps",
     .query = "job: only this job's",
     .answer = "(attempts:[Attempt])"},
    {.method = HTTP_POST,
     .path = "/api/builds/{id}/rerun",
     .grows = true,
     .family = &family_git_ci,
     .roles = ROLE_WRITE,
     .handle = rerun,
     .tag = "builds",
     .summary =
         "A new build that repeats a finished one, or some of its jobs and what depends on them; the same "
         "Idempotency-Key gives the same build",
     .status = 202,
     .request = "{\"type\":\"object\"," ONLY_THESE
                ",\"properties\":{\"jobs\":{\"oneOf\":[{\"enum\":[\"all\",\"failed\"]},"
                "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}}}",
     .answer = "Outcome"},
    {0},
};
