/* Pushes in the order and as often as hooks may tell them. */
#include "fixture.h"

static const char zero[] = "0000000000000000000000000000000000000000";
static const char branch[] = "refs/heads/main";

static const char pipeline[] = "jobs: {a: {steps: [\"true\"]}}\n";

/* A new commit on main; the one before it, or zeros, in *ret_old. */
static const char *push(Fixture *f, const char *yaml, const char **ret_old) {
    *ret_old = f->commit && strlen(f->commit) == 40 ? f->commit : zero;
    commit_pipeline(f, yaml);
    return f->commit;
}

static BuildOutcome tell(Fixture *f, const char *ref, const char *old_rev, const char *new_rev) {
    BuildOutcome outcome;
    RefChange change = {.ref = ref, .old_rev = old_rev, .new_rev = new_rev, .pusher = "ann"};

    OK(build_ref_changed(&f->builds, f->project, &change, f->mem, &outcome, &err));
    return outcome;
}

static size_t catch_up(Fixture *f) {
    size_t found;

    found = 0;
    OK(refs_compare(&f->builds, f->project, &found, &err));
    return found;
}

static int64_t builds(Fixture *f) {
    int64_t total;

    OK(store_builds_total(f->builds.db, 0, &total, &err));
    return total;
}

static int64_t triggers(Fixture *f) {
    int64_t count;

    OK(db_query_int(f->builds.db, &count, &err, "SELECT COUNT(*) FROM trigger_event", ""));
    return count;
}

/* main goes to a commit that is there already, or away. */
static void move(Fixture *f, const char *commit) {
    const char *keep = f->commit;

    sh(f, commit ? mem_printf(f->mem, "git -C hello.git update-ref refs/heads/main %s", commit)
                 : "git -C hello.git update-ref -d refs/heads/main");
    f->commit = keep;
}

static void pushes_told_in_the_other_order_are_built_and_the_ref_stays(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b, *c;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    c = push(f, "jobs: {c: {steps: [\"true\"]}}\n", &old);
    assert_true(tell(f, branch, b, c).id > 0);
    assert_true(tell(f, branch, a, b).id > 0);
    assert_int_equal(builds(f), 3);
    assert_int_equal(catch_up(f), 0);
    /* and both again */
    tell(f, branch, a, b);
    tell(f, branch, b, c);
    assert_int_equal(builds(f), 3);
}

static void a_push_and_its_way_back_told_in_the_other_order_are_both_built(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;
    BuildOutcome back;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    move(f, a);
    back = tell(f, branch, b, a);
    assert_int_equal(back.id, 2);
    assert_int_equal(tell(f, branch, a, b).id, 3);
    assert_int_equal(catch_up(f), 0);
    assert_int_equal(tell(f, branch, b, a).id, back.id);
}

static void a_forced_push_back_to_an_older_commit_is_built(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    tell(f, branch, a, b);
    move(f, a);
    assert_int_equal(tell(f, branch, b, a).id, 3);
    move(f, b);
    assert_int_equal(tell(f, branch, a, b).id, 4);
}

static void a_branch_that_is_deleted_and_pushed_again_is_built_again(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old);

    tell(f, branch, zero, a);
    move(f, NULL);
    assert_int_equal(tell(f, branch, a, zero).id, 0);
    assert_int_equal(triggers(f), 2);
    move(f, a);
    assert_int_equal(tell(f, branch, zero, a).id, 2);
}

static void a_deletion_told_late_forgets_nothing(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, zero, b).id, 2);
    assert_int_equal(tell(f, branch, a, zero).id, 0);
    assert_int_equal(catch_up(f), 0);
}

static void one_commit_on_two_branches_is_built_for_each(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old);

    sh(f, mem_printf(f->mem, "git -C hello.git update-ref refs/heads/other %s", a));
    assert_int_equal(tell(f, branch, zero, a).id, 1);
    assert_int_equal(tell(f, "refs/heads/other", zero, a).id, 2);
}

static void what_is_told_again_without_where_the_ref_was_is_the_same_push(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    assert_int_equal(tell(f, branch, NULL, b).id, 2);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    /* also when the ref is elsewhere by now */
    move(f, a);
    assert_int_equal(tell(f, branch, NULL, b).id, 2);
    assert_int_equal(triggers(f), 2);
}

static void a_push_told_without_where_the_ref_was_is_built_from_where_it_was_known(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;

    assert_int_equal(tell(f, branch, NULL, a).id, 1);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, NULL, b).id, 2);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    move(f, a);
    assert_int_equal(tell(f, branch, NULL, a).id, 3);
    assert_int_equal(tell(f, branch, b, a).id, 3);
}

static void a_push_told_again_after_another_to_the_same_commit_is_the_same(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b, *c;

    tell(f, branch, zero, a);
    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    c = push(f, "jobs: {c: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, b, c).id, 3);
    move(f, b);
    assert_int_equal(tell(f, branch, c, b).id, 4);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    assert_int_equal(tell(f, branch, c, b).id, 4);
    assert_int_equal(builds(f), 4);
}

/* Each time by its hook, and told once more. */
static void a_ref_that_goes_back_and_forth_is_built_each_time(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    int64_t id = 1;

    move(f, a);
    tell(f, branch, zero, a);
    for (int i = 0; i < 3; i++) {
        move(f, b);
        assert_int_equal(tell(f, branch, a, b).id, ++id);
        assert_int_equal(tell(f, branch, a, b).id, id);
        move(f, a);
        assert_int_equal(tell(f, branch, b, a).id, ++id);
        assert_int_equal(tell(f, branch, b, a).id, id);
    }
}

static void a_way_that_was_gone_before_is_built_though_its_hook_comes_late(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old), *c;

    move(f, a);
    tell(f, branch, zero, a);
    move(f, b);
    assert_int_equal(tell(f, branch, a, b).id, 2);
    move(f, a);
    assert_int_equal(tell(f, branch, b, a).id, 3);
    c = push(f, "jobs: {c: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(tell(f, branch, b, c).id, 4);
    assert_int_equal(tell(f, branch, a, b).id, 5);
    assert_int_equal(tell(f, branch, a, b).id, 5);
}

static void what_was_found_is_not_built_again_when_its_hook_tells_it(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *b;

    b = push(f, "jobs: {b: {steps: [\"true\"]}}\n", &old);
    assert_int_equal(catch_up(f), 1);
    assert_int_equal(tell(f, branch, a, b).id, 1);
    assert_int_equal(builds(f), 1);
}

static void what_was_told_twice_says_how_its_build_stands(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old);
    ClaimedJob job;

    tell(f, branch, zero, a);
    job = claim_one(f, 1);
    OK(report(f, &job, "success"));
    assert_string_equal(tell(f, branch, zero, a).status, "success");
}

static void a_build_by_hand_is_not_taken_for_the_push(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old);

    assert_int_equal(tell(f, branch, zero, a).id, 1);
    assert_int_equal(start(f).id, 2);
    assert_int_equal(tell(f, branch, zero, a).id, 1);
}

static void other_refs_are_noted_and_not_built(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old);
    BuildOutcome outcome = tell(f, "refs/notes/commits", zero, a);

    assert_int_equal(outcome.id, 0);
    assert_string_equal(outcome.status, "skipped");
    assert_int_equal(triggers(f), 1);
}

static void a_push_that_the_branch_has_left_behind_is_not_deployed(void **state) {
    static const char deploys[] = "jobs: {a: {steps: [\"true\"]}}\n"
                                  "deploy: {branch: main, start: ./run}\n";
    Fixture *f = *state;
    const char *old, *a = push(f, deploys, &old), *b;
    int64_t late;
    ClaimedJob job;

    b = push(f, "jobs: {a: {steps: [\"false\"]}}\n", &old);
    tell(f, branch, a, b);
    late = tell(f, branch, zero, a).id;
    OK(build_cancel(&f->builds, 1, "", &err));
    job = claim_one(f, 1);
    OK(report(f, &job, "success"));
    assert_job(f, late, "deploy", "skipped");
    assert_build(f, late, "success");
}

static void an_annotated_tag_is_built_at_the_commit_of_the_push_not_of_now(void **state) {
    Fixture *f = *state;
    const char *old, *a = push(f, pipeline, &old), *tag;
    Build *build;
    int64_t id;

    sh(f, mem_printf(f->mem,
                     "cd work; git -c user.name=A -c user.email=a@example.com tag -a -m v1 v1 %s >&2;"
                     " git push -q ../hello.git v1 >/dev/null 2>&1; git rev-parse v1",
                     a));
    tag = f->commit;
    commit_pipeline(f, "jobs: {b: {steps: [\"true\"]}}\n");
    sh(f, "git -C hello.git update-ref refs/tags/v1 refs/heads/main");
    id = tell(f, "refs/tags/v1", zero, tag).id;
    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    assert_string_equal(build->commit, a);
    assert_string_equal(build->event, "tag");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pushes_told_in_the_other_order_are_built_and_the_ref_stays),
        TEST(a_push_and_its_way_back_told_in_the_other_order_are_both_built),
        TEST(a_forced_push_back_to_an_older_commit_is_built),
        TEST(a_branch_that_is_deleted_and_pushed_again_is_built_again),
        TEST(a_deletion_told_late_forgets_nothing),
        TEST(one_commit_on_two_branches_is_built_for_each),
        TEST(what_is_told_again_without_where_the_ref_was_is_the_same_push),
        TEST(a_push_told_without_where_the_ref_was_is_built_from_where_it_was_known),
        TEST(a_push_told_again_after_another_to_the_same_commit_is_the_same),
        TEST(a_ref_that_goes_back_and_forth_is_built_each_time),
        TEST(a_way_that_was_gone_before_is_built_though_its_hook_comes_late),
        TEST(what_was_found_is_not_built_again_when_its_hook_tells_it),
        TEST(what_was_told_twice_says_how_its_build_stands),
        TEST(a_build_by_hand_is_not_taken_for_the_push),
        TEST(other_refs_are_noted_and_not_built),
        TEST(a_push_that_the_branch_has_left_behind_is_not_deployed),
        TEST(an_annotated_tag_is_built_at_the_commit_of_the_push_not_of_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
