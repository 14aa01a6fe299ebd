#include "pipeline/on.h"

#include "base/str.h"

static bool name_fits(const LangNodes *patterns, const char *name) {
    for (size_t i = 0; i < patterns->count; i++)
        if (str_glob(patterns->items[i]->text, name))
            return true;
    return patterns->count == 0;
}

static bool path_fits(const LangPaths *patterns, const char *path) {
    for (size_t i = 0; i < patterns->count; i++)
        if (str_glob(patterns->items[i], path))
            return true;
    return false;
}

/* What is not known is taken for changed: better one build too many. */
static bool paths_want(const PipeFilter *filter, const PlanContext *context, const void *mem) {
    const PlanSource *source = context->source;
    const char **changed;
    size_t count;
    Err err;

    if (filter->paths.count == 0 && filter->ignore.count == 0)
        return true;
    if (!source || !source->changed || source->changed(source->data, mem, &changed, &count, &err) < 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (!path_fits(&filter->ignore, changed[i]) &&
            (filter->paths.count == 0 || path_fits(&filter->paths, changed[i])))
            return true;
    return false;
}

static const char *filter_refuses(const PipeFilter *filter, const PlanContext *context, const void *mem) {
    const char *branch = context->branch ? context->branch : "";

    if (!filter)
        return mem_printf(mem, "it is not for a %s", context->event);
    if (!name_fits(&filter->branches, branch))
        return mem_printf(mem, "it is not for branch %s", branch);
    return paths_want(filter, context, mem) ? NULL : "no file that it is for has changed";
}

static const char *tag_refuses(const PipeTags *tags, const PlanContext *context, const void *mem) {
    const char *tag = context->ref ? str_after(context->ref, "refs/tags/") : NULL;

    if (!tags)
        return "it is not for a tag";
    return name_fits(&tags->names, tag ? tag : "") ? NULL : mem_printf(mem, "it is not for tag %s", tag);
}

/* Which one it is may not be known: any, then. */
static const char *schedule_refuses(const PipeOn *on, const PlanContext *context, const void *mem) {
    const PipeSchedule *times = on ? on->schedule.items : NULL;
    size_t count = on ? on->schedule.count : 0;

    if (count == 0)
        return "it has no schedule";
    for (size_t i = 0; i < count; i++)
        if (str_empty(context->schedule) || str_eq(times[i].name->text, context->schedule))
            return NULL;
    return mem_printf(mem, "it has no schedule %s", context->schedule);
}

static const char *refuses(const PipeOn *on, const PlanContext *context, const void *mem) {
    if (str_eq(context->event, "schedule"))
        return schedule_refuses(on, context, mem);
    if (!on)
        return NULL;
    if (str_eq(context->event, "push"))
        return filter_refuses(on->push, context, mem);
    if (str_eq(context->event, "pull_request"))
        return filter_refuses(on->pull_request, context, mem);
    return str_eq(context->event, "tag") ? tag_refuses(on->tag, context, mem) : NULL;
}

bool on_wants(const PipeFile *file, const PlanContext *context, const void *mem, const char **ret_why) {
    const char *why = refuses(file->on, context, mem);

    if (why)
        *ret_why = why;
    return why == NULL;
}
