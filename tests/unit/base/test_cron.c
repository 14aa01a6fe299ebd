/* Times that come again: fields, and the next time, also across changes of the clock. */
#include "base/clock.h"
#include "base/cron.h"
#include "base/str.h"
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int64_t at(const char *text) {
    struct tm tm = {0};

    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return (int64_t)timegm(&tm) * US_PER_S;
}

static void expect_next(const char *text, const char *zone, const char *after, const char *expected) {
    char shown[CLOCK_RFC3339_SIZE];
    int64_t next;
    Cron cron;
    Err err;

    if (cron_read(text, zone, &cron, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(cron_next(&cron, at(after), &next, &err), 0);
    if (!str_eq(clock_sql(next, shown), expected))
        fail_msg("%s (%s) after %s: %s, not %s", text, zone, after, shown, expected);
}

static void the_next_time_fits_all_fields(void **state) {
    static const char *const cases[][3] = {
        {"* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01:00"},
        {"*/15 * * * *", "2026-01-01 00:15:00", "2026-01-01 00:30:00"},
        {"0 2 * * *", "2026-01-01 02:00:00", "2026-01-02 02:00:00"},
        {"30 4 1,15 * *", "2026-01-01 05:00:00", "2026-01-15 04:30:00"},
        {"0 9 * * 1-5", "2026-01-02 09:00:00", "2026-01-05 09:00:00"},
        {"0 9 * * mon", "2026-01-02 09:00:00", "2026-01-05 09:00:00"},
        {"0 0 * * 7", "2026-01-02 09:00:00", "2026-01-04 00:00:00"},
        {"0 0 13 * fri", "2026-01-01 00:00:00", "2026-01-02 00:00:00"},
        {"0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"},
        {"0 0 1 jan *", "2026-01-01 00:00:00", "2027-01-01 00:00:00"},
        {"0 0 2 * * *", "2026-01-01 02:00:00", "2026-01-02 02:00:00"},
        {"*/20 * * * * *", "2026-01-01 00:00:40", "2026-01-01 00:01:00"},
        {"0 0 6 ? * MON", "2026-01-01 00:00:00", "2026-01-05 06:00:00"},
        {"5/20 * * * *", "2026-01-01 00:06:00", "2026-01-01 00:25:00"},
        {"@daily", "2026-01-01 00:00:00", "2026-01-02 00:00:00"},
        {"@hourly", "2026-12-31 23:59:59", "2027-01-01 00:00:00"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++)
        expect_next(cases[i][0], NULL, cases[i][1], cases[i][2]);
}

static void zones_and_changes_of_the_clock_are_kept(void **state) {
    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
        skip();
    expect_next("0 9 * * *", "Europe/Berlin", "2026-01-15 00:00:00", "2026-01-15 08:00:00");
    expect_next("0 9 * * *", "Europe/Berlin", "2026-07-15 00:00:00", "2026-07-15 07:00:00");
    /* put forward on the 29th of March at 2: there is no half past two, there is a midnight behind it */
    expect_next("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", "2026-03-30 00:30:00");
    expect_next("0 0 * * *", "Europe/Berlin", "2026-03-29 00:30:00", "2026-03-29 22:00:00");
    /* put back on the 25th of October at 3: half past two comes twice and counts once */
    expect_next("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", "2026-10-25 00:30:00");
    expect_next("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30:00", "2026-10-26 01:30:00");
    expect_next("*/30 * * * *", "Europe/Berlin", "2026-10-25 00:30:00", "2026-10-25 01:00:00");
    expect_next("0 9 * * *", "America/New_York", "2026-07-15 00:00:00", "2026-07-15 13:00:00");
}

static void what_is_no_time_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      "* * * *",
                                      "60 * * * *",
                                      "* 24 * * *",
                                      "* * 0 * *",
                                      "* * * 13 *",
                                      "* * * * 8",
                                      "5-1 * * * *",
                                      "*/0 * * * *",
                                      "a * * * *",
                                      "1, * * * *",
                                      "@never",
                                      "* * * * * * *",
                                      "1-2-3 * * * *",
                                      "-1 * * * *",
                                      "99999999999 * * * *"};
    Cron cron;
    Err err;

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (cron_read(bad[i], NULL, &cron, &err) != -ERR_INVALID)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(cron_read("* * * * *", "Mars/Olympus", &cron, &err), -ERR_INVALID);
    assert_int_equal(cron_read("* * * * *", "../../etc/passwd", &cron, &err), -ERR_INVALID);
}

static void expect_told(const char *text, size_t where, const char *told) {
    size_t at_byte = 99;
    Err err;

    if (cron_check(text, &at_byte, &err) != -ERR_INVALID)
        fail_msg("accepted: %s", text);
    if (!strstr(err.msg, told))
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(at_byte, where);
}

static void a_mistake_is_told_with_its_place_and_what_was_meant(void **state) {
    expect_told("0 24 * * *", 2,
                "\"24\" is no hour; expected 0 to 23, ranges (1-5), lists (1,5), steps (*/5) or *; "
                "did you mean \"0 0 * * *\"?");
    expect_told("0 3 * *", 0, "did you mean \"0 3 * * *\"?");
    expect_told("0 0 3 * * ? 2027", 0, "did you mean \"0 0 3 * * ?\"?");
    expect_told("0 9 * * monday", 8, "did you mean \"0 9 * * mon\"?");
    expect_told("0 9 * * monday-friday", 8, "did you mean \"0 9 * * mon-fri\"?");
    expect_told("0 22-2 * * *", 2, "did you mean \"0 22-23,0-2 * * *\"?");
    expect_told("0 9 * * fri-mon", 8, "did you mean \"0 9 * * 5-6,0-1\"?");
    expect_told("  /15 * * * *", 2, "did you mean \"*/15 * * * *\"?");
    expect_told("60 * * * *", 0, "did you mean \"0 * * * *\"?");
    expect_told("3:30", 0, "did you mean \"30 3 * * *\"?");
    expect_told("@dayly", 0, "did you mean \"@daily\"?");
    expect_told("nightly", 0, "did you mean \"@daily\"?");
    expect_told("Daily", 0, "did you mean \"@daily\"?");
    expect_told("0 0 31 2 *", 0, "\"0 0 31 2 *\" never comes");
}

static void nothing_is_guessed_from_what_cannot_be_mended(void **state) {
    static const char *const bad[] = {"",          "25:00", "a * * * *",  "@reboot",
                                      "0 3 L * *", "1 2 3", "0 99 * * *", "\x1b[31m * * * *"};
    size_t where;
    Err err;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_int_equal(cron_check(bad[i], &where, &err), -ERR_INVALID);
        if (strstr(err.msg, "did you mean") || strchr(err.msg, 0x1b))
            fail_msg("%s: %s", bad[i], err.msg);
    }
    assert_int_equal(cron_check("0 3 * * *", &where, &err), 0);
    assert_int_equal(cron_check("@daily", &where, &err), 0);
}

static void the_nearest_zone_is_named(void **state) {
    static const char *const near[][2] = {{"Europe/Berln", "Europe/Berlin"},
                                          {"europe/berlin", "Europe/Berlin"},
                                          {"berlin", "Europe/Berlin"},
                                          {"America/NewYork", "America/New_York"}};
    Cron cron;
    Err err;

    if (access("/usr/share/zoneinfo/zone.tab", R_OK) < 0)
        skip();
    for (size_t i = 0; i < ELEMENTS(near); i++) {
        _cleanup_talloc_ char *meant = mem_printf(NULL, "did you mean \"%s\"?", near[i][1]);

        assert_int_equal(cron_read("@daily", near[i][0], &cron, &err), -ERR_INVALID);
        if (!strstr(err.msg, meant))
            fail_msg("%s: %s", near[i][0], err.msg);
    }
}

static void a_day_that_never_comes_is_told(void **state) {
    int64_t next;
    Cron cron;
    Err err;

    assert_int_equal(cron_read("0 0 31 2 *", NULL, &cron, &err), 0);
    assert_int_equal(cron_next(&cron, at("2026-01-01 00:00:00"), &next, &err), -ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_time_fits_all_fields),
        cmocka_unit_test(zones_and_changes_of_the_clock_are_kept),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_mistake_is_told_with_its_place_and_what_was_meant),
        cmocka_unit_test(nothing_is_guessed_from_what_cannot_be_mended),
        cmocka_unit_test(the_nearest_zone_is_named),
        cmocka_unit_test(a_day_that_never_comes_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
