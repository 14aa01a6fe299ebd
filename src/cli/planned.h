/* A pipeline file here, planned without a server: for `lint` and `plan`. */
#pragma once

#include "base/json.h"
#include "cli/call.h"
#include "pipeline/pipeline.h"

/* What a planner would see of a commit. */
typedef struct Files {
    const char **contents;
    size_t *lens;
    size_t first; /* the first one that is there */
} Files;

typedef struct Planned {
    Plan *plan;             /* NULL: there are mistakes */
    PlanProblems *problems; /* NULL: there are none */
    const char *file;       /* as it may be shown */
    Files files;
} Planned;

/* path NULL: what a server would look for here; "-": the standard input. context: without its source, which
 * is the working directory; of event "schedule" without a schedule: of the file's first one, which it then
 * has.
 */
_must_check_ int planned_read(Cli *cli, const char *path, PlanContext *context, Planned *ret, Err *err);
/* The mistakes, each with its line. */
void planned_problems(const Cli *cli, const Planned *p, Buf *out);
/* When builds start by themselves, and the next time of each. */
void planned_schedules(const Cli *cli, const Plan *plan, Buf *out);
void planned_schedules_json(JsonWriter *w, const Plan *plan);
