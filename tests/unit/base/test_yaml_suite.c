/* The YAML test suite (https://github.com/yaml/yaml-test-suite, MIT licence; tests/data/yaml-test-suite.json
 * has its cases) on our reader: what must fail fails; what is not on the list below is read to the JSON that
 * the suite gives. */
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "base_test.h"

#include <limits.h>

/* What we refuse on purpose though YAML 1.2 allows it, and why: nobody should meet it in a file of ours and
 * wonder what it means. */
#define ANCHOR_NAMES "names of anchors have letters, digits, _ and -"
#define DIRECTIVES "directives but %YAML 1.1, 1.2 and %TAG are refused"
#define EMPTY_KEYS "a key must be written"
#define FLOW_COLONS                                                                                          \
    "within [ ] and { }, a colon at an edge must be in quotes, and a key on one line with its colon"
#define ONE_DOCUMENT "one document a file"
#define QUOTES "a text that begins with ? must be in quotes within [ ] and { }"
#define TABS "tabs are refused where they look like indentation"
#define TEXT_KEYS "keys are texts"
#define ZERO_INDENT "a block of text is indented"

typedef struct Refused {
    const char *id, *why;
} Refused;

static const Refused refused[] = {
    {"2SXE", ANCHOR_NAMES},   {"8XYN", ANCHOR_NAMES},   {"W5VH", ANCHOR_NAMES}, {"Y2GN", ANCHOR_NAMES},
    {"2LFX", DIRECTIVES},     {"6LVF", DIRECTIVES},     {"BEC7", DIRECTIVES},   {"MUS6/05", DIRECTIVES},
    {"MUS6/06", DIRECTIVES},  {"W4TN", DIRECTIVES},     {"2JQS", EMPTY_KEYS},   {"6M2F", EMPTY_KEYS},
    {"M2N8/00", EMPTY_KEYS},  {"NHX8", EMPTY_KEYS},     {"NKF9", EMPTY_KEYS},   {"S3PD", EMPTY_KEYS},
    {"SM9W/01", EMPTY_KEYS},  {"UKK6/00", EMPTY_KEYS},  {"4ABK", FLOW_COLONS},  {"4MUZ/00", FLOW_COLONS},
    {"4MUZ/01", FLOW_COLONS}, {"4MUZ/02", FLOW_COLONS}, {"58MP", FLOW_COLONS},  {"5MUD", FLOW_COLONS},
    {"5T43", FLOW_COLONS},    {"9SA2", FLOW_COLONS},    {"CFD4", FLOW_COLONS},  {"DBG4", FLOW_COLONS},
    {"FRK4", FLOW_COLONS},    {"HM87/00", FLOW_COLONS}, {"K3WX", FLOW_COLONS},  {"NJ66", FLOW_COLONS},
    {"UT92", FLOW_COLONS},    {"VJP3/01", FLOW_COLONS}, {"35KP", ONE_DOCUMENT}, {"5TYM", ONE_DOCUMENT},
    {"6WLZ", ONE_DOCUMENT},   {"6XDY", ONE_DOCUMENT},   {"6ZKB", ONE_DOCUMENT}, {"7Z25", ONE_DOCUMENT},
    {"9DXL", ONE_DOCUMENT},   {"9KAX", ONE_DOCUMENT},   {"9WXW", ONE_DOCUMENT}, {"HWV9", ONE_DOCUMENT},
    {"JHB9", ONE_DOCUMENT},   {"KSS4", ONE_DOCUMENT},   {"L383", ONE_DOCUMENT}, {"M7A3", ONE_DOCUMENT},
    {"PUW8", ONE_DOCUMENT},   {"QT73", ONE_DOCUMENT},   {"RZT7", ONE_DOCUMENT}, {"U9NS", ONE_DOCUMENT},
    {"652Z", QUOTES},         {"HM87/01", QUOTES},      {"6BCT", TABS},         {"6CA3", TABS},
    {"96NN/00", TABS},        {"96NN/01", TABS},        {"A2M4", TABS},         {"DK95/00", TABS},
    {"DK95/03", TABS},        {"DK95/04", TABS},        {"Q5MG", TABS},         {"R4YG", TABS},
    {"Y79Y/001", TABS},       {"Y79Y/010", TABS},       {"4FJ6", TEXT_KEYS},    {"6BFJ", TEXT_KEYS},
    {"6PBE", TEXT_KEYS},      {"9MMW", TEXT_KEYS},      {"KK5P", TEXT_KEYS},    {"LX3P", TEXT_KEYS},
    {"M2N8/01", TEXT_KEYS},   {"M5DY", TEXT_KEYS},      {"Q9WF", TEXT_KEYS},    {"RZP5", TEXT_KEYS},
    {"SBG9", TEXT_KEYS},      {"V9D5", TEXT_KEYS},      {"X38W", TEXT_KEYS},    {"XW4D", TEXT_KEYS},
    {"DK3J", ZERO_INDENT},    {"FP8R", ZERO_INDENT},    {NULL, NULL},
};

static const char *why_refused(const char *id) {
    for (const Refused *r = refused; r->id; r++)
        if (str_eq(r->id, id))
            return r->why;
    return NULL;
}

static json_t *to_json(const YamlNode *node) {
    json_t *out;
    int64_t whole;
    bool truth;

    if (!node || yaml_is_null(node))
        return json_null();
    if (node->kind == YAML_SEQUENCE) {
        out = json_array();
        for (size_t i = 0; i < node->count; i++)
            json_array_append_new(out, to_json(node->items[i]));
        return out;
    }
    if (node->kind == YAML_MAPPING) {
        out = json_object();
        for (size_t i = 0; i < node->count; i++)
            json_object_set_new(out, node->pairs[i].key->text, to_json(node->pairs[i].value));
        return out;
    }
    if (yaml_as_bool(node, &truth))
        return json_boolean(truth);
    if (yaml_as_int(node, &whole))
        return json_integer(whole);
    if (yaml_is_float(node)) {
        double number = strtod(node->text, NULL);

        return number == (double)(int64_t)number ? json_integer((int64_t)number) : json_real(number);
    }
    return json_string(node->text);
}

/* NULL: as the suite says. *ret_refused: reading it has failed. */
static const char *run_case(const json_t *c, const void *mem, bool *ret_refused) {
    const char *yaml = json_string_value(json_object_get(c, "yaml"));
    const json_t *docs = json_object_get(c, "json");
    _cleanup_json_ json_t *got = NULL;
    YamlNode *root = NULL;
    Err err = {0};
    int r = yaml_read(yaml, strlen(yaml), mem, &root, NULL, NULL, &err);

    *ret_refused = r < 0;
    if (json_object_get(c, "error"))
        return r < 0 ? NULL : "it must fail, and did not";
    if (r < 0)
        return mem_strdup(mem, err.msg);
    if (!docs) /* the suite gives no JSON: that it is read is all there is to see */
        return NULL;
    got = to_json(root);
    if (json_array_size(docs) == 0 ? json_is_null(got) : json_equal(got, json_array_get(docs, 0)))
        return NULL;
    char *text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
    const char *why = mem_printf(mem, "read as %s", text);
    free(text);
    return why;
}

static void every_case_is_as_the_suite_says_or_refused_on_purpose(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *cases = NULL;
    _cleanup_buf_ Buf text = BUF_INIT;
    size_t i, wrong = 0, listed = 0;
    Err err = {0};
    json_t *c;

    if (file_read(TEST_DATA "/yaml-test-suite.json", 4 * 1024 * 1024, &text, &err) < 0 ||
        json_read(text.data, text.len, &cases, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(json_array_size(cases), 402);
    json_array_foreach (cases, i, c) {
        const char *id = json_string_value(json_object_get(c, "id")), *listed_why = why_refused(id);
        bool is_refused;
        const char *why = run_case(c, mem, &is_refused);

        listed += listed_why != NULL;
        if (listed_why ? why && is_refused : !why)
            continue;
        wrong++;
        print_error("%s (%s): %s\n", id, json_string_value(json_object_get(c, "name")),
                    why && !listed_why ? why : "is listed as refused, and is read");
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(listed, ELEMENTS(refused) - 1);
}

/* Minutes, if each value were to look for the beginning of its line. */
static void a_long_line_of_many_values_is_read_at_once(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    YamlNode *root = NULL;
    Err err = {0};

    buf_addf(&text, "a:\n%400000s[", "");
    for (int i = 0; i < 99000; i++)
        buf_adds(&text, "b,'c',");
    text.len -= 6 * 50000; /* both together stay within the limit of values */
    buf_adds(&text, "]\n");
    if (yaml_read(text.data, text.len, mem, &root, NULL, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(yaml_get(root, "a")->count, 98000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_as_the_suite_says_or_refused_on_purpose),
        cmocka_unit_test(a_long_line_of_many_values_is_read_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
