/* /api/ci/pipelines (contracts/pipelines.md; document 4). */
#include "api/pipelines.h"

#include "api/multipart.h"
#include "base/clock.h"
#include "base/str.h"
#include <ctype.h>

#define PROBLEMS_SHOWN 200
#define PIECE ((size_t)64 * 1024)

/* ---- errors ---- */

static void write_error(HttpRequest *req, int status, const char *message, const char *details, Buf *out) {
    const char *suggestion;
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "error", http_error_words(status, &suggestion));
    jw_str(&w, "message", message);
    jw_str(&w, "details", details);
    jw_array(&w, "suggestions");
    if (suggestion)
        jw_str(&w, NULL, suggestion);
    jw_end_array(&w);
    jw_int(&w, "status", status);
    jw_time(&w, "timestamp", clock_now());
    jw_end_object(&w);
}

/* What that platform's clients know; the webhook speaks of its signature instead. */
static const char *unauthorized_words(HttpRequest *req) {
    return http_credential(req) ? "Invalid token" : "You are not logged in, please provide token";
}

static const char *error_body(HttpRequest *req, int status, const Err *err, Buf *out) {
    const char *id = http_request_id(req);

    if (status == 401 && http_route(req)->roles)
        write_error(req, status, unauthorized_words(req),
                    mem_printf(http_mem(req), "%s (request %s)", err->msg, id), out);
    else
        write_error(req, status, err->msg, mem_printf(http_mem(req), "request %s", id), out);
    return JSON;
}

const HttpFamily family_pipelines = {
    .name = "pipelines", .error_body = error_body, .schema = "PipelineError"};

static int status_of(const PlanProblem *first) {
    if (first->kind == PLAN_PROBLEM_LATER)
        return 501;
    return first->kind == PLAN_PROBLEM_CONFIG ? 422 : 400;
}

void reply_problems(HttpRequest *req, const PlanProblems *problems) {
    const PlanProblem *first = plan_problems_first(problems);
    _cleanup_buf_ Buf details = BUF_INIT, out = BUF_INIT;
    int status = status_of(first);

    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_SHOWN); i++) {
        const PlanProblem *p = &problems->items[i];

        if (i)
            buf_addc(&details, '\n');
        if (p->line)
            buf_addf(&details, "line %d, column %d: ", p->line, p->column);
        buf_adds(&details, p->message);
    }
    if (problems->count > PROBLEMS_SHOWN)
        buf_addf(&details, "\nand %zu more", problems->count - PROBLEMS_SHOWN);
    write_error(req, status, first->message, buf_str(&details), &out);
    http_reply_json(req, status, &out);
}

/* ---- what is asked for ---- */

bool is_uuid(const char *text) {
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return !text[36];
}

int pipeline_param(HttpRequest *req, Pipeline **ret, Err *err) {
    const char *id = http_param(req, "id");
    int r;

    if (!is_uuid(id))
        return err_set(err, ERR_INVALID, "\"%.40s\" is not a UUID", id);
    r = store_pipeline_by_uuid(api_of(req)->builds->db, id, http_mem(req), ret, err);
    return r == -ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "Pipeline not found: %s", id) : r;
}

/* ---- the view ---- */

static void render(JsonWriter *w, const Pipeline *p) {
    jw_object(w, NULL);
    jw_str(w, "id", p->uuid);
    jw_str(w, "name", p->name);
    jw_str(w, "description", str_empty(p->description) ? NULL : p->description);
    jw_time(w, "created_at", p->created_at);
    jw_time(w, "updated_at", p->updated_at);
    jw_int(w, "version", p->version);
    jw_end_object(w);
}

static void reply_pipeline(HttpRequest *req, const Pipeline *p) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    render(&w, p);
    http_reply_json(req, 200, &out);
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Pipeline *pipelines;
    size_t count;
    int r = store_pipelines(api_of(req)->builds->db, http_mem(req), &pipelines, &count, err);

    if (r < 0)
        return r;
    jw_array(&w, NULL);
    for (size_t i = 0; i < count; i++)
        render(&w, &pipelines[i]);
    jw_end_array(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* Whose secrets its jobs may name: for /api/repos/NAME/secrets. */
static int render_project(HttpRequest *req, JsonWriter *w, const Pipeline *p, Err *err) {
    Project *project;
    int r = store_project_by_id(api_of(req)->builds->db, p->project_id, http_mem(req), &project, err);

    if (r >= 0)
        jw_str(w, "project", project->name);
    return r;
}

/* Who may trigger it by hand may see how others do. */
static void render_webhook(HttpRequest *req, JsonWriter *w, const Pipeline *p) {
    char secret[AUTH_SECRET_SIZE];

    auth_webhook_secret(api_of(req)->webhook_key, p->uuid, secret);
    jw_object(w, "webhook");
    jw_str(w, "url", mem_printf(http_mem(req), "%s/api/ci/pipelines/%s/webhook", api_of(req)->url, p->uuid));
    jw_str(w, "secret", secret);
    jw_end_object(w);
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const Principal *who = http_principal(req);
    Pipeline *p;
    int r = pipeline_param(req, &p, err);

    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "id", p->uuid);
    jw_str(&w, "name", p->name);
    jw_str(&w, "description", str_empty(p->description) ? NULL : p->description);
    jw_time(&w, "created_at", p->created_at);
    jw_time(&w, "updated_at", p->updated_at);
    jw_int(&w, "version", p->version);
    r = render_project(req, &w, p, err);
    if (who->roles & ROLE_WRITE)
        render_webhook(req, &w, p);
    jw_end_object(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

static int yaml(HttpRequest *req, Err *err) {
    Db *db = api_of(req)->builds->db;
    PipelineVersion *version;
    Pipeline *p;
    int64_t number;
    int r = pipeline_param(req, &p, err);

    number = r < 0 ? 0 : p->version;
    if (r >= 0)
        r = http_query_i64(req, "version", 1, INT64_MAX, &number, err);
    if (r >= 0)
        r = store_pipeline_version(db, p->id, number, http_mem(req), &version, err);
    if (r < 0)
        return r;
    http_reply(req, 200, "text/plain; charset=utf-8", version->yaml, strlen(version->yaml));
    return 0;
}

static int versions(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    PipelineVersion *all;
    Pipeline *p;
    size_t count;
    int r = pipeline_param(req, &p, err);

    if (r >= 0)
        r = store_pipeline_versions(api_of(req)->builds->db, p->id, http_mem(req), &all, &count, err);
    if (r < 0)
        return r;
    jw_array(&w, NULL);
    for (size_t i = 0; i < count; i++) {
        jw_object(&w, NULL);
        jw_int(&w, "version", all[i].number);
        jw_time(&w, "created_at", all[i].created_at);
        jw_str(&w, "created_by", all[i].created_by);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- saving ---- */

static int save(HttpRequest *req, const char *uuid, const char *text, size_t len, Err *err) {
    const Principal *who = http_principal(req);
    PlanProblems *problems = NULL;
    Pipeline *p;
    int r;

    if (len > STAGES_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the pipeline is larger than %d MiB",
                       STAGES_MAX_BYTES / 1024 / 1024);
    r = build_pipeline_save(api_of(req)->builds, uuid, text, len, who->name, http_mem(req), &p, &problems,
                            err);
    if (r < 0 && problems) {
        reply_problems(req, problems);
        return 0;
    }
    if (r >= 0)
        reply_pipeline(req, p);
    return r;
}

static int save_json(HttpRequest *req, const char *uuid, Err *err) {
    const char *text;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r < 0)
        return r;
    if (json_get_str(body, "yaml_content", &text, err) < 0)
        return reply_unprocessable(req, err);
    return save(req, uuid, text, strlen(text), err);
}

static int create(HttpRequest *req, Err *err) {
    return save_json(req, NULL, err);
}

static int update(HttpRequest *req, Err *err) {
    Pipeline *p;
    int r = pipeline_param(req, &p, err);

    return r < 0 ? r : save_json(req, p->uuid, err);
}

static int remove_pipeline(HttpRequest *req, Err *err) {
    Pipeline *p;
    int r = pipeline_param(req, &p, err);

    if (r >= 0)
        r = build_pipeline_delete(api_of(req)->builds, p->uuid, err);
    if (r < 0)
        return r;
    http_reply_empty(req, 204);
    return 0;
}

/* ---- upload ---- */

static int read_upload(HttpRequest *req, Multipart *m, Err *err) {
    _cleanup_free_ char *piece = malloc(PIECE);
    ssize_t n = 1;
    int r = 0;

    if (!piece)
        abort();
    while (r == 0 && n > 0) {
        n = http_body_read(req, piece, PIECE, err);
        r = n < 0 ? (int)n : multipart_feed(m, piece, (size_t)n, err);
    }
    return r;
}

static bool is_yaml_file(const char *name) {
    const char *dot = strrchr(name, '.');

    return dot && (strcasecmp(dot, ".yaml") == 0 || strcasecmp(dot, ".yml") == 0);
}

static int upload(HttpRequest *req, Err *err) {
    static const char *const names[] = {"pipeline", "file", "yaml", NULL};
    const char *filename;
    const Buf *content;
    Multipart *m;
    int r = multipart_new(http_mem(req), http_header(req, "Content-Type"), names, STAGES_MAX_BYTES, &m, err);

    if (r < 0) {
        http_reply_err_as(req, 415, err);
        return 0;
    }
    r = read_upload(req, m, err);
    if (r >= 0)
        r = multipart_file(m, &filename, &content, err);
    if (r < 0)
        return r;
    if (!is_yaml_file(filename)) {
        (void)err_set(err, ERR_UNSUPPORTED, "the file is called \"%.60s\"; expected .yaml or .yml", filename);
        http_reply_err_as(req, 415, err);
        return 0;
    }
    if (content->len == 0)
        return err_set(err, ERR_INVALID, "the file is empty");
    if (!str_utf8_valid(content->data, content->len) || memchr(content->data, '\0', content->len))
        return err_set(err, ERR_INVALID, "the file is not UTF-8 text");
    return save(req, NULL, content->data, content->len, err);
}

/* ---- trigger ---- */

void reply_started(HttpRequest *req, const PipelineStarted *started, const char *message) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "execution_id", started->uuid);
    jw_str(&w, "message", message);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
}

static int check_type(const char *type, Err *err) {
    static const char *const types[] = {"manual",  "webhook",      "schedule", "git_push",
                                        "git_tag", "pull_request", "api",      NULL};

    for (size_t i = 0; types[i]; i++)
        if (str_eq(types[i], type))
            return 0;
    return err_set(
        err, ERR_INVALID,
        "field \"trigger_type\": expected manual, webhook, schedule, git_push, git_tag or pull_request");
}

/* Goes into a ref and into logs. */
static int check_word(const char *field, const char *text, Err *err) {
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(err, ERR_INVALID, "field \"%s\": expected a name without blanks", field);
    if (strlen(text) > 255)
        return err_set(err, ERR_INVALID, "field \"%s\": longer than 255 bytes", field);
    return 0;
}

static int read_environment(HttpRequest *req, json_t *body, PipelineRun *run, Err *err) {
    _cleanup_free_ char *text = NULL;
    json_t *env = NULL;
    int r = json_opt_object(body, "environment", &env, err);

    if (r >= 0 && env)
        r = check_env("environment", env, err);
    if (r < 0 || !env)
        return r;
    text = json_dumps(env, JSON_COMPACT);
    run->env = mem_strdup(http_mem(req), text);
    return 0;
}

static int read_trigger(HttpRequest *req, json_t *body, PipelineRun *run, Err *err) {
    int r = json_get_str(body, "trigger_type", &run->trigger_type, err);

    if (r >= 0)
        r = check_type(run->trigger_type, err);
    if (r >= 0)
        r = json_opt_str(body, "branch", &run->branch, err);
    if (r >= 0)
        r = json_opt_str(body, "commit_hash", &run->commit, err);
    if (r >= 0)
        r = json_opt_str(body, "repository", &run->repository, err);
    if (r >= 0)
        r = check_word("branch", run->branch, err);
    if (r >= 0)
        r = check_word("commit_hash", run->commit, err);
    return r < 0 ? r : read_environment(req, body, run, err);
}

static int trigger(HttpRequest *req, Err *err) {
    PipelineRun run = {.triggered_by = "api",
                       .who = ((Principal *)http_principal(req))->name,
                       .branch = "",
                       .commit = "",
                       .repository = "",
                       .payload = ""};
    PipelineStarted started;
    Pipeline *p;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = pipeline_param(req, &p, err);
    if (r < 0)
        return r;
    if (read_trigger(req, body, &run, err) < 0)
        return reply_unprocessable(req, err);
    run.pipeline = p;
    r = build_pipeline_run(api_of(req)->builds, &run, http_mem(req), &started, err);
    if (r >= 0)
        reply_started(req, &started, "Pipeline triggered successfully");
    return r;
}

/* For who watches: open, like the other healths. */
static int healthchecker(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int64_t newest;
    bool connected = store_event_last(api_of(req)->builds->db, &newest, err) >= 0;

    jw_object(&w, NULL);
    jw_str(&w, "status", connected ? "success" : "error");
    jw_str(&w, "message", connected ? "Pelton is running" : "the server cannot read its state");
    jw_time(&w, "timestamp", clock_now());
    jw_str(&w, "version", api_of(req)->version);
    jw_object(&w, "database");
    jw_str(&w, "status", connected ? "connected" : "disconnected");
    jw_str(&w, "type", "SQLite");
    jw_end_object(&w);
    jw_str(&w, "environment", "production");
    jw_object(&w, "endpoints");
    jw_str(&w, "pipelines", "/api/ci/pipelines");
    jw_str(&w, "executions", "/api/ci/executions");
    jw_end_object(&w);
    jw_end_object(&w);
    http_reply_json(req, connected ? 200 : 503, &out);
    return 0;
}

static int test(HttpRequest *req, Err *err) {
    http_reply_text(req, 200, "CI Engine is working!");
    return 0;
}

#define SCHEMA_YAML                                                                                          \
    "{\"type\":\"object\",\"required\":[\"yaml_content\"],\"properties\":{\"yaml_content\":{\"type\":"       \
    "\"string\"}}}"
const HttpRoute api_pipelines[] = {
    {.method = HTTP_GET,
     .path = "/api/healthchecker",
     .family = &family_pipelines,
     .handle = healthchecker,
     .tag = "pipelines",
     .summary = "Whether the server and its database work",
     .also = 503,
     .answer = "(status:=success|error message:text timestamp:time version:text database:(status:text "
               "type:text) environment:text endpoints:{text})"},
    {.method = HTTP_GET,
     .path = "/api/ci/test",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = test,
     .tag = "pipelines",
     .summary = "A line of text",
     .type = TEXT},
    {.method = HTTP_GET,
     .path = "/api/ci/pipelines",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = list,
     .tag = "pipelines",
     .summary = "All stored pipelines",
     .answer = "[Pipeline]"},
    {.method = HTTP_POST,
     .path = "/api/ci/pipelines",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = create,
     .max_body = PIPELINE_MAX_JSON,
     .accept = JSON,
     .tag = "pipelines",
     .summary = "Store a pipeline (YAML, docs/stages.md)",
     .request = SCHEMA_YAML,
     .answer = "Pipeline"},
    {.method = HTTP_POST,
     .path = "/api/ci/pipelines/upload",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = upload,
     .max_body = STAGES_MAX_BYTES + 1024 * 1024,
     .accept = "multipart/form-data",
     .tag = "pipelines",
     .summary =
         "Store a pipeline from a file: multipart/form-data, the part is called pipeline, file or yaml",
     .request =
         "{\"type\":\"object\",\"properties\":{\"pipeline\":{\"type\":\"string\",\"format\":\"binary\"}}}",
     .answer = "Pipeline"},
    {.method = HTTP_GET,
     .path = "/api/ci/pipelines/{id}",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = show,
     .tag = "pipelines",
     .summary = "One pipeline; with the webhook's address and secret for who may trigger it",
     .answer = "PipelineWhole"},
    {.method = HTTP_PUT,
     .path = "/api/ci/pipelines/{id}",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .mode = HTTP_THREADED,
     .handle = update,
     .max_body = PIPELINE_MAX_JSON,
     .accept = JSON,
     .tag = "pipelines",
     .summary = "The pipeline's next version",
     .request = SCHEMA_YAML,
     .answer = "Pipeline"},
    {.method = HTTP_DELETE,
     .path = "/api/ci/pipelines/{id}",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .handle = remove_pipeline,
     .tag = "pipelines",
     .summary = "Forget a pipeline; its executions stay",
     .status = 204},
    {.method = HTTP_GET,
     .path = "/api/ci/pipelines/{id}/yaml",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = yaml,
     .tag = "pipelines",
     .summary = "The text as it was stored",
     .query = "version: an older one",
     .type = TEXT},
    {.method = HTTP_GET,
     .path = "/api/ci/pipelines/{id}/versions",
     .family = &family_pipelines,
     .roles = ROLE_READ,
     .handle = versions,
     .tag = "pipelines",
     .summary = "All versions, the newest first",
     .answer = "[(version:int created_at:time created_by:text)]"},
    {.method = HTTP_POST,
     .path = "/api/ci/pipelines/{id}/trigger",
     .family = &family_pipelines,
     .roles = ROLE_WRITE,
     .grows = true,
     .mode = HTTP_THREADED,
     .handle = trigger,
     .accept = JSON,
     .tag = "pipelines",
     .summary = "Run it; the environment reaches the steps, before the pipeline's own",
     .request = "{\"type\":\"object\",\"required\":[\"trigger_type\"],\"properties\":{\"trigger_type\":{"
                "\"type\":\"string\"},\"branch\":{\"type\":\"string\"},\"commit_hash\":{\"type\":\"string\"},"
                "\"repository\":{\"type\":\"string\"},\"environment\":{\"type\":\"object\","
                "\"additionalProperties\":{\"type\":\"string\"}}}}",
     .answer = "ExecutionStarted"},
    {0},
};
