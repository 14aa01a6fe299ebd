/* The room that is kept free on a disk. What grows is refused while less is left, so that what must be
 * written (how things end) still can be. Asked of the kernel each time, which takes a microsecond: there is
 * no state, and room that comes back is seen at once. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Disk {
    const char *whose;   /* "the server's disk" */
    const char *path;    /* a folder on it; NULL: there is always room */
    uint64_t keep_bytes; /* free; on a small disk a tenth of it at most */
} Disk;

/* Any thread. A disk that cannot be asked is not low. */
bool disk_is_low(const Disk *d);
/* "the server's disk is nearly full: 12.3 MiB free in /srv/pelton, 256 MiB are kept free", in mem; NULL:
 * there is room. */
const char *disk_reason(const Disk *d, const void *mem);
/* Bytes that may be added until it is low; UINT64_MAX: nobody knows. */
uint64_t disk_room(const Disk *d);
/* Whether what has just failed may well have failed for it: nothing is left but crumbs. */
bool disk_is_full(const Disk *d);
/* ERR_NO_SPACE with the reason. */
_must_check_ int disk_check(const Disk *d, Err *err);
