/* Caches: a runner's (docs/runner-protocol.md), and what people see of them. */
#include "api/attempt.h"
#include "api/render.h"

#include "base/str.h"
#include "build/cache.h"
#include <inttypes.h>

/* ---- of an attempt ---- */

static int read_restore(const json_t *body, const void *mem, CacheWish *wish, Err *err) {
    const char **prefixes = mem_array(mem, const char *, CACHE_RESTORE_MAX + 1);
    json_t *list = NULL, *item;
    size_t i;
    int r = json_opt_array(body, "restore", &list, err);

    if (r < 0)
        return r;
    if (json_array_size(list) > CACHE_RESTORE_MAX)
        return err_set(err, ERR_INVALID, "field \"restore\": at most %d", CACHE_RESTORE_MAX);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item) || build_cache_check_key(json_string_value(item), err) < 0)
            return err_set(err, ERR_INVALID, "field \"restore[%zu]\": expected the beginning of a key", i);
        prefixes[i] = json_string_value(item);
    }
    wish->restore = prefixes;
    return 0;
}

static void reply_hit(HttpRequest *req, const CacheHit *hit) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_int(&w, "id", hit->cache ? hit->cache->id : 0);
    if (hit->cache) {
        jw_str(&w, "key", hit->cache->key);
        jw_bool(&w, "exact", hit->exact);
        jw_bool(&w, "own", hit->own);
        jw_int(&w, "size", hit->cache->size);
        jw_str(&w, "xxh64", hit->cache->xxh64);
    }
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
}

static int find(HttpRequest *req, Err *err) {
    CacheWish wish = {0};
    CacheHit hit = {0};
    int64_t attempt = 0;
    json_t *body;
    Job *job;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_get_i64(body, "attempt", &attempt, err);
    if (r >= 0)
        r = json_get_str(body, "key", &wish.key, err);
    if (r >= 0)
        r = read_restore(body, http_mem(req), &wish, err);
    if (r >= 0)
        r = attempt_job(req, attempt, &job, err);
    if (r < 0 || !job)
        return r;
    r = build_cache_find(api_of(req)->builds, job, &wish, http_mem(req), &hit, err);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    reply_hit(req, &hit);
    return 0;
}

static int get(HttpRequest *req, Err *err) {
    int64_t id = 0;
    Cache *c;
    Job *job;
    int fd, r = attempt_begin(req, &job, err);

    if (r < 0 || !job)
        return r;
    r = http_param_id(req, "cache", &id, err);
    if (r >= 0)
        r = build_cache_open(api_of(req)->builds, job, id, http_mem(req), &c, &fd, err);
    if (r < 0)
        return r;
    http_reply_file(req, fd, (uint64_t)c->size, "application/zstd", NULL);
    return 0;
}

typedef struct PutCall {
    BlobUpload *upload;
    Attempt attempt;
    CacheOffer offer;
} PutCall;

static int put_free(PutCall *call) {
    if (call->upload)
        blob_upload_abort(call->upload);
    return 0;
}

static int put_begin(HttpRequest *req, Err *err) {
    const char *key = http_query(req, "key");
    CacheOffer offer = {.key = key ? key : ""};
    PutCall *call;
    Job *job;
    int r = attempt_begin(req, &job, err);

    if (r < 0 || !job)
        return r;
    r = build_cache_check_key(offer.key, err);
    if (r >= 0)
        r = http_query_i64(req, "replaces", 0, INT64_MAX, &offer.replaces, err);
    if (r < 0)
        return r;
    call = mem_new(http_mem(req), PutCall);
    talloc_set_destructor(call, put_free);
    call->offer = offer;
    call->attempt = (Attempt){.job = job->id, .attempt = job->attempt};
    r = blob_cache_begin(api_of(req)->builds->blob, &call->upload, err);
    if (r >= 0)
        http_set_data(req, call);
    return r;
}

static int put_body(HttpRequest *req, const void *data, size_t len, Err *err) {
    PutCall *call = http_data(req);
    int r = blob_upload_write(call->upload, data, len, err);

    return r < 0 ? r : build_cache_check_size(api_of(req)->builds, call->upload, err);
}

/* In front of the bytes, or behind them from who sends them while they are made. */
static const char *checksum_of(const HttpRequest *req) {
    const char *xxh64 = http_header(req, "X-Content-XXH64");

    return xxh64 ? xxh64 : http_trailer(req, "X-Content-XXH64");
}

static int put_end(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    PutCall *call = http_data(req);
    const Principal *who = http_principal(req);
    bool kept = false;
    Cache c;
    int r;

    call->offer.xxh64 = checksum_of(req);
    r = build_cache_keep(api_of(req)->builds, call->attempt, who->runner_id, &call->offer,
                         TAKE_PTR(call->upload), http_mem(req), &c, &kept, err);
    if (r == -ERR_CONFLICT) {
        attempt_reply_stale(req, err);
        return 0;
    }
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_bool(&w, "kept", kept);
    jw_int(&w, "size", c.size);
    jw_str(&w, "xxh64", c.xxh64);
    jw_end_object(&w);
    http_reply_json(req, kept ? 201 : 200, &out);
    return 0;
}

/* ---- of people ---- */

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Project *project;
    Cache *caches;
    size_t count;
    int r = load_project(req, http_param(req, "name"), &project, err);

    if (r >= 0)
        r = store_caches(api_of(req)->builds->db, project->id, http_mem(req), &caches, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_array(&w, "caches");
    for (size_t i = 0; i < count; i++) {
        jw_object(&w, NULL);
        jw_int(&w, "id", caches[i].id);
        jw_str(&w, "key", caches[i].key);
        jw_str(&w, "ref", caches[i].scope);
        jw_int(&w, "size", caches[i].size);
        jw_str(&w, "xxh64", caches[i].xxh64);
        jw_time(&w, "created_at", caches[i].created_at);
        jw_time(&w, "used_at", caches[i].used_at);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

/* One, or without an id all of the repository's. */
static int remove_caches(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Project *project;
    size_t count = 0;
    int64_t id = 0;
    int r = load_project(req, http_param(req, "name"), &project, err);

    if (r >= 0 && !str_empty(http_param(req, "id")))
        r = http_param_id(req, "id", &id, err);
    if (r >= 0)
        r = build_cache_remove(api_of(req)->builds, project->id, id, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "removed", (int64_t)count);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

const HttpRoute api_caches[] = {
    {.method = HTTP_POST,
     .path = "/api/runner/jobs/{id}/cache",
     .roles = ROLE_RUNNER,
     .handle = find,
     .accept = JSON,
     .tag = "runner protocol",
     .summary = "The best cache for the attempt; id 0: none",
     .request = "{\"type\":\"object\",\"required\":[\"attempt\",\"key\"]}",
     .stale = "Stale/Error",
     .answer = "(id:int key?:text exact?:bool own?:bool size?:int xxh64?:text)"},
    {.method = HTTP_GET,
     .path = "/api/runner/jobs/{id}/cache/{cache}",
     .roles = ROLE_RUNNER,
     .handle = get,
     .tag = "runner protocol",
     .summary = "A cache's bytes: a tar, compressed with zstd",
     .query = "attempt: the attempt",
     .stale = "Stale/Error"},
    {.method = HTTP_PUT,
     .path = "/api/runner/jobs/{id}/cache",
     .roles = ROLE_RUNNER,
     .mode = HTTP_STREAMED,
     .begin = put_begin,
     .body = put_body,
     .handle = put_end,
     .max_body = UINT64_MAX,
     .tag = "runner protocol",
     .summary = "Keeps a cache, unless there is one with its key",
     .query = "attempt: the attempt; key: its key; replaces: the id of one that was found damaged",
     .status = 201,
     .also = 200,
     .stale = "Stale/Error",
     .answer = "(kept:bool size:int xxh64:text)"},
    {.method = HTTP_GET,
     .path = "/api/repos/{name}/caches",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "caches",
     .summary = "What jobs have kept for later ones, used last first",
     .answer = "(caches:[Cache])"},
    {.method = HTTP_DELETE,
     .path = "/api/repos/{name}/caches",
     .roles = ROLE_WRITE,
     .handle = remove_caches,
     .tag = "caches",
     .summary = "Removes all caches of the repository",
     .answer = "(removed:int)"},
    {.method = HTTP_DELETE,
     .path = "/api/repos/{name}/caches/{id}",
     .roles = ROLE_WRITE,
     .handle = remove_caches,
     .tag = "caches",
     .summary = "Removes a cache",
     .answer = "(removed:int)"},
    {0},
};
