#include "support.h"

static const PlanContext on_tag = {
    .project = "hello", .branch = "", .ref = "refs/tags/v1.2", .commit = "abc", .event = "tag"};

static bool eval_in(const char *text, const PlanContext *context, CondStatus status) {
    bool result = false;
    Err err = {0};

    if (condition_eval(text, context, status, &result, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return result;
}

static bool eval(const char *text) {
    return eval_in(text, &on_main, COND_SUCCESS);
}

static void expect_mistake(const char *text, const char *expected) {
    bool result = true;
    Err err = {0};

    if (condition_eval(text, &on_main, COND_SUCCESS, &result, &err) != -ERR_INVALID)
        fail_msg("accepted: %s", text);
    assert_string_equal(err.msg, expected);
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(result); /* untouched */
}

static void operators(void **state) {
    static const char *const yes[] = {
        "true",
        "!false",
        "!!true",
        "branch == 'main'",
        "branch == \"main\"",
        "branch != 'dev'",
        "1 == 1.0",
        "10 == \"10\"",
        "'a' < 'b'",
        "9 < 10",
        "'9' < '10'",
        "'b9' < 'c10'",
        "-1 < 0",
        "true && true",
        "false || true",
        "true || false && false",
        "(true || true) && true",
        "!(true && false)",
        "branch in ['dev', 'main']",
        "1 in [2, 1]",
        "branch matches 'm*'",
        "'release/1/2' matches 'release/**'",
        "ref matches \"refs/heads/*\"",
        "'' == tag",
        "!tag",
        "'x'",
        "2",
        "branch=='main'&&event=='push'",
        "branch\n==\n'main'",
        "\"it's\" == \"it's\"",
        "true == (1 < 2)",
        "commit matches '0123*'",
        "project == 'hello'",
        "1.5 < 1.50001",
        "'true' == true",
        "contains(branch, 'ai')",
        "contains(['a', branch], 'main')",
        "!contains('abc', 'x')",
        "contains('a', '')",
        "contains(branch, 'x') || 'a' in ['b', 'a'] && branch in ['main']",
    };
    static const char *const no[] = {
        "false",
        "!true",
        "branch == 'Main'",
        "branch != 'main'",
        "10 < 9",
        "'a' < 'a'",
        "'ab' < 'a'",
        "true && false",
        "false || false",
        "(true || true) && false",
        "branch in ['dev']",
        "branch in []",
        "'a/b' matches '*'",
        "''",
        "0",
        "branch == 'main' && event == 'tag'",
        "contains(branch, 'dev')",
        "contains([], 'a')",
        "'1' == '1.0'",
        "tag",
        "!branch == 'x'",
        "branch matches 'mai'",
    };

    for (size_t i = 0; i < ELEMENTS(yes); i++)
        if (!eval(yes[i]))
            fail_msg("false: %s", yes[i]);
    for (size_t i = 0; i < ELEMENTS(no); i++)
        if (eval(no[i]))
            fail_msg("true: %s", no[i]);
}

static void names_are_those_of_the_event(void **state) {
    assert_true(eval_in("tag == 'v1.2' && branch == '' && event == 'tag'", &on_tag, COND_SUCCESS));
    assert_true(eval_in("tag matches 'v*' && ref == 'refs/tags/v1.2'", &on_tag, COND_SUCCESS));
    assert_false(eval_in("tag", &on_main, COND_SUCCESS));
    assert_true(eval_in("tag && commit == 'abc'", &on_tag, COND_SUCCESS));
}

static void status_functions(void **state) {
    static const struct {
        const char *text;
        bool success, failure, cancelled;
    } cases[] = {
        {"", true, false, false},
        {"success()", true, false, false},
        {"failure()", false, true, false},
        {"cancelled()", false, false, true},
        {"always()", true, true, true},
        {"!failure()", true, false, true},
        {"success() || failure()", true, true, false},
        {"always() && branch == 'dev'", false, false, false},
        {"true", true, false, false},             /* success() && … */
        {"branch == 'main'", true, false, false}, /* success() && … */
        {"branch == 'dev' && failure()", false, false, false},
        {" ${{ failure( ) }} ", false, true, false},
        {"${{branch == 'main'}}", true, false, false},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        assert_int_equal(eval_in(cases[i].text, &on_main, COND_SUCCESS), cases[i].success);
        assert_int_equal(eval_in(cases[i].text, &on_main, COND_FAILURE), cases[i].failure);
        assert_int_equal(eval_in(cases[i].text, &on_main, COND_CANCELLED), cases[i].cancelled);
    }
}

static void mistakes_say_the_column_and_what_was_expected(void **state) {
    expect_mistake("brunch == 'main'", "column 1: unknown name \"brunch\"; did you mean \"branch\"?");
    expect_mistake("true && sucess()", "column 9: unknown function \"sucess\"; did you mean \"success\"?");
    expect_mistake("branch == main", "column 11: unknown name \"main\"; a text is written in quotes");
    expect_mistake("branch = 'main'", "column 8: expected an operator or the end, got \"=\"; write ==");
    expect_mistake("true & true", "column 6: expected an operator or the end, got \"&\"; write &&");
    expect_mistake("true and true", "column 6: expected an operator or the end, got \"and\"; write &&");
    expect_mistake("not true", "column 1: expected a value, got \"not\"; write !");
    expect_mistake("1 > 2", "column 3: expected an operator or the end, got \">\"; write b < a");
    expect_mistake("1 <= 2", "column 3: expected an operator or the end, got \"<=\"; write !(b < a)");
    expect_mistake("$branch == 'a'", "column 1: expected a value, got \"$\"; names are written without $");
    expect_mistake("always", "column 1: \"always\" is a function: write always()");
    expect_mistake("contains", "column 1: \"contains\" is a function: write contains(a, b)");
    expect_mistake("always(1)", "column 8: expected \")\": the function takes nothing, got \"1\"");
    expect_mistake("contains('a')", "column 13: expected \",\" and what to look for, got \")\"");
    expect_mistake("contains('a', ['b'])",
                   "column 15: contains() looks for a text or a number, not for a list");
    expect_mistake("contains('a', 'b'", "column 18: expected \")\", got the end");
    expect_mistake("(true", "column 6: expected \")\", got the end");
    expect_mistake("true)", "column 5: expected an operator or the end, got \")\"");
    expect_mistake("branch == ", "column 10: expected a value, got the end");
    expect_mistake("  ", "column 3: expected a value, got the end");
    expect_mistake("${{ }}", "column 5: expected a value, got the end");
    expect_mistake("branch == 'main", "column 11: the text that begins here has no end: expected '");
    expect_mistake("branch in 'main'", "column 11: expected a list behind \"in\": [\"a\", \"b\"]");
    expect_mistake("branch == ['a']", "column 11: a list cannot be compared: write value in [\"a\", \"b\"]");
    expect_mistake("['a'] == branch", "column 1: a list cannot be compared: write value in [\"a\", \"b\"]");
    expect_mistake("branch in [['a']]", "column 16: expected a text or a number in a list, got a list");
    expect_mistake("branch in ['a' 'b']", "column 16: expected \",\" or \"]\", got \"'\"");
    expect_mistake("1 == 1 == 1", "column 8: comparisons do not follow each other: use && or ( )");
    expect_mistake("1.2.3 == 1", "column 1: \"1.2.3\" is no number; a text is written in quotes");
    expect_mistake("v == 1é", "column 1: unknown name \"v\"; a text is written in quotes");
    expect_mistake("é", "column 1: expected a value, got \"é\"");
    expect_mistake("\033[31m", "column 1: expected a value, got a control character");
}

static void repeat(Buf *out, const char *s, int times) {
    for (int i = 0; i < times; i++)
        buf_adds(out, s);
}

static void limits_hold(void **state) {
    _cleanup_buf_ Buf deep = BUF_INIT, not_so_deep = BUF_INIT, items = BUF_INIT, nots = BUF_INIT,
                      parts = BUF_INIT;
    bool result;
    Err err = {0};

    repeat(&deep, "(", 1500);
    assert_int_equal(condition_eval(buf_str(&deep), &on_main, COND_SUCCESS, &result, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "column 51: nested deeper than 50");
    repeat(&not_so_deep, "(", 49);
    repeat(&not_so_deep, "true", 1);
    repeat(&not_so_deep, ")", 49);
    assert_true(eval(buf_str(&not_so_deep)));

    repeat(&items, "1 in [2", 1);
    repeat(&items, ",2", 98);
    repeat(&items, ",1]", 1);
    assert_true(eval(buf_str(&items)));
    items.len--;
    repeat(&items, ",3]", 1);
    assert_int_equal(condition_eval(buf_str(&items), &on_main, COND_SUCCESS, &result, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "more than 100 list items"));

    repeat(&nots, "!", 1990);
    repeat(&nots, "true", 1);
    assert_true(eval(buf_str(&nots)));
    repeat(&nots, "          ", 1);
    assert_true(eval(buf_str(&nots))); /* blanks around are not counted */
    repeat(&parts, "true && ", 40000);
    repeat(&parts, "true", 1);
    assert_int_equal(condition_eval(buf_str(&parts), &on_main, COND_SUCCESS, &result, &err), -ERR_INVALID);
    assert_string_equal(err.msg, "column 1: longer than 262144 bytes");
}

static void lists_within_lists_of_functions_do_not_mix(void **state) {
    assert_true(eval("true in [contains(['x', 'y'], 'z'), contains(['z', 'q'], 'z')]"));
    assert_false(eval("'x' in ['a', contains(['x', 'y'], 'x')]"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators),        cmocka_unit_test(names_are_those_of_the_event),
        cmocka_unit_test(status_functions), cmocka_unit_test(mistakes_say_the_column_and_what_was_expected),
        cmocka_unit_test(limits_hold),      cmocka_unit_test(lists_within_lists_of_functions_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
