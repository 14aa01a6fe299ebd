/* A folder of its own for a test, and real git in it with a user who has a name. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "git/git.h"
#include <signal.h>

typedef struct Fixture {
    char dir[64]; /* the temporary folder */
    char *repo;   /* a repository of ours in it */
    Err err;
} Fixture;

#define assert_ok(f, expression)                                                                             \
    do {                                                                                                     \
        if ((expression) < 0)                                                                                \
            fail_msg("%s: %s", #expression, (f)->err.msg);                                                   \
    } while (0)
#define assert_err(code, expression) assert_int_equal((expression), -(int)(code))

/* Runs a script by sh -e in the folder; gives what it wrote, without the last newline. */
static inline char *run_status(Fixture *f, int *ret_status, const char *script) {
    const char *argv[] = {"sh", "-ec", script, NULL};
    const char *home = talloc_asprintf(f, "HOME=%s", f->dir);
    const char *path = talloc_asprintf(f, "PATH=%s", getenv("PATH"));
    const char *repo = talloc_asprintf(f, "REPO=%s", f->repo ? f->repo : "");
    const char *envp[] = {home,
                          path,
                          repo,
                          "GIT_CONFIG_NOSYSTEM=1",
                          "GIT_AUTHOR_NAME=Ada Lovelace",
                          "GIT_AUTHOR_EMAIL=ada@example.org",
                          "GIT_COMMITTER_NAME=Ada Lovelace",
                          "GIT_COMMITTER_EMAIL=ada@example.org",
                          "GIT_TERMINAL_PROMPT=0",
                          "LC_ALL=C.UTF-8",
                          NULL};
    ProcOptions options = {.argv = argv, .envp = envp, .cwd = f->dir};
    _cleanup_buf_ Buf out = BUF_INIT;
    char *said = NULL;

    assert_ok(f, proc_run(&options, NULL, 0, (size_t)64 << 20, &out, f, &said, 0, ret_status, &f->err));
    buf_adds(&out, said);
    while (out.len && out.data[out.len - 1] == '\n')
        out.data[--out.len] = '\0';
    return buf_dup(&out, f);
}

static inline char *_printf_(2, 3) run(Fixture *f, const char *fmt, ...) {
    va_list ap;
    char *script, *out;
    int status = -1;

    va_start(ap, fmt);
    script = talloc_vasprintf(f, fmt, ap);
    va_end(ap);
    out = run_status(f, &status, script);
    if (status != 0)
        fail_msg("status %d of: %s\n%s", status, script, out);
    return out;
}

static inline int fixture_setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);

    signal(SIGPIPE, SIG_IGN);
    memcpy(f->dir, "/tmp/test_git.XXXXXX", sizeof("/tmp/test_git.XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    f->repo = mem_printf(f, "%s/hello.git", f->dir);
    assert_ok(f, git_repo_create(f->repo, "/bin/true", f->dir, (gid_t)-1, &f->err));
    run(f, "git init -q -b main work; git -C work remote add origin \"$REPO\"");
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    Fixture *f = *state;

    assert_ok(f, file_remove_tree(f->dir, &f->err));
    git_forget(f->repo);
    talloc_free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define RUN_TESTS(tests) cmocka_run_group_tests((tests), NULL, NULL)
