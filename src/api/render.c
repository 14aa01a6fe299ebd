#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"
#include "pipeline/pipeline.h"
#include <inttypes.h>

static int64_t duration(int64_t from, int64_t to) {
    return from && to ? to - from : -1;
}

void render_build_fields(JsonWriter *w, const Build *b) {
    char created[CLOCK_RFC3339_SIZE];

    jw_int(w, "id", b->id);
    jw_str(w, "repo", b->project);
    jw_str(w, "commit_hash", b->commit);
    jw_strn(w, "commit_short", b->commit, strnlen(b->commit, 8));
    jw_str(w, "branch", b->branch);
    jw_str(w, "status", b->state);
    jw_int(w, "retry_count", b->retries);
    jw_int(w, "max_retries", b->max_retries);
    jw_str(w, "created_at", clock_sql(b->created_at, created));
    jw_time(w, "started_at", b->started_at);
    jw_time(w, "finished_at", b->finished_at);
    jw_seconds(w, "duration_seconds", duration(b->started_at, b->finished_at));
}

void render_build(JsonWriter *w, const char *key, const Build *b) {
    jw_object(w, key);
    render_build_fields(w, b);
    jw_end_object(w);
}

static void opt_str(JsonWriter *w, const char *key, const char *value) {
    if (!str_empty(value))
        jw_str(w, key, value);
}

/* What was kept is where it went live; the ingress may serve it elsewhere by now. */
static const char *deployment_url(HttpRequest *req, const Deployment *d) {
    Ingress *in = api_of(req)->ingress;

    return in && !str_empty(d->url) ? ingress_url(in, d->slug, http_mem(req)) : NULL;
}

void render_deployment(HttpRequest *req, JsonWriter *w, const Deployment *d) {
    jw_object(w, NULL);
    jw_str(w, "id", d->uuid);
    jw_int(w, "number", d->id);
    jw_str(w, "project", d->project);
    jw_int(w, "build_id", d->build_id);
    jw_str(w, "commit_sha", d->commit);
    opt_str(w, "commit_message", d->subject);
    opt_str(w, "commit_author", d->author);
    opt_str(w, "branch", d->branch);
    jw_str(w, "status", d->status);
    opt_str(w, "url", deployment_url(req, d));
    opt_str(w, "error_message", d->message);
    jw_time(w, "created_at", d->created_at);
    if (d->started_at)
        jw_time(w, "started_at", d->started_at);
    if (d->completed_at)
        jw_time(w, "completed_at", d->completed_at);
    jw_end_object(w);
}

void render_steps(JsonWriter *w, const Step *steps, size_t count) {
    jw_array(w, "steps");
    for (size_t i = 0; i < count; i++) {
        const Step *s = &steps[i];

        jw_object(w, NULL);
        jw_int(w, "position", s->position);
        jw_str(w, "name", s->name);
        jw_str(w, "status", s->state);
        if (s->exit_code >= 0)
            jw_int(w, "exit_code", s->exit_code);
        else
            jw_null(w, "exit_code");
        jw_time(w, "started_at", s->started_at);
        jw_time(w, "finished_at", s->finished_at);
        jw_seconds(w, "duration_seconds", s->finished_at ? s->finished_at - s->started_at : -1);
        jw_int(w, "log_start", s->log_start);
        jw_int(w, "log_end", s->log_end);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* The contract's words (contracts/git-ci.md, 4.1), for what is no number too. */
static int no_build(HttpRequest *req, Err *err) {
    return err_set(err, ERR_NOT_FOUND, "Build not found: %.100s", http_param(req, "id"));
}

int build_id(HttpRequest *req, int64_t *ret, Err *err) {
    return http_param_id(req, "id", ret, err) < 0 ? no_build(req, err) : 0;
}

int load_build(HttpRequest *req, Build **ret, Err *err) {
    int64_t id;
    int r = build_id(req, &id, err);

    if (r < 0)
        return r;
    r = store_build_load(api_of(req)->builds->db, id, http_mem(req), ret, err);
    return r == -ERR_NOT_FOUND ? no_build(req, err) : r;
}

int load_project(HttpRequest *req, const char *name, Project **ret, Err *err) {
    int r = store_project_by_name(api_of(req)->builds->db, name, http_mem(req), ret, err);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "Repository '%s' not found", name);
    return r;
}

int load_repository(HttpRequest *req, const char *name, Project **ret, Err *err) {
    int r = load_project(req, name, ret, err);

    if (r >= 0 && str_empty((*ret)->path))
        return err_set(err, ERR_NOT_FOUND, "Repository '%s' not found", name);
    return r;
}

#define KEY_MAX 200

int read_delivery(HttpRequest *req, const char **ret, Err *err) {
    const char *key = http_header(req, "Idempotency-Key");

    if (key && (!*key || strlen(key) > KEY_MAX || !str_utf8_valid(key, strlen(key))))
        return err_set(err, ERR_INVALID, "header Idempotency-Key: expected 1 to %d characters", KEY_MAX);
    *ret = key;
    return 0;
}

int reply_unprocessable(HttpRequest *req, const Err *err) {
    http_reply_err_as(req, 422, err);
    return 0;
}

void render_outcome(HttpRequest *req, JsonWriter *w, const BuildOutcome *outcome) {
    if (outcome->id)
        jw_int(w, "id", outcome->id);
    else
        jw_null(w, "id");
    jw_str(w, "status", outcome->status);
    if (!str_empty(outcome->message))
        jw_str(w, "message", outcome->message);
    if (outcome->id)
        jw_str(w, "url", build_url(req, outcome->id));
}

void reply_outcome(HttpRequest *req, const BuildOutcome *outcome) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    render_outcome(req, &w, outcome);
    jw_end_object(&w);
    http_reply_json(req, outcome->id ? 202 : 200, &out);
}

const char *build_url(HttpRequest *req, int64_t id) {
    return mem_printf(http_mem(req), "%s/builds/%" PRId64, api_of(req)->url, id);
}

static const char *git_ci_error(HttpRequest *req, int status, const Err *err, Buf *out) {
    static const char *const types[] = {TEXT, JSON, NULL};

    if (str_eq(http_accepted(req, types), JSON))
        return http_family_default.error_body(req, status, err, out);
    buf_addf(out, "%s\n", err->msg);
    return "text/plain; charset=utf-8";
}

const HttpFamily family_git_ci = {.name = "git-ci", .error_body = git_ci_error, .text = true};

int check_env(const char *field, json_t *env, Err *err) {
    const char *key;
    json_t *value;

    json_object_foreach (env, key, value) {
        bool bad = !*key || strchr("0123456789", *key);

        for (const char *p = key; *p; p++)
            bad = bad || !(*p == '_' || (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                           (*p >= 'a' && *p <= 'z'));
        if (bad)
            return err_set(err, ERR_INVALID, "field \"%s\": '%s' is not a variable's name", field, key);
        if (plan_sets_variable(key))
            return err_set(err, ERR_INVALID,
                           "field \"%s\": Pelton sets %s in every step, over this; take another name", field,
                           key);
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return err_set(err, ERR_INVALID, "field \"%s.%s\": expected a string", field, key);
    }
    return 0;
}
