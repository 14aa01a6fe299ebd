/* The files that an event has changed, for `on` and for changed(). Within the room. */
#pragma once

#include "pipeline/lang.h"

/* Zeroed but for the first two. */
typedef struct Changes {
    const PlanContext *context;
    const void *mem;
    bool asked, known; /* the context's source is asked once at most */
    const char **paths;
    size_t count;
} Changes;

/* Whether a file has changed that fits one of `wanted` (empty: any) and none of `ignored`. What is not known
 * is taken for changed: better one build too many. changes NULL: nothing is known. */
bool changes_fit(Changes *changes, const LangPaths *wanted, const LangPaths *ignored);
