/* docs/pipeline.md holds the reference that the tables give, word by word. PELTON_UPDATE_DOCS=1 renews it. */
#include "support.h"

#include "base/file.h"
#include <limits.h>

#define BEGIN "<!-- reference: begin -->\n"
#define END "<!-- reference: end -->\n"

/* The file, beside a folder above this program (build/ lies in the source tree) or above the working
 * directory. */
static bool find_docs(char *path, size_t size) {
    char at[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", at, sizeof(at) - 1);

    for (int i = 0; i < 2; i++) {
        if (i == 1)
            len = getcwd(at, sizeof(at) - 1) ? (ssize_t)strlen(at) : -1;
        for (; len > 0; len--) {
            at[len] = '\0';
            snprintf(path, size, "%s/docs/pipeline.md", at);
            if (access(path, R_OK) == 0)
                return true;
            while (len > 0 && at[len - 1] != '/')
                len--;
        }
    }
    return false;
}

static void the_docs_hold_the_reference(void **state) {
    _cleanup_buf_ Buf docs = BUF_INIT, expected = BUF_INIT, changed = BUF_INIT;
    char path[PATH_MAX + 32], *begin, *end;
    Err err = {0};

    if (!find_docs(path, sizeof(path)))
        fail_msg("no docs/pipeline.md above the program");
    if (file_read(path, 1024 * 1024, &docs, &err) < 0)
        fail_msg("%s", err.msg);
    pipeline_reference(&expected);
    begin = strstr(docs.data, BEGIN);
    end = strstr(docs.data, END);
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen(BEGIN);
    assert_true(end >= begin);
    if (getenv("PELTON_UPDATE_DOCS")) {
        buf_add(&changed, docs.data, (size_t)(begin - docs.data));
        buf_add(&changed, expected.data, expected.len);
        buf_adds(&changed, end);
        if (file_write_atomic(path, changed.data, changed.len, 0644, &err) < 0)
            fail_msg("%s", err.msg);
        return;
    }
    *end = '\0';
    assert_string_equal(begin, buf_str(&expected));
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

    assert_true(find_docs(path, sizeof(path)));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_docs_hold_the_reference),
        cmocka_unit_test(the_reference_has_a_line_for_every_key),
        cmocka_unit_test(the_examples_of_the_docs_are_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
