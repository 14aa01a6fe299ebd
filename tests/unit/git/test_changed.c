#include "fixture.h"

static void what_differs_between_two_commits_is_listed(void **state) {
    Fixture *f = *state;
    char *first =
        run(f, "cd work; mkdir d; echo 1 > a; echo 1 > d/b; echo 1 > gone; git add .; git commit -qm one; "
               "git push -q origin main; git rev-parse HEAD");
    char *second = run(f, "cd work; echo 2 > d/b; git mv a 'd/a new'; git rm -q gone; git commit -qam two; "
                          "git push -q origin main; git rev-parse HEAD");
    const char **paths;
    size_t count;

    assert_ok(f, git_changed(f->repo, first, second, f, &paths, &count, &f->err));
    assert_int_equal(count, 4);
    assert_string_equal(paths[0], "a");
    assert_string_equal(paths[1], "d/a new");
    assert_string_equal(paths[2], "d/b");
    assert_string_equal(paths[3], "gone");
    assert_ok(f, git_changed(f->repo, second, second, f, &paths, &count, &f->err));
    assert_int_equal(count, 0);
}

static void what_a_branch_has_changed_since_it_left_another_is_listed(void **state) {
    Fixture *f = *state;
    char *head =
        run(f, "cd work; echo 1 > a; git add .; git commit -qm one; git switch -qc topic; echo 1 > topic;"
               " git add .; git commit -qm two; git push -q origin topic; git rev-parse HEAD");
    char *target = run(f, "cd work; git switch -q main; echo 2 > a; git commit -qam three;"
                          " git push -q origin main; git rev-parse HEAD");
    char *alone = run(f, "cd work; git switch -q --orphan alone; git commit -q --allow-empty -m four;"
                         " git push -q origin alone; git rev-parse HEAD");
    const char **paths;
    size_t count;

    assert_ok(f, git_changed_since(f->repo, target, head, f, &paths, &count, &f->err));
    assert_int_equal(count, 1);
    assert_string_equal(paths[0], "topic");
    assert_ok(f, git_changed_since(f->repo, head, head, f, &paths, &count, &f->err));
    assert_int_equal(count, 0);
    assert_err(ERR_IO, git_changed_since(f->repo, target, alone, f, &paths, &count, &f->err));
}

static void what_cannot_be_compared_is_an_error(void **state) {
    Fixture *f = *state;
    char *commit = run(
        f, "cd work; echo 1 > a; git add .; git commit -qm one; git push -q origin main; git rev-parse HEAD");
    const char **paths;
    size_t count;

    assert_int_equal(
        git_changed(f->repo, "0000000000000000000000000000000000000000", commit, f, &paths, &count, &f->err),
        -ERR_NOT_FOUND);
    assert_int_equal(
        git_changed(f->repo, "0123456789012345678901234567890123456789", commit, f, &paths, &count, &f->err),
        -ERR_IO);
    assert_int_equal(git_changed(f->repo, "--output=/tmp/x", commit, f, &paths, &count, &f->err),
                     -ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_differs_between_two_commits_is_listed),
        TEST(what_a_branch_has_changed_since_it_left_another_is_listed),
        TEST(what_cannot_be_compared_is_an_error),
    };

    return RUN_TESTS(tests);
}
