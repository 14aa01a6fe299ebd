#include "base/file.h"
#include "base/str.h"
#include "runner/process.h"
#include "runner/release.h"
#include "runner/walk.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RELEASE_PATH ".pelton/release.tar.zst"
#define SUMMARY_PATH ".pelton/" EXECUTOR_SUMMARY
#define SAYINGS_MAX 20

typedef struct Upload {
    JobProcess *j;
    void *mem;
    Walk walk;
    size_t stored, refused;
    int64_t bytes;
    int workspace; /* what it leaves of it; -1: nothing */
    Err err;
    int result;
} Upload;

static int put(Upload *u, const char *path, int fd, Err *err) {
    const char *to =
        mem_printf(u->mem, "/api/runner/jobs/%lld/artifacts/%s?attempt=%lld", (long long)u->j->id,
                   str_url_encode(u->mem, path, true), (long long)u->j->attempt);
    int64_t size = 0;
    int status, r = send_file(u->j->uploader, to, fd, &size, &status, err);

    if (r < 0)
        return err_wrap(err, "%s", path);
    u->stored++;
    u->bytes += size;
    return 0;
}

static void refuse(Upload *u, const WalkFile *file) {
    if (u->refused++ < SAYINGS_MAX)
        job_say(u->j, "artifacts: %s is %s: left out", file->path,
                S_ISLNK(file->mode) ? "a symbolic link" : "not a regular file");
}

static bool wanted(const JobSpec *s, const char *path) {
    return s->artifacts_of_build_server ? walk_match_build_server(path) : walk_match(s->artifacts, path);
}

static int put_artifacts(Upload *u, Err *err) {
    const JobSpec *s = u->j->spec;
    _cleanup_close_ int root = open(u->j->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0, fd = -1;

    if (root < 0)
        return err_errno(err, "open the workspace");
    for (size_t i = 0; r == 0 && i < u->walk.count; i++) {
        const WalkFile *file = &u->walk.files[i];

        if (!wanted(s, file->path))
            continue;
        if (!S_ISREG(file->mode)) {
            refuse(u, file);
            continue;
        }
        r = file_open_beneath(root, file->path, O_RDONLY | O_NONBLOCK, 0, &fd, err);
        if (r == 0) {
            r = put(u, file->path, fd, err);
            mem_close(fd);
        }
    }
    return r;
}

static int put_release(Upload *u, Err *err) {
    _cleanup_close_ int fd = -1;
    char path[PATH_MAX];
    int r;

    snprintf(path, sizeof(path), "%s/jobs", u->j->host->o.dir);
    fd = open(path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "make a file in %s", path);
    r = release_pack(u->j->workspace, &u->walk, u->j->spec->release, fd, err);
    if (r == 0)
        r = put(u, RELEASE_PATH, fd, err);
    return r < 0 ? err_wrap(err, "release") : 0;
}

/* What the executor has found out, whether or not it went well. */
static int put_summary(Upload *u, Err *err) {
    _cleanup_close_ int fd = -1;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/" EXECUTOR_SUMMARY, u->j->run.scratch);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : put(u, SUMMARY_PATH, fd, err);
}

static bool has_summary(const JobProcess *j) {
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/" EXECUTOR_SUMMARY, j->run.scratch);
    return access(path, F_OK) == 0;
}

/* On the uploader's thread, while the main thread waits for signals. */
static void upload_main(void *arg) {
    Upload *u = arg;
    const JobSpec *s = u->j->spec;
    bool good = !u->j->state;

    u->result = walk_tree(u->j->workspace, u->mem, &u->walk, &u->err);
    if (u->result == 0 && (s->artifacts || (s->artifacts_of_build_server && good))) {
        u->result = put_artifacts(u, &u->err);
        if (u->result == 0 && u->refused > SAYINGS_MAX)
            job_say(u->j, "artifacts: %zu more were left out", u->refused - SAYINGS_MAX);
        if (u->result == 0)
            job_say(u->j, "artifacts: %zu stored, %lld bytes", u->stored, (long long)u->bytes);
    }
    if (u->result == 0 && s->release && good)
        u->result = put_release(u, &u->err);
    if (u->result == 0)
        u->result = put_summary(u, &u->err);
    if (u->result == 0 && u->workspace >= 0)
        u->result = put(u, s->workspace.keep, u->workspace, &u->err);
}

int artifacts_run(JobProcess *j, Err *err) {
    const JobSpec *s = j->spec;
    Upload u = {.j = j, .workspace = -1};

    if (!s->artifacts && !s->artifacts_of_build_server && !(s->release && !j->state) && !has_summary(j) &&
        !s->workspace.keep)
        return 0;
    if (s->workspace.keep && workspace_pack(j, &u.workspace, err) < 0)
        return err_wrap(err, "workspace");
    u.mem = talloc_new(NULL);
    j->ran = false;
    uploader_run(j->uploader, upload_main, &u);
    watch_uploader(j, &j->ran);
    talloc_free(u.mem);
    if (u.workspace >= 0)
        mem_close(u.workspace);
    if (u.result < 0)
        *err = u.err;
    return u.result;
}
