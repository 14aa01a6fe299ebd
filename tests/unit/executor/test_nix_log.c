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

static void the_summary_has_steps_messages_packages_and_checks(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    said("@nix {\"action\":\"start\",\"id\":1,\"level\":5,\"text\":\"checking derivation "
         "'packages.x86_64-linux.hello'\",\"type\":0}");
    said("@nix {\"action\":\"stop\",\"id\":1}");
    said("@nix {\"action\":\"start\",\"id\":2,\"level\":5,\"text\":\"checking derivation "
         "checks.x86_64-linux.good\",\"type\":0}");
    said("@nix "
         "{\"action\":\"start\",\"fields\":[\"/nix/store/"
         "abc-bad.drv\"],\"id\":3,\"level\":3,\"text\":\"building\",\"type\":105}");
    said("@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: it failed\"}");
    jw_object(&w, NULL);
    nix_log_summary(&l, &w);
    jw_end_object(&w);
    assert_string_equal(
        buf_str(&out),
        "{\"total_steps\":1,\"started_at\":\"2023-11-14T22:13:20.500000Z\",\"completed_at\":"
        "\"2023-11-14T22:13:22.500000Z\",\"timeline\":[{\"text\":\"checking derivation "
        "'packages.x86_64-linux.hello'\",\"duration\":0.500000}],\"important_messages\":[{\"level\":"
        "\"error\",\"message\":\"error: it failed\"}],\"packages_checked\":[\"packages.x86_64-linux.hello\"],"
        "\"checks_run\":[\"checks.x86_64-linux.good\",\"bad\"]}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lines_become_what_people_read),
        TEST(what_is_not_nix_s_is_given_on),
        TEST(strange_ones_do_no_harm),
        TEST(the_summary_has_steps_messages_packages_and_checks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
