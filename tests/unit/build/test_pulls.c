/* Pull requests: told, found, from forks, approved. */
#include "fixture.h"

#include "build/cache.h"
#include "build/pull.h"
#include "store/schema.h"

static const char zero[] = "0000000000000000000000000000000000000000";
static const char head[] = "refs/pull/7/head";

#define STEPS "steps: [\"true\"]"
static const char plain[] = "jobs: {a: {" STEPS "}}\n";
/* a needs nothing; secret and shell ask for what a fork does not get; after needs one of them */
static const char careful[] = "jobs:\n"
                              "  a: {" STEPS "}\n"
                              "  secret: {secrets: [TOKEN], " STEPS "}\n"
                              "  after: {needs: [secret], " STEPS "}\n"
                              "  bare: {runs-on: {executor: shell}, " STEPS "}\n";

/* A new commit at the head, and nowhere told. */
static const char *push(Fixture *f, const char *yaml) {
    commit_pipeline(f, yaml);
    sh(f, mem_printf(f->mem, "git -C hello.git update-ref %s %s; echo %s", head, f->commit, f->commit));
    return f->commit;
}

static BuildOutcome tell(Fixture *f, const char *old_rev, const char *new_rev, const PullRequest *pull) {
    RefChange change = {.ref = head, .old_rev = old_rev, .new_rev = new_rev, .pusher = "ann", .pull = pull};
    BuildOutcome outcome;

    OK(build_ref_changed(&f->builds, f->project, &change, f->mem, &outcome, &err));
    return outcome;
}

static Build *build_of(Fixture *f, int64_t id) {
    Build *build;

    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    return build;
}

static const PullRequest own = {.number = 7, .source = "topic", .target = "main", .origin = PULL_TOLD};
static const PullRequest fork_one = {.number = 7, .source = "main", .origin = PULL_FORK};

static int64_t fork_build(Fixture *f, const char *yaml) {
    f->builds.options.allow_shell = true;
    return tell(f, zero, push(f, yaml), &fork_one).id;
}

/* ---- told and found ---- */

static void a_push_to_its_head_is_built_as_one(void **state) {
    Fixture *f = *state;
    const char *commit = push(f, plain);
    Build *build = build_of(f, tell(f, zero, commit, &own).id);

    assert_string_equal(build->event, "pull_request");
    assert_string_equal(build->branch, "topic");
    assert_string_equal(build->ref, head);
    assert_string_equal(build->commit, commit);
    assert_string_equal(build->pull, "{\"number\":7,\"source\":\"topic\",\"target\":\"main\",\"title\":\"\","
                                     "\"author\":\"\",\"fork\":false}");
    assert_false(build->untrusted);
    assert_int_equal(tell(f, zero, commit, &own).id, build->id); /* and told again */
}

static void what_was_told_holds_for_later_pushes(void **state) {
    Fixture *f = *state;
    const char *first = push(f, plain), *second;
    const PullRequest bare = {.number = 7, .title = "new", .origin = PULL_TOLD};
    Build *build;

    tell(f, zero, first, &fork_one);
    second = push(f, "jobs: {b: {" STEPS "}}\n");
    build = build_of(f, tell(f, first, second, &bare).id);
    assert_string_equal(build->pull,
                        "{\"number\":7,\"source\":\"main\",\"target\":\"main\",\"title\":\"new\","
                        "\"author\":\"\",\"fork\":true}");
    assert_true(build->untrusted);
}

static void one_that_was_missed_is_found_with_what_was_told_of_it(void **state) {
    Fixture *f = *state;
    const char *first = push(f, plain);
    const PullRequest told = {.number = 7, .target = "release", .origin = PULL_OWN};
    size_t found = 0;
    Build *build;

    tell(f, zero, first, &told);
    push(f, "jobs: {b: {" STEPS "}}\n");
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 2); /* and main */
    build = build_of(f, 3);
    assert_string_equal(build->event, "pull_request");
    assert_non_null(strstr(build->pull, "\"target\":\"release\""));
    assert_false(build->untrusted);
}

static void one_that_nobody_has_told_of_is_for_the_default_branch_and_not_trusted(void **state) {
    Fixture *f = *state;
    const char *commit = push(f, plain);
    size_t found = 0;
    Build *build;

    OK(refs_compare(&f->builds, f->project, &found, &err));
    build = build_of(f, 2);
    assert_string_equal(build->event, "pull_request");
    assert_string_equal(build->branch, "pull/7");
    assert_non_null(strstr(build->pull, "\"target\":\"main\""));
    assert_true(build->untrusted);
    /* its hook comes late, and says what was not known */
    build = build_of(f, tell(f, zero, commit, &own).id);
    assert_string_equal(build->branch, "topic");
    assert_false(build->untrusted);
    assert_build(f, 2, "cancelled");
    assert_non_null(strstr(build_of(f, 2)->message, "superseded by build 3"));
    assert_int_equal(tell(f, zero, commit, &own).id, build->id);
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(tell(f, zero, commit, &own).id, build->id);
    build = build_of(f, tell(f, commit, push(f, "jobs: {b: {" STEPS "}}\n"), NULL).id);
    assert_string_equal(build->branch, "topic");
    assert_false(build->untrusted);
}

static void one_that_was_found_with_all_that_its_hook_tells_is_built_once(void **state) {
    Fixture *f = *state;
    const char *first = push(f, plain), *second;
    size_t found = 0;

    tell(f, zero, first, &own);
    second = push(f, "jobs: {b: {" STEPS "}}\n");
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(tell(f, first, second, &own).id, 3);
    assert_int_equal(tell(f, first, second, NULL).id, 3);
}

static void its_deletion_is_noted_and_forgets_what_was_told(void **state) {
    Fixture *f = *state;
    const char *commit = push(f, plain), *facts;
    size_t found = 0;

    tell(f, zero, commit, &fork_one);
    sh(f, mem_printf(f->mem, "git -C hello.git update-ref -d %s; echo", head));
    assert_string_equal(tell(f, commit, zero, NULL).status, "skipped");
    OK(store_pull_get(f->builds.db, f->project->id, 7, f->mem, &facts, &err));
    assert_null(facts);
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 1); /* main alone */
    sh(f, mem_printf(f->mem, "git -C hello.git update-ref %s %s; echo", head, commit));
    assert_false(build_of(f, tell(f, zero, commit, &own).id)->untrusted);
}

static void a_deletion_that_was_missed_is_found(void **state) {
    Fixture *f = *state;
    const char *commit = push(f, plain), *facts;
    size_t found = 0;

    tell(f, zero, commit, &own);
    OK(refs_compare(&f->builds, f->project, &found, &err));
    sh(f, mem_printf(f->mem, "git -C hello.git update-ref -d %s; echo", head));
    found = 0;
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 1);
    OK(store_pull_get(f->builds.db, f->project->id, 7, f->mem, &facts, &err));
    assert_null(facts);
}

static void heads_from_before_there_were_pull_requests_are_not_found_as_new(void **state) {
    Fixture *f = *state;
    DbOptions options = {.url = mem_printf(f->mem, "sqlite:%s/old", f->dir), .busy_us = US_PER_S};
    size_t before = 0, count;
    RefRow *refs;
    Db *db;

    while (!str_eq(store_migrations[before].name, "pull requests"))
        before++;
    OK(db_open(f->mem, &options, &db, &err));
    OK(db_migrate(db, store_migrations, before, &err));
    OK(db_begin(db, &err));
    OK(db_exec(db, NULL, &err,
               "INSERT INTO project (id, uuid, org_id, name, source, path, url, created_at, slug)"
               " VALUES (1, 'u', 1, 'p', 'hosted', '', '', 1, 'p')",
               ""));
    OK(db_exec(
        db, NULL, &err,
        "INSERT INTO trigger_event (project_id, kind, ref, old_rev, new_rev, pusher, outcome, created_at)"
        " VALUES (1, 'push', 'refs/pull/1/head', '', 'a', '', '', 1),"
        " (1, 'push', 'refs/pull/1/head', 'a', 'b', '', '', 2),"
        " (1, 'push', 'refs/pull/2/head', '', 'c', '', '', 3),"
        " (1, 'delete', 'refs/pull/2/head', 'c', '', '', '', 4),"
        " (1, 'push', 'refs/pull/1/merge', '', 'd', '', '', 5)",
        ""));
    OK(db_commit(db, &err));
    OK(db_migrate(db, store_migrations, store_migration_count, &err));
    OK(store_refs(db, 1, f->mem, &refs, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(refs[0].name, "refs/pull/1/head");
    assert_string_equal(refs[0].commit, "b");
    db_close(db);
}

/* ---- forks ---- */

static void a_forks_branch_is_not_taken_for_one_of_the_repositorys(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs:\n"
                               "  a: {" STEPS "}\n"
                               "  release: {if: branch == \"main\", " STEPS "}\n");

    assert_string_equal(build_of(f, id)->branch, "pull/7");
    assert_job(f, id, "release", "skipped");
}

static void a_forks_jobs_that_ask_for_more_wait_for_approval_and_say_so(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, careful);
    ClaimedJob *jobs;

    assert_job(f, id, "a", "queued");
    assert_job(f, id, "secret", "blocked");
    assert_job(f, id, "bare", "blocked");
    assert_string_equal(
        why(f, id, "secret"),
        "waits for approval: it comes from a fork, and names secrets: pelton build approve 1");
    assert_non_null(strstr(why(f, id, "bare"), "runs outside the sandbox"));
    assert_string_equal(why(f, id, "after"), "waiting for secret");
    assert_int_equal(claim(f, 1, 10, &jobs), 1);
    OK(report(f, &jobs[0], "success"));
    assert_build(f, id, "running");
    assert_int_equal(claim(f, 1, 10, &jobs), 0);
}

static void an_image_that_a_fork_builds_waits_for_approval(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs: {a: {steps: [{uses: docker, with: {build: ., tag: \"node:20\"}}]}}\n");

    assert_non_null(strstr(why(f, id, "a"), "builds an image"));
}

static void what_waits_for_a_job_before_it_waits_for_approval_then(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs:\n"
                               "  a: {" STEPS "}\n"
                               "  secret: {needs: [a], secrets: [TOKEN], " STEPS "}\n");
    ClaimedJob job = claim_one(f, 1);

    OK(report(f, &job, "success"));
    assert_job(f, id, "secret", "blocked");
    assert_non_null(strstr(why(f, id, "secret"), "pelton build approve"));
}

static void jobs_that_a_fork_hands_over_wait_as_its_files_do(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, plain);
    ClaimedJob maker = claim_one(f, 1);
    JobReport end = {.attempt = {maker.job.id, maker.job.attempt},
                     .runner_id = 1,
                     .state = "success",
                     .reason = "",
                     .message = "",
                     .log_size = -1,
                     .pipeline = "jobs:\n"
                                 "  secret: {secrets: [TOKEN], " STEPS "}\n"
                                 "  first: {priority: 9, if: target == \"main\", " STEPS "}\n"
                                 "  none: {if: target != \"main\", " STEPS "}\n"};
    uint64_t next;
    bool stop;

    OK(build_report(&f->builds, &end, &next, &stop, &err));
    assert_job(f, id, "secret", "blocked");
    assert_non_null(strstr(why(f, id, "secret"), "pelton build approve"));
    assert_job(f, id, "first", "queued");
    assert_int_equal(job_named(f, id, "first")->priority, 0);
    assert_job(f, id, "none", "skipped");
    OK(build_approve(&f->builds, id, "bob", &err));
    assert_job(f, id, "secret", "queued");
}

static void approval_lets_them_go_on_once_and_names_who_gave_it(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, careful);

    OK(build_approve(&f->builds, id, "bob", &err));
    assert_job(f, id, "secret", "queued");
    assert_job(f, id, "bare", "queued");
    assert_job(f, id, "after", "blocked");
    assert_false(build_of(f, id)->untrusted);
    OK(build_approve(&f->builds, id, "eve", &err));
    assert_string_equal(build_of(f, id)->approved_by, "bob");
}

static void approval_leaves_what_waits_for_other_things(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs:\n"
                               "  a: {retry: {times: 2, backoff: 1h}, " STEPS "}\n"
                               "  secret: {needs: [a], secrets: [TOKEN], " STEPS "}\n");
    ClaimedJob job = claim_one(f, 1);

    OK(report(f, &job, "failed"));
    OK(build_approve(&f->builds, id, "bob", &err));
    assert_job(f, id, "a", "blocked");
    assert_job(f, id, "secret", "blocked");
    pass(f, "retry", job.job.id);
    job = claim_one(f, 1);
    OK(report(f, &job, "success"));
    assert_job(f, id, "secret", "queued");
}

static void only_a_forks_build_can_be_approved(void **state) {
    Fixture *f = *state;
    int64_t trusted = tell(f, zero, push(f, plain), &own).id;

    assert_int_equal(build_approve(&f->builds, trusted, "bob", &err), -ERR_CONFLICT);
    assert_int_equal(build_approve(&f->builds, 99, "bob", &err), -ERR_NOT_FOUND);
}

static void one_that_has_finished_is_approved_for_what_repeats_it_and_stays_what_it_was(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, careful);
    RerunRequest request = {.build = id, .by = "ann"};
    BuildOutcome again;

    OK(build_cancel(&f->builds, id, "", &err));
    OK(build_approve(&f->builds, id, "bob", &err));
    assert_build(f, id, "cancelled");
    assert_job(f, id, "secret", "cancelled");
    OK(build_rerun(&f->builds, &request, f->mem, &again, &err));
    assert_job(f, again.id, "secret", "queued");
    assert_string_equal(build_of(f, again.id)->approved_by, "bob");
}

static void a_rerun_is_trusted_as_far_as_what_it_repeats(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs: {secret: {secrets: [TOKEN], " STEPS "}}\n");
    RerunRequest request = {.build = id, .by = "ann"};
    BuildOutcome again;

    OK(build_cancel(&f->builds, id, "", &err));
    OK(build_rerun(&f->builds, &request, f->mem, &again, &err));
    assert_job(f, again.id, "secret", "blocked");
    OK(build_approve(&f->builds, again.id, "bob", &err));
    assert_job(f, again.id, "secret", "queued");
    OK(build_cancel(&f->builds, again.id, "", &err));
    request.build = again.id;
    OK(build_rerun(&f->builds, &request, f->mem, &again, &err));
    assert_job(f, again.id, "secret", "queued");
}

static void a_forks_group_is_its_own(void **state) {
    static const char grouped[] = "concurrency: {group: deploy, cancel: running}\njobs: {a: {" STEPS "}}\n";
    Fixture *f = *state;
    int64_t ours, theirs, newer;
    const char *commit;

    commit = push(f, grouped);
    ours = start(f).id;
    theirs = tell(f, zero, commit, &fork_one).id;
    assert_build(f, ours, "queued");
    assert_string_equal(build_of(f, theirs)->concurrency_group, "refs/pull/7/head deploy");
    newer = tell(f, commit, push(f, mem_printf(f->mem, "%s# again\n", grouped)), &fork_one).id;
    assert_build(f, theirs, "cancelled");
    assert_job(f, newer, "a", "queued");
}

static void a_held_build_that_is_approved_has_its_turn_first(void **state) {
    static const char grouped[] = "concurrency: {group: x, cancel: none}\n"
                                  "jobs: {a: {" STEPS "}, secret: {secrets: [T], " STEPS "}}\n";
    Fixture *f = *state;
    const char *commit = push(f, grouped);
    int64_t first = tell(f, zero, commit, &fork_one).id;
    int64_t second = tell(f, commit, push(f, mem_printf(f->mem, "%s# again\n", grouped)), &fork_one).id;

    OK(build_approve(&f->builds, second, "bob", &err));
    assert_job(f, second, "secret", "blocked");
    OK(build_cancel(&f->builds, first, "", &err));
    assert_job(f, second, "secret", "queued");
}

static void a_fork_puts_itself_before_nobody(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs: {a: {priority: 100, " STEPS "}, b: {priority: -5, " STEPS "}}\n");

    assert_int_equal(job_named(f, id, "a")->priority, 0);
    assert_int_equal(job_named(f, id, "b")->priority, -5);
}

static void a_job_that_should_not_have_been_queued_is_not_given_away(void **state) {
    Fixture *f = *state;
    int64_t id = fork_build(f, "jobs: {secret: {secrets: [TOKEN], " STEPS "}}\n");
    ClaimedJob *jobs;

    OK(build_approve(&f->builds, id, "bob", &err));
    change(f, "UPDATE build SET untrusted = 1 WHERE id = ?1 AND ?2 = ''", id, "");
    assert_int_equal(claim(f, 1, 1, &jobs), 0);
    assert_build(f, id, "failed");
    assert_non_null(strstr(build_of(f, id)->message, "nobody has approved"));
}

/* ---- caches ---- */

static void keep(Fixture *f, const ClaimedJob *job, const char *key) {
    Attempt attempt = {.job = job->job.id, .attempt = job->job.attempt};
    BlobUpload *u;
    Cache cache;
    bool kept;

    OK(blob_upload_begin(f->builds.blob, &u, &err));
    OK(blob_upload_write(u, "x", 1, &err));
    OK(build_cache_keep(&f->builds, attempt, 1, &(CacheOffer){.key = key}, u, f->mem, &cache, &kept, &err));
    assert_true(kept);
}

static bool finds(Fixture *f, const ClaimedJob *job, const char *key) {
    static const char *const none[] = {NULL};
    CacheWish wish = {.key = key, .restore = none};
    CacheHit hit;

    return build_cache_find(&f->builds, &job->job, &wish, f->mem, &hit, &err) >= 0;
}

static ClaimedJob pull_job(Fixture *f, const char *old_rev, const PullRequest *pull) {
    int64_t id = tell(f, old_rev, push(f, mem_printf(f->mem, "%s# %s\n", plain, old_rev)), pull).id;
    ClaimedJob job = claim_one(f, 1);

    assert_int_equal(job.build->id, id);
    return job;
}

static void a_pull_request_reads_its_targets_caches_and_keeps_its_own(void **state) {
    Fixture *f = *state;
    static const PullRequest for_release = {.number = 7, .target = "release", .origin = PULL_OWN};
    ClaimedJob on_main, pull, other;

    f->builds.options.cache_project = f->builds.options.cache_total = 1 << 20;
    commit_pipeline(f, plain);
    start(f);
    on_main = claim_one(f, 1);
    keep(f, &on_main, "main");
    change(f, "UPDATE cache SET scope = ?2 WHERE id = ?1", 1, "refs/heads/release");
    pull = pull_job(f, zero, &for_release);
    assert_true(finds(f, &pull, "main"));
    keep(f, &pull, "pull");
    assert_false(finds(f, &on_main, "pull"));
    other = pull_job(f, f->commit, &own); /* for main, of which it is not */
    assert_false(finds(f, &other, "main"));
}

static ClaimedJob again(Fixture *f, int64_t build) {
    RerunRequest request = {.build = build, .by = "ann"};
    BuildOutcome outcome;

    OK(build_cancel(&f->builds, build, "", &err));
    OK(build_abandon(&f->builds, 1, &err));
    OK(build_rerun(&f->builds, &request, f->mem, &outcome, &err));
    return claim_one(f, 1);
}

static void a_forks_commit_reads_what_no_other_of_it_has_kept(void **state) {
    Fixture *f = *state;
    ClaimedJob poisoner, harmless, next;
    const char *first;

    f->builds.options.cache_project = f->builds.options.cache_total = 1 << 20;
    poisoner = pull_job(f, zero, &fork_one);
    first = f->commit;
    keep(f, &poisoner, "deps");
    poisoner = again(f, poisoner.build->id);
    assert_true(finds(f, &poisoner, "deps"));
    harmless = pull_job(f, first, &fork_one);
    assert_false(finds(f, &harmless, "deps"));
    OK(build_approve(&f->builds, harmless.build->id, "bob", &err));
    assert_false(finds(f, &harmless, "deps"));
    keep(f, &harmless, "deps");
    next = pull_job(f, f->commit, NULL);
    OK(build_approve(&f->builds, next.build->id, "bob", &err));
    assert_true(finds(f, &next, "deps")); /* which an approved one has kept */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_push_to_its_head_is_built_as_one),
        TEST(what_was_told_holds_for_later_pushes),
        TEST(one_that_was_missed_is_found_with_what_was_told_of_it),
        TEST(one_that_nobody_has_told_of_is_for_the_default_branch_and_not_trusted),
        TEST(one_that_was_found_with_all_that_its_hook_tells_is_built_once),
        TEST(its_deletion_is_noted_and_forgets_what_was_told),
        TEST(a_deletion_that_was_missed_is_found),
        TEST(heads_from_before_there_were_pull_requests_are_not_found_as_new),
        TEST(a_forks_branch_is_not_taken_for_one_of_the_repositorys),
        TEST(a_forks_jobs_that_ask_for_more_wait_for_approval_and_say_so),
        TEST(an_image_that_a_fork_builds_waits_for_approval),
        TEST(what_waits_for_a_job_before_it_waits_for_approval_then),
        TEST(jobs_that_a_fork_hands_over_wait_as_its_files_do),
        TEST(approval_lets_them_go_on_once_and_names_who_gave_it),
        TEST(approval_leaves_what_waits_for_other_things),
        TEST(only_a_forks_build_can_be_approved),
        TEST(one_that_has_finished_is_approved_for_what_repeats_it_and_stays_what_it_was),
        TEST(a_rerun_is_trusted_as_far_as_what_it_repeats),
        TEST(a_forks_group_is_its_own),
        TEST(a_held_build_that_is_approved_has_its_turn_first),
        TEST(a_fork_puts_itself_before_nobody),
        TEST(a_job_that_should_not_have_been_queued_is_not_given_away),
        TEST(a_pull_request_reads_its_targets_caches_and_keeps_its_own),
        TEST(a_forks_commit_reads_what_no_other_of_it_has_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
