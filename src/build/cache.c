#include "build/cache.h"

#include "base/checksum.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "build/pull.h"
#include "git/git.h"
#include <inttypes.h>
#include <sys/stat.h>

#define SCOPES 3

int build_cache_check_key(const char *key, Err *err) {
    size_t len = strlen(key);

    if (len == 0 || len > CACHE_KEY_MAX)
        return err_set(err, ERR_INVALID, "a cache's key has 1 to %d bytes, this one %zu", CACHE_KEY_MAX, len);
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, ERR_INVALID, "a cache's key has no control characters");
    return 0;
}

/* ---- whose caches a job sees ---- */

static void add_scope(const char *scopes[SCOPES + 1], const char *scope) {
    size_t i = 0;

    while (scopes[i] && !str_eq(scopes[i], scope))
        i++;
    scopes[i] = scope;
}

/* Where it keeps its own. What a commit of a fork keeps before anybody has looked at it no other commit
 * reads: the next one may be harmless and be approved, and would run what this one has left, with secrets. */
static const char *own_scope(const Build *build, const void *mem) {
    return build->untrusted ? mem_printf(mem, "%s at %s", build->ref, build->commit) : build->ref;
}

/* Its own first. */
static int scopes_of(Builds *b, const Build *build, const void *mem, const char *scopes[SCOPES + 1],
                     Err *err) {
    const char *head = NULL;
    PullRequest pull;
    Project *project;
    Err ignored;
    int r = store_project_by_id(b->db, build->project_id, mem, &project, err);

    if (r >= 0)
        r = pull_of_build(build, mem, &pull, err);
    if (r < 0)
        return r;
    memset(scopes, 0, (SCOPES + 1) * sizeof(scopes[0]));
    scopes[0] = own_scope(build, mem);
    if (pull.target)
        add_scope(scopes, mem_printf(mem, "refs/heads/%s", pull.target));
    if (git_head(project->path, mem, &head, &ignored) == 0 && head)
        add_scope(scopes, mem_printf(mem, "refs/heads/%s", head));
    return 0;
}

static int job_scopes(Builds *b, const Job *job, const void *mem, Build **ret_build,
                      const char *scopes[SCOPES + 1], Err *err) {
    int r = store_build_load(b->db, job->build_id, mem, ret_build, err);

    return r < 0 ? r : scopes_of(b, *ret_build, mem, scopes, err);
}

/* ---- finding ---- */

static int find_in(Builds *b, int64_t project_id, const char *scope, const CacheWish *wish, const void *mem,
                   CacheHit *hit, Err *err) {
    int r = store_cache_by_key(b->db, project_id, scope, wish->key, mem, &hit->cache, err);

    hit->exact = r == 0;
    for (const char *const *prefix = wish->restore; r == -ERR_NOT_FOUND && *prefix; prefix++)
        r = store_cache_by_prefix(b->db, project_id, scope, *prefix, mem, &hit->cache, err);
    return r;
}

static int note_use(Builds *b, int64_t id, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = store_cache_used(b->db, id, clock_now(), err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    return r;
}

int build_cache_find(Builds *b, const Job *job, const CacheWish *wish, const void *mem, CacheHit *ret,
                     Err *err) {
    const char *scopes[SCOPES + 1];
    CacheHit hit = {0};
    Build *build;
    int r = build_cache_check_key(wish->key, err);

    if (r >= 0)
        r = job_scopes(b, job, mem, &build, scopes, err);
    if (r < 0)
        return r;
    r = -ERR_NOT_FOUND;
    for (size_t i = 0; r == -ERR_NOT_FOUND && scopes[i]; i++) {
        r = find_in(b, build->project_id, scopes[i], wish, mem, &hit, err);
        hit.own = i == 0;
    }
    if (r >= 0)
        r = note_use(b, hit.cache->id, err);
    if (r >= 0)
        *ret = hit;
    return r;
}

static bool among(const char *const *scopes, const char *scope) {
    for (; *scopes; scopes++)
        if (str_eq(*scopes, scope))
            return true;
    return false;
}

/* What a disk has lost: who reads it is to hear of it before the first byte. */
static int check_whole(const Cache *c, int fd, Err *err) {
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, "stat cache %" PRId64, c->id);
    if (st.st_size != c->size)
        return err_set(err, ERR_NOT_FOUND, "cache %" PRId64 " has %lld bytes left of %" PRId64, c->id,
                       (long long)st.st_size, c->size);
    return 0;
}

int build_cache_open(Builds *b, const Job *job, int64_t id, const void *mem, Cache **ret, int *ret_fd,
                     Err *err) {
    _cleanup_close_ int fd = -1;
    const char *scopes[SCOPES + 1];
    Build *build;
    Cache *c;
    int r = job_scopes(b, job, mem, &build, scopes, err);

    if (r >= 0)
        r = store_cache_load(b->db, id, mem, &c, err);
    if (r < 0)
        return r;
    if (c->project_id != build->project_id || !among(scopes, c->scope))
        return err_set(err, ERR_NOT_FOUND, "there is no cache %" PRId64 " for this job", id);
    r = blob_cache_open(b->blob, c->uuid, &fd, err);
    if (r >= 0)
        r = check_whole(c, fd, err);
    if (r < 0)
        return r;
    *ret = c;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- keeping ---- */

typedef struct Removed {
    const void *mem;
    const char **uuids;
    size_t count;
} Removed;

static int drop(Builds *b, const Cache *c, Removed *removed, Err *err) {
    mem_append(removed->mem, removed->uuids, removed->count, c->uuid);
    return store_cache_delete(b->db, c->id, err);
}

static void remove_files(Builds *b, const Removed *removed) {
    for (size_t i = 0; i < removed->count; i++)
        blob_cache_remove(b->blob, removed->uuids[i]);
}

/* Of the project, or of all (0): those that were used longest ago go until the rest is within the limit. The
 * new one is used now, and fits alone. */
static int make_room(Builds *b, int64_t project_id, int64_t limit, Removed *removed, Err *err) {
    int64_t total = 0;
    Cache *oldest;
    int r = store_cache_total(b->db, project_id, &total, err);

    while (r >= 0 && total > limit) {
        r = store_cache_oldest(b->db, project_id, removed->mem, &oldest, err);
        if (r >= 0)
            r = drop(b, oldest, removed, err);
        if (r >= 0)
            total -= oldest->size;
    }
    return r;
}

/* One that is in the way, if it is still the damaged one: another job may have been before us. */
static int drop_damaged(Builds *b, const Cache *c, int64_t damaged, Removed *removed, Err *err) {
    Cache *old;
    int r = store_cache_by_key(b->db, c->project_id, c->scope, c->key, removed->mem, &old, err);

    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    return old->id == damaged ? drop(b, old, removed, err) : 0;
}

static int insert(Builds *b, Cache *c, int64_t replaces, Removed *removed, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = replaces ? drop_damaged(b, c, replaces, removed, err) : 0;
    if (r >= 0)
        r = store_cache_insert(b->db, c, err);
    if (r >= 0)
        r = make_room(b, c->project_id, b->options.cache_project, removed, err);
    if (r >= 0)
        r = make_room(b, 0, b->options.cache_total, removed, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    return r;
}

int build_cache_check_size(Builds *b, const BlobUpload *u, Err *err) {
    int64_t limit = MIN(b->options.cache_project, b->options.cache_total);

    if ((int64_t)blob_upload_size(u) > limit)
        return err_set(err, ERR_TOO_LARGE,
                       "the cache has %" PRIu64 " bytes; at most %" PRId64
                       " (settings cache-project, cache-total)",
                       blob_upload_size(u), limit);
    return 0;
}

static int keep(Builds *b, const Job *job, const CacheOffer *offer, BlobUpload **u, const void *mem, Cache *c,
                Err *err) {
    char *sum = mem_array(mem, char, CHECKSUM_HEX), *uuid = mem_array(mem, char, ID_UUID_SIZE);
    Removed removed = {.mem = mem};
    uint64_t size = 0;
    Build *build;
    int r = store_build_load(b->db, job->build_id, mem, &build, err);

    if (r < 0)
        return r;
    id_uuid(uuid);
    r = blob_cache_finish(TAKE_PTR(*u), uuid, offer->xxh64, sum, &size, err);
    if (r < 0)
        return r;
    *c = (Cache){.project_id = build->project_id,
                 .uuid = uuid,
                 .scope = own_scope(build, mem),
                 .key = offer->key,
                 .size = (int64_t)size,
                 .xxh64 = sum,
                 .created_at = clock_now()};
    r = insert(b, c, offer->replaces, &removed, err);
    if (r < 0)
        blob_cache_remove(b->blob, uuid);
    else
        remove_files(b, &removed);
    return r;
}

int build_cache_keep(Builds *b, Attempt attempt, int64_t runner_id, const CacheOffer *offer, BlobUpload *u,
                     const void *mem, Cache *ret, bool *ret_kept, Err *err) {
    Cache c = {0};
    Job *job;
    int r = build_cache_check_size(b, u, err);

    if (r >= 0)
        r = build_cache_check_key(offer->key, err);
    if (r >= 0) /* the bytes were long on their way */
        r = build_check_attempt(b, attempt, runner_id, mem, &job, err);
    if (r >= 0)
        r = keep(b, job, offer, &u, mem, &c, err);
    if (u)
        blob_upload_abort(u);
    if (r < 0 && r != -ERR_EXISTS)
        return r;
    *ret_kept = r >= 0;
    *ret = c;
    return 0;
}

/* ---- removing ---- */

static int remove_some(Builds *b, int64_t project_id, int64_t id, Removed *removed, Err *err) {
    Cache *all;
    size_t count;
    int r = store_caches(b->db, project_id, removed->mem, &all, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        if (id == 0 || all[i].id == id)
            r = drop(b, &all[i], removed, err);
    if (r >= 0 && id && removed->count == 0)
        r = err_set(err, ERR_NOT_FOUND, "there is no cache %" PRId64, id);
    return r;
}

int build_cache_remove(Builds *b, int64_t project_id, int64_t id, size_t *ret_count, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Removed removed = {.mem = mem};
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = remove_some(b, project_id, id, &removed, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    if (r < 0)
        return r;
    remove_files(b, &removed);
    *ret_count = removed.count;
    return 0;
}

int build_cache_sweep(Builds *b, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char **uuids;
    size_t count;
    Cache *known;
    int r = blob_caches_left(b->blob, mem, &uuids, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        int found = store_cache_by_uuid(b->db, uuids[i], mem, &known, err);

        if (found == -ERR_NOT_FOUND)
            blob_cache_remove(b->blob, uuids[i]);
        else if (found < 0)
            r = found;
    }
    return r;
}
