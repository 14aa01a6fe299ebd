/* The thread that ends leases. What it finds is written into the rows; what it does is waited for. */
#include "fixture.h"

#include <sched.h>

static const char pipeline[] = "jobs:\n  a: {steps: [\"true\"]}\n  b: {steps: [\"true\"]}\n";

static void until_state(Fixture *f, int64_t build, const char *name, const char *word) {
    int64_t deadline = clock_mono() + 60 * US_PER_S;

    while (!str_eq(job_named(f, build, name)->state, word)) {
        assert_true(clock_mono() < deadline);
        sched_yield();
    }
}

static int64_t leased(Fixture *f, ClaimedJob *a, ClaimedJob *b) {
    int64_t id;

    f->builds.options.lease_us = 2 * US_PER_S;
    commit_pipeline(f, pipeline);
    id = start(f).id;
    *a = claim_one(f, 1);
    *b = claim_one(f, 2);
    return id;
}

static int teardown(void **state) {
    build_reaper_stop(&((Fixture *)*state)->builds);
    return fixture_teardown(state);
}

static void a_lease_that_has_ended_is_lost(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t id = leased(f, &a, &b);

    OK(build_reaper_start(&f->builds, &err));
    until_state(f, id, "a", "queued");
    until_state(f, id, "b", "queued");
}

static void a_lease_that_cannot_be_ended_does_not_keep_the_others(void **state) {
    Fixture *f = *state;
    ClaimedJob a, b;
    int64_t id = leased(f, &a, &b);

    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, /* a deploy without a deployment: an end that fails */
               "UPDATE job SET kind = 'deploy', stop_reason = 'user' WHERE id = ?1", "i", a.job.id));
    OK(db_commit(f->builds.db, &err));
    OK(build_reaper_start(&f->builds, &err));
    until_state(f, id, "b", "queued");
    assert_job(f, id, "a", "running");
}

/* As after a long stop: who wakes up finds a lease that ended long ago. */
static void a_server_that_slept_loses_no_lease(void **state) {
    Fixture *f = *state;
    Db *db = f->builds.db;
    int64_t deadline = clock_mono() + 60 * US_PER_S, id, job;

    OK(build_reaper_start(&f->builds, &err));
    commit_pipeline(f, pipeline);
    id = start(f).id;
    job = job_named(f, id, "a")->id;
    OK(db_begin(db, &err));
    OK(db_exec(db, NULL, &err,
               "UPDATE job SET state = 'running', attempt = 1, runner_id = 1, lease_until = 1 WHERE id = ?1",
               "i", job));
    OK(db_commit(db, &err));
    build_reaper_wake(&f->builds, 0);
    while (job_named(f, id, "a")->lease_until == 1) {
        assert_true(clock_mono() < deadline);
        sched_yield();
    }
    assert_job(f, id, "a", "running");
}

static void until(int64_t time) {
    while (clock_now() < time)
        sched_yield();
}

/* As of a runner that could not reach a server that was stopped for a moment. */
static void a_lease_that_is_renewed_right_after_its_end_is_not_lost(void **state) {
    Fixture *f = *state;
    int64_t end = clock_now() + 100 * US_PER_MS, id;
    StopOrder *stops;
    size_t count;
    ClaimedJob a, b;
    Attempt attempt;

    id = leased(f, &a, &b);
    f->builds.options.lease_us = 4 * US_PER_S;
    attempt = (Attempt){.job = a.job.id, .attempt = a.job.attempt};
    OK(build_reaper_start(&f->builds, &err));
    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, "UPDATE job SET lease_until = ?1 WHERE state = 'running'", "i",
               end));
    OK(db_commit(f->builds.db, &err));
    build_reaper_wake(&f->builds, 0);
    until(end + 50 * US_PER_MS);
    OK(build_renew(&f->builds, 1, &attempt, 1, f->mem, &stops, &count, &err));
    until_state(f, id, "b", "queued");
    assert_job(f, id, "a", "running");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_lease_that_has_ended_is_lost),
        TEST(a_lease_that_cannot_be_ended_does_not_keep_the_others),
        TEST(a_server_that_slept_loses_no_lease),
        TEST(a_lease_that_is_renewed_right_after_its_end_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
