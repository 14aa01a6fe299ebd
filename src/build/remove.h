/* Deleting a repository. Its builds stay, with their logs and artifacts, under a name that says so; the
 * repository, its secrets, caches and schedules go, and what is live is taken off. The name is free in the
 * transaction that does it. The folder is moved aside within that transaction, and removed when what it did
 * is on the disk: whatever dies in between, the next server puts the folder back (the transaction has not
 * been) or removes it. */
#pragma once

#include "build/build.h"

typedef struct RepoRemoval {
    const Project *project;
    const char *by;
    bool force;      /* cancels what has not ended and waits for it, takes off what is live */
    int64_t wait_us; /* at most so long */
} RepoRemoval;

/* Blocks. *ret_name: what its builds are listed under from now on; in mem. ERR_CONFLICT: something of it has
 * not ended, or is live; the message says what, and what to do. What was live has been taken off when it
 * returns, unless that takes longer than wait_us. */
_must_check_ int build_repo_remove(Builds *b, const RepoRemoval *removal, const void *mem,
                                   const char **ret_name, Err *err);

/* For who deploys, woken by BUS_DEPLOY: deleted projects whose host name (slug) may still have something
 * live; and that one of them has nothing any more, so that the name may be another's. */
_must_check_ int build_repos_leaving(Builds *b, const void *mem, Project **ret, size_t *ret_count, Err *err);
_must_check_ int build_repo_left(Builds *b, int64_t project_id, Err *err);

/* When the server starts, before anybody looks for a repository: folders that were moved aside by a
 * transaction that has not been are put back. */
_must_check_ int build_repos_put_back(Builds *b, const char *folder, Err *err);
/* Later, for it takes its time: the others are removed. */
_must_check_ int build_repos_sweep(Builds *b, const char *folder, Err *err);
