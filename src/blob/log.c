#include "base/log.h"
#include "base/file.h"
#include "blob/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SHORT_LOG ((uint64_t)256 * 1024)
#define PIECE ((uint64_t)1 << 20)

static void publish(Blob *b, int64_t job) {
    if (b->bus)
        bus_publish(b->bus, BUS_LOG, job);
}

/* All or nothing: what a full disk has taken of it is cut off again. Where even that fails, the next append
 * writes over it. */
static int write_whole(int fd, uint64_t at, const char *data, size_t len, Err *err) {
    size_t done = 0;
    int r = 0;

    while (done < len && r == 0) {
        ssize_t n = pwrite(fd, data + done, len - done, (off_t)(at + done));

        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            r = err_errno(err, "append to log");
    }
    if (r < 0 && ftruncate(fd, (off_t)at) < 0)
        log_warn("blob", "cannot cut a log back to %llu bytes: %s", (unsigned long long)at, strerror(errno));
    return r;
}

/* With the log's lock. */
static int append(Log *log, uint64_t offset, const char *data, size_t len, Err *err) {
    uint64_t size = atomic_load(&log->size), skip;
    int r;

    if (offset > size)
        return err_set(err, ERR_CONFLICT, "log of job %lld: the offset is %llu, but the log ends at %llu",
                       (long long)log->job, (unsigned long long)offset, (unsigned long long)size);
    skip = size - offset;
    if (skip >= len)
        return 0;
    r = write_whole(atomic_load(&log->fd), size, data + skip, len - skip, err);
    if (r < 0)
        return r;
    atomic_store(&log->size, size + len - skip);
    log_index_add(log, size, data + skip, len - skip);
    return 1;
}

BlobLog *blob_log_use(Blob *b, int64_t job, int64_t attempt) {
    return log_hold(b, job, attempt);
}

void blob_log_leave(BlobLog *log) {
    log_put(log);
}

/* With the log's lock. */
static int append_unless_closed(Log *log, uint64_t offset, const char *data, size_t len, Err *err) {
    int r;

    if (log->closed)
        return err_set(err, ERR_CANCELLED, "the log of job %lld attempt %lld is closed", (long long)log->job,
                       (long long)log->attempt);
    r = log_open(log, true, err);
    return r < 0 ? r : append(log, offset, data, len, err);
}

int blob_log_write(BlobLog *log, uint64_t offset, const void *data, size_t len, uint64_t *ret_next,
                   Err *err) {
    int r;

    pthread_mutex_lock(&log->lock);
    r = append_unless_closed(log, offset, data, len, err);
    *ret_next = atomic_load(&log->size);
    pthread_mutex_unlock(&log->lock);
    if (r > 0)
        publish(log->blob, log->job);
    return MIN(r, 0);
}

int blob_log_append(Blob *b, int64_t job, int64_t attempt, uint64_t offset, const void *data, size_t len,
                    uint64_t *ret_next, Err *err) {
    BlobLog *log = blob_log_use(b, job, attempt);
    int r = blob_log_write(log, offset, data, len, ret_next, err);

    blob_log_leave(log);
    return r;
}

/* ---- to the disk ---- */

/* A new file's name goes with its first sync, on all file systems that we know (ext4, XFS, Btrfs, F2FS); that
 * of its folder was synced when it was made. */
static int sync_log(Log *log, Err *err) {
    if (fdatasync(atomic_load(&log->fd)) == 0)
        return 0;
    return err_errno(err, "bring the log of job %lld to the disk", (long long)log->job);
}

static void keep_later(Log *log) {
    Kept *kept = mem_new(NULL, Kept);
    Blob *b = log->blob;

    kept->log = log_hold(b, log->job, log->attempt);
    pthread_mutex_lock(&b->kept_lock);
    kept->next = b->kept;
    b->kept = kept;
    pthread_mutex_unlock(&b->kept_lock);
}

/* Of a closed log: it does not change meanwhile. */
static int bring_to_disk(Log *log, Err *err) {
    BlobSync sync = log->blob->sync;
    bool kept;
    int r;

    pthread_mutex_lock(&log->lock);
    kept = log->kept || sync == BLOB_SYNC_NEVER;
    r = kept ? 0 : log_open(log, false, err);
    pthread_mutex_unlock(&log->lock);
    if (r < 0 || kept)
        return r == -ERR_NOT_FOUND ? 0 : r;
    if (sync == BLOB_SYNC_NOW || atomic_load(&log->size) > SHORT_LOG)
        r = sync_log(log, err);
    else
        keep_later(log);
    pthread_mutex_lock(&log->lock);
    log->kept = r == 0;
    pthread_mutex_unlock(&log->lock);
    return r;
}

static void close_log(Log *log, bool close) {
    pthread_mutex_lock(&log->lock);
    log->closed += close ? 1 : -1U;
    if (log->closed == 0)
        log->kept = false;
    pthread_mutex_unlock(&log->lock);
}

int blob_log_keep(Blob *b, int64_t job, int64_t attempt, Err *err) {
    Log *log = log_hold(b, job, attempt);
    int r;

    close_log(log, true);
    r = bring_to_disk(log, err);
    if (r < 0) {
        close_log(log, false);
        log_put(log);
    }
    return r;
}

void blob_log_unkeep(Blob *b, int64_t job, int64_t attempt) {
    Log *log = log_hold(b, job, attempt);

    close_log(log, false);
    log_put(log); /* which blob_log_keep had */
    log_put(log);
}

int blob_sync(Blob *b, Err *err) {
    Kept *list;
    int r = 0;

    pthread_mutex_lock(&b->kept_lock);
    list = TAKE_PTR(b->kept);
    pthread_mutex_unlock(&b->kept_lock);
    while (list) {
        Kept *next = list->next;
        int one = r < 0 ? 0 : sync_log(list->log, err);

        if (one < 0 || r < 0) { /* once more with the next round */
            r = r < 0 ? r : one;
            pthread_mutex_lock(&b->kept_lock);
            list->next = b->kept;
            b->kept = list;
            pthread_mutex_unlock(&b->kept_lock);
        } else {
            log_put(list->log);
            talloc_free(list);
        }
        list = next;
    }
    return r;
}

/* ---- after a power loss ---- */

/* The file system has the size before it has the bytes: what is missing reads as zeros. *ret: where they
 * begin; the size when there are none. */
static int find_zeros(int fd, uint64_t from, uint64_t size, uint64_t *ret, Err *err) {
    _cleanup_talloc_ char *piece = mem_array(NULL, char, PIECE);
    uint64_t at = from;

    while (at < size) {
        ssize_t n = pread(fd, piece, MIN(PIECE, size - at), (off_t)at);
        const char *zero = n > 0 ? memchr(piece, '\0', (size_t)n) : NULL;

        if (n < 0 && errno != EINTR)
            return err_errno(err, "read a log");
        if (n == 0 || zero) {
            *ret = zero ? at + (uint64_t)(zero - piece) : at;
            return 0;
        }
        at += (uint64_t)MAX(n, 0);
    }
    *ret = size;
    return 0;
}

static int mend(Log *log, Err *err) {
    int fd = atomic_load(&log->fd), r;
    uint64_t size = atomic_load(&log->size), whole;

    r = find_zeros(fd, size > LOG_MEND_MAX ? size - LOG_MEND_MAX : 0, size, &whole, err);
    if (r < 0 || whole == size)
        return r;
    if (ftruncate(fd, (off_t)whole) < 0)
        return err_errno(err, "cut a log back");
    atomic_store(&log->size, whole);
    log_warn("blob", "the log of job %lld attempt %lld has lost what follows its first %llu of %llu bytes",
             (long long)log->job, (long long)log->attempt, (unsigned long long)whole,
             (unsigned long long)size);
    return 0;
}

int blob_log_mend(Blob *b, int64_t job, int64_t attempt, Err *err) {
    Log *log;
    int r = log_get(b, job, attempt, &log, err);

    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    pthread_mutex_lock(&log->lock);
    r = mend(log, err);
    pthread_mutex_unlock(&log->lock);
    log_put(log);
    return r;
}

int blob_log_size(Blob *b, int64_t job, int64_t attempt, uint64_t *ret_size, Err *err) {
    Log *log = log_peek(b, job, attempt);
    char name[LOG_NAME_MAX];
    struct stat st;

    if (log) {
        *ret_size = atomic_load(&log->size);
        log_put(log);
        return 0;
    }
    log_name(name, job, attempt, "log");
    if (fstatat(b->logs, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return err_errno(err, "log %s", name);
        st.st_size = 0;
    }
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int no_log(int64_t job, int r, Err *err) {
    return r == -ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "job %lld has no log yet", (long long)job) : r;
}

ssize_t blob_log_read(Blob *b, int64_t job, int64_t attempt, uint64_t offset, void *buf, size_t size,
                      Err *err) {
    uint64_t end;
    ssize_t n = 0;
    Log *log;
    int r = log_get(b, job, attempt, &log, err);

    if (r < 0)
        return no_log(job, r, err);
    /* not what an append that may fail is writing just now */
    end = atomic_load(&log->size);
    if (offset < end) {
        size_t want = (size_t)MIN(end - offset, (uint64_t)size);

        do
            n = pread(atomic_load(&log->fd), buf, want, (off_t)offset);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            n = err_errno(err, "read log of job %lld", (long long)job);
    }
    log_put(log);
    return n;
}

int blob_log_open(Blob *b, int64_t job, int64_t attempt, int *ret_fd, uint64_t *ret_size, Err *err) {
    char name[LOG_NAME_MAX];
    uint64_t size;
    int fd, r;

    log_name(name, job, attempt, "log");
    r = file_open_beneath(b->logs, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &fd, err);
    if (r < 0)
        return no_log(job, r, err);
    r = blob_log_size(b, job, attempt, &size, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    *ret_size = size;
    return 0;
}

int blob_log_line(Blob *b, int64_t job, int64_t attempt, uint64_t line, uint64_t *ret_offset, Err *err) {
    Log *log;
    int r = log_get(b, job, attempt, &log, err);

    if (r < 0)
        return no_log(job, r, err);
    pthread_mutex_lock(&log->lock);
    r = log_index_find(log, line, ret_offset, err);
    pthread_mutex_unlock(&log->lock);
    log_put(log);
    return r;
}

void blob_log_end(Blob *b, int64_t job, int64_t attempt) {
    Log *log = log_hold(b, job, attempt);

    close_log(log, true);
    log_put_ended(log);
    publish(b, job);
}
