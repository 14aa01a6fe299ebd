/* /api/deployments (contracts/paas.md; document 1): what is live, and what was. */
#include "api/render.h"

#include "base/str.h"

#define MAX_LIST 100

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const char *repo = http_query(req, "repo");
    int64_t limit = MAX_LIST, project_id = 0;
    Deployment *rows;
    Project *project;
    size_t count;
    int r = http_query_i64(req, "limit", 1, MAX_LIST, &limit, err);

    if (r >= 0 && repo) {
        r = load_project(req, repo, &project, err);
        project_id = r < 0 ? 0 : project->id;
    }
    if (r >= 0)
        r = store_deployments(api_of(req)->builds->db, project_id, limit, http_mem(req), &rows, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_array(&w, "deployments");
    for (size_t i = 0; i < count; i++)
        render_deployment(req, &w, &rows[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Deployment *d;
    int r = store_deployment_by_uuid(api_of(req)->builds->db, http_param(req, "id"), http_mem(req), &d, err);

    if (r < 0)
        return r;
    render_deployment(req, &w, d);
    http_reply_json(req, 200, &out);
    return 0;
}

static int stop(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Deployment *d;
    int r = build_stop_deployment(api_of(req)->builds, http_param(req, "id"),
                                  ((Principal *)http_principal(req))->name, http_mem(req), &d, err);

    if (r < 0)
        return r;
    render_deployment(req, &w, d);
    http_reply_json(req, 200, &out);
    return 0;
}

const HttpRoute api_deployments[] = {
    {.method = HTTP_GET,
     .path = "/api/deployments",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "deployments",
     .summary = "The newest deployments first",
     .query = "repo: only this repository's; limit: at most 100",
     .answer = "(deployments:[Deployment])"},
    {.method = HTTP_GET,
     .path = "/api/deployments/{id}",
     .roles = ROLE_READ,
     .handle = show,
     .tag = "deployments",
     .summary = "A deployment, by its UUID",
     .answer = "Deployment"},
    {.method = HTTP_POST,
     .path = "/api/deployments/{id}/stop",
     .roles = ROLE_WRITE,
     .handle = stop,
     .tag = "deployments",
     .summary = "Take what is live off: its program is stopped, and nothing takes its place",
     .answer = "Deployment"},
    {0},
};
