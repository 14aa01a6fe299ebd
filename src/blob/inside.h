/* Inside the room: the root's folders, the table of open logs, the index of lines. */
#pragma once

#include "base/checksum.h"
#include "blob/blob.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* ---- the index of lines ---- */

/* <log>.idx: records of 16 bytes, two little-endian 64-bit numbers each. Record k (from 0) says how many line
 * feeds stand before byte (k + 1) * 65,536 of the log: {that offset, that number}. A log shorter than 64 KiB
 * has no index. The log's size is the truth: an index that is missing or short is completed from the log. */
typedef struct LogIndex {
    int fd;           /* or -1 */
    bool loaded;      /* the file, if there is one, has been looked at */
    uint64_t records; /* that are in the file */
    uint64_t counted; /* bytes of the log that `lines` is of */
    uint64_t lines;   /* line feeds among them */
} LogIndex;

#define INDEX_STEP UINT64_C(65536)
#define INDEX_RECORD 16

struct Log;
/* Takes in the log's next bytes, which it has at `at`; does nothing when it has not seen those before them.
 * An index that cannot be written (a full disk) is completed later. */
void log_index_add(struct Log *log, uint64_t at, const void *data, size_t len);
/* The offset of a line, completing the index first. With the log's lock. */
int log_index_find(struct Log *log, uint64_t line, uint64_t *ret_offset, Err *err);
void log_index_close(LogIndex *index);
/* The number of line feeds. */
uint64_t log_count_lines(const void *data, size_t len);

/* ---- open logs ---- */

typedef struct Log {
    Blob *blob;
    int64_t job, attempt;
    atomic_int fd; /* -1 until it has been opened */
    _Atomic uint64_t size;
    pthread_mutex_t lock; /* appending, and the index */
    LogIndex index;
    /* with its lock: */
    unsigned closed; /* to appends: how often it was kept, and for ever when its attempt has ended */
    bool kept;       /* what it has is on the disk, or on the list of what is brought there */
    /* with the table's lock: */
    unsigned refs;
    bool ended; /* closed as soon as nobody uses it */
    struct Log *chain;
    struct Log *older, *newer; /* of those that nobody uses now */
} Log;

#define LOGS_OPEN_MAX 256
#define LOG_BUCKETS 256 /* a power of two */

typedef struct LogTable {
    pthread_mutex_t lock;
    Log *buckets[LOG_BUCKETS];
    unsigned open;
    Log *oldest, *newest;
} LogTable;

void log_table_init(LogTable *t);
void log_table_done(LogTable *t);
/* The log, used by the caller until log_put; its file may not be open. */
Log *log_hold(Blob *b, int64_t job, int64_t attempt);
/* The same, its file open; ERR_NOT_FOUND when there is none. */
int log_get(Blob *b, int64_t job, int64_t attempt, Log **ret, Err *err);
/* The file of a log that is held, if it is not open yet. With the log's lock. Without `create` ERR_NOT_FOUND
 * when there is none. */
int log_open(Log *log, bool create, Err *err);
/* Only if it is open already; NULL otherwise. */
Log *log_peek(Blob *b, int64_t job, int64_t attempt);
void log_put(Log *log);
/* As log_put, and it is closed when nobody uses it any more. */
void log_put_ended(Log *log);

#define LOG_NAME_MAX 80
/* "12/12345-1.log", beneath logs/. */
void log_name(char out[LOG_NAME_MAX], int64_t job, int64_t attempt, const char *suffix);

/* ---- the root ---- */

/* Short logs that wait for blob_sync. */
typedef struct Kept {
    Log *log;
    struct Kept *next;
} Kept;

/* What was made, renamed or linked in it survives a power loss. */
int blob_sync_folder(const Blob *b, int fd, Err *err);

struct Blob {
    Bus *bus;
    BlobSync sync;
    pthread_mutex_t kept_lock;
    Kept *kept;
    int root, logs, objects, artifacts, caches, tmp; /* folders */
    time_t opened_at;
    const char *boot_file; /* which start of the machine the logs were last written or mended in */
    bool power_was_off;
    LogTable table;
};

/* ---- uploads ---- */

struct BlobUpload {
    Blob *blob;
    char name[33]; /* in tmp/; "" when it is no longer there */
    int fd;
    bool failed;
    uint64_t size;
    Checksum sum;
};

DEFINE_CLEANUP(BlobUpload *, blob_upload_abort)

/* An upload that counts that sum. */
int blob_upload_open(Blob *b, ChecksumKind kind, BlobUpload **ret, Err *err);
/* The checksum of what has come, as hex; ERR_INVALID when it is not the expected one (hex, or NULL). */
int blob_upload_check(BlobUpload *u, const char *expected, char ret[CHECKSUM_HEX], Err *err);
