/* The environment of a step: exactly what the job says, and our own variables (plan_variables). */
#pragma once

#include <stddef.h>

/* "K=V" texts, NULL-terminated, in mem. */
typedef struct Env {
    const void *mem;
    const char **items;
    size_t count;
} Env;

/* Sets or replaces; a name that is empty or holds '=' is left out. */
void env_set(Env *e, const char *name, const char *value);
void env_unset(Env *e, const char *name);
/* NULL: not there. */
const char *env_get(const Env *e, const char *name);
/* All of `from`, over what is there. */
void env_set_all(Env *e, const Env *from);
/* For exec. */
const char *const *env_list(Env *e);
