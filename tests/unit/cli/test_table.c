#include "base/clock.h"
#include "base/str.h"
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const headers[] = {"NAME", "N", "LAST", NULL};
static const Term plain;

static void columns_line_up_by_width(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    Table *t = table_new(mem, headers);

    table_cell(t, STYLE_RED, "\xE6\x97\xA5\xE6\x9C\xAC");
    table_cell(t, STYLE_PLAIN, "1");
    table_cell(t, STYLE_PLAIN, "x");
    table_cell(t, STYLE_PLAIN, "hello");
    table_cell(t, STYLE_PLAIN, "22");
    table_cell(t, STYLE_PLAIN, "");
    table_print(t, &plain, &out);
    assert_string_equal(buf_str(&out), "NAME   N   LAST\n"
                                       "\xE6\x97\xA5\xE6\x9C\xAC   1   x\n"
                                       "hello  22\n");
}

static void no_rows_print_nothing(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;

    table_print(table_new(mem, headers), &plain, &out);
    assert_int_equal(out.len, 0);
}

static void a_terminal_cuts_the_last_column(void **state) {
    const Term term = {.tty = true, .width = 14};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    Table *t = table_new(mem, headers);

    table_cell(t, STYLE_PLAIN, "a");
    table_cell(t, STYLE_PLAIN, "b");
    table_cell(t, STYLE_PLAIN, "abcdefghijk");
    table_print(t, &term, &out);
    assert_non_null(strstr(buf_str(&out), "a     b  abcd\xE2\x80\xA6\n"));
}

static void a_cell_stays_on_its_line(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    Table *t = table_new(mem, headers);

    table_cell(t, STYLE_PLAIN, "a\nb");
    table_cell(t, STYLE_PLAIN, "\033[2J");
    table_cell(t, STYLE_PLAIN, NULL);
    table_print(t, &plain, &out);
    assert_null(strchr(buf_str(&out), '\033'));
    assert_non_null(strstr(buf_str(&out), "a b "));
}

static void times_are_parsed(void **state) {
    int64_t us = 0;

    assert_true(time_parse("2026-02-24T06:59:36.123456Z", &us));
    assert_int_equal(us, 1771916376123456);
    assert_true(time_parse("2026-02-24 06:59:36", &us));
    assert_int_equal(us, 1771916376000000);
    assert_true(time_parse("2026-02-24T07:59:36+01:00", &us));
    assert_int_equal(us, 1771916376000000);
    assert_true(time_parse("2026-02-24T06:29:36-00:30", &us));
    assert_int_equal(us, 1771916376000000);
    assert_false(time_parse("", &us));
    assert_false(time_parse("yesterday", &us));
    assert_false(time_parse("2026-02-24", &us));
    assert_false(time_parse("2026-02-24T06:59:36Zx", &us));
}

static void times_read_as_people_say_them(void **state) {
    const int64_t now = INT64_C(1771916376) * US_PER_S;
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(time_ago(mem, 0, now), "-");
    assert_string_equal(time_ago(mem, now - US_PER_S, now), "just now");
    assert_string_equal(time_ago(mem, now - 59 * US_PER_S, now), "59 s ago");
    assert_string_equal(time_ago(mem, now - 185 * US_PER_S, now), "3 min ago");
    assert_string_equal(time_ago(mem, now - 7200 * US_PER_S, now), "2 h ago");
    assert_string_equal(time_ago(mem, now + 7200 * US_PER_S, now), "in 2 h");
    assert_string_equal(time_ago(mem, now + 2 * US_PER_S, now), "in 2 s");
    assert_string_equal(time_ago(mem, now + US_PER_S - 20000, now), "in 1 s");
    assert_string_equal(time_ago(mem, now + 12 * 3600 * US_PER_S - 20000, now), "in 12 h");
    assert_string_equal(time_ago(mem, now - 3 * 86400 * US_PER_S, now), "3 days ago");
    assert_string_equal(time_ago(mem, now - 90 * 86400 * US_PER_S, now), "2025-11-26");
}

static void durations_come_from_the_server_or_the_clock(void **state) {
    const int64_t now = INT64_C(1771916376) * US_PER_S;
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *done = json_pack("{s:f}", "duration_seconds", 1.25);
    _cleanup_json_ json_t *runs =
        json_pack("{s:n,s:s,s:n}", "duration_seconds", "started_at", "2026-02-24T06:58:36Z", "finished_at");
    _cleanup_json_ json_t *waits = json_pack("{s:n,s:n}", "duration_seconds", "started_at");

    assert_string_equal(field_duration(mem, done, now), "1.2 s");
    assert_string_equal(field_duration(mem, runs, now), "1 min 0 s");
    assert_string_equal(field_duration(mem, waits, now), "-");
}

static void sizes_have_units(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    assert_string_equal(size_human(mem, 0), "0 B");
    assert_string_equal(size_human(mem, 1023), "1023 B");
    assert_string_equal(size_human(mem, 1536), "1.5 KiB");
    assert_string_equal(size_human(mem, INT64_C(3) << 30), "3.0 GiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up_by_width),
        cmocka_unit_test(no_rows_print_nothing),
        cmocka_unit_test(a_terminal_cuts_the_last_column),
        cmocka_unit_test(a_cell_stays_on_its_line),
        cmocka_unit_test(times_are_parsed),
        cmocka_unit_test(times_read_as_people_say_them),
        cmocka_unit_test(durations_come_from_the_server_or_the_clock),
        cmocka_unit_test(sizes_have_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
