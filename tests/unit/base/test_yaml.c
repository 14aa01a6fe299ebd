#include "base/buf.h"
#include "base/str.h"
#include "base/yaml.h"
#include "base_test.h"

static int in_context(void **state) {
    *state = talloc_new(NULL);
    return 0;
}

static int out_of_context(void **state) {
    return talloc_free(*state);
}

static YamlNode *read_len(void *mem, const char *text, size_t len) {
    YamlNode *root = NULL;
    Err err;

    assert_done(yaml_read(text, len, mem, &root, NULL, NULL, &err), &err);
    return root;
}

static YamlNode *read_text(void *mem, const char *text) {
    return read_len(mem, text, strlen(text));
}

#define assert_text(node, wanted)                                                                            \
    do {                                                                                                     \
        const YamlNode *_node = (node);                                                                      \
        assert_non_null(_node);                                                                              \
        assert_int_equal(_node->kind, YAML_SCALAR);                                                          \
        assert_string_equal(_node->text, wanted);                                                            \
    } while (0)

static void refuse_len(const char *text, size_t len, ErrCode code, int line, int column, const char *says) {
    YamlNode *root = (YamlNode *)&code;
    void *mem = talloc_new(NULL);
    int at_line = 0, at_column = 0;
    Err err;

    assert_fails(yaml_read(text, len, mem, &root, &at_line, &at_column, &err), &err, code, says);
    assert_ptr_equal(root, &code);
    if (line) {
        char place[64];

        assert_int_equal(at_line, line);
        assert_int_equal(at_column, column);
        snprintf(place, sizeof(place), "line %d, column %d: ", line, column);
        assert_non_null(str_after(err.msg, place));
    }
    talloc_free(mem);
}

static void refuse(const char *text, int line, int column, const char *says) {
    refuse_len(text, strlen(text), ERR_INVALID, line, column, says);
}

static void trees_have_places(void **state) {
    const YamlNode *root = read_text(*state, "# c\na: 1\nlist:\n  - x\n  - {\xc3\xbc: y, z: [1]}\n");
    const YamlNode *list = yaml_get(root, "list");

    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->line, 2);
    assert_int_equal(root->column, 1);
    assert_int_equal(root->count, 2);
    assert_string_equal(root->pairs[1].key->text, "list");
    assert_int_equal(root->pairs[1].key->line, 3);
    assert_int_equal(list->kind, YAML_SEQUENCE);
    assert_int_equal(list->count, 2);
    assert_int_equal(list->items[1]->line, 5);
    assert_int_equal(list->items[1]->column, 5);
    assert_text(yaml_get(list->items[1], "\xc3\xbc"), "y");
    assert_int_equal(yaml_get(list->items[1], "\xc3\xbc")->column, 9); /* characters, not bytes */
    assert_null(yaml_get(list, "x"));
    assert_null(yaml_get(root, "none"));
    assert_null(yaml_get(NULL, "none"));
}

static void empty_texts_have_no_root(void **state) {
    YamlNode *root;
    Err err;

    assert_null(read_text(*state, ""));
    assert_null(read_text(*state, "# nothing\n\n"));
    assert_null(read_text(*state, "\xef\xbb\xbf"));
    assert_true(yaml_is_null(read_text(*state, "---\n")));
    root = (YamlNode *)&err;
    assert_done(yaml_read(NULL, 0, *state, &root, NULL, NULL, NULL), &err);
    assert_null(root);
}

/* All mistakes of the text, "line:column: text" each. */
static YamlNode *read_on(void *mem, const char *text, const char *expected) {
    _cleanup_buf_ Buf all = BUF_INIT;
    YamlMistakes mistakes;
    YamlNode *root;

    yaml_read_on(text, strlen(text), 1000, mem, &root, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        buf_addf(&all, "%d:%d: %s\n", mistakes.items[i].line, mistakes.items[i].column,
                 mistakes.items[i].text);
    assert_string_equal(buf_str(&all), expected);
    return root;
}

static void who_wants_all_mistakes_reads_on_behind_a_key_that_is_there_twice(void **state) {
    const YamlNode *root =
        read_on(*state, "a: &x {c: 1, c: 2}\nb: 3\na: 4\na: *x\nd: {<<: *x, <<: {e: 5}, f: 6}\n",
                "1:14: key \"c\" is here twice (first on line 1)\n"
                "5:13: key \"<<\" is here twice (first on line 5)\n"
                "3:1: key \"a\" is here twice (first on line 1)\n"
                "4:1: key \"a\" is here twice (first on line 1)\n");

    assert_int_equal(root->count, 3);
    assert_text(yaml_get(yaml_get(root, "a"), "c"), "1");
    assert_int_equal(yaml_get(yaml_get(root, "a"), "c")->line, 1);
    assert_text(yaml_get(yaml_get(root, "d"), "c"), "1");
    assert_null(yaml_get(yaml_get(root, "d"), "e"));
    assert_null(read_on(*state, "{a: 1, a: 2}\nb: ]\n",
                        "1:8: key \"a\" is here twice (first on line 1)\n"
                        "2:1: did not find expected <document start>\n"));
    assert_null(read_on(*state, "", ""));
    assert_null(read_on(*state, (const char *)memset(mem_zalloc(*state, 1002, "char"), ' ', 1001),
                        "1:1: over 1000 bytes\n"));
    assert_text(yaml_get(read_on(*state, "a: 1\n", ""), "a"), "1");
}

static void a_byte_order_mark_is_skipped(void **state) {
    const YamlNode *root = read_text(*state, "\xef\xbb\xbf"
                                             "a: 1\n");

    assert_text(yaml_get(root, "a"), "1");
    assert_int_equal(root->column, 1);
    assert_int_equal(yaml_get(root, "a")->column, 4);
}

static void scalars_keep_their_style(void **state) {
    const YamlNode *root =
        read_text(*state, "- plain\n- 'it''s'\n- \"a\\tb\"\n- |\n  x\n  y\n- >-\n  x\n  y\n");
    static const char *const texts[] = {"plain", "it's", "a\tb", "x\ny\n", "x y"};

    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        assert_text(root->items[i], texts[i]);
        assert_int_equal(root->items[i]->len, strlen(texts[i]));
        assert_int_equal(root->items[i]->quoted, i > 0);
    }
}

static void scalars_have_types_of_the_core_schema(void **state) {
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"true", "true or false"}, {"False", "true or false"},
        {"TRUE", "true or false"}, {"yes", "a string"},
        {"on", "a string"},        {"tRue", "a string"},
        {"~", "nothing"},          {"null", "nothing"},
        {"Null", "nothing"},       {"nULL", "a string"},
        {"", "nothing"},           {"12", "a number"},
        {"-12", "a number"},       {"+12", "a number"},
        {"0x1F", "a number"},      {"0o17", "a number"},
        {"0o18", "a string"},      {"0xg", "a string"},
        {"0x", "a string"},        {"-0x1", "a string"},
        {"1_000", "a string"},     {"1.5", "a number"},
        {".5", "a number"},        {"5.", "a number"},
        {"1e3", "a number"},       {"1.5e-3", "a number"},
        {"1e", "a string"},        {".", "a string"},
        {"-", "a string"},         {"+", "a string"},
        {".inf", "a number"},      {"-.INF", "a number"},
        {".nan", "a number"},      {"-.nan", "a string"},
        {"1.2.3", "a string"},     {"2024-01-01", "a string"},
        {"1:30", "a string"},      {"99999999999999999999", "a number"},
        {"010", "a number"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        YamlNode node = {.kind = YAML_SCALAR, .text = cases[i].text, .len = strlen(cases[i].text)};

        if (!str_eq(yaml_kind_word(&node), cases[i].word))
            fail_msg("\"%s\" is %s", cases[i].text, yaml_kind_word(&node));
        node.quoted = true;
        assert_string_equal(yaml_kind_word(&node), "a string");
    }
    assert_string_equal(yaml_kind_word(read_text(*state, "[]")), "a list");
    assert_string_equal(yaml_kind_word(read_text(*state, "{}")), "a mapping");
    assert_string_equal(yaml_kind_word(NULL), "nothing");
}

static void whole_numbers(void **state) {
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-7", -7},
                {"+7", 7},
                {"010", 10},
                {"0x1f", 31},
                {"0xFF", 255},
                {"0o17", 15},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN},
                {"0x7fffffffffffffff", INT64_MAX},
                {"0o777777777777777777777", INT64_MAX}};
    static const char *const bad[] = {
        "9223372036854775808", "0x8000000000000000", "0o1000000000000000000000", "1.0", "+-1", "", "x", NULL};
    int64_t n;

    for (size_t i = 0; i < ELEMENTS(good); i++) {
        n = 77;
        assert_true(yaml_as_int(&(YamlNode){.kind = YAML_SCALAR, .text = good[i].text}, &n));
        assert_true(n == good[i].value);
    }
    n = 77;
    for (size_t i = 0; bad[i]; i++)
        assert_false(yaml_as_int(&(YamlNode){.kind = YAML_SCALAR, .text = bad[i]}, &n));
    assert_false(yaml_as_int(&(YamlNode){.kind = YAML_SCALAR, .text = "1", .quoted = true}, &n));
    assert_false(yaml_as_int(&(YamlNode){.kind = YAML_SEQUENCE}, &n));
    assert_false(yaml_as_int(NULL, &n));
    assert_int_equal(n, 77);
}

static void tags_decide_types(void **state) {
    const YamlNode *root =
        read_text(*state, "- !!str 5\n- !!int \"5\"\n- ! 5\n- !x true\n- !!seq []\n- !!bool 'true'\n");
    bool yes = false;
    int64_t n = 0;

    assert_string_equal(root->items[0]->tag, "!!str");
    assert_string_equal(yaml_kind_word(root->items[0]), "a string");
    assert_true(yaml_as_int(root->items[1], &n));
    assert_int_equal(n, 5);
    assert_false(yaml_as_int(root->items[2], &n));
    assert_string_equal(root->items[3]->tag, "!x");
    assert_false(yaml_as_bool(root->items[3], &yes));
    assert_string_equal(root->items[4]->tag, "!!seq");
    assert_true(yaml_as_bool(root->items[5], &yes) && yes);
}

static void aliases_are_resolved(void **state) {
    const YamlNode *root = read_text(*state, "a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\ne: &k key\nf: {*k : 1}\n");

    assert_ptr_equal(yaml_get(root, "a"), yaml_get(root, "b"));
    assert_text(yaml_get(root, "d"), "3");
    assert_text(yaml_get(yaml_get(root, "f"), "key"), "1");
    refuse("a: *x\n", 1, 4, "no anchor \"x\"");
    refuse("a: &x [*x]\n", 1, 8, "contain itself");
    refuse("a: &x\n  b:\n    c: *x\n", 3, 8, "contain itself");
}

static void merge_keys_give_what_is_not_there(void **state) {
    const YamlNode *root = read_text(*state, "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\n"
                                             "c: {p: 0, <<: [*a, *b], y: 9, q: 5}\n"
                                             "d: {<<: {x: 7}, \"<<\": 8}\ne: {<<: *a}\n");
    const YamlNode *c = yaml_get(root, "c");
    static const char *const order[] = {"p", "x", "z", "y", "q"}, *const values[] = {"0", "1", "4", "9", "5"};

    assert_int_equal(c->count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_text(c->pairs[i].key, order[i]);
        assert_text(c->pairs[i].value, values[i]);
    }
    assert_text(yaml_get(yaml_get(root, "d"), "x"), "7");
    assert_text(yaml_get(yaml_get(root, "d"), "<<"), "8"); /* quoted: a key like others */
    assert_int_equal(yaml_get(root, "e")->count, 2);
    refuse("a: {<<: 1}\n", 1, 5, "expected a mapping");
    refuse("a: {<<: [{}, x]}\n", 1, 5, "expected a mapping");
    refuse("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", 4, 3, "twice");
}

static void double_keys_are_refused(void **state) {
    refuse("a: 1\nb: 2\na: 3\n", 3, 1, "key \"a\" is here twice (first on line 1)");
    refuse("{a: 1, 'a': 2}", 1, 8, "twice");
    refuse("x:\n  - k: 1\n    k: 1\n", 3, 5, "twice");
    refuse("~: 1\n~: 2\n", 2, 1, "twice");
    refuse("a: &a {x: 1}\nb: {<<: *a, x: 2, x: 3}\n", 2, 19, "twice");
    refuse("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, n: 1, b: 1}", 1,
           86, "twice");
    refuse("? [a]\n: 1\n", 1, 3, "expected a text as key, got a list");
    refuse("{{a: 1}: 2}", 1, 2, "expected a text as key, got a mapping");
}

static void only_one_document_is_read(void **state) {
    refuse("a: 1\n---\nb: 2\n", 2, 1, "a second document");
    assert_text(read_text(*state, "---\nx\n...\n"), "x");
}

static void mistakes_have_places(void **state) {
    refuse("a: 1\n b: 2\n", 2, 3, "not allowed");
    refuse("a:\n\tb: 1\n", 2, 1, "tab");
    refuse("a: [1\nb: 2\n", 2, 2, "");
    refuse("a: 'x\n", 2, 1, "quoted scalar");
    refuse("a: @x\n", 1, 4, "cannot start any token");
    refuse("%YAML 3.0\n---\na", 1, 1, "incompatible YAML");
    refuse("a: !<", 1, 6, "");
}

static void bad_bytes_are_refused(void **state) {
    refuse("ok: 1\nbad: \xc3(\n", 2, 7, "invalid trailing UTF-8");
    refuse("a: \xed\xa0\x80\n", 1, 4, "");
    refuse("\xc3\xbc: \xff\n", 1, 4, "invalid leading UTF-8");
    refuse("a: \x01\n", 1, 4, "control characters");
    refuse("\xff\xfe"
           "a\0:\0",
           1, 1, "invalid");
    refuse_len("a: \0b\n", 6, ERR_INVALID, 1, 4, "control characters");
    refuse("a: \"x\\0y\"\n", 1, 4, "zero byte");
    refuse("\"\\0\": y\n", 1, 1, "zero byte");
}

static char *repeat(void *mem, const char *text, size_t count, size_t *ret_len) {
    _cleanup_buf_ Buf b = BUF_INIT;

    for (size_t i = 0; i < count; i++)
        buf_adds(&b, text);
    *ret_len = b.len;
    return buf_dup(&b, mem);
}

static void depth_has_a_limit(void **state) {
    static const char *const openers[] = {"[", "{a: ", "- ", "? ", "[{a: ", "[?,"};
    size_t len;
    char *text;

    for (size_t i = 0; i < ELEMENTS(openers); i++) {
        text = repeat(*state, openers[i], 100000, &len);
        refuse_len(text, MIN(len, (size_t)YAML_MAX_BYTES), ERR_INVALID, 0, 0, "line 1, column ");
    }
    text = repeat(*state, "[", 128, &len);
    memset(text + 64, ']', 64);
    assert_int_equal(read_len(*state, text, 128)->height, 64);
    text = repeat(*state, "[", 130, &len);
    memset(text + 65, ']', 65);
    refuse_len(text, 130, ERR_INVALID, 1, 65, "deeper than 64");
}

/* An alias brings its own depth along. */
static void depth_is_counted_through_aliases(void **state) {
    char deep[81] = {0}, text[400];

    memset(deep, '[', 40);
    memset(deep + 40, ']', 40);
    snprintf(text, sizeof(text), "a: &a %s\nb: [[%.20s*a%.20s]]\n", deep, deep, deep + 60);
    assert_int_equal(read_text(*state, text)->height, 63);
    snprintf(text, sizeof(text), "a: &a %s\nb: %.30s*a%.30s\n", deep, deep, deep + 50);
    refuse(text, 2, 34, "deeper than 64");
}

static void alias_bombs_are_refused(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;
    const char *line;

    buf_adds(&b, "a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (char c = 'b'; c <= 'i'; c++) {
        buf_addf(&b, "%c: &%c [", c, c);
        for (int i = 0; i < 9; i++)
            buf_addf(&b, "*%c,", c - 1);
        buf_adds(&b, "]\n");
    }
    refuse(buf_str(&b), 0, 0, "aliases counted as what they stand for");
    buf_clear(&b);
    buf_adds(&b, "a: &a x\nb: [");
    for (int i = 0; i < 101; i++)
        buf_adds(&b, "*a,");
    line = buf_str(&b);
    refuse(line, 2, 5 + 100 * 3, "more than 100 aliases");
}

/* A mapping that is merged again and again grows as an alias does. */
static void merge_bombs_are_refused(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;

    buf_adds(&b, "a: &a {");
    for (int i = 0; i < 2000; i++)
        buf_addf(&b, "k%d: 1,", i);
    buf_adds(&b, "}\nb: {<<: [");
    for (int i = 0; i < 90; i++)
        buf_adds(&b, "*a,");
    buf_adds(&b, "]}\n");
    refuse(buf_str(&b), 0, 0, "line 2, column ");
}

static void size_and_number_of_nodes_have_limits(void **state) {
    size_t len;
    char *text = repeat(*state, "-\n", 99999, &len);

    assert_int_equal(read_len(*state, text, len)->count, 99999);
    text = repeat(*state, "-\n", 100000, &len);
    refuse_len(text, len, ERR_INVALID, 100000, 2, "more than 100000 values");
    text = repeat(*state, "#", YAML_MAX_BYTES + 1, &len);
    assert_null(read_len(*state, text, len - 1));
    refuse_len(text, len, ERR_TOO_LARGE, 0, 0, "over 1048576 bytes");
}

/* With each key compared to each, or each %TAG, these would take minutes. */
static void nothing_is_quadratic(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;

    for (int i = 0; i < 45000; i++)
        buf_addf(&b, "k%d: v\n", i);
    assert_int_equal(read_text(*state, buf_str(&b))->count, 45000);
    buf_clear(&b);
    for (int i = 0; i < 60000; i++)
        buf_addf(&b, "%%TAG !%d! x\n", i);
    refuse(buf_str(&b), 65, 1, "more than 64 %TAG");
}

#define test_in_context(f) cmocka_unit_test_setup_teardown(f, in_context, out_of_context)

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_context(trees_have_places),
        test_in_context(empty_texts_have_no_root),
        test_in_context(who_wants_all_mistakes_reads_on_behind_a_key_that_is_there_twice),
        test_in_context(a_byte_order_mark_is_skipped),
        test_in_context(scalars_keep_their_style),
        test_in_context(scalars_have_types_of_the_core_schema),
        test_in_context(whole_numbers),
        test_in_context(tags_decide_types),
        test_in_context(aliases_are_resolved),
        test_in_context(merge_keys_give_what_is_not_there),
        test_in_context(double_keys_are_refused),
        test_in_context(only_one_document_is_read),
        test_in_context(mistakes_have_places),
        test_in_context(bad_bytes_are_refused),
        test_in_context(depth_has_a_limit),
        test_in_context(depth_is_counted_through_aliases),
        test_in_context(alias_bombs_are_refused),
        test_in_context(merge_bombs_are_refused),
        test_in_context(size_and_number_of_nodes_have_limits),
        test_in_context(nothing_is_quadratic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
