/* What the files of this room share. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

#define GIT_HASH_SIZE 41 /* of a name as text, with its zero */

typedef char GitHash[GIT_HASH_SIZE];

/* A ref as it is stored: the object it names may be a tag. */
typedef struct GitRawRef {
    const char *name;
    GitHash hash;
    bool packed; /* from packed-refs: a loose one of the same name is newer */
} GitRawRef;

/* All of refs/heads/ and refs/tags/, with `pulls` also the heads in refs/pull/, sorted by name, from the
 * repository's files. */
_must_check_ int git_refs_raw(const char *repo, bool pulls, const void *mem, GitRawRef **ret,
                              size_t *ret_count, Err *err);
/* All files and folders of a repository that was just made survive a power loss, but not its name. */
_must_check_ int git_sync_new(const char *repo, Err *err);
/* The hook's text. */
void git_hook_text(const char *pelton, const char *state_dir, Buf *out);
