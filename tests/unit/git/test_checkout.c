#include "fixture.h"

#include <sys/stat.h>

#define JOB_UID 12345
#define JOB_GID 12346

static GitCheckout checkout_of(Fixture *f, const char *commit) {
    char *workspace = mem_printf(f, "%s/ws", f->dir);

    assert_ok(f, file_mkdirs(workspace, 0755, &f->err));
    return (GitCheckout){
        .url = "http://localhost:1/git/hello.git",
        .borrow = f->repo,
        .workspace = workspace,
        .commit = commit,
        .log_fd = -1,
    };
}

static char *push_tree(Fixture *f) {
    return run(f, "cd work; mkdir -p src/deep; echo one > src/deep/a; printf '#!/bin/sh\\n' > run; chmod 755 "
                  "run; ln -s /etc/passwd out;"
                  "ln -s src/deep/a in; : > empty; printf 'x\\r\\n' > crlf; echo \xc3\xbc > '\xc3\xbc \"q\"';"
                  "git add .; git commit -qm tree; git tag -a -m v1 v1; git push -q origin main v1; git "
                  "rev-parse HEAD");
}

static void assert_exact(Fixture *f, const char *commit) {
    assert_string_equal(run(f, "git -c safe.directory='*' -C ws status --porcelain --ignored"), "");
    assert_string_equal(run(f, "git -c safe.directory='*' -C ws rev-parse HEAD"), commit);
    assert_string_equal(run(f, "git -c safe.directory='*' -C ws fsck --no-dangling 2>&1"), "");
}

static void the_workspace_is_exactly_the_commit(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f);
    GitCheckout c = checkout_of(f, commit);

    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, commit);
    assert_string_equal(run(f, "cd ws; cat src/deep/a in; test -x run; readlink out; test -f empty; cat "
                               "'\xc3\xbc \"q\"'; wc -c < crlf"),
                        "one\none\n/etc/passwd\n\xc3\xbc\n3");
    assert_string_equal(run(f, "diff -r --no-dereference -x .git work ws"), "");
}

static void an_older_commit_is_checked_out_too(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f);
    GitCheckout c = checkout_of(f, commit);

    run(f, "cd work; git rm -q -r src; echo new > run; git commit -qam new; git push -q origin main");
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, commit);
}

static void git_in_a_step_knows_tags_and_the_origins_branches(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f);
    GitCheckout c = checkout_of(f, commit);

    run(f, "cd work; git push -q origin main:feature/\xc3\xbc; git -C \"$REPO\" pack-refs --all; git commit "
           "-q --allow-empty -m more; git push -q origin "
           "main");
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "git -C ws describe"), "v1");
    assert_string_equal(run(f, "git -C ws log --format=%%s HEAD..origin/main"), "more");
    assert_string_equal(run(f, "git -C ws rev-parse origin/feature/\xc3\xbc"), commit);
    assert_string_equal(run(f, "git -C ws config remote.origin.url"), c.url);
    run(f, "cd ws; echo x > x; git add x; git commit -qm mine; git branch b; git -C \"$REPO\" cat-file -e "
           "HEAD; git gc -q");
}

static void an_address_is_kept_whatever_is_in_it(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f);
    GitCheckout c = checkout_of(f, commit);

    c.url = "http://x/a\"b\\c#d;e f.git";
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "git -C ws config remote.origin.url"), c.url);
}

static void the_dropped_user_owns_all_and_cannot_write_what_it_borrows(void **state) {
    Fixture *f = *state;
    char *commit;
    GitCheckout c;

    if (geteuid() != 0)
        skip();
    assert_ok(f, file_remove_tree(f->repo, &f->err));
    assert_ok(f, git_repo_create(f->repo, "/bin/true", f->dir, JOB_GID, &f->err));
    assert_int_equal(chmod(f->dir, 0711), 0);
    commit = push_tree(f);
    c = checkout_of(f, commit);
    c.drop_user = true;
    c.uid = JOB_UID;
    c.gid = JOB_GID;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "find ws ! -uid 12345 -o ! -gid 12346"), "");
    assert_exact(f, commit);
    assert_string_equal(run(f, "find \"$REPO\" -uid 12345 -o -perm /022"), "");
}

static void without_the_group_the_dropped_user_cannot_borrow(void **state) {
    Fixture *f = *state;
    char *commit;
    GitCheckout c;

    if (geteuid() != 0)
        skip();
    commit = push_tree(f);
    assert_int_equal(chmod(f->dir, 0711), 0);
    c = checkout_of(f, commit);
    c.drop_user = true;
    c.uid = c.gid = JOB_UID;
    assert_true(git_checkout(&c, &f->err) < 0);
    assert_string_equal(run(f, "cd ws; ls"), "");
}

static void a_commit_that_is_not_there_is_not_found(void **state) {
    Fixture *f = *state;
    GitCheckout c;

    push_tree(f);
    c = checkout_of(f, "0123456789012345678901234567890123456789");
    assert_err(ERR_NOT_FOUND, git_checkout(&c, &f->err));
    assert_non_null(strstr(f->err.msg, "is not in the repository"));
}

static void a_bad_request_is_refused(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f);
    GitCheckout c = checkout_of(f, "main");

    assert_err(ERR_INVALID, git_checkout(&c, &f->err));
    c.commit = commit;
    c.url = "http://x/\n[core]\n\tfsmonitor = touch hit";
    assert_err(ERR_INVALID, git_checkout(&c, &f->err));
    c.url = "http://x/";
    c.borrow = NULL;
    assert_err(ERR_INVALID, git_checkout(&c, &f->err));
    c.borrow = f->repo;
    c.workspace = "/nonexistent/ws";
    assert_err(ERR_IO, git_checkout(&c, &f->err));
}

static void a_link_in_the_tree_is_not_written_through(void **state) {
    Fixture *f = *state;
    char *commit;
    GitCheckout c;

    /* a tree that has "d" as a link and as a folder, as no honest git makes it */
    commit = run(f, "mkdir out; cd work; b=$(echo evil | git hash-object -w --stdin); l=$(printf '%%s/out' "
                    "\"$(dirname \"$REPO\")\" | git hash-object -w --stdin);"
                    "s=$(printf '100644 blob %%s\\tf\\n' $b | git mktree);"
                    "t=$(printf '120000 blob %%s\\td\\n040000 tree %%s\\td\\n' $l $s | git mktree);"
                    "c=$(git commit-tree -m evil $t); git -C \"$REPO\" config transfer.fsckObjects false; "
                    "git push -q origin $c:refs/heads/main; echo $c");
    c = checkout_of(f, commit);
    if (git_checkout(&c, &f->err) < 0)
        assert_true(f->err.code == ERR_IO);
    assert_string_equal(run(f, "ls out"), "");
}

static void the_log_hears_what_went_wrong(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f), *log = mem_printf(f, "%s/log", f->dir);
    GitCheckout c = checkout_of(f, commit);
    _cleanup_fclose_ FILE *file = fopen(log, "we");

    run(f, "t=$(git -C \"$REPO\" rev-parse main:src/deep/a); rm -f \"$REPO/objects/$(echo $t | cut "
           "-c1-2)/$(echo $t | cut -c3-)\"");
    c.log_fd = fileno(file);
    assert_err(ERR_IO, git_checkout(&c, &f->err));
    assert_non_null(strstr(run(f, "cat log"), "unable to read"));
}

static void users_configuration_changes_nothing(void **state) {
    Fixture *f = *state;
    char *commit = push_tree(f), *home = mem_printf(f, "%s", f->dir), *before = mem_strdup(f, getenv("HOME"));
    GitCheckout c = checkout_of(f, commit);

    run(f, "git config --global core.autocrlf true; git config --global core.hooksPath \"$HOME/hooks\"; "
           "mkdir hooks; printf '#!/bin/sh\\ntouch "
           "\"$HOME/hit\"\\n' > hooks/post-checkout; cp hooks/post-checkout hooks/post-index-change; chmod "
           "+x hooks/*");
    setenv("HOME", home, 1);
    assert_ok(f, git_checkout(&c, &f->err));
    setenv("HOME", before ? before : "/", 1);
    assert_string_equal(
        run(f, "rm .gitconfig; diff -r --no-dereference -x .git work ws; ls hit 2>/dev/null || true"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_workspace_is_exactly_the_commit),
        TEST(an_older_commit_is_checked_out_too),
        TEST(git_in_a_step_knows_tags_and_the_origins_branches),
        TEST(an_address_is_kept_whatever_is_in_it),
        TEST(the_dropped_user_owns_all_and_cannot_write_what_it_borrows),
        TEST(without_the_group_the_dropped_user_cannot_borrow),
        TEST(a_commit_that_is_not_there_is_not_found),
        TEST(a_bad_request_is_refused),
        TEST(a_link_in_the_tree_is_not_written_through),
        TEST(the_log_hears_what_went_wrong),
        TEST(users_configuration_changes_nothing),
    };

    return RUN_TESTS(tests);
}
