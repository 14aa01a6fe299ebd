/* on.schedule, timezone. */
#include "support.h"

#define JOB "jobs:\n  test:\n    steps: [make]\n"
#define NIGHTLY "on: {schedule: {nightly: \"0 3 * * *\", weekly: \"@weekly\"}}\n"

static Case plan_on(const char *text, const char *event, const char *schedule) {
    PlanContext context = on_main;
    Case c;

    context.event = event;
    context.schedule = schedule;
    c = plan_in(text, &context);
    if (c.result < 0)
        fail_msg("%s", c.err.msg);
    return c;
}

static void expect_schedule(const Case *c, size_t i, const char *name, const char *cron, const char *zone) {
    assert_true(i < c->plan->schedule_count);
    assert_string_equal(c->plan->schedules[i].name, name);
    assert_string_equal(c->plan->schedules[i].cron, cron);
    assert_string_equal(c->plan->schedules[i].timezone, zone);
}

static void the_plan_has_the_schedules(void **state) {
    _cleanup_case_ Case c = plan_fine("timezone: Europe/Berlin\n" NIGHTLY JOB), utc = plan_fine(NIGHTLY JOB),
                        none = plan_fine("timezone: UTC\n" JOB);

    assert_int_equal(c.plan->schedule_count, 2);
    expect_schedule(&c, 0, "nightly", "0 3 * * *", "Europe/Berlin");
    expect_schedule(&c, 1, "weekly", "@weekly", "Europe/Berlin");
    expect_schedule(&utc, 0, "nightly", "0 3 * * *", "UTC");
    assert_int_equal(none.plan->schedule_count, 0);
}

static void forms_that_are_accepted(void **state) {
    static const char *const forms[] = {
        "on: {push: , schedule: {a: 0 3 * * *}}\n",
        "on:\n  push: [main]\n  schedule:\n    a: \"0 3 * * 1-5\"\n",
        "on: {schedule: {a: '*/10 * * * *'}}\n",
        "on: {schedule: {a: \"30 0 3 * * *\"}}\n",
    };

    for (size_t i = 0; i < ELEMENTS(forms); i++) {
        _cleanup_talloc_ char *text = mem_printf(NULL, "%s" JOB, forms[i]);
        _cleanup_case_ Case c = plan_fine(text);

        assert_int_equal(c.plan->schedule_count, 1);
        assert_string_equal(c.plan->schedules[0].name, "a");
    }
}

static void with_nothing_but_a_schedule_nothing_else_is_built(void **state) {
    static const char *const others[] = {"push", "pull_request", "tag"};

    for (size_t i = 0; i < ELEMENTS(others); i++) {
        _cleanup_case_ Case c = plan_on(NIGHTLY JOB, others[i], NULL);

        assert_non_null(c.plan->why);
        assert_int_equal(c.plan->count, 0);
        assert_int_equal(c.plan->schedule_count, 2); /* all the same */
    }
    _cleanup_case_ Case at = plan_on(NIGHTLY JOB, "schedule", "weekly"),
                        hand = plan_on(NIGHTLY JOB, "manual", NULL),
                        any = plan_on(NIGHTLY JOB, "schedule", NULL);
    assert_int_equal(at.plan->count, 1);
    assert_int_equal(hand.plan->count, 1);
    assert_int_equal(any.plan->count, 1);
}

static void without_one_no_schedule_builds(void **state) {
    _cleanup_case_ Case none = plan_on(JOB, "schedule", NULL),
                        push = plan_on("on: push\n" JOB, "schedule", "x"),
                        other = plan_on(NIGHTLY JOB, "schedule", "monthly");

    assert_string_equal(none.plan->why, "it has no schedule");
    assert_string_equal(push.plan->why, "it has no schedule");
    assert_string_equal(other.plan->why, "it has no schedule monthly");
}

static void a_condition_knows_which_one_it_is(void **state) {
#define JOBS                                                                                                 \
    "jobs:\n  a:\n    if: schedule == \"nightly\"\n    steps: [make]\n"                                      \
    "  b:\n    if: event == \"schedule\" && schedule != \"nightly\"\n    needs: a\n    steps: [make]\n"      \
    "  c:\n    steps: [make]\n"
    _cleanup_case_ Case nightly = plan_on(NIGHTLY JOBS, "schedule", "nightly"),
                        weekly = plan_on(NIGHTLY JOBS, "schedule", "weekly"),
                        push = plan_on("on: {push: , schedule: {nightly: '@daily'}}\n" JOBS, "push", NULL);

    assert_false(nightly.plan->jobs[0].skip);
    assert_true(nightly.plan->jobs[1].skip);
    assert_true(weekly.plan->jobs[0].skip);
    assert_true(push.plan->jobs[0].skip);
    assert_false(push.plan->jobs[2].skip);
    /* who evaluates it later knows no schedule */
    assert_string_equal(weekly.plan->jobs[1].condition, "event == \"schedule\" && 'weekly' != \"nightly\"");
}

static void bad_times_have_their_place_and_say_what_was_meant(void **state) {
    expect_problems(
        "on:\n  schedule:\n    nightly: \"0 24 * * *\"\n" JOB,
        "3:17: schedule \"nightly\": \"24\" is no hour; expected 0 to 23, ranges (1-5), lists (1,5), "
        "steps (*/5) or *; did you mean \"0 0 * * *\"?");
    expect_problems(
        "on:\n  schedule:\n    a: 0 3 * * monday\n    b: \"@dialy\"\n" JOB,
        "3:16: schedule \"a\": \"monday\" is no day of the week; expected 0 to 7, ranges (1-5), "
        "lists (1,5), steps (*/5) or *; did you mean \"0 3 * * mon\"?",
        "4:9: schedule \"b\": expected five fields (minute, hour, day, month, weekday), or six with "
        "seconds before them, got \"@dialy\"; did you mean \"@daily\"?");
    expect_problems("on: {schedule: {a: \"0 0 31 2 *\"}}\n" JOB,
                    "1:21: schedule \"a\": \"0 0 31 2 *\" never comes: there is no such day within 8 years");
    expect_problems("on: {schedule: {a: \"\\e[1m\"}}\n" JOB,
                    "1:21: schedule \"a\": expected digits, names and * , - / alone");
}

#define WANTS "expected a mapping of names to times, as {nightly: \"0 3 * * *\"}, at most 100, got "
#define A_TIME "expected a time such as \"0 3 * * *\" (minute, hour, day, month, weekday) or \"@daily\", got "

static void other_forms_are_refused(void **state) {
    expect_problems("on: {schedule: \"0 3 * * *\"}\n" JOB,
                    "1:16: \"schedule\" of on: " WANTS "\"0 3 * * *\"");
    expect_problems("on: {schedule: [{cron: \"0 3 * * *\"}]}\n" JOB,
                    "1:16: \"schedule\" of on: " WANTS "a list");
    expect_problems(
        "on: [push, schedule]\n" JOB,
        "1:12: \"schedule\" in on is empty; expected a mapping of names to times, as {nightly: \"0 3 * * "
        "*\"}, at most 100");
    expect_problems("on: {schedule: {}}\n" JOB, "1:16: \"schedule\" of on: " WANTS "an empty mapping");
    expect_problems(
        "on: {schedule: {\"a b\": \"0 3 * * *\", c: , d: [x]}}\n" JOB,
        "1:17: bad name \"a b\" of a schedule; expected letters, digits, _, - and dots, at most 100",
        "1:37: schedule \"c\": " A_TIME "nothing", "1:45: schedule \"d\": " A_TIME "a list");
    expect_problems("on: {cron: {a: \"0 3 * * *\"}}\n" JOB,
                    "1:6: unknown key \"cron\" in on; did you mean \"schedule\"?");
}

static void a_bad_time_zone_is_refused(void **state) {
    expect_problems(
        "timezone: Europe/Berln\n" NIGHTLY JOB,
        "1:11: \"timezone\": time zone \"Europe/Berln\" is not known here; expected a name such as "
        "Europe/Berlin, or UTC; did you mean \"Europe/Berlin\"?");
    expect_problems("timezone: \"x\\e[1my\"\n" JOB,
                    "1:11: \"timezone\": time zone \"x?[1my\" is not known here; expected a name such as "
                    "Europe/Berlin, or UTC");
    expect_problems("timezone: [UTC]\n" JOB,
                    "1:11: \"timezone\": expected a time zone such as Europe/Berlin, got a list");
    expect_problems("time_zone: UTC\n" JOB,
                    "1:1: unknown key \"time_zone\" at the top level; did you mean \"timezone\"?");
}

static void a_hundred_are_the_most(void **state) {
    for (size_t count = 100; count <= 101; count++) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_adds(&text, "on:\n  schedule:\n");
        for (size_t i = 0; i < count; i++)
            buf_addf(&text, "    s%zu: \"@daily\"\n", i);
        buf_adds(&text, JOB);
        _cleanup_case_ Case c = plan_in(buf_str(&text), &on_main);
        assert_int_equal(c.result, count == 100 ? 0 : -ERR_INVALID);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_has_the_schedules),
        cmocka_unit_test(forms_that_are_accepted),
        cmocka_unit_test(with_nothing_but_a_schedule_nothing_else_is_built),
        cmocka_unit_test(without_one_no_schedule_builds),
        cmocka_unit_test(a_condition_knows_which_one_it_is),
        cmocka_unit_test(bad_times_have_their_place_and_say_what_was_meant),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(a_bad_time_zone_is_refused),
        cmocka_unit_test(a_hundred_are_the_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
