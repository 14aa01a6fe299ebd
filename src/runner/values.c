/* Values that the planner could not know: files of the workspace, what earlier jobs and steps handed over. */
#include "base/str.h"
#include "runner/process.h"

PlanContext values_context(const JobProcess *j) {
    const JobSpec *s = j->spec;

    return (PlanContext){.project = s->project,
                         .branch = s->branch,
                         .ref = s->ref,
                         .commit = s->commit,
                         .event = s->event,
                         .needs = s->needs,
                         .need_count = s->need_count,
                         .outputs = j->outputs,
                         .output_count = j->output_count,
                         .hash = hash_files,
                         .hash_data = (void *)j};
}

int values_env(const JobProcess *j, const Env *computed, Env *into, Err *err) {
    PlanContext context = values_context(j);

    for (size_t i = 0; i < computed->count; i++) {
        const char *item = computed->items[i], *text = strchr(item, '=') + 1, *value;
        char *name = mem_strndup(into->mem, item, (size_t)(text - item) - 1);
        int r = template_run(text, &context, into->mem, &value, err);

        if (r < 0)
            return err_wrap(err, "%s", name);
        env_set(into, name, value);
    }
    return 0;
}

static int fill_words(const PlanContext *context, const char *const *words, const void *mem,
                      const char *const **ret, Err *err) {
    const char **filled = NULL;
    size_t count = 0;

    for (; words && *words; words++) {
        const char *word;
        int r = template_run(*words, context, mem, &word, err);

        if (r < 0)
            return r;
        mem_append(mem, filled, count, word);
    }
    mem_append(mem, filled, count, NULL);
    *ret = filled;
    return 0;
}

int values_build(const JobProcess *j, const ExecutorBuild *build, const void *mem, const ExecutorBuild **ret,
                 Err *err) {
    PlanContext context = values_context(j);
    ExecutorBuild *filled = mem_new(mem, ExecutorBuild);
    int r;

    *filled = *build;
    r = fill_words(&context, build->tags, mem, &filled->tags, err);
    if (r == 0)
        r = fill_words(&context, build->args, mem, &filled->args, err);
    if (r == 0)
        *ret = filled;
    return r;
}
