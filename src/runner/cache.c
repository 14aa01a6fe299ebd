/* Caches of a job: found and fetched before its steps, kept after them. */
#include "base/json.h"
#include "base/str.h"
#include "runner/cache_files.h"
#include <inttypes.h>

#define TIMEOUT_US (INT64_C(600) * 1000000)

typedef struct Work {
    JobProcess *j;
    void *mem;
    JobCache *cache;
    const char *key;
    const char **restore; /* NULL-terminated */
    int fd;               /* the archive */
    /* what was found: */
    int64_t id, size; /* id 0: nothing */
    const char *found, *sha256;
    bool exact, own;
    /* what has come of it: */
    int status;
    Err err;
    int result;
} Work;

/* ---- keys ---- */

static int make_keys(Work *w, Err *err) {
    size_t count = 0;
    PlanContext context = values_context(w->j);
    int r = template_run(w->cache->key, &context, w->mem, &w->key, err);

    for (const char *const *prefix = w->cache->restore; r == 0 && *prefix; prefix++) {
        const char *text;

        r = template_run(*prefix, &context, w->mem, &text, err);
        if (r == 0 && *text)
            mem_append(w->mem, w->restore, count, text);
    }
    mem_append(w->mem, w->restore, count, NULL);
    return r;
}

/* ---- with the server, on the uploader's thread ---- */

static int read_found(Work *w, const HttpCall *call, Err *err) {
    _cleanup_json_ json_t *root = NULL;
    const char *key = "", *sha256 = "";
    int r = json_read(buf_str(&call->answer), call->answer.len, &root, err);

    if (r == 0)
        r = json_get_i64(root, "id", &w->id, err);
    if (r == 0)
        r = json_opt_i64(root, "size", &w->size, err);
    if (r == 0)
        r = json_opt_bool(root, "exact", &w->exact, err);
    if (r == 0)
        r = json_opt_bool(root, "own", &w->own, err);
    if (r == 0)
        r = json_opt_str(root, "key", &key, err);
    if (r == 0)
        r = json_opt_str(root, "sha256", &sha256, err);
    w->found = mem_strdup(w->mem, key);
    w->sha256 = mem_strdup(w->mem, sha256);
    return r;
}

static int find(Work *w, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter json = JSON_WRITER(&body);
    HttpCall call = {.method = "POST", .content_type = "application/json", .timeout_us = TIMEOUT_US};
    int r;

    jw_object(&json, NULL);
    jw_int(&json, "attempt", w->j->attempt);
    jw_str(&json, "key", w->key);
    jw_array(&json, "restore");
    for (const char **prefix = w->restore; *prefix; prefix++)
        jw_str(&json, NULL, *prefix);
    jw_end_array(&json);
    jw_end_object(&json);
    call.path = mem_printf(w->mem, "/api/runner/jobs/%" PRId64 "/cache", w->j->id);
    call.body = body.data;
    call.body_len = body.len;
    r = uploader_call(w->j->uploader, &call, NULL, err);
    if (r == 0)
        r = http_call_check(&call, err);
    if (r == 0)
        r = read_found(w, &call, err);
    buf_done(&call.answer);
    return r;
}

static int fetch(Work *w, Err *err) {
    const FetchFile file = {
        .path = mem_printf(w->mem, "/api/runner/jobs/%" PRId64 "/cache/%" PRId64 "?attempt=%" PRId64,
                           w->j->id, w->id, w->j->attempt),
        .size = w->size,
        .sha256 = w->sha256};
    int r = fetch_file(w->j->uploader, &file, w->fd, err);

    return r == -ERR_INVALID
               ? err_set(err, ERR_INVALID, "what came is damaged; remove it: pelton cache rm %s %" PRId64,
                         w->j->spec->project, w->id)
               : r;
}

static void fetch_main(void *arg) {
    Work *w = arg;

    w->result = find(w, &w->err);
    if (w->result == 0 && w->id)
        w->result = fetch(w, &w->err);
}

static void keep_main(void *arg) {
    Work *w = arg;
    const char *path = mem_printf(w->mem, "/api/runner/jobs/%" PRId64 "/cache?attempt=%" PRId64 "&key=%s",
                                  w->j->id, w->j->attempt, str_url_encode(w->mem, w->key, false));

    w->result = send_file(w->j->uploader, path, w->fd, &w->size, &w->status, &w->err);
}

static int on_uploader(Work *w, void (*fn)(void *arg), Err *err) {
    w->result = err_set(&w->err, ERR_CANCELLED, "cancelled");
    send_run(w->j, fn, w);
    if (w->result < 0)
        *err = w->err;
    return w->result;
}

/* ---- one cache ---- */

static bool goes_on(const JobProcess *j) {
    return !j->stale && !j->cancelled && !j->timed_out;
}

/* Half of one in the workspace would be worse than none. */
static void unpack(Work *w) {
    CacheFiles files = {.j = w->j, .what = "cache", .fd = w->fd};
    Err err;

    if (child_run(w->j, "unpacking of a cache", cache_unpack, &files, &err) == 0) {
        job_say(w->j, "cache: %s restored, %" PRId64 " bytes", w->found, w->size);
        w->cache->kept = w->exact && w->own;
    } else if (goes_on(w->j)) {
        job_say(w->j, "cache: %s: %s", w->found, err.msg);
        job_fail(w->j, "infrastructure", 0, "restore the cache %s: %s", w->found, err.msg);
    }
}

static void restore_one(JobProcess *j, JobCache *cache) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int fd = -1;
    Work w = {.j = j, .mem = mem, .cache = cache};
    Err err;

    if (make_keys(&w, &err) < 0) {
        job_say(j, "cache: %s", err.msg);
        return;
    }
    cache->name = mem_strdup(j->mem, w.key);
    if (send_temporary(j, &fd, &err) < 0) {
        job_say(j, "cache: %s: %s", w.key, err.msg);
        return;
    }
    w.fd = fd;
    if (on_uploader(&w, fetch_main, &err) < 0) {
        if (goes_on(j))
            job_say(j, "cache: %s: %s", w.key, err.msg);
    } else if (w.id == 0) {
        job_say(j, "cache: there is no %s yet", w.key);
    } else {
        unpack(&w);
    }
}

void cache_restore(JobProcess *j) {
    for (size_t i = 0; i < j->spec->cache_count && goes_on(j) && !j->state; i++)
        restore_one(j, &j->spec->caches[i]);
}

static int keep(Work *w, Err *err) {
    CacheFiles files = {.j = w->j, .paths = w->cache->paths, .fd = w->fd};
    int r = child_run(w->j, "packing of a cache", cache_pack, &files, err);

    return r < 0 ? r : on_uploader(w, keep_main, err);
}

static void save_one(JobProcess *j, JobCache *cache) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int fd = -1;
    Work w = {.j = j, .mem = mem, .cache = cache, .key = cache->name};
    Err err;
    int r = send_temporary(j, &fd, &err);

    w.fd = fd;
    if (r == 0)
        r = keep(&w, &err);
    if (r == 0 && w.status == 201)
        job_say(j, "cache: %s kept, %" PRId64 " bytes", w.key, w.size);
    else if (r == 0)
        job_say(j, "cache: %s was kept by another job meanwhile", w.key);
    else if (goes_on(j))
        job_say(j, "cache: %s is not kept: %s", w.key, err.msg);
}

void cache_save(JobProcess *j) {
    for (size_t i = 0; i < j->spec->cache_count && goes_on(j) && !j->state; i++)
        if (j->spec->caches[i].name && !j->spec->caches[i].kept)
            save_one(j, &j->spec->caches[i]);
}
