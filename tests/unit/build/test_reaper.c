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

/* ---- the clock is set ---- */

#define HOUR (3600 * US_PER_S)

/* A build of a job that runs, one that waits for a retry and one that is queued, all of them timed. */
typedef struct Timed {
    int64_t build, running, paused, queued;
} Timed;

static Timed timed(Fixture *f) {
    Timed t;
    ClaimedJob c;

    commit_pipeline(f, "timeout: 1m\njobs:\n"
                       "  paused: {steps: [\"true\"], retry: {times: 1, backoff: 1m}, priority: 2}\n"
                       "  running: {steps: [\"true\"], priority: 1}\n"
                       "  queued: {steps: [\"true\"], queue-timeout: 1m}\n");
    t.build = start(f).id;
    c = claim_one(f, 1);
    OK(report(f, &c, "failed"));
    t.running = claim_one(f, 1).job.id;
    t.paused = job_named(f, t.build, "paused")->id;
    t.queued = job_named(f, t.build, "queued")->id;
    assert_job(f, t.build, "paused", "blocked");
    return t;
}

/* All that is stored with a time is so much later, as by a clock that was so much ahead. */
static void write_ahead(Fixture *f, int64_t by) {
    static const char *const rows[] = {
        "UPDATE job SET lease_until = lease_until + ?1 WHERE lease_until > 0",
        "UPDATE job SET queued_at = queued_at + ?1 WHERE queued_at > 0",
        "UPDATE timer SET due_at = due_at + ?1",
        "UPDATE notice SET due_at = due_at + ?1",
        "UPDATE runner SET last_seen = last_seen + ?1",
    };

    OK(db_begin(f->builds.db, &err));
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        OK(db_exec(f->builds.db, NULL, &err, rows[i], "i", by));
    OK(db_commit(f->builds.db, &err));
}

/* By so much, since the last transaction. */
static void set_clock(Fixture *f, int64_t by) {
    write_ahead(f, -by);
    f->builds.clock_distance -= by;
}

static int64_t due(Fixture *f, const char *kind, int64_t subject) {
    int64_t at;

    OK(store_timer_due(f->builds.db, kind, subject, &at, &err));
    return at;
}

static void assert_soon(int64_t time, int64_t at_most) {
    assert_in_range(time, clock_now(), clock_now() + at_most);
}

static void assert_timed(Fixture *f, const Timed *t) {
    assert_soon(job_named(f, t->build, "running")->lease_until, 30 * US_PER_S);
    assert_soon(due(f, "build", t->build), 60 * US_PER_S);
    assert_soon(due(f, "queue", t->queued), 60 * US_PER_S);
    assert_soon(due(f, "retry", t->paused), 60 * US_PER_S);
    assert_in_range(job_named(f, t->build, "queued")->queued_at, clock_now() - 10 * US_PER_S, clock_now());
}

static void what_lasts_for_a_while_lasts_as_long_although_the_clock_is_set(void **state) {
    static const int64_t jumps[] = {-HOUR, HOUR, -3 * US_PER_S, 3 * US_PER_S};
    Fixture *f = *state;
    Timed t = timed(f);

    for (size_t i = 0; i < ELEMENTS(jumps); i++) {
        set_clock(f, jumps[i]);
        OK(timer_fire_due(&f->builds, &err));
        OK(jump_look(&f->builds, &err));
        assert_timed(f, &t);
        assert_job(f, t.build, "running", "running");
    }
}

static void a_schedule_is_of_the_wall_clock_and_stays(void **state) {
    Fixture *f = *state;
    int64_t at = clock_now() + HOUR;

    timed(f);
    OK(db_begin(f->builds.db, &err));
    OK(store_timer_set(f->builds.db, &(Timer){.kind = "schedule", .subject_id = 1, .due_at = at}, &err));
    OK(db_commit(f->builds.db, &err));
    f->builds.clock_distance += 2 * HOUR;
    OK(jump_look(&f->builds, &err));
    assert_int_equal(due(f, "schedule", 1), at);
}

/* Nobody knows then by how much. */
static void after_a_start_nothing_is_further_ahead_than_it_is_long(void **state) {
    Fixture *f = *state;
    Timed t = timed(f);

    write_ahead(f, 48 * HOUR);
    f->builds.clock_distance = 0;
    OK(build_reaper_start(&f->builds, &err));
    assert_soon(job_named(f, t.build, "running")->lease_until, 30 * US_PER_S);
    assert_soon(due(f, "build", t.build), 60 * US_PER_S);
    assert_soon(due(f, "queue", t.queued), 60 * US_PER_S);
    assert_soon(due(f, "retry", t.paused), HOUR);
}

/* What follows the clock is written with the rest or not at all. */
static void a_transaction_that_fails_leaves_the_jump_to_the_next(void **state) {
    Fixture *f = *state;
    Timed t = timed(f);
    Tx tx;

    set_clock(f, -HOUR);
    OK(tx_begin(&f->builds, &tx, &err));
    assert_true(tx_end(&tx, err_set(&err, ERR_INVALID, "no"), &err) < 0);
    assert_true(due(f, "build", t.build) > clock_now() + 60 * US_PER_S);
    OK(jump_look(&f->builds, &err));
    assert_timed(f, &t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_lease_that_has_ended_is_lost),
        TEST(a_lease_that_cannot_be_ended_does_not_keep_the_others),
        TEST(a_server_that_slept_loses_no_lease),
        TEST(a_lease_that_is_renewed_right_after_its_end_is_not_lost),
        TEST(what_lasts_for_a_while_lasts_as_long_although_the_clock_is_set),
        TEST(a_schedule_is_of_the_wall_clock_and_stays),
        TEST(after_a_start_nothing_is_further_ahead_than_it_is_long),
        TEST(a_transaction_that_fails_leaves_the_jump_to_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
