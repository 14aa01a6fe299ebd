#include "fixture.h"

#include "git/internal.h"

static char *resolve(Fixture *f, const char *name, const char **ret_ref) {
    const char *commit = NULL;

    *ret_ref = NULL;
    assert_ok(f, git_resolve(f->repo, name, f, &commit, ret_ref, &f->err));
    return mem_strdup(f, commit);
}

static void assert_resolves(Fixture *f, const char *name, const char *commit, const char *ref) {
    const char *found;

    assert_string_equal(resolve(f, name, &found), commit);
    assert_string_equal(found, ref);
}

static char *two_commits(Fixture *f) {
    return run(f, "cd work; git commit -q --allow-empty -m one; git commit -q --allow-empty -m two;"
                  "git push -q origin main main~1:refs/heads/feature/\xc3\xbc-x; git rev-parse HEAD");
}

static void check_branches(Fixture *f, const char *two, const char *one) {
    assert_resolves(f, "main", two, "refs/heads/main");
    assert_resolves(f, "refs/heads/main", two, "refs/heads/main");
    assert_resolves(f, "HEAD", two, "refs/heads/main");
    assert_resolves(f, "feature/\xc3\xbc-x", one, "refs/heads/feature/\xc3\xbc-x");
}

static void branches_are_found_loose_and_packed_without_git(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f), *one = run(f, "git -C work rev-parse HEAD~1");
    char *path = mem_strdup(f, getenv("PATH"));

    setenv("PATH", "/nonexistent", 1);
    check_branches(f, two, one);
    setenv("PATH", path, 1);
    run(f, "git -C \"$REPO\" pack-refs --all; test ! -e \"$REPO/refs/heads/main\"");
    setenv("PATH", "/nonexistent", 1);
    check_branches(f, two, one);
    setenv("PATH", path, 1);
}

static void a_loose_ref_is_newer_than_a_packed_one(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f), *three;
    GitRef *refs;
    size_t count;

    run(f, "git -C \"$REPO\" pack-refs --all");
    three =
        run(f, "cd work; git commit -q --allow-empty -m three; git push -q origin main; git rev-parse HEAD");
    assert_string_not_equal(two, three);
    assert_resolves(f, "main", three, "refs/heads/main");
    assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
    assert_int_equal(count, 2);
    assert_string_equal(refs[1].name, "refs/heads/main");
    assert_string_equal(refs[1].commit, three);
}

static void a_name_that_is_part_of_another_is_not_taken_for_it(void **state) {
    Fixture *f = *state;
    const char *commit, *ref;

    run(f, "cd work; git commit -q --allow-empty -m one; git push -q origin main:refs/heads/x/main-2"
           " main:refs/heads/refs/heads/main; git -C \"$REPO\" pack-refs --all");
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, "main", f, &commit, &ref, &f->err));
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, "main-2", f, &commit, &ref, &f->err));
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, "x", f, &commit, &ref, &f->err));
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, "x/main-2/y", f, &commit, &ref, &f->err));
}

static void check_tags(Fixture *f, const char *two) {
    assert_resolves(f, "light", two, "refs/tags/light");
    assert_resolves(f, "v1", two, "refs/tags/v1");
    assert_resolves(f, "refs/tags/nested", two, "refs/tags/nested");
}

static void an_annotated_tag_is_the_commit_behind_it(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f);
    GitRef *refs;
    size_t count;

    run(f, "cd work; git tag light; git tag -a -m v1 v1; git tag -a -m nested nested v1 2>/dev/null; echo x "
           "| git hash-object -w "
           "--stdin > ../blob; git tag blob $(cat ../blob); git push -q --tags origin");
    check_tags(f, two);
    run(f, "git -C \"$REPO\" pack-refs --all");
    check_tags(f, two);
    assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
    assert_int_equal(count, 5); /* the tag on a file is none */
    for (size_t i = 2; i < count; i++)
        assert_string_equal(refs[i].commit, two);
    assert_string_equal(refs[4].name, "refs/tags/v1");
}

static void tags_that_were_looked_at_together_are_resolved_without_git(void **state) {
    Fixture *f = *state;
    char *path = mem_strdup(f, getenv("PATH")), *commit;
    const char *const refs[] = {"refs/tags/light", "refs/tags/v1",   "refs/heads/main",
                                "refs/tags/none",  "refs/tags/tree", "refs/tags/../x"};
    const char *found, *full;

    commit =
        run(f, "cd work; git commit -q --allow-empty -m x; git tag light; git tag -a -m v1 v1; git tag tree "
               "HEAD^{tree}; git push -q origin main light v1 tree; git rev-parse HEAD");
    git_tags_ahead(f->repo, refs, ELEMENTS(refs));
    setenv("PATH", "/nonexistent", 1);
    for (size_t i = 0; i < 2; i++) {
        assert_ok(f, git_resolve(f->repo, refs[i], f, &found, &full, &f->err));
        assert_string_equal(found, commit);
        assert_string_equal(full, refs[i]);
    }
    assert_err(ERR_INTERNAL, git_resolve(f->repo, "refs/tags/tree", f, &found, &full, &f->err));
    setenv("PATH", path, 1);
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, "refs/tags/tree", f, &found, &full, &f->err));
    run(f, "cd work; git commit -q --allow-empty -m y; git tag -f light 2>/dev/null >&2; git push -q -f "
           "origin light");
    assert_ok(f, git_resolve(f->repo, "light", f, &found, &full, &f->err)); /* it has moved */
    assert_string_equal(found, run(f, "git -C work rev-parse HEAD"));
}

static void a_branch_goes_before_a_tag(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f);

    run(f, "cd work; git tag main HEAD~1; git push -q origin tag main");
    assert_resolves(f, "main", two, "refs/heads/main");
}

static void a_hash_is_resolved_when_the_commit_is_there(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f), *tree = run(f, "git -C work rev-parse 'HEAD^{tree}'");
    const char *commit, *ref;

    assert_resolves(f, two, two, "");
    assert_resolves(f, mem_strndup(f, two, 10), two, "");
    assert_err(ERR_NOT_FOUND, git_resolve(f->repo, tree, f, &commit, &ref, &f->err));
    assert_err(ERR_NOT_FOUND,
               git_resolve(f->repo, "0123456789012345678901234567890123456789", f, &commit, &ref, &f->err));
}

static void expressions_and_paths_are_no_refs(void **state) {
    static const char *const bad[] = {
        "main~1", "main^",       "main@{1}", ":/one", "../hello.git/HEAD",    "refs/../HEAD", "-x",
        "",       "refs/heads/", "main\n",   "a b",   "refs/heads/main.lock", "config",       "HEAD~1",
        "\xff"};
    Fixture *f = *state;
    const char *commit, *ref;

    two_commits(f);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_err(ERR_NOT_FOUND, git_resolve(f->repo, bad[i], f, &commit, &ref, &f->err));
}

static void symbolic_refs_are_followed_but_not_in_circles(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f);
    const char *commit, *ref;

    run(f, "cd \"$REPO\"; git symbolic-ref refs/heads/alias refs/heads/main; echo 'ref: refs/heads/b' > "
           "refs/heads/a; echo 'ref: "
           "refs/heads/a' > refs/heads/b");
    assert_resolves(f, "alias", two, "refs/heads/alias");
    assert_err(ERR_IO, git_resolve(f->repo, "a", f, &commit, &ref, &f->err));
}

static void a_link_in_refs_is_not_followed(void **state) {
    Fixture *f = *state;
    const char *commit, *ref;
    GitRef *refs;
    size_t count;

    run(f,
        "echo 0123456789012345678901234567890123456789 > out; ln -s ../../../out \"$REPO/refs/heads/out\"");
    assert_true(git_resolve(f->repo, "out", f, &commit, &ref, &f->err) < 0);
    assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
    assert_int_equal(count, 0);
}

static void all_refs_are_as_git_lists_them(void **state) {
    Fixture *f = *state;
    Buf ours = BUF_INIT;
    GitRef *refs;
    size_t count;

    two_commits(f);
    run(f,
        "cd work; for i in 1 2 3 4 5; do git branch a$i; git branch b/$i HEAD~1; done; git push -q --all "
        "origin;"
        "git -C \"$REPO\" pack-refs --all; git branch -D -q a3; git push -q origin :a3 HEAD:a5 HEAD:z/y/x");
    assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
    for (size_t i = 0; i < count; i++)
        buf_addf(&ours, "%s%s %s", i ? "\n" : "", refs[i].commit, refs[i].name);
    assert_string_equal(
        buf_str(&ours),
        run(f, "git -C \"$REPO\" for-each-ref --format='%%(objectname) %%(refname)' | LC_ALL=C sort -k2"));
    buf_done(&ours);
}

static void heads_of_pull_requests_are_listed_and_what_lies_beside_them_is_not(void **state) {
    Fixture *f = *state;
    char *two = two_commits(f);
    GitRef *refs;
    size_t count;

    run(f, "cd work; git tag -a -m t t; git push -q origin HEAD:refs/pull/7/head HEAD~1:refs/pull/7/merge"
           " HEAD:refs/pull/x/head t:refs/pull/12/head HEAD:refs/notes/a");
    for (int packed = 0; packed < 2; packed++) {
        assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
        assert_int_equal(count, 4); /* and the two branches */
        assert_string_equal(refs[2].name, "refs/pull/12/head");
        assert_string_equal(refs[2].commit, two); /* behind the tag */
        assert_string_equal(refs[3].name, "refs/pull/7/head");
        assert_resolves(f, "refs/pull/7/head", two, "refs/pull/7/head");
        run(f, "git -C \"$REPO\" pack-refs --all");
    }
}

static void a_pull_request_has_a_number(void **state) {
    static const char *const others[] = {
        "refs/pull/0/head",       "refs/pull/07/head", "refs/pull/-7/head",          "refs/pull/7/merge",
        "refs/pull/7/head/x",     "refs/pull/7",       "refs/pull/99999999999/head", "refs/pull//head",
        "refs/heads/pull/7/head", "pull/7/head",       "refs/pull/+7/head",          "refs/pull/7 /head"};

    assert_int_equal(git_pull_number("refs/pull/7/head"), 7);
    assert_int_equal(git_pull_number("refs/pull/2147483647/head"), 2147483647);
    for (size_t i = 0; i < ELEMENTS(others); i++)
        assert_int_equal(git_pull_number(others[i]), 0);
}

static void no_repository_is_not_found(void **state) {
    Fixture *f = *state;
    const char *commit, *ref;
    GitRef *refs;
    size_t count;

    assert_err(ERR_NOT_FOUND, git_resolve("/nonexistent.git", "main", f, &commit, &ref, &f->err));
    assert_err(ERR_NOT_FOUND, git_refs("/nonexistent.git", f, &refs, &count, &f->err));
    assert_ok(f, git_refs(f->repo, f, &refs, &count, &f->err));
    assert_int_equal(count, 0);
}

static void names_follow_gits_rules(void **state) {
    static const char *const good[] = {"refs/heads/a", "refs/heads/a.b", "refs/tags/@", "refs/heads/a/-b",
                                       "refs/heads/{x}"};
    static const char *const bad[] = {"refs/heads/a..b", "refs/heads/.a",       "refs/heads/a/",
                                      "refs/heads//a",   "refs/heads/a.lock/b", "refs/heads/a?",
                                      "refs/heads/a[",   "refs/heads/a\\b",     "refs/heads/a.",
                                      "heads/a",         "refs/heads/\x7f"};

    for (size_t i = 0; i < ELEMENTS(good); i++)
        assert_true(git_ref_valid(good[i]));
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_false(git_ref_valid(bad[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(branches_are_found_loose_and_packed_without_git),
        TEST(a_loose_ref_is_newer_than_a_packed_one),
        TEST(a_name_that_is_part_of_another_is_not_taken_for_it),
        TEST(an_annotated_tag_is_the_commit_behind_it),
        TEST(tags_that_were_looked_at_together_are_resolved_without_git),
        TEST(a_branch_goes_before_a_tag),
        TEST(a_hash_is_resolved_when_the_commit_is_there),
        TEST(expressions_and_paths_are_no_refs),
        TEST(symbolic_refs_are_followed_but_not_in_circles),
        TEST(a_link_in_refs_is_not_followed),
        TEST(all_refs_are_as_git_lists_them),
        TEST(heads_of_pull_requests_are_listed_and_what_lies_beside_them_is_not),
        TEST(a_pull_request_has_a_number),
        TEST(no_repository_is_not_found),
        cmocka_unit_test(names_follow_gits_rules),
    };

    return RUN_TESTS(tests);
}
