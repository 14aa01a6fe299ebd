/* The context of an image's build: a folder as a tar. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Packs the folder beneath root into an unnamed file in `scratch`, less what its .dockerignore (or the one
 * beside `file`) names, .git and what is neither file, folder nor link. *ret_fd is at its start; the caller
 * closes it. ERR_INVALID: there is no such folder, or no `file` in it. */
_must_check_ int context_pack(const char *root, const char *folder, const char *file, const char *scratch,
                              int *ret_fd, int64_t *ret_size, Err *err);

/* The lines of a .dockerignore. */
typedef struct IgnoreRule {
    const char *pattern; /* without slashes around it */
    bool except;         /* "!pattern" */
} IgnoreRule;

typedef struct Ignore {
    IgnoreRule *rules;
    size_t count;
} Ignore;

/* In mem. */
void ignore_read(const char *text, const void *mem, Ignore *ret);
/* Whether the last rule that fits the path, or a folder on its way, says so. */
bool ignore_match(const Ignore *ignore, const char *path);
