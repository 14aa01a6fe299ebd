#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "base_test.h"
#include <time.h>

static void times_are_rfc3339(void **state) {
    char out[CLOCK_RFC3339_SIZE];

    assert_string_equal(clock_rfc3339(INT64_C(1771916376123456), out), "2026-02-24T06:59:36.123456Z");
    assert_string_equal(clock_rfc3339(0, out), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(clock_rfc3339(-1, out), "1969-12-31T23:59:59.999999Z");
    assert_string_equal(clock_rfc3339(INT64_C(951782400000000), out), "2000-02-29T00:00:00.000000Z");
    assert_string_equal(clock_rfc3339(INT64_C(4107542400000000), out), "2100-03-01T00:00:00.000000Z");
    assert_string_equal(clock_sql(INT64_C(1771916376999999), out), "2026-02-24 06:59:36");
}

static void times_outside_of_the_calendar_are_its_ends(void **state) {
    char out[CLOCK_RFC3339_SIZE];

    assert_string_equal(clock_rfc3339(INT64_MAX, out), "9999-12-31T23:59:59.999999Z");
    assert_string_equal(clock_rfc3339(INT64_MIN, out), "0000-01-01T00:00:00.000000Z");
}

static void dates_are_those_of_the_library(void **state) {
    for (int64_t day = -20000; day < 60000; day += 7) {
        time_t at = (time_t)(day * 86400 + day % 86400);
        char ours[CLOCK_RFC3339_SIZE], theirs[64];
        struct tm tm;

        gmtime_r(&at, &tm);
        strftime(theirs, sizeof(theirs), "%Y-%m-%d %H:%M:%S", &tm);
        assert_string_equal(clock_sql(at * US_PER_S, ours), theirs);
    }
}

static void durations_for_people(void **state) {
    char out[CLOCK_RFC3339_SIZE];

    assert_string_equal(clock_human(-5, out), "0 ms");
    assert_string_equal(clock_human(999999, out), "999 ms");
    assert_string_equal(clock_human(1250000, out), "1.2 s");
    assert_string_equal(clock_human(59999999, out), "59.9 s");
    assert_string_equal(clock_human(184 * US_PER_S, out), "3 min 4 s");
    assert_string_equal(clock_human(7500 * US_PER_S, out), "2 h 5 min");
    assert_true(strlen(clock_human(INT64_MAX, out)) < CLOCK_RFC3339_SIZE);
}

static void clocks_go_on(void **state) {
    int64_t before = clock_mono();

    assert_true(clock_mono() >= before);
    assert_true(clock_now() > INT64_C(1700000000) * US_PER_S);
}

static void uuids_are_version_4(void **state) {
    char a[ID_UUID_SIZE], b[ID_UUID_SIZE];

    id_uuid(a);
    id_uuid(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_true(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
    assert_int_equal(strspn(a, "0123456789abcdef-"), 36);
}

static void random_names_have_their_letters(void **state) {
    char name[1001];

    id_random(name, 1000);
    assert_int_equal(strlen(name), 1000);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789"), 1000);
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++)
        assert_non_null(strchr(name, *c)); /* one that is missing: 36 * (35/36)^1000 = 2e-11 */
    id_random(name, 0);
    assert_string_equal(name, "");
}

/* What goes to standard error meanwhile. */
static char *logged(LogLevel level, const char *text) {
    static char out[20000];
    int fds[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    log_write(level, "base", "%s", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    n = read(fds[0], out, sizeof(out) - 1);
    close(fds[0]);
    out[n > 0 ? n : 0] = '\0';
    return out;
}

static void a_log_line_is_one_line(void **state) {
    char *line = logged(LOG_WARN, "a\nerror x: b\x1b[2J\t\xc3\xbc\xc2\x9b");

    assert_non_null(strstr(line, "Z warn base: a\\nerror x: b\\x1b[2J\\t\xc3\xbc\\xc2\x9b\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void long_log_lines_are_cut(void **state) {
    char *text = talloc_zero_size(NULL, 10001), *line;

    memset(text, 'x', 10000);
    line = logged(LOG_INFO, text);
    assert_true(strlen(line) < 4200 && strlen(line) > 4000);
    assert_true(str_ends(line, "x…\n"));
    talloc_free(text);
}

static void levels_below_are_not_logged(void **state) {
    assert_string_equal(logged(LOG_DEBUG, "x"), "");
    log_set_level(LOG_DEBUG);
    assert_string_not_equal(logged(LOG_DEBUG, "x"), "");
    log_set_level(LOG_ERROR);
    assert_false(log_enabled(LOG_WARN));
    assert_string_equal(logged(LOG_WARN, "x"), "");
    log_set_level(LOG_INFO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_rfc3339),
        cmocka_unit_test(times_outside_of_the_calendar_are_its_ends),
        cmocka_unit_test(dates_are_those_of_the_library),
        cmocka_unit_test(durations_for_people),
        cmocka_unit_test(clocks_go_on),
        cmocka_unit_test(uuids_are_version_4),
        cmocka_unit_test(random_names_have_their_letters),
        cmocka_unit_test(a_log_line_is_one_line),
        cmocka_unit_test(long_log_lines_are_cut),
        cmocka_unit_test(levels_below_are_not_logged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
