#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "runner/process.h"
#include "runner/release.h"
#include "runner/walk.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define OUR_PATHS ".pelton/"
#define RELEASE_PATH OUR_PATHS "release.tar.zst"
#define SUMMARY_PATH OUR_PATHS EXECUTOR_SUMMARY
#define SAYINGS_MAX 20

/* What is said of a file beside its path. */
typedef struct Kept {
    const char *name; /* "": none */
    mode_t mode;
    int64_t keep_us; /* 0: as the server has it */
} Kept;

static const Kept of_ours = {.name = "", .mode = 0644};

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

static const char *url_of(Upload *u, const char *path, const Kept *kept) {
    _cleanup_buf_ Buf url = BUF_INIT;

    buf_addf(&url, "/api/runner/jobs/%lld/artifacts/%s?attempt=%lld&mode=%03o", (long long)u->j->id,
             str_url_encode(u->mem, path, true), (long long)u->j->attempt, (unsigned)kept->mode & 0777);
    if (*kept->name)
        buf_addf(&url, "&name=%s", str_url_encode(u->mem, kept->name, false));
    if (kept->keep_us)
        buf_addf(&url, "&keep=%lld", (long long)kept->keep_us);
    return buf_dup(&url, u->mem);
}

static int put(Upload *u, const char *path, const Kept *kept, int fd, Err *err) {
    int64_t size = 0;
    int status, r = send_file(u->j->uploader, url_of(u, path, kept), fd, &size, &status, err);

    if (r < 0)
        return err_wrap(err, "%s", path);
    u->stored++;
    u->bytes += size;
    return 0;
}

/* What keeps it from being stored; NULL: nothing does. By paths of ours we know what we have made ourselves:
 * workspaces above all, which are unpacked outside of sandboxes. Paths are shown to who may see no secret. */
static const char *why_not(const JobProcess *j, const WalkFile *file) {
    if (str_after(file->path, OUR_PATHS))
        return "below " OUR_PATHS ", where Pelton keeps its own";
    if (mask_finds(j->masker, file->path))
        return "named after a secret of the job";
    if (file_check_path(file->path, NULL) < 0) /* the server would refuse it, and with it the job */
        return "named in a way that cannot be kept (UTF-8 without control characters, at most 1024 bytes)";
    if (S_ISREG(file->mode))
        return NULL;
    return S_ISLNK(file->mode) ? "a symbolic link" : "not a regular file";
}

static void refuse(Upload *u, const WalkFile *file) {
    if (u->refused++ < SAYINGS_MAX)
        job_say(u->j, "artifacts: %s is %s: left out", file->path, why_not(u->j, file));
}

static int put_one(Upload *u, int root, const WalkFile *file, const Kept *kept, Err *err) {
    int fd, r = file_open_beneath(root, file->path, O_RDONLY | O_NONBLOCK, 0, &fd, err);

    if (r < 0)
        return r;
    r = put(u, file->path, kept, fd, err);
    mem_close(fd);
    return r;
}

/* artifact NULL: document 0's rule. */
static int put_artifact(Upload *u, const JobArtifact *artifact, Err *err) {
    _cleanup_close_ int root = open(u->j->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Kept kept = {.name = artifact ? artifact->name : "", .keep_us = artifact ? artifact->keep_us : 0};
    int r = root < 0 ? err_errno(err, "open the workspace") : 0;

    u->stored = u->refused = 0;
    u->bytes = 0;
    for (size_t i = 0; r == 0 && i < u->walk.count; i++) {
        const WalkFile *file = &u->walk.files[i];

        kept.mode = file->mode;
        if (artifact ? !walk_match(artifact->paths, file->path) : !walk_match_build_server(file->path))
            continue;
        if (!why_not(u->j, file))
            r = put_one(u, root, file, &kept, err);
        else
            refuse(u, file);
    }
    if (r < 0)
        return r;
    if (u->refused > SAYINGS_MAX)
        job_say(u->j, "artifacts: %zu more were left out", u->refused - SAYINGS_MAX);
    job_say(u->j, "artifacts: %s%s%zu stored, %lld bytes", kept.name, *kept.name ? ": " : "", u->stored,
            (long long)u->bytes);
    return 0;
}

/* Whether the end that the steps came to is one that the artifact is kept after. */
static int wanted(const JobProcess *j, const JobArtifact *artifact, bool *ret, Err *err) {
    const JobSpec *s = j->spec;
    PlanContext context = {
        .project = s->project, .branch = s->branch, .ref = s->ref, .commit = s->commit, .event = s->event};
    int r = condition_eval(artifact->condition, &context, j->state ? COND_FAILURE : COND_SUCCESS, ret, err);

    return r < 0 ? err_wrap(err, "if") : 0;
}

static int put_artifacts(Upload *u, Err *err) {
    const JobSpec *s = u->j->spec;
    int r = 0;

    if (s->artifacts_of_build_server && !u->j->state)
        r = put_artifact(u, NULL, err);
    for (size_t i = 0; r == 0 && i < s->artifact_count; i++) {
        bool want = false;

        r = wanted(u->j, &s->artifacts[i], &want, err);
        if (r == 0 && want)
            r = put_artifact(u, &s->artifacts[i], err);
    }
    return r;
}

static int put_release(Upload *u, Err *err) {
    _cleanup_close_ int fd = -1;
    int r = send_temporary(u->j, &fd, err);

    if (r == 0)
        r = release_pack(u->j->workspace, &u->walk, u->j->spec->release, fd, err);
    if (r == 0)
        r = put(u, RELEASE_PATH, &of_ours, fd, err);
    return r < 0 ? err_wrap(err, "release") : 0;
}

/* In each text by itself, so that it stays JSON. */
static void hide_secrets(const Masker *m, json_t *value) {
    _cleanup_talloc_ char *masked = NULL;
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_string(value)) {
        masked = mask_text(m, NULL, json_string_value(value));
        json_string_set(value, masked);
    }
    json_array_foreach (value, i, item)
        hide_secrets(m, item);
    json_object_foreach (value, key, item)
        hide_secrets(m, item);
}

/* It has lines of the log and a description, which lists and pages show. *fd becomes a file without secrets.
 */
static int mask_summary(const JobProcess *j, int *fd, Err *err) {
    _cleanup_json_ json_t *summary = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_buf_ Buf all = BUF_INIT;
    int masked = -1, r = file_read_open(*fd, EXECUTOR_SUMMARY, EXECUTOR_SUMMARY_MAX, &all, err);

    if (r == 0)
        r = json_read(all.data, all.len, &summary, err);
    if (r < 0)
        return r;
    hide_secrets(j->masker, summary);
    text = json_dumps(summary, JSON_COMPACT);
    r = text ? send_temporary(j, &masked, err) : err_set(err, ERR_INTERNAL, "write it as JSON");
    if (r < 0)
        return r;
    close(*fd);
    *fd = masked;
    return file_write_all(*fd, text, strlen(text), err);
}

/* What the executor has found out, whether or not it went well. */
static int put_summary(Upload *u, Err *err) {
    _cleanup_close_ int fd = -1;
    char path[PATH_MAX];
    int r = 0;

    snprintf(path, sizeof(path), "%s/" EXECUTOR_SUMMARY, u->j->run.scratch);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (u->j->masker)
        r = mask_summary(u->j, &fd, err);
    return r < 0 ? err_wrap(err, SUMMARY_PATH) : put(u, SUMMARY_PATH, &of_ours, fd, err);
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

    u->result = walk_tree(u->j->workspace, u->mem, &u->walk, &u->err);
    if (u->result == 0)
        u->result = put_artifacts(u, &u->err);
    if (u->result == 0 && s->release && !u->j->state)
        u->result = put_release(u, &u->err);
    if (u->result == 0)
        u->result = put_summary(u, &u->err);
    if (u->result == 0 && u->workspace >= 0)
        u->result = put(u, s->workspace.keep, &of_ours, u->workspace, &u->err);
}

int artifacts_run(JobProcess *j, Err *err) {
    const JobSpec *s = j->spec;
    Upload u = {.j = j, .workspace = -1};

    if (!s->artifact_count && !s->artifacts_of_build_server && !(s->release && !j->state) &&
        !has_summary(j) && !s->workspace.keep)
        return 0;
    if (s->workspace.keep && workspace_pack(j, &u.workspace, err) < 0)
        return err_wrap(err, "workspace");
    u.mem = talloc_new(NULL);
    send_run(j, upload_main, &u);
    talloc_free(u.mem);
    if (u.workspace >= 0)
        mem_close(u.workspace);
    if (u.result < 0)
        *err = u.err;
    return u.result;
}
