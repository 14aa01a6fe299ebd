#include "git/cache.h"

#include "base/str.h"
#include <pthread.h>
#include <sys/queue.h>

#define ENTRY_MAX (GIT_CACHE_BYTES / 8)

typedef struct Entry {
    TAILQ_ENTRY(Entry) link;
    const char *repo;
    GitCommit *commit;
    GitFile *files;
    size_t count, bytes;
} Entry;

/* The newest used is the first. A few hundred are compared faster than they would be hashed and looked after.
 */
static TAILQ_HEAD(Entries, Entry) entries = TAILQ_HEAD_INITIALIZER(entries);
static size_t entry_count, total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

char *git_copy_bytes(const void *mem, const char *bytes, size_t len) {
    char *copy = mem_array(mem, char, len + 1);

    memcpy(copy, bytes, len);
    return copy;
}

static GitCommit *copy_commit(const void *mem, const GitCommit *from) {
    GitCommit *to = mem_new(mem, GitCommit);

    *to = (GitCommit){
        .hash = mem_strdup(to, from->hash),
        .author = mem_strdup(to, from->author),
        .email = mem_strdup(to, from->email),
        .subject = mem_strdup(to, from->subject),
        .message = mem_strdup(to, from->message),
    };
    return to;
}

static GitFile copy_file(const void *mem, const GitFile *from) {
    return (GitFile){
        .path = mem_strdup(mem, from->path),
        .content = from->content ? git_copy_bytes(mem, from->content, from->len) : NULL,
        .len = from->len,
    };
}

static const GitFile *find_file(const Entry *entry, const char *path) {
    for (size_t i = 0; i < entry->count; i++)
        if (str_eq(entry->files[i].path, path))
            return &entry->files[i];
    return NULL;
}

static Entry *find(const char *repo, const char *commit) {
    Entry *entry;

    TAILQ_FOREACH(entry, &entries, link) {
        if (str_eq(entry->commit->hash, commit) && str_eq(entry->repo, repo))
            return entry;
    }
    return NULL;
}

static void drop(Entry *entry) {
    TAILQ_REMOVE(&entries, entry, link);
    entry_count--;
    total -= entry->bytes;
    talloc_free(entry);
}

static GitFile *copy_files(const Entry *entry, const char *const *paths, size_t count, size_t max,
                           const void *mem) {
    GitFile *files;

    for (size_t i = 0; i < count; i++) {
        const GitFile *file = find_file(entry, paths[i]);

        if (!file || file->len > max)
            return NULL;
    }
    files = mem_array(mem, GitFile, count);
    for (size_t i = 0; i < count; i++)
        files[i] = copy_file(mem, find_file(entry, paths[i]));
    return files;
}

bool git_cache_get(const char *repo, const char *commit, const char *const *paths, size_t count, size_t max,
                   const void *mem, GitCommit **ret_commit, GitFile **ret_files) {
    GitFile *files = NULL;
    Entry *entry;

    pthread_mutex_lock(&lock);
    entry = find(repo, commit);
    if (entry)
        files = copy_files(entry, paths, count, max, mem);
    if (files) {
        *ret_commit = copy_commit(mem, entry->commit);
        *ret_files = files;
        TAILQ_REMOVE(&entries, entry, link);
        TAILQ_INSERT_HEAD(&entries, entry, link);
    }
    pthread_mutex_unlock(&lock);
    return files != NULL;
}

/* An entry of what was read and of what the old one has besides. */
static Entry *make_entry(const char *repo, const GitCommit *commit, const GitFile *files, size_t count,
                         const Entry *old) {
    Entry *entry = mem_new(NULL, Entry);

    entry->repo = mem_strdup(entry, repo);
    entry->commit = copy_commit(entry, commit);
    for (size_t i = 0; i < count; i++)
        mem_append(entry, entry->files, entry->count, copy_file(entry, &files[i]));
    for (size_t i = 0; old && i < old->count; i++)
        if (!find_file(entry, old->files[i].path))
            mem_append(entry, entry->files, entry->count, copy_file(entry, &old->files[i]));
    entry->bytes = talloc_total_size(entry) + talloc_total_blocks(entry) * 96; /* talloc's own, about */
    return entry;
}

void git_cache_put(const char *repo, const GitCommit *commit, const GitFile *files, size_t count) {
    Entry *old, *entry;

    pthread_mutex_lock(&lock);
    old = find(repo, commit->hash);
    entry = make_entry(repo, commit, files, count, old);
    if (entry->bytes > ENTRY_MAX) {
        talloc_free(entry);
    } else {
        if (old)
            drop(old);
        TAILQ_INSERT_HEAD(&entries, entry, link);
        entry_count++;
        total += entry->bytes;
    }
    while (total > GIT_CACHE_BYTES || entry_count > GIT_CACHE_COMMITS)
        drop(TAILQ_LAST(&entries, Entries));
    pthread_mutex_unlock(&lock);
}

bool git_cache_has(const char *repo, const char *commit) {
    bool there;

    pthread_mutex_lock(&lock);
    there = find(repo, commit) != NULL;
    pthread_mutex_unlock(&lock);
    return there;
}

/* ---- tags ---- */

#define PEELED 1024

static struct { GitHash object, commit; } peeled[PEELED];

/* Its own digits are as good as any hash of them. */
static size_t place_of(const char *object) {
    size_t place = 0;

    for (size_t i = 0; i < 8; i++)
        place = place * 16 + (size_t)(object[i] <= '9' ? object[i] - '0' : object[i] - 'a' + 10);
    return place % PEELED;
}

bool git_peeled_get(const char *object, GitHash commit) {
    size_t place = place_of(object);
    bool there;

    pthread_mutex_lock(&lock);
    there = str_eq(peeled[place].object, object);
    if (there)
        memcpy(commit, peeled[place].commit, sizeof(GitHash));
    pthread_mutex_unlock(&lock);
    return there;
}

void git_peeled_put(const char *object, const char *commit) {
    size_t place = place_of(object);

    pthread_mutex_lock(&lock);
    memcpy(peeled[place].object, object, sizeof(GitHash));
    memcpy(peeled[place].commit, commit, sizeof(GitHash));
    pthread_mutex_unlock(&lock);
}

void git_forget(const char *repo) {
    Entry *entry, *next;

    pthread_mutex_lock(&lock);
    for (entry = TAILQ_FIRST(&entries); entry; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (str_eq(entry->repo, repo))
            drop(entry);
    }
    pthread_mutex_unlock(&lock);
}

size_t git_cache_size(void) {
    size_t bytes;

    pthread_mutex_lock(&lock);
    bytes = total;
    pthread_mutex_unlock(&lock);
    return bytes;
}
