#include "runner/report.h"

#include "base/json.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS                                                                                                \
    "\"steps\":[{\"position\":0,\"log_start\":0,\"log_end\":50},"                                            \
    "{\"position\":1,\"log_start\":60,\"log_end\":200}]"

static json_t *cut(const char *text, int64_t kept) {
    _cleanup_free_ char *got = report_cut(strdup(text), kept, "the disk is full");
    json_t *root = NULL;
    Err err;

    if (json_read(got, strlen(got), &root, &err) < 0)
        fail_msg("%s", err.msg);
    return root;
}

static const char *text_of(json_t *root, const char *key) {
    return json_string_value(json_object_get(root, key));
}

static int64_t number_of(json_t *root, const char *key) {
    return json_integer_value(json_object_get(root, key));
}

static void a_success_becomes_a_failure_with_the_reason(void **state) {
    _cleanup_json_ json_t *r =
        cut("{\"attempt\":2,\"state\":\"success\",\"exit_code\":0,\"log_size\":210," STEPS "}", 100);

    (void)state;
    assert_string_equal(text_of(r, "state"), "failed");
    assert_string_equal(text_of(r, "reason"), "infrastructure");
    assert_string_equal(text_of(r, "message"), "the log is cut: the disk is full");
    assert_int_equal(number_of(r, "attempt"), 2);
    assert_int_equal(number_of(r, "log_size"), 100);
}

static void a_failure_keeps_its_reason_and_says_that_the_log_is_cut(void **state) {
    _cleanup_free_ char *twice =
        report_cut(strdup("{\"state\":\"failed\",\"reason\":\"exit\",\"message\":\"step 1: exit status 3\","
                          "\"log_size\":210," STEPS "}"),
                   100, "the disk is full");
    _cleanup_json_ json_t *r = cut(twice, 100);

    (void)state;
    assert_string_equal(text_of(r, "state"), "failed");
    assert_string_equal(text_of(r, "reason"), "exit");
    assert_string_equal(text_of(r, "message"), "step 1: exit status 3; the log is cut: the disk is full");
}

static void steps_end_where_the_log_ends(void **state) {
    _cleanup_json_ json_t *r = cut("{\"state\":\"running\"," STEPS "}", 100);
    json_t *steps = json_object_get(r, "steps");

    (void)state;
    assert_int_equal(number_of(json_array_get(steps, 0), "log_end"), 50);
    assert_int_equal(number_of(json_array_get(steps, 1), "log_start"), 60);
    assert_int_equal(number_of(json_array_get(steps, 1), "log_end"), 100);
    assert_string_equal(text_of(r, "state"), "running");
}

static void a_cancel_and_a_failure_stay_what_they_are(void **state) {
    _cleanup_json_ json_t *cancelled = cut("{\"state\":\"cancelled\",\"reason\":\"user\",\"log_size\":9}", 3);
    _cleanup_json_ json_t *failed = cut("{\"state\":\"failed\",\"reason\":\"exit\",\"message\":\"m\"}", 3);

    (void)state;
    assert_string_equal(text_of(cancelled, "state"), "cancelled");
    assert_string_equal(text_of(cancelled, "reason"), "user");
    assert_int_equal(number_of(cancelled, "log_size"), 3);
    assert_string_equal(text_of(failed, "reason"), "exit");
    assert_string_equal(text_of(failed, "message"), "m; the log is cut: the disk is full");
}

static void a_report_tells_its_logs_size(void **state) {
    (void)state;
    assert_int_equal(report_log_size("{\"log_size\":7}"), 7);
    assert_int_equal(report_log_size("{\"state\":\"running\"}"), -1);
    assert_int_equal(report_log_size("half a re"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_becomes_a_failure_with_the_reason),
        cmocka_unit_test(a_failure_keeps_its_reason_and_says_that_the_log_is_cut),
        cmocka_unit_test(steps_end_where_the_log_ends),
        cmocka_unit_test(a_cancel_and_a_failure_stay_what_they_are),
        cmocka_unit_test(a_report_tells_its_logs_size),
    };

    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
