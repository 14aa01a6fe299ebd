/* Jobs that a job hands over to its build, in whatever order things end. */
#include "fixture.h"

#define PART "jobs:\n  x: {needs: [b], steps: [\"true\"]}\n  y: {steps: [\"true\"]}\n"

static int report_part(Fixture *f, const ClaimedJob *c, const char *part) {
    JobReport r = {.attempt = {c->job.id, c->job.attempt},
                   .runner_id = c->job.runner_id,
                   .state = "success",
                   .reason = "",
                   .message = "",
                   .log_size = -1,
                   .pipeline = part};
    uint64_t next;
    bool stop;

    return build_report(&f->builds, &r, &next, &stop, &err);
}

/* A build of a maker "a" and a "b", both claimed. */
static int64_t begin(Fixture *f, ClaimedJob *a, ClaimedJob *b) {
    int64_t id;

    commit_pipeline(f, "jobs:\n  a: {steps: [\"true\"]}\n  b: {steps: [\"true\"]}\n"
                       "  after: {needs: [a, b], steps: [\"true\"]}\n");
    id = start(f).id;
    *a = claim_one(f, 1);
    *b = claim_one(f, 1);
    assert_string_equal(a->job.name, "a");
    return id;
}

static size_t count_jobs(Fixture *f, int64_t build) {
    int64_t count;

    OK(store_job_count(f->builds.db, build, &count, &err));
    return (size_t)count;
}

static void end_all(Fixture *f, int64_t build, size_t expected) {
    ClaimedJob *jobs;

    for (size_t n = 0; n < expected; n++) {
        assert_int_equal(claim(f, 1, 1, &jobs), 1);
        OK(report(f, &jobs[0], "success"));
    }
    assert_int_equal(claim(f, 1, 1, &jobs), 0);
    assert_build(f, build, "success");
}

static void new_jobs_wait_for_what_they_need(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(report_part(f, &a, PART));
    assert_job(f, build, "x", "blocked");
    assert_job(f, build, "y", "queued");
    assert_job(f, build, "after", "blocked");
    OK(report(f, &b, "success"));
    assert_job(f, build, "x", "queued");
    assert_job(f, build, "after", "queued");
    end_all(f, build, 3);
}

static void what_has_ended_is_not_waited_for(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(report(f, &b, "success"));
    OK(report_part(f, &a, PART));
    assert_job(f, build, "x", "queued");
    end_all(f, build, 3);
}

static void the_build_goes_on_for_jobs_of_its_last_one(void **state) {
    Fixture *f = *state;
    int64_t build;
    ClaimedJob a;

    commit_pipeline(f, "jobs:\n  a: {steps: [\"true\"]}\n");
    build = start(f).id;
    a = claim_one(f, 1);
    OK(report_part(f, &a, "jobs:\n  x: {steps: [\"true\"]}\n"));
    assert_build(f, build, "running");
    end_all(f, build, 1);
}

static void a_need_that_failed_skips_them(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(report(f, &b, "failed"));
    OK(report_part(f, &a, PART));
    assert_job(f, build, "x", "skipped");
    assert_job(f, build, "y", "queued");
    a = claim_one(f, 1);
    OK(report(f, &a, "success"));
    assert_build(f, build, "failed");
}

static void the_same_report_again_adds_nothing(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(report_part(f, &a, PART));
    OK(report_part(f, &a, PART));
    assert_int_equal(count_jobs(f, build), 5);
}

static void a_stale_attempt_adds_nothing(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(build_abandon(&f->builds, 1, &err));
    assert_int_equal(report_part(f, &a, PART), -ERR_CONFLICT);
    assert_int_equal(count_jobs(f, build), 3);
}

static void mistakes_fail_the_job_and_add_nothing(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(report_part(f, &a, "jobs:\n  x: {stesp: [1]}\n"));
    assert_job(f, build, "a", "failed");
    assert_non_null(strstr(job_named(f, build, "a")->message, "line 2, column 7: unknown key \"stesp\""));
    assert_int_equal(count_jobs(f, build), 3);
}

static void a_build_that_is_cancelled_gets_none(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t build = begin(f, &a, &b);

    OK(build_cancel(&f->builds, build, "ann", &err));
    OK(report_part(f, &a, PART));
    assert_int_equal(count_jobs(f, build), 3);
    OK(report(f, &b, "success"));
    assert_build(f, build, "cancelled");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_jobs_wait_for_what_they_need),           TEST(what_has_ended_is_not_waited_for),
        TEST(the_build_goes_on_for_jobs_of_its_last_one), TEST(a_need_that_failed_skips_them),
        TEST(the_same_report_again_adds_nothing),         TEST(a_stale_attempt_adds_nothing),
        TEST(mistakes_fail_the_job_and_add_nothing),      TEST(a_build_that_is_cancelled_gets_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
