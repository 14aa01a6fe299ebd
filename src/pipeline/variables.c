#include "pipeline/pipeline.h"

#include "base/str.h"

const PlanVariable plan_variables[] = {
    {"CI", "\"true\""},
    {"PELTON", "always \"true\""},
    {"PELTON_BUILD", "the build's number"},
    {"PELTON_BUILD_URL", "where the build can be watched"},
    {"PELTON_JOB", "the job's number"},
    {"PELTON_JOB_NAME", "the job's name in the pipeline"},
    {"PELTON_ATTEMPT", "1, and one more each time the job runs again: its `retry`, or its runner was lost"},
    {"PELTON_PROJECT", "the project's name"},
    {"PELTON_COMMIT", "the commit's full hash"},
    {"PELTON_REF", "the full ref: refs/heads/main, refs/tags/v1"},
    {"PELTON_BRANCH", "the branch; empty for a tag"},
    {"PELTON_TAG", "the tag; empty for a branch"},
    {"PELTON_PULL_REQUEST", "the pull request's number; empty for what is none"},
    {"PELTON_TARGET_BRANCH", "the branch that the pull request is for; empty for what is none"},
    {"PELTON_EVENT", "what started the build: push, tag, manual, pull_request, schedule"},
    {"PELTON_SCHEDULE", "which schedule started it, by its name; empty for other events"},
    {"PELTON_WORKSPACE", "the folder of the checkout, where steps start"},
    {"PELTON_OUTPUT", "a file for what the step hands over: lines `NAME=VALUE`"},
    {"PELTON_PIPELINE", "a file for jobs that the build shall have as well"},
    {"PATH", "the system's program folders"},
    {"HOME", "in the sandbox a folder of its own, gone after each step; in the shell executor the runner's"},
    {"LANG", "C.UTF-8"},
    {NULL, NULL},
};

bool plan_sets_variable(const char *name) {
    for (const PlanVariable *v = plan_variables; v->name; v++)
        if (str_eq(v->name, name))
            return str_after(name, "PELTON") != NULL;
    return false;
}
