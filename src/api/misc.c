/* Health, version, the API's own description, and the page. */
#include "api/render.h"

#include "api/web.h"
#include "base/str.h"
#include "pipeline/pipeline.h"

/* A monitor need not know more than "ok"; the rest is for people. */
static void render_problems(JsonWriter *w, const char *problem) {
    jw_str(w, "status", problem ? "degraded" : "ok");
    if (!problem)
        return;
    jw_array(w, "problems");
    jw_str(w, NULL, problem);
    jw_end_array(w);
}

static int health(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Api *api = api_of(req);
    int64_t newest;

    if (store_event_last(api->builds->db, &newest, err) < 0)
        return err_set(err, ERR_UNAVAILABLE, "the server cannot read its state");
    jw_object(&w, NULL);
    render_problems(&w, disk_reason(&api->builds->disk, http_mem(req)));
    jw_str(&w, "service", "pelton");
    jw_str(&w, "version", api->version);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int version(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "name", "pelton");
    jw_str(&w, "version", api_of(req)->version);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int schema(HttpRequest *req, Err *err) {
    const char *id =
        mem_printf(http_mem(req), "%s/api/schema/pipeline.json", api_of(req)->builds->options.url);
    _cleanup_buf_ Buf out = BUF_INIT;

    pipeline_schema(id, &out);
    http_reply_json(req, 200, &out);
    return 0;
}

#define POLICY                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "    \
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

static int asset(HttpRequest *req, const WebAsset *a) {
    http_add_header(req, "Content-Security-Policy", POLICY);
    http_add_header(req, "Referrer-Policy", "same-origin");
    http_add_header(req, "Cache-Control", "no-cache");
    http_add_header(req, "ETag", a->etag);
    if (str_eq(http_header(req, "If-None-Match"), a->etag))
        http_reply_empty(req, 304);
    else
        http_reply(req, 200, a->type, a->data, a->len);
    return 0;
}

static const WebAsset *find(const char *name) {
    for (size_t i = 0; i < web_asset_count; i++)
        if (str_eq(web_assets[i].name, name))
            return &web_assets[i];
    return NULL;
}

static int page(HttpRequest *req, Err *err) {
    return asset(req, find("index.html"));
}

static int file(HttpRequest *req, Err *err) {
    return asset(req, find(http_url(req) + 1));
}

const HttpRoute api_misc[] = {
    {.method = HTTP_GET,
     .path = "/health",
     .handle = health,
     .tag = "server",
     .summary = "Whether the server works",
     .answer = "Health"},
    {.method = HTTP_GET,
     .path = "/healthz",
     .handle = health,
     .tag = "server",
     .summary = "Whether the server works",
     .answer = "Health"},
    {.method = HTTP_GET,
     .path = "/api/version",
     .roles = ROLE_READ | ROLE_RUNNER | ROLE_HOOK,
     .handle = version,
     .tag = "server",
     .summary = "What runs here",
     .answer = "(name:text version:text)"},
    {.method = HTTP_GET,
     .path = "/api/openapi.json",
     .roles = ROLE_READ,
     .handle = http_handle_openapi,
     .tag = "server",
     .summary = "This description",
     .answer = "object"},
    {.method = HTTP_GET,
     .path = "/api/schema/pipeline.json",
     .handle = schema,
     .tag = "server",
     .summary = "The language of .pelton.yml as a JSON Schema, for editors: no token is needed",
     .answer = "object"},
    {.method = HTTP_GET,
     .path = "/",
     .handle = page,
     .tag = "page",
     .summary = "The page; it asks for a token",
     .type = "text/html"},
    {.method = HTTP_GET,
     .path = "/builds/{id}",
     .handle = page,
     .tag = "page",
     .summary = "The page, at a build",
     .type = "text/html"},
    {.method = HTTP_GET, .path = "/app.js", .handle = file, .tag = "page", .summary = "The page's script"},
    {.method = HTTP_GET, .path = "/style.css", .handle = file, .tag = "page", .summary = "The page's style"},
    {0},
};
