#include "fixture.h"
#include <ftw.h>

static const char *no_secrets[] = {"shadow", "gshadow", "sudoers", "private", "gitconfig", "npmrc", NULL};
static size_t seen;

static int look(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    seen++;
    for (const char **name = no_secrets; *name; name++)
        assert_string_not_equal(path + ftw->base, *name);
    if (type == FTW_F)
        assert_int_equal(st->st_mode & 07777, 0644);
    return 0;
}

static void nothing_private_is_in_it(void **state) {
    Place *p = *state;

    assert_int_equal(nftw(p->etc, look, 16, FTW_PHYS), 0);
    assert_true(seen > 3);
}

static void its_users_are_made_up(void **state) {
    Place *p = *state;
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err;

    must(file_read(mem_printf(p, "%s/passwd", p->etc), 4096, &text, &err), &err);
    assert_non_null(strstr(buf_str(&text), "build:x:1000:1000:build:/home/build:/bin/sh\n"));
}

static void it_is_left_alone_while_the_hosts_is_the_same_and_mended_when_not(void **state) {
    Place *p = *state;
    const char *passwd = mem_printf(p, "%s/passwd", p->etc);
    struct stat before, after;
    Err err;

    assert_int_equal(stat(passwd, &before), 0);
    must(sandbox_etc_make(p->etc, &err), &err);
    assert_int_equal(stat(passwd, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    must(file_write_atomic(mem_printf(p, "%s/.stamp", p->etc), "old", 3, 0644, &err), &err);
    assert_int_equal(unlink(passwd), 0);
    must(sandbox_etc_make(p->etc, &err), &err);
    assert_int_equal(stat(passwd, &after), 0);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_private_is_in_it),
        TEST(its_users_are_made_up),
        TEST(it_is_left_alone_while_the_hosts_is_the_same_and_mended_when_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
