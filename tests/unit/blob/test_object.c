#include "fixture.h"

#include <dirent.h>
#include <errno.h>

#define COMMIT "0123456789012345678901234567890123456789"
/* sha256 of "hello" and of "" (FIPS 180-4) */
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int upload(Fixture *f, const char *path, const char *content, const char *sha256) {
    BlobUpload *u;
    char sha[65];
    uint64_t size = 0;
    int r;

    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    OK(f, blob_upload_write(u, content, strlen(content) / 2, &f->err));
    OK(f,
       blob_upload_write(u, content + strlen(content) / 2, strlen(content) - strlen(content) / 2, &f->err));
    r = blob_upload_finish(u, COMMIT, path, sha256, sha, &size, &f->err);
    if (r == 0)
        assert_int_equal(size, strlen(content));
    return r;
}

static void assert_file(Fixture *f, const char *name, const char *content) {
    _cleanup_buf_ Buf b = BUF_INIT;

    OK(f, file_read(path_of(f, name), 1000, &b, &f->err));
    assert_string_equal(buf_str(&b), content);
}

static int files_in(Fixture *f, const char *name) {
    DIR *dir = opendir(path_of(f, name));
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void an_upload_is_an_object_with_a_name(void **state) {
    Fixture *f = *state;
    BlobUpload *u;
    char sha[65] = "";
    uint64_t size = 9;
    int fd;

    OK(f, upload(f, "bin/hello world", "hello", NULL));
    OK(f, upload(f, "other", "hello", HELLO));
    assert_file(f, "root/artifacts/" COMMIT "/bin/hello world", "hello");
    assert_file(f, "root/artifacts/" COMMIT "/other", "hello");
    assert_file(f, "root/objects/2c/" HELLO, "hello");
    OK(f, blob_object_open(f->blob, HELLO, 5, &fd, &f->err));
    close(fd);
    OK(f, blob_object_check(f->blob, HELLO, &f->err));
    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    OK(f, blob_upload_finish(u, COMMIT, "empty", EMPTY, sha, &size, &f->err));
    assert_string_equal(sha, EMPTY);
    assert_int_equal(size, 0);
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

static void equal_content_is_kept_once(void **state) {
    Fixture *f = *state;
    struct stat st;

    OK(f, upload(f, "a", "hello", NULL));
    OK(f, upload(f, "b", "hello", NULL));
    OK(f, upload(f, "b", "hello", NULL)); /* over a link of the very same object */
    assert_int_equal(stat(path_of(f, "root/objects/2c/" HELLO), &st), 0);
    assert_int_equal(st.st_nlink, 3);
    assert_int_equal(st.st_mode & 0777, 0444);
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

static void a_newer_artifact_takes_the_name_and_the_older_object_stays(void **state) {
    Fixture *f = *state;

    OK(f, upload(f, "a", "hello", NULL));
    OK(f, upload(f, "a", "world", NULL));
    assert_file(f, "root/artifacts/" COMMIT "/a", "world");
    OK(f, blob_object_check(f->blob, HELLO, &f->err));
}

static void a_wrong_sha_is_refused_and_leaves_nothing(void **state) {
    Fixture *f = *state;

    assert_int_equal(upload(f, "a", "hullo", HELLO), -ERR_INVALID);
    assert_non_null(strstr(f->err.msg, HELLO));
    assert_int_equal(upload(f, "a", "hello", "abc"), -ERR_INVALID);
    assert_int_equal(access(path_of(f, "root/artifacts/" COMMIT), F_OK), -1);
    assert_int_equal(files_in(f, "root/objects"), 0);
    assert_int_equal(files_in(f, "root/tmp"), 0);
    OK(f, upload(f, "a", "hello", "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"));
}

static void bad_paths_are_refused(void **state) {
    static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\nb", "a/"};
    Fixture *f = *state;
    BlobUpload *u;
    char sha[65];
    uint64_t size;

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_int_equal(upload(f, bad[i], "hello", NULL), -ERR_INVALID);
    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    assert_int_equal(blob_upload_finish(u, "../x", "a", NULL, sha, &size, &f->err), -ERR_INVALID);
    assert_int_equal(files_in(f, "root/tmp"), 0);
    assert_int_equal(files_in(f, "root/artifacts"), 0);
}

static void a_file_where_a_folder_is_needed_is_a_conflict(void **state) {
    Fixture *f = *state;

    OK(f, upload(f, "a", "hello", NULL));
    assert_int_equal(upload(f, "a/b", "hello", NULL), -ERR_CONFLICT);
    assert_int_equal(upload(f, "a/b/c", "hello", NULL), -ERR_CONFLICT);
    OK(f, upload(f, "d/e", "hello", NULL));
    assert_int_equal(upload(f, "d", "hello", NULL), -ERR_CONFLICT);
    assert_non_null(strstr(f->err.msg, "folder"));
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

static void planted_links_are_not_followed(void **state) {
    Fixture *f = *state;
    char *outside = path_of(f, "outside");

    assert_int_equal(mkdir(outside, 0755), 0);
    OK(f, upload(f, "sub/first", "hello", NULL));
    assert_int_equal(symlink(outside, path_of(f, "root/artifacts/" COMMIT "/link")), 0);
    assert_int_equal(symlink(outside, path_of(f, "root/artifacts/" COMMIT "/sub/deep")), 0);
    assert_int_equal(symlink("../../../outside", path_of(f, "root/artifacts/" COMMIT "/up")), 0);
    assert_true(upload(f, "link/x", "hello", NULL) < 0);
    assert_true(upload(f, "sub/deep/x", "hello", NULL) < 0);
    assert_true(upload(f, "up/x/y", "hello", NULL) < 0);
    assert_int_equal(files_in(f, "outside"), 0);
    OK(f, upload(f, "link", "hello", NULL)); /* replaces the link itself */
    assert_file(f, "root/artifacts/" COMMIT "/link", "hello");
    assert_int_equal(files_in(f, "outside"), 0);

    assert_int_equal(mkdir(path_of(f, "root/objects/e3"), 0755), 0);
    assert_int_equal(symlink("/dev/null", path_of(f, "root/objects/e3/" EMPTY)), 0);
    assert_true(blob_object_check(f->blob, EMPTY, &f->err) < 0);
    OK(f, upload(f, "empty", "", NULL)); /* and heals it */
    OK(f, blob_object_check(f->blob, EMPTY, &f->err));
}

static void only_files_are_read(void **state) {
    Fixture *f = *state;
    uint64_t size;
    char c;
    int fd;

    assert_int_equal(mkdir(path_of(f, "root/objects/2c"), 0755), 0);
    assert_int_equal(mkfifo(path_of(f, "root/objects/2c/" HELLO), 0600), 0);
    assert_int_equal(blob_object_check(f->blob, HELLO, &f->err), -ERR_IO);
    assert_int_equal(mkdir(path_of(f, "root/logs/0"), 0755), 0);
    assert_int_equal(symlink("/etc/passwd", path_of(f, "root/logs/0/1-1.log")), 0);
    assert_true(blob_log_read(f->blob, 1, 1, 0, &c, 1, &f->err) < 0);
    assert_true(blob_log_open(f->blob, 1, 1, &fd, &size, &f->err) < 0);
    assert_true(blob_log_append(f->blob, 1, 1, 0, "x", 1, &size, &f->err) < 0);
}

static void damage_is_found(void **state) {
    Fixture *f = *state;
    char *object = path_of(f, "root/objects/2c/" HELLO);
    int fd;

    assert_int_equal(blob_object_check(f->blob, HELLO, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(blob_object_open(f->blob, HELLO, 5, &fd, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(blob_object_open(f->blob, "../../../etc/passwd", 5, &fd, &f->err), -ERR_INVALID);
    OK(f, upload(f, "a", "hello", NULL));
    assert_int_equal(unlink(object), 0);
    OK(f, file_write_atomic(object, "hullo", 5, 0644, &f->err));
    assert_int_equal(blob_object_check(f->blob, HELLO, &f->err), -ERR_IO);
    assert_int_equal(truncate(object, 3), 0);
    assert_int_equal(blob_object_open(f->blob, HELLO, 5, &fd, &f->err), -ERR_IO);
    OK(f, upload(f, "b", "hello", NULL)); /* the size shows it: the good one takes its place */
    OK(f, blob_object_check(f->blob, HELLO, &f->err));
}

static void what_never_ended_is_removed_at_the_next_start(void **state) {
    Fixture *f = *state;
    BlobUpload *u;

    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    OK(f, blob_upload_write(u, "half", 4, &f->err));
    blob_upload_abort(u);
    blob_upload_abort(NULL);
    assert_int_equal(files_in(f, "root/tmp"), 0);
    OK(f, file_write_atomic(path_of(f, "root/tmp/left"), "x", 1, 0644, &f->err));
    reopen(f);
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

/* Where the file system has a limit of links (ext4: 65,000). */
static void a_name_goes_with_the_folders_that_it_leaves_empty(void **state) {
    Fixture *f = *state;

    OK(f, upload(f, "a/b/one", "hello", NULL));
    OK(f, upload(f, "a/two", "hello", NULL));
    assert_true(blob_artifact_there(f->blob, HELLO, COMMIT, "a/b/one"));
    OK(f, blob_name_remove(f->blob, COMMIT, "a/b/one", &f->err));
    OK(f, blob_name_remove(f->blob, COMMIT, "a/b/one", &f->err)); /* twice is fine */
    assert_false(blob_artifact_there(f->blob, HELLO, COMMIT, "a/b/one"));
    assert_int_equal(files_in(f, "root/artifacts/" COMMIT "/a"), 1);
    OK(f, blob_name_remove(f->blob, COMMIT, "a/two", &f->err));
    assert_int_equal(files_in(f, "root/artifacts"), 0);
    OK(f, blob_object_remove(f->blob, HELLO, &f->err));
    OK(f, blob_object_remove(f->blob, HELLO, &f->err));
    assert_int_equal(files_in(f, "root/objects/2c"), 0);
    OK(f, upload(f, "a/b/one", "hello", NULL));
    assert_file(f, "root/artifacts/" COMMIT "/a/b/one", "hello");
}

static void a_name_becomes_anothers_if_it_is_of_the_bytes(void **state) {
    Fixture *f = *state;

    OK(f, upload(f, "other", "hello", NULL));
    OK(f, upload(f, "one", "", NULL));
    OK(f, blob_name_change(f->blob, HELLO, COMMIT, "one", HELLO, &f->err)); /* it is of others */
    assert_file(f, "root/artifacts/" COMMIT "/one", "");
    OK(f, blob_name_change(f->blob, EMPTY, COMMIT, "one", HELLO, &f->err));
    assert_file(f, "root/artifacts/" COMMIT "/one", "hello");
    OK(f, blob_object_remove(f->blob, EMPTY, &f->err));
    assert_int_equal(blob_name_change(f->blob, HELLO, COMMIT, "one", EMPTY, &f->err), -ERR_NOT_FOUND);
    assert_true(blob_artifact_there(f->blob, HELLO, COMMIT, "one"));
    assert_int_equal(blob_name_change(f->blob, "x", COMMIT, "one", HELLO, &f->err), -ERR_INVALID);
    assert_int_equal(blob_object_remove(f->blob, "../../x", &f->err), -ERR_INVALID);
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

static void an_object_without_a_free_link_is_kept_twice(void **state) {
    Fixture *f = *state;
    char *object = path_of(f, "root/objects/2c/" HELLO);
    struct stat st;
    int n = 0;

    OK(f, upload(f, "a", "hello", NULL));
    assert_int_equal(mkdir(path_of(f, "links"), 0755), 0);
    while (n < 65000 && link(object, mem_printf(f, "%s/links/%d", f->dir, n)) == 0)
        n++;
    if (errno != EMLINK)
        skip();
    OK(f, upload(f, "b", "hello", NULL));
    assert_file(f, "root/artifacts/" COMMIT "/b", "hello");
    assert_int_equal(stat(object, &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(files_in(f, "root/tmp"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_upload_is_an_object_with_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_content_is_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_artifact_takes_the_name_and_the_older_object_stays, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_wrong_sha_is_refused_and_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_paths_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_where_a_folder_is_needed_is_a_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(planted_links_are_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(only_files_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_never_ended_is_removed_at_the_next_start, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_goes_with_the_folders_that_it_leaves_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_becomes_anothers_if_it_is_of_the_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_object_without_a_free_link_is_kept_twice, setup, teardown),
    };

    return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
