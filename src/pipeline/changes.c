#include "pipeline/changes.h"

#include "base/str.h"

static bool fits(const LangPaths *patterns, const char *path) {
    bool fits = false;

    for (size_t i = 0; i < patterns->count; i++)
        fits = str_glob_next(fits, patterns->items[i], path);
    return fits;
}

static bool known(Changes *c) {
    const PlanSource *source = c ? c->context->source : NULL;
    Err err;

    if (!source || !source->changed)
        return false;
    if (!c->asked)
        c->known = source->changed(source->data, c->mem, &c->paths, &c->count, &err) >= 0;
    c->asked = true;
    return c->known;
}

bool changes_fit(Changes *changes, const LangPaths *wanted, const LangPaths *ignored) {
    if (!known(changes))
        return true;
    for (size_t i = 0; i < changes->count; i++)
        if (!fits(ignored, changes->paths[i]) && (wanted->count == 0 || fits(wanted, changes->paths[i])))
            return true;
    return false;
}
