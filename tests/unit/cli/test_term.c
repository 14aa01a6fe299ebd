#include "cli/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void widths_are_columns(void **state) {
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("abc"), 3);
    assert_int_equal(text_width("J\xC3\xB6rg"), 4);
    assert_int_equal(text_width("Jo\xCC\x88rg"), 4);             /* o and a combining diaeresis */
    assert_int_equal(text_width("\xE6\x97\xA5\xE6\x9C\xAC"), 4); /* 日本 */
    assert_int_equal(text_width("\xF0\x9F\x9A\x80"), 2);         /* a rocket */
    assert_int_equal(text_width("\xFF\xFE"), 2);                 /* not UTF-8: a column a byte */
    assert_int_equal(text_width("\xE6\x97"), 2);                 /* cut off */
    assert_int_equal(text_width("\xE2\x80\xA6"), 1);             /* … */
}

static void a_cut_never_halves_a_character(void **state) {
    assert_int_equal(text_cut("abc", 2), 2);
    assert_int_equal(text_cut("abc", 9), 3);
    assert_int_equal(text_cut("\xE6\x97\xA5\xE6\x9C\xAC", 3), 3);
    assert_int_equal(text_cut("\xE6\x97\xA5", 1), 0);
    assert_int_equal(text_cut("o\xCC\x88x", 1), 3); /* the mark stays with its letter */
}

static void cleaned_text_cannot_steer_a_terminal(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(text_clean(mem, "a\033]0;x\007b\nc\x7F"), "a ]0;x b c ");
    assert_string_equal(text_clean(mem, "a\xC2\x9B"
                                        "b"),
                        "a  b"); /* CSI as one character */
    assert_string_equal(text_clean(mem, "\xFFz"), "\xEF\xBF\xBDz");
    assert_string_equal(text_clean(mem, NULL), "");
    assert_string_equal(text_clean_lines(mem, "a\033b\n\rc\n", "> "), "a b\n>  c");
    assert_string_equal(text_clean_lines(mem, NULL, "> "), "");
}

/* The filter over the text in pieces of `size`. */
static void check_filter(const char *in, const char *expected, size_t size) {
    _cleanup_buf_ Buf out = BUF_INIT;
    TermFilter filter = {0};

    for (size_t at = 0; at < strlen(in); at += size)
        term_filter(&filter, in + at, MIN(size, strlen(in) - at), &out);
    term_filter_done(&filter);
    assert_string_equal(buf_str(&out), expected);
}

static void a_log_keeps_its_colours_and_nothing_else(void **state) {
    static const char *const cases[][2] = {
        {"plain \xC3\xA4 text\tx\r\n", "plain \xC3\xA4 text\tx\r\n"},
        {"\033[1;31mred\033[0m", "\033[1;31mred\033[0m"},
        {"\033[mx", "\033[mx"},
        {"a\033[2Jb\033[Hc", "abc"},
        {"a\033]52;c;ZXZpbA==\007b", "ab"},
        {"a\033]0;title\033\\b", "ab"},
        {"a\033Pq#0\033\\b", "ab"},
        {"a\033cb", "ab"},
        {"a\033[>0mb", "ab"},
        {"a\033[6nb", "ab"},
        {"a\033(0b", "ab"},
        {"a\xC2\x9B"
         "31mb",
         "a31mb"},
        {"a\033]never ends\nb", "a\nb"},
        {"a\007b\x7F", "ab"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++)
        for (size_t size = 1; size < 20; size++)
            check_filter(cases[i][0], cases[i][1], size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_are_columns),
        cmocka_unit_test(a_cut_never_halves_a_character),
        cmocka_unit_test(cleaned_text_cannot_steer_a_terminal),
        cmocka_unit_test(a_log_keeps_its_colours_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
