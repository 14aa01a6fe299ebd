/* A finished build once more, and requests that come twice. */
#include "fixture.h"

#define JOB(name, rest) "  " name ": {steps: [\"true\"]" rest "}\n"

static const char chain[] =
    "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]") JOB("c", ", needs: [b]") JOB("lint", "");

static int rerun(Fixture *f, int64_t build, bool failed, const char *job, int64_t *ret) {
    const char *jobs[] = {job, NULL};
    RerunRequest request = {.build = build, .by = "ann", .failed = failed, .jobs = job ? jobs : NULL};
    BuildOutcome outcome;
    int r = build_rerun(&f->builds, &request, f->mem, &outcome, &err);

    *ret = r < 0 ? 0 : outcome.id;
    return r;
}

/* Runs what can run; `bad` fails. Each job brings an artifact of its name. */
static void run_all(Fixture *f, const char *bad) {
    ClaimedJob *jobs;

    while (claim(f, 1, 1, &jobs)) {
        OK(keep_file(f, &jobs[0], jobs[0].job.name, jobs[0].job.name, 0));
        OK(report(f, &jobs[0], str_eq(jobs[0].job.name, bad) ? "failed" : "success"));
    }
}

static int64_t finished(Fixture *f, const char *yaml, const char *bad) {
    int64_t id;

    commit_pipeline(f, yaml);
    id = start(f).id;
    run_all(f, bad);
    return id;
}

static void a_build_is_repeated_whole_as_a_new_one(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, NULL), new;
    Build *build;

    OK(rerun(f, old, false, NULL, &new));
    assert_int_not_equal(old, new);
    assert_job(f, new, "a", "queued");
    assert_job(f, new, "b", "blocked");
    assert_build(f, old, "success");
    OK(store_build_load(f->builds.db, new, f->mem, &build, &err));
    assert_int_equal(build->rerun_of, old);
    assert_string_equal(build->pusher, "ann");
    assert_string_equal(build->commit, f->commit);
    run_all(f, NULL);
    assert_build(f, new, "success");
}

static void failed_jobs_run_again_with_what_depends_on_them(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, "b"), new;

    assert_job(f, old, "c", "skipped");
    OK(rerun(f, old, true, NULL, &new));
    assert_job(f, new, "a", "success");
    assert_int_equal(job_named(f, new, "a")->copied_from, job_named(f, old, "a")->id);
    assert_job(f, new, "lint", "success");
    assert_job(f, new, "b", "queued");
    assert_job(f, new, "c", "blocked");
    run_all(f, NULL);
    assert_build(f, new, "success");
    assert_build(f, old, "failed");
    assert_job(f, old, "b", "failed");
}

static void one_job_runs_again_with_what_depends_on_it(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, NULL), new;

    OK(rerun(f, old, false, "b", &new));
    assert_job(f, new, "a", "success");
    assert_job(f, new, "b", "queued");
    assert_job(f, new, "c", "blocked");
    assert_job(f, new, "lint", "success");
    run_all(f, "c");
    assert_build(f, new, "failed");
}

static void a_copied_failure_stays_a_failure(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, "lint"), new;

    OK(rerun(f, old, false, "c", &new));
    run_all(f, NULL);
    assert_build(f, new, "failed");
    assert_job(f, new, "lint", "failed");
}

static void what_was_not_trusted_is_not_trusted_again(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, NULL), new;
    Build *build;

    change(f, "UPDATE build SET untrusted = 1 WHERE id = ?1 AND ?2 = ''", old, "");
    OK(rerun(f, old, false, NULL, &new));
    OK(store_build_load(f->builds.db, new, f->mem, &build, &err));
    assert_true(build->untrusted);
}

static void a_copied_failure_that_was_allowed_stays_allowed(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, "jobs:\n" JOB("a", "") JOB("lint", ", allow-failure: true"), "lint"), new;

    assert_build(f, old, "success");
    OK(rerun(f, old, false, "a", &new));
    run_all(f, NULL);
    assert_job(f, new, "lint", "failed");
    assert_build(f, new, "success");
}

static void artifacts_of_copied_jobs_are_in_the_new_build(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, "b"), new;
    Artifact *artifacts;
    size_t count;

    OK(rerun(f, old, true, NULL, &new));
    OK(store_artifacts(f->builds.db, new, f->mem, &artifacts, &count, &err));
    assert_int_equal(count, 2); /* a, lint; what b brought when it failed is not taken over */
    assert_string_equal(artifacts[0].path, "a");
    assert_string_equal(kept_file(f, new, "a"), "a");
    assert_string_equal(artifacts[1].path, "lint");
}

static void a_copy_of_a_copy_knows_where_its_log_is(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, "b"), second, third;

    OK(rerun(f, old, true, NULL, &second));
    run_all(f, "b");
    OK(rerun(f, second, true, NULL, &third));
    assert_int_equal(job_named(f, third, "a")->copied_from, job_named(f, old, "a")->id);
}

static void a_build_that_runs_is_not_repeated(void **state) {
    Fixture *f = *state;
    int64_t id, new;

    commit_pipeline(f, chain);
    id = start(f).id;
    assert_int_equal(rerun(f, id, false, NULL, &new), -ERR_CONFLICT);
    assert_int_equal(rerun(f, 999, false, NULL, &new), -ERR_NOT_FOUND);
}

static void there_must_be_something_to_repeat(void **state) {
    Fixture *f = *state;
    int64_t good = finished(f, chain, NULL), invalid, new;

    assert_int_equal(rerun(f, good, true, NULL, &new), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "no job of build"));
    assert_int_equal(rerun(f, good, false, "lin", &new), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "did you mean 'lint'?"));
    invalid = finished(f, "jobs: {a: {stesp: []}}\n", NULL);
    assert_int_equal(rerun(f, invalid, false, NULL, &new), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "stesp"));
}

static void a_repeated_build_keeps_its_group_and_takes_nobodys_place(void **state) {
    Fixture *f = *state;
    int64_t old, running, again;

    old = finished(f, mem_printf(f->mem, "concurrency: {group: g, cancel: running}\n%s", chain), NULL);
    running = start(f).id;
    claim_one(f, 1);
    OK(rerun(f, old, false, NULL, &again));
    assert_build(f, running, "running");
    assert_string_equal(job_named(f, running, "b")->state, "blocked");
    assert_string_equal(why(f, again, "a"),
                        mem_printf(f->mem, "concurrency group g: behind build %d", (int)running));
}

static const char deploys[] = "jobs:\n" JOB("a", "") "deploy: {branch: main, start: ./run}\n";

static void finish_deploy(Fixture *f) {
    static const char *const executors[] = {"deploy", NULL};
    BuildClaim wish = {.runner_id = 9, .offer = {.executors = executors, .arch = ""}, .max = 1};
    Claimed claimed;

    OK(build_claim(&f->builds, &wish, f->mem, &claimed, &err));
    assert_int_equal(claimed.count, 1);
    OK(report(f, &claimed.jobs[0], "success"));
}

static void a_deploy_of_what_the_branch_still_holds_is_repeated(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, deploys, NULL), new;
    Deployment *d;

    finish_deploy(f);
    OK(rerun(f, old, false, NULL, &new));
    OK(store_deployment_by_job(f->builds.db, job_named(f, new, "deploy")->id, f->mem, &d, &err));
    run_all(f, NULL);
    finish_deploy(f);
    assert_build(f, new, "success");
}

static void a_commit_that_its_branch_has_left_is_not_deployed_again(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, deploys, NULL), new;
    Deployment *d;

    finish_deploy(f);
    sh(f,
       "cd work; echo x > x; git add -A >&2; git -c user.name=A -c user.email=a@example.com commit -qm x >&2;"
       " git push -q ../hello.git HEAD:main >&2; git rev-parse HEAD");
    OK(rerun(f, old, false, NULL, &new));
    run_all(f, NULL);
    assert_job(f, new, "deploy", "skipped");
    assert_non_null(strstr(job_named(f, new, "deploy")->message, "main is not at"));
    OK(store_deployment_by_job(f->builds.db, job_named(f, new, "deploy")->id, f->mem, &d, &err));
    assert_string_equal(d->status, "cancelled");
    assert_build(f, new, "success");
}

static BuildOutcome start_with_key(Fixture *f, const char *key) {
    BuildRequest request = {.project = f->project,
                            .commit = f->commit,
                            .ref = "refs/heads/main",
                            .event = "manual",
                            .pusher = "ann",
                            .delivery = key};
    BuildOutcome outcome;

    OK(build_create(&f->builds, &request, f->mem, &outcome, &err));
    return outcome;
}

static void the_same_delivery_is_the_same_build(void **state) {
    Fixture *f = *state;
    BuildOutcome first, second;

    commit_pipeline(f, chain);
    first = start_with_key(f, "k1");
    second = start_with_key(f, "k1");
    assert_int_equal(first.id, second.id);
    assert_int_not_equal(start_with_key(f, "k2").id, first.id);
}

static void the_same_delivery_is_the_same_rerun(void **state) {
    Fixture *f = *state;
    int64_t old = finished(f, chain, NULL);
    RerunRequest request = {.build = old, .by = "ann", .delivery = "k"};
    BuildOutcome first, second;

    OK(build_rerun(&f->builds, &request, f->mem, &first, &err));
    OK(build_rerun(&f->builds, &request, f->mem, &second, &err));
    assert_int_equal(first.id, second.id);
}

static void a_key_of_another_request_is_refused(void **state) {
    Fixture *f = *state;
    RerunRequest request = {.by = "ann", .delivery = "k"};
    BuildOutcome outcome;

    commit_pipeline(f, chain);
    request.build = start_with_key(f, "k").id;
    run_all(f, NULL);
    assert_int_equal(build_rerun(&f->builds, &request, f->mem, &outcome, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "another request"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_build_is_repeated_whole_as_a_new_one),
        TEST(failed_jobs_run_again_with_what_depends_on_them),
        TEST(one_job_runs_again_with_what_depends_on_it),
        TEST(a_copied_failure_stays_a_failure),
        TEST(what_was_not_trusted_is_not_trusted_again),
        TEST(a_copied_failure_that_was_allowed_stays_allowed),
        TEST(artifacts_of_copied_jobs_are_in_the_new_build),
        TEST(a_copy_of_a_copy_knows_where_its_log_is),
        TEST(a_build_that_runs_is_not_repeated),
        TEST(there_must_be_something_to_repeat),
        TEST(a_repeated_build_keeps_its_group_and_takes_nobodys_place),
        TEST(a_deploy_of_what_the_branch_still_holds_is_repeated),
        TEST(a_commit_that_its_branch_has_left_is_not_deployed_again),
        TEST(the_same_delivery_is_the_same_build),
        TEST(the_same_delivery_is_the_same_rerun),
        TEST(a_key_of_another_request_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
