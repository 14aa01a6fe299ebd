#include "fixture.h"

#include <sys/stat.h>

static void a_new_repository_is_bare_and_takes_pushes(void **state) {
    Fixture *f = *state;

    assert_string_equal(run(f, "git -C \"$REPO\" rev-parse --is-bare-repository"), "true");
    run(f, "cd work; echo hi > a; git add a; git commit -qm one; git push -q origin main");
    assert_string_equal(run(f, "git clone -q \"$REPO\" copy; cat copy/a"), "hi");
    assert_string_equal(run(f, "git -C \"$REPO\" fsck --strict --no-dangling"), "");
}

static void a_second_one_of_the_name_is_refused_and_the_first_stays(void **state) {
    Fixture *f = *state;

    run(f, "cd work; git commit -q --allow-empty -m one; git push -q origin main");
    assert_err(ERR_EXISTS, git_repo_create(f->repo, "/bin/true", f->dir, (gid_t)-1, &f->err));
    assert_string_equal(run(f, "git -C \"$REPO\" log --format=%%s"), "one");
    assert_string_equal(run(f, "ls -d \"$REPO\"*"), f->repo);
}

static void a_repository_that_cannot_be_made_leaves_nothing(void **state) {
    Fixture *f = *state;
    char *path = mem_printf(f, "%s/no/such/x.git", f->dir), *bad = mem_printf(f, "%s/bad.git", f->dir);

    assert_err(ERR_NOT_FOUND, git_repo_create(path, "/bin/true", f->dir, (gid_t)-1, &f->err));
    assert_err(ERR_INVALID, git_repo_create(bad, "relative/pelton", f->dir, (gid_t)-1, &f->err));
    assert_string_equal(run(f, "ls"), "hello.git\nwork");
}

static void the_group_may_read_all_and_write_nothing_also_of_later_pushes(void **state) {
    Fixture *f = *state;
    char *path = mem_printf(f, "%s/group.git", f->dir);

    if (geteuid() != 0)
        skip();
    assert_ok(f, git_repo_create(path, "/bin/true", f->dir, 12345, &f->err));
    run(f,
        "cd work; for i in $(seq 150); do echo $i > f$i; done; git add .; git commit -qm many;"
        " git push -q ../group.git main; git commit -q --allow-empty -m two; git push -q ../group.git main");
    assert_string_equal(run(f, "find group.git ! -group 12345"), "");
    assert_string_equal(
        run(f, "find group.git ! -perm -040; find group.git -perm /022; find group.git -type d ! -perm 2750"),
        "");
    assert_string_equal(run(f, "find group.git ! -path '*/hooks/*' -perm /007"), "");
}

static void anyone_who_may_push_can_force_and_delete(void **state) {
    Fixture *f = *state;

    run(f,
        "cd work; git commit -q --allow-empty -m one; git push -q origin main main:side;"
        "git commit -q --amend --allow-empty -m other; git push -q -f origin main; git push -q origin :side");
    assert_string_equal(run(f, "git -C \"$REPO\" log --all --format=%%s"), "other");
}

static void a_push_of_broken_objects_is_refused(void **state) {
    Fixture *f = *state;
    int status = 0;
    char *said;

    said =
        run_status(f, &status,
                   "cd work; t=$(git mktree </dev/null); c=$(printf 'tree %s\\nauthor no mail\\ncommitter no "
                   "mail\\n\\nbad\\n' $t | git hash-object -t commit -w --stdin --literally);"
                   " git push -q origin $c:refs/heads/bad");
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(said, "missingEmail"));
}

static void the_pushers_own_hooks_path_does_not_take_ours_away(void **state) {
    Fixture *f = *state;
    char *text = mem_printf(f, "%s/said.git", f->dir);

    assert_ok(f, git_repo_create(text, "/nonexistent/pelton", f->dir, (gid_t)-1, &f->err));
    run(f, "git config --global core.hooksPath /dev/null; cd work; git commit -q --allow-empty -m one");
    assert_non_null(strstr(run(f, "cd work; git push ../said.git main"), "accepted"));
}

static void the_default_branch_is_read_and_set(void **state) {
    Fixture *f = *state;
    const char *branch = NULL;

    assert_ok(f, git_head(f->repo, f, &branch, &f->err));
    assert_string_equal(branch, "main");
    assert_ok(f, git_set_head(f->repo, "release/\xc3\xbc", &f->err));
    assert_ok(f, git_head(f->repo, f, &branch, &f->err));
    assert_string_equal(branch, "release/\xc3\xbc");
    assert_err(ERR_INVALID, git_set_head(f->repo, "a..b", &f->err));
    assert_err(ERR_INVALID, git_set_head(f->repo, "-x y", &f->err));
    assert_err(ERR_INVALID, git_set_head(f->repo, "", &f->err));
    assert_err(ERR_NOT_FOUND, git_head("/nonexistent.git", f, &branch, &f->err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_new_repository_is_bare_and_takes_pushes),
        TEST(a_second_one_of_the_name_is_refused_and_the_first_stays),
        TEST(a_repository_that_cannot_be_made_leaves_nothing),
        TEST(the_group_may_read_all_and_write_nothing_also_of_later_pushes),
        TEST(anyone_who_may_push_can_force_and_delete),
        TEST(a_push_of_broken_objects_is_refused),
        TEST(the_pushers_own_hooks_path_does_not_take_ours_away),
        TEST(the_default_branch_is_read_and_set),
    };

    return RUN_TESTS(tests);
}
