#include "pipeline/on.h"

#include "base/str.h"

static bool name_fits(const LangNodes *patterns, const char *name) {
    bool fits = patterns->count == 0;

    for (size_t i = 0; i < patterns->count; i++)
        fits = str_glob_next(fits, patterns->items[i]->text, name);
    return fits;
}

/* branch: the one that what happened is for. */
static const char *filter_refuses(const PipeFilter *filter, const char *branch, Changes *changes) {
    const PlanContext *context = changes->context;

    branch = branch ? branch : "";
    if (!filter)
        return mem_printf(changes->mem, "it is not for a %s", context->event);
    if (!name_fits(&filter->branches, branch))
        return mem_printf(changes->mem, "it is not for branch %s", branch);
    if (filter->paths.count == 0 && filter->ignore.count == 0)
        return NULL;
    return changes_fit(changes, &filter->paths, &filter->ignore) ? NULL
                                                                 : "no file that it is for has changed";
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

static const char *refuses(const PipeOn *on, Changes *changes) {
    const PlanContext *context = changes->context;

    if (str_eq(context->event, "schedule"))
        return schedule_refuses(on, context, changes->mem);
    if (!on)
        return NULL;
    if (str_eq(context->event, "push"))
        return filter_refuses(on->push, context->branch, changes);
    if (str_eq(context->event, "pull_request"))
        return filter_refuses(on->pull_request, context->target, changes);
    return str_eq(context->event, "tag") ? tag_refuses(on->tag, context, changes->mem) : NULL;
}

bool on_wants(const PipeFile *file, Changes *changes, const char **ret_why) {
    const char *why = refuses(file->on, changes);

    if (why)
        *ret_why = why;
    return why == NULL;
}
