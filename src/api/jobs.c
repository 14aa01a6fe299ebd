/* The runner protocol's second half: log, report, artifacts of one attempt (docs/runner-protocol.md). */
#include "api/attempt.h"
#include "api/render.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdlib.h>

#define MAX_STEPS 10000
#define MAX_OUTPUTS 100
#define MAX_OUTPUT 65536 /* bytes of one */
#define ARTIFACT_NAME_MAX 100

/* {"error":"LogGap","next":K} */
static void reply_gap(HttpRequest *req, uint64_t next, const Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "error", "LogGap");
    jw_str(&w, "message", err->msg);
    jw_int(&w, "next", (int64_t)next);
    jw_end_object(&w);
    http_reply_json(req, 409, &out);
}

/* ---- log ---- */

typedef struct LogCall {
    BlobLog *log;
    uint64_t next;
    bool came; /* some bytes */
} LogCall;

static int log_call_free(LogCall *call) {
    blob_log_leave(call->log);
    return 0;
}

static int log_begin(HttpRequest *req, Err *err) {
    int64_t offset = 0;
    Attempt attempt;
    LogCall *call;
    Job *job;
    int r = http_query_i64(req, "offset", 0, INT64_MAX, &offset, err);

    if (r >= 0)
        r = attempt_asked(req, &attempt, err);
    if (r < 0)
        return r;
    call = mem_new(http_mem(req), LogCall);
    *call = (LogCall){.log = blob_log_use(api_of(req)->builds->blob, attempt.job, attempt.attempt),
                      .next = (uint64_t)offset};
    talloc_set_destructor(call, log_call_free);
    r = attempt_job(req, attempt.attempt, &job, err); /* from here on the log knows of its end */
    if (r >= 0 && job)
        http_set_data(req, call);
    return r;
}

/* Of a write: a gap, or an end that was before it, is answered here. */
static int log_written(HttpRequest *req, int r, uint64_t next, Err *err) {
    if (r == -ERR_CONFLICT)
        reply_gap(req, next, err);
    else if (r == -ERR_CANCELLED)
        attempt_reply_stale(req, err);
    else
        return r;
    return 0;
}

static int log_body(HttpRequest *req, const void *data, size_t len, Err *err) {
    LogCall *call = http_data(req);
    uint64_t next = 0;
    int r = disk_check(&api_of(req)->builds->disk, err);

    call->came = true;
    if (r >= 0)
        r = blob_log_write(call->log, call->next, data, len, &next, err);
    if (r >= 0)
        call->next += len;
    return log_written(req, r, next, err);
}

static int log_end(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    LogCall *call = http_data(req);
    uint64_t next = 0;
    int r = 0;

    if (!call->came) /* then nobody has looked for a gap */
        r = blob_log_write(call->log, call->next, "", 0, &next, err);
    if (r < 0)
        return log_written(req, r, next, err);
    jw_object(&w, NULL);
    jw_int(&w, "next", (int64_t)call->next);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- report ---- */

/* Of an attempt, or of a step. words: NULL-terminated. */
static int check_state(const char *state, const char *const *words, Err *err) {
    _cleanup_buf_ Buf all = BUF_INIT;

    for (size_t i = 0; words[i]; i++) {
        if (str_eq(words[i], state))
            return 0;
        buf_addf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    return err_set(err, ERR_INVALID, "field \"state\": expected one of %s; got \"%.50s\"", buf_str(&all),
                   state);
}

/* Times and places are calculated with, wherever the step is shown: they are numbers of the size that they
 * can have. */
static int read_step_numbers(json_t *item, Step *s, Err *err) {
    const struct {
        const char *key;
        int64_t *value;
    } fields[] = {{"started_at", &s->started_at},
                  {"finished_at", &s->finished_at},
                  {"log_start", &s->log_start},
                  {"log_end", &s->log_end}};
    int r = json_get_range(item, "position", 0, INT64_MAX, &s->position, err);

    for (size_t i = 0; r >= 0 && i < ELEMENTS(fields); i++)
        r = json_opt_range(item, fields[i].key, 0, INT64_MAX, fields[i].value, err);
    s->exit_code = -1;
    return r < 0 ? r : json_opt_i64(item, "exit_code", &s->exit_code, err);
}

static int read_step(json_t *item, Step *s, Err *err) {
    static const char *const states[] = {"running", "success", "failed", "skipped", "cancelled", NULL};
    int r = read_step_numbers(item, s, err);

    s->reason = "";
    if (r >= 0)
        r = json_get_str(item, "name", &s->name, err);
    if (r >= 0)
        r = json_get_str(item, "state", &s->state, err);
    if (r >= 0)
        r = check_state(s->state, states, err);
    return r < 0 ? r : json_opt_str(item, "reason", &s->reason, err);
}

static int read_steps(json_t *body, const void *mem, JobReport *report, Err *err) {
    json_t *list = NULL, *item;
    Step *steps;
    size_t i;
    int r = json_opt_array(body, "steps", &list, err);

    if (r < 0)
        return r;
    if (json_array_size(list) > MAX_STEPS)
        return err_set(err, ERR_INVALID, "field \"steps\": more than %d", MAX_STEPS);
    steps = mem_array(mem, Step, json_array_size(list) + 1);
    json_array_foreach (list, i, item) {
        r = read_step(item, &steps[i], err);
        if (r < 0)
            return err_wrap(err, "field \"steps[%zu]\"", i);
    }
    report->steps = steps;
    report->step_count = json_array_size(list);
    return 0;
}

static int read_outputs(json_t *body, const void *mem, JobReport *report, Err *err) {
    json_t *object = NULL, *value;
    Output *outputs = NULL;
    const char *name;
    int r = json_opt_object(body, "outputs", &object, err);

    if (r < 0)
        return r;
    json_object_foreach (object, name, value) {
        Output output = {.name = name, .value = json_string_value(value)};

        if (!*name || !output.value || strlen(output.value) != json_string_length(value))
            return err_set(err, ERR_INVALID, "field \"outputs.%.100s\": expected a string", name);
        if (report->output_count == MAX_OUTPUTS || strlen(name) > MAX_OUTPUT ||
            strlen(output.value) > MAX_OUTPUT)
            return err_set(err, ERR_INVALID, "field \"outputs\": more than %d, or one of more than %d bytes",
                           MAX_OUTPUTS, MAX_OUTPUT);
        mem_append(mem, outputs, report->output_count, output);
    }
    report->outputs = outputs;
    return 0;
}

static int read_report(HttpRequest *req, JobReport *report, Err *err) {
    static const char *const states[] = {"running", "success", "failed", "cancelled", "lost", NULL};
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = http_param_id(req, "id", &report->attempt.job, err);
    if (r >= 0)
        r = json_get_i64(body, "attempt", &report->attempt.attempt, err);
    if (r >= 0)
        r = json_get_str(body, "state", &report->state, err);
    if (r >= 0)
        r = check_state(report->state, states, err);
    if (r >= 0)
        r = json_opt_str(body, "reason", &report->reason, err);
    if (r >= 0)
        r = json_opt_str(body, "message", &report->message, err);
    if (r >= 0)
        r = json_opt_i64(body, "exit_code", &report->exit_code, err);
    if (r >= 0)
        r = json_opt_i64(body, "log_size", &report->log_size, err);
    if (r >= 0)
        r = json_opt_str(body, "pipeline", &report->pipeline, err);
    if (r >= 0 && !str_eq(report->state, "running"))
        r = read_outputs(body, http_mem(req), report, err);
    return r < 0 ? r : read_steps(body, http_mem(req), report, err);
}

static int report_job(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    JobReport report = {.runner_id = ((Principal *)http_principal(req))->runner_id,
                        .reason = "",
                        .message = "",
                        .exit_code = -1,
                        .log_size = -1};
    uint64_t next = UINT64_MAX;
    bool stop = false;
    int r = read_report(req, &report, err);

    if (r >= 0 && str_eq(report.state, "running")) /* it is said again, or an end is */
        http_set_promise(req, HTTP_PROMISE_NONE);
    if (r >= 0)
        r = build_report(api_of(req)->builds, &report, &next, &stop, err);
    if (r == -ERR_CONFLICT) {
        if (next == UINT64_MAX)
            attempt_reply_stale(req, err);
        else
            reply_gap(req, next, err);
        return 0;
    }
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "state", report.state);
    jw_bool(&w, "stop", stop);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- artifacts ---- */

#define PIECE ((size_t)64 * 1024)

/* The body, into an upload that the caller ends. */
static int take_upload(HttpRequest *req, BlobUpload *upload, Err *err) {
    _cleanup_free_ char *piece = malloc(PIECE);
    ssize_t n;
    int r = 0;

    if (!piece)
        abort();
    while (r >= 0 && (n = http_body_read(req, piece, PIECE, err)) != 0) {
        r = n < 0 ? (int)n : disk_check(&api_of(req)->builds->disk, err);
        if (r >= 0)
            r = blob_upload_write(upload, piece, (size_t)n, err);
    }
    return r;
}

static void reply_artifact(HttpRequest *req, const Artifact *a) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "path", a->path);
    jw_int(&w, "size", a->size);
    jw_str(&w, "sha256", a->sha256);
    jw_end_object(&w);
    http_reply_json(req, 201, &out);
}

/* Files the upload, which is ended in any case. */
static int finish_upload(HttpRequest *req, BlobUpload *upload, Artifact *a, char *sha, Err *err) {
    Builds *b = api_of(req)->builds;
    uint64_t size;
    Build *build;
    int r = store_build_load(b->db, a->build_id, http_mem(req), &build, err);

    if (r >= 0)
        r = blob_upload_finish(upload, build_artifact_folder(build), a->path,
                               http_header(req, "X-Content-SHA256"), sha, &size, err);
    else
        blob_upload_abort(upload);
    if (r < 0)
        return err_wrap(err, "keep %s", a->path);
    a->sha256 = sha;
    a->size = (int64_t)size;
    return 0;
}

/* The bytes are long on their way: the attempt may lose its job meanwhile, which ERR_CONFLICT says. */
static int keep_artifact(HttpRequest *req, const Job *job, Artifact *a, char *sha, Err *err) {
    Builds *b = api_of(req)->builds;
    Attempt attempt = {.job = job->id, .attempt = job->attempt};
    BlobUpload *upload;
    Job *now;
    int r = blob_upload_begin(b->blob, &upload, err);

    if (r < 0)
        return r;
    r = take_upload(req, upload, err);
    if (r >= 0)
        r = build_check_attempt(b, attempt, job->runner_id, http_mem(req), &now, err);
    if (r < 0) {
        blob_upload_abort(upload);
        return r;
    }
    r = finish_upload(req, upload, a, sha, err);
    if (r == -ERR_CONFLICT) /* of two names, not of attempts */
        http_reply_err(req, err);
    else if (r >= 0)
        r = build_keep_artifact(b, attempt, job->runner_id, a, err);
    return r;
}

/* What is said of it beside its path. The mode is octal, as chmod has it. */
static int read_artifact(HttpRequest *req, Artifact *a, Err *err) {
    const char *mode = http_query(req, "mode");
    int r = file_check_path(a->path, err);

    if (r >= 0 && !str_empty(a->name) && !str_is_name(a->name, ARTIFACT_NAME_MAX))
        r = err_set(err, ERR_INVALID, "query \"name\": expected letters, digits, _, - and dots, at most %d",
                    ARTIFACT_NAME_MAX);
    if (r >= 0 && mode && (strlen(mode) != 3 || strspn(mode, "01234567") != 3))
        r = err_set(err, ERR_INVALID, "query \"mode\": expected three octal digits such as 755");
    if (r < 0)
        return r;
    a->mode = mode ? strtol(mode, NULL, 8) : 0644;
    return http_query(req, "keep")
               ? http_query_i64(req, "keep", ARTIFACT_FOREVER, INT64_MAX / 4, &a->keep, err)
               : 0;
}

static int artifact_put(HttpRequest *req, Err *err) {
    Artifact a = {
        .path = http_param(req, "path"), .name = http_query(req, "name"), .created_at = clock_now()};
    char sha[65];
    Job *job;
    int r = read_artifact(req, &a, err);

    if (r >= 0)
        r = attempt_begin(req, &job, err);
    if (r < 0 || !job)
        return r;
    a.build_id = job->build_id;
    a.job_id = job->id;
    r = keep_artifact(req, job, &a, sha, err);
    if (r == -ERR_CONFLICT) {
        attempt_reply_stale(req, err); /* unless it is answered already */
        return 0;
    }
    if (r >= 0)
        reply_artifact(req, &a);
    return r;
}

static int artifact_get(HttpRequest *req, Err *err) {
    ArtifactWish wish = {.path = http_param(req, "path")};
    Artifact *a;
    Job *job;
    int fd, r = attempt_begin(req, &job, err);

    if (r < 0 || !job)
        return r;
    wish.build_id = job->build_id;
    r = store_artifact_load(api_of(req)->builds->db, &wish, http_mem(req), &a, err);
    if (r >= 0)
        r = blob_object_open(api_of(req)->builds->blob, a->sha256, (uint64_t)a->size, &fd, err);
    if (r < 0)
        return r;
    http_add_header(req, "X-Content-SHA256", a->sha256);
    http_reply_file(req, fd, (uint64_t)a->size, "application/octet-stream", NULL);
    return 0;
}

const HttpRoute api_jobs[] = {
    {.method = HTTP_POST,
     .path = "/api/runner/jobs/{id}/log",
     .roles = ROLE_RUNNER,
     .promise = HTTP_PROMISE_NONE,
     .mode = HTTP_STREAMED,
     .begin = log_begin,
     .body = log_body,
     .handle = log_end,
     .max_body = UINT64_MAX,
     .tag = "runner protocol",
     .summary = "Appends to the attempt's log",
     .query = "attempt: the attempt; offset: of the first byte",
     .stale = "Stale/LogGap/Error",
     .answer = "(next:int)"},
    {.method = HTTP_PATCH,
     .path = "/api/runner/jobs/{id}",
     .roles = ROLE_RUNNER,
     .mode = HTTP_THREADED,
     .handle = report_job,
     .accept = JSON,
     .max_body = 16 * 1024 * 1024,
     .tag = "runner protocol",
     .summary = "How the attempt stands, or ended",
     .request = "{\"type\":\"object\",\"required\":[\"attempt\",\"state\"]}",
     .stale = "Stale/LogGap/Error",
     .answer = "(state:text stop:bool)"},
    {.method = HTTP_PUT,
     .path = "/api/runner/jobs/{id}/artifacts/{path*}",
     .roles = ROLE_RUNNER,
     .mode = HTTP_THREADED,
     .grows = true,
     .handle = artifact_put,
     .max_body = UINT64_MAX,
     .tag = "runner protocol",
     .summary = "Keeps an artifact",
     .query = "attempt: the attempt; name: what it is downloaded by; mode: its permissions, octal; keep: "
              "microseconds after the build's end, -1: for ever (the server's setting, where it is missing)",
     .status = 201,
     .stale = "Stale/Error",
     .answer = "(path:text size:int sha256:text)"},
    {.method = HTTP_GET,
     .path = "/api/runner/jobs/{id}/artifacts/{path*}",
     .roles = ROLE_RUNNER,
     .handle = artifact_get,
     .tag = "runner protocol",
     .summary = "An artifact of the same build",
     .query = "attempt: the attempt",
     .stale = "Stale/Error"},
    {0},
};
