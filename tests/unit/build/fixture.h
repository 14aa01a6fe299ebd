/* A database, a blob store and a repository with one commit, in a temporary folder. */
#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/proc.h"
#include "base/str.h"
#include "build/state.h"
#include "git/git.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Fixture {
    char dir[64];
    TALLOC_CTX *mem;
    Builds builds;
    Project *project;
    const char *commit;
} Fixture;

static Err err;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        int _r = (call);                                                                                     \
        if (_r < 0)                                                                                          \
            fail_msg("%s: %s", #call, err.msg);                                                              \
    } while (0)

static inline void sh(Fixture *f, const char *script) {
    const char *argv[] = {"/bin/sh", "-ec", script, NULL};
    ProcOptions options = {.argv = argv, .cwd = f->dir};
    _cleanup_buf_ Buf out = BUF_INIT;
    char *text = NULL;
    int status;

    OK(proc_run(&options, NULL, 0, 1 << 20, &out, f->mem, &text, 60 * US_PER_S, &status, &err));
    if (status != 0)
        fail_msg("%s: %s", script, text);
    f->commit = mem_strndup(f->mem, buf_str(&out), strcspn(buf_str(&out), "\n"));
}

/* Replaces the pipeline by a new commit on main. */
static inline void commit_pipeline(Fixture *f, const char *yaml) {
    const char *path = mem_printf(f->mem, "%s/work/.pelton.yml", f->dir);

    OK(file_write_atomic(path, yaml, strlen(yaml), 0644, &err));
    sh(f, "cd work; git add -A >&2; git -c user.name=A -c user.email=a@example.com commit -qm change >&2;"
          " git push -q --force ../hello.git HEAD:main 2>/dev/null >&2 || true; git rev-parse HEAD");
}

static inline int fixture_setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);
    DbOptions db = {.busy_us = 5 * US_PER_S};
    char uuid[ID_UUID_SIZE];
    Project p = {.uuid = uuid, .name = "hello", .source = "hosted", .url = "", .created_at = 1};
    Builds *b = &f->builds;

    f->mem = talloc_new(f);
    strncpy(f->dir, "/tmp/pelton-build-XXXXXX", sizeof(f->dir) - 1);
    assert_non_null(mkdtemp(f->dir));
    db.url = mem_printf(f->mem, "sqlite:%s/db", f->dir);
    OK(store_open(f->mem, &db, &b->db, &err));
    b->bus = bus_new(f->mem);
    b->dispatch = dispatch_new(f->mem);
    OK(blob_open(f->mem, mem_printf(f->mem, "%s/blobs", f->dir), b->bus, &b->blob, &err));
    b->options =
        (BuildOptions){.lease_us = 30 * US_PER_S, .lost_after_us = 0, .max_attempts = 3, .url = "http://x"};
    p.path = mem_printf(f->mem, "%s/hello.git", f->dir);
    OK(git_repo_create(p.path, "/bin/true", f->dir, (gid_t)-1, &err));
    sh(f, "git init -q -b main work >&2; echo");
    id_uuid(uuid);
    OK(db_begin(b->db, &err));
    OK(store_project_insert(b->db, &p, f->mem, &err));
    OK(db_commit(b->db, &err));
    OK(store_project_by_id(b->db, p.id, f->mem, &f->project, &err));
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    Fixture *f = *state;

    blob_close(f->builds.blob);
    db_close(f->builds.db);
    bus_free(f->builds.bus);
    OK(file_remove_tree(f->dir, &err));
    talloc_free(f);
    return 0;
}

/* A build by hand of the newest commit. */
static inline BuildOutcome start(Fixture *f) {
    BuildRequest request = {.project = f->project,
                            .commit = f->commit,
                            .ref = "refs/heads/main",
                            .event = "manual",
                            .pusher = "ann"};
    BuildOutcome outcome;

    OK(build_create(&f->builds, &request, f->mem, &outcome, &err));
    return outcome;
}

/* Writes into the rows: what nobody could do from outside. ?1 an id, ?2 a text. */
static inline void change(Fixture *f, const char *sql, int64_t id, const char *text) {
    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, sql, "is", id, text));
    OK(db_commit(f->builds.db, &err));
}

/* Why the job waits. */
static inline const char *why(Fixture *f, int64_t build, const char *name) {
    Job *job;
    const char *text;

    OK(store_job_by_name(f->builds.db, build, name, f->mem, &job, &err));
    OK(build_why(why_new(&f->builds, f->mem), job, f->mem, &text, &err));
    return text;
}

/* The timer's time has come. */
static inline void pass(Fixture *f, const char *kind, int64_t subject) {
    change(f, "UPDATE timer SET due_at = 1 WHERE subject_id = ?1 AND kind = ?2", subject, kind);
    OK(timer_fire_due(&f->builds, &err));
}

static inline Job *job_named(Fixture *f, int64_t build, const char *name) {
    Job *job;

    OK(store_job_by_name(f->builds.db, build, name, f->mem, &job, &err));
    return job;
}

static inline void assert_job(Fixture *f, int64_t build, const char *name, const char *job_state) {
    assert_string_equal(job_named(f, build, name)->state, job_state);
}

static inline void assert_build(Fixture *f, int64_t id, const char *build_state) {
    Build *build;

    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    assert_string_equal(build->state, build_state);
    assert_int_equal(build->finished_at != 0,
                     !str_eq(build_state, "queued") && !str_eq(build_state, "running"));
}

static inline size_t claim(Fixture *f, int64_t runner, size_t max, ClaimedJob **jobs) {
    static const char *const executors[] = {"sandbox", NULL};
    BuildClaim wish = {.runner_id = runner, .offer = {.executors = executors, .arch = "x86_64"}, .max = max};
    Claimed claimed;

    OK(build_claim(&f->builds, &wish, f->mem, &claimed, &err));
    *jobs = claimed.jobs;
    return claimed.count;
}

static inline ClaimedJob claim_one(Fixture *f, int64_t runner) {
    ClaimedJob *jobs;

    assert_int_equal(claim(f, runner, 1, &jobs), 1);
    return jobs[0];
}

static inline int report(Fixture *f, const ClaimedJob *c, const char *end) {
    JobReport r = {.attempt = {c->job.id, c->job.attempt},
                   .runner_id = c->job.runner_id,
                   .state = end,
                   .reason = str_eq(end, "failed") ? "exit" : "",
                   .message = "",
                   .exit_code = str_eq(end, "success") ? 0 : 1,
                   .log_size = -1};
    uint64_t next;
    bool stop;

    return build_report(&f->builds, &r, &next, &stop, &err);
}

/* The bytes of an artifact, as a request brings them before its row is written. */
static inline void bring(Fixture *f, const Build *build, const char *content, Artifact *a) {
    char *sha = mem_array(f->mem, char, 65);
    BlobUpload *u;
    uint64_t size;

    OK(blob_upload_begin(f->builds.blob, &u, &err));
    OK(blob_upload_write(u, content, strlen(content), &err));
    OK(blob_upload_finish(u, build_artifact_folder(build), a->path, NULL, sha, &size, &err));
    a->sha256 = sha;
    a->size = (int64_t)size;
}

/* The job's attempt keeps it. */
static inline int record(Fixture *f, const ClaimedJob *c, Artifact *a) {
    Attempt attempt = {.job = c->job.id, .attempt = c->job.attempt};

    a->build_id = c->job.build_id;
    a->job_id = c->job.id;
    return build_keep_artifact(&f->builds, attempt, c->job.runner_id, a, &err);
}

static inline int keep_file(Fixture *f, const ClaimedJob *c, const char *path, const char *content,
                            int64_t keep) {
    Artifact a = {.path = path, .mode = 0644, .keep = keep, .created_at = clock_now()};

    bring(f, c->build, content, &a);
    return record(f, c, &a);
}

/* What the build's artifact of that path holds. */
static inline const char *kept_file(Fixture *f, int64_t build, const char *path) {
    ArtifactWish wish = {.build_id = build, .path = path};
    char text[256] = "";
    Artifact *a;
    ssize_t len;
    int fd;

    OK(store_artifact_load(f->builds.db, &wish, f->mem, &a, &err));
    OK(blob_object_open(f->builds.blob, a->sha256, (uint64_t)a->size, &fd, &err));
    len = read(fd, text, sizeof(text) - 1);
    assert_int_equal(len, a->size);
    mem_close(fd);
    return mem_strdup(f->mem, text);
}
