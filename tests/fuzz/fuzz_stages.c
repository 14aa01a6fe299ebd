/* A file of the stages dialect: whatever comes in, a sound plan, or problems. */
#include "base/json.h"
#include "fuzz.h"
#include "pipeline/pipeline.h"

#include <assert.h>
#include <string.h>

static const PlanContext contexts[] = {
    {.project = "hello",
     .branch = "main",
     .ref = "refs/heads/main",
     .commit = "0123456789abcdef",
     .event = "push"},
    {.project = "p",
     .branch = "",
     .ref = "",
     .commit = "",
     .event = "manual",
     .env = "{\"A\":\"'\"}",
     .bare = true},
};

static void check_plan(const Plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        json_t *spec = NULL;
        bool result;
        Err err;

        assert(json_read(job->spec, strlen(job->spec), &spec, &err) == 0);
        json_decref(spec);
        for (size_t n = 0; n < job->need_count; n++)
            assert(job->needs[n] < i);
        assert(condition_eval(job->condition, &contexts[0], COND_FAILURE, &result, &err) == 0);
        for (size_t k = 0; k < i && plan->count < 100; k++)
            assert(strcmp(plan->jobs[k].name, job->name) != 0);
    }
    for (size_t i = 0; i < plan->notice_count; i++)
        assert(plan->notices[i].kind && plan->notices[i].config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
        void *mem = talloc_new(NULL);
        PlanProblems *problems = NULL;
        StagesInfo *info = NULL;
        Plan *plan = NULL;
        Err err = {0};
        int r = stages_plan((const char *)data, size, &contexts[i], mem, &plan, &info, &problems, &err);

        if (r == 0)
            check_plan(plan);
        else
            assert((r == -ERR_INVALID || r == -ERR_UNSUPPORTED) && problems && problems->count > 0);
        talloc_free(mem);
    }
    return 0;
}
