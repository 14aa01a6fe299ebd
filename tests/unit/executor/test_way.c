/* A folder below a closed one, as a user that may not enter that. */
#include "base/file.h"
#include "executor/sandbox.h"
#include "executor/way.h"

#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define UID 200000
#define GID 200000

typedef struct Fixture {
    char top[64]; /* closed */
    char one[96], two[96];
} Fixture;

static Err err;

static void put(const char *dir, const char *name, const char *text) {
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_true(file_write_atomic(path, text, strlen(text), 0644, &err) >= 0);
}

static int setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);

    snprintf(f->top, sizeof(f->top), "/tmp/pelton-way-XXXXXX");
    assert_non_null(mkdtemp(f->top)); /* 0700 */
    snprintf(f->one, sizeof(f->one), "%s/a/one", f->top);
    snprintf(f->two, sizeof(f->two), "%s/b/two", f->top);
    assert_true(file_mkdirs(f->one, 0755, &err) >= 0);
    assert_true(file_mkdirs(f->two, 0755, &err) >= 0);
    put(f->one, "x", "1");
    put(f->two, "x", "2");
    put(f->top, "secret", "s");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    assert_true(file_remove_tree(f->top, &err) >= 0);
    talloc_free(f);
    return 0;
}

static bool readable(const char *dir, const char *name) {
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, R_OK) == 0;
}

/* Runs check in a child, after way_open and as the jobs' user; its bits are the exit status. */
static int in_child(Fixture *f, const char *const *paths, int (*check)(Fixture *f)) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (way_open(paths, UID, GID, &err) < 0)
            _exit(100);
        if (setgroups(0, NULL) < 0 || setgid(GID) < 0 || setuid(UID) < 0)
            _exit(101);
        _exit(check(f));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int what_is_readable(Fixture *f) {
    return readable(f->one, "x") | readable(f->two, "x") << 1 | readable(f->top, "secret") << 2;
}

static void both_folders_can_be_reached_and_nothing_else(void **state) {
    Fixture *f = *state;
    const char *paths[] = {f->one, f->two, NULL};

    assert_int_equal(in_child(f, paths, what_is_readable), 3);
    assert_true(readable(f->top, "secret")); /* nobody else sees a change */
}

static void what_is_not_asked_for_stays_hidden(void **state) {
    Fixture *f = *state;
    const char *paths[] = {f->one, NULL};

    assert_int_equal(in_child(f, paths, what_is_readable), 1);
}

static void an_open_way_needs_no_name_space(void **state) {
    const char *paths[] = {"/usr/bin", "/tmp", NULL};
    struct stat before, after;

    assert_int_equal(stat("/proc/self/ns/mnt", &before), 0);
    assert_true(way_open(paths, UID, GID, &err) >= 0);
    assert_int_equal(stat("/proc/self/ns/mnt", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void a_folder_that_is_closed_itself_is_refused(void **state) {
    Fixture *f = *state;
    const char *paths[] = {f->top, NULL};

    assert_int_equal(way_open(paths, UID, GID, &err), -ERR_FORBIDDEN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(both_folders_can_be_reached_and_nothing_else),
        TEST(what_is_not_asked_for_stays_hidden),
        TEST(an_open_way_needs_no_name_space),
        TEST(a_folder_that_is_closed_itself_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
