#include "fixture.h"

#include "git/internal.h"
#include <sys/stat.h>

/* Names that a shell could take for something else. */
static const char *const names[] = {
    "plain", "with space", "it's",  "\"quoted\"", "$(touch hit)", "`touch hit`",    "a;touch hit",
    "*",     "~",          "-n",    "tab\there",  "line\nbreak",  "back\\slash\\c", "\xc3\xbc\xff",
    "'",     "''",         "$HOME", "#",          "a&b|c>d",
};

/* A program in place of pelton that says what it was given. */
static const char *const recorder = "#!/bin/sh\n"
                                    "{ printf '%s|' \"$@\"; echo; pwd; cat; } > \"$4/record\"\n"
                                    "echo \"build 7: http://localhost/builds/7\"\n"
                                    "exit ${RECORDER_STATUS:-0}\n";

static char *make_folder(Fixture *f, const char *name, const char *program) {
    char *folder = mem_printf(f, "%s/in/%s", f->dir, name);

    assert_ok(f, file_mkdirs(folder, 0755, &f->err));
    if (program)
        assert_ok(f, file_write_atomic(mem_printf(f, "%s/pelton", folder), program, strlen(program), 0755,
                                       &f->err));
    return folder;
}

static char *push(Fixture *f, const char *repo) {
    return run(f, "cd work; git commit -q --allow-empty -m x; git push '%s' main 2>&1", repo);
}

static void the_program_gets_every_ref_whatever_its_path_is(void **state) {
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char *folder = make_folder(f, names[i], recorder), *repo = mem_printf(f, "%s/repo%zu.git", f->dir, i),
             *expected, *said;
        _cleanup_buf_ Buf record = BUF_INIT;

        assert_ok(f, git_repo_create(repo, mem_printf(f, "%s/pelton", folder), folder, (gid_t)-1, &f->err));
        said = run(f, "cd work; git commit -q --allow-empty -m x; git push ../repo%zu.git main main:b/2 2>&1",
                   i);
        assert_non_null(strstr(said, "build 7: http://localhost/builds/7"));
        assert_ok(f, file_read(mem_printf(f, "%s/record", folder), 10000, &record, &f->err));
        expected = mem_printf(f, "hook|post-receive|--state|%s|\n%s\n", folder, repo);
        assert_non_null(str_after(record.data, expected));
        assert_non_null(strstr(record.data, " refs/heads/main\n"));
        assert_non_null(strstr(record.data, " refs/heads/b/2\n"));
        assert_string_equal(run(f, "find . -name hit"), "");
    }
}

static void assert_told(Fixture *f, const char *repo, const char *why) {
    char *said = push(f, repo);

    assert_non_null(strstr(said, "push was accepted"));
    assert_non_null(strstr(said, "NO BUILD"));
    assert_non_null(strstr(said, why));
    assert_string_equal(run(f, "git -C '%s' rev-parse main", repo), run(f, "git -C work rev-parse main"));
}

static void the_pusher_is_told_when_the_program_is_missing_or_fails(void **state) {
    Fixture *f = *state;
    char *folder = make_folder(f, "d", NULL), *program = mem_printf(f, "%s/pelton", folder);

    assert_ok(f, git_hook_install(f->repo, program, folder, &f->err));
    assert_told(f, f->repo, mem_printf(f, "not at %s", program));
    make_folder(f, "d", "#!/bin/sh\nexit 3\n");
    assert_told(f, f->repo, "status 3");
    make_folder(f, "d", "#!/bin/sh\nkill -9 $$\n");
    assert_told(f, f->repo, "status 137");
    assert_int_equal(chmod(program, 0644), 0);
    assert_told(f, f->repo, "may not be run");
}

static void what_the_program_has_told_is_not_told_again(void **state) {
    Fixture *f = *state;
    char *folder = make_folder(f, "d", "#!/bin/sh\ncat >/dev/null\necho 'no server there' >&2\nexit 5\n"),
         *said;

    assert_ok(f, git_hook_install(f->repo, mem_printf(f, "%s/pelton", folder), folder, &f->err));
    said = push(f, f->repo);
    assert_non_null(strstr(said, "no server there"));
    assert_null(strstr(said, "NO BUILD"));
}

static void a_backslash_in_the_path_is_said_as_it_is(void **state) {
    Fixture *f = *state;
    char *folder = make_folder(f, "a\\cb", NULL);

    assert_ok(f, git_hook_install(f->repo, mem_printf(f, "%s/pelton", folder), folder, &f->err));
    assert_told(f, f->repo, "a\\cb/pelton");
}

static void a_thousand_refs_do_not_break_a_program_that_does_not_read(void **state) {
    Fixture *f = *state;
    char *folder = make_folder(f, "d", "#!/bin/sh\nexit 0\n");

    assert_ok(f, git_hook_install(f->repo, mem_printf(f, "%s/pelton", folder), folder, &f->err));
    run(f, "cd work; git commit -q --allow-empty -m x; for i in $(seq 1000); do echo \"create "
           "refs/heads/some/long/branch/name/$i HEAD\"; done |"
           "git update-ref --stdin; git push -q --all origin");
    assert_string_equal(run(f, "git -C \"$REPO\" for-each-ref | wc -l"), "1001");
}

static void installing_again_is_free_and_a_changed_hook_is_mended(void **state) {
    Fixture *f = *state;
    char *path = mem_printf(f, "%s/hooks/post-receive", f->repo);
    struct stat before, after;

    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 07777, 0755);
    assert_ok(f, git_hook_install(f->repo, "/bin/true", f->dir, &f->err));
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(chmod(path, 0644), 0);
    assert_ok(f, git_hook_install(f->repo, "/bin/true", f->dir, &f->err));
    run(f, "test -x \"$REPO/hooks/post-receive\"; echo '# mine' >> \"$REPO/hooks/post-receive\"");
    assert_ok(f, git_hook_install(f->repo, "/bin/true", f->dir, &f->err));
    assert_string_equal(run(f, "grep -c mine \"$REPO/hooks/post-receive\" || true"), "0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_program_gets_every_ref_whatever_its_path_is),
        TEST(the_pusher_is_told_when_the_program_is_missing_or_fails),
        TEST(what_the_program_has_told_is_not_told_again),
        TEST(a_backslash_in_the_path_is_said_as_it_is),
        TEST(a_thousand_refs_do_not_break_a_program_that_does_not_read),
        TEST(installing_again_is_free_and_a_changed_hook_is_mended),
    };

    return RUN_TESTS(tests);
}
