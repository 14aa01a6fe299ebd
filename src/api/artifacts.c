/* Artifacts: by build, and at <commit>/<path> as document 0 keeps them. */
#include "api/render.h"

#include "base/str.h"
#include <inttypes.h>

static const char *artifact_url(HttpRequest *req, const Artifact *a) {
    const void *mem = http_mem(req);

    return mem_printf(mem, "%s/api/builds/%" PRId64 "/artifacts/%s", api_of(req)->url, a->build_id,
                      str_url_encode(mem, a->path, true));
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Artifact *artifacts;
    size_t count;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = store_artifacts(api_of(req)->builds->db, build->id, http_mem(req), &artifacts, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_array(&w, "artifacts");
    for (size_t i = 0; i < count; i++) {
        jw_object(&w, NULL);
        jw_str(&w, "path", artifacts[i].path);
        jw_int(&w, "size", artifacts[i].size);
        jw_str(&w, "sha256", artifacts[i].sha256);
        jw_str(&w, "job", artifacts[i].job);
        jw_time(&w, "created_at", artifacts[i].created_at);
        jw_str(&w, "url", artifact_url(req, &artifacts[i]));
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* What a job made is handed out as a file to keep, never as a page of ours. */
static int reply_artifact(HttpRequest *req, const Artifact *a, Err *err) {
    const char *etag = mem_printf(http_mem(req), "\"%s\"", a->sha256);
    int fd;
    int r = blob_object_open(api_of(req)->builds->blob, a->sha256, (uint64_t)a->size, &fd, err);

    if (r < 0)
        return err_wrap(err, "artifact %s", a->path);
    http_add_header(req, "X-Content-SHA256", a->sha256);
    http_add_header(req, "Content-Disposition", "attachment");
    http_reply_file(req, fd, (uint64_t)a->size, "application/octet-stream", etag);
    return 0;
}

static int get(HttpRequest *req, Err *err) {
    Artifact *a;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = store_artifact_load(api_of(req)->builds->db, build->id, http_param(req, "path"), http_mem(req),
                                &a, err);
    return r < 0 ? r : reply_artifact(req, a, err);
}

static int get_by_commit(HttpRequest *req, Err *err) {
    Artifact *a;
    int r = store_artifact_of_commit(api_of(req)->builds->db, http_param(req, "commit"),
                                     http_param(req, "path"), http_mem(req), &a, err);

    return r < 0 ? r : reply_artifact(req, a, err);
}

const HttpRoute api_artifacts[] = {
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/artifacts",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "artifacts",
     .summary = "What a build kept",
     .answer = "{\"type\":\"object\",\"properties\":{\"artifacts\":{\"type\":\"array\"}}}"},
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/artifacts/{path*}",
     .roles = ROLE_READ,
     .handle = get,
     .tag = "artifacts",
     .summary = "An artifact's bytes; its SHA-256 is the ETag"},
    {.method = HTTP_GET,
     .path = "/artifacts/{commit}/{path*}",
     .roles = ROLE_READ,
     .handle = get_by_commit,
     .tag = "artifacts",
     .summary = "The newest artifact of that path that was built from the commit"},
    {0},
};
