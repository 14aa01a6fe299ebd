#include "executor/env.h"

#include "base/mem.h"
#include <string.h>

const EnvVariable env_variables[] = {
    {"CI", "always \"true\""},
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

static size_t find(const Env *e, const char *name, size_t len) {
    size_t i = 0;

    while (i < e->count && !(strncmp(e->items[i], name, len) == 0 && e->items[i][len] == '='))
        i++;
    return i;
}

static void put(Env *e, const char *item, size_t name_len) {
    size_t at = find(e, item, name_len);

    if (at < e->count)
        e->items[at] = item;
    else
        mem_append(e->mem, e->items, e->count, item);
}

void env_set(Env *e, const char *name, const char *value) {
    if (*name && !strchr(name, '='))
        put(e, mem_printf(e->mem, "%s=%s", name, value), strlen(name));
}

void env_unset(Env *e, const char *name) {
    size_t at = find(e, name, strlen(name));

    if (at < e->count)
        memmove(&e->items[at], &e->items[at + 1], (--e->count - at) * sizeof(*e->items));
}

const char *env_get(const Env *e, const char *name) {
    size_t len = strlen(name), at = find(e, name, len);

    return at < e->count ? e->items[at] + len + 1 : NULL;
}

void env_set_all(Env *e, const Env *from) {
    for (size_t i = 0; i < from->count; i++)
        put(e, from->items[i], strcspn(from->items[i], "="));
}

const char *const *env_list(Env *e) {
    e->items = mem_grow(e->mem, e->items, sizeof(*e->items), e->count, "Env");
    e->items[e->count] = NULL;
    return e->items;
}
