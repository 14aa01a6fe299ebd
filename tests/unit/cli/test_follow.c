#include "cli/follow.h"
#include "cli/sse.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- server-sent events ---- */

static int note_event(void *arg, const char *event, const Buf *data) {
    buf_addf(arg, "%s(%s)", event, buf_str(data));
    return str_eq(event, "stop") ? 7 : 0;
}

/* Fed in pieces of every size, the events are the same. */
static void check_sse(const char *stream, const char *expected, const char *id) {
    for (size_t size = 1; size <= strlen(stream); size++) {
        _cleanup_buf_ Buf seen = BUF_INIT;
        SseReader r = {0};

        for (size_t at = 0; at < strlen(stream); at += size)
            assert_int_equal(sse_feed(&r, stream + at, MIN(size, strlen(stream) - at), note_event, &seen), 0);
        assert_string_equal(buf_str(&seen), expected);
        assert_string_equal(buf_str(&r.id), id);
        sse_done(&r);
    }
}

static void events_are_read_as_the_standard_says(void **state) {
    check_sse("event: log\nid: 5\ndata: a\n\n", "log(a)", "5");
    check_sse("data:a\ndata: b\r\ndata\r\r\n", "message(a\nb\n)", "");
    check_sse(": keep-alive\n\nid: 9\n\ndata: x\n\n", "message(x)", "9"); /* an id without data counts too */
    check_sse("event: log\n\ndata: y\n\n", "message(y)", "");             /* an event without data is none */
    check_sse("data: not ended\n", "", "");
    check_sse("\xEF\xBB\xBF"
              "data: bom\n\n",
              "message(bom)", "");
    check_sse("data:  two blanks\nretry: 10\nother: z\n\n", "message( two blanks)", "");
}

static void a_listener_can_stop(void **state) {
    static const char stream[] = "event: stop\ndata: 1\n\ndata: 2\n\n";
    _cleanup_buf_ Buf seen = BUF_INIT;
    SseReader r = {0};

    assert_int_equal(sse_feed(&r, stream, sizeof(stream) - 1, note_event, &seen), 7);
    assert_string_equal(buf_str(&seen), "stop(1)");
    sse_done(&r);
}

static void a_new_connection_keeps_the_id_only(void **state) {
    _cleanup_buf_ Buf seen = BUF_INIT;
    SseReader r = {0};

    static const char cut[] = "id: 3\ndata: a\n\nid: 4\nevent: log\ndata: ha";

    sse_feed(&r, cut, sizeof(cut) - 1, note_event, &seen);
    sse_reset(&r); /* it has not had what 4 is */
    sse_feed(&r, "data: b\n\n", 9, note_event, &seen);
    assert_string_equal(buf_str(&seen), "message(a)message(b)");
    assert_string_equal(buf_str(&r.id), "3");
    sse_done(&r);
}

static void an_event_without_end_is_noticed(void **state) {
    _cleanup_free_ char *piece = malloc(1 << 20);
    _cleanup_buf_ Buf seen = BUF_INIT;
    SseReader r = {0};

    memset(piece, 'x', 1 << 20);
    for (int i = 0; i < 20; i++)
        sse_feed(&r, piece, 1 << 20, note_event, &seen);
    assert_true(r.too_long);
    sse_done(&r);
}

/* ---- each byte once ---- */

/* What is new is the end of the text, and so ends as a string. */
static const char *new_part(FollowJobs *jobs, const void *mem, const char *job, int64_t attempt,
                            int64_t offset, const char *text) {
    size_t len = strlen(text);
    const char *part = follow_new_part(jobs, mem, job, attempt, offset, text, &len);

    assert_int_equal(len, strlen(part));
    return part;
}

static void what_comes_twice_is_printed_once(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    FollowJobs jobs = {0};

    assert_string_equal(new_part(&jobs, mem, "a", 1, 0, "hello\n"), "hello\n");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 0, "hello\n"), "");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 6, "world"), "world");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 3, "lo\nworld!"), "!");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 12, "end"), "end");
}

static void jobs_and_attempts_are_apart(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    FollowJobs jobs = {0};

    assert_string_equal(new_part(&jobs, mem, "a", 1, 0, "one"), "one");
    assert_string_equal(new_part(&jobs, mem, "b", 1, 0, "one"), "one");
    assert_string_equal(new_part(&jobs, mem, "a", 2, 0, "one"), "one");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 0, "one"), "");
}

static void a_replaced_byte_counts_one(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    FollowJobs jobs = {0};

    /* the log's bytes are "a", FF, "b": 3 of them, in 5 bytes of text */
    assert_string_equal(new_part(&jobs, mem, "a", 1, 0,
                                 "a\xEF\xBF\xBD"
                                 "b"),
                        "a\xEF\xBF\xBD"
                        "b");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 3, "c"), "c");
    assert_string_equal(new_part(&jobs, mem, "a", 1, 1,
                                 "\xEF\xBF\xBD"
                                 "bcd"),
                        "d");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_read_as_the_standard_says),
        cmocka_unit_test(a_listener_can_stop),
        cmocka_unit_test(a_new_connection_keeps_the_id_only),
        cmocka_unit_test(an_event_without_end_is_noticed),
        cmocka_unit_test(what_comes_twice_is_printed_once),
        cmocka_unit_test(jobs_and_attempts_are_apart),
        cmocka_unit_test(a_replaced_byte_counts_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
