/* How a runner on another machine comes to a token of its own. */
#pragma once

#include "base/err.h"

typedef struct Enrolment {
    const char *server; /* URL */
    const char *token;  /* a registration token (or an administrator's), or the runner's own; NULL: DIR/token
                           must be there */
    const char *dir, *name;
    const char *const *executors; /* NULL-terminated */
    const char *version;
    int64_t slots;
} Enrolment;

/* DIR/token (0600) holds the runner's own token from the first time on; later the given one is not looked at.
 * *ret_file: its path, in mem. ERR_FORBIDDEN for a token of another role. */
_must_check_ int runner_enrol(const Enrolment *e, const void *mem, const char **ret_file, Err *err);
