#include "base/file.h"
#include "base/str.h"
#include "secret/ring.h"

/* cmocka needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

typedef struct World {
    char *folder;
    const char *path;
    SecretRing *ring;
} World;

static SecretRing *opened(World *w) {
    SecretRing *ring = NULL;
    Err err;

    if (secret_ring_open(w->folder, w->path, &ring, &err) < 0)
        fail_msg("%s", err.msg);
    return ring;
}

static int world_new(void **state) {
    World *w = mem_new(NULL, World);

    w->folder = mem_strdup(w, "/tmp/pelton-ring-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    w->path = mem_printf(w, "%s/secret.key", w->folder);
    w->ring = opened(w);
    *state = w;
    return 0;
}

static int world_free(void **state) {
    World *w = *state;
    Err err;

    assert_int_equal(file_remove_tree(w->folder, &err), 0);
    talloc_free(w);
    return 0;
}

static void assert_opens(SecretRing *ring, const char *sealed, const char *value) {
    char *text = NULL;
    Err err;

    if (secret_unseal(ring, NULL, "place", sealed, &text, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(text, value);
    talloc_free(text);
}

static int code_of(SecretRing *ring, const char *place, const char *sealed) {
    char *text = NULL;
    Err err = {0};
    int r = secret_unseal(ring, NULL, place, sealed, &text, &err);

    talloc_free(text);
    return r;
}

static void test_the_key_is_for_its_owner_only_and_serves_the_next_start(void **state) {
    World *w = *state;
    const char *sealed = secret_seal(w->ring, w, "place", "hunter22");
    struct stat st;

    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_null(strstr(sealed, "hunter"));
    assert_opens(opened(w), sealed, "hunter22");
    assert_string_not_equal(sealed, secret_seal(w->ring, w, "place", "hunter22"));
    assert_opens(w->ring, secret_seal(w->ring, w, "place", ""), "");
}

static void test_what_was_moved_or_changed_does_not_open(void **state) {
    World *w = *state;
    char *sealed = mem_strdup(w, secret_seal(w->ring, w, "place", "hunter22"));

    assert_int_equal(code_of(w->ring, "another place", sealed), -ERR_INVALID);
    sealed[strlen(sealed) - 3] ^= 1;
    assert_int_equal(code_of(w->ring, "place", sealed), -ERR_INVALID);
    assert_int_equal(code_of(w->ring, "place", "p1:1:"), -ERR_INVALID);
    assert_int_equal(code_of(w->ring, "place", "p1:"), -ERR_INVALID);
    assert_int_equal(code_of(w->ring, "place", "p2:1:AAAA"), -ERR_INVALID);
}

static void test_a_new_key_seals_and_the_old_one_opens_until_it_is_dropped(void **state) {
    World *w = *state;
    const char *old = secret_seal(w->ring, w, "place", "hunter22"), *young;
    Err err;

    assert_int_equal(secret_ring_add(w->ring, &err), 0);
    young = secret_seal(w->ring, w, "place", "hunter22");
    assert_non_null(str_after(young, "p1:2:"));
    assert_opens(w->ring, old, "hunter22");
    assert_opens(opened(w), old, "hunter22");
    assert_int_equal(secret_ring_drop(w->ring, &err), 0);
    assert_int_equal(code_of(w->ring, "place", old), -ERR_NOT_FOUND);
    assert_int_equal(code_of(opened(w), "place", old), -ERR_NOT_FOUND);
    assert_opens(opened(w), young, "hunter22");
}

static void test_a_key_file_that_others_may_read_is_refused(void **state) {
    World *w = *state;
    SecretRing *ring = NULL;
    Err err;

    assert_int_equal(chmod(w->path, 0644), 0);
    assert_int_equal(secret_ring_open(w, w->path, &ring, &err), -ERR_FORBIDDEN);
    assert_non_null(strstr(err.msg, "chmod 600"));
}

static void test_a_damaged_key_file_is_refused_and_left_as_it_is(void **state) {
    static const char *const bad[] = {"", "1 abc\n", "nonsense\n", "2 00\n1 00\n"};
    World *w = *state;
    SecretRing *ring = NULL;
    Err err;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        Buf text = BUF_INIT;

        assert_int_equal(file_write_atomic(w->path, bad[i], strlen(bad[i]), 0600, &err), 0);
        assert_int_equal(secret_ring_open(w, w->path, &ring, &err), -ERR_INVALID);
        assert_int_equal(file_read(w->path, 4096, &text, &err), 0);
        assert_string_equal(buf_str(&text), bad[i]);
        buf_done(&text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_key_is_for_its_owner_only_and_serves_the_next_start,
                                        world_new, world_free),
        cmocka_unit_test_setup_teardown(test_what_was_moved_or_changed_does_not_open, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_a_new_key_seals_and_the_old_one_opens_until_it_is_dropped,
                                        world_new, world_free),
        cmocka_unit_test_setup_teardown(test_a_key_file_that_others_may_read_is_refused, world_new,
                                        world_free),
        cmocka_unit_test_setup_teardown(test_a_damaged_key_file_is_refused_and_left_as_it_is, world_new,
                                        world_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
