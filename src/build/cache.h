/* Caches: what a job keeps for later jobs of its project. Each belongs to the ref that it was made on: a job
 * reads its own ref's, then those of the branch that a pull request is for, then the default branch's, and
 * writes its own only, so that nobody can leave something for a branch that he may not push to. A build from
 * a fork has those of its commit for its own, until it is approved. They are limited in size, and the one
 * that was used longest ago goes first. Thread-safe. */
#pragma once

#include "build/build.h"

#define CACHE_KEY_MAX 512 /* bytes */
#define CACHE_RESTORE_MAX 16

typedef struct CacheWish {
    const char *key;
    const char *const *restore; /* prefixes of keys that do as well, best first; NULL-terminated */
} CacheWish;

typedef struct CacheOffer {
    const char *key;
    const char *xxh64; /* hex, of the bytes; NULL: not told */
    int64_t replaces;  /* the cache of this key that the job has found damaged; 0: none */
} CacheOffer;

typedef struct CacheHit {
    Cache *cache;
    bool exact; /* the very key */
    bool own;   /* of the job's own ref */
} CacheHit;

/* ERR_INVALID: empty, too long, or with control characters. */
_must_check_ int build_cache_check_key(const char *key, Err *err);
/* The best for the job, which counts as used now; in mem. ERR_NOT_FOUND: none. */
_must_check_ int build_cache_find(Builds *b, const Job *job, const CacheWish *wish, const void *mem,
                                  CacheHit *ret, Err *err);
/* Opens one that the job may read; the caller closes. In mem. ERR_NOT_FOUND: also when its bytes are not
 * there, or not all of them. */
_must_check_ int build_cache_open(Builds *b, const Job *job, int64_t id, const void *mem, Cache **ret,
                                  int *ret_fd, Err *err);
/* ERR_TOO_LARGE as soon as what has come is more than may be kept. */
_must_check_ int build_cache_check_size(Builds *b, const BlobUpload *u, Err *err);
/* Keeps what was uploaded (u is ended in any case) as the attempt's; *ret_kept false: there is one with this
 * key already, not the one that it replaces, and it stays. The checksum is checked. ERR_CONFLICT: the attempt
 * is stale. In mem. */
_must_check_ int build_cache_keep(Builds *b, Attempt attempt, int64_t runner_id, const CacheOffer *offer,
                                  BlobUpload *u, const void *mem, Cache *ret, bool *ret_kept, Err *err);
/* id 0: all of the project's; gives their number. ERR_NOT_FOUND: not one of the project's. */
_must_check_ int build_cache_remove(Builds *b, int64_t project_id, int64_t id, size_t *ret_count, Err *err);
/* When the server starts: files that no row knows of. */
_must_check_ int build_cache_sweep(Builds *b, Err *err);
