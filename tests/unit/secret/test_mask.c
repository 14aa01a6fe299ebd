#include "plain.h"
#include "secret/mask.h"

/* cmocka needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void add(Buf *out, MaskText text) {
    buf_add(out, text.data, text.len);
}

static const char *in_pieces(Masker *m, const char *text, size_t piece, Buf *out) {
    size_t len = strlen(text);

    buf_clear(out);
    for (size_t at = 0; at < len; at += piece)
        add(out, mask_feed(m, text + at, MIN(piece, len - at)));
    add(out, mask_end(m));
    return buf_str(out);
}

static void assert_masked(const char *secret, const char *text, const char *wanted) {
    Masker *m = mask_new(NULL, &secret, 1);
    _cleanup_buf_ Buf out = BUF_INIT;

    for (size_t piece = 1; piece <= strlen(text); piece++)
        assert_string_equal(in_pieces(m, text, piece, &out), wanted);
    talloc_free(m);
}

static void test_a_secret_is_hidden_wherever_the_stream_is_cut(void **state) {
    assert_masked("hunter22", "hunter22", "***");
    assert_masked("hunter22", "is hunter22 it", "is *** it");
    assert_masked("hunter22", "hunterhunter22", "hunter***");
    assert_masked("hunter22", "hunter2 and hunter", "hunter2 and ***"); /* most of one at the end */
    assert_masked("hunter22", "password: hunt\n", "password: hunt\n");
}

static void test_secrets_side_by_side_and_in_each_other_are_one_run(void **state) {
    assert_masked("abcdabcd", "xabcdabcdabcdy", "x***y");
    assert_masked("hunter22", "hunter22hunter22.", "***.");
    assert_masked("aaaaaaaa", "aaaaaaaaaaaa", "***");
}

static void test_each_line_of_a_value_is_hidden_and_so_is_the_whole(void **state) {
    assert_masked("first line\nsecond line\n}\n", "a first line b\nsecond line\n", "a *** b\n***\n");
    assert_masked("first line\nsecond line\n}\n", "first line\nsecond line\n}", "***");
    assert_masked("first line\nsecond line\n}\n", "first line second line }", "*** *** }");
}

static void test_short_lines_are_hidden_when_they_are_no_words(void **state) {
    static const char *value = "hunter2\nx=ab\nuser:\ntrue,\n}\na=1\nYg==\n";

    assert_masked(value, "is hunter2.", "is ***.");
    assert_masked(value, "x=ab user: true, } a=1 Yg==", "*** user: true, } a=1 ***");
}

static bool skips(const char *value) {
    return needles_skip_lines(value, strlen(value));
}

static void test_a_value_is_told_to_have_lines_that_are_seen(void **state) {
    assert_true(skips("first line\nhunter\n"));
    assert_true(skips("a=1\nsecond line"));
    assert_false(skips("hunter\n"));
    assert_false(skips("{\n  \"password\": \"x\",\n\n  \"port\": 1\n}\n"));
    assert_false(skips("-----BEGIN KEY-----\nMIIEvQIBADANBg\nYg==\n-----END KEY-----\n"));
}

static void test_short_values_hide_nothing(void **state) {
    const char *secrets[] = {"abc", "", "  \n"};

    assert_null(mask_new(NULL, secrets, ELEMENTS(secrets)));
}

static void test_nothing_is_held_back_that_begins_no_secret(void **state) {
    const char *secret = "hunter22";
    Masker *m = mask_new(NULL, &secret, 1);
    MaskText text = mask_feed(m, "a line\n", 7);

    assert_int_equal(text.len, 7);
    assert_int_equal(mask_held(m), 0);
    text = mask_feed(m, "Password: h", 11);
    assert_int_equal(text.len, 10);
    assert_int_equal(mask_held(m), 1);
    talloc_free(m);
}

static void test_a_pause_gives_out_what_is_held_and_the_rest_is_hidden_still(void **state) {
    const char *secret = "correct horse";
    Masker *m = mask_new(NULL, &secret, 1);
    _cleanup_buf_ Buf out = BUF_INIT;

    add(&out, mask_feed(m, "say corr", 8));
    add(&out, mask_pause(m));
    assert_string_equal(buf_str(&out), "say corr");
    add(&out, mask_pause(m));
    add(&out, mask_feed(m, "ect horse.", 10));
    assert_string_equal(buf_str(&out), "say corr***.");
    add(&out, mask_end(m));
    talloc_free(m);
}

static void test_a_pause_in_the_second_half_of_a_secret_shows_none_of_it(void **state) {
    const char *secret = "correct horse";
    Masker *m = mask_new(NULL, &secret, 1);
    _cleanup_buf_ Buf out = BUF_INIT;

    add(&out, mask_feed(m, "say correct", 11));
    add(&out, mask_pause(m));
    add(&out, mask_feed(m, " h", 2));
    add(&out, mask_pause(m));
    add(&out, mask_feed(m, "orse.", 5));
    add(&out, mask_end(m));
    assert_string_equal(buf_str(&out), "say ***.");
    talloc_free(m);
}

static void test_a_pause_in_a_long_secret_shows_seven_bytes_at_most(void **state) {
    const char *secret = "ghp_0123456789abcdefghijklmnopqrstuvwxyzABCD";

    for (size_t cut = 1; cut < strlen(secret); cut++) {
        Masker *m = mask_new(NULL, &secret, 1);
        _cleanup_buf_ Buf out = BUF_INIT;
        int seen = cut < MASK_BEGUN ? (int)cut : 0;
        char *wanted = mem_printf(NULL, "say %.*s***.", seen, secret);

        add(&out, mask_feed(m, "say ", 4));
        add(&out, mask_feed(m, secret, cut));
        add(&out, mask_pause(m));
        add(&out, mask_feed(m, secret + cut, strlen(secret) - cut));
        add(&out, mask_feed(m, ".", 1));
        add(&out, mask_end(m));
        assert_string_equal(buf_str(&out), wanted);
        talloc_free(wanted);
        talloc_free(m);
    }
}

static void test_little_of_a_long_secret_that_is_most_of_a_short_one_is_hidden(void **state) {
    const char *secrets[] = {"xhunter and much more than that", "hunter22"};
    Masker *m = mask_new(NULL, secrets, ELEMENTS(secrets));
    char *text = mask_text(m, NULL, "xhunte");

    assert_string_equal(text, "x***");
    talloc_free(text);
    talloc_free(m);
}

static void test_a_text_is_told_to_have_a_secret_when_it_is_whole(void **state) {
    const char *secret = "correct horse";
    Masker *m = mask_new(NULL, &secret, 1);

    assert_true(mask_finds(m, "a correct horse"));
    assert_true(mask_finds(m, "correct%20horse"));
    assert_false(mask_finds(m, "a *** and a correct hors"));
    assert_false(mask_finds(NULL, "correct horse"));
    talloc_free(m);
}

static void test_a_new_stream_does_not_go_on_with_the_old_one(void **state) {
    const char *secret = "correct horse";
    Masker *m = mask_new(NULL, &secret, 1);
    _cleanup_buf_ Buf out = BUF_INIT;

    add(&out, mask_feed(m, "corr", 4));
    add(&out, mask_end(m));
    add(&out, mask_feed(m, "ect horse", 9));
    add(&out, mask_end(m));
    assert_string_equal(buf_str(&out), "correct horse");
    talloc_free(m);
}

static void test_a_text_by_itself_does_not_disturb_the_stream(void **state) {
    const char *secret = "correct horse";
    Masker *m = mask_new(NULL, &secret, 1);
    _cleanup_buf_ Buf out = BUF_INIT;
    char *text;

    add(&out, mask_feed(m, "correct", 7));
    text = mask_text(m, NULL, "no correct horse here");
    assert_string_equal(text, "no *** here");
    add(&out, mask_feed(m, " horse", 6));
    add(&out, mask_end(m));
    assert_string_equal(buf_str(&out), "***");
    talloc_free(text);
    talloc_free(m);
    text = mask_text(NULL, NULL, "as it is");
    assert_string_equal(text, "as it is");
    talloc_free(text);
}

/* ---- beside the plain one ---- */

static uint64_t seed = 88172645463325252;

static unsigned random_below(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

/* Few letters, so that forms overlap and begin in one another; now and then one that is escaped. */
static void random_text(char *out, size_t len) {
    static const char letters[] = "aaaabbbbccd '\"\\\n%+/<\xc3\xa9";

    for (size_t i = 0; i < len; i++)
        out[i] = letters[random_below(random_below(4) ? 9 : sizeof(letters) - 1)];
    out[len] = '\0';
}

static void add_random(Buf *text, const Needles *n) {
    char noise[40];

    if (n->count && random_below(3)) {
        const Needle *needle = &n->items[random_below((unsigned)n->count)];

        buf_add(text, needle->bytes, random_below(3) ? needle->len : random_below((unsigned)needle->len + 1));
    } else {
        random_text(noise, random_below(sizeof(noise)));
        buf_adds(text, noise);
    }
}

static void differ_once(void) {
    _cleanup_buf_ Buf text = BUF_INIT, plain = BUF_INIT, quick = BUF_INIT;
    void *mem = talloc_new(NULL);
    Needles needles = {.mem = mem};
    const char *secrets[6];
    size_t count = 1 + random_below(ELEMENTS(secrets)), at = 0;
    bool *pauses;
    Masker *m;

    for (size_t i = 0; i < count; i++) {
        char *secret = mem_array(mem, char, 33);

        random_text(secret, random_below(33));
        needles_add(&needles, secret, strlen(secret));
        secrets[i] = secret;
    }
    needles_sort(&needles);
    while (random_below(30))
        add_random(&text, &needles);
    m = mask_new(mem, secrets, count);
    pauses = mem_array(mem, bool, text.len + 1);
    while (m && at < text.len) {
        size_t piece = 1 + random_below(random_below(2) ? 5 : 300);

        piece = MIN(piece, text.len - at);
        add(&quick, mask_feed(m, text.data + at, piece));
        at += piece;
        pauses[at] = random_below(4) == 0;
        if (pauses[at])
            add(&quick, mask_pause(m));
    }
    if (m) {
        add(&quick, mask_end(m));
        plain_mask(&needles, buf_str(&text), text.len, pauses, &plain);
        assert_string_equal(buf_str(&quick), buf_str(&plain));
    }
    talloc_free(mem);
}

static void test_it_hides_what_the_plain_one_hides(void **state) {
    for (int i = 0; i < 3000; i++)
        differ_once();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_secret_is_hidden_wherever_the_stream_is_cut),
        cmocka_unit_test(test_secrets_side_by_side_and_in_each_other_are_one_run),
        cmocka_unit_test(test_each_line_of_a_value_is_hidden_and_so_is_the_whole),
        cmocka_unit_test(test_short_lines_are_hidden_when_they_are_no_words),
        cmocka_unit_test(test_a_value_is_told_to_have_lines_that_are_seen),
        cmocka_unit_test(test_short_values_hide_nothing),
        cmocka_unit_test(test_nothing_is_held_back_that_begins_no_secret),
        cmocka_unit_test(test_a_pause_gives_out_what_is_held_and_the_rest_is_hidden_still),
        cmocka_unit_test(test_a_pause_in_the_second_half_of_a_secret_shows_none_of_it),
        cmocka_unit_test(test_a_pause_in_a_long_secret_shows_seven_bytes_at_most),
        cmocka_unit_test(test_little_of_a_long_secret_that_is_most_of_a_short_one_is_hidden),
        cmocka_unit_test(test_a_text_is_told_to_have_a_secret_when_it_is_whole),
        cmocka_unit_test(test_a_new_stream_does_not_go_on_with_the_old_one),
        cmocka_unit_test(test_a_text_by_itself_does_not_disturb_the_stream),
        cmocka_unit_test(test_it_hides_what_the_plain_one_hides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
