/* Text with ${{ }} in it, as a value and as a command: filled in or a mistake within the text; and no value
 * ever becomes part of a command. */
#include "fuzz.h"
#include "pipeline/template.h"

#include <assert.h>

#define MARK "\001mark\001"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const PlanContext context = {.project = MARK,
                                        .branch = MARK,
                                        .ref = "refs/tags/" MARK,
                                        .commit = MARK,
                                        .event = MARK,
                                        .message = MARK,
                                        .author = MARK};
    ExprScope scope = {.context = &context, .uses = EXPR_NEEDS | EXPR_FILES};
    void *mem = talloc_new(NULL);
    char *text = mem_strndup(mem, (const char *)data, size);
    Template filled, again;
    Script script;
    size_t at = 0;
    Err err;

    if (template_fill(text, &scope, mem, &filled, &at, &err) < 0)
        assert(at <= strlen(text) && err.msg[0]);
    else if (filled.late)
        assert(template_fill(filled.text, &scope, mem, &again, &at, &err) == 0);
    if (template_script(text, &scope, mem, &script, &at, &err) < 0)
        assert(at <= strlen(text) && err.msg[0]);
    else
        assert(strstr(text, MARK) || !strstr(script.text, MARK));
    talloc_free(mem);
    return 0;
}
