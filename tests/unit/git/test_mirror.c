#include "serving.h"

#include <sys/stat.h>

#define JOB_UID 12345
#define JOB_GID 12346

static GitCheckout checkout_of(Fixture *f, const char *commit) {
    char *workspace = mem_printf(f, "%s/ws", f->dir);

    assert_ok(f, file_remove_tree(workspace, &f->err));
    assert_ok(f, file_mkdirs(workspace, 0755, &f->err));
    return (GitCheckout){
        .url = mem_printf(f, "%shello.git", serving.url),
        .token = TOKEN,
        .mirror = mem_printf(f, "%s/mirror.git", f->dir),
        .workspace = workspace,
        .commit = commit,
        .log_fd = -1,
    };
}

static char *push_commit(Fixture *f, const char *content) {
    return run(f,
               "cd work; echo %s > a; git add a; git commit -qm %s; git push -q ../hello.git main; git "
               "rev-parse HEAD",
               content, content);
}

static void assert_exact(Fixture *f, const char *commit) {
    assert_string_equal(run(f, "git -c safe.directory='*' -C ws status --porcelain --ignored"), "");
    assert_string_equal(run(f, "git -c safe.directory='*' -C ws rev-parse HEAD"), commit);
}

static void a_mirror_is_made_once_and_fetched_only_when_a_commit_is_missing(void **state) {
    Fixture *f = *state;
    char *one = push_commit(f, "one"), *two;
    GitCheckout c = checkout_of(f, one);
    unsigned handled;

    serving.locked = true;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, one);
    handled = serving.handled;
    assert_true(handled > 0);
    c = checkout_of(f, one);
    assert_ok(f, git_checkout(&c, &f->err));
    assert_int_equal(serving.handled, handled);
    two = push_commit(f, "two");
    c = checkout_of(f, two);
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, two);
    assert_string_equal(run(f, "cat ws/a"), "two");
    assert_true(serving.handled > handled);
}

static void a_commit_that_is_on_no_branch_any_more_is_fetched(void **state) {
    Fixture *f = *state;
    char *one = push_commit(f, "one"), *two = push_commit(f, "two");
    GitCheckout c = checkout_of(f, one);

    assert_ok(f, git_checkout(&c, &f->err));
    run(f, "git -C work reset -q --hard %s; git -C work push -q -f ../hello.git main", one);
    c = checkout_of(f, two);
    run(f, "rm -rf mirror.git");
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, two);
}

static void what_goes_wrong_has_its_code_and_is_in_the_log(void **state) {
    Fixture *f = *state;
    char *one = push_commit(f, "one"), *log = mem_printf(f, "%s/log", f->dir);
    GitCheckout c = checkout_of(f, "0123456789012345678901234567890123456789");
    _cleanup_fclose_ FILE *file = fopen(log, "we");

    c.log_fd = fileno(file);
    assert_err(ERR_NOT_FOUND, git_checkout(&c, &f->err));
    assert_non_null(strstr(run(f, "cat log"), "not our ref"));
    c = checkout_of(f, one);
    c.url = mem_printf(f, "%snone.git", serving.url);
    assert_err(ERR_NOT_FOUND, git_checkout(&c, &f->err));
    serving.locked = true;
    c = checkout_of(f, one);
    c.token = "wrong";
    assert_err(ERR_UNAUTHORIZED, git_checkout(&c, &f->err));
    c = checkout_of(f, one);
    c.url = f->repo;
    assert_err(ERR_INVALID, git_checkout(&c, &f->err));
    c = checkout_of(f, one);
    http_server_stop(serving.server, 0);
    serving.server = NULL;
    assert_err(ERR_UNAVAILABLE, git_checkout(&c, &f->err));
    assert_null(strstr(f->err.msg, TOKEN));
}

static void the_log_does_not_list_the_repositorys_branches_and_tags(void **state) {
    Fixture *f = *state;
    char *one = push_commit(f, "one"), *log = mem_printf(f, "%s/log", f->dir);
    GitCheckout c = checkout_of(f, one);
    _cleanup_fclose_ FILE *file = fopen(log, "we");

    run(f, "git -C work tag v1; git -C work push -q ../hello.git v1 main:other");
    c.log_fd = fileno(file);
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "git -C mirror.git tag"), "v1");
    assert_string_equal(run(f, "cat log"), "");
}

static void *checkout_in_thread(void *arg) {
    Err err = {0};

    return git_checkout(arg, &err) < 0 ? arg : NULL;
}

static void two_jobs_at_once_share_a_new_mirror(void **state) {
    Fixture *f = *state;
    char *one = push_commit(f, "one");
    GitCheckout c[3];
    pthread_t threads[ELEMENTS(c)];
    void *failed;

    for (size_t i = 0; i < ELEMENTS(c); i++) {
        char *workspace = mem_printf(f, "%s/ws%zu", f->dir, i);

        c[i] = checkout_of(f, one);
        assert_ok(f, file_mkdirs(workspace, 0755, &f->err));
        c[i].workspace = workspace;
    }
    for (size_t i = 0; i < ELEMENTS(c); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, checkout_in_thread, &c[i]), 0);
    for (size_t i = 0; i < ELEMENTS(c); i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(serving.handled, 3); /* one fetch: the refs, ls-refs, the pack */
}

static void the_dropped_user_may_read_the_mirror_and_not_write_it(void **state) {
    Fixture *f = *state;
    char *one, *two;
    GitCheckout c;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->dir, 0711), 0);
    one = push_commit(f, "one");
    c = checkout_of(f, one);
    c.drop_user = true;
    c.uid = JOB_UID;
    c.gid = JOB_GID;
    assert_ok(f, git_checkout(&c, &f->err));
    two = push_commit(f, "two");
    c.workspace = checkout_of(f, two).workspace;
    c.commit = two;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(
        run(f, "find mirror.git ! -gid 12346 -o -perm /022 -o -uid 12345; find ws ! -uid 12345"), "");
    assert_exact(f, two);
}

static void a_mirror_that_a_job_with_the_runners_rights_made_serves_the_dropped_user(void **state) {
    Fixture *f = *state;
    char *one;
    GitCheckout c;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->dir, 0711), 0);
    one = push_commit(f, "one");
    c = checkout_of(f, one);
    c.uid = JOB_UID;
    c.gid = JOB_GID;
    assert_ok(f, git_checkout(&c, &f->err));
    c.workspace = checkout_of(f, one).workspace;
    c.drop_user = true;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, one);
}

static void a_fetch_that_was_killed_keeps_no_later_one(void **state) {
    Fixture *f = *state;
    GitCheckout c = checkout_of(f, push_commit(f, "one"));
    char *two;

    assert_ok(f, git_checkout(&c, &f->err));
    run(f, "touch mirror.git/refs/heads/main.lock mirror.git/packed-refs.lock");
    two = push_commit(f, "two");
    c = checkout_of(f, two);
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, two);
}

/* A file an object could be cut off between a commit and its tree, and then nobody would fetch the rest. */
static void what_is_fetched_comes_as_one_pack(void **state) {
    Fixture *f = *state;
    GitCheckout c = checkout_of(f, push_commit(f, "one"));

    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "find mirror.git/objects -name '*.pack' | wc -l; "
                               "find mirror.git/objects/?? -type f 2>/dev/null | wc -l"),
                        "1\n0");
}

/* ---- submodules ---- */

static char *push_with_submodule(Fixture *f, const char *url) {
    char *lib = mem_printf(f, "%s/lib.git", f->dir), *deep = mem_printf(f, "%s/deep.git", f->dir);

    assert_ok(f, git_repo_create(lib, "/bin/true", f->dir, (gid_t)-1, &f->err));
    assert_ok(f, git_repo_create(deep, "/bin/true", f->dir, (gid_t)-1, &f->err));
    return run(f,
               "git config --global protocol.file.allow always; git init -q -b main d; cd d; echo deep > f; "
               "git add f; git commit -qm d; git push -q ../deep.git "
               "main; cd ..;"
               "git init -q -b main l; cd l; git submodule --quiet add ../deep.git deep; git config -f "
               ".gitmodules submodule.deep.url ../deep.git; git add .; git "
               "commit -qm l; git push -q ../lib.git main; cd ../work;"
               "git submodule --quiet add ../lib.git vendor/lib; git config -f .gitmodules "
               "submodule.vendor/lib.url '%s'; git add .; git commit -qm s; git push -q "
               "../hello.git main; git rev-parse HEAD",
               url);
}

static void use_local_remotes(Fixture *f) {
    run(f, "git -C work remote set-url origin \"$REPO\"");
}

static void submodules_by_relative_address_come_from_the_server_with_the_token(void **state) {
    Fixture *f = *state;
    GitCheckout c;
    char *commit;

    use_local_remotes(f);
    commit = push_with_submodule(f, "../lib.git");
    c = checkout_of(f, commit);
    serving.locked = true;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_exact(f, commit);
    assert_string_equal(run(f, "cat ws/vendor/lib/deep/f"), "deep");
    assert_string_equal(run(f, "grep -rF " TOKEN " ws mirror.git || true"), "");
    c = checkout_of(f, commit);
    c.borrow = f->repo;
    c.token = NULL;
    assert_err(ERR_UNAUTHORIZED, git_checkout(&c, &f->err));
}

static void nothing_is_had_of(Fixture *f, const char *commit) {
    GitCheckout c = checkout_of(f, commit);

    c.withheld = "ask ann";
    assert_err(ERR_FORBIDDEN, git_checkout(&c, &f->err));
    assert_non_null(strstr(f->err.msg, "submodules: ask ann"));
    assert_string_equal(run(f, "cat ws/vendor/lib/f ws/vendor/lib/deep/f 2>/dev/null || true"), "");
}

/* By its address on the server, relative or whole; what anybody may read is there. */
static void no_submodule_has_a_token_that_is_withheld(void **state) {
    Fixture *f = *state;
    GitCheckout c;
    char *commit;

    use_local_remotes(f);
    serving.locked = true;
    nothing_is_had_of(f, push_with_submodule(f, "../lib.git"));
    commit =
        run(f,
            "cd work; git config -f .gitmodules submodule.vendor/lib.url '%slib.git'; git commit -qam x; "
            "git push -q ../hello.git main; git rev-parse HEAD",
            serving.url);
    nothing_is_had_of(f, commit);
    serving.locked = false;
    c = checkout_of(f, commit);
    c.withheld = "ask ann";
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "cat ws/vendor/lib/deep/f"), "deep");
}

static void submodules_as_the_dropped_user(void **state) {
    Fixture *f = *state;
    GitCheckout c;
    char *commit;

    if (geteuid() != 0)
        skip();
    use_local_remotes(f);
    assert_int_equal(chmod(f->dir, 0711), 0);
    commit = push_with_submodule(f, "../lib.git");
    c = checkout_of(f, commit);
    c.drop_user = true;
    c.uid = JOB_UID;
    c.gid = JOB_GID;
    assert_ok(f, git_checkout(&c, &f->err));
    assert_string_equal(run(f, "cat ws/vendor/lib/deep/f; find ws ! -uid 12345"), "deep");
}

static void submodules_from_elsewhere_than_the_web_are_refused(void **state) {
    Fixture *f = *state;
    const char *bad[] = {mem_printf(f, "%s/lib.git", f->dir), mem_printf(f, "file://%s/lib.git", f->dir),
                         mem_printf(f, "ext::touch %s/hit", f->dir), "ssh://x.invalid/lib.git",
                         "git://127.0.0.1:1/lib.git"};
    GitCheckout c;
    char *commit;

    use_local_remotes(f);
    push_with_submodule(f, "../lib.git");
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        commit = run(f,
                     "cd work; git config -f .gitmodules submodule.vendor/lib.url '%s'; git commit -qam x; "
                     "git push -q ../hello.git main; git rev-parse HEAD",
                     bad[i]);
        c = checkout_of(f, commit);
        assert_err(ERR_INVALID, git_checkout(&c, &f->err));
        assert_non_null(
            strstr(f->err.msg, mem_printf(f, ": submodule vendor/lib from %s: transport '", bad[i])));
        assert_non_null(strstr(f->err.msg, "; only http:// and https:// are fetched: write such an address"));
        assert_null(strstr(f->err.msg, "fatal: "));
        assert_string_equal(run(f, "ls ws/vendor/lib; ls hit 2>/dev/null || true"), "");
    }
}

/* In the superproject's last commit, with the submodule at another address or commit. */
static const char *said_of(Fixture *f, const char *change) {
    char *commit = run(f,
                       "cd work; %s; git add .gitmodules; git commit -qm x; git push -q ../hello.git main; "
                       "git rev-parse HEAD",
                       change);
    GitCheckout c = checkout_of(f, commit);

    assert_true(git_checkout(&c, &f->err) < 0);
    assert_null(strstr(f->err.msg, "fatal: "));
    assert_null(strstr(f->err.msg, f->dir));
    return f->err.msg;
}

static void a_submodule_that_does_not_come_says_which_why_and_what_to_do(void **state) {
    Fixture *f = *state;
    const char *said;

    use_local_remotes(f);
    push_with_submodule(f, "../lib.git");
    said = said_of(f, "git config -f .gitmodules submodule.vendor/lib.url ../nowhere.git");
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(said, "submodule vendor/lib from http://"));
    assert_non_null(strstr(said, "; correct its address in .gitmodules"));
    said = said_of(f, "git config -f .gitmodules submodule.vendor/lib.url ../lib.git; git update-index "
                      "--cacheinfo 160000,1111111111111111111111111111111111111111,vendor/lib");
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(said, "not our ref 1111"));
    assert_non_null(strstr(said, "; push that commit to it"));
    serving.locked = true;
    said = said_of(f, mem_printf(f,
                                 "git config -f .gitmodules submodule.vendor/lib.url "
                                 "'http://localhost:%slib.git'",
                                 strrchr(serving.url, ':') + 1));
    assert_int_equal(f->err.code, ERR_UNAUTHORIZED);
    assert_non_null(strstr(said, "; it wants a login"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SERVED(a_mirror_is_made_once_and_fetched_only_when_a_commit_is_missing),
        SERVED(a_commit_that_is_on_no_branch_any_more_is_fetched),
        SERVED(what_goes_wrong_has_its_code_and_is_in_the_log),
        SERVED(the_log_does_not_list_the_repositorys_branches_and_tags),
        SERVED(two_jobs_at_once_share_a_new_mirror),
        SERVED(the_dropped_user_may_read_the_mirror_and_not_write_it),
        SERVED(a_fetch_that_was_killed_keeps_no_later_one),
        SERVED(what_is_fetched_comes_as_one_pack),
        SERVED(a_mirror_that_a_job_with_the_runners_rights_made_serves_the_dropped_user),
        SERVED(submodules_by_relative_address_come_from_the_server_with_the_token),
        SERVED(a_submodule_that_does_not_come_says_which_why_and_what_to_do),
        SERVED(no_submodule_has_a_token_that_is_withheld),
        SERVED(submodules_as_the_dropped_user),
        SERVED(submodules_from_elsewhere_than_the_web_are_refused),
    };

    return RUN_TESTS(tests);
}
