/* A database that an older version of the program has filled means the same to this one. For each version
 * that there was: its migrations alone, rows as that version wrote them, and then store_open. */
#include "fixture.h"

#include "store/notice.h"
#include "store/pipeline.h"
#include "store/schema.h"
#include <fcntl.h>

/* What a version that has the migration wrote; in this order, those of later migrations left out. */
typedef struct Written {
    const char *since;
    const char *sql;
    const char *before; /* versions that have this one wrote it otherwise; NULL: all write it so */
} Written;

#define MAIN_COMMIT "1111111111111111111111111111111111111111"
#define OLD_COMMIT "2222222222222222222222222222222222222222"
#define NO_COMMIT "0000000000000000000000000000000000000000"
#define SHA256 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LATER "4000000000000000" /* a time in the year 2096 */
#define SPEC "{\"steps\":[{\"run\":\"make\"}]}"

#define BUILD                                                                                                \
    "INSERT INTO build (id, uuid, project_id, commit_hash, ref, branch, event, planner, author, email,"      \
    " subject, pusher, env, state, reason, message, jobs_left, created_at, started_at, finished_at) VALUES "
#define JOB                                                                                                  \
    "INSERT INTO job (id, uuid, build_id, position, name, kind, executor, arch, condition, spec, state,"     \
    " reason, message, attempt, needs_left, priority, runner_id, lease_until, stop_reason, exit_code,"       \
    " created_at, queued_at, started_at, finished_at) VALUES "
#define TOKEN                                                                                                \
    "INSERT INTO token (id, name, hash, role, kind, runner_id, created_at, expires_at, revoked_at) VALUES "
#define PROJECT                                                                                              \
    "INSERT INTO project (id, uuid, org_id, name, source, path, url, builds_count, last_build_id,"           \
    " created_at) VALUES "
#define ATTEMPT                                                                                              \
    "INSERT INTO attempt (job_id, number, runner_id, state, reason, started_at, finished_at) VALUES "
#define STEP                                                                                                 \
    "INSERT INTO step (job_id, attempt, position, name, state, exit_code, started_at, finished_at,"          \
    " log_start, log_end) VALUES "
#define ABOUT_MAIN                                                                                           \
    "'" MAIN_COMMIT "', 'refs/heads/main', 'main', 'push', 'pelton', 'Ann', 'ann@example.com',"              \
    " 'a change', 'ann', '{\"LEVEL\":\"quick\"}'"

static const Written written[] = {
    {"foundation", PROJECT "(1, 'p1', 1, 'hello', 'hosted', '/r/hello.git', '', 4, 4, 10)"},
    {"project slugs", "UPDATE project SET slug = 'hello' WHERE id = 1"},
    {"foundation", PROJECT "(2, 'p2', 1, 'Two_words', 'remote', '', 'https://x/two.git', 1, 5, 11)"},
    {"project slugs", "UPDATE project SET slug = 'two-words' WHERE id = 2"},
    {"foundation", PROJECT "(3, 'p3', 1, 'two-words', 'hosted', '/r/two-words.git', '', 0, 0, 12)"},
    {"project slugs", "UPDATE project SET slug = 'two-words-k3xp' WHERE id = 3"},
    {"foundation", "INSERT INTO ref VALUES (1, 'refs/heads/main', '" MAIN_COMMIT "', 20)"},
    {"foundation", "INSERT INTO trigger_event VALUES (1, 1, 'd-1', 'push', 'refs/heads/main', '" NO_COMMIT
                   "', '" MAIN_COMMIT "', 'ann', 1, 'build', 20)"},

    {"foundation", BUILD "(1, 'b1', 1, " ABOUT_MAIN ", 'success', '', '', 0, 20, 21, 29)"},
    {"foundation",
     BUILD "(2, 'b2', 1, " ABOUT_MAIN ", 'failed', 'exit', 'job test: step 1 exited with 3', 0, 30, 31, 39)"},
    {"foundation", BUILD "(3, 'b3', 1, " ABOUT_MAIN ", 'cancelled', 'user', 'by ann', 0, 40, 0, 49)"},
    {"foundation", BUILD "(4, 'b4', 1, " ABOUT_MAIN ", 'running', '', '', 4, 50, 51, 0)"},
    {"foundation", BUILD "(5, 'b5', 2, " ABOUT_MAIN ", 'queued', '', '', 1, 60, 0, 0)"},

    {"foundation",
     JOB "(1, 'j1', 1, 0, 'make', 'build', 'sandbox', '', '', '" SPEC "', 'success', '', '', 1, 0,"
         " 0, 2, 0, '', 0, 20, 20, 21, 25)"},
    {"foundation",
     JOB "(2, 'j2', 1, 1, 'deploy', 'deploy', 'server', '', '', '{}', 'success', '', '', 1, 0, 0,"
         " 1, 0, '', 0, 20, 25, 26, 29)"},
    {"foundation", JOB "(3, 'j3', 2, 0, 'test', 'build', 'sandbox', '', '', '" SPEC "', 'failed', 'exit',"
                       " 'step 1 exited with 3', 2, 0, 0, 2, 0, '', 3, 30, 30, 31, 38)"},
    {"foundation",
     JOB "(4, 'j4', 2, 1, 'publish', 'build', 'sandbox', '', '', '" SPEC "', 'skipped',"
         " 'dependency', 'a job that it needs did not succeed', 0, 0, 0, 0, 0, '', -1, 30, 0, 0, 39)"},
    {"foundation", JOB "(5, 'j5', 3, 0, 'test', 'build', 'sandbox', '', '', '" SPEC "', 'cancelled', 'user',"
                       " 'by ann', 0, 0, 0, 0, 0, '', -1, 40, 40, 0, 49)"},
    {"foundation",
     JOB "(6, 'j6', 4, 0, 'test', 'build', 'sandbox', '', '', '" SPEC "', 'running', '', '', 2, 0,"
         " 0, 2, " LATER ", '', -1, 50, 50, 51, 0)"},
    {"foundation", JOB "(7, 'j7', 4, 1, 'publish', 'build', 'sandbox', '', 'branch == \"main\"', '" SPEC
                       "', 'blocked', '', '', 0, 1, 0, 0, 0, '', -1, 50, 0, 0, 0)"},
    {"foundation",
     JOB "(8, 'j8', 4, 2, 'lint', 'build', 'sandbox', '', '', '" SPEC "', 'queued', '', '', 0, 0,"
         " 7, 0, 0, '', -1, 50, 50, 0, 0)"},
    {"foundation",
     JOB "(9, 'j9', 4, 3, 'long', 'build', 'sandbox', '', '', '" SPEC "', 'running', '', '', 1, 0,"
         " 0, 3, " LATER ", 'user', -1, 50, 50, 51, 0)"},
    {"foundation",
     JOB "(10, 'j10', 5, 0, 'test', 'build', 'sandbox', 'aarch64', '', '" SPEC "', 'queued', '',"
         " '', 0, 0, 0, 0, 0, '', -1, 60, 60, 0, 0)"},
    {"foundation", "INSERT INTO job_need VALUES (2, 1), (4, 3), (7, 6)"},
    {"foundation", ATTEMPT "(1, 1, 2, 'success', '', 21, 25)"},
    {"foundation", ATTEMPT "(3, 1, 2, 'failed', 'lost', 31, 33)"},
    {"foundation", ATTEMPT "(3, 2, 2, 'failed', 'exit', 34, 38)"},
    {"foundation", ATTEMPT "(6, 1, 3, 'failed', 'lost', 51, 52)"},
    {"foundation", ATTEMPT "(6, 2, 2, 'running', '', 53, 0)"},
    {"foundation", ATTEMPT "(9, 1, 3, 'running', '', 51, 0)"},
    {"foundation", STEP "(1, 1, 0, 'make', 'success', 0, 22, 24, 10, 90),"
                        " (6, 2, 0, 'make', 'running', -1, 54, 0, 10, 10)"},
    {"foundation", STEP "(3, 1, 0, 'make', 'running', -1, 32, 0, 10, 20)", "ended steps"},
    {"foundation", STEP "(3, 2, 0, 'make', 'failed', 3, 35, 37, 0, 20)"},
    {"step reasons", "UPDATE step SET reason = 'exit' WHERE job_id = 3 AND attempt = 2"},
    {"foundation", "INSERT INTO artifact VALUES (1, 1, 1, 'hello', 5, '" SHA256 "', 24)", "named artifacts"},
    {"named artifacts",
     "INSERT INTO artifact VALUES (1, 1, 1, '', 'hello', 5, '" SHA256 "', 493, 86400000000, 24, " LATER ")"},
    {"foundation", "INSERT INTO runner (id, uuid, name, arch, labels, executors, slots, version, created_at,"
                   " last_seen) VALUES (1, 'r1', 'server', 'x86_64', '[]', '[\"server\"]', 4, '0.1', 1, 50),"
                   " (2, 'r2', 'local', 'x86_64', '[]', '[\"sandbox\"]', 2, '0.1', 1, 50),"
                   " (3, 'r3', 'other', 'x86_64', '[]', '[\"sandbox\"]', 2, '0.1', 1, 50)"},
    {"foundation", TOKEN "(1, 'ann', 'h1', 'admin', 'token', 0, 5, 0, 0)"},
    {"foundation", TOKEN "(2, 'ann', 'h2', 'admin', 'session', 0, 6, " LATER ", 0)"},
    {"foundation", TOKEN "(3, 'local', 'h3', 'runner', 'token', 2, 5, 0, 0)"},
    {"foundation", TOKEN "(4, 'old', 'h4', 'developer', 'token', 0, 5, 0, 7)"},
    {"foundation", "INSERT INTO deployment VALUES (1, 'd1', 1, 1, 2, '" MAIN_COMMIT
                   "', 'main', 'live', '" SHA256 "', 5, '{}', 'http://hello.localhost/', '', 20, 26, 29)"},
    {"foundation",
     "INSERT INTO event VALUES (1, 'created', 1, 'queued', 20), (2, 'completed', 1, 'success', 29)"},

    {"session parents", "UPDATE token SET parent_id = 1 WHERE id = 2"},

    {"dispatch and life",
     "INSERT INTO fit VALUES (1, 'sandbox', '', '{}', 0, 0, 0), (2, 'server', '', '{}', 0, 0,"
     " 0), (3, 'sandbox', 'aarch64', '{}', 0, 0, 0)"},
    {"dispatch and life",
     "UPDATE job SET fit_id = CASE WHEN arch <> '' THEN 3 WHEN kind = 'deploy' THEN 2 ELSE 1"
     " END, project_id = CASE build_id WHEN 5 THEN 2 ELSE 1 END"},
    {"dispatch and life", "UPDATE job SET losses = 1 WHERE id IN (3, 6)"},
    {"dispatch and life", "INSERT INTO lane VALUES (1, 7, 1, 0), (3, 0, 2, 0)"},
    {"dispatch and life", "INSERT INTO timer VALUES ('build', 4, " LATER "), ('queue', 10, " LATER ")"},
    {"dispatch and life",
     "UPDATE build SET timeout = 3600000000, concurrency_group = 'hello-main' WHERE id = 4"},
    {"dispatch and life", "UPDATE job SET queue_timeout = 60000000 WHERE id = 10"},
    {"dispatch and life",
     "UPDATE job SET retry = '{\"times\":2,\"on\":[\"exit\"],\"backoff\":0}', retries = 1 WHERE id = 8"},
    {"dispatch and life", "UPDATE attempt SET message = 'its runner was lost' WHERE reason = 'lost'"},
    {"dispatch and life", "UPDATE runner SET drained_by = 'ann', drained_at = 50 WHERE id = 3"},

    {"allowed failures", "UPDATE job SET allow_failure = 1 WHERE id = 8"},

    {"secrets", "INSERT INTO secret VALUES (1, 1, 0, 'ALL', 'sealed-1', 'ann', 5, 6),"
                " (2, 1, 1, 'NPM_TOKEN', 'sealed-2', 'ann', 5, 6)"},
    {"secrets", "UPDATE build SET untrusted = 1 WHERE id = 3"},

    {"pipelines", "INSERT INTO pipeline VALUES (1, 1, 'l1', 'nightly', '', 2, 5, 6, 0)"},
    {"pipelines", "INSERT INTO pipeline_version VALUES (1, 1, 'ann', 5, 'a: 1'), (1, 2, 'ann', 6, 'a: 2')"},
    {"pipelines", "INSERT INTO pipeline_trigger VALUES (1, 1, 'schedule', '', '0 3 * * *', 'UTC')"},
    {"pipelines", "INSERT INTO execution VALUES (2, 1, 2, 'manual', 'ann', '', '', '', '')"},
    {"pipelines", "INSERT INTO timer VALUES ('cron', 1, " LATER ")"},

    {"notices", "INSERT INTO notice VALUES (1, 2, 'failure', 'webhook', 'sealed', 'sent', '', 1, 39, 39),"
                " (2, 4, 'end', 'webhook', 'sealed', 'waiting', '', 0, 0, 0)"},

    {"caches", "INSERT INTO cache VALUES (1, 'c1', 1, 'refs/heads/main', 'npm-1', 5, 'sum', 24, 25)"},

    {"outputs", "INSERT INTO output VALUES (1, 1, 'version', '1.2')"},
    {"outputs", "UPDATE job SET outputs = 1 WHERE id = 1"},

    {"deleted repositories", PROJECT "(4, 'p4', 1, 'gone (deleted 4)', 'remote', '', '', 1, 0, 13)"},
    {"deleted repositories", "UPDATE project SET slug = 'gone', deleted_at = 14 WHERE id = 4"},

    {"signatures", "INSERT INTO signature VALUES (1, 'G', '1234ABCD', 'Ann')"},

    {"retry counts", "UPDATE build SET retries = 1, max_retries = 2 WHERE id = 4"},

    {"schedules", "INSERT INTO schedule VALUES (1, 1, 'nightly', '0 3 * * *', 'UTC', '', 30, 2)"},
    {"schedules", "INSERT INTO timer VALUES ('schedule', 1, " LATER ")"},
    {"schedules", "UPDATE build SET schedule = 'nightly' WHERE id = 2"},
    {"flakes", "INSERT INTO flake VALUES (1, 1, '{}')"},
    {"planned with", "UPDATE build SET inputs = '{}', old_rev = '" NO_COMMIT "' WHERE id = 2"},
};

/* An older database, opened. */
typedef struct Older {
    Fixture f;
    size_t version;
} Older;

static bool has(size_t version, const char *migration) {
    for (size_t i = 0; i < version; i++)
        if (str_eq(store_migrations[i].name, migration))
            return true;
    return false;
}

/* Filled by the version, and brought up to date. */
static void upgrade(const DbOptions *options, size_t version) {
    Db *db;

    OK(db_open(NULL, options, &db, &err));
    OK(db_migrate(db, store_migrations, version, &err));
    OK(db_begin(db, &err));
    for (size_t i = 0; i < ELEMENTS(written); i++)
        if (has(version, written[i].since) && !(written[i].before && has(version, written[i].before)))
            OK(db_exec(db, NULL, &err, written[i].sql, ""));
    OK(db_commit(db, &err));
    db_close(db);
    OK(store_open(NULL, options, &db, &err));
    db_close(db);
}

static char upgraded[] = "/tmp/pelton-upgraded-XXXXXX"; /* a database for each version */

static DbOptions database(const void *mem, const char *dir, size_t version) {
    return (DbOptions){.url = mem_printf(mem, "sqlite:%s/%zu", dir, version),
                       .busy_us = 5 * US_PER_S,
                       .sync = DB_SYNC_NEVER};
}

static int upgrade_all(void **state) {
    (void)state;
    assert_non_null(mkdtemp(upgraded));
    for (size_t version = 1; version <= store_migration_count; version++) {
        _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
        DbOptions options = database(mem, upgraded, version);

        upgrade(&options, version);
    }
    return 0;
}

static int remove_all(void **state) {
    (void)state;
    OK(file_remove_tree(upgraded, &err));
    return 0;
}

static void copy(Fixture *f, size_t version) {
    _cleanup_buf_ Buf content = BUF_INIT;
    _cleanup_close_ int fd =
        open(mem_printf(f->mem, "%s/%zu", f->dir, version), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    OK(file_read(mem_printf(f->mem, "%s/%zu", upgraded, version), 16 << 20, &content, &err));
    OK(file_write_all(fd, content.data, content.len, &err));
}

static void older_open(Older *o, size_t version) {
    Fixture *f = &o->f;
    DbOptions options;

    *o = (Older){.version = version, .f = {.mem = talloc_new(NULL), .dir = "/tmp/pelton-upgrade-XXXXXX"}};
    assert_non_null(mkdtemp(f->dir));
    copy(f, version);
    options = database(f->mem, f->dir, version);
    OK(store_open(f->mem, &options, &f->builds.db, &err));
    f->builds.bus = bus_new(f->mem);
    f->builds.dispatch = dispatch_new(f->mem);
    OK(blob_open(f->mem, mem_printf(f->mem, "%s/blobs", f->dir), f->builds.bus, &f->builds.blob, &err));
    f->builds.options = (BuildOptions){.lease_us = 30 * US_PER_S, .max_attempts = 3, .url = "http://x"};
}

static void older_close(Older *o) {
    blob_close(o->f.builds.blob);
    db_close(o->f.builds.db);
    bus_free(o->f.builds.bus);
    OK(file_remove_tree(o->f.dir, &err));
    talloc_free(o->f.mem);
}

typedef void (*Check)(Older *o);

/* The first version is the first migration alone; the last one is this program's. */
static void from_every_version(void **state) {
    Check check = *(Check *)*state;

    for (size_t version = 1; version <= store_migration_count; version++) {
        Older o;

        print_message("  from version %zu, \"%s\"\n", version, store_migrations[version - 1].name);
        older_open(&o, version);
        check(&o);
        older_close(&o);
    }
}

/* ---- what is over reads the same ---- */

static void a_finished_build(Older *o) {
    Fixture *f = &o->f;
    Build *b;

    OK(store_build_load(f->builds.db, 2, f->mem, &b, &err));
    assert_string_equal(b->project, "hello");
    assert_string_equal(b->commit, MAIN_COMMIT);
    assert_string_equal(b->subject, "a change");
    assert_string_equal(b->author, "Ann");
    assert_string_equal(b->pusher, "ann");
    assert_string_equal(b->env, "{\"LEVEL\":\"quick\"}");
    assert_string_equal(b->state, "failed");
    assert_string_equal(b->reason, "exit");
    assert_string_equal(b->message, "job test: step 1 exited with 3");
    assert_int_equal(b->created_at, 30);
    assert_int_equal(b->started_at, 31);
    assert_int_equal(b->finished_at, 39);
    assert_int_equal(b->rerun_of, 0);
    assert_false(b->held);
    assert_string_equal(b->stop_reason, "");
}

static void its_jobs_attempts_and_steps(Older *o) {
    Fixture *f = &o->f;
    Db *db = f->builds.db;
    size_t count;
    Job *jobs;
    AttemptRow *attempts;
    Step *steps;

    OK(store_jobs_of_build(db, 2, f->mem, &jobs, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(jobs[0].name, "test");
    assert_string_equal(jobs[0].spec, SPEC);
    assert_string_equal(jobs[0].state, "failed");
    assert_int_equal(jobs[0].exit_code, 3);
    assert_int_equal(jobs[0].retries, 0);
    assert_int_equal(jobs[0].allow_failure, 0);
    assert_string_equal(jobs[1].state, "skipped");
    assert_string_equal(jobs[1].reason, "dependency");
    OK(store_attempts(db, 3, f->mem, &attempts, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(attempts[0].reason, "lost");
    assert_string_equal(attempts[1].reason, "exit");
    assert_string_equal(attempts[1].runner, "local");
    OK(store_steps(db, 1, 1, f->mem, &steps, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(steps[0].state, "success");
    assert_int_equal(steps[0].log_end, 90);
    OK(store_steps(db, 6, 2, f->mem, &steps, &count, &err));
    assert_string_equal(steps[0].state, "running");
    OK(store_steps(db, 3, 1, f->mem, &steps, &count, &err));
    assert_int_equal(count, has(o->version, "ended steps") ? 0 : 1);
    if (count > 0) { /* which its attempt's end had left behind */
        assert_string_equal(steps[0].state, "failed");
        assert_int_equal(steps[0].finished_at, 33);
    }
    OK(store_steps(db, 3, 2, f->mem, &steps, &count, &err));
    assert_string_equal(steps[0].reason, has(o->version, "step reasons") ? "exit" : "");
}

static void what_it_made_and_what_is_live(Older *o) {
    Fixture *f = &o->f;
    ArtifactWish wish = {.build_id = 1, .path = "hello"};
    bool kept = has(o->version, "named artifacts");
    Artifact *artifact;
    Deployment *live;

    OK(store_artifact_load(f->builds.db, &wish, f->mem, &artifact, &err));
    assert_int_equal(artifact->mode, kept ? 0755 : 0644);
    assert_int_equal(artifact->expires_at != 0, kept);
    assert_string_equal(artifact->job, "make");
    assert_string_equal(artifact->sha256, SHA256);
    assert_int_equal(artifact->size, 5);
    OK(store_deployment_live(f->builds.db, 1, f->mem, &live, &err));
    assert_non_null(live);
    assert_int_equal(live->build_id, 1);
    assert_string_equal(live->slug, "hello");
    assert_string_equal(live->url, "http://hello.localhost/");
    OK(store_deployment_live(f->builds.db, 2, f->mem, &live, &err));
    assert_null(live);
}

static void a_cancelled_build_is_cancelled(Older *o) {
    assert_build(&o->f, 3, "cancelled");
    assert_job(&o->f, 3, "test", "cancelled");
    assert_int_equal(build_cancel(&o->f.builds, 3, "ann", &err), -ERR_CONFLICT);
}

/* ---- projects, pushes, people ---- */

static void each_project_has_a_host_name_of_its_own(Older *o) {
    Fixture *f = &o->f;
    Project *p;
    size_t count;

    OK(store_projects_leaving(f->builds.db, f->mem, &p, &count, &err));
    assert_int_equal(count, has(o->version, "deleted repositories"));
    OK(store_projects(f->builds.db, f->mem, &p, &count, &err));
    assert_int_equal(count, 3 + has(o->version, "deleted repositories"));
    for (size_t i = 0; i < count; i++) {
        assert_true(*p[i].slug);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(p[i].slug, p[k].slug);
    }
    OK(store_project_by_name(f->builds.db, "hello", f->mem, &p, &err));
    assert_string_equal(p->slug, "hello");
    assert_int_equal(p->builds_count, 4);
    OK(store_project_by_name(f->builds.db, "Two_words", f->mem, &p, &err));
    assert_string_equal(p->slug, "two-words");
}

static void a_push_that_was_told_is_known(Older *o) {
    Fixture *f = &o->f;
    const char *commit;
    Trigger *trigger;
    BuildOutcome outcome;
    bool before;

    OK(store_ref_get(f->builds.db, 1, "refs/heads/main", f->mem, &commit, &err));
    assert_string_equal(commit, MAIN_COMMIT);
    OK(store_trigger_last(f->builds.db, 1, "refs/heads/main", NULL, MAIN_COMMIT, f->mem, &trigger, &err));
    assert_int_equal(trigger->build_id, 1);
    OK(build_delivered(&f->builds, 1, "d-1", "push", f->mem, &before, &outcome, &err));
    assert_true(before);
    assert_int_equal(outcome.id, 1);
}

static void tokens_are_good_for_what_they_were(Older *o) {
    Fixture *f = &o->f;
    Db *db = f->builds.db;
    bool parents = has(o->version, "session parents");
    Token *t;

    OK(store_token_by_hash(db, "h1", f->mem, &t, &err));
    assert_string_equal(t->role, "admin");
    OK(store_token_by_hash(db, "h3", f->mem, &t, &err));
    assert_int_equal(t->runner_id, 2);
    OK(store_token_by_hash(db, "h4", f->mem, &t, &err));
    assert_int_equal(t->revoked_at, 7);
    OK(db_begin(db, &err));
    OK(store_token_revoke(db, 1, 70, &err));
    OK(db_commit(db, &err));
    OK(store_token_by_hash(db, "h2", f->mem, &t, &err));
    assert_int_equal(t->revoked_at, parents ? 70 : 0); /* whose session it is was not written down before */
}

static void runners_are_what_they_were(Older *o) {
    Runner *r;

    OK(store_runner_by_name(o->f.builds.db, "other", o->f.mem, &r, &err));
    assert_int_equal(r->id, 3);
    assert_int_equal(r->slots, 2);
    assert_string_equal(r->executors, "[\"sandbox\"]");
    assert_string_equal(r->drained_by, has(o->version, "dispatch and life") ? "ann" : "");
}

/* ---- what waits and what runs goes on ---- */

static void a_queued_job_is_claimed_by_whom_it_fits(Older *o) {
    static const char *const executors[] = {"sandbox", NULL};
    Fixture *f = &o->f;
    BuildClaim arm = {.runner_id = 3, .offer = {.executors = executors, .arch = "aarch64"}, .max = 1};
    ClaimedJob *jobs;
    Claimed claimed;

    if (has(o->version, "dispatch and life"))
        OK(build_drain_runner(&f->builds, "other", NULL, f->mem, &(Runner *){NULL}, &err));
    assert_int_equal(claim(f, 2, 5, &jobs), 1);
    assert_int_equal(jobs[0].job.id, 8);
    assert_string_equal(jobs[0].job.spec, SPEC);
    assert_string_equal(jobs[0].project->name, "hello");
    assert_int_equal(report(f, &jobs[0], "success"), 0);
    OK(build_claim(&f->builds, &arm, f->mem, &claimed, &err));
    assert_int_equal(claimed.count, 1);
    assert_int_equal(claimed.jobs[0].job.id, 10);
    assert_int_equal(claimed.jobs[0].build->id, 5);
    assert_int_equal(report(f, &claimed.jobs[0], "success"), 0);
    assert_build(f, 5, "success");
}

/* The lease of a job that runs, as its runner has it. */
static ClaimedJob lease(Fixture *f, int64_t id) {
    ClaimedJob c = {0};
    Job *job;

    OK(store_job_load(f->builds.db, id, f->mem, &job, &err));
    c.job = *job;
    return c;
}

static void a_running_job_ends_and_what_needs_it_follows(Older *o) {
    Fixture *f = &o->f;
    ClaimedJob test = lease(f, 6), long_one = lease(f, 9), *rest;

    assert_int_equal(report(f, &test, "success"), 0);
    assert_job(f, 4, "publish", "queued");
    assert_int_equal(claim(f, 2, 5, &rest), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(report(f, &rest[i], "success"), 0);
    assert_build(f, 4, "running");
    assert_int_equal(report(f, &long_one, "cancelled"), 0);
    assert_string_equal(job_named(f, 4, "long")->reason, "user");
    assert_build(f, 4, "cancelled");
}

static void a_job_that_lost_a_runner_has_one_loss_less_to_go(Older *o) {
    Fixture *f = &o->f;
    ClaimedJob *jobs;

    OK(build_abandon(&f->builds, 2, &err)); /* the second time */
    assert_job(f, 4, "test", "queued");
    assert_int_equal(claim(f, 2, 5, &jobs), 2);
    OK(build_abandon(&f->builds, 2, &err));
    assert_job(f, 4, "test", "failed");
    assert_string_equal(job_named(f, 4, "test")->reason, "lost");
    assert_job(f, 4, "publish", "skipped");
    assert_job(f, 4, "lint", "queued");
}

static void a_job_that_was_to_stop_stops(Older *o) {
    Fixture *f = &o->f;
    Attempt runs = {.job = 9, .attempt = 1};
    StopOrder *stops;
    size_t count;

    OK(build_renew(&f->builds, 3, &runs, 1, f->mem, &stops, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(stops[0].reason, "user");
}

static void a_build_that_waits_is_cancelled_at_once(Older *o) {
    ClaimedJob *jobs;

    OK(build_cancel(&o->f.builds, 5, "ann", &err));
    assert_build(&o->f, 5, "cancelled");
    OK(build_cancel(&o->f.builds, 4, "ann", &err));
    assert_job(&o->f, 4, "lint", "cancelled");
    assert_int_equal(claim(&o->f, 2, 5, &jobs), 0);
}

static void a_finished_build_runs_again(Older *o) {
    Fixture *f = &o->f;
    RerunRequest request = {.build = 2, .by = "ann"};
    BuildOutcome outcome;
    ClaimedJob *jobs;

    OK(build_rerun(&f->builds, &request, f->mem, &outcome, &err));
    assert_int_equal(claim(f, 2, 5, &jobs), 2); /* its first, and one that was queued before */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(report(f, &jobs[i], "success"), 0);
    assert_int_equal(claim(f, 2, 5, &jobs), 1);
    assert_string_equal(jobs[0].job.name, "publish");
    assert_int_equal(report(f, &jobs[0], "success"), 0);
    assert_build(f, outcome.id, "success");
}

/* ---- what only later versions wrote ---- */

static void times_are_kept(Older *o) {
    Db *db = o->f.builds.db;
    int64_t build, queue, cron;

    OK(store_timer_due(db, "build", 4, &build, &err));
    OK(store_timer_due(db, "queue", 10, &queue, &err));
    OK(store_timer_due(db, "cron", 1, &cron, &err));
    assert_int_equal(build != 0, has(o->version, "dispatch and life"));
    assert_int_equal(queue != 0, has(o->version, "dispatch and life"));
    assert_int_equal(cron != 0, has(o->version, "pipelines"));
}

static void rules_of_jobs_are_kept(Older *o) {
    Fixture *f = &o->f;
    Job *lint = job_named(f, 4, "lint");
    Build *build;

    OK(store_build_load(f->builds.db, 4, f->mem, &build, &err));
    assert_string_equal(build->concurrency_group, has(o->version, "dispatch and life") ? "hello-main" : "");
    assert_int_equal(build->concurrency_limit, 1);
    assert_int_equal(build->timeout, has(o->version, "dispatch and life") ? 3600 * US_PER_S : 0);
    assert_int_equal(*lint->retry != 0, has(o->version, "dispatch and life"));
    assert_int_equal(build->max_retries, has(o->version, "dispatch and life") ? 2 : 0);
    assert_int_equal(build->retries, has(o->version, "dispatch and life"));
    assert_int_equal(lint->allow_failure, has(o->version, "allowed failures"));
    assert_int_equal(lint->priority, 7);
}

static void secrets_and_trust_are_kept(Older *o) {
    Fixture *f = &o->f;
    bool there = has(o->version, "secrets");
    size_t count;
    Build *build;
    Secret *all;

    OK(store_secrets_all(f->builds.db, f->mem, &all, &count, &err));
    assert_int_equal(count, there ? 2 : 0);
    OK(store_build_load(f->builds.db, 3, f->mem, &build, &err));
    assert_int_equal(build->untrusted, there);
    OK(store_build_load(f->builds.db, 2, f->mem, &build, &err));
    assert_false(build->untrusted);
}

static void stored_pipelines_are_kept(Older *o) {
    Fixture *f = &o->f;
    PipelineVersion *version;
    PipelineTrigger *trigger;
    Execution *execution;
    Pipeline *pipelines;
    size_t count;

    OK(store_pipelines(f->builds.db, f->mem, &pipelines, &count, &err));
    assert_int_equal(count, has(o->version, "pipelines"));
    if (count == 0)
        return;
    OK(store_pipeline_version(f->builds.db, 1, pipelines[0].version, f->mem, &version, &err));
    assert_string_equal(version->yaml, "a: 2");
    OK(store_pipeline_trigger_load(f->builds.db, 1, f->mem, &trigger, &err));
    assert_string_equal(trigger->cron, "0 3 * * *");
    OK(store_execution_of_build(f->builds.db, 2, f->mem, &execution, &err));
    assert_string_equal(execution->pipeline, "l1");
}

static void what_is_to_be_said_is_said(Older *o) {
    Fixture *f = &o->f;
    NoticeLane *lanes;
    Notice *notices;
    size_t count;

    OK(build_cancel(&f->builds, 4, "ann", &err));
    OK(build_abandon(&f->builds, 2, &err));
    OK(build_abandon(&f->builds, 3, &err));
    assert_build(f, 4, "cancelled");
    OK(store_notice_lanes(f->builds.db, INT64_MAX, f->mem, &lanes, &count, &err));
    assert_int_equal(count, has(o->version, "notices"));
    if (count == 0)
        return;
    OK(store_notices_due(f->builds.db, &lanes[0], INT64_MAX, 5, f->mem, &notices, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(notices[0].id, 2);
}

static void outputs_are_kept_and_caches_are_made_again(Older *o) {
    Fixture *f = &o->f;
    size_t count;
    Output *outputs;
    Cache *caches;

    OK(store_caches(f->builds.db, 1, f->mem, &caches, &count, &err));
    assert_int_equal(count, has(o->version, "cache sums"));
    OK(store_outputs(f->builds.db, 1, 1, f->mem, &outputs, &count, &err));
    assert_int_equal(count, has(o->version, "outputs"));
    assert_int_equal(job_named(f, 1, "make")->outputs, has(o->version, "outputs"));
}

static void schedules_are_kept(Older *o) {
    Fixture *f = &o->f;
    Schedule *schedules;
    size_t count;
    Build *build;

    OK(store_schedules(f->builds.db, 1, f->mem, &schedules, &count, &err));
    assert_int_equal(count, has(o->version, "schedules"));
    if (count)
        assert_true(schedules[0].next_at > 0);
    OK(store_build_load(f->builds.db, 2, f->mem, &build, &err));
    assert_string_equal(build->schedule, has(o->version, "schedules") ? "nightly" : "");
}

static void what_a_flake_offers_is_kept(Older *o) {
    const char *offers;

    OK(store_flake_get(o->f.builds.db, 1, o->f.mem, &offers, &err));
    assert_int_equal(offers != NULL, has(o->version, "flakes"));
}

static void what_a_build_was_planned_with_is_kept(Older *o) {
    Fixture *f = &o->f;
    Build *build;

    OK(store_build_load(f->builds.db, 2, f->mem, &build, &err));
    assert_string_equal(build->inputs, has(o->version, "planned with") ? "{}" : "");
    assert_string_equal(build->old_rev, has(o->version, "planned with") ? NO_COMMIT : "");
}

static void rows_point_at_rows_that_are_there(Older *o) {
    _cleanup_stmt_ DbStmt *st = NULL;

    OK(db_prepare(o->f.builds.db, "PRAGMA foreign_key_check", &st, &err));
    assert_int_equal(db_step(st, &err), 0);
}

#define EACH(check)                                                                                          \
    {                                                                                                        \
        .name = #check, .test_func = from_every_version, .initial_state = &(Check) {                         \
            check                                                                                            \
        }                                                                                                    \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(a_finished_build),
        EACH(its_jobs_attempts_and_steps),
        EACH(what_it_made_and_what_is_live),
        EACH(a_cancelled_build_is_cancelled),
        EACH(each_project_has_a_host_name_of_its_own),
        EACH(a_push_that_was_told_is_known),
        EACH(tokens_are_good_for_what_they_were),
        EACH(runners_are_what_they_were),
        EACH(a_queued_job_is_claimed_by_whom_it_fits),
        EACH(a_running_job_ends_and_what_needs_it_follows),
        EACH(a_job_that_lost_a_runner_has_one_loss_less_to_go),
        EACH(a_job_that_was_to_stop_stops),
        EACH(a_build_that_waits_is_cancelled_at_once),
        EACH(a_finished_build_runs_again),
        EACH(times_are_kept),
        EACH(rules_of_jobs_are_kept),
        EACH(secrets_and_trust_are_kept),
        EACH(stored_pipelines_are_kept),
        EACH(what_is_to_be_said_is_said),
        EACH(outputs_are_kept_and_caches_are_made_again),
        EACH(schedules_are_kept),
        EACH(what_a_flake_offers_is_kept),
        EACH(what_a_build_was_planned_with_is_kept),
        EACH(rows_point_at_rows_that_are_there),
    };

    return cmocka_run_group_tests(tests, upgrade_all, remove_all);
}
