/* Secrets of a project, and of the organisation. What is set is never told again. */
#include "api/render.h"

#include "base/str.h"
#include "build/secret.h"

/* The project of the path; none: the organisation's. */
static int project_of(HttpRequest *req, Project **ret, Err *err) {
    const char *name = http_param(req, "name");

    *ret = NULL;
    return str_empty(name) ? 0 : load_project(req, name, ret, err);
}

static int render_level(HttpRequest *req, JsonWriter *w, int64_t project_id, const char *level, Err *err) {
    Secret *secrets;
    size_t count;
    int r = store_secrets(api_of(req)->builds->db, STORE_DEFAULT_ORG, project_id, http_mem(req), &secrets,
                          &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", secrets[i].name);
        jw_str(w, "level", level);
        jw_str(w, "updated_by", secrets[i].updated_by);
        jw_time(w, "created_at", secrets[i].created_at);
        jw_time(w, "updated_at", secrets[i].updated_at);
        jw_end_object(w);
    }
    return r;
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Project *project;
    int r = project_of(req, &project, err);

    jw_object(&w, NULL);
    jw_array(&w, "secrets");
    if (r >= 0 && project)
        r = render_level(req, &w, project->id, "project", err);
    if (r >= 0)
        r = render_level(req, &w, 0, "organisation", err);
    jw_end_array(&w);
    jw_end_object(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

/* What a reader of JSON says of a mistake may hold a piece of the text. */
static int read_value(HttpRequest *req, const char **ret, Err *err) {
    json_t *body;
    Err detail;

    if (http_body_json(req, false, &body, &detail) < 0 || json_get_str(body, "value", ret, &detail) < 0)
        return err_set(
            err, ERR_INVALID,
            "expected a JSON object with a field \"value\" alone: a text in UTF-8 without zero bytes");
    return 0;
}

static int set(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const Principal *who = http_principal(req);
    const char *value, *warning = "";
    Project *project;
    int r = project_of(req, &project, err);

    if (r >= 0)
        r = read_value(req, &value, err);
    if (r >= 0)
        r = build_secret_set(api_of(req)->builds, project, http_param(req, "secret"), value, who->name,
                             &warning, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "name", http_param(req, "secret"));
    jw_str(&w, "level", project ? "project" : "organisation");
    jw_str(&w, "warning", *warning ? warning : NULL);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int remove_secret(HttpRequest *req, Err *err) {
    Project *project;
    int r = project_of(req, &project, err);

    if (r >= 0)
        r = build_secret_remove(api_of(req)->builds, project, http_param(req, "secret"), err);
    if (r < 0)
        return r;
    http_reply_empty(req, 204);
    return 0;
}

static int rotate(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    size_t count = 0;
    int r = build_secrets_rotate(api_of(req)->builds, &count, err);

    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "secrets", (int64_t)count);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

#define MAX_BODY (8 * SECRET_VALUE_MAX) /* each byte may be escaped */
#define SCHEMA_VALUE                                                                                         \
    "{\"type\":\"object\",\"required\":[\"value\"]," ONLY_THESE                                              \
    ",\"properties\":{\"value\":{\"type\":\"string\"}}}"
const HttpRoute api_secrets[] = {
    {.method = HTTP_GET,
     .path = "/api/repos/{name}/secrets",
     .roles = ROLE_WRITE,
     .handle = list,
     .tag = "secrets",
     .summary = "The names of the secrets that the project's jobs may name; never their values",
     .answer = "(secrets:[Secret])"},
    {.method = HTTP_PUT,
     .path = "/api/repos/{name}/secrets/{secret}",
     .roles = ROLE_WRITE,
     .handle = set,
     .accept = JSON,
     .max_body = MAX_BODY,
     .tag = "secrets",
     .summary = "Sets a secret of the project",
     .request = SCHEMA_VALUE,
     .answer = "SecretSet"},
    {.method = HTTP_DELETE,
     .path = "/api/repos/{name}/secrets/{secret}",
     .roles = ROLE_WRITE,
     .handle = remove_secret,
     .tag = "secrets",
     .summary = "Removes a secret of the project",
     .status = 204},
    {.method = HTTP_GET,
     .path = "/api/secrets",
     .roles = ROLE_WRITE,
     .handle = list,
     .tag = "secrets",
     .summary = "The names of the organisation's secrets",
     .answer = "(secrets:[Secret])"},
    {.method = HTTP_PUT,
     .path = "/api/secrets/{secret}",
     .roles = ROLE_ADMIN,
     .handle = set,
     .accept = JSON,
     .max_body = MAX_BODY,
     .tag = "secrets",
     .summary = "Sets a secret of the organisation: all its projects may name it",
     .request = SCHEMA_VALUE,
     .answer = "SecretSet"},
    {.method = HTTP_DELETE,
     .path = "/api/secrets/{secret}",
     .roles = ROLE_ADMIN,
     .handle = remove_secret,
     .tag = "secrets",
     .summary = "Removes a secret of the organisation",
     .status = 204},
    {.method = HTTP_POST,
     .path = "/api/secrets/rotate",
     .roles = ROLE_ADMIN,
     .handle = rotate,
     .tag = "secrets",
     .summary = "Seals all secrets with a new key and forgets the old one",
     .answer = "(secrets:int)"},
    {0},
};
