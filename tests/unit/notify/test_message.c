/* What is said of a build. */
#include "notify/message.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const Build build = {.id = 7,
                            .project = "hello",
                            .uuid = "u-u-i-d",
                            .state = "failed",
                            .reason = "exit",
                            .message = "job test: exit status 1",
                            .branch = "main",
                            .commit = "0123456789abcdef0123456789abcdef01234567",
                            .author = "Ada",
                            .subject = "a \"change\"",
                            .pusher = "ada",
                            .started_at = 1000000,
                            .finished_at = 3000000};
static const Subject failure = {.build = &build, .moment = "failure", .url = "http://x/builds/7"};

static void a_line_says_what_and_why(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Build late = build, plain = build;
    Execution execution = {.pipeline = "p"};
    Subject s = {.build = &late, .moment = "failure", .url = ""};

    assert_string_equal(message_line(&failure, mem), "hello #7 failed: job test: exit status 1");
    late.reason = "timeout";
    assert_string_equal(message_line(&s, mem), "hello #7 took too long: job test: exit status 1");
    s.moment = "start";
    assert_string_equal(message_line(&s, mem), "hello #7 has begun");
    s.moment = "success";
    assert_string_equal(message_line(&s, mem), "hello #7 succeeded");
    /* without a commit's author the subject is the pipeline's name */
    plain.author = "";
    plain.subject = "My pipeline";
    s = (Subject){.build = &plain, .execution = &execution, .moment = "success", .url = ""};
    assert_string_equal(message_line(&s, mem), "My pipeline #7 succeeded");
}

static json_t *read_back(Buf *out) {
    json_t *json = NULL;
    Err err;

    assert_int_equal(json_read(out->data, out->len, &json, &err), 0);
    buf_done(out);
    return json;
}

static void bodies_are_json(void **state) {
    Buf out = BUF_INIT;
    json_t *json;

    message_json(&failure, &out);
    json = read_back(&out);
    assert_string_equal(json_string_value(json_object_get(json, "event")), "failure");
    assert_string_equal(json_string_value(json_object_get(json, "url")), "http://x/builds/7");
    assert_string_equal(json_string_value(json_object_get(json, "started_at")),
                        "1970-01-01T00:00:01.000000Z");
    json_decref(json);
    message_chat(&failure, "#builds", &out);
    json = read_back(&out);
    assert_string_equal(json_string_value(json_object_get(json, "channel")), "#builds");
    assert_string_equal(json_string_value(json_object_get(json, "text")),
                        "hello #7 failed: job test: exit status 1\nhttp://x/builds/7");
    json_decref(json);
    message_status(&failure, &out);
    json = read_back(&out);
    assert_string_equal(json_string_value(json_object_get(json, "state")), "failure");
    assert_string_equal(json_string_value(json_object_get(json, "context")), "pelton/hello");
    json_decref(json);
}

static void the_text_has_what_a_reader_asks_next(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *text = message_text(&failure, mem);

    assert_non_null(strstr(text, "Branch: main\nCommit: 0123456789abcdef0123456789abcdef01234567\n"));
    assert_non_null(strstr(text, "Started by: ada\n"));
    assert_non_null(strstr(text, "\nhttp://x/builds/7\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_and_why),
        cmocka_unit_test(bodies_are_json),
        cmocka_unit_test(the_text_has_what_a_reader_asks_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
