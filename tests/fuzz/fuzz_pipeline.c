/* A pipeline file: whatever comes in, a sound plan, or problems that can be printed. */
#include "base/json.h"
#include "fuzz.h"
#include "pipeline/pipeline.h"

#include <assert.h>
#include <string.h>

static const PlanContext contexts[] = {
    {.project = "hello",
     .branch = "main",
     .ref = "refs/heads/main",
     .commit = "0123456789abcdef0123456789abcdef01234567",
     .event = "push",
     .allow_shell = true},
    {.project = "hello",
     .branch = "",
     .ref = "refs/tags/v1",
     .commit = "0123456789abcdef0123456789abcdef01234567",
     .event = "tag"},
};

static void check_plan(const Plan *plan, const PlanContext *context) {
    bool skip = true, result;

    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        json_t *spec = NULL;
        Err err;

        assert(json_read(job->spec, strlen(job->spec), &spec, &err) == 0);
        json_decref(spec);
        for (size_t n = 0; n < job->need_count; n++)
            assert(job->needs[n] < plan->count && job->needs[n] != i);
        assert(condition_eval(job->condition, context, COND_FAILURE, &result, &err) == 0);
        assert(!(job->skip && result && job->need_count));
        skip &= job->skip;
    }
    assert(plan->nothing == skip);
}

static void check_problems(const PlanProblems *problems, const char *text, size_t size) {
    Buf out = BUF_INIT;

    assert(problems && problems->count > 0);
    plan_problems_print(problems, ".pelton.yml", text, size, false, &out);
    assert(out.len > 0 && !memchr(out.data, '\033', out.len) && !memchr(out.data, '\0', out.len));
    buf_done(&out);
}

/* The same as a part of a build that has jobs already. */
static void check_part(const char *text, size_t size) {
    static const char *const known[] = {"make", "test (1, a)", "test (2, a)", "a"};
    void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err = {0};

    if (plan_part(text, size, &(PlanFile){0}, &contexts[0], known, 4, mem, &plan, &problems, &err) == 0)
        for (size_t i = 0; i < plan->count; i++)
            for (size_t n = 0; n < plan->jobs[i].known_count; n++)
                assert(plan->jobs[i].known[n] < 4);
    else
        check_problems(problems, text, size);
    talloc_free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *contents[16] = {(const char *)data};
    size_t lens[16] = {size};

    for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
        void *mem = talloc_new(NULL);
        PlanProblems *problems = NULL;
        Plan *plan = NULL;
        Err err = {0};

        if (plan_make(contents, lens, &contexts[i], mem, &plan, &problems, &err) == 0)
            check_plan(plan, &contexts[i]);
        else
            check_problems(problems, contents[0], size);
        talloc_free(mem);
    }
    check_part(contents[0], size);
    return 0;
}
