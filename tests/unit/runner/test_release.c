#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "runner/release.h"
#include <fcntl.h>
#include <string.h>

static char dir[64];

static int setup(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/pelton-release-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    Err err;

    return file_remove_tree(dir, &err);
}

/* Runs a shell script in the folder; its output into out. */
static void run(const char *script, Buf *out) {
    const char *argv[] = {"/bin/sh", "-e", "-c", script, NULL};
    ProcOptions options = {.argv = argv, .cwd = dir};
    int status = 0;
    Err err;

    assert_int_equal(proc_run(&options, NULL, 0, 65536, out, NULL, NULL, 0, &status, &err), 0);
    assert_int_equal(status, 0);
}

static void pack(const char *name, const char *const *globs) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char path[128], tree[128];
    Walk walk = {0};
    Err err = {0};
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    snprintf(tree, sizeof(tree), "%s/tree", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(walk_tree(tree, mem, &walk, &err), 0);
    if (release_pack(tree, &walk, globs, fd, &err) < 0)
        fail_msg("%s", err.msg);
    close(fd);
}

static void modes_and_inner_links_are_kept_and_the_rest_is_not_there(void **state) {
    static const char *const all[] = {"**", NULL};
    _cleanup_buf_ Buf out = BUF_INIT;

    run("mkdir -p tree/bin tree/.git; cd tree; echo app > bin/app; chmod 755 bin/app; echo x > .git/HEAD; "
        "echo t > text; chmod 640 text;"
        "ln -s bin/app app; ln -s /etc/passwd out; ln -s ../../x bin/up; mkfifo pipe",
        NULL);
    pack("a.tar.zst", all);
    run("mkdir to; tar --zstd -xf a.tar.zst -C to; cd to; find . -type f -printf '%P %m\\n' -o -type l "
        "-printf '%P > %l\\n' | sort",
        &out);
    assert_string_equal(buf_str(&out), "app > bin/app\nbin/app 755\ntext 640\n");
}

static void the_same_files_give_the_same_bytes(void **state) {
    static const char *const all[] = {"**", NULL};
    _cleanup_buf_ Buf out = BUF_INIT;

    run("mkdir -p tree; for i in 1 2 3 4 5 6 7 8; do echo $i > tree/$i; done", NULL);
    pack("a", all);
    run("mv tree old; mkdir tree; for i in 5 3 8 1 2 7 6 4; do echo $i > tree/$i; done; touch -d 2001-01-01 "
        "tree/*",
        NULL);
    pack("b", all);
    run("cmp a b && echo same", &out);
    assert_string_equal(buf_str(&out), "same\n");
}

static void only_what_the_globs_name_is_in_it(void **state) {
    static const char *const globs[] = {"dist", "*.txt", NULL};
    _cleanup_buf_ Buf out = BUF_INIT;

    run("mkdir -p tree/dist/x; touch tree/dist/x/y tree/a.txt tree/b.bin", NULL);
    pack("a", globs);
    run("tar --zstd -tf a", &out);
    assert_string_equal(buf_str(&out), "a.txt\ndist/x/y\n");
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(modes_and_inner_links_are_kept_and_the_rest_is_not_there),
        TEST(the_same_files_give_the_same_bytes),
        TEST(only_what_the_globs_name_is_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
