#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "executor/nix_log.h"

static NixLog l;
static int64_t now;

static int setup(void **state) {
    l = (NixLog){.mem = talloc_new(NULL), .check = true};
    now = INT64_C(1700000000) * 1000000;
    return 0;
}

static int teardown(void **state) {
    talloc_free(l.mem);
    return 0;
}

static const char *said(const char *line) {
    static Buf out;

    buf_clear(&out);
    nix_log_line(&l, line, strlen(line), now += 500000, &out);
    return buf_str(&out);
}

/* As Nix 2.8 writes them. */
static void lines_become_what_people_read(void **state) {
    assert_string_equal(
        said("@nix {\"action\":\"msg\",\"level\":1,\"msg\":\"\\u001b[35;1mwarning:\\u001b[0m dirty\"}"),
        "warning: dirty\n");
    assert_string_equal(
        said("@nix {\"action\":\"start\",\"id\":1,\"level\":3,\"text\":\"evaluating flake\",\"type\":0}"),
        "evaluating flake\n");
    assert_string_equal(
        said(
            "@nix {\"action\":\"start\",\"id\":2,\"level\":5,\"text\":\"checking flake output\",\"type\":0}"),
        "");
    assert_string_equal(
        said("@nix {\"action\":\"start\",\"fields\":[\"/nix/store/abc-hello-1.0.drv\",\"\",1,1],\"id\":3,"
             "\"level\":3,\"text\":\"building '/nix/store/abc-hello-1.0.drv'\",\"type\":105}"),
        "building '/nix/store/abc-hello-1.0.drv'\n");
    assert_string_equal(said("@nix {\"action\":\"result\",\"fields\":[0,2,1,0],\"id\":3,\"type\":105}"), "");
    assert_string_equal(said("@nix {\"action\":\"result\",\"fields\":[\"one line\"],\"id\":3,\"type\":101}"),
                        "hello-1.0> one line\n");
    assert_string_equal(said("@nix {\"action\":\"stop\",\"id\":3}"), "");
    assert_string_equal(said("@nix {\"action\":\"msg\",\"level\":5,\"msg\":\"chatter\"}"), "");
}

static void what_is_not_nix_s_is_given_on(void **state) {
    assert_string_equal(said("plain text"), "plain text\n");
    assert_string_equal(said("@nix {broken"), "@nix {broken\n");
    assert_string_equal(said("@nix [1]"), "@nix [1]\n");
    assert_string_equal(said("@nix "), "@nix \n");
    assert_string_equal(said(""), "\n");
}

static void strange_ones_do_no_harm(void **state) {
    assert_string_equal(said("@nix {\"action\":\"start\"}"), "");
    assert_string_equal(said("@nix {\"action\":\"stop\",\"id\":77}"), "");
    assert_string_equal(said("@nix {\"action\":\"result\",\"type\":101,\"fields\":[5]}"), "");
    assert_string_equal(said("@nix {\"action\":\"result\",\"type\":101,\"id\":9,\"fields\":[\"x\"]}"),
                        "nix> x\n");
    assert_string_equal(said("@nix {\"action\":\"msg\",\"msg\":\"cut \\u001b[31\"}"), "cut \n");
    assert_string_equal(said("@nix {\"action\":9}"), "");
}

static const char *summary(void) {
    static Buf out;
    JsonWriter w = JSON_WRITER(&out);

    buf_clear(&out);
    jw_object(&w, NULL);
    nix_log_summary(&l, &w);
    jw_end_object(&w);
    return buf_str(&out);
}

static void has(const char *words) {
    if (!strstr(summary(), words))
        fail_msg("no %s in %s", words, summary());
}

static void the_summary_has_steps_messages_packages_and_checks(void **state) {
    said("@nix {\"action\":\"start\",\"id\":1,\"level\":5,\"text\":\"checking derivation "
         "'packages.x86_64-linux.hello'\",\"type\":0}");
    said("@nix {\"action\":\"stop\",\"id\":1}");
    said("@nix {\"action\":\"start\",\"id\":2,\"level\":5,\"text\":\"checking derivation "
         "checks.x86_64-linux.good\",\"type\":0}");
    said("@nix "
         "{\"action\":\"start\",\"fields\":[\"/nix/store/"
         "abc-bad.drv\"],\"id\":3,\"level\":3,\"text\":\"building\",\"type\":105}");
    said("@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: it failed\"}");
    has("{\"total_steps\":3,\"started_at\":\"2023-11-14T22:13:20.500000Z\",\"completed_at\":"
        "\"2023-11-14T22:13:22.500000Z\",\"timeline\":[{");
    has("\"steps\":[{\"text\":\"checking derivation 'packages.x86_64-linux.hello'\",\"duration\":0.500000},"
        "{\"text\":\"checking derivation checks.x86_64-linux.good\",\"duration\":1.000000},"
        "{\"text\":\"building\",\"duration\":0.500000}],\"important_messages\":[{\"level\":\"error\","
        "\"message\":\"error: it failed\"}],\"packages_checked\":[\"packages.x86_64-linux.hello\"],"
        "\"checks_run\":[\"checks.x86_64-linux.good\",\"bad\"]}");
}

static void steps_are_below_those_that_they_are_parts_of(void **state) {
    said("@nix {\"action\":\"start\",\"id\":1,\"level\":3,\"parent\":0,\"text\":\"one\",\"type\":0}");
    said("@nix {\"action\":\"start\",\"id\":2,\"level\":3,\"parent\":0,\"text\":\"two\",\"type\":0}");
    said("@nix {\"action\":\"start\",\"id\":3,\"level\":3,\"parent\":1,\"text\":\"\",\"type\":104}");
    said("@nix {\"action\":\"start\",\"id\":4,\"level\":3,\"parent\":3,\"text\":\"of one\",\"type\":105}");
    said("@nix {\"action\":\"stop\",\"id\":3}");
    said("@nix {\"action\":\"stop\",\"id\":1}");
    said("@nix {\"action\":\"start\",\"id\":5,\"level\":3,\"parent\":4,\"text\":\"deep\",\"type\":0}");
    has("\"total_steps\":4,");
    has("\"timeline\":[{\"text\":\"one\",\"duration\":2.500000,\"children\":[{\"text\":\"of "
        "one\",\"duration\":"
        "1.500000,\"children\":[{\"text\":\"deep\",\"duration\":0.000000,\"children\":[]}]}]},"
        "{\"text\":\"two\",\"duration\":2.500000,\"children\":[]}],");
}

static void builds_beside_each_other_are_no_parts_of_each_other(void **state) {
    said("@nix {\"action\":\"start\",\"id\":1,\"level\":3,\"text\":\"all\",\"type\":0}");
    said("@nix {\"action\":\"start\",\"id\":2,\"level\":3,\"text\":\"a\",\"type\":105}");
    said("@nix {\"action\":\"start\",\"id\":3,\"level\":3,\"text\":\"b\",\"type\":105}");
    has("\"timeline\":[{\"text\":\"all\",\"duration\":1.000000,\"children\":["
        "{\"text\":\"a\",\"duration\":0.500000,\"children\":[]},"
        "{\"text\":\"b\",\"duration\":0.000000,\"children\":[]}]}],");
}

static void there_is_an_end_to_depth_and_number(void **state) {
    _cleanup_json_ json_t *read = NULL;
    Err err;

    for (int i = 0; i < NIX_LOG_KEPT + 5; i++)
        said("@nix {\"action\":\"start\",\"id\":7,\"level\":3,\"text\":\"deeper\",\"type\":0}");
    assert_int_equal(json_read(summary(), strlen(summary()), &read, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(read, "total_steps")), NIX_LOG_KEPT + 5);
    assert_int_equal(json_array_size(json_object_get(read, "steps")), NIX_LOG_KEPT);
}

static void packages_that_nix_does_not_name_are_those_that_it_shows(void **state) {
    json_t *shown = json_loads(
        "{\"packages\":{\"x86_64-linux\":{\"a\":{},\"b\":{}}},\"checks\":{\"x86_64-linux\":{\"c\":{}}}}", 0,
        NULL);

    nix_log_shown(&l, shown);
    has("\"packages_checked\":[],");
    said("@nix {\"action\":\"start\",\"id\":1,\"level\":5,\"text\":\"checking flake output 'packages'\","
         "\"type\":0}");
    nix_log_shown(&l, NULL);
    has("\"packages_checked\":[],");
    nix_log_shown(&l, shown);
    has("\"packages_checked\":[\"packages.x86_64-linux.a\",\"packages.x86_64-linux.b\"],\"checks_run\":[]");
    json_decref(shown);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lines_become_what_people_read),
        TEST(what_is_not_nix_s_is_given_on),
        TEST(strange_ones_do_no_harm),
        TEST(the_summary_has_steps_messages_packages_and_checks),
        TEST(steps_are_below_those_that_they_are_parts_of),
        TEST(builds_beside_each_other_are_no_parts_of_each_other),
        TEST(there_is_an_end_to_depth_and_number),
        TEST(packages_that_nix_does_not_name_are_those_that_it_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
