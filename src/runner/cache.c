/* Caches of a job: found and fetched before its steps, kept after them. */
#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "runner/cache_files.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>

#define TIMEOUT_US (INT64_C(600) * 1000000)
#define PIPE_SIZE (1 << 20)
#define FIRST 4096
#define TRIES 5 /* of which each was cut off half-way */

typedef struct Work {
    JobProcess *j;
    void *mem;
    JobCache *cache;
    const char *key;
    const char **restore; /* NULL-terminated */
    int fd;               /* the archive */
    /* what was found: */
    int64_t id, size; /* id 0: nothing */
    const char *found, *xxh64;
    bool exact, own, damaged;
    /* what has come of it: */
    Err err;
    int result;
} Work;

/* An archive on its way to the server while it is packed. It lies nowhere in between: for another try it is
 * packed once more. */
typedef struct Keeping {
    JobProcess *j;
    const char *path;     /* where it is PUT */
    int pipe;             /* from the packer */
    atomic_bool packed;   /* before the pipe ends: the archive is whole */
    char first[FIRST];    /* of it, for a server that is not there yet */
    size_t first_len, at; /* of them, those that this try has sent */
    int64_t came;         /* bytes of it so far */
    bool again;           /* it is to be packed once more */
    Checksum sum;
    char trailer[96];
    Err broken; /* code 0: the packer has not failed */
    int status;
    Err err;
    int result;
} Keeping;

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
    const char *key = "", *xxh64 = "";
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
        r = json_opt_str(root, "xxh64", &xxh64, err);
    w->found = mem_strdup(w->mem, key);
    w->xxh64 = mem_strdup(w->mem, xxh64);
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
        .kind = CHECKSUM_XXH64,
        .checksum = w->xxh64};
    int r = fetch_file(w->j->uploader, &file, w->fd, err);

    w->damaged = r == -ERR_INVALID || r == -ERR_NOT_FOUND;
    if (!w->damaged)
        return r;
    if (w->exact && w->own)
        return err_set(err, ERR_INVALID, "it is damaged, and replaced when the job has gone well");
    return err_set(err, ERR_INVALID, "%s is damaged; remove it: pelton cache rm %s %" PRId64, w->found,
                   w->j->spec->project, w->id);
}

static void fetch_main(void *arg) {
    Work *w = arg;

    w->result = find(w, &w->err);
    if (w->result == 0 && w->id)
        w->result = fetch(w, &w->err);
}

static ssize_t take_some(Keeping *k, void *buf, size_t size, Err *err) {
    ssize_t n;

    do
        n = read(k->pipe, buf, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, "read");
    if (n == 0 && !atomic_load(&k->packed))
        return err_set(err, ERR_CANCELLED, "the packing has ended");
    checksum_add(&k->sum, buf, (size_t)n);
    k->came += n;
    return n;
}

static ssize_t take_packed(Keeping *k, void *buf, size_t size, Err *err) {
    ssize_t n = take_some(k, buf, size, err);

    if (n < 0)
        k->broken = *err;
    return n;
}

static ssize_t read_packed(void *arg, void *buf, size_t size, Err *err) {
    Keeping *k = arg;
    size_t len = MIN(size, k->first_len - k->at);

    if (len == 0)
        return take_packed(k, buf, size, err);
    memcpy(buf, k->first + k->at, len);
    k->at += len;
    return (ssize_t)len;
}

static const char *sum_packed(void *arg) {
    Keeping *k = arg;
    char hex[CHECKSUM_HEX];

    checksum_hex(&k->sum, hex);
    snprintf(k->trailer, sizeof(k->trailer), "X-Content-XXH64: %s", hex);
    return k->trailer;
}

static int rewind_packed(void *arg, Err *err) {
    Keeping *k = arg;

    k->at = 0;
    if (k->broken.code) {
        *err = k->broken;
        return -(int)err->code;
    }
    return k->came > (int64_t)k->first_len;
}

static int put_packed(Keeping *k, Err *err) {
    HttpCall call = {.method = "PUT",
                     .path = k->path,
                     .content_type = "application/zstd",
                     .body_read = read_packed,
                     .trailer = sum_packed,
                     .arg = k,
                     .stream = true, /* how long the packing takes is not the server's matter */
                     .timeout_us = TIMEOUT_US};
    int r = uploader_call(k->j->uploader, &call, rewind_packed, err);

    k->again = r < 0 && r != -ERR_CANCELLED && k->broken.code == 0;
    if (r == 0)
        r = http_call_check(&call, err);
    k->status = call.status;
    buf_done(&call.answer);
    return r;
}

/* Nothing is asked of the server before there is something. */
static void keep_main(void *arg) {
    Keeping *k = arg;
    ssize_t n = take_packed(k, k->first, sizeof(k->first), &k->err);

    k->first_len = (size_t)MAX(n, 0);
    k->result = n < 0 ? (int)n : put_packed(k, &k->err);
    mem_close(TAKE_FD(k->pipe)); /* the packer's writes fail from here on */
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
        cache->damaged = w.damaged && w.exact && w.own ? w.id : 0;
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

/* The packer's failure is the upload's, or the other way round: the one that was first says why. */
static int keep(Keeping *k, CacheFiles *files, Err *err) {
    JobProcess *j = k->j;
    int r;

    k->result = err_set(&k->err, ERR_CANCELLED, "cancelled");
    j->ran = false;
    uploader_run(j->uploader, keep_main, k);
    r = child_run(j, "packing of a cache", cache_pack, files, err);
    if (r < 0)
        uploader_abort(j->uploader, true);
    atomic_store(&k->packed, r == 0);
    mem_close(files->fd);
    watch_uploader(j, &j->ran);
    if (r < 0)
        uploader_abort(j->uploader, false);
    if (r == 0 || (k->result < 0 && k->result != -ERR_CANCELLED)) {
        r = k->result;
        *err = k->err;
    }
    mem_close_p(&k->pipe);
    return r;
}

static int pack_and_keep(Keeping *k, const JobCache *cache, Err *err) {
    CacheFiles files = {.j = k->j, .paths = cache->paths};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE); /* as much as is allowed */
    k->pipe = files.others = ends[0];
    files.fd = ends[1];
    checksum_init(&k->sum, CHECKSUM_XXH64);
    return keep(k, &files, err);
}

static void save_one(JobProcess *j, JobCache *cache) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *path =
        mem_printf(mem, "/api/runner/jobs/%" PRId64 "/cache?attempt=%" PRId64 "&key=%s&replaces=%" PRId64,
                   j->id, j->attempt, str_url_encode(mem, cache->name, false), cache->damaged);
    Keeping k = {.again = true};
    Err err;
    int r = 0;

    for (int i = 0; i < TRIES && k.again && goes_on(j); i++) {
        k = (Keeping){.j = j, .path = path};
        r = pack_and_keep(&k, cache, &err);
    }
    if (r == 0 && k.status == 201)
        job_say(j, "cache: %s kept, %" PRId64 " bytes", cache->name, k.came);
    else if (r == 0)
        job_say(j, "cache: %s was kept by another job meanwhile", cache->name);
    else if (goes_on(j))
        job_say(j, "cache: %s is not kept: %s", cache->name, err.msg);
}

void cache_save(JobProcess *j) {
    for (size_t i = 0; i < j->spec->cache_count && goes_on(j) && !j->state; i++)
        if (j->spec->caches[i].name && !j->spec->caches[i].kept)
            save_one(j, &j->spec->caches[i]);
}
