/* docs/pipeline.md holds the reference that the tables give, word by word. PELTON_UPDATE_DOCS=1 renews it. */
#include "support.h"

#include "docs.h"

static void the_docs_hold_the_reference(void **state) {
    _cleanup_buf_ Buf expected = BUF_INIT;

    pipeline_reference(&expected);
    docs_hold("pipeline.md", "reference", &expected);
}

static void the_reference_has_a_line_for_every_key(void **state) {
    static const char *const keys[] = {"jobs",      "deploy", "needs", "steps",  "working-directory",
                                       "processes", "arch",   "start", "health", "files",
                                       "if",        "paths"};
    _cleanup_buf_ Buf text = BUF_INIT;

    pipeline_reference(&text);
    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        _cleanup_talloc_ char *line = mem_printf(NULL, "\n| `%s` | ", keys[i]);

        if (!strstr(buf_str(&text), line))
            fail_msg("no line of %s", keys[i]);
    }
    assert_null(strstr(buf_str(&text), "(null)"));
}

/* Every YAML example of the chapter is read, and none has a mistake. */
static void the_examples_of_the_docs_are_right(void **state) {
    _cleanup_buf_ Buf docs = BUF_INIT;
    char path[PATH_MAX + 32];
    size_t count = 0;
    Err err = {0};

    assert_true(docs_find("pipeline.md", path, sizeof(path)));
    assert_int_equal(file_read(path, 1024 * 1024, &docs, &err), 0);
    for (const char *at = docs.data, *end; (at = strstr(at, "\n```yaml\n")); at = end + 4, count++) {
        at += strlen("\n```yaml\n");
        end = strstr(at, "\n```\n");
        assert_non_null(end);
        _cleanup_case_ Case c = plan_bytes(".pelton.yml", at, (size_t)(end - at), &on_main);
        if (c.result < 0)
            fail_msg("%.*s\n%s", (int)(end - at), at, c.err.msg);
    }
    assert_true(count > 3);
}

static void every_variable_of_the_table_has_a_help_text(void **state) {
    for (const PlanVariable *v = plan_variables; v->name; v++)
        assert_true(strlen(v->help) > 3);
}

static void the_docs_hold_all_variables(void **state) {
    _cleanup_buf_ Buf expected = BUF_INIT;

    buf_adds(&expected, "| variable | what it has |\n|---|---|\n");
    for (const PlanVariable *v = plan_variables; v->name; v++)
        buf_addf(&expected, "| `%s` | %s |\n", v->name, v->help);
    docs_hold("pipeline.md", "variables", &expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_docs_hold_the_reference),
        cmocka_unit_test(the_reference_has_a_line_for_every_key),
        cmocka_unit_test(the_examples_of_the_docs_are_right),
        cmocka_unit_test(every_variable_of_the_table_has_a_help_text),
        cmocka_unit_test(the_docs_hold_all_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
