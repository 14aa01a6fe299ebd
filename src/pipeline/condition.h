/* Conditions: the expressions of `if`. Within the room; condition_eval (pipeline.h) is for others. */
#pragma once

#include "pipeline/pipeline.h"

#define CONDITION_MAX 2000 /* bytes */

/* Like condition_eval, but the message has no column: *ret_at is the mistake's byte in text. `context` NULL:
 * only checked, every name is "". Whether a text is right does not depend on the context. */
_must_check_ int condition_run(const char *text, const PlanContext *context, CondStatus status, bool *ret,
                               size_t *ret_at, Err *err);
/* The text of the expression text[at] … text[at + len - 1], in mem; the rest as above. */
_must_check_ int condition_text(const char *text, size_t at, size_t len, const PlanContext *context,
                                const void *mem, const char **ret, size_t *ret_at, Err *err);
/* The expression without the blanks and the ${{ }} around it; *ret_len its length. */
const char *condition_inner(const char *text, size_t *ret_len);

/* What an expression may use: a line each for the reference. */
typedef struct ConditionWord {
    const char *name; /* "branch", "contains(a, b)" */
    const char *help;
} ConditionWord;

extern const ConditionWord condition_operators[], condition_words[]; /* the name NULL at the end */
