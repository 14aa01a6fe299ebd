/* What jobs before this one made: fetched file by file into an archive, each checked by its sha256, then
 * unpacked as a cache is. */
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/tar.h"
#include "runner/cache_files.h"
#include <inttypes.h>
#include <time.h>

#define TIMEOUT_US (INT64_C(600) * 1000000)
#define LIST_MAX ((size_t)128 * 1024 * 1024)

typedef struct File {
    int64_t id, size, mode;
    const char *path, *sha256;
} File;

typedef struct Work {
    JobProcess *j;
    void *mem;
    const JobDownload *d;
    const char *what; /* for the messages */
    json_t *list;
    size_t count;
    int64_t bytes;
    int archive, piece; /* files; of the second what has come of one */
    bool missing;       /* there is no such artifact, or not all of it any more */
    Err err;
    int result;
} Work;

/* ---- on the uploader's thread ---- */

static void write_wish(const Work *w, Buf *body) {
    JsonWriter json = JSON_WRITER(body);

    jw_object(&json, NULL);
    jw_int(&json, "attempt", w->j->attempt);
    jw_str(&json, "name", w->d->name);
    jw_str(&json, "job", w->d->job);
    jw_end_object(&json);
}

static int ask(Work *w, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    HttpCall call = {.method = "POST",
                     .content_type = "application/json",
                     .max_answer = LIST_MAX,
                     .timeout_us = TIMEOUT_US};
    int r;

    write_wish(w, &body);
    call.path = mem_printf(w->mem, "/api/runner/jobs/%" PRId64 "/downloads", w->j->id);
    call.body = body.data;
    call.body_len = body.len;
    r = uploader_call(w->j->uploader, &call, NULL, err);
    if (r == 0)
        r = http_call_check(&call, err);
    if (r == 0)
        r = json_read(buf_str(&call.answer), call.answer.len, &w->list, err);
    buf_done(&call.answer);
    return r;
}

/* Some of it is no more: what is left would be half of it. */
static int check_expired(Work *w, Err *err) {
    const char *job = "", *at = "";
    char keep_text[STR_DURATION_SIZE];
    json_t *gone = NULL, *first;
    int64_t keep = 0;
    int r = json_opt_array(w->list, "expired", &gone, err);

    first = json_array_get(gone, 0);
    if (r < 0 || !first)
        return r;
    w->missing = true;
    r = json_opt_str(first, "job", &job, err);
    if (r == 0)
        r = json_opt_str(first, "removed_at", &at, err);
    if (r == 0)
        r = json_opt_i64(first, "keep", &keep, err);
    return r < 0 ? r
                 : err_set(err, ERR_NOT_FOUND,
                           "what job \"%s\" made was removed at %s, after its keep of %s; run that job again",
                           job, at, str_from_duration(keep, keep_text));
}

static int read_file(const json_t *from, File *file, Err *err) {
    int r = json_get_i64(from, "id", &file->id, err);

    if (r == 0)
        r = json_get_i64(from, "size", &file->size, err);
    if (r == 0)
        r = json_get_i64(from, "mode", &file->mode, err);
    if (r == 0)
        r = json_get_str(from, "path", &file->path, err);
    if (r == 0)
        r = json_get_str(from, "sha256", &file->sha256, err);
    return r < 0 ? r : file_check_path(file->path, err);
}

static int fetch(Work *w, const File *file, Err *err) {
    const FetchFile whole = {
        .path = mem_printf(w->mem, "/api/runner/jobs/%" PRId64 "/downloads/%" PRId64 "?attempt=%" PRId64,
                           w->j->id, file->id, w->j->attempt),
        .size = file->size,
        .kind = CHECKSUM_SHA256,
        .checksum = file->sha256};

    return fetch_file(w->j->uploader, &whole, w->piece, err);
}

/* As new as can be, so that make takes it for made. */
static int keep(Work *w, Tar *tar, const File *file, Err *err) {
    const char *folder = w->d->path;
    TarEntry entry = {.path = mem_printf(w->mem, "%s%s%s", folder, *folder ? "/" : "", file->path),
                      .mode = S_IFREG | (mode_t)(file->mode & 0777),
                      .size = file->size,
                      .fd = w->piece,
                      .mtime = time(NULL)};
    int r = lseek(w->piece, 0, SEEK_SET) < 0 ? err_errno(err, "read a file") : tar_add(tar, &entry, err);

    w->count++;
    w->bytes += file->size;
    return r;
}

static int fetch_all(Work *w, const json_t *files, Err *err) {
    json_t *item;
    Tar *tar;
    size_t i;
    int r = tar_open(w->mem, w->archive, TAR_PLAIN, &tar, err);

    if (r < 0)
        return r;
    json_array_foreach ((json_t *)files, i, item) {
        File file = {.path = ""};

        r = read_file(item, &file, err);
        if (r == 0)
            r = fetch(w, &file, err);
        if (r == 0)
            r = keep(w, tar, &file, err);
        if (r < 0)
            return err_wrap(err, "%s", file.path);
    }
    return tar_finish(tar, err);
}

static int fetch_list(Work *w, Err *err) {
    json_t *files = NULL;
    int r = ask(w, err);

    if (r == 0)
        r = check_expired(w, err);
    if (r == 0)
        r = json_opt_array(w->list, "files", &files, err);
    if (r < 0)
        return r;
    w->missing = json_array_size(files) == 0;
    return w->missing ? err_set(err, ERR_NOT_FOUND, "no job that this one needs has kept a file of it")
                      : fetch_all(w, files, err);
}

static void fetch_main(void *arg) {
    Work *w = arg;

    w->result = fetch_list(w, &w->err);
}

/* ---- one download ---- */

static int bring(Work *w, Err *err) {
    CacheFiles files = {.j = w->j, .what = "artifact", .fd = w->archive};

    w->result = err_set(&w->err, ERR_CANCELLED, "cancelled");
    send_run(w->j, fetch_main, w);
    if (w->result < 0) {
        *err = w->err;
        return w->result;
    }
    return child_run(w->j, "unpacking of an artifact", cache_unpack, &files, err);
}

static int open_files(Work *w, Err *err) {
    int r = send_temporary(w->j, &w->archive, err);

    return r < 0 ? r : send_temporary(w->j, &w->piece, err);
}

static void conclude(const Work *w, int r, const Err *err) {
    if (r == 0) {
        job_say(w->j, "download: %s: %zu files, %" PRId64 " bytes", w->what, w->count, w->bytes);
        return;
    }
    if (w->j->stale || w->j->cancelled || w->j->timed_out)
        return;
    job_say(w->j, "download: %s: %s", w->what, err->msg);
    if (!w->missing || !w->d->optional)
        job_fail(w->j, w->missing ? "invalid" : "infrastructure", 0, "download %s: %s", w->what, err->msg);
}

static void download_one(JobProcess *j, const JobDownload *d) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Work w = {.j = j, .mem = mem, .d = d, .archive = -1, .piece = -1};
    int r;
    Err err;

    w.what = *d->name ? d->name : mem_printf(mem, "files of %s", d->job);
    r = open_files(&w, &err);
    if (r == 0)
        r = bring(&w, &err);
    conclude(&w, r, &err);
    json_decref(w.list);
    if (w.archive >= 0)
        mem_close(w.archive);
    if (w.piece >= 0)
        mem_close(w.piece);
}

void download_run(JobProcess *j) {
    for (size_t i = 0; i < j->spec->download_count; i++)
        if (!j->stale && !j->cancelled && !j->timed_out && !j->state)
            download_one(j, &j->spec->downloads[i]);
}
