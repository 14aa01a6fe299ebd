/* The open logs: each one once, so that its lock orders the appends; those that nobody uses now are kept, the
 * latest used up to a number. */
#include "base/file.h"
#include "blob/inside.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>

void log_name(char out[LOG_NAME_MAX], int64_t job, int64_t attempt, const char *suffix) {
    snprintf(out, LOG_NAME_MAX, "%lld/%lld-%lld.%s", (long long)(job / 1000), (long long)job,
             (long long)attempt, suffix);
}

void log_table_init(LogTable *t) {
    pthread_mutex_init(&t->lock, NULL);
}

static Log **chain_of(LogTable *t, int64_t job, int64_t attempt) {
    uint64_t hash = ((uint64_t)job * 31 + (uint64_t)attempt) * UINT64_C(0x9e3779b97f4a7c15);

    return &t->buckets[hash >> 32 & (LOG_BUCKETS - 1)];
}

static void unused_remove(LogTable *t, Log *log) {
    *(log->older ? &log->older->newer : &t->oldest) = log->newer;
    *(log->newer ? &log->newer->older : &t->newest) = log->older;
    log->older = log->newer = NULL;
}

static void unused_add(LogTable *t, Log *log) {
    log->older = t->newest;
    log->newer = NULL;
    *(t->newest ? &t->newest->newer : &t->oldest) = log;
    t->newest = log;
}

/* Of a log that nobody uses and that is in the list of the unused no more. */
static void log_close(LogTable *t, Log *log) {
    Log **at = chain_of(t, log->job, log->attempt);
    int fd = atomic_load(&log->fd);

    while (*at != log)
        at = &(*at)->chain;
    *at = log->chain;
    t->open--;
    log_index_close(&log->index);
    if (fd >= 0)
        close(fd);
    pthread_mutex_destroy(&log->lock);
    talloc_free(log);
}

static void close_oldest(LogTable *t) {
    while (t->open > LOGS_OPEN_MAX && t->oldest) {
        Log *log = t->oldest;

        unused_remove(t, log);
        log_close(t, log);
    }
}

void log_table_done(LogTable *t) {
    while (t->oldest) {
        Log *log = t->oldest;

        unused_remove(t, log);
        log_close(t, log);
    }
    assert(t->open == 0);
    pthread_mutex_destroy(&t->lock);
}

static Log *log_new(Blob *b, int64_t job, int64_t attempt) {
    Log *log = mem_new(NULL, Log);

    log->blob = b;
    log->job = job;
    log->attempt = attempt;
    log->index.fd = -1;
    atomic_init(&log->fd, -1);
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

/* With the table's lock. */
static Log *find_used(LogTable *t, int64_t job, int64_t attempt) {
    Log *log = *chain_of(t, job, attempt);

    while (log && (log->job != job || log->attempt != attempt))
        log = log->chain;
    if (log && log->refs++ == 0)
        unused_remove(t, log);
    return log;
}

Log *log_peek(Blob *b, int64_t job, int64_t attempt) {
    LogTable *t = &b->table;
    Log *log;

    pthread_mutex_lock(&t->lock);
    log = find_used(t, job, attempt);
    pthread_mutex_unlock(&t->lock);
    if (log && atomic_load(&log->fd) < 0) {
        log_put(log);
        return NULL;
    }
    return log;
}

static int open_file(Log *log, bool create, Err *err) {
    int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | (create ? O_CREAT : 0);
    char name[LOG_NAME_MAX];
    struct stat st;
    int fd, r;

    log_name(name, log->job, log->attempt, "log");
    r = file_open_beneath(log->blob->logs, name, flags, 0644, &fd, err);
    if (r == -ERR_NOT_FOUND && create) { /* the first of a thousand */
        r = file_mkdirs_beneath(log->blob->logs, name, err);
        if (r == 0)
            r = blob_sync_folder(log->blob, log->blob->logs, err);
        if (r == 0)
            r = file_open_beneath(log->blob->logs, name, flags, 0644, &fd, err);
    }
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_IO, "%s is not a file", name);
    }
    atomic_store(&log->size, (uint64_t)st.st_size);
    atomic_store(&log->fd, fd);
    return 0;
}

int log_open(Log *log, bool create, Err *err) {
    return atomic_load(&log->fd) >= 0 ? 0 : open_file(log, create, err);
}

Log *log_hold(Blob *b, int64_t job, int64_t attempt) {
    LogTable *t = &b->table;
    Log *log;

    pthread_mutex_lock(&t->lock);
    log = find_used(t, job, attempt);
    if (!log) {
        Log **chain = chain_of(t, job, attempt);

        log = log_new(b, job, attempt);
        log->refs = 1;
        log->chain = *chain;
        *chain = log;
        t->open++;
        close_oldest(t);
    }
    pthread_mutex_unlock(&t->lock);
    return log;
}

int log_get(Blob *b, int64_t job, int64_t attempt, Log **ret, Err *err) {
    Log *log = log_hold(b, job, attempt);
    int r = 0;

    if (atomic_load(&log->fd) < 0) {
        pthread_mutex_lock(&log->lock);
        r = log_open(log, false, err);
        pthread_mutex_unlock(&log->lock);
    }
    if (r < 0) {
        log_put(log);
        return r;
    }
    *ret = log;
    return 0;
}

static void put(Log *log, bool ended) {
    LogTable *t = &log->blob->table;

    pthread_mutex_lock(&t->lock);
    log->ended |= ended;
    if (--log->refs == 0) {
        if (log->ended || atomic_load(&log->fd) < 0) {
            log_close(t, log);
        } else {
            unused_add(t, log);
            close_oldest(t);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

void log_put(Log *log) {
    put(log, false);
}

void log_put_ended(Log *log) {
    put(log, true);
}
