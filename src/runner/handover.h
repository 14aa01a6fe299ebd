/* What the steps of a job hand over: values in $PELTON_OUTPUT, a part of a pipeline in $PELTON_PIPELINE,
 * files of a folder beside the workspace. */
#pragma once

#include "base/err.h"
#include "pipeline/pipeline.h"

#define HANDOVER_OUTPUT "output"
#define HANDOVER_PIPELINE "pipeline"
#define HANDOVER_MAX_OUTPUTS 100                        /* of one job */
#define HANDOVER_MAX_VALUE ((size_t)64 * 1024)          /* bytes of one */
#define HANDOVER_MAX_BYTES ((size_t)256 * 1024)         /* of all */
#define HANDOVER_MAX_PIPELINE ((size_t)1 * 1024 * 1024) /* what the reader of pipelines takes */

/* The lines of $PELTON_OUTPUT: NAME=VALUE, or NAME<<WORD and lines up to one that is WORD. Adds to *outputs
 * (in mem), over those of the same name. ERR_INVALID: "line 3: …". */
_must_check_ int handover_parse(const char *text, size_t len, const void *mem, PlanOutput **outputs,
                                size_t *count, Err *err);
