/* Text with ${{ }} in it, as a value and as a command: filled in or a mistake within the text; and no value
 * ever becomes part of a command. */
#include "fuzz.h"
#include "pipeline/template.h"

#include <assert.h>

#define MARK "\001mark\001"

static int any_hash(void *data, const char *const *patterns, const void *mem, const char **ret, Err *err) {
    *ret = MARK;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const PlanContext context = {.project = MARK,
                                        .branch = MARK,
                                        .ref = "refs/tags/" MARK,
                                        .commit = MARK,
                                        .event = MARK,
                                        .message = MARK,
                                        .author = MARK,
                                        .hash = any_hash};
    static const YamlNode needed = {.kind = YAML_SCALAR, .text = "j", .len = 1};
    ExprScope scope = {.context = &context, .uses = EXPR_LATE, .needs = &needed}, later = scope;
    void *mem = talloc_new(NULL);
    char *text = mem_strndup(mem, (const char *)data, size);
    Template filled, again;
    Script script;
    size_t at = 0;
    Err err;

    later.late = true;
    if (template_fill(text, &scope, mem, &filled, &at, &err) < 0)
        assert(at <= strlen(text) && err.msg[0]);
    else
        assert(template_fill(filled.text, &later, mem, &again, &at, &err) == 0);
    if (template_script(text, &scope, mem, &script, &at, &err) < 0)
        assert(at <= strlen(text) && err.msg[0]);
    else
        assert(strstr(text, MARK) || !strstr(script.text, MARK));
    talloc_free(mem);
    return 0;
}
