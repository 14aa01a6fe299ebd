/* Builds that take turns, and times that are over. */
#include "fixture.h"

static void pipeline(Fixture *f, const char *head) {
    commit_pipeline(
        f, mem_printf(f->mem, "%s\njobs:\n  a: {steps: [\"true\"]}\n  b: {steps: [\"true\"], needs: [a]}\n",
                      head));
}

static Build *build_at(Fixture *f, int64_t id) {
    Build *build;

    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    return build;
}

static void assert_held(Fixture *f, int64_t id) {
    assert_true(build_at(f, id)->held);
    assert_build(f, id, "queued");
    assert_job(f, id, "a", "blocked");
}

static void assert_superseded(Fixture *f, int64_t id, int64_t by) {
    assert_build(f, id, "cancelled");
    assert_string_equal(build_at(f, id)->reason, "superseded");
    assert_string_equal(build_at(f, id)->message, mem_printf(f->mem, "superseded by build %d", (int)by));
}

static void finish_build(Fixture *f, ClaimedJob a) {
    ClaimedJob b;

    OK(report(f, &a, "success"));
    b = claim_one(f, a.job.runner_id);
    assert_int_equal(b.job.build_id, a.job.build_id);
    OK(report(f, &b, "success"));
}

static void a_build_waits_for_the_one_before_it_in_its_group(void **state) {
    Fixture *f = *state;
    ClaimedJob a, *none;
    int64_t first, second;

    pipeline(f, "concurrency: deploy");
    first = start(f).id;
    assert_false(build_at(f, first)->held);
    a = claim_one(f, 1);
    second = start(f).id;
    assert_held(f, second);
    assert_int_equal(claim(f, 1, 5, &none), 0);
    finish_build(f, a);
    assert_build(f, first, "success");
    assert_false(build_at(f, second)->held);
    a = claim_one(f, 1);
    assert_int_equal(a.job.build_id, second);
    finish_build(f, a);
    assert_build(f, second, "success");
}

static void a_newer_build_supersedes_one_that_has_not_begun(void **state) {
    Fixture *f = *state;
    int64_t running, waiting, newest;
    ClaimedJob a;

    pipeline(f, "concurrency: deploy");
    running = start(f).id;
    a = claim_one(f, 1);
    waiting = start(f).id;
    newest = start(f).id;
    assert_superseded(f, waiting, newest);
    assert_build(f, running, "running");
    assert_held(f, newest);
    finish_build(f, a);
    assert_int_equal(claim_one(f, 1).job.build_id, newest);
}

static void one_that_no_runner_has_taken_yet_has_not_begun(void **state) {
    Fixture *f = *state;
    int64_t first, second;

    pipeline(f, "concurrency: deploy");
    first = start(f).id;
    second = start(f).id;
    assert_superseded(f, first, second);
    assert_int_equal(claim_one(f, 1).job.build_id, second);
}

static void a_running_build_is_superseded_where_the_pipeline_says_so(void **state) {
    Fixture *f = *state;
    int64_t first, second;
    ClaimedJob a;

    pipeline(f, "concurrency: {group: deploy, cancel: running}");
    first = start(f).id;
    a = claim_one(f, 1);
    second = start(f).id;
    assert_string_equal(job_named(f, first, "a")->stop_reason, "superseded");
    assert_job(f, first, "b", "cancelled");
    assert_held(f, second); /* until the first has really ended */
    OK(report(f, &a, "cancelled"));
    assert_superseded(f, first, second);
    assert_string_equal(job_named(f, first, "a")->reason, "superseded");
    assert_int_equal(claim_one(f, 1).job.build_id, second);
}

static void builds_that_cancel_nothing_have_their_turn_in_order(void **state) {
    Fixture *f = *state;
    int64_t ids[4];

    pipeline(f, "concurrency: {group: deploy, cancel: none}");
    for (int i = 0; i < 4; i++)
        ids[i] = start(f).id;
    for (int i = 0; i < 4; i++) {
        ClaimedJob a = claim_one(f, 1);

        assert_int_equal(a.job.build_id, ids[i]);
        for (int k = i + 1; k < 4; k++)
            assert_held(f, ids[k]);
        finish_build(f, a);
    }
}

static void so_many_run_as_the_limit_says(void **state) {
    Fixture *f = *state;
    int64_t ids[4];

    pipeline(f, "concurrency: {group: deploy, cancel: none, limit: 2}");
    for (int i = 0; i < 4; i++)
        ids[i] = start(f).id;
    assert_false(build_at(f, ids[0])->held);
    assert_false(build_at(f, ids[1])->held);
    assert_held(f, ids[2]);
    OK(build_cancel(&f->builds, ids[1], "", &err));
    assert_false(build_at(f, ids[2])->held);
    assert_held(f, ids[3]);
}

static void groups_of_other_names_and_none_do_not_wait(void **state) {
    Fixture *f = *state;

    pipeline(f, "concurrency: deploy");
    start(f);
    claim_one(f, 1);
    pipeline(f, "concurrency: lint");
    assert_false(build_at(f, start(f).id)->held);
    pipeline(f, "");
    assert_false(build_at(f, start(f).id)->held);
}

static void a_held_build_is_cancelled_at_once_and_the_next_keeps_its_place(void **state) {
    Fixture *f = *state;
    int64_t ids[3];
    ClaimedJob a;

    pipeline(f, "concurrency: {group: deploy, cancel: none}");
    for (int i = 0; i < 3; i++)
        ids[i] = start(f).id;
    a = claim_one(f, 1);
    OK(build_cancel(&f->builds, ids[1], "ann", &err));
    assert_build(f, ids[1], "cancelled");
    assert_string_equal(build_at(f, ids[1])->message, "cancelled by ann");
    assert_held(f, ids[2]);
    finish_build(f, a);
    assert_int_equal(claim_one(f, 1).job.build_id, ids[2]);
}

static void a_held_job_says_behind_which_build(void **state) {
    Fixture *f = *state;
    int64_t ids[3];

    pipeline(f, "concurrency: {group: deploy, cancel: none}");
    for (int i = 0; i < 3; i++)
        ids[i] = start(f).id;
    assert_string_equal(why(f, ids[1], "a"),
                        mem_printf(f->mem, "concurrency group deploy: behind build %d", (int)ids[0]));
    assert_string_equal(
        why(f, ids[2], "a"),
        mem_printf(f->mem, "concurrency group deploy: behind build %d and 1 before it", (int)ids[1]));
}

static int64_t due_of(Fixture *f, const char *kind, int64_t subject) {
    int64_t due;

    OK(store_timer_due(f->builds.db, kind, subject, &due, &err));
    return due;
}

static void the_time_of_a_build_runs_from_its_start(void **state) {
    Fixture *f = *state;
    int64_t id, before;

    pipeline(f, "timeout: 1h");
    id = start(f).id;
    assert_int_equal(due_of(f, "build", id), 0);
    before = clock_now();
    claim_one(f, 1);
    assert_in_range(due_of(f, "build", id), before + 3600 * US_PER_S, clock_now() + 3600 * US_PER_S);
}

static void the_time_of_a_held_build_does_not_run(void **state) {
    Fixture *f = *state;
    int64_t id;

    pipeline(f, "concurrency: deploy\ntimeout: 1h");
    start(f);
    claim_one(f, 1);
    id = start(f).id;
    assert_held(f, id);
    assert_int_equal(due_of(f, "build", id), 0);
}

static void a_build_whose_time_is_over_fails_and_says_which(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    int64_t id;

    pipeline(f, "timeout: 1h");
    id = start(f).id;
    a = claim_one(f, 1);
    pass(f, "build", id);
    assert_build(f, id, "running");
    assert_job(f, id, "b", "cancelled");
    assert_string_equal(job_named(f, id, "a")->stop_reason, "timeout");
    OK(report(f, &a, "cancelled"));
    assert_build(f, id, "failed");
    assert_string_equal(build_at(f, id)->reason, "timeout");
    assert_non_null(strstr(build_at(f, id)->message, "the build's time of 60 min"));
    assert_string_equal(job_named(f, id, "a")->reason, "timeout");
}

static void a_build_that_ends_in_time_leaves_no_timer(void **state) {
    Fixture *f = *state;
    int64_t id;

    pipeline(f, "timeout: 1h");
    id = start(f).id;
    finish_build(f, claim_one(f, 1));
    assert_build(f, id, "success");
    assert_int_equal(due_of(f, "build", id), 0);
}

static void a_job_that_no_runner_takes_in_time_fails(void **state) {
    Fixture *f = *state;
    int64_t id, a;

    pipeline(f, "queue-timeout: 10m");
    id = start(f).id;
    a = job_named(f, id, "a")->id;
    assert_true(due_of(f, "queue", a) > clock_now() + 500 * US_PER_S);
    pass(f, "queue", a);
    assert_job(f, id, "a", "failed");
    assert_string_equal(job_named(f, id, "a")->reason, "timeout");
    assert_string_equal(
        job_named(f, id, "a")->message,
        "no runner took it within its queue-timeout of 10 min: there is no runner; start one: pelton runner "
        "--server URL --token-file FILE");
    assert_build(f, id, "failed");
}

static void a_job_that_a_runner_takes_in_time_leaves_no_timer(void **state) {
    Fixture *f = *state;
    ClaimedJob a;
    int64_t id;

    pipeline(f, "queue-timeout: 10m");
    id = start(f).id;
    a = claim_one(f, 1);
    assert_int_equal(due_of(f, "queue", a.job.id), 0);
    OK(report(f, &a, "success"));
    assert_true(due_of(f, "queue", job_named(f, id, "b")->id) > 0);
    OK(build_cancel(&f->builds, id, "", &err));
    assert_int_equal(due_of(f, "queue", job_named(f, id, "b")->id), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_build_waits_for_the_one_before_it_in_its_group),
        TEST(a_newer_build_supersedes_one_that_has_not_begun),
        TEST(one_that_no_runner_has_taken_yet_has_not_begun),
        TEST(a_running_build_is_superseded_where_the_pipeline_says_so),
        TEST(builds_that_cancel_nothing_have_their_turn_in_order),
        TEST(so_many_run_as_the_limit_says),
        TEST(groups_of_other_names_and_none_do_not_wait),
        TEST(a_held_build_is_cancelled_at_once_and_the_next_keeps_its_place),
        TEST(a_held_job_says_behind_which_build),
        TEST(the_time_of_a_build_runs_from_its_start),
        TEST(the_time_of_a_held_build_does_not_run),
        TEST(a_build_whose_time_is_over_fails_and_says_which),
        TEST(a_build_that_ends_in_time_leaves_no_timer),
        TEST(a_job_that_no_runner_takes_in_time_fails),
        TEST(a_job_that_a_runner_takes_in_time_leaves_no_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
