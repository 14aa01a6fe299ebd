/* Whether refs may have changed, told from times alone. Times are set back first, so that what follows within
 * the same tick of the clock shows. */
#include "fixture.h"

#include "base/clock.h"

static GitStamp stamp_of(Fixture *f) {
    GitStamp stamp;

    run(f, "cd \"$REPO\"; find refs packed-refs -type d -exec touch -d @1 {} + 2>/dev/null || true;"
           "[ ! -e packed-refs ] || touch -d @1 packed-refs");
    assert_ok(f, git_refs_stamp(f->repo, &stamp, &f->err));
    assert_int_equal(stamp.newest, US_PER_S);
    return stamp;
}

static bool changed_by(Fixture *f, const char *script) {
    GitStamp before = stamp_of(f), after;

    run(f, "%s", script);
    assert_ok(f, git_refs_stamp(f->repo, &after, &f->err));
    return before.hash != after.hash;
}

static void every_change_of_a_branch_tag_or_pull_request_changes_the_stamp(void **state) {
    Fixture *f = *state;

    run(f, "cd work; git commit -q --allow-empty -m one; git commit -q --allow-empty -m two");
    assert_true(changed_by(f, "cd work; git push -q origin main~1:refs/heads/main"));
    assert_true(changed_by(f, "cd work; git push -q origin main")); /* one that is there */
    assert_true(changed_by(f, "cd work; git push -q origin main:refs/heads/a/b/c"));
    assert_true(changed_by(f, "cd work; git push -q -f origin main~1:refs/heads/a/b/c"));
    assert_true(changed_by(f, "cd work; git push -q origin main:refs/tags/v1"));
    assert_true(changed_by(f, "cd work; git push -q origin main~1:refs/pull/7/head"));
    assert_true(changed_by(f, "cd work; git push -q origin main:refs/pull/7/head"));
    assert_true(changed_by(f, "git -C \"$REPO\" pack-refs --all"));
    assert_true(changed_by(f, "cd work; git push -q origin :refs/pull/7/head"));
    assert_true(changed_by(f, "cd work; git push -q origin :refs/heads/a/b/c"));
    assert_true(changed_by(f, "cd work; git push -q origin :refs/tags/v1"));
}

static void what_is_no_branch_and_no_tag_leaves_the_stamp(void **state) {
    Fixture *f = *state;

    run(f, "cd work; git commit -q --allow-empty -m one; git push -q origin main");
    assert_false(changed_by(f, "true"));
    assert_false(changed_by(f, "cd work; git push -q origin main:refs/notes/x"));
    assert_false(changed_by(f, "git -C \"$REPO\" rev-parse main; git -C \"$REPO\" for-each-ref"));
}

static void a_repository_that_is_not_there_is_an_error(void **state) {
    Fixture *f = *state;
    GitStamp stamp;

    assert_err(ERR_NOT_FOUND, git_refs_stamp("/nowhere", &stamp, &f->err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_change_of_a_branch_tag_or_pull_request_changes_the_stamp),
        TEST(what_is_no_branch_and_no_tag_leaves_the_stamp),
        TEST(a_repository_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
