/* The body of a request that starts a build. */
#pragma once

#include "cli/cli.h"

#include "base/buf.h"
#include "base/json.h"

typedef struct StartBody {
    const char *ref;            /* NULL: the repository's own branch */
    const char *branch;         /* that a bare commit stands for; NULL: none */
    const char **env, **inputs; /* "K=V", NULL-terminated, or NULL */
    const char **jobs;          /* names, NULL-terminated; NULL or none: all */
} StartBody;

/* `flag` K=V, as members of an object; pairs NULL: of an empty one. ERR_INVALID: some without a name. */
_must_check_ int start_pairs(JsonWriter *w, const char *name, const char *flag, const char **pairs, Err *err);

/* ERR_INVALID: one of these without a name. */
_must_check_ int start_body(const StartBody *start, Buf *body, Err *err);
