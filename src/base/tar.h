/* Tar archives (pax), written by libarchive, which is loaded for the first one: processes that make none stay
 * small. */
#pragma once

#include "base/err.h"
#include <stdint.h>
#include <sys/types.h>

typedef struct Tar Tar;

typedef struct TarEntry {
    const char *path; /* relative */
    mode_t mode;      /* with the type: a file, a folder or a link */
    int64_t size;     /* of a file */
    int fd;           /* its content */
    const char *link; /* a link's target */
    int64_t mtime;    /* seconds since 1970 */
} TarEntry;

/* Levels of zstd. Quick: with threads, and not the same bytes each time; a tenth larger than by level 1, in
 * two thirds of its time. */
#define TAR_PLAIN 0
#define TAR_QUICK (-2)
#define TAR_SMALL 3

/* An archive that goes to fd, which stays the caller's; talloc_free it. ERR_UNSUPPORTED: libarchive is not
 * installed. */
_must_check_ int tar_open(const void *mem, int fd, int level, Tar **ret, Err *err);
/* Owner and group are root. ERR_IO, also for a file that became shorter meanwhile. */
_must_check_ int tar_add(Tar *t, const TarEntry *entry, Err *err);
/* Its end; without it what is there is cut off. */
_must_check_ int tar_finish(Tar *t, Err *err);
