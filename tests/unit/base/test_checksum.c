#include "base_test.h"

#include "base/checksum.h"
#include <string.h>

typedef struct Known {
    const char *text, *sha256, *xxh64;
} Known;

/* FIPS 180-4, and the values that the xxhash project tells of itself. */
static const Known known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "ef46db3751d8e999"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "44bc2cf5ad770999"},
};

static void sum_of(ChecksumKind kind, const char *text, size_t piece, Checksum *c) {
    checksum_init(c, kind);
    for (size_t at = 0; at < strlen(text); at += piece)
        checksum_add(c, text + at, MIN(piece, strlen(text) - at));
}

static void known_texts_have_their_sums(void **state) {
    char hex[CHECKSUM_HEX];
    Checksum c;

    for (size_t i = 0; i < ELEMENTS(known); i++) {
        sum_of(CHECKSUM_SHA256, known[i].text, 1, &c);
        checksum_hex(&c, hex);
        assert_string_equal(hex, known[i].sha256);
        sum_of(CHECKSUM_XXH64, known[i].text, 1, &c);
        checksum_hex(&c, hex);
        assert_string_equal(hex, known[i].xxh64);
    }
}

static void pieces_make_no_difference_and_may_follow_a_look(void **state) {
    static const char text[] =
        "that which is longer than the thirty-two bytes of a block, and then some more of it";

    for (int kind = CHECKSUM_SHA256; kind <= CHECKSUM_XXH64; kind++) {
        char whole[CHECKSUM_HEX], pieces[CHECKSUM_HEX];
        Checksum c;

        sum_of((ChecksumKind)kind, text, sizeof(text), &c);
        checksum_hex(&c, whole);
        for (size_t piece = 1; piece < sizeof(text); piece++) {
            sum_of((ChecksumKind)kind, text, piece, &c);
            checksum_hex(&c, pieces);
            assert_string_equal(pieces, whole);
            checksum_hex(&c, pieces);
            assert_string_equal(pieces, whole);
        }
        checksum_add(&c, "!", 1);
        checksum_hex(&c, pieces);
        assert_string_not_equal(pieces, whole);
    }
}

static void another_sum_is_refused(void **state) {
    Checksum c;
    Err err;

    sum_of(CHECKSUM_XXH64, "abc", 3, &c);
    assert_int_equal(checksum_check(&c, "44bc2cf5ad770999", &err), 0);
    assert_int_equal(checksum_check(&c, "44BC2CF5AD770999", &err), 0);
    assert_int_equal(checksum_check(&c, "44bc2cf5ad770998", &err), -ERR_INVALID);
    assert_string_equal(err.msg, "xxh64 of what has arrived is 44bc2cf5ad770999, expected 44bc2cf5ad770998");
    assert_int_equal(checksum_check(&c, known[1].sha256, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "xxh64: expected 16 hex digits");
    assert_int_equal(checksum_check(&c, "44bc2cf5ad77099g", &err), -ERR_INVALID);
    assert_int_equal(checksum_check(&c, "", &err), -ERR_INVALID);
    sum_of(CHECKSUM_SHA256, "abc", 3, &c);
    assert_int_equal(checksum_check(&c, known[1].sha256, &err), 0);
    assert_int_equal(checksum_check(&c, known[0].sha256, &err), -ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_have_their_sums),
        cmocka_unit_test(pieces_make_no_difference_and_may_follow_a_look),
        cmocka_unit_test(another_sum_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
