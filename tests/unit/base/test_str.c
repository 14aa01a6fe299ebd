#include "base/str.h"
#include "base_test.h"

static void prefix_and_suffix(void **state) {
    assert_string_equal(str_after("refs/heads/main", "refs/heads/"), "main");
    assert_string_equal(str_after("a", "a"), "");
    assert_null(str_after("ref", "refs"));
    assert_true(str_ends("a.git", ".git"));
    assert_false(str_ends("git", ".git"));
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
}

static void numbers_are_whole_and_within_limits(void **state) {
    static const char *const bad[] = {"",    "-", "+1", " 1", "1 ", "1x", "0x1", "1.0", "9223372036854775808",
                                      "--1", NULL};
    int64_t n = 77;
    uint64_t u = 77;

    for (size_t i = 0; bad[i]; i++)
        assert_false(str_to_i64(bad[i], INT64_MIN, INT64_MAX, &n));
    assert_false(str_to_i64(NULL, 0, 1, &n));
    assert_false(str_to_i64("11", 0, 10, &n));
    assert_false(str_to_i64("-1", 0, 10, &n));
    assert_false(str_to_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &n));
    assert_int_equal(n, 77);
    assert_true(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MIN);
    assert_true(str_to_i64("9223372036854775807", INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MAX);
    assert_true(str_to_i64("-0", 0, 0, &n));
    assert_int_equal(n, 0);
    assert_true(str_to_u64("18446744073709551615", UINT64_MAX, &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_to_u64("18446744073709551616", UINT64_MAX, &u));
    assert_false(str_to_u64("99999999999999999999999", UINT64_MAX, &u));
    assert_false(str_to_u64("8", 7, &u));
    assert_true(str_to_u64("0007", 7, &u));
    assert_int_equal(u, 7);
}

static void sizes(void **state) {
    static const char *const bad[] = {"", "K", "64k", "64KB", "1.5M", "-1", "16777216T", "1M1", NULL};
    uint64_t n = 77;

    for (size_t i = 0; bad[i]; i++)
        assert_false(str_to_size(bad[i], &n));
    assert_int_equal(n, 77);
    assert_true(str_to_size("512", &n) && n == 512);
    assert_true(str_to_size("64K", &n) && n == 65536);
    assert_true(str_to_size("10M", &n) && n == 10485760);
    assert_true(str_to_size("4G", &n) && n == UINT64_C(4294967296));
    assert_true(str_to_size("16777215T", &n) && n == UINT64_C(16777215) << 40);
}

static void durations(void **state) {
    static const char *const fine[] = {"30d", "1d2h3m4s5ms", "1h30m", "500ms", "90d1s"};
    char text[STR_DURATION_SIZE];
    static const char *const bad[] = {
        "",  "s", "1x", "-1s", "1.5h", "30m1h", "1h1h", "1h 1m", "1d1w", "106751992d", "9223372036854775807s",
        NULL};
    int64_t n = 77;

    for (size_t i = 0; bad[i]; i++)
        assert_false(str_to_duration(bad[i], &n));
    assert_false(str_to_duration(NULL, &n));
    assert_int_equal(n, 77);
    for (size_t i = 0; i < ELEMENTS(fine); i++) {
        assert_true(str_to_duration(fine[i], &n));
        assert_string_equal(str_from_duration(n, text), fine[i]);
    }
    assert_string_equal(str_from_duration(999, text), "0s");
    assert_true(str_to_duration("90", &n) && n == 90000000);
    assert_true(str_to_duration("500ms", &n) && n == 500000);
    assert_true(str_to_duration("30s", &n) && n == 30000000);
    assert_true(str_to_duration("10m", &n) && n == 600000000);
    assert_true(str_to_duration("1h30m", &n) && n == INT64_C(5400000000));
    assert_true(str_to_duration("1d2h3m4s5ms", &n) && n == INT64_C(93784005000));
    assert_true(str_to_duration("0", &n) && n == 0);
    assert_true(str_to_duration("1w12h", &n) && n == INT64_C(648000000000));
    assert_true(str_to_duration("2w", &n) && n == INT64_C(1209600000000));
    assert_string_equal(str_from_duration(n, text), "14d");
}

static void nearest_word(void **state) {
    static const char *const words[] = {"steps", "needs", "timeout", "env", "if", NULL};

    assert_string_equal(str_nearest("step", words), "steps");
    assert_string_equal(str_nearest("setps", words), "steps");
    assert_string_equal(str_nearest("timeuot", words), "timeout");
    assert_string_equal(str_nearest("evn", words), "env");
    assert_null(str_nearest("x", words));
    assert_null(str_nearest("fi!", words));
    assert_null(str_nearest("artifacts", words));
    assert_null(str_nearest("", words));
    assert_null(str_nearest(NULL, words));
    assert_null(
        str_nearest("sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss", words));
}

static bool valid(const char *s) {
    return str_utf8_valid(s, strlen(s));
}

static void utf8(void **state) {
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xc3(",
                                      "\xe2\x28\xa1",
                                      NULL};

    for (size_t i = 0; bad[i]; i++)
        assert_false(valid(bad[i]));
    assert_true(valid(""));
    assert_true(
        valid("a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    assert_true(str_utf8_valid("a\0b", 3));
    assert_int_equal(str_utf8_next("", 0), 0);
    assert_int_equal(str_utf8_next("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(str_utf8_next("\xf0\x9f\x98\x80", 3), 0);
}

static void utf8_is_cleaned(void **state) {
    char *s = str_utf8_clean(NULL, "a\xff\xc3\xbc\xed\xa0\x80z\xe2", 9);

    assert_string_equal(s, "a\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd");
    talloc_free(s);
}

static void hex(void **state) {
    char text[9];
    unsigned char bytes[4] = {0, 0x7f, 0x80, 0xff};

    str_hex(bytes, 4, text);
    assert_string_equal(text, "007f80ff");
    memset(bytes, 1, sizeof(bytes));
    assert_true(str_unhex("007F80ff", bytes, 4));
    assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
    assert_false(str_unhex("007f80f", bytes, 4));
    assert_false(str_unhex("007f80fff", bytes, 4));
    assert_false(str_unhex("007f80fg", bytes, 4));
    assert_false(str_unhex(NULL, bytes, 4));
}

static ssize_t decode(const char *in, char *out, size_t size) {
    return str_base64_decode(in, strlen(in), out, size);
}

static void base64(void **state) {
    static const char *const bad[] = {"Zg",   "Zg=",  "Z===", "====", "Zg==Zg==", "Zm 9",
                                      "Zm-_", "Zh==", "Zm9=", "=",    NULL};
    char out[16];

    for (size_t i = 0; bad[i]; i++)
        assert_int_equal(decode(bad[i], out, sizeof(out)), -1);
    /* RFC 4648, section 10 */
    assert_int_equal(decode("", out, sizeof(out)), 0);
    assert_int_equal(decode("Zg==", out, sizeof(out)), 1);
    assert_int_equal(decode("Zm8=", out, sizeof(out)), 2);
    assert_int_equal(decode("Zm9vYmFy", out, sizeof(out)), 6);
    assert_memory_equal(out, "foobar", 6);
    assert_int_equal(decode("+/+/", out, sizeof(out)), 3);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_int_equal(decode("Zm9vYmFy", out, 6), 6);
    assert_int_equal(decode("Zm9vYmFy", out, 5), -1);
}

static void base64_back(void **state) {
    static const char *const words[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "+/+/", NULL};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char out[16];

    for (size_t i = 0; words[i]; i++)
        assert_string_equal(str_base64_encode(mem, out, (size_t)decode(words[i], out, sizeof(out))),
                            words[i]);
}

static void url_coding(void **state) {
    static const char *const bad[] = {"%", "%4", "%zz", "%4g", "a%00b", "%%41", NULL};
    char text[32] = "a%2Fb%c3%BC+%20", *s;

    assert_true(str_url_decode(text));
    assert_string_equal(text, "a/b\xc3\xbc+ ");
    for (size_t i = 0; bad[i]; i++) {
        snprintf(text, sizeof(text), "%s", bad[i]);
        assert_false(str_url_decode(text));
    }
    s = str_url_encode(NULL, "a b/\xc3\xbc~-._?", false);
    assert_string_equal(s, "a%20b%2F%C3%BC~-._%3F");
    talloc_free(s);
    s = str_url_encode(NULL, "a/b%", true);
    assert_string_equal(s, "a/b%25");
    talloc_free(s);
}

static void web_urls(void **state) {
    static const char *const good[] = {"http://a", "https://a.example.com:8080/x?y#z", "http://[::1]:9/",
                                       "https://u:p@h/\xC3\xBC"};
    static const char *const bad[] = {"",           "a",         "ftp://a",      "http://",    "https:///x",
                                      "https://?x", "http:/a/b", "https://a b/", "http://a\n", " http://a"};

    for (size_t i = 0; i < ELEMENTS(good); i++)
        assert_true(str_is_web_url(good[i]));
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_false(str_is_web_url(bad[i]));
}

static void names_and_commits(void **state) {
    assert_true(str_is_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_false(str_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(str_is_commit("0123456789abcdef0123456789abcdef0123456"));
    assert_false(str_is_commit(NULL));
    assert_true(str_is_name("hello-1.2_x", 64));
    assert_true(str_is_name("-", 1));
    assert_false(str_is_name("ab", 1));
    assert_false(str_is_name("", 64));
    assert_false(str_is_name(".git", 64));
    assert_false(str_is_name("a..b", 64));
    assert_false(str_is_name("../a", 64));
    assert_false(str_is_name("a/b", 64));
    assert_false(str_is_name("a\n", 64));
    assert_false(str_is_name("\xc3\xbc", 64));
}

static void glob(void **state) {
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"*", "", true},
        {"*", "abc", true},
        {"*", "a/b", false},
        {"a*c", "abbc", true},
        {"a*c", "a/c", false},
        {"*.c", "x.c", true},
        {"*.c", "x.cc", false},
        {"*a*b", "xaxab", true},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"?", "\xc3\xbc", true},
        {"??", "\xc3\xbc", false},
        {"?", "", false},
        {"**", "a/b/c", true},
        {"**", "", true},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/xb", false},
        {"**/b", "b", true},
        {"**/b", "xb", false},
        {"**/b", "x/b", true},
        {"**.c", "a/b.c", true},
        {"a**b", "a/x/b", true},
        {"*/b", "a/b", true},
        {"*/b", "/b", true},
        {"release/*", "release/1", true},
        {"release/*", "release/1/2", false},
        {"*b*/c", "abc/c", true},
        {"**/*/c", "a/b/c", true},
        {"**/x/**/y", "a/x/b/x/y", true},
        {"[a]", "a", true},
        {"[a]", "[a]", false},
        {"v[0-9]", "v7", true},
        {"v[0-9]", "vx", false},
        {"v[0-9].*", "v1.2", true},
        {"v[0-9]+.[0-9]+", "v12.345", true},
        {"v[0-9]+", "v", false},
        {"v[0-9]+", "v1+", false},
        {"[ab]+[bc]+d", "abbbcd", true},
        {"[!a-c]", "d", true},
        {"[^a-c]", "b", false},
        {"[!a]", "/", false},
        {"[+-9]", "/", false},
        {"[]a]", "]", true},
        {"[!]a]", "]", false},
        {"[a-]", "-", true},
        {"[\xc3\xa0-\xc3\xbf]x", "\xc3\xbcx", true},
        {"[a-z]x", "\xc3\xbcx", false},
        {"[", "[", true},
        {"[a", "[a", true},
        {"[]", "[]", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\[a]", "[a]", true},
        {"a\\", "a\\", true},
        {"\\\\", "\\", true},
        {"!a", "!a", true},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (str_glob(cases[i].pattern, cases[i].text) != cases[i].match)
            fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
}

/* Exponential or cubic time would not come to an end here. */
static void glob_of_many_stars_ends(void **state) {
    char pattern[1026] = {0}, text[4097] = {0};

    memset(text, 'a', sizeof(text) - 1);
    for (size_t i = 0; i + 2 < 1020; i += 2)
        memcpy(pattern + i, "*a", 2);
    strncat(pattern, "b", 2);
    assert_false(str_glob(pattern, text));
    memset(pattern, '*', 1024);
    assert_true(str_glob(pattern, text));
    memset(pattern, '*', 1025);
    assert_false(str_glob(pattern, text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_and_suffix),
        cmocka_unit_test(numbers_are_whole_and_within_limits),
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(nearest_word),
        cmocka_unit_test(utf8),
        cmocka_unit_test(utf8_is_cleaned),
        cmocka_unit_test(hex),
        cmocka_unit_test(base64),
        cmocka_unit_test(base64_back),
        cmocka_unit_test(url_coding),
        cmocka_unit_test(names_and_commits),
        cmocka_unit_test(glob),
        cmocka_unit_test(web_urls),
        cmocka_unit_test(glob_of_many_stars_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
