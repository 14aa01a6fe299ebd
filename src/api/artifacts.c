/* Artifacts: by build, and at <commit>/<path> as document 0 keeps them. */
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

/* Of a path that several rows have, the last is found by it alone; the others by job and name too. */
static const char *artifact_url(HttpRequest *req, const Artifact *a, bool last) {
    const void *mem = http_mem(req);
    const char *url = mem_printf(mem, "%s/api/builds/%" PRId64 "/artifacts/%s", api_of(req)->url, a->build_id,
                                 str_url_encode(mem, a->path, true));

    return last ? url
                : mem_printf(mem, "%s?job=%s&name=%s", url, str_url_encode(mem, a->job, false),
                             str_url_encode(mem, a->name, false));
}

static void render_artifact(HttpRequest *req, JsonWriter *w, const Artifact *a, bool last) {
    jw_object(w, NULL);
    jw_str(w, "path", a->path);
    jw_str(w, "name", a->name);
    jw_int(w, "size", a->size);
    jw_str(w, "sha256", a->sha256);
    jw_bool(w, "executable", a->mode & 0100);
    jw_str(w, "job", a->job);
    jw_time(w, "created_at", a->created_at);
    jw_time(w, "expires_at", a->expires_at);
    jw_str(w, "url", artifact_url(req, a, last));
    jw_end_object(w);
}

static void render_expired(JsonWriter *w, const ArtifactExpired *e) {
    char keep[STR_DURATION_SIZE];

    jw_object(w, NULL);
    jw_str(w, "name", e->name);
    jw_str(w, "job", e->job);
    jw_int(w, "files", e->files);
    jw_int(w, "size", e->size);
    jw_str(w, "keep", str_from_duration(e->keep, keep));
    jw_time(w, "removed_at", e->removed_at);
    jw_end_object(w);
}

typedef struct Listed {
    Artifact *artifacts;
    ArtifactExpired *expired;
    size_t count, expired_count;
    const char *name, *job; /* only these; NULL: all */
} Listed;

static bool listed(const Listed *l, const char *name, const char *job) {
    return (!l->name || str_eq(l->name, name)) && (!l->job || str_eq(l->job, job));
}

static void reply_list(HttpRequest *req, const Listed *l) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_array(&w, "artifacts");
    for (size_t i = 0; i < l->count; i++) {
        bool last = i + 1 == l->count || !str_eq(l->artifacts[i].path, l->artifacts[i + 1].path);

        if (listed(l, l->artifacts[i].name, l->artifacts[i].job))
            render_artifact(req, &w, &l->artifacts[i], last);
    }
    jw_end_array(&w);
    jw_array(&w, "expired");
    for (size_t i = 0; i < l->expired_count; i++)
        if (listed(l, l->expired[i].name, l->expired[i].job))
            render_expired(&w, &l->expired[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
}

static int list(HttpRequest *req, Err *err) {
    Listed l = {.name = http_query(req, "name"), .job = http_query(req, "job")};
    Db *db = api_of(req)->builds->db;
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = store_artifacts(db, build->id, http_mem(req), &l.artifacts, &l.count, err);
    if (r >= 0)
        r = store_artifacts_expired(db, build->id, http_mem(req), &l.expired, &l.expired_count, err);
    if (r >= 0)
        reply_list(req, &l);
    return r;
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

/* What is not there may have been, which the newest of what has gone tells. */
static int reply_gone(HttpRequest *req, const char *path, const ArtifactExpired *all, size_t count,
                      Err *err) {
    const ArtifactExpired *newest = all;
    char keep[STR_DURATION_SIZE], when[CLOCK_RFC3339_SIZE];

    if (count == 0)
        return -(int)err->code;
    for (size_t i = 1; i < count; i++)
        if (all[i].removed_at > newest->removed_at)
            newest = &all[i];
    (void)err_set(err, ERR_NOT_FOUND,
                  "build %" PRId64
                  " has no artifact \"%s\" any more: what job %s made%s%s was removed at %s, "
                  "after its keep of %s",
                  newest->build_id, path, newest->job, *newest->name ? " as " : "", newest->name,
                  clock_rfc3339(newest->removed_at, when), str_from_duration(newest->keep, keep));
    http_reply_err_as(req, 410, err);
    return 0;
}

static int get(HttpRequest *req, Err *err) {
    ArtifactWish wish = {
        .path = http_param(req, "path"), .name = http_query(req, "name"), .job = http_query(req, "job")};
    Db *db = api_of(req)->builds->db;
    ArtifactExpired *expired;
    Artifact *a;
    Build *build;
    size_t count;
    Err failure;
    int r = load_build(req, &build, err);

    if (r < 0)
        return r;
    wish.build_id = build->id;
    r = store_artifact_load(db, &wish, http_mem(req), &a, err);
    if (r == -ERR_NOT_FOUND &&
        store_artifacts_expired(db, build->id, http_mem(req), &expired, &count, &failure) >= 0)
        return reply_gone(req, wish.path, expired, count, err);
    return r < 0 ? r : reply_artifact(req, a, err);
}

static int get_by_commit(HttpRequest *req, Err *err) {
    const char *commit = http_param(req, "commit"), *path = http_param(req, "path");
    Db *db = api_of(req)->builds->db;
    ArtifactExpired *expired;
    Artifact *a;
    size_t count;
    Err failure;
    int r = store_artifact_of_commit(db, commit, path, http_mem(req), &a, err);

    if (r == -ERR_NOT_FOUND &&
        store_artifacts_expired_of_commit(db, commit, http_mem(req), &expired, &count, &failure) >= 0)
        return reply_gone(req, path, expired, count, err);
    return r < 0 ? r : reply_artifact(req, a, err);
}

const HttpRoute api_artifacts[] = {
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/artifacts",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "artifacts",
     .summary = "What a build kept, and what of it has been removed after its time",
     .query = "name: of these artifacts only; job: of this job only",
     .answer = "(artifacts:[Artifact] expired:[ArtifactExpired])"},
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/artifacts/{path*}",
     .roles = ROLE_READ,
     .handle = get,
     .tag = "artifacts",
     .summary = "An artifact's bytes; its SHA-256 is the ETag. Of several of the path that of the last job "
                "in the file; 410: it was "
                "removed after its time",
     .query = "job: the one that made it; name: of this artifact"},
    {.method = HTTP_GET,
     .path = "/artifacts/{commit}/{path*}",
     .roles = ROLE_READ,
     .handle = get_by_commit,
     .tag = "artifacts",
     .summary = "The newest artifact of that path that was built from the commit"},
    {0},
};
