/* A job's own retry rule, and the timers that its pauses are. */
#include "fixture.h"

#define EXIT_TWICE "{\"times\":2,\"on\":[\"exit\"],\"backoff\":0}"
#define EXIT_SLOWLY "{\"times\":2,\"on\":[\"exit\"],\"backoff\":3600000000}"

/* A build of one job `a`, which `b` needs, with the rule for `a`. */
static int64_t build_with(Fixture *f, const char *rule) {
    int64_t id;

    commit_pipeline(f, "jobs:\n  a: {steps: [\"true\"]}\n  b: {steps: [\"true\"], needs: [a]}\n");
    id = start(f).id;
    change(f, "UPDATE job SET retry = ?2 WHERE id = ?1", job_named(f, id, "a")->id, rule);
    return id;
}

static int64_t due_of(Fixture *f, const char *kind, int64_t subject) {
    int64_t due;

    OK(store_timer_due(f->builds.db, kind, subject, &due, &err));
    return due;
}

static AttemptRow *attempt_of(Fixture *f, int64_t job, int64_t number) {
    AttemptRow *row;

    OK(store_attempt_load(f->builds.db, job, number, f->mem, &row, &err));
    return row;
}

static void a_failure_that_the_rule_names_is_tried_again_and_then_stands(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_TWICE);
    ClaimedJob a;

    for (int i = 1; i <= 2; i++) {
        a = claim_one(f, 1);
        assert_int_equal(a.job.attempt, i);
        OK(report(f, &a, "failed"));
        assert_job(f, id, "a", "queued");
        assert_job(f, id, "b", "blocked");
        assert_string_equal(attempt_of(f, a.job.id, i)->reason, "exit");
        assert_int_equal(attempt_of(f, a.job.id, i)->exit_code, 1);
    }
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    assert_job(f, id, "a", "failed");
    assert_job(f, id, "b", "skipped");
    assert_build(f, id, "failed");
}

static Build *build_row(Fixture *f, int64_t id) {
    Build *build;

    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    return build;
}

/* Of jobs copied to a rerun, and of those that run again, too. */
static void a_build_counts_the_retries_of_its_jobs(void **state) {
    Fixture *f = *state;
    RerunRequest request = {.by = "ann", .failed = true};
    BuildOutcome again;
    ClaimedJob a, b;
    int64_t id;

    commit_pipeline(
        f, "jobs:\n  a: {steps: [\"true\"], retry: 2}\n  b: {steps: [\"true\"], retry: 10, needs: [a]}\n"
           "  c: {steps: [\"true\"], needs: [b]}\n");
    id = start(f).id;
    assert_int_equal(build_row(f, id)->retries, 0);
    assert_int_equal(build_row(f, id)->max_retries, 12);
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    a = claim_one(f, 1);
    assert_int_equal(build_row(f, id)->retries, 1);
    OK(report(f, &a, "success"));
    b = claim_one(f, 1);
    OK(report(f, &b, "cancelled"));
    assert_int_equal(build_row(f, id)->retries, 1);
    request.build = id;
    OK(build_rerun(&f->builds, &request, f->mem, &again, &err));
    assert_int_equal(build_row(f, again.id)->retries, 1);
    assert_int_equal(build_row(f, again.id)->max_retries, 12);
}

static void a_retried_job_that_succeeds_is_a_success(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_TWICE);
    ClaimedJob a = claim_one(f, 1), b;

    OK(report(f, &a, "failed"));
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    b = claim_one(f, 1);
    OK(report(f, &b, "success"));
    assert_build(f, id, "success");
}

static void a_failure_that_the_rule_does_not_name_is_final(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, "{\"times\":2,\"on\":[\"timeout\",\"oom\"],\"backoff\":0}");
    ClaimedJob a = claim_one(f, 1);

    OK(report(f, &a, "failed"));
    assert_job(f, id, "a", "failed");
    assert_build(f, id, "failed");
}

static void the_pause_is_a_timer_and_twice_as_long_each_time(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, "{\"times\":3,\"on\":[\"exit\"],\"backoff\":600000000}"),
            hour = 3600 * US_PER_S;
    ClaimedJob a, *none;

    for (int i = 0; i < 3; i++) {
        int64_t before = clock_now(), pause = 600 * US_PER_S << i;

        a = claim_one(f, 1);
        OK(report(f, &a, "failed"));
        assert_job(f, id, "a", "blocked");
        assert_int_equal(claim(f, 1, 5, &none), 0);
        assert_in_range(due_of(f, "retry", a.job.id), before + MIN(pause, hour),
                        clock_now() + MIN(pause, hour));
        pass(f, "retry", a.job.id);
        assert_job(f, id, "a", "queued");
    }
    assert_int_equal(due_of(f, "retry", a.job.id), 0);
}

static void a_job_in_its_pause_says_so(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, "{\"times\":3,\"on\":[\"exit\"],\"backoff\":10000000}");
    ClaimedJob a = claim_one(f, 1);
    const char *text;

    OK(report(f, &a, "failed"));
    text = why(f, id, "a");
    assert_non_null(str_after(text, "retry 1 of 3 in "));
    assert_true(str_ends(text, " s"));
}

static void the_pause_ends_over_a_restart(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_SLOWLY), deadline = clock_mono() + 20 * US_PER_S;
    ClaimedJob a = claim_one(f, 1);

    OK(report(f, &a, "failed"));
    change(f, "UPDATE timer SET due_at = 1 WHERE subject_id = ?1 AND kind = ?2", a.job.id, "retry");
    OK(build_reaper_start(&f->builds, &err));
    while (!str_eq(job_named(f, id, "a")->state, "queued"))
        assert_true(clock_mono() < deadline);
    build_reaper_stop(&f->builds);
}

static void a_timer_that_is_set_while_the_reaper_sleeps_wakes_it(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, "{\"times\":1,\"on\":[\"exit\"],\"backoff\":1000}");
    int64_t deadline = clock_mono() + 20 * US_PER_S;
    ClaimedJob a = claim_one(f, 1);

    OK(build_reaper_start(&f->builds, &err));
    OK(report(f, &a, "failed"));
    while (!str_eq(job_named(f, id, "a")->state, "queued"))
        assert_true(clock_mono() < deadline);
    build_reaper_stop(&f->builds);
}

static void a_cancel_during_the_pause_ends_it_at_once(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_SLOWLY);
    ClaimedJob a = claim_one(f, 1);

    OK(report(f, &a, "failed"));
    OK(build_cancel(&f->builds, id, "", &err));
    assert_build(f, id, "cancelled");
    assert_int_equal(due_of(f, "retry", a.job.id), 0);
}

static void a_job_that_was_asked_to_stop_is_not_tried_again(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_TWICE);
    ClaimedJob a = claim_one(f, 1);

    OK(build_cancel(&f->builds, id, "", &err));
    OK(report(f, &a, "failed"));
    assert_job(f, id, "a", "failed");
    assert_build(f, id, "cancelled");
}

static void lose(Fixture *f) {
    StopOrder *stops;
    size_t count;

    claim_one(f, 1);
    OK(build_renew(&f->builds, 1, NULL, 0, f->mem, &stops, &count, &err));
}

static void lost_attempts_are_counted_apart_from_retries(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, EXIT_TWICE);
    ClaimedJob a;

    lose(f);
    lose(f);
    a = claim_one(f, 1);
    OK(report(f, &a, "failed"));
    assert_int_equal(job_named(f, id, "a")->losses, 0);
    assert_int_equal(job_named(f, id, "a")->retries, 1);
    lose(f);
    lose(f);
    assert_job(f, id, "a", "queued");
    lose(f);
    assert_job(f, id, "a", "failed");
    assert_string_equal(job_named(f, id, "a")->reason, "lost");
}

static void lost_in_the_rule_is_tried_again_after_the_lost_attempts(void **state) {
    Fixture *f = *state;
    int64_t id = build_with(f, "{\"times\":1,\"on\":[\"lost\"],\"backoff\":0}");

    for (int i = 0; i < 3; i++)
        lose(f);
    assert_job(f, id, "a", "queued");
    assert_int_equal(job_named(f, id, "a")->retries, 1);
    for (int i = 0; i < 3; i++)
        lose(f);
    assert_job(f, id, "a", "failed");
    assert_string_equal(job_named(f, id, "a")->reason, "lost");
}

static void the_end_of_an_earlier_attempt_may_be_told_again(void **state) {
    Fixture *f = *state;
    StopOrder *stops;
    Attempt running;
    size_t count;
    ClaimedJob first, second;

    build_with(f, EXIT_TWICE);
    first = claim_one(f, 1);
    OK(report(f, &first, "failed"));
    OK(report(f, &first, "failed"));
    second = claim_one(f, 2);
    OK(report(f, &first, "failed"));
    assert_int_equal(report(f, &first, "success"), -ERR_CONFLICT);
    running = (Attempt){first.job.id, 1, NULL};
    OK(build_renew(&f->builds, 1, &running, 1, f->mem, &stops, &count, &err));
    assert_int_equal(count, 0);
    OK(report(f, &second, "success"));
}

static void artifacts_of_a_failed_attempt_do_not_remain(void **state) {
    Fixture *f = *state;
    ClaimedJob job;
    int64_t count, id = build_with(f, EXIT_TWICE);

    job = claim_one(f, 1);
    OK(keep_file(f, &job, "out", "x", 0));
    OK(report(f, &job, "failed"));
    OK(store_artifact_count(f->builds.db, id, &count, &err));
    assert_int_equal(count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_failure_that_the_rule_names_is_tried_again_and_then_stands),
        TEST(a_build_counts_the_retries_of_its_jobs),
        TEST(a_retried_job_that_succeeds_is_a_success),
        TEST(a_failure_that_the_rule_does_not_name_is_final),
        TEST(the_pause_is_a_timer_and_twice_as_long_each_time),
        TEST(a_job_in_its_pause_says_so),
        TEST(the_pause_ends_over_a_restart),
        TEST(a_timer_that_is_set_while_the_reaper_sleeps_wakes_it),
        TEST(a_cancel_during_the_pause_ends_it_at_once),
        TEST(a_job_that_was_asked_to_stop_is_not_tried_again),
        TEST(lost_attempts_are_counted_apart_from_retries),
        TEST(lost_in_the_rule_is_tried_again_after_the_lost_attempts),
        TEST(the_end_of_an_earlier_attempt_may_be_told_again),
        TEST(artifacts_of_a_failed_attempt_do_not_remain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
