#include "base/json.h"
#include "base/str.h"
#include "base_test.h"

static void writes_every_kind(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;
    JsonWriter w = JSON_WRITER(&b);

    jw_object(&w, NULL);
    jw_str(&w, "a", "x");
    jw_str(&w, "n", NULL);
    jw_array(&w, "l");
    jw_int(&w, NULL, INT64_MIN);
    jw_int(&w, NULL, 0);
    jw_int(&w, NULL, INT64_MAX);
    jw_object(&w, NULL);
    jw_end_object(&w);
    jw_array(&w, NULL);
    jw_bool(&w, NULL, false);
    jw_end_array(&w);
    jw_end_array(&w);
    jw_bool(&w, "t", true);
    jw_null(&w, "z");
    jw_time(&w, "at", INT64_C(1771916376123456));
    jw_time(&w, "never", 0);
    jw_seconds(&w, "s", 1000001);
    jw_seconds(&w, "no", -1);
    jw_raw(&w, "raw", "[1]", 3);
    jw_strn(&w, "part", "abcdef", 3);
    jw_end_object(&w);
    assert_string_equal(
        buf_str(&b), "{\"a\":\"x\",\"n\":null,\"l\":[-9223372036854775808,0,9223372036854775807,{},[false]],"
                     "\"t\":true,\"z\":null,\"at\":\"2026-02-24T06:59:36.123456Z\",\"never\":null,"
                     "\"s\":1.000001,\"no\":null,\"raw\":[1],\"part\":\"abc\"}");
}

static char *written(const char *text, size_t len) {
    _cleanup_buf_ Buf b = BUF_INIT;
    JsonWriter w = JSON_WRITER(&b);

    jw_strn(&w, NULL, text, len);
    return buf_dup(&b, NULL);
}

static void strings_are_escaped(void **state) {
    _cleanup_talloc_ char *s = written("\"\\/\b\f\n\r\t\0\x1f\x7f", 11);

    assert_string_equal(s, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"");
}

static void bad_bytes_are_replaced(void **state) {
    _cleanup_talloc_ char *s = written("a\xff\xc3\xbc\xe2\x82", 6);

    assert_string_equal(s, "\"a\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Every byte and every pair of bytes comes out as JSON that can be read, keys too. */
static void whatever_is_written_can_be_read(void **state) {
    for (int a = 0; a < 256; a++)
        for (int c = 1; c < 256; c += 3) {
            _cleanup_buf_ Buf b = BUF_INIT;
            _cleanup_json_ json_t *root = NULL;
            JsonWriter w = JSON_WRITER(&b);
            char bytes[3] = {(char)c, (char)a, 0};
            Err err;

            jw_object(&w, NULL);
            jw_strn(&w, bytes, bytes + 1, a ? 1 : 0);
            jw_end_object(&w);
            assert_done(json_read(b.data, b.len, &root, &err), &err);
            assert_int_equal(json_object_size(root), 1);
        }
}

static void nests_63_levels(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;
    JsonWriter w = JSON_WRITER(&b);
    _cleanup_json_ json_t *root = NULL;
    Err err;

    for (int i = 0; i < 63; i++) {
        jw_array(&w, NULL);
        jw_int(&w, NULL, i);
    }
    for (int i = 0; i < 63; i++) {
        jw_end_array(&w);
        if (i < 62)
            jw_int(&w, NULL, i);
    }
    assert_done(json_read(b.data, b.len, &root, &err), &err);
    assert_int_equal(json_array_size(root), 3);
}

static void bad_json_is_refused_with_its_place(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1"},
        {"{\"a\":1,\n\"a\":2}", "line 2, column 3: duplicate"},
        {"{\"a\":1} x", "end of file expected"},
        {"{\"a\":1", "line 1"},
        {"[1,]", "line 1"},
        {"{'a':1}", "line 1"},
        {"[01]", "line 1"},
        {"\"\\ud800\"", "line 1"},
        {"\"\xff\"", "byte 0xff"},
        {"\"a\\u0000\"", "line 1, column 9: \\u0000 in a text is not taken"},
        {"[9223372036854775808]", "too big"},
        {"NaN", "line 1"},
    };
    json_t *root = (json_t *)&cases;
    Err err;

    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_fails(json_read(cases[i].text, strlen(cases[i].text), &root, &err), &err, ERR_INVALID,
                     cases[i].says);
    assert_fails(json_read("1\0", 2, &root, &err), &err, ERR_INVALID, "line 1");
    assert_ptr_equal(root, &cases);
}

static void messages_do_not_quote_the_text(void **state) {
    static const char text[] = "{\"token\": \"s3cret";
    json_t *root;
    Err err;

    assert_fails(json_read(text, strlen(text), &root, &err), &err, ERR_INVALID, "line 1");
    assert_null(strstr(err.msg, "s3cret"));
}

static void deep_nesting_is_refused(void **state) {
    char *text = mem_array(NULL, char, 100000);
    _cleanup_json_ json_t *fits = NULL;
    json_t *root;
    Err err;

    memset(text, '[', 100000);
    assert_fails(json_read(text, 100000, &root, &err), &err, ERR_INVALID, "deeper than 64");
    memset(text + 64, ']', 64);
    assert_done(json_read(text, 128, &fits, &err), &err);
    /* brackets in a text are no depth, a quote behind a backslash does not end it */
    memset(text, '[', 100000);
    memcpy(text, "\"\\\"", 3);
    text[99999] = '"';
    assert_done(json_read(text, 100000, &root, &err), &err);
    json_decref(root);
    talloc_free(text);
}

static void fields_are_checked(void **state) {
    static const char text[] =
        "{\"s\":\"x\",\"i\":9007199254740993,\"r\":1.5,\"b\":true,\"o\":{},\"a\":[],\"z\":null}";
    _cleanup_json_ json_t *root = NULL;
    const char *s = "unset";
    int64_t i = 7;
    bool b = false;
    json_t *sub = NULL;
    Err err;

    assert_done(json_read(text, strlen(text), &root, &err), &err);
    assert_done(json_get_str(root, "s", &s, &err), &err);
    assert_string_equal(s, "x");
    assert_done(json_get_i64(root, "i", &i, &err), &err);
    assert_true(i == INT64_C(9007199254740993));
    assert_done(json_opt_bool(root, "b", &b, &err), &err);
    assert_true(b);
    assert_done(json_opt_object(root, "o", &sub, &err), &err);
    assert_true(json_is_object(sub));
    assert_done(json_opt_array(root, "a", &sub, &err), &err);
    assert_true(json_is_array(sub));
    assert_fails(json_get_str(root, "i", &s, &err), &err, ERR_INVALID,
                 "field \"i\": expected a string, got a number");
    assert_fails(json_get_str(root, "none", &s, &err), &err, ERR_INVALID, "field \"none\": missing");
    assert_fails(json_get_str(root, "z", &s, &err), &err, ERR_INVALID,
                 "field \"z\": expected a string, got null");
    assert_fails(json_get_i64(root, "r", &i, &err), &err, ERR_INVALID, "got a fraction");
    assert_fails(json_get_i64(root, "s", &i, &err), &err, ERR_INVALID,
                 "expected a whole number, got a string");
    assert_fails(json_opt_bool(root, "i", &b, &err), &err, ERR_INVALID,
                 "expected true or false, got a number");
    assert_fails(json_opt_object(root, "a", &sub, &err), &err, ERR_INVALID,
                 "expected an object, got an array");
    assert_fails(json_opt_array(root, "o", &sub, &err), &err, ERR_INVALID,
                 "expected an array, got an object");
    assert_fails(json_opt_str(root, "b", &s, &err), &err, ERR_INVALID, "got true or false");
    assert_fails(json_opt_str(sub, "b", &s, &err), &err, ERR_INVALID, "expected an object, got an array");
    assert_fails(json_opt_str(NULL, "b", &s, &err), &err, ERR_INVALID, "expected an object, got nothing");
    assert_string_equal(s, "x");
}

static void numbers_outside_their_range_are_refused(void **state) {
    const char *text = "{\"i\":7,\"low\":-9223372036854775808,\"text\":\"7\",\"z\":null}";
    _cleanup_json_ json_t *root = NULL;
    int64_t i = 1;
    Err err;

    assert_done(json_read(text, strlen(text), &root, &err), &err);
    assert_fails(json_get_range(root, "i", 0, 6, &i, &err), &err, ERR_INVALID,
                 "field \"i\": expected 0 to 6, got 7");
    assert_fails(json_opt_range(root, "i", 8, 9, &i, &err), &err, ERR_INVALID, "expected 8 to 9, got 7");
    assert_fails(json_opt_range(root, "low", 0, INT64_MAX, &i, &err), &err, ERR_INVALID,
                 "field \"low\": expected 0 or more, got -9223372036854775808");
    assert_fails(json_opt_range(root, "text", 0, 9, &i, &err), &err, ERR_INVALID,
                 "expected a whole number, got a string");
    assert_fails(json_get_range(root, "none", 0, 9, &i, &err), &err, ERR_INVALID, "field \"none\": missing");
    assert_done(json_opt_range(root, "none", 2, 9, &i, &err), &err);
    assert_done(json_opt_range(root, "z", 2, 9, &i, &err), &err);
    assert_int_equal(i, 1);
    assert_done(json_get_range(root, "i", 7, 7, &i, &err), &err);
    assert_int_equal(i, 7);
}

static void optional_fields_may_be_absent_or_null(void **state) {
    _cleanup_json_ json_t *root = NULL;
    const char *s = "unset";
    int64_t i = 7;
    bool b = true;
    json_t *sub = NULL;
    Err err;

    assert_done(json_read("{\"z\":null}", 10, &root, &err), &err);
    for (int round = 0; round < 2; round++) {
        const char *key = round ? "z" : "none";

        assert_done(json_opt_str(root, key, &s, &err), &err);
        assert_done(json_opt_i64(root, key, &i, &err), &err);
        assert_done(json_opt_bool(root, key, &b, &err), &err);
        assert_done(json_opt_object(root, key, &sub, &err), &err);
        assert_done(json_opt_array(root, key, &sub, &err), &err);
    }
    assert_string_equal(s, "unset");
    assert_int_equal(i, 7);
    assert_true(b);
    assert_null(sub);
}

static void strings_with_a_zero_byte_are_refused(void **state) {
    _cleanup_json_ json_t *root = json_object();
    const char *s = "unset";
    Err err;

    json_object_set_new(root, "s", json_stringn("a\0b", 3));
    assert_fails(json_get_str(root, "s", &s, &err), &err, ERR_INVALID, "zero byte");
    assert_string_equal(s, "unset");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_kind),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bad_bytes_are_replaced),
        cmocka_unit_test(whatever_is_written_can_be_read),
        cmocka_unit_test(nests_63_levels),
        cmocka_unit_test(bad_json_is_refused_with_its_place),
        cmocka_unit_test(messages_do_not_quote_the_text),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(optional_fields_may_be_absent_or_null),
        cmocka_unit_test(strings_with_a_zero_byte_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
