#include "fixture.h"

#define JOB(name, rest) "  " name ": {steps: [\"true\"]" rest "}\n"

static void a_build_runs_its_jobs_in_the_order_of_their_needs(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    ClaimedJob *none;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]"));
    id = start(f).id;
    assert_build(f, id, "queued");
    assert_job(f, id, "b", "blocked");
    a = claim_one(f, 1);
    assert_string_equal(a.job.name, "a");
    assert_build(f, id, "running");
    assert_int_equal(claim(f, 1, 5, &none), 0);
    OK(report(f, &a, "success"));
    assert_job(f, id, "b", "queued");
    b = claim_one(f, 1);
    OK(report(f, &b, "success"));
    assert_build(f, id, "success");
}

static void a_failed_job_skips_what_needs_it_and_fails_the_build(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    int64_t id;
    Build *build;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]") JOB("c", ", needs: [b]"));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    assert_job(f, id, "b", "skipped");
    assert_job(f, id, "c", "skipped");
    assert_string_equal(job_named(f, id, "b")->message, "job a, which it needs, failed");
    assert_string_equal(job_named(f, id, "c")->reason, "dependency");
    assert_string_equal(job_named(f, id, "c")->message, "job b, which it needs, was skipped");
    assert_build(f, id, "failed");
    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    assert_string_equal(build->reason, "exit");
}

/* What failed before what was skipped or cancelled, whatever their order. */
static void a_skipped_job_names_the_first_that_failed_and_counts_the_others(void **state) {
    Fixture *f = *state;
    ClaimedJob *jobs;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]") JOB("c", "") JOB("d", "")
                           JOB("e", ", needs: [b, c, d]"));
    id = start(f).id;
    assert_int_equal(claim(f, 1, 5, &jobs), 3);
    OK(report(f, &jobs[0], "failed"));
    OK(report(f, &jobs[1], "failed"));
    OK(report(f, &jobs[2], "success"));
    assert_job(f, id, "e", "skipped");
    assert_string_equal(job_named(f, id, "e")->message,
                        "job c, which it needs, failed; 1 more did not succeed");
}

static void a_job_with_always_runs_after_a_failure(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a], if: always()")
                           JOB("c", ", needs: [a], if: failure()"));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    b = claim_one(f, 1);
    OK(report(f, &b, "success"));
    b = claim_one(f, 1);
    assert_string_equal(b.job.name, "c");
    OK(report(f, &b, "success"));
    assert_build(f, id, "failed");
}

static void a_job_that_may_fail_does_not_fail_its_build(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    Build *build;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ", allow-failure: true") JOB("b", ", needs: [a]"));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    b = claim_one(f, 1);
    assert_string_equal(b.job.name, "b");
    OK(report(f, &b, "success"));
    assert_build(f, id, "success");
    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    assert_string_equal(build->reason, "");
    assert_string_equal(build->message, "job a failed, as it may");
}

static void another_failure_still_fails_it_and_is_what_it_says(void **state) {
    Fixture *f = *state;
    ClaimedJob job;
    Job *first;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ", allow-failure: true") JOB("b", ""));
    id = start(f).id;
    for (int i = 0; i < 2; i++) {
        job = claim_one(f, 1);
        OK(report(f, &job, "failed"));
    }
    assert_build(f, id, "failed");
    OK(store_job_first_in_state(f->builds.db, id, "failed", f->mem, &first, &err));
    assert_string_equal(first->name, "b");
}

static void a_condition_may_ask_how_a_need_has_ended(void **state) {
    Fixture *f = *state;
    ClaimedJob job;
    int64_t id;

    commit_pipeline(
        f,
        "jobs:\n" JOB("a", ", allow-failure: true") JOB("b", ", matrix: {n: [1, 2]}")
            JOB("c", ", needs: [a, b], if: 'needs.a.result == \"failed\" && needs.b.result == \"success\"'")
                JOB("d", ", needs: [a, b], if: 'needs.a.result == \"success\"'"));
    id = start(f).id;
    job = claim_one(f, 1);
    OK(report(f, &job, "failed"));
    for (int i = 0; i < 2; i++) {
        job = claim_one(f, 1);
        OK(report(f, &job, "success"));
    }
    assert_job(f, id, "c", "queued");
    assert_job(f, id, "d", "skipped");
}

static void a_false_condition_skips_without_failing(void **state) {
    Fixture *f = *state;
    ClaimedJob b;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ", if: 'branch == \"other\"'") JOB("b", ", needs: [a]"));
    id = start(f).id;
    assert_job(f, id, "a", "skipped");
    b = claim_one(f, 1);
    assert_string_equal(b.job.name, "b");
    OK(report(f, &b, "success"));
    assert_build(f, id, "success");
}

static void a_pipeline_with_no_job_for_the_branch_makes_no_build(void **state) {
    Fixture *f = *state;
    BuildOutcome outcome;

    commit_pipeline(f, "jobs:\n" JOB("a", ", if: 'branch == \"other\"'"));
    outcome = start(f);
    assert_int_equal(outcome.id, 0);
    assert_string_equal(outcome.status, "skipped");
    assert_non_null(strstr(outcome.message, "nothing to build"));
}

static void a_build_ends_when_its_last_job_is_skipped(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a], if: failure()"));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    assert_job(f, id, "b", "skipped");
    assert_build(f, id, "success");
}

static void a_pipeline_with_mistakes_is_a_failed_build_that_says_where(void **state) {
    Fixture *f = *state;
    BuildOutcome outcome;
    Build *build;

    commit_pipeline(f, "jobs:\n  a: {stesp: [x]}\n");
    outcome = start(f);
    assert_string_equal(outcome.status, "failed");
    OK(store_build_load(f->builds.db, outcome.id, f->mem, &build, &err));
    assert_string_equal(build->reason, "invalid");
    assert_non_null(strstr(build->message, "line 2"));
    assert_non_null(strstr(build->message, "steps"));
}

static void the_same_end_again_is_fine_and_another_is_stale(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    OK(report(f, &a, "success"));
    assert_int_equal(report(f, &a, "failed"), -ERR_CONFLICT);
    assert_build(f, id, "success");
}

static void a_lost_lease_is_a_new_attempt_and_the_old_one_changes_nothing(void **state) {
    Fixture *f = *state;
    ClaimedJob first, second;
    StopOrder *stops;
    Attempt old;
    size_t count;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    id = start(f).id;
    first = claim_one(f, 1);
    OK(build_renew(&f->builds, 1, NULL, 0, f->mem, &stops, &count, &err));
    assert_job(f, id, "a", "queued");
    second = claim_one(f, 2);
    assert_int_equal(second.job.attempt, 2);
    assert_int_equal(report(f, &first, "failed"), -ERR_CONFLICT);
    old = (Attempt){first.job.id, first.job.attempt};
    OK(build_renew(&f->builds, 1, &old, 1, f->mem, &stops, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(stops[0].reason, "stale");
    OK(report(f, &second, "success"));
    assert_build(f, id, "success");
}

/* The only job of a build, claimed. */
static Attempt claim_alone(Fixture *f, ClaimedJob *ret) {
    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    start(f);
    *ret = claim_one(f, 1);
    return (Attempt){.job = ret->job.id, .attempt = 1};
}

/* The reason of the order that its runner gets for it; NULL: it gets none. */
static const char *order_for(Fixture *f, Attempt running, const char *told) {
    StopOrder *stops;
    size_t count;

    running.told = told;
    OK(build_renew(&f->builds, 1, &running, 1, f->mem, &stops, &count, &err));
    assert_in_range(count, 0, 1);
    return count ? stops[0].reason : NULL;
}

static void an_order_is_given_once_and_none_for_what_has_ended(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    Attempt running = claim_alone(f, &a);

    OK(build_cancel(&f->builds, a.build->id, "", &err));
    assert_string_equal(order_for(f, running, NULL), "user");
    assert_null(order_for(f, running, "user"));
    OK(report(f, &a, "cancelled"));
    assert_null(order_for(f, running, "user"));
}

static void who_is_still_there_long_after_his_end_is_told_so(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    Attempt running = claim_alone(f, &a);

    OK(report(f, &a, "success"));
    assert_null(order_for(f, running, NULL));
    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, "UPDATE attempt SET finished_at = ?1", "i",
               clock_now() - 60 * US_PER_S));
    OK(db_commit(f->builds.db, &err));
    assert_string_equal(order_for(f, running, NULL), "stale");
    assert_null(order_for(f, running, "stale"));
}

static void three_lost_attempts_fail_as_lost(void **state) {
    Fixture *f = *state;
    StopOrder *stops;
    size_t count;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    id = start(f).id;
    for (int i = 0; i < 3; i++) {
        claim_one(f, 1);
        OK(build_renew(&f->builds, 1, NULL, 0, f->mem, &stops, &count, &err));
    }
    assert_job(f, id, "a", "failed");
    assert_string_equal(job_named(f, id, "a")->reason, "lost");
    assert_build(f, id, "failed");
}

static void a_job_that_speaks_keeps_its_lease_without_its_runner(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    Job *job;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, "UPDATE job SET lease_until = ?1", "i", clock_now() + US_PER_S));
    OK(db_commit(f->builds.db, &err));
    OK(build_check_attempt(&f->builds, (Attempt){a.job.id, 1}, 1, f->mem, &job, &err));
    assert_true(job_named(f, id, "a")->lease_until > clock_now() + 20 * US_PER_S);
}

static void cancel_ends_what_waits_and_asks_what_runs(void **state) {
    Fixture *f = *state;
    StopOrder *stops;
    ClaimedJob a;
    Attempt running;
    size_t count;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]"));
    id = start(f).id;
    a = claim_one(f, 1);
    OK(build_cancel(&f->builds, id, "", &err));
    OK(build_cancel(&f->builds, id, "", &err));
    assert_job(f, id, "a", "running");
    assert_job(f, id, "b", "cancelled");
    assert_build(f, id, "running");
    running = (Attempt){a.job.id, a.job.attempt};
    OK(build_renew(&f->builds, 1, &running, 1, f->mem, &stops, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(stops[0].reason, "user");
    OK(report(f, &a, "cancelled"));
    assert_build(f, id, "cancelled");
    assert_int_equal(build_cancel(&f->builds, id, "", &err), -ERR_CONFLICT);
}

static void a_queued_build_is_cancelled_at_once(void **state) {
    Fixture *f = *state;
    ClaimedJob *none;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") JOB("b", ", needs: [a]"));
    id = start(f).id;
    OK(build_cancel(&f->builds, id, "", &err));
    assert_build(f, id, "cancelled");
    assert_int_equal(claim(f, 1, 5, &none), 0);
}

static void an_end_waits_for_the_whole_log(void **state) {
    Fixture *f = *state;
    JobReport r;
    ClaimedJob a;
    uint64_t next;
    bool stop;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    start(f);
    a = claim_one(f, 1);
    r = (JobReport){.attempt = {a.job.id, 1},
                    .runner_id = 1,
                    .state = "success",
                    .reason = "",
                    .message = "",
                    .log_size = 5};
    assert_int_equal(build_report(&f->builds, &r, &next, &stop, &err), -ERR_CONFLICT);
    assert_int_equal(next, 0);
    OK(blob_log_append(f->builds.blob, a.job.id, 1, 0, "hello", 5, &next, &err));
    OK(build_report(&f->builds, &r, &next, &stop, &err));
}

static void a_push_is_built_once_however_often_it_is_told(void **state) {
    static const char zero[] = "0000000000000000000000000000000000000000";
    Fixture *f = *state;
    RefChange push = {.ref = "refs/heads/main", .old_rev = zero, .pusher = "ann"};
    BuildOutcome first, second;
    size_t found;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    push.new_rev = f->commit;
    OK(build_ref_changed(&f->builds, f->project, &push, f->mem, &first, &err));
    OK(build_ref_changed(&f->builds, f->project, &push, f->mem, &second, &err));
    assert_true(first.id > 0);
    assert_int_equal(first.id, second.id);
    found = 0;
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 0);
}

static void a_push_that_nobody_told_is_found(void **state) {
    Fixture *f = *state;
    size_t found;
    int64_t total;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    found = 0;
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 1);
    OK(store_builds_total(f->builds.db, 0, &total, &err));
    assert_int_equal(total, 1);
    found = 0;
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 0);
}

static void a_stale_attempt_replaces_no_artifact(void **state) {
    Fixture *f = *state;
    ClaimedJob first, second;
    StopOrder *stops;
    size_t count;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    start(f);
    first = claim_one(f, 1);
    OK(build_renew(&f->builds, 1, NULL, 0, f->mem, &stops, &count, &err));
    second = claim_one(f, 2);
    OK(keep_file(f, &second, "out", "new", 0));
    assert_int_equal(keep_file(f, &first, "out", "old", 0), -ERR_CONFLICT);
    OK(report(f, &second, "success"));
    assert_int_equal(keep_file(f, &second, "out", "late", 0), -ERR_CONFLICT);
    assert_string_equal(kept_file(f, second.build->id, "out"), "new");
}

static void every_change_has_its_event(void **state) {
    static const char *const kinds[] = {"created", "updated", "completed"};
    Fixture *f = *state;
    EventRow *events;
    ClaimedJob a;
    size_t count;

    commit_pipeline(f, "jobs:\n" JOB("a", ""));
    start(f);
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    OK(store_events_after(f->builds.db, 0, 100, f->mem, &events, &count, &err));
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(events[i].kind, kinds[i]);
}

static void a_deployment_follows_its_job(void **state) {
    Fixture *f = *state;
    Deployment *d;
    ClaimedJob a;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") "deploy: {branch: main, start: ./run}\n");
    id = start(f).id;
    OK(store_deployment_by_job(f->builds.db, job_named(f, id, "deploy")->id, f->mem, &d, &err));
    assert_string_equal(d->status, "pending");
    a = claim_one(f, 1);
    OK(store_deployment_by_uuid(f->builds.db, d->uuid, f->mem, &d, &err));
    assert_string_equal(d->status, "building");
    OK(report(f, &a, "failed"));
    assert_job(f, id, "deploy", "skipped");
    OK(store_deployment_by_uuid(f->builds.db, d->uuid, f->mem, &d, &err));
    assert_string_equal(d->status, "cancelled");
    assert_build(f, id, "failed");
}

static void a_deploy_is_skipped_when_the_job_of_its_release_was(void **state) {
    Fixture *f = *state;
    Deployment *d;
    ClaimedJob a;
    int64_t id;

    commit_pipeline(
        f, "jobs:\n" JOB("a", "")
               JOB("b", ", needs: [a], if: failure()") "deploy: {branch: main, start: ./run, job: b}\n");
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    assert_job(f, id, "b", "skipped");
    assert_job(f, id, "deploy", "skipped");
    assert_non_null(strstr(job_named(f, id, "deploy")->message, "job b"));
    OK(store_deployment_by_job(f->builds.db, job_named(f, id, "deploy")->id, f->mem, &d, &err));
    assert_string_equal(d->status, "cancelled");
    assert_build(f, id, "success");
}

/* The server died between a release's going live and telling so. */
static void a_deploy_that_is_live_can_be_cancelled_with_its_build(void **state) {
    static const char *const executors[] = {"deploy", NULL};
    BuildClaim wish = {.runner_id = 9, .offer = {.executors = executors, .arch = ""}, .max = 1};
    Fixture *f = *state;
    Claimed deploy;
    ClaimedJob a;
    Deployment *d;
    int64_t id;

    commit_pipeline(f, "jobs:\n" JOB("a", "") "deploy: {branch: main, start: ./run}\n");
    id = start(f).id;
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    OK(build_claim(&f->builds, &wish, f->mem, &deploy, &err));
    assert_int_equal(deploy.count, 1);
    OK(store_deployment_by_job(f->builds.db, deploy.jobs[0].job.id, f->mem, &d, &err));
    OK(db_begin(f->builds.db, &err));
    OK(store_deployment_set(f->builds.db, d->id, "live", NULL, 0, "http://x", NULL, 1, &err));
    OK(db_commit(f->builds.db, &err));
    OK(build_abandon(&f->builds, 9, &err));
    OK(build_cancel(&f->builds, id, "", &err));
    assert_build(f, id, "cancelled");
    OK(store_deployment_by_uuid(f->builds.db, d->uuid, f->mem, &d, &err));
    assert_string_equal(d->status, "live");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_build_runs_its_jobs_in_the_order_of_their_needs),
        TEST(a_failed_job_skips_what_needs_it_and_fails_the_build),
        TEST(a_skipped_job_names_the_first_that_failed_and_counts_the_others),
        TEST(a_job_with_always_runs_after_a_failure),
        TEST(a_job_that_may_fail_does_not_fail_its_build),
        TEST(a_condition_may_ask_how_a_need_has_ended),
        TEST(another_failure_still_fails_it_and_is_what_it_says),
        TEST(a_false_condition_skips_without_failing),
        TEST(a_pipeline_with_no_job_for_the_branch_makes_no_build),
        TEST(a_build_ends_when_its_last_job_is_skipped),
        TEST(a_pipeline_with_mistakes_is_a_failed_build_that_says_where),
        TEST(the_same_end_again_is_fine_and_another_is_stale),
        TEST(a_lost_lease_is_a_new_attempt_and_the_old_one_changes_nothing),
        TEST(an_order_is_given_once_and_none_for_what_has_ended),
        TEST(who_is_still_there_long_after_his_end_is_told_so),
        TEST(three_lost_attempts_fail_as_lost),
        TEST(a_job_that_speaks_keeps_its_lease_without_its_runner),
        TEST(cancel_ends_what_waits_and_asks_what_runs),
        TEST(a_queued_build_is_cancelled_at_once),
        TEST(an_end_waits_for_the_whole_log),
        TEST(a_push_is_built_once_however_often_it_is_told),
        TEST(a_push_that_nobody_told_is_found),
        TEST(a_stale_attempt_replaces_no_artifact),
        TEST(every_change_has_its_event),
        TEST(a_deployment_follows_its_job),
        TEST(a_deploy_is_skipped_when_the_job_of_its_release_was),
        TEST(a_deploy_that_is_live_can_be_cancelled_with_its_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
