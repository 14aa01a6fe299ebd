/* Artifacts: how long they stay, and that files go when, and only when, no row is of them. */
#include "fixture.h"

#define JOB(name) "  " name ": {steps: [\"true\"]}\n"
#define HOUR (3600 * US_PER_S)

/* A build of one job, which has been claimed. */
static ClaimedJob begin(Fixture *f, const char *yaml) {
    commit_pipeline(f, yaml);
    start(f);
    return claim_one(f, 1);
}

static ClaimedJob begin_again(Fixture *f) {
    start(f);
    return claim_one(f, 1);
}

/* Everything that is due by then, rows and files. */
static void let_expire(Fixture *f, int64_t build) {
    change(f, "UPDATE artifact SET expires_at = 1 WHERE build_id = ?1 AND expires_at > 0 AND ?2 = ''", build,
           "");
    pass(f, "artifacts", build);
    pass(f, "garbage", 0);
}

static size_t files_below(Fixture *f, const char *folder) {
    const char *script = mem_printf(f->mem, "find blobs/%s -type f | wc -l", folder), *was = f->commit;
    size_t count;

    sh(f, script);
    count = strtoul(f->commit, NULL, 10);
    f->commit = was;
    return count;
}

static const char *name_holds(Fixture *f, const char *path) {
    _cleanup_buf_ Buf text = BUF_INIT;
    const char *full = mem_printf(f->mem, "%s/blobs/artifacts/%s/%s", f->dir, f->commit, path);

    return file_read(full, 1000, &text, &err) < 0 ? NULL : buf_dup(&text, f->mem);
}

static int64_t timer_of(Fixture *f, const char *kind, int64_t subject) {
    int64_t due;

    OK(store_timer_due(f->builds.db, kind, subject, &due, &err));
    return due;
}

static size_t rows(Fixture *f, int64_t build) {
    int64_t count;

    OK(store_artifact_count(f->builds.db, build, &count, &err));
    return (size_t)count;
}

static void time_runs_from_the_end_of_the_build_on(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a")), b;
    int64_t id = a.job.build_id, before, due;
    Artifact *all;
    size_t count;

    OK(keep_file(f, &a, "an hour", "1", HOUR));
    OK(keep_file(f, &a, "two", "2", 2 * HOUR));
    OK(keep_file(f, &a, "ever", "3", ARTIFACT_FOREVER));
    OK(keep_file(f, &a, "by default", "4", 0));
    assert_int_equal(timer_of(f, "artifacts", id), 0);
    before = clock_now();
    OK(report(f, &a, "success"));
    due = timer_of(f, "artifacts", id);
    assert_true(due >= before + HOUR && due <= clock_now() + HOUR);
    OK(store_artifacts(f->builds.db, id, f->mem, &all, &count, &err));
    assert_int_equal(count, 4);
    assert_int_equal(all[0].expires_at, due);        /* an hour */
    assert_int_equal(all[1].expires_at, 0);          /* by default */
    assert_int_equal(all[2].expires_at, 0);          /* ever */
    assert_int_equal(all[3].expires_at, due + HOUR); /* two */
    b = begin_again(f);
    OK(report(f, &b, "success"));
    assert_int_equal(timer_of(f, "artifacts", b.job.build_id), 0);
}

static void the_servers_setting_holds_for_what_says_nothing_but_not_for_what_is_ours(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    Artifact *all;
    size_t count;

    f->builds.options.artifact_keep_us = HOUR;
    a = begin(f, "jobs:\n" JOB("a"));
    OK(keep_file(f, &a, "plain", "1", 0));
    OK(keep_file(f, &a, "ever", "2", ARTIFACT_FOREVER));
    OK(keep_file(f, &a, ".pelton/release.tar.zst", "3", 0));
    OK(report(f, &a, "success"));
    OK(store_artifacts(f->builds.db, a.job.build_id, f->mem, &all, &count, &err));
    assert_int_equal(all[0].expires_at, 0);
    assert_int_equal(all[1].expires_at, 0);
    assert_true(all[2].expires_at > 0);
}

static void rows_and_files_go_at_their_time_and_the_rest_stays(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a"));
    int64_t id = a.job.build_id;
    ArtifactExpired *gone;
    size_t count;

    OK(keep_file(f, &a, "deep/in/short", "short", HOUR));
    OK(keep_file(f, &a, "same", "both", HOUR));
    OK(keep_file(f, &a, "stays", "both", 0));
    OK(report(f, &a, "success"));
    let_expire(f, id);
    assert_int_equal(rows(f, id), 1);
    assert_string_equal(kept_file(f, id, "stays"), "both");
    assert_int_equal(files_below(f, "objects"), 1);
    assert_null(name_holds(f, "same"));
    assert_string_equal(name_holds(f, "stays"), "both");
    sh(f, "test ! -e blobs/artifacts/*/deep; echo");
    OK(store_artifacts_expired(f->builds.db, id, f->mem, &gone, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(gone[0].files, 2);
    assert_int_equal(gone[0].size, 9);
    assert_int_equal(gone[0].keep, HOUR);
    assert_string_equal(gone[0].job, "a");
    assert_int_equal(timer_of(f, "artifacts", id), 0);
    assert_int_equal(timer_of(f, "garbage", 0), 0);
}

/* More than are done at once. */
static void very_many_go_a_part_at_a_time(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a"));
    int64_t id = a.job.build_id;
    ArtifactExpired *gone;
    size_t count, times = 0;

    OK(keep_file(f, &a, "first", "x", HOUR));
    change(f,
           "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
           " INSERT INTO artifact (build_id, job_id, name, path, size, sha256, mode, keep, created_at)"
           " SELECT build_id, job_id, name, 'p' || i || ?2, size, sha256, mode, keep, created_at"
           " FROM n, artifact WHERE build_id = ?1",
           id, "");
    OK(report(f, &a, "success"));
    change(f, "UPDATE artifact SET expires_at = 1 WHERE build_id = ?1 AND ?2 = ''", id, "");
    for (; timer_of(f, "artifacts", id); times++)
        pass(f, "artifacts", id);
    assert_int_equal(times, 3);
    assert_int_equal(rows(f, id), 0);
    OK(store_artifacts_expired(f->builds.db, id, f->mem, &gone, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(gone[0].files, 2501);
    pass(f, "garbage", 0);
    assert_int_equal(files_below(f, "objects"),
                     1); /* newer garbage, which may not be on the disk, is of it */
    for (times = 0; timer_of(f, "garbage", 0); times++)
        pass(f, "garbage", 0);
    assert_true(times > 10);
    assert_int_equal(files_below(f, "objects"), 0);
}

static void what_another_build_has_stays(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a")), b;

    OK(keep_file(f, &a, "out", "same", HOUR));
    OK(report(f, &a, "success"));
    b = begin_again(f); /* of the same commit: the same name */
    OK(keep_file(f, &b, "out", "same", 0));
    OK(report(f, &b, "success"));
    let_expire(f, a.job.build_id);
    assert_int_equal(rows(f, a.job.build_id), 0);
    assert_string_equal(kept_file(f, b.job.build_id, "out"), "same");
    assert_string_equal(name_holds(f, "out"), "same");
}

static void a_name_is_of_the_newest_that_is_left(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a")), b;

    OK(keep_file(f, &a, "out", "older", 0));
    OK(report(f, &a, "success"));
    b = begin_again(f);
    OK(keep_file(f, &b, "out", "newer", HOUR));
    OK(report(f, &b, "success"));
    assert_string_equal(name_holds(f, "out"), "newer");
    let_expire(f, b.job.build_id);
    assert_string_equal(name_holds(f, "out"), "older");
    assert_int_equal(files_below(f, "objects"), 1);
    assert_string_equal(kept_file(f, a.job.build_id, "out"), "older");
}

static void what_is_live_stays(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a"));
    Artifact file = {.path = "out", .keep = HOUR, .mode = 0644};

    bring(f, a.build, "release", &file);
    OK(record(f, &a, &file));
    change(f,
           "INSERT INTO deployment (uuid, project_id, build_id, job_id, commit_hash, branch, status, sha256,"
           " spec, created_at) SELECT 'u', project_id, id, (SELECT MAX(id) FROM job), 'c', 'main', 'live', "
           "?2, '{}', 1 FROM build WHERE id = ?1",
           a.job.build_id, file.sha256);
    OK(report(f, &a, "success"));
    let_expire(f, a.job.build_id);
    assert_int_equal(rows(f, a.job.build_id), 0);
    assert_int_equal(files_below(f, "objects"), 1);
}

/* Its bytes were kept on those of another, which go before its row is written. */
static void who_rests_on_bytes_that_have_gone_is_to_bring_them_again(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a")), b;
    Artifact file = {.path = "out", .mode = 0644};

    OK(keep_file(f, &a, "out", "same", HOUR));
    OK(report(f, &a, "success"));
    b = begin_again(f);
    bring(f, b.build, "same", &file);
    let_expire(f, a.job.build_id);
    assert_int_equal(record(f, &b, &file), -ERR_UNAVAILABLE);
    assert_int_equal(rows(f, b.job.build_id), 0);
    OK(keep_file(f, &b, "out", "same", 0));
    assert_string_equal(kept_file(f, b.job.build_id, "out"), "same");
}

static void bytes_of_an_attempt_that_does_not_count_go(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n  a: {steps: [\"true\"], retry: 2}\n"), b;

    OK(keep_file(f, &a, "out", "of the first", 0));
    OK(keep_file(f, &a, "both", "both", 0));
    OK(report(f, &a, "failed"));
    b = claim_one(f, 1);
    OK(keep_file(f, &b, "both", "both", 0));
    OK(keep_file(f, &b, "out", "once", 0));
    OK(keep_file(f, &b, "out", "twice", 0));
    pass(f, "garbage", 0);
    assert_int_equal(rows(f, b.job.build_id), 2);
    assert_int_equal(files_below(f, "objects"), 2);
    assert_string_equal(kept_file(f, b.job.build_id, "both"), "both");
    assert_string_equal(kept_file(f, b.job.build_id, "out"), "twice");
    assert_string_equal(name_holds(f, "both"), "both");
    assert_string_equal(name_holds(f, "out"), "twice");
}

/* Half of them may have come. */
static void nothing_is_kept_of_a_job_that_was_cancelled_or_lost(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;

    f->builds.options.max_attempts = 1;
    a = begin(f, "jobs:\n" JOB("a") JOB("b"));
    b = claim_one(f, 2);
    OK(keep_file(f, &a, "one", "1", 0));
    OK(keep_file(f, &b, "two", "2", 0));
    OK(build_abandon(&f->builds, 2, &err));
    assert_job(f, a.job.build_id, "b", "failed");
    OK(build_cancel(&f->builds, a.job.build_id, "ann", &err));
    assert_int_equal(rows(f, a.job.build_id), 1);
    OK(report(f, &a, "cancelled"));
    assert_int_equal(rows(f, a.job.build_id), 0);
    pass(f, "garbage", 0);
    assert_int_equal(files_below(f, "objects"), 0);
}

/* The rows of garbage outlive the server; what was done of them is done once more. */
static void files_that_a_dead_server_did_not_remove_are_removed_later(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a"));
    int64_t id = a.job.build_id;

    OK(keep_file(f, &a, "one", "1", HOUR));
    OK(keep_file(f, &a, "two", "2", HOUR));
    OK(report(f, &a, "success"));
    change(f, "UPDATE artifact SET expires_at = 1 WHERE build_id = ?1 AND ?2 = ''", id, "");
    pass(f, "artifacts", id);
    assert_int_equal(files_below(f, "objects"), 2);
    sh(f, "rm blobs/artifacts/*/one; echo"); /* it died behind this */
    assert_true(timer_of(f, "garbage", 0) > 0);
    pass(f, "garbage", 0);
    assert_int_equal(files_below(f, "artifacts"), 0);
    assert_int_equal(files_below(f, "objects"), 0);
}

static void jobs_of_a_build_have_files_of_the_same_path(void **state) {
    Fixture *f = *state;
    ClaimedJob a = begin(f, "jobs:\n" JOB("a") JOB("b")), b = claim_one(f, 1);
    ArtifactWish wish = {.build_id = a.job.build_id, .path = "out", .job = "a"};
    Artifact *found;

    OK(keep_file(f, &b, "out", "of b", 0));
    OK(keep_file(f, &a, "out", "of a", 0));
    assert_int_equal(rows(f, a.job.build_id), 2);
    assert_string_equal(kept_file(f, a.job.build_id, "out"), "of b"); /* b is behind a in the file */
    OK(store_artifact_load(f->builds.db, &wish, f->mem, &found, &err));
    assert_string_equal(found->job, "a");
    wish.job = "b";
    OK(store_artifact_load(f->builds.db, &wish, f->mem, &found, &err));
    assert_string_equal(found->job, "b");
    wish.name = "other";
    assert_int_equal(store_artifact_load(f->builds.db, &wish, f->mem, &found, &err), -ERR_NOT_FOUND);
}

/* The paths of what a job may download by the wish, each with the job that made it. */
static const char *needed(Fixture *f, int64_t build, const char *job, const char *name, const char *from) {
    ArtifactWish wish = {.name = name, .job = from};
    _cleanup_buf_ Buf text = BUF_INIT;
    Artifact *all;
    size_t count;

    OK(store_artifacts_needed(f->builds.db, &wish, job_named(f, build, job)->id, 100, f->mem, &all, &count,
                              &err));
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s of %s\n", all[i].path, all[i].job);
    return buf_dup(&text, f->mem);
}

static void keep_named(Fixture *f, const ClaimedJob *c, const char *name, const char *path) {
    Artifact a = {.name = name, .path = path, .mode = 0644};

    bring(f, c->build, c->job.name, &a);
    OK(record(f, c, &a));
}

static void a_job_finds_what_those_made_that_it_needs_in_the_files_order(void **state) {
    Fixture *f = *state;
    ClaimedJob *jobs;
    int64_t id;

    commit_pipeline(f, "jobs:\n"
                       "  m: {matrix: {n: [1, 2]}, steps: [x]}\n"
                       "  between: {needs: m, steps: [x]}\n"
                       "  apart: {steps: [x]}\n"
                       "  take: {needs: between, steps: [x]}\n"
                       "  m2: {steps: [x]}\n");
    id = start(f).id;
    for (size_t n; (n = claim(f, 1, 9, &jobs)) > 0;)
        while (n-- > 0) { /* the last first */
            keep_named(f, &jobs[n], "dist", "out");
            if (str_eq(jobs[n].job.name, "between"))
                keep_named(f, &jobs[n], "", ".pelton/ours");
            else
                keep_named(f, &jobs[n], "", jobs[n].job.name);
            OK(report(f, &jobs[n], "success"));
        }
    assert_string_equal(needed(f, id, "take", "dist", ""), "out of m (1)\nout of m (2)\nout of between\n");
    assert_string_equal(needed(f, id, "take", "dist", "m"), "out of m (1)\nout of m (2)\n");
    assert_string_equal(needed(f, id, "take", "", "m (2)"), "m (2) of m (2)\nout of m (2)\n");
    assert_string_equal(needed(f, id, "take", "", "between"), "out of between\n");
    assert_string_equal(needed(f, id, "take", "other", ""), "");
    assert_string_equal(needed(f, id, "take", "", "apart"), "");
    assert_string_equal(needed(f, id, "m2", "dist", ""), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(time_runs_from_the_end_of_the_build_on),
        TEST(the_servers_setting_holds_for_what_says_nothing_but_not_for_what_is_ours),
        TEST(rows_and_files_go_at_their_time_and_the_rest_stays),
        TEST(very_many_go_a_part_at_a_time),
        TEST(what_another_build_has_stays),
        TEST(a_name_is_of_the_newest_that_is_left),
        TEST(what_is_live_stays),
        TEST(who_rests_on_bytes_that_have_gone_is_to_bring_them_again),
        TEST(bytes_of_an_attempt_that_does_not_count_go),
        TEST(nothing_is_kept_of_a_job_that_was_cancelled_or_lost),
        TEST(files_that_a_dead_server_did_not_remove_are_removed_later),
        TEST(jobs_of_a_build_have_files_of_the_same_path),
        TEST(a_job_finds_what_those_made_that_it_needs_in_the_files_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
