/* /api/ci/executions (contracts/pipelines.md; document 4): builds of stored pipelines in that document's
 * words. */
#include "api/pipelines.h"

#include "base/clock.h"
#include "base/str.h"
#include "store/notice.h"

#define MAX_LIST 1000
#define OUTPUT_MAX (64 * 1024)        /* of a step: its last bytes; the stream has all */
#define OUTPUTS_MAX (4 * 1024 * 1024) /* of all steps */

/* ---- words ---- */

static const struct {
    const char *state, *reason, *word; /* reason NULL: any */
} words[] = {
    {"waiting", NULL, "pending"},        {"blocked", NULL, "pending"},         {"queued", NULL, "pending"},
    {"failed", "timeout", "timeout"},    {"failed", NULL, "failed"},           {"partial", NULL, "failed"},
    {"cancelled", "timeout", "timeout"}, {"skipped", "dependency", "pending"}, /* those behind a failed stage
                                                                                  have never begun */
};

/* begun: whether it has run. */
static const char *word_of(const char *state, const char *reason, bool begun) {
    if (!begun && str_eq(state, "cancelled") && str_eq(reason, "timeout"))
        return "pending"; /* the time was over before its turn came */
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (str_eq(words[i].state, state) && (!words[i].reason || str_eq(words[i].reason, reason)))
            return words[i].word;
    return state; /* running, success, cancelled; skipped: its condition is false */
}

/* ---- the list ---- */

static void render_times(JsonWriter *w, int64_t started, int64_t finished) {
    jw_time(w, "started_at", started);
    jw_time(w, "finished_at", finished);
    if (started && finished)
        jw_int(w, "duration", (finished - started) / US_PER_S);
    else
        jw_null(w, "duration");
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const char *pipeline = http_query(req, "pipeline_id");
    Db *db = api_of(req)->builds->db;
    int64_t id = 0, limit = MAX_LIST;
    ExecutionRow *rows = NULL;
    Pipeline *p;
    size_t count = 0;
    int r = http_query_i64(req, "limit", 1, MAX_LIST, &limit, err);

    if (r >= 0 && pipeline && is_uuid(pipeline)) {
        r = store_pipeline_by_uuid(db, pipeline, http_mem(req), &p, err);
        id = r < 0 ? -1 : p->id;
        r = r == -ERR_NOT_FOUND ? 0 : r;
    }
    if (r >= 0)
        r = store_executions(db, id, limit, http_mem(req), &rows, &count, err);
    if (r < 0)
        return r;
    jw_array(&w, NULL);
    for (size_t i = 0; i < count; i++) {
        jw_object(&w, NULL);
        jw_str(&w, "id", rows[i].uuid);
        jw_str(&w, "pipeline_id", rows[i].pipeline);
        jw_str(&w, "status", word_of(rows[i].state, rows[i].reason, true));
        render_times(&w, rows[i].started_at, rows[i].finished_at);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- one execution ---- */

typedef struct View {
    HttpRequest *req;
    Builds *b;
    const Build *build;
    const Execution *execution;
    const Job *jobs;
    json_t **specs; /* of the jobs */
    Step **steps;
    size_t *step_counts;
    size_t count;
    size_t outputs_left;
    JsonWriter *w;
} View;

static int view_free(View *v) {
    for (size_t i = 0; v->specs && i < v->count; i++)
        json_decref(v->specs[i]);
    return 0;
}

static int execution_param(HttpRequest *req, int64_t *ret, Err *err) {
    const char *id = http_param(req, "id");
    int r;

    if (!is_uuid(id))
        return err_set(err, ERR_INVALID, "\"%.40s\" is not a UUID", id);
    r = store_execution_by_uuid(api_of(req)->builds->db, id, http_mem(req), ret, err);
    return r == -ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "Execution not found: %s", id) : r;
}

static int load_jobs(View *v, Err *err) {
    const void *mem = http_mem(v->req);
    int r = store_jobs_of_build(v->b->db, v->build->id, mem, (Job **)&v->jobs, &v->count, err);

    if (r < 0) {
        v->count = 0;
        return r;
    }
    v->specs = mem_array(v, json_t *, v->count); /* lives as long as the destructor needs it */
    v->steps = mem_array(mem, Step *, v->count);
    v->step_counts = mem_array(mem, size_t, v->count);
    for (size_t i = 0; r >= 0 && i < v->count; i++) {
        r = json_read(v->jobs[i].spec, strlen(v->jobs[i].spec), &v->specs[i], err);
        if (r >= 0 && v->jobs[i].attempt)
            r = store_steps(v->b->db, log_job(&v->jobs[i]), v->jobs[i].attempt, mem, &v->steps[i],
                            &v->step_counts[i], err);
    }
    return r;
}

static int load_view(HttpRequest *req, View *v, Err *err) {
    Builds *b = api_of(req)->builds;
    int64_t id;
    int r = execution_param(req, &id, err);

    v->req = req;
    v->b = b;
    v->outputs_left = OUTPUTS_MAX;
    if (r >= 0)
        r = store_build_load(b->db, id, http_mem(req), (Build **)&v->build, err);
    if (r >= 0)
        r = store_execution_of_build(b->db, id, http_mem(req), (Execution **)&v->execution, err);
    return r < 0 ? r : load_jobs(v, err);
}

static const json_t *stage_of(const View *v, size_t job) {
    return json_object_get(v->specs[job], "stage");
}

/* A job that another one has made while it ran is of no stage of the pipeline's: it stands for one. */
static const char *stage_name(const View *v, size_t job) {
    const char *name = json_string_value(json_object_get(stage_of(v, job), "name"));

    return name ? name : v->jobs[job].name;
}

static const Step *step_of(const View *v, size_t job, size_t position) {
    for (size_t i = 0; i < v->step_counts[job]; i++)
        if (v->steps[job][i].position == (int64_t)position)
            return &v->steps[job][i];
    return NULL;
}

/* Of one that has begun. It may have failed for another reason than its job, which may even have gone on. */
static const char *begun_word(const Job *job, const Step *s) {
    return word_of(s->state, str_empty(s->reason) ? job->reason : s->reason, true);
}

/* Of one that never began: before its turn came its job failed, or was stopped. */
static const char *waiting_word(const Job *job) {
    return str_eq(job->state, "running") || str_eq(job->state, "failed")
               ? "pending"
               : word_of(job->state, job->reason, false);
}

static const char *step_word(const Job *job, const json_t *spec, const Step *s) {
    const char *condition = json_string_value(json_object_get(spec, "if"));

    return !s || (str_eq(s->state, "skipped") && str_empty(condition)) ? waiting_word(job)
                                                                       : begun_word(job, s);
}

/* Where the step's output ends: of one that runs, where the log does. */
static int output_end(const View *v, const Job *job, const Step *s, int64_t *ret, Err *err) {
    uint64_t size = 0;
    int r = 0;

    if (str_eq(s->state, "running"))
        r = blob_log_size(v->b->blob, log_job(job), job->attempt, &size, err);
    *ret = MAX(s->log_end, (int64_t)size);
    return r;
}

/* Its last bytes. Standard output and error are one stream here, in the order in which they were written. */
static int read_output(const View *v, const Job *job, const Step *s, Buf *text, Err *err) {
    size_t most = MIN(v->outputs_left, (size_t)OUTPUT_MAX), size;
    ssize_t n = 1;
    int64_t end;
    int r = output_end(v, job, s, &end, err);

    if (r < 0 || end <= s->log_start)
        return r;
    size = MIN((size_t)(end - s->log_start), most);
    while (text->len < size && n > 0) {
        n = blob_log_read(v->b->blob, log_job(job), job->attempt, (uint64_t)end - size + text->len,
                          buf_reserve(text, size - text->len), size - text->len, err);
        text->len += (size_t)MAX(n, (ssize_t)0);
    }
    return n == -ERR_NOT_FOUND ? 0 : (int)MIN(n, (ssize_t)0);
}

static int render_output(View *v, const Job *job, const Step *s, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = s ? read_output(v, job, s, &text, err) : 0;

    v->outputs_left -= text.len;
    jw_strn(v->w, "stdout", text.len ? text.data : "", text.len);
    jw_str(v->w, "stderr", "");
    return r;
}

static int render_step(View *v, size_t job, size_t position, const json_t *spec, Err *err) {
    const Step *s = step_of(v, job, position);
    int r;

    jw_object(v->w, NULL);
    jw_str(v->w, "name", json_string_value(json_object_get(spec, "name")));
    jw_str(v->w, "status", step_word(&v->jobs[job], spec, s));
    jw_str(v->w, "command", json_string_value(json_object_get(spec, "run")));
    if (s && s->finished_at && s->exit_code >= 0 && !str_eq(s->state, "skipped"))
        jw_int(v->w, "exit_code", s->exit_code);
    else
        jw_null(v->w, "exit_code");
    r = render_output(v, &v->jobs[job], s, err);
    render_times(v->w, s ? s->started_at : 0, s ? s->finished_at : 0);
    jw_end_object(v->w);
    return r;
}

/* What the jobs of a stage make of it: the first line whose state one of them has. */
static const char *stage_word(const View *v, size_t from, size_t to) {
    static const char *const order[] = {"running", "timeout", "failed", "cancelled",
                                        "pending", "success", "skipped"};
    size_t found = ELEMENTS(order), ended = 0;
    bool waits = false;

    for (size_t i = from; i < to; i++) {
        const char *word = word_of(v->jobs[i].state, v->jobs[i].reason, v->jobs[i].started_at);

        ended += v->jobs[i].finished_at && v->jobs[i].started_at;
        waits = waits || (!v->jobs[i].finished_at && str_eq(word, "pending"));
        for (size_t k = 0; k < found; k++)
            if (str_eq(order[k], word))
                found = k;
    }
    if (waits && ended) /* some are through, others are about to begin */
        return "running";
    return found < ELEMENTS(order) ? order[found] : "pending";
}

static void stage_times(const View *v, size_t from, size_t to, int64_t *started, int64_t *finished) {
    bool all = true;

    *started = *finished = 0;
    for (size_t i = from; i < to; i++) {
        const Job *job = &v->jobs[i];

        if (job->started_at && (!*started || job->started_at < *started))
            *started = job->started_at;
        all = all && job->finished_at;
        *finished = MAX(*finished, job->finished_at);
    }
    if (!all || !*started)
        *finished = 0;
}

static int render_stage(View *v, size_t from, size_t to, Err *err) {
    int64_t started, finished;
    const json_t *spec;
    size_t position;
    int r = 0;

    jw_object(v->w, NULL);
    jw_str(v->w, "name", stage_name(v, from));
    jw_str(v->w, "status", stage_word(v, from, to));
    jw_array(v->w, "steps");
    for (size_t i = from; i < to; i++)
        json_array_foreach (json_object_get(v->specs[i], "steps"), position, spec)
            if (r >= 0)
                r = render_step(v, i, position, spec, err);
    jw_end_array(v->w);
    stage_times(v, from, to, &started, &finished);
    render_times(v->w, started, finished);
    jw_end_object(v->w);
    return r;
}

/* Jobs of one stage follow each other. */
static size_t stage_end(const View *v, size_t from) {
    const json_t *index = json_object_get(stage_of(v, from), "index");
    size_t to = from + 1;

    while (to < v->count && json_equal(json_object_get(stage_of(v, to), "index"), index))
        to++;
    return to;
}

static int render_stages(View *v, Err *err) {
    int r = 0;

    jw_array(v->w, "stages");
    for (size_t from = 0, to; r >= 0 && from < v->count; from = to) {
        to = stage_end(v, from);
        r = render_stage(v, from, to, err);
    }
    jw_end_array(v->w);
    return r;
}

static void render_trigger(View *v) {
    const Execution *e = v->execution;

    jw_object(v->w, "trigger_info");
    jw_str(v->w, "trigger_type", e->trigger_type);
    jw_str(v->w, "triggered_by", e->triggered_by);
    jw_str(v->w, "commit_hash", str_empty(e->commit) ? NULL : e->commit);
    jw_str(v->w, "branch", str_empty(e->branch) ? NULL : e->branch);
    jw_str(v->w, "repository", str_empty(e->repository) ? NULL : e->repository);
    if (str_empty(e->payload))
        jw_null(v->w, "webhook_payload");
    else
        jw_raw(v->w, "webhook_payload", e->payload, strlen(e->payload));
    jw_end_object(v->w);
}

/* ---- its log of events, which the rows tell ---- */

static void render_event(View *v, int64_t at, const char *level, const char *stage, const char *step,
                         const char *message) {
    if (!at)
        return;
    jw_object(v->w, NULL);
    jw_time(v->w, "timestamp", at);
    jw_str(v->w, "level", level);
    jw_str(v->w, "stage", stage);
    jw_str(v->w, "step", step);
    jw_str(v->w, "message", message);
    jw_end_object(v->w);
}

static void render_step_events(View *v, size_t job, const Step *s) {
    const char *stage = stage_name(v, job);
    const char *word = begun_word(&v->jobs[job], s);
    bool bad = str_eq(s->state, "failed");

    render_event(v, s->started_at, "info", stage, s->name, "Step started");
    render_event(v, s->finished_at, bad ? "error" : "info", stage, s->name,
                 mem_printf(http_mem(v->req), "Step ended: %s", word));
}

static void render_logs(View *v) {
    const Build *b = v->build;

    jw_array(v->w, "logs");
    render_event(v, b->created_at, "info", NULL, NULL, "Pipeline execution created");
    for (size_t i = 0; i < v->count; i++)
        for (size_t k = 0; k < v->step_counts[i]; k++)
            render_step_events(v, i, &v->steps[i][k]);
    render_event(v, b->finished_at, str_eq(b->state, "failed") ? "error" : "info", NULL, NULL,
                 mem_printf(http_mem(v->req), "Pipeline execution ended: %s%s%s",
                            word_of(b->state, b->reason, true), str_empty(b->message) ? "" : ": ",
                            b->message));
    jw_end_array(v->w);
}

static int render_artifacts(View *v, Err *err) {
    Artifact *all;
    size_t count;
    int r = store_artifacts(v->b->db, v->build->id, http_mem(v->req), &all, &count, err);

    if (r < 0)
        return r;
    jw_array(v->w, "artifacts");
    for (size_t i = 0; i < count; i++) {
        const char *slash = strrchr(all[i].path, '/');

        if (str_after(all[i].path, ".pelton/"))
            continue;
        jw_object(v->w, NULL);
        jw_str(v->w, "name", slash ? slash + 1 : all[i].path);
        jw_str(v->w, "path", all[i].path);
        jw_int(v->w, "size", all[i].size);
        jw_str(v->w, "content_type", "application/octet-stream");
        jw_str(v->w, "checksum", all[i].sha256);
        jw_time(v->w, "created_at", all[i].created_at);
        jw_end_object(v->w);
    }
    jw_end_array(v->w);
    return 0;
}

static int render_notices(View *v, Err *err) {
    Notice *all;
    size_t count;
    int r = store_notices_of_build(v->b->db, v->build->id, http_mem(v->req), &all, &count, err);

    if (r < 0)
        return r;
    jw_array(v->w, "notifications");
    for (size_t i = 0; i < count; i++) {
        if (str_eq(all[i].moment, "end"))
            continue;
        jw_object(v->w, NULL);
        jw_str(v->w, "target_type", all[i].kind);
        jw_str(v->w, "moment", all[i].moment);
        jw_str(v->w, "status", all[i].state);
        jw_int(v->w, "attempts", all[i].attempts);
        jw_str(v->w, "error", str_empty(all[i].error) ? NULL : all[i].error);
        jw_end_object(v->w);
    }
    jw_end_array(v->w);
    return 0;
}

static int render_execution(View *v, Err *err) {
    const Build *b = v->build;
    int r;

    jw_object(v->w, NULL);
    jw_str(v->w, "id", b->uuid);
    jw_str(v->w, "pipeline_id", v->execution->pipeline);
    jw_str(v->w, "status", word_of(b->state, b->reason, true));
    render_trigger(v);
    r = render_stages(v, err);
    jw_raw(v->w, "environment", b->env, strlen(b->env));
    render_logs(v);
    if (r >= 0)
        r = render_artifacts(v, err);
    if (r >= 0)
        r = render_notices(v, err);
    render_times(v->w, b->started_at, b->finished_at);
    jw_time(v->w, "created_at", b->created_at);
    jw_time(v->w, "updated_at",
            b->finished_at  ? b->finished_at
            : b->started_at ? b->started_at
                            : b->created_at);
    jw_int(v->w, "version", v->execution->version);
    jw_int(v->w, "build", b->id);
    jw_str(v->w, "message", b->message);
    jw_end_object(v->w);
    return r;
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    _cleanup_view_ Db *snapshot = NULL;
    View *v = mem_new(http_mem(req), View);
    int r = db_view(api_of(req)->builds->db, &snapshot, err);

    talloc_set_destructor(v, view_free);
    v->w = &w;
    if (r >= 0)
        r = load_view(req, v, err);
    if (r >= 0)
        r = render_execution(v, err);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- cancel, stream ---- */

static int cancel(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int64_t id;
    int r = execution_param(req, &id, err);

    if (r >= 0)
        r = build_cancel(api_of(req)->builds, id, "user", err);
    if (r == -ERR_NOT_FOUND || r == -ERR_CONFLICT)
        return err_set(err, ERR_NOT_FOUND, "Execution not found or not running");
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "message", "Execution cancelled successfully");
    jw_str(&w, "execution_id", http_param(req, "id"));
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int stream(HttpRequest *req, Err *err) {
    int64_t id;
    int r = execution_param(req, &id, err);

    if (r >= 0)
        logs_follow(req, id, word_of);
    return r;
}

const HttpRoute api_executions[] = {
    {.method = HTTP_GET,
     .path = "/api/ci/executions",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = list,
     .tag = "pipelines",
     .summary = "Executions of stored pipelines, the newest first",
     .query = "pipeline_id: of this pipeline only; limit: at most so many (1000)",
     .answer = "[ExecutionListed]"},
    {.method = HTTP_GET,
     .path = "/api/ci/executions/{id}",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = show,
     .tag = "pipelines",
     .summary = "An execution with its stages and steps",
     .answer = "Execution"},
    {.method = HTTP_DELETE,
     .path = "/api/ci/executions/{id}/cancel",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .handle = cancel,
     .tag = "pipelines",
     .summary = "Cancel: what waits at once, what runs when it has stopped",
     .answer = "(message:text execution_id:text)"},
    {.method = HTTP_GET,
     .path = "/api/ci/executions/{id}/stream",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = stream,
     .tag = "pipelines",
     .summary = "WebSocket: the log as it grows, the jobs' ends, the execution's",
     .frames = "LogFrame"},
    {0},
};
