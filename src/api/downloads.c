/* What an attempt takes of its build's artifacts (docs/runner-protocol.md). */
#include "api/attempt.h"
#include "api/render.h"

#include "base/str.h"
#include <inttypes.h>

#define FILES_MAX 100000 /* of one download */

typedef struct Found {
    Artifact *all;
    ArtifactExpired *expired;
    size_t count, expired_count;
} Found;

static int read_wish(HttpRequest *req, ArtifactWish *wish, int64_t *ret_attempt, Err *err) {
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    *wish = (ArtifactWish){.name = "", .job = ""};
    if (r >= 0)
        r = json_get_i64(body, "attempt", ret_attempt, err);
    if (r >= 0)
        r = json_opt_str(body, "name", &wish->name, err);
    return r < 0 ? r : json_opt_str(body, "job", &wish->job, err);
}

static int find(HttpRequest *req, const Job *job, const ArtifactWish *wish, Found *f, Err *err) {
    Db *db = api_of(req)->builds->db;
    int r = store_artifacts_needed(db, wish, job->id, FILES_MAX + 1, http_mem(req), &f->all, &f->count, err);

    if (r >= 0 && f->count > FILES_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d files: pack them into one", FILES_MAX);
    return r < 0 ? r
                 : store_artifacts_needed_expired(db, wish, job->id, http_mem(req), &f->expired,
                                                  &f->expired_count, err);
}

static void render_file(JsonWriter *json, const Artifact *a) {
    jw_object(json, NULL);
    jw_int(json, "id", a->id);
    jw_str(json, "path", a->path);
    jw_int(json, "size", a->size);
    jw_str(json, "sha256", a->sha256);
    jw_int(json, "mode", a->mode);
    jw_end_object(json);
}

/* Of those of one path, which stand beside each other, the last. */
static void render_files(JsonWriter *json, const Found *f) {
    jw_array(json, "files");
    for (size_t i = 0; i < f->count; i++)
        if (i + 1 == f->count || !str_eq(f->all[i].path, f->all[i + 1].path))
            render_file(json, &f->all[i]);
    jw_end_array(json);
}

static void render_gone(JsonWriter *json, const Found *f) {
    jw_array(json, "expired");
    for (size_t i = 0; i < f->expired_count; i++) {
        jw_object(json, NULL);
        jw_str(json, "job", f->expired[i].job);
        jw_str(json, "name", f->expired[i].name);
        jw_int(json, "keep", f->expired[i].keep);
        jw_time(json, "removed_at", f->expired[i].removed_at);
        jw_end_object(json);
    }
    jw_end_array(json);
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter json = JSON_WRITER(&out);
    int64_t attempt = 0;
    ArtifactWish wish;
    Found found;
    Job *job;
    int r = read_wish(req, &wish, &attempt, err);

    if (r >= 0)
        r = attempt_job(req, attempt, &job, err);
    if (r < 0 || !job)
        return r;
    r = find(req, job, &wish, &found, err);
    if (r < 0)
        return r;
    jw_object(&json, NULL);
    render_files(&json, &found);
    render_gone(&json, &found);
    jw_end_object(&json);
    http_reply_json(req, 200, &out);
    return 0;
}

static int get(HttpRequest *req, Err *err) {
    Builds *b = api_of(req)->builds;
    int64_t id = 0;
    Artifact *a;
    Job *job;
    int fd, r = attempt_begin(req, &job, err);

    if (r < 0 || !job)
        return r;
    r = http_param_id(req, "artifact", &id, err);
    if (r >= 0)
        r = store_artifact_by_id(b->db, id, http_mem(req), &a, err);
    if (r >= 0 && a->build_id != job->build_id)
        r = err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no artifact %" PRId64, job->build_id, id);
    if (r >= 0)
        r = blob_object_open(b->blob, a->sha256, (uint64_t)a->size, &fd, err);
    if (r >= 0)
        http_reply_file(req, fd, (uint64_t)a->size, "application/octet-stream", NULL);
    return r;
}

const HttpRoute api_downloads[] = {
    {.method = HTTP_POST,
     .path = "/api/runner/jobs/{id}/downloads",
     .roles = ROLE_RUNNER,
     .mode = HTTP_THREADED,
     .handle = list,
     .accept = JSON,
     .tag = "runner protocol",
     .summary = "The files of a named artifact that jobs which this one needs have made",
     .request = "{\"type\":\"object\",\"required\":[\"attempt\"]}",
     .stale = "Stale/Error",
     .answer = "(files:[DownloadFile] expired:[DownloadExpired])"},
    {.method = HTTP_GET,
     .path = "/api/runner/jobs/{id}/downloads/{artifact}",
     .roles = ROLE_RUNNER,
     .handle = get,
     .tag = "runner protocol",
     .summary = "The bytes of one of them",
     .query = "attempt: the attempt",
     .stale = "Stale/Error"},
    {0},
};
