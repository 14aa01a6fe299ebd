#include "base/disk.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/statvfs.h>

#include <cmocka.h>

static uint64_t free_of(const char *path) {
    struct statvfs fs;

    assert_int_equal(statvfs(path, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void a_disk_with_room_has_nothing_to_say(void **state) {
    Disk d = {.whose = "this disk", .path = "/", .keep_bytes = 0};
    Err err;

    (void)state;
    assert_false(disk_is_low(&d));
    assert_null(disk_reason(&d, NULL));
    assert_int_equal(disk_check(&d, &err), 0);
}

static void no_disk_and_one_that_is_not_there_have_room(void **state) {
    Disk none = {0}, gone = {.whose = "this disk", .path = "/there/is/none", .keep_bytes = UINT64_MAX};

    (void)state;
    assert_false(disk_is_low(&none));
    assert_false(disk_is_full(&none));
    assert_false(disk_is_low(&gone));
    assert_false(disk_is_full(&gone));
}

/* /proc has neither room nor size; what counts is a tenth of the size at most. */
static void of_a_small_disk_a_tenth_is_kept_at_most(void **state) {
    Disk proc = {.whose = "this disk", .path = "/proc", .keep_bytes = UINT64_MAX};

    (void)state;
    assert_int_equal(free_of("/proc"), 0);
    assert_false(disk_is_low(&proc));
    assert_true(disk_is_full(&proc));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_with_room_has_nothing_to_say),
        cmocka_unit_test(no_disk_and_one_that_is_not_there_have_room),
        cmocka_unit_test(of_a_small_disk_a_tenth_is_kept_at_most),
    };

    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
