/* The files of a workspace, sorted by path, without following a link; nothing of git's. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define WALK_FILES_MAX 1000000

typedef struct WalkFile {
    const char *path; /* relative */
    mode_t mode;      /* with the type; folders are not listed */
    int64_t size, mtime;
} WalkFile;

typedef struct Walk {
    WalkFile *files;
    size_t count;
} Walk;

/* In mem. ERR_TOO_LARGE: more than WALK_FILES_MAX files. */
_must_check_ int walk_tree(const char *root, const void *mem, Walk *ret, Err *err);
/* Whether the path, or a folder on its way, matches the globs (str_glob; a leading "./" and a trailing "/" of
 * a glob do not count). The last that matches decides, and one behind a '!' says no. */
bool walk_match(const char *const *globs, const char *path);
/* Document 0's rule: every file but .git, Makefile, *.c and *.h. */
bool walk_match_build_server(const char *path);
/* Whether a link at `path` with this target stays within the tree. */
bool walk_link_inside(const char *path, const char *target);
