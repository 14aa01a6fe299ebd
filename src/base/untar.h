/* Tar archives (pax, perhaps compressed with zstd) that strangers wrote, unpacked by libarchive, which is
 * loaded for it: by a process of its own that has no more rights than what is in them may use. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct UntarOptions {
    const char *what; /* "release": for the messages */
    int64_t bytes_max, entries_max;
    uint64_t keep_free; /* bytes of the disk that are left to others; 0: none */
    /* Whether a symbolic link may lead there; NULL: anywhere, none is followed here. */
    bool (*link_ok)(const char *path, const char *target);
    bool replace; /* what stands in the way is removed first */
} UntarOptions;

/* Into the current folder: files, folders and links, with their modes (and write permission) and times. No
 * path leaves it, and nothing is written through a link. ERR_INVALID, ERR_TOO_LARGE, ERR_NO_SPACE, ERR_IO,
 * ERR_UNSUPPORTED.
 */
_must_check_ int untar(int fd, const UntarOptions *options, Err *err);
/* Whether a relative path has a segment "..". */
bool untar_has_parent(const char *path);
