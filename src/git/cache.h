/* The newest commits read, in memory: what a commit holds never changes. Any thread. */
#pragma once

#include "git/git.h"
#include "git/internal.h"

#define GIT_CACHE_BYTES ((size_t)2 << 20)
#define GIT_CACHE_COMMITS 512

/* Whether the commit is there with all of these files, each of at most max bytes; copies in mem. */
bool git_cache_get(const char *repo, const char *commit, const char *const *paths, size_t count, size_t max,
                   const void *mem, GitCommit **ret_commit, GitFile **ret_files);
/* Keeps copies. What is larger than an eighth of the cache is not kept. */
void git_cache_put(const char *repo, const GitCommit *commit, const GitFile *files, size_t count);
bool git_cache_has(const char *repo, const char *commit);
/* Which commit an object (of a tag) stands for, which is so in every repository that has it. */
bool git_peeled_get(const char *object, GitHash commit);
void git_peeled_put(const char *object, const char *commit);
/* A copy in mem with a zero behind it. */
char *git_copy_bytes(const void *mem, const char *bytes, size_t len);
/* For tests: what is kept, in bytes. */
size_t git_cache_size(void);
