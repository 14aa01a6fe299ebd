#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "runner/walk.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void a_glob_matches_files_and_all_below_a_folder(void **state) {
    static const char *const globs[] = {"dist/**", "./docs/", "*.log", "build/*/out", NULL};

    assert_true(walk_match(globs, "dist/a"));
    assert_true(walk_match(globs, "dist/a/b/c"));
    assert_true(walk_match(globs, "docs/x/y"));
    assert_true(walk_match(globs, "a.log"));
    assert_true(walk_match(globs, "build/x/out"));
    assert_true(walk_match(globs, "build/x/out/deep"));
    assert_false(walk_match(globs, "sub/a.log"));
    assert_false(walk_match(globs, "distant/a"));
    assert_false(walk_match(globs, "docsy"));
    assert_false(walk_match(NULL, "a"));
    assert_true(walk_match((const char *const[]){"dist", "!dist/*.map", NULL}, "dist/a"));
    assert_false(walk_match((const char *const[]){"dist", "!dist/*.map", NULL}, "dist/a.map"));
    assert_true(walk_match((const char *const[]){"dist", "!dist/x/", "dist/x/b", NULL}, "dist/x/b"));
    assert_false(walk_match((const char *const[]){"dist", "!dist/x/", "dist/x/b", NULL}, "dist/x/a"));
}

static void a_dot_is_everything(void **state) {
    static const char *const dot[] = {".", NULL}, *const star[] = {"**", NULL};

    assert_true(walk_match(dot, "a/b"));
    assert_true(walk_match(star, "a/b"));
    assert_true(walk_match(star, "a"));
}

static void the_build_servers_rule(void **state) {
    assert_false(walk_match_build_server("Makefile"));
    assert_false(walk_match_build_server("sub/Makefile"));
    assert_false(walk_match_build_server("a.c"));
    assert_false(walk_match_build_server("sub/a.h"));
    assert_true(walk_match_build_server("a.cc"));
    assert_true(walk_match_build_server("c"));
    assert_true(walk_match_build_server("sub.c/prog"));
}

static void links_must_stay_inside(void **state) {
    assert_true(walk_link_inside("a", "b"));
    assert_true(walk_link_inside("a/b", "../c"));
    assert_true(walk_link_inside("a/b/c", "../../d/./e"));
    assert_false(walk_link_inside("a", "../b"));
    assert_false(walk_link_inside("a/b", "../../c"));
    assert_false(walk_link_inside("a/b", "x/../../../c"));
    assert_false(walk_link_inside("a", "/etc/passwd"));
    assert_false(walk_link_inside("a", ""));
    assert_true(walk_link_inside("a", "..b"));
}

static void put(const char *dir, const char *name) {
    char path[2048];
    Err err;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (file_write_atomic(path, "x", 1, 0644, &err) < 0)
        fail_msg("%s", err.msg);
}

static void folder(const char *dir, const char *name) {
    char path[2048];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void the_files_come_sorted_without_git_and_links_are_not_followed(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char dir[] = "/tmp/pelton-walk-XXXXXX", link[64];
    static const char *const expected[] = {"a/z", "b", "link", "sub/x"};
    Walk walk = {0};
    Err err;

    assert_non_null(mkdtemp(dir));
    folder(dir, ".git");
    folder(dir, "sub");
    folder(dir, "a");
    put(dir, ".git/HEAD");
    put(dir, "sub/x");
    put(dir, "b");
    put(dir, "a/z");
    snprintf(link, sizeof(link), "%s/link", dir);
    assert_int_equal(symlink("/etc", link), 0);
    assert_int_equal(walk_tree(dir, mem, &walk, &err), 0);
    assert_int_equal(walk.count, ELEMENTS(expected));
    for (size_t i = 0; i < walk.count; i++)
        assert_string_equal(walk.files[i].path, expected[i]);
    assert_true(S_ISLNK(walk.files[2].mode));
    assert_int_equal(file_remove_tree(dir, &err), 0);
}

typedef struct Deep {
    const char *dir, *found;
    void *mem;
    Err err;
    int result;
} Deep;

static void *walk_deep(void *arg) {
    Deep *deep = arg;
    Walk walk = {0};

    deep->result = walk_tree(deep->dir, deep->mem, &walk, &deep->err);
    deep->found = walk.count == 1 ? walk.files[0].path : "";
    return NULL;
}

/* A file in so many folders is looked for, on a stack like that of the thread that walks in a job process. */
static void look_for(Deep *deep, int folders) {
    char dir[] = "/tmp/pelton-walk-XXXXXX";
    _cleanup_buf_ Buf path = BUF_INIT;
    pthread_attr_t attr;
    pthread_t thread;
    Err err;

    *deep = (Deep){.dir = mkdtemp(dir), .mem = deep->mem};
    assert_non_null(deep->dir);
    for (int i = 0; i < folders; i++) {
        buf_adds(&path, i ? "/dddd" : "dddd");
        folder(dir, path.data);
    }
    buf_adds(&path, "/file");
    put(dir, path.data);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)256 * 1024);
    assert_int_equal(pthread_create(&thread, &attr, walk_deep, deep), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    assert_int_equal(file_remove_tree(dir, &err), 0);
    if (deep->result == 0)
        assert_string_equal(deep->found, path.data);
}

static void many_folders_in_each_other_take_no_stack_and_too_many_are_told(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Deep deep = {.mem = mem};

    look_for(&deep, 200);
    assert_int_equal(deep.result, 0);
    look_for(&deep, 202);
    assert_int_equal(deep.result, -ERR_TOO_LARGE);
    assert_non_null(strstr(deep.err.msg, "more than 200 folders deep: dddd/dddd/"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_glob_matches_files_and_all_below_a_folder),
        cmocka_unit_test(a_dot_is_everything),
        cmocka_unit_test(the_build_servers_rule),
        cmocka_unit_test(links_must_stay_inside),
        cmocka_unit_test(the_files_come_sorted_without_git_and_links_are_not_followed),
        cmocka_unit_test(many_folders_in_each_other_take_no_stack_and_too_many_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
