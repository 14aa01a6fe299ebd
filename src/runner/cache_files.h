/* A cache's archive, made and unpacked in the workspace with the rights of the job's user: the folders belong
 * to strangers. Both are for child_run. */
#pragma once

#include "runner/process.h"

typedef struct CacheFiles {
    const JobProcess *j;
    const char *what;         /* to unpack: "cache", for the messages */
    const char *const *paths; /* to pack: globs, NULL-terminated */
    int fd;                   /* of the archive; of a pipe when it is packed */
    int others;               /* to pack: the pipe's other end, which is not ours */
} CacheFiles;

/* arg: CacheFiles. ERR_NOT_FOUND: nothing in the workspace matches. */
_must_check_ int cache_pack(void *arg, int out, Err *err);
_must_check_ int cache_unpack(void *arg, int out, Err *err);
