#include "base/file.h"
#include "base/str.h"
#include "base_test.h"
#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char *in(const char *folder, const char *name) {
    return mem_printf(folder, "%s/%s", folder, name);
}

static int folder_free(void **state) {
    Err err;
    int r = file_remove_tree(*state, &err);

    talloc_free(*state);
    return r;
}

static void put(const char *path, const char *text) {
    Err err;

    assert_done(file_write_atomic(path, text, strlen(text), 0644, &err), &err);
}

static bool is_there(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0;
}

static int entries(const char *path) {
    DIR *dir = opendir(path);
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void what_is_written_is_read(void **state) {
    char *path = in(*state, "f");
    _cleanup_buf_ Buf b = BUF_INIT;
    struct stat st;
    Err err;

    assert_done(file_write_atomic(path, "old", 3, 0600, &err), &err);
    assert_done(file_write_atomic(path, "a\0b", 3, 0640, &err), &err);
    buf_adds(&b, "before ");
    assert_done(file_read(path, 3, &b, &err), &err);
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "before a\0b", 11);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(entries(*state), 1);
}

static void reading_has_a_limit(void **state) {
    char *path = in(*state, "f");
    _cleanup_buf_ Buf b = BUF_INIT;
    Err err;

    put(path, "12345");
    assert_fails(file_read(path, 4, &b, &err), &err, ERR_TOO_LARGE, "over 4 bytes");
    assert_fails(file_read("/dev/zero", 100000, &b, &err), &err, ERR_TOO_LARGE, "over 100000 bytes");
    assert_fails(file_read(in(*state, "none"), 4, &b, &err), &err, ERR_NOT_FOUND, "none");
    assert_fails(file_read(*state, 4096 * 1024, &b, &err), &err, ERR_IO, "directory");
}

static void files_without_a_size_are_read(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;
    Err err;

    assert_done(file_read("/proc/self/status", 100000, &b, &err), &err);
    assert_non_null(strstr(buf_str(&b), "Threads:"));
}

static void a_failed_write_leaves_nothing_behind(void **state) {
    Err err;

    assert_done(file_mkdirs(in(*state, "d/x"), 0755, &err), &err);
    assert_fails(file_write_atomic(in(*state, "d"), "x", 1, 0600, &err), &err, ERR_IO, "rename");
    assert_int_equal(entries(*state), 1);
    assert_fails(file_write_atomic(in(*state, "none/f"), "x", 1, 0600, &err), &err, ERR_NOT_FOUND, "none/f");
}

/* The name a link has is written, not what it points to. */
static void an_atomic_write_replaces_a_link(void **state) {
    char *link = in(*state, "link"), *victim = in(*state, "victim");
    _cleanup_buf_ Buf b = BUF_INIT;
    Err err;

    put(victim, "keep");
    assert_int_equal(symlink(victim, link), 0);
    put(link, "new");
    assert_done(file_read(victim, 10, &b, &err), &err);
    assert_string_equal(buf_str(&b), "keep");
}

static void paths_are_checked(void **state) {
    static const char *const bad[] = {
        "",      "/a",      "a//b",   "a/",           ".", "..", "../a", "a/..", "a/./b", "a/../b", "a\nb",
        "a\x7f", "\x1b[2J", "a\xffz", "a/\xc0\xaf..", "/", "//", "./a",  NULL};
    static const char *const good[] = {
        "a", "a/b.c", "...", "..a", "a..", "-x", "a b", "\xc3\xbc/\xf0\x9f\x98\x80", ".git", NULL};
    char longest[1026];
    Err err;

    for (size_t i = 0; bad[i]; i++)
        assert_fails(file_check_path(bad[i], &err), &err, ERR_INVALID, "path");
    for (size_t i = 0; good[i]; i++)
        assert_done(file_check_path(good[i], &err), &err);
    memset(longest, 'a', sizeof(longest));
    longest[1025] = '\0';
    assert_fails(file_check_path(longest, &err), &err, ERR_INVALID, "longer than 1024");
    longest[1024] = '\0';
    assert_done(file_check_path(longest, &err), &err);
}

static int open_in(const char *folder, const char *path, int flags, Err *err) {
    _cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = -1;
    int r = file_open_beneath(dir, path, flags, 0600, &fd, err);

    if (r >= 0)
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    return r;
}

static void no_path_leaves_its_root(void **state) {
    char *root = in(*state, "root");
    Err err;

    assert_done(file_mkdirs(in(root, "a/b"), 0755, &err), &err);
    put(in(*state, "outside"), "x");
    put(in(root, "a/b/f"), "x");
    assert_int_equal(symlink("../outside", in(root, "up")), 0);
    assert_int_equal(symlink("/etc", in(root, "etc")), 0);
    assert_int_equal(symlink("a", in(root, "inner")), 0);
    assert_int_equal(symlink("/proc/self/fd", in(root, "fds")), 0);
    assert_done(open_in(root, "a/b/f", O_RDONLY, &err), &err);
    assert_done(open_in(root, "a/new", O_WRONLY | O_CREAT | O_EXCL, &err), &err);
    assert_fails(open_in(root, "../outside", O_RDONLY, &err), &err, ERR_INVALID, "leaves its root");
    assert_fails(open_in(root, "a/../../outside", O_RDONLY, &err), &err, ERR_INVALID, "leaves its root");
    assert_fails(open_in(root, "/etc/passwd", O_RDONLY, &err), &err, ERR_INVALID, "leaves its root");
    assert_fails(open_in(root, "up", O_RDONLY, &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(open_in(root, "etc/passwd", O_RDONLY, &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(open_in(root, "inner/b/f", O_RDONLY, &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(open_in(root, "fds/0", O_RDONLY, &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(open_in(root, "up", O_WRONLY | O_CREAT, &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(open_in(root, "none", O_RDONLY, &err), &err, ERR_NOT_FOUND, "none");
}

static int mkdirs_in(const char *folder, const char *path, Err *err) {
    _cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return file_mkdirs_beneath(dir, path, err);
}

static void parents_are_made_beneath(void **state) {
    char *root = in(*state, "root");
    Err err;

    assert_done(file_mkdirs(root, 0755, &err), &err);
    assert_done(mkdirs_in(root, "a/b/c/file", &err), &err);
    assert_done(mkdirs_in(root, "a/b/c/file", &err), &err);
    assert_done(mkdirs_in(root, "file", &err), &err);
    assert_true(is_there(in(root, "a/b/c")));
    assert_false(is_there(in(root, "a/b/c/file")));
    assert_int_equal(symlink("..", in(root, "up")), 0);
    assert_fails(mkdirs_in(root, "up/evil/f", &err), &err, ERR_INVALID, "symbolic link");
    assert_fails(mkdirs_in(root, "../evil/f", &err), &err, ERR_INVALID, "leaves its root");
    assert_fails(mkdirs_in(root, "/evil/f", &err), &err, ERR_INVALID, "empty segment");
    assert_int_equal(entries(*state), 1);
    put(in(root, "plain"), "x");
    assert_int_equal(mkdirs_in(root, "plain/x", &err), -ERR_IO);
}

static void mkdirs_is_content_with_what_is_there(void **state) {
    struct stat st;
    Err err;

    assert_done(file_mkdirs(in(*state, "a/b//c/"), 0700, &err), &err);
    assert_done(file_mkdirs(in(*state, "a/b/c"), 0755, &err), &err);
    assert_int_equal(stat(in(*state, "a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    put(in(*state, "a/f"), "x");
    assert_fails(file_mkdirs(in(*state, "a/f"), 0755, &err), &err, ERR_EXISTS, "a file of that name");
    assert_fails(file_mkdirs("", 0755, &err), &err, ERR_INVALID, "empty");
}

static void trees_are_removed_but_not_what_links_point_to(void **state) {
    char *tree = in(*state, "tree"), *outside = in(*state, "outside");
    Err err;

    assert_done(file_mkdirs(in(tree, "a/b/c"), 0755, &err), &err);
    assert_done(file_mkdirs(outside, 0755, &err), &err);
    put(in(outside, "keep"), "x");
    put(in(tree, "a/b/f"), "x");
    assert_int_equal(symlink(outside, in(tree, "a/link")), 0);
    assert_int_equal(symlink(outside, in(*state, "tree-link")), 0);
    assert_int_equal(mkfifo(in(tree, "a/fifo"), 0600), 0);
    assert_done(file_remove_tree(tree, &err), &err);
    assert_false(is_there(tree));
    assert_done(file_remove_tree(in(*state, "tree-link"), &err), &err);
    assert_false(is_there(in(*state, "tree-link")));
    assert_true(is_there(in(outside, "keep")));
    assert_done(file_remove_tree(tree, &err), &err);
    assert_done(file_remove_tree(in(outside, "keep"), &err), &err);
    assert_false(is_there(in(outside, "keep")));
}

/* Deeper than descriptors, stack or PATH_MAX would go. */
static void a_very_deep_tree_is_removed(void **state) {
    char *tree = in(*state, "tree");
    struct rlimit limit, few;
    int fd, next;
    Err err;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){.rlim_cur = 128, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(mkdir(tree, 0755), 0);
    fd = open(tree, O_PATH | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        next = openat(fd, "d", O_PATH | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_done(file_remove_tree(tree, &err), &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(entries(*state), 0);
}

/* Root is not stopped by modes, so this is done by a child that is not root. */
static int remove_as_nobody(const char *folder) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        Err err;
        int r;

        if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(3);
        r = file_remove_tree(folder, &err);
        if (r < 0)
            fprintf(stderr, "%s\n", err.msg);
        _exit(r < 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void locked_folders_are_removed(void **state) {
    char *home = in(*state, "home"), *tree = in(home, "tree");
    Err err;

    assert_done(file_mkdirs(in(tree, "ro/sub"), 0755, &err), &err);
    assert_done(file_mkdirs(in(tree, "none/sub"), 0755, &err), &err);
    put(in(tree, "ro/f"), "x");
    put(in(tree, "none/f"), "x");
    if (getuid() == 0)
        assert_done(file_chown_tree(home, 65534, 65534, &err), &err);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(chmod(in(tree, "ro/sub"), 0555), 0);
    assert_int_equal(chmod(in(tree, "ro"), 0555), 0);
    assert_int_equal(chmod(in(tree, "none"), 0), 0);
    assert_int_equal(remove_as_nobody(tree), 0);
    assert_false(is_there(tree));
}

static void what_cannot_be_removed_is_an_error(void **state) {
    Err err;

    assert_int_equal(file_remove_tree("/proc/self/status", &err) < 0, true);
    assert_fails(file_remove_tree_at(AT_FDCWD, "../x", &err), &err, ERR_INVALID, "plain name");
    assert_fails(file_remove_tree_at(AT_FDCWD, "..", &err), &err, ERR_INVALID, "plain name");
    assert_fails(file_remove_tree_at(AT_FDCWD, "", &err), &err, ERR_INVALID, "plain name");
}

static void trees_are_removed_at_a_folder(void **state) {
    _cleanup_close_ int dir = open(*state, O_PATH | O_CLOEXEC);
    Err err;

    assert_done(file_mkdirs(in(*state, "a/b"), 0755, &err), &err);
    assert_done(file_remove_tree_at(dir, "a", &err), &err);
    assert_done(file_remove_tree_at(dir, "a", &err), &err);
    assert_int_equal(entries(*state), 0);
}

static void owners_are_changed_but_not_through_links(void **state) {
    char *tree = in(*state, "tree"), *outside = in(*state, "outside");
    struct stat st;
    Err err;

    if (getuid() != 0)
        skip();
    assert_done(file_mkdirs(in(tree, "a"), 0755, &err), &err);
    put(in(tree, "a/f"), "x");
    put(outside, "x");
    assert_int_equal(symlink(outside, in(tree, "link")), 0);
    assert_done(file_chown_tree(tree, 65534, 65533, &err), &err);
    assert_int_equal(stat(in(tree, "a/f"), &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(st.st_gid, 65533);
    assert_int_equal(lstat(in(tree, "link"), &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(stat(outside, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_fails(file_chown_tree(in(*state, "none"), 1, 1, &err), &err, ERR_NOT_FOUND, "none");
}

#define test_in_folder(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_free)

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(what_is_written_is_read),
        test_in_folder(reading_has_a_limit),
        test_in_folder(files_without_a_size_are_read),
        test_in_folder(a_failed_write_leaves_nothing_behind),
        test_in_folder(an_atomic_write_replaces_a_link),
        test_in_folder(paths_are_checked),
        test_in_folder(no_path_leaves_its_root),
        test_in_folder(parents_are_made_beneath),
        test_in_folder(mkdirs_is_content_with_what_is_there),
        test_in_folder(trees_are_removed_but_not_what_links_point_to),
        test_in_folder(a_very_deep_tree_is_removed),
        test_in_folder(locked_folders_are_removed),
        test_in_folder(what_cannot_be_removed_is_an_error),
        test_in_folder(trees_are_removed_at_a_folder),
        test_in_folder(owners_are_changed_but_not_through_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
