#include "base/proc.h"
#include "base/sha256.h"
#include "base_test.h"

/* what other processors do */
void plain_init(Sha256 *s);
void plain_add(Sha256 *s, const void *data, size_t len);
void plain_end(Sha256 *s, unsigned char out[SHA256_SIZE]);
void plain_end_hex(Sha256 *s, char out[SHA256_HEX]);
#define SHA256_PLAIN
#define sha256_init plain_init
#define sha256_add plain_add
#define sha256_end plain_end
#define sha256_end_hex plain_end_hex
#include "base/sha256.c"
#undef sha256_init
#undef sha256_add
#undef sha256_end
#undef sha256_end_hex

static void hash(const char *text, size_t len, size_t piece, char out[SHA256_HEX]) {
    char plain[SHA256_HEX];
    Sha256 s, p;

    sha256_init(&s);
    plain_init(&p);
    for (size_t at = 0; at < len; at += piece) {
        sha256_add(&s, text + at, MIN(piece, len - at));
        plain_add(&p, text + at, MIN(piece, len - at));
    }
    sha256_end_hex(&s, out);
    plain_end_hex(&p, plain);
    assert_string_equal(out, plain);
}

/* FIPS 180-4's examples. */
static void test_the_standards_examples(void **state) {
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char hex[SHA256_HEX];

    hash("abc", 3, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash("", 0, 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash(two, strlen(two), 7, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_every_length_and_every_cut_is_what_sha256sum_says(void **state) {
    static const char *const argv[] = {"sha256sum", NULL};
    ProcOptions options = {.argv = argv};
    char text[300], hex[SHA256_HEX];
    Err err;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7);
    for (size_t len = 50; len < sizeof(text); len += 3) {
        _cleanup_buf_ Buf out = BUF_INIT;
        int status;

        assert_done(proc_run(&options, text, len, 1000, &out, NULL, NULL, 10000000, &status, &err), &err);
        for (size_t piece = 1; piece <= len; piece += 13) {
            hash(text, len, piece, hex);
            assert_memory_equal(hex, out.data, 64);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_standards_examples),
        cmocka_unit_test(test_every_length_and_every_cut_is_what_sha256sum_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
