/* A full disk: a tmpfs of 1 MiB, which only root can mount. */
#include "fixture.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

static int setup_small(void **state) {
    Fixture *f;

    setup(state);
    f = *state;
    blob_close(f->blob);
    f->blob = NULL;
    if (mount("tmpfs", path_of(f, "root"), "tmpfs", 0, "size=1m,mode=0700") < 0)
        return 0;
    OK(f, blob_open(f, path_of(f, "root"), f->bus, &f->blob, &f->err));
    return 0;
}

static int teardown_small(void **state) {
    Fixture *f = *state;

    if (f->blob) {
        blob_close(f->blob);
        f->blob = NULL;
        assert_int_equal(umount(path_of(f, "root")), 0);
    }
    return teardown(state);
}

static uint64_t room_of(Fixture *f) {
    struct statvfs fs;

    assert_int_equal(statvfs(path_of(f, "root"), &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Leaves about `room` bytes. */
static void fill(Fixture *f, uint64_t room) {
    uint64_t free_bytes;
    int fd = open(path_of(f, "root/ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    free_bytes = room_of(f);
    assert_true(free_bytes > room);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(free_bytes - room)), 0);
    close(fd);
}

static void a_log_is_whole_after_a_full_disk_and_goes_on(void **state) {
    enum { SIZE = 200000 };
    Fixture *f = *state;
    uint64_t next = 0, size = 0;
    char *text;
    struct stat st;

    if (!f->blob)
        skip();
    text = mem_array(f, char, SIZE);
    memset(text, '\n', SIZE);
    fill(f, 100000);
    append(f, 1, text, 1000);
    assert_int_equal(blob_log_append(f->blob, 1, 1, 1000, text, SIZE, &next, &f->err), -ERR_NO_SPACE);
    assert_int_equal(next, 1000);
    OK(f, blob_log_size(f->blob, 1, 1, &size, &f->err));
    assert_int_equal(size, 1000);
    assert_int_equal(stat(path_of(f, "root/logs/0/1-1.log"), &st), 0);
    assert_int_equal(st.st_size, 1000);
    assert_int_equal(unlink(path_of(f, "root/ballast")), 0);
    OK(f, blob_log_append(f->blob, 1, 1, 1000, text, SIZE, &next, &f->err));
    assert_int_equal(next, 1000 + SIZE);
    OK(f, blob_log_line(f->blob, 1, 1, 150000, &size, &f->err));
    assert_int_equal(size, 150000);
}

/* The log's last bytes take the last page, so that the index finds none. */
static void an_index_without_room_is_completed_later(void **state) {
    enum { SIZE = 300000 };
    Fixture *f = *state;
    uint64_t offset, room = UINT64_MAX;
    char *text, page[4096];
    struct stat st;
    int fd;

    if (!f->blob)
        skip();
    text = mem_array(f, char, SIZE);
    memset(text, '\n', SIZE);
    append(f, 1, text, 60000);
    fill(f, 16384);
    fd = open(path_of(f, "root/ballast"), O_WRONLY | O_APPEND | O_CLOEXEC);
    memset(page, 0, sizeof(page));
    while (room > 4096) {
        assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
        room = room_of(f);
    }
    close(fd);
    append(f, 1, text, 5536); /* to 65,536: a record is due */
    assert_true(stat(path_of(f, "root/logs/0/1-1.idx"), &st) < 0 || st.st_size == 0);
    assert_int_equal(unlink(path_of(f, "root/ballast")), 0);
    append(f, 1, text, SIZE);
    OK(f, blob_log_line(f->blob, 1, 1, 300000, &offset, &f->err));
    assert_int_equal(offset, 300000);
    assert_int_equal(stat(path_of(f, "root/logs/0/1-1.idx"), &st), 0);
    assert_int_equal(st.st_size, (60000 + 5536 + SIZE) / 65536 * 16);
}

static void an_upload_that_does_not_fit_is_no_space_and_leaves_nothing(void **state) {
    Fixture *f = *state;
    uint64_t size, before, after;
    BlobUpload *u;
    char sha[65];
    char *text;
    int r;

    if (!f->blob)
        skip();
    text = mem_array(f, char, 2000000);
    before = room_of(f);
    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    r = blob_upload_write(u, text, 2000000, &f->err);
    assert_int_equal(r, -ERR_NO_SPACE);
    assert_true(blob_upload_finish(u, "c", "a", NULL, sha, &size, &f->err) < 0);
    after = room_of(f);
    assert_int_equal(before, after);
    OK(f, blob_upload_begin(f->blob, &u, &f->err));
    OK(f, blob_upload_write(u, text, 1000, &f->err));
    OK(f, blob_upload_finish(u, "c", "a", NULL, sha, &size, &f->err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_is_whole_after_a_full_disk_and_goes_on, setup_small,
                                        teardown_small),
        cmocka_unit_test_setup_teardown(an_index_without_room_is_completed_later, setup_small,
                                        teardown_small),
        cmocka_unit_test_setup_teardown(an_upload_that_does_not_fit_is_no_space_and_leaves_nothing,
                                        setup_small, teardown_small),
    };

    return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
