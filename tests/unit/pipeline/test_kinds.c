/* Every value of a file in place of which something of another kind stands: it is planned or refused, at a
 * place of the file, and nothing breaks. */
#include "base/file.h"
#include "base/yaml.h"
#include "support.h"

#include <ctype.h>
#include <dirent.h>

static const char *const others[] = {"~", "''", "x", "7", "[]", "[[x]]", "{}", "{x: [y]}", "\"${{ x }}\""};

typedef struct Printer {
    Buf *out;
    const YamlNode *instead_of;
    const char *other;
} Printer;

static void print_scalar(Buf *out, const YamlNode *node) {
    bool plain = !node->quoted && node->len > 0;

    for (size_t i = 0; i < node->len; i++)
        plain = plain && (isalnum((unsigned char)node->text[i]) || strchr("_./-", node->text[i]));
    if (plain) {
        buf_adds(out, node->text);
        return;
    }
    buf_addc(out, '"');
    for (size_t i = 0; i < node->len; i++)
        if (strchr("\"\\\n\t", node->text[i]))
            buf_addf(out, "\\x%02x", (unsigned)node->text[i]);
        else
            buf_addc(out, node->text[i]);
    buf_addc(out, '"');
}

static void print(Printer *p, const YamlNode *node) {
    if (node == p->instead_of)
        buf_adds(p->out, p->other);
    else if (node->kind == YAML_SCALAR)
        print_scalar(p->out, node);
    else {
        buf_addc(p->out, node->kind == YAML_MAPPING ? '{' : '[');
        for (size_t i = 0; i < node->count; i++) {
            buf_adds(p->out, i ? ", " : "");
            if (node->kind == YAML_MAPPING) {
                print_scalar(p->out, node->pairs[i].key);
                buf_adds(p->out, ": ");
            }
            print(p, node->kind == YAML_MAPPING ? node->pairs[i].value : node->items[i]);
        }
        buf_addc(p->out, node->kind == YAML_MAPPING ? '}' : ']');
    }
}

/* What plans one file of a dialect. */
typedef int Reader(const char *text, size_t len, void *mem, Plan **ret, PlanProblems **problems, Err *err);

static int read_pelton(const char *text, size_t len, void *mem, Plan **ret, PlanProblems **problems,
                       Err *err) {
    const char *contents[16] = {text};
    size_t lens[16] = {len};

    return plan_make(contents, lens, &on_main, mem, ret, problems, err);
}

static int read_stages(const char *text, size_t len, void *mem, Plan **ret, PlanProblems **problems,
                       Err *err) {
    StagesInfo *info;

    return stages_plan(text, len, &on_main, mem, ret, &info, problems, err);
}

typedef struct Swaps {
    Reader *read;
    const YamlNode *root;
    size_t tried, refused;
} Swaps;

static void swap_one(Swaps *s, const YamlNode *node, const char *other) {
    _cleanup_buf_ Buf text = BUF_INIT;
    Printer p = {.out = &text, .instead_of = node, .other = other};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};
    int r;

    print(&p, s->root);
    r = s->read(text.data, text.len, mem, &plan, &problems, &err);
    if (r < 0 && !problems)
        fail_msg("%.*s: %s", (int)text.len, text.data, err.msg);
    for (size_t i = 0; r < 0 && i < problems->count; i++)
        if (problems->items[i].line < 1 || !*problems->items[i].message)
            fail_msg("%.*s: no place: %s", (int)text.len, text.data, problems->items[i].message);
    s->tried++;
    s->refused += r < 0;
}

static void swap_below(Swaps *s, const YamlNode *node) {
    for (size_t i = 0; i < node->count; i++) {
        const YamlNode *child = node->kind == YAML_MAPPING ? node->pairs[i].value : node->items[i];

        for (size_t k = 0; k < ELEMENTS(others); k++)
            swap_one(s, child, others[k]);
        swap_below(s, child);
    }
}

static void swap_in_folder(const char *folder, Reader *read) {
    Swaps s = {.read = read};
    DIR *dir = opendir(folder);
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        _cleanup_talloc_ void *mem = talloc_new(NULL);
        _cleanup_buf_ Buf text = BUF_INIT;
        PlanProblems *problems = NULL;
        YamlNode *root = NULL;
        Plan *plan = NULL;
        Err err = {0};

        if (entry->d_name[0] == '.')
            continue;
        assert_return_code(file_read(mem_printf(mem, "%s/%s", folder, entry->d_name), SIZE_MAX, &text, &err),
                           0);
        /* the well-formed ones: each swap is then the only mistake */
        if (read(text.data, text.len, mem, &plan, &problems, &err) < 0)
            continue;
        assert_return_code(yaml_read(text.data, text.len, mem, &root, NULL, NULL, &err), 0);
        s.root = root;
        swap_below(&s, root);
    }
    closedir(dir);
    assert_true(s.tried > 1000 && s.refused > s.tried / 4 && s.refused < s.tried);
}

static void a_pipeline_with_values_of_other_kinds(void **state) {
    swap_in_folder(TEST_DATA "/../fuzz/corpus/pipeline", read_pelton);
}

static void stages_with_values_of_other_kinds(void **state) {
    swap_in_folder(TEST_DATA "/../fuzz/corpus/stages", read_stages);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_with_values_of_other_kinds),
        cmocka_unit_test(stages_with_values_of_other_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
