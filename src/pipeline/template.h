/* Text with ${{ expression }} in it. Within the room; template_run (pipeline.h) is for others. */
#pragma once

#include "pipeline/expr.h"
#include <string.h>

typedef struct Template {
    const char *text; /* the values are in their places; where the scope knows of what comes late, that is
                       * still to come, and a "${{" is left only for that: see template_is */
    bool whole;       /* it was one expression and nothing else, whose value has a kind */
    ValueKind kind;   /* of a whole one */
} Template;

/* Whether the text has ${{ }} in it: as it is written, or, filled in, for who fills the rest in later. */
static inline bool template_is(const char *text) {
    return strstr(text, "${{") != NULL;
}

/* In mem. ERR_INVALID with *ret_at the mistake's byte in text. */
_must_check_ int template_fill(const char *text, const ExprScope *scope, const void *mem, Template *ret,
                               size_t *ret_at, Err *err);

/* A variable of a script: what stood in its place. */
typedef struct ScriptValue {
    const char *name, *text;
} ScriptValue;

typedef struct Script {
    const char *text; /* with references to the variables */
    ScriptValue *values;
    size_t count;
} Script;

/* A shell script; texts of values as in Template. No value becomes part of its text: each ${{ }} becomes a
 * reference to a variable of the environment, PELTON_VALUE_1 and so on. Where the shell would not expand it
 * (single quotes) it is refused.
 */
_must_check_ int template_script(const char *text, const ExprScope *scope, const void *mem, Script *ret,
                                 size_t *ret_at, Err *err);
