/* The expressions of `if`: an answer or a mistake within the text; and the same verdict in every context. */
#include "fuzz.h"
#include "pipeline/pipeline.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const PlanContext full = {.project = "p",
                                     .branch = "main",
                                     .ref = "refs/tags/v1",
                                     .commit = "abc",
                                     .event = "push"},
                             empty = {0};
    char *text = mem_strndup(NULL, (const char *)data, size);
    bool success = false, unused;
    Err err = {0};
    int r = condition_eval(text, &full, COND_SUCCESS, &success, &err);

    assert(r == 0 || (r == -ERR_INVALID && err.msg[0]));
    assert(condition_eval(text, &empty, COND_SUCCESS, &unused, &err) == r);
    assert(condition_eval(text, &full, COND_FAILURE, &unused, &err) == r);
    talloc_free(text);
    return 0;
}
