/* Archives there and back. What strangers may put into one: tests/unit/deploy, tests/e2e/test_caches.py. */
#include "base/file.h"
#include "base/tar.h"
#include "base/untar.h"
#include "base_test.h"

#define SIZE 3000000

static const UntarOptions options = {.what = "thing", .bytes_max = 1 << 30, .entries_max = 100};

static char *content(const void *mem, unsigned seed) {
    char *text = mem_array(mem, char, SIZE + 1);

    for (size_t i = 0; i < SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        text[i] = (char)('a' + (seed >> 16) % 20);
    }
    return text;
}

static int file_of(const char *folder, const void *data, size_t len) {
    int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    Err err;

    assert_done(file_write_all(fd, data, len, &err), &err);
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* Two files, a folder and a link; gives the archive, at its start. */
static int packed(const char *folder, int level) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    int archive = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    _cleanup_close_ int one = file_of(folder, content(mem, 1), SIZE), two = file_of(folder, "", 0);
    const TarEntry entries[] = {
        {.path = "in", .mode = S_IFDIR | 0755},
        {.path = "in/one", .mode = S_IFREG | 0755, .size = SIZE, .fd = one, .mtime = 1000000000},
        {.path = "two", .mode = S_IFREG | 0644, .fd = two},
        {.path = "link", .mode = S_IFLNK | 0777, .link = "in/one"},
    };
    Tar *tar;
    Err err;

    assert_done(tar_open(mem, archive, level, &tar, &err), &err);
    for (size_t i = 0; i < ELEMENTS(entries); i++)
        assert_done(tar_add(tar, &entries[i], &err), &err);
    assert_done(tar_finish(tar, &err), &err);
    assert_true(lseek(archive, 0, SEEK_SET) == 0);
    return archive;
}

/* In the folder, which becomes the current one. */
static int unpack(const char *folder, int archive, Err *err) {
    assert_int_equal(chdir(folder), 0);
    return untar(archive, &options, err);
}

static void what_was_packed_comes_out_again(void **state) {
    static const int levels[] = {TAR_PLAIN, TAR_QUICK, TAR_SMALL};

    for (size_t i = 0; i < ELEMENTS(levels); i++) {
        char *folder = mem_printf(*state, "%s/%zu", (char *)*state, i);
        _cleanup_close_ int archive = packed(*state, levels[i]);
        _cleanup_buf_ Buf one = BUF_INIT;
        struct stat st;
        Err err;

        assert_int_equal(mkdir(folder, 0755), 0);
        assert_done(unpack(folder, archive, &err), &err);
        assert_done(file_read("link", SIZE_MAX, &one, &err), &err);
        assert_int_equal(one.len, SIZE);
        assert_memory_equal(one.data, content(*state, 1), SIZE);
        assert_int_equal(stat("in/one", &st), 0);
        assert_int_equal(st.st_mode & 0777, 0755);
        assert_int_equal(st.st_mtim.tv_sec, 1000000000);
        assert_int_equal(stat("two", &st), 0);
        assert_int_equal(st.st_size, 0);
    }
}

static void half_an_archive_and_what_is_none_are_refused(void **state) {
    static const int levels[] = {TAR_PLAIN, TAR_QUICK};
    _cleanup_close_ int empty = file_of(*state, "", 0), junk = file_of(*state, "not an archive at all", 21);
    struct stat st;
    Err err;

    for (size_t i = 0; i < ELEMENTS(levels); i++) {
        _cleanup_close_ int half = packed(*state, levels[i]);

        assert_int_equal(fstat(half, &st), 0);
        assert_int_equal(ftruncate(half, st.st_size / 2), 0);
        assert_fails(unpack(*state, half, &err), &err, ERR_INVALID, "runcated");
    }
    assert_fails(unpack(*state, empty, &err), &err, ERR_INVALID, "not a thing: ");
    assert_fails(unpack(*state, junk, &err), &err, ERR_INVALID, "not a thing: ");
}

static void one_that_is_larger_than_it_may_be_is_refused(void **state) {
    static const UntarOptions small = {.what = "thing", .bytes_max = 1000000, .entries_max = 100},
                              few = {.what = "thing", .bytes_max = 1 << 30, .entries_max = 2};
    _cleanup_close_ int archive = packed(*state, TAR_QUICK);
    Err err;

    assert_int_equal(chdir(*state), 0);
    assert_fails(untar(archive, &small, &err), &err, ERR_TOO_LARGE, "over 1000000 bytes");
    assert_true(lseek(archive, 0, SEEK_SET) == 0);
    assert_fails(untar(archive, &few, &err), &err, ERR_TOO_LARGE, "over 2 files");
}

static void an_archive_for_which_there_is_no_room_says_so(void **state) {
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int one = file_of(*state, content(mem, 1), SIZE);
    const TarEntry entry = {.path = "one", .mode = S_IFREG | 0644, .size = SIZE, .fd = one};
    Tar *tar;
    Err err;
    int r;

    assert_done(tar_open(mem, full, TAR_SMALL, &tar, &err), &err);
    memset(&err, 0, sizeof(err));
    r = tar_add(tar, &entry, &err);
    if (r == 0)
        r = tar_finish(tar, &err);
    assert_int_equal(r, -ERR_NO_SPACE);
    mem_close(full);
}

static int folder_left(void **state) {
    Err err;
    int r = chdir("/") < 0 ? -1 : file_remove_tree(*state, &err);

    talloc_free(*state);
    return r;
}

#define test_in_folder(f) cmocka_unit_test_setup_teardown(f, folder_new, folder_left)

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(what_was_packed_comes_out_again),
        test_in_folder(half_an_archive_and_what_is_none_are_refused),
        test_in_folder(one_that_is_larger_than_it_may_be_is_refused),
        test_in_folder(an_archive_for_which_there_is_no_room_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
