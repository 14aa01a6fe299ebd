/* Builds that the clock starts: which schedules a repository has, and what happens at their times. */
#include "fixture.h"

#define JOB "jobs: {a: {steps: [\"true\"]}}\n"
#define NIGHTLY "on: {push: , schedule: {nightly: \"0 3 * * *\"}}\n" JOB
#define TWO "on: {push: , schedule: {nightly: \"0 3 * * *\", weekly: \"@weekly\"}}\n"

static const char zero[] = "0000000000000000000000000000000000000000";

static BuildOutcome tell_all(Fixture *f, const char *ref, const char *old_rev, const char *new_rev) {
    RefChange change = {.ref = ref, .old_rev = old_rev, .new_rev = new_rev, .pusher = "ann"};
    BuildOutcome outcome;

    OK(build_ref_changed(&f->builds, f->project, &change, f->mem, &outcome, &err));
    return outcome;
}

/* main is at this commit now, and the server was told. */
static BuildOutcome tell(Fixture *f, const char *ref, const char *commit) {
    const char *old;

    OK(store_ref_get(f->builds.db, f->project->id, ref, f->mem, &old, &err));
    return tell_all(f, ref, old ? old : zero, commit);
}

static BuildOutcome push(Fixture *f, const char *yaml) {
    commit_pipeline(f, yaml);
    return tell(f, "refs/heads/main", f->commit);
}

/* A commit with a message of its own; script changes the working tree. */
static BuildOutcome push_with(Fixture *f, const char *script, const char *message) {
    sh(f, mem_printf(f->mem,
                     "cd work; %s; git add -A >&2; git -c user.name=A -c user.email=a@example.com commit -qm "
                     "'%s' >&2; git push -q --force ../hello.git HEAD:main >&2; git rev-parse HEAD",
                     script, message));
    return tell(f, "refs/heads/main", f->commit);
}

static void git(Fixture *f, const char *arguments) {
    const char *keep = f->commit;

    sh(f, mem_printf(f->mem, "git -C hello.git %s", arguments));
    f->commit = keep;
}

static size_t schedules(Fixture *f, Schedule **ret) {
    size_t count;

    OK(store_schedules(f->builds.db, f->project->id, f->mem, ret, &count, &err));
    return count;
}

static const Schedule *schedule(Fixture *f, const char *name) {
    Schedule *all;
    size_t count = schedules(f, &all);

    for (size_t i = 0; i < count; i++)
        if (str_eq(all[i].name, name))
            return &all[i];
    fail_msg("no schedule %s", name);
    return NULL;
}

/* "nightly,weekly", each with a time that is to come; and no other timers. */
static void expect_names(Fixture *f, const char *expected) {
    _cleanup_buf_ Buf names = BUF_INIT;
    Schedule *all;
    size_t count = schedules(f, &all);
    int64_t timers;

    for (size_t i = 0; i < count; i++) {
        buf_addf(&names, "%s%s", i ? "," : "", all[i].name);
        assert_true(all[i].next_at > clock_now());
    }
    assert_string_equal(buf_str(&names), expected);
    OK(db_query_int(f->builds.db, &timers, &err, "SELECT COUNT(*) FROM timer WHERE kind = 'schedule'", ""));
    assert_int_equal(timers, count);
}

static int64_t builds(Fixture *f) {
    int64_t total;

    OK(store_builds_total(f->builds.db, 0, &total, &err));
    return total;
}

static Build *build(Fixture *f, int64_t id) {
    Build *b;

    OK(store_build_load(f->builds.db, id, f->mem, &b, &err));
    return b;
}

static void strike(Fixture *f, const char *name) {
    pass(f, "schedule", schedule(f, name)->id);
}

/* ---- which there are ---- */

static void a_push_adds_changes_and_removes_them(void **state) {
    Fixture *f = *state;
    int64_t id;

    assert_int_equal(push(f, NIGHTLY).id, 1);
    expect_names(f, "nightly");
    id = schedule(f, "nightly")->id;
    push(f, TWO JOB);
    expect_names(f, "nightly,weekly");
    assert_int_equal(schedule(f, "nightly")->id, id);
    push(f, "timezone: Europe/Berlin\n" TWO JOB);
    expect_names(f, "nightly,weekly");
    assert_string_equal(schedule(f, "nightly")->timezone, "Europe/Berlin");
    push(f, "on: {push: , schedule: {weekly: \"0 0 * * 1\"}}\n" JOB);
    expect_names(f, "weekly");
    assert_string_equal(schedule(f, "weekly")->cron, "0 0 * * 1");
    push(f, JOB);
    expect_names(f, "");
}

static void one_that_stays_keeps_its_time(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY);
    change(f, "UPDATE timer SET due_at = 7 WHERE subject_id = ?1 AND kind = ?2", schedule(f, "nightly")->id,
           "schedule");
    push(f, TWO JOB);
    assert_int_equal(schedule(f, "nightly")->next_at, 7);
}

static void a_push_that_builds_nothing_sets_them_too(void **state) {
    Fixture *f = *state;

    assert_int_equal(push(f, "on: {schedule: {nightly: \"@daily\"}}\n" JOB).id, 0);
    expect_names(f, "nightly");
    assert_int_equal(push_with(f,
                               "echo 'on: {schedule: {noon: \"0 12 * * *\"}}' >.pelton.yml;"
                               " echo 'jobs: {a: {steps: [x]}}' >>.pelton.yml",
                               "x [skip ci]")
                         .id,
                     0);
    expect_names(f, "noon");
    assert_int_equal(push(f, "on: {push: {paths: [src/**]}, schedule: {late: \"0 23 * * *\"}}\n" JOB).id, 0);
    expect_names(f, "late");
    assert_int_equal(push_with(f, "git rm -q .pelton.yml; echo x >README", "no file").id, 0);
    expect_names(f, "");
    assert_int_equal(builds(f), 0);
}

static void a_file_with_mistakes_leaves_them(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY);
    assert_string_equal(push(f, "on: {schedule: {other: \"@daily\"}}\njobs: {a: {stesp: [x]}}\n").status,
                        "failed");
    expect_names(f, "nightly");
    push_with(f, "echo 'jobs: 1' >.pelton.yml", "[skip ci]");
    expect_names(f, "nightly");
}

static void only_the_default_branch_has_them(void **state) {
    Fixture *f = *state;

    push(f, JOB);
    commit_pipeline(f, NIGHTLY);
    git(f, mem_printf(f->mem, "update-ref refs/heads/topic %s", f->commit));
    tell(f, "refs/heads/topic", f->commit);
    expect_names(f, "");
}

static void the_first_branch_of_a_repository_is_its_default_one(void **state) {
    Fixture *f = *state;

    sh(f, "cd work; echo 'on: {schedule: {nightly: \"@daily\"}}' >.pelton.yml;"
          " echo 'jobs: {a: {steps: [x]}}' >>.pelton.yml; git add -A >&2;"
          " git -c user.name=A -c user.email=a@example.com commit -qm x >&2;"
          " git push -q ../hello.git HEAD:trunk >&2; git rev-parse HEAD");
    tell(f, "refs/heads/trunk", f->commit);
    expect_names(f, "nightly");
    strike(f, "nightly");
    assert_string_equal(build(f, 1)->branch, "trunk");
}

static void without_the_branch_there_are_none(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY);
    git(f, "update-ref refs/heads/topic main");
    tell(f, "refs/heads/topic", f->commit);
    git(f, "update-ref -d refs/heads/topic");
    tell_all(f, "refs/heads/topic", f->commit, zero);
    expect_names(f, "nightly");
    git(f, "update-ref -d refs/heads/main");
    tell_all(f, "refs/heads/main", f->commit, zero);
    expect_names(f, "");
}

static void a_push_that_was_missed_counts_when_it_is_found(void **state) {
    Fixture *f = *state;
    size_t found = 0;

    push(f, JOB);
    commit_pipeline(f, NIGHTLY);
    OK(refs_compare(&f->builds, f->project, &found, &err));
    assert_int_equal(found, 1);
    expect_names(f, "nightly");
    git(f, "update-ref -d refs/heads/main");
    OK(refs_compare(&f->builds, f->project, &found, &err));
    expect_names(f, "");
}

static void a_push_that_is_told_late_takes_nothing_back(void **state) {
    Fixture *f = *state;
    const char *a, *b;

    push(f, JOB);
    a = f->commit;
    commit_pipeline(f, NIGHTLY);
    b = f->commit;
    commit_pipeline(f, TWO JOB);
    tell_all(f, "refs/heads/main", b, f->commit);
    assert_int_equal(tell_all(f, "refs/heads/main", a, b).id, 3);
    expect_names(f, "nightly,weekly");
}

static void those_of_a_stages_file_count_too(void **state) {
    Fixture *f = *state;

    push_with(
        f,
        "printf '%s\\n' 'name: x' 'triggers:' '- {trigger_type: manual}'"
        " '- {trigger_type: schedule, config: {cron_expression: \"0 3 * * *\", timezone: Europe/Berlin}}'"
        " 'stages:' '- {name: s, steps: [{name: t, config: {command: make}}]}' >pelton-stages.yml",
        "stages");
    expect_names(f, "trigger-2");
    assert_string_equal(schedule(f, "trigger-2")->timezone, "Europe/Berlin");
    assert_int_equal(builds(f), 0);
    strike(f, "trigger-2");
    assert_string_equal(build(f, 1)->event, "schedule");
    assert_string_equal(build(f, 1)->planner, "stages");
}

/* ---- at its time ---- */

static void at_its_time_the_newest_commit_is_built(void **state) {
    Fixture *f = *state;
    const Schedule *s;

    push(f, JOB);
    push(f,
         "on: {schedule: {nightly: \"0 3 * * *\", weekly: \"@weekly\"}}\n"
         "jobs:\n  a: {steps: [x], if: schedule == 'nightly'}\n  b: {steps: [x], if: schedule == 'weekly'}\n"
         "  c: {steps: [x], if: event == 'push'}\n  d: {steps: [x]}\n");
    assert_int_equal(builds(f), 1);
    strike(f, "nightly");
    assert_int_equal(builds(f), 2);
    assert_string_equal(build(f, 2)->event, "schedule");
    assert_string_equal(build(f, 2)->schedule, "nightly");
    assert_string_equal(build(f, 2)->commit, f->commit);
    assert_string_equal(build(f, 2)->branch, "main");
    assert_string_equal(build(f, 2)->pusher, "schedule");
    assert_job(f, 2, "a", "queued");
    assert_job(f, 2, "b", "skipped");
    assert_job(f, 2, "c", "skipped");
    assert_job(f, 2, "d", "queued");
    s = schedule(f, "nightly");
    assert_int_equal(s->last_build_id, 2);
    assert_true(s->last_at > 0 && s->next_at > s->last_at);
    assert_string_equal(s->message, "");
    strike(f, "weekly");
    assert_string_equal(build(f, 3)->schedule, "weekly");
    assert_job(f, 3, "a", "skipped");
    assert_job(f, 3, "b", "queued");
}

static void a_repeated_build_is_of_the_same_schedule(void **state) {
    RerunRequest again = {.build = 1, .by = "ann"};
    Fixture *f = *state;
    BuildOutcome outcome;
    ClaimedJob job;

    push(f, "on: {schedule: {nightly: \"@daily\"}}\n" JOB);
    strike(f, "nightly");
    job = claim_one(f, 1);
    OK(report(f, &job, "success"));
    OK(build_rerun(&f->builds, &again, f->mem, &outcome, &err));
    assert_string_equal(build(f, outcome.id)->event, "schedule");
    assert_string_equal(build(f, outcome.id)->schedule, "nightly");
}

static void what_the_commit_says_of_skipping_does_not_matter(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY);
    push_with(f, "echo >>README", "[skip ci]");
    assert_int_equal(builds(f), 1);
    strike(f, "nightly");
    assert_string_equal(build(f, 2)->commit, f->commit);
}

static void times_that_were_missed_are_one_build(void **state) {
    Fixture *f = *state;

    push(f, "on: {schedule: {hourly: \"@hourly\"}}\n" JOB);
    change(f, "UPDATE timer SET due_at = ?1 WHERE kind = ?2", clock_now() - 24 * 3600 * US_PER_S, "schedule");
    OK(timer_fire_due(&f->builds, &err));
    OK(timer_fire_due(&f->builds, &err));
    assert_int_equal(builds(f), 1);
    expect_names(f, "hourly");
}

static void no_time_counts_twice(void **state) {
    Fixture *f = *state;
    Timer timer = {.kind = "schedule", .due_at = clock_now() - 1};

    push(f, "on: {schedule: {nightly: \"@daily\"}}\n" JOB);
    timer.subject_id = schedule(f, "nightly")->id;
    change(f, "UPDATE timer SET due_at = ?1 WHERE kind = ?2", timer.due_at, "schedule");
    OK(schedule_due(&f->builds, &timer, &err));
    OK(schedule_due(&f->builds, &timer, &err));
    OK(timer_fire_due(&f->builds, &err));
    assert_int_equal(builds(f), 1);
}

/* The clock was put back between the moment that it was found due and now. */
static void a_clock_that_goes_back_repeats_no_time(void **state) {
    Fixture *f = *state;
    Timer timer = {.kind = "schedule", .due_at = clock_now() + 20 * US_PER_S};

    push(f, "on: {schedule: {often: \"* * * * * *\"}}\n" JOB);
    timer.subject_id = schedule(f, "often")->id;
    change(f, "UPDATE timer SET due_at = ?1 WHERE kind = ?2", timer.due_at, "schedule");
    OK(schedule_due(&f->builds, &timer, &err));
    assert_int_equal(builds(f), 1);
    assert_true(schedule(f, "often")->next_at > timer.due_at);
}

static void one_that_has_nothing_to_build_says_why(void **state) {
    Fixture *f = *state;

    push(f, "on: {schedule: {nightly: \"@daily\"}}\njobs: {a: {steps: [x], if: event == 'push'}}\n");
    strike(f, "nightly");
    assert_int_equal(builds(f), 0);
    assert_string_equal(schedule(f, "nightly")->message,
                        "nothing to build: .pelton.yml has no job for this schedule");
    assert_true(schedule(f, "nightly")->last_at > 0);
    expect_names(f, "nightly");
}

static void one_whose_file_has_mistakes_is_a_build_that_failed(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY);
    push(f, "jobs: {a: {stesp: [x]}}\n");
    strike(f, "nightly");
    assert_string_equal(build(f, 3)->event, "schedule");
    assert_string_equal(build(f, 3)->reason, "invalid");
    assert_int_equal(schedule(f, "nightly")->last_build_id, 3);
    assert_string_equal(schedule(f, "nightly")->message, "the pipeline file has mistakes");
    push(f, NIGHTLY);
    strike(f, "nightly");
    assert_string_equal(schedule(f, "nightly")->message, "");
}

static void a_push_that_nobody_told_of_counts_at_its_time(void **state) {
    Fixture *f = *state;

    push(f, TWO JOB);
    commit_pipeline(f, "on: {schedule: {nightly: \"0 3 * * *\", hourly: \"@hourly\"}}\n" JOB);
    strike(f, "nightly"); /* it is in the newest file still */
    assert_string_equal(build(f, 2)->commit, f->commit);
    expect_names(f, "nightly,weekly");
    strike(f, "weekly"); /* it is not */
    assert_int_equal(builds(f), 2);
    expect_names(f, "hourly,nightly");
}

static void one_whose_branch_is_gone_goes(void **state) {
    Fixture *f = *state;

    push(f, TWO JOB);
    git(f, "update-ref -d refs/heads/main");
    strike(f, "nightly");
    assert_int_equal(builds(f), 1);
    expect_names(f, "");
}

static void what_cannot_be_started_is_tried_again_and_says_why(void **state) {
    Fixture *f = *state;
    const Schedule *s;

    push(f, NIGHTLY);
    sh(f, "mv hello.git away.git; echo");
    strike(f, "nightly");
    s = schedule(f, "nightly");
    assert_int_equal(builds(f), 1);
    assert_non_null(strstr(s->message, "cannot be started: repository "));
    assert_true(s->next_at > clock_now() && s->next_at < clock_now() + 61 * US_PER_S);
    assert_int_equal(s->last_at, 0);
    sh(f, "mv away.git hello.git; echo");
    strike(f, "nightly");
    assert_int_equal(builds(f), 2);
    assert_string_equal(schedule(f, "nightly")->message, "");
    expect_names(f, "nightly");
}

static void a_schedule_deploys_nothing(void **state) {
    Fixture *f = *state;

    push(f, NIGHTLY "deploy: {start: ./run}\n");
    strike(f, "nightly");
    assert_int_equal(build(f, 1)->jobs_left, 2);
    assert_int_equal(build(f, 2)->jobs_left, 1);
}

static void builds_of_a_schedule_take_turns_like_others(void **state) {
    Fixture *f = *state;

    push(f, "concurrency: {group: g, cancel: none}\n" NIGHTLY);
    strike(f, "nightly");
    assert_true(build(f, 2)->held);
    assert_string_equal(build(f, 2)->state, "queued");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_push_adds_changes_and_removes_them),
        TEST(one_that_stays_keeps_its_time),
        TEST(a_push_that_builds_nothing_sets_them_too),
        TEST(a_file_with_mistakes_leaves_them),
        TEST(only_the_default_branch_has_them),
        TEST(the_first_branch_of_a_repository_is_its_default_one),
        TEST(without_the_branch_there_are_none),
        TEST(a_push_that_was_missed_counts_when_it_is_found),
        TEST(a_push_that_is_told_late_takes_nothing_back),
        TEST(those_of_a_stages_file_count_too),
        TEST(at_its_time_the_newest_commit_is_built),
        TEST(a_repeated_build_is_of_the_same_schedule),
        TEST(what_the_commit_says_of_skipping_does_not_matter),
        TEST(times_that_were_missed_are_one_build),
        TEST(no_time_counts_twice),
        TEST(a_clock_that_goes_back_repeats_no_time),
        TEST(one_that_has_nothing_to_build_says_why),
        TEST(one_whose_file_has_mistakes_is_a_build_that_failed),
        TEST(a_push_that_nobody_told_of_counts_at_its_time),
        TEST(one_whose_branch_is_gone_goes),
        TEST(what_cannot_be_started_is_tried_again_and_says_why),
        TEST(a_schedule_deploys_nothing),
        TEST(builds_of_a_schedule_take_turns_like_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
