/* Text with ${{ expression }} in it. Within the room. */
#pragma once

#include "pipeline/pipeline.h"

/* The text with the expressions' values in their places, in mem. context NULL: only checked. ERR_INVALID with
 * *ret_at the mistake's byte in text. */
_must_check_ int template_fill(const char *text, const PlanContext *context, const void *mem,
                               const char **ret, size_t *ret_at, Err *err);
