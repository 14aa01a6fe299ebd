/* Logs and artifacts on local disk, below one root:
 *   logs/<job / 1000>/<job>-<attempt>.log, .idx   objects/<aa>/<sha256>   artifacts/<commit>/<path>   tmp/
 * Artifacts are hard links of objects. Other back ends (S3) will stand behind the same functions. All
 * functions are thread-safe. */
#pragma once

#include "base/err.h"
#include "bus/bus.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Blob Blob;

/* Makes the folders that are missing, and removes what uploads that never ended have left. bus may be NULL.
 */
_must_check_ int blob_open(const void *mem, const char *root, Bus *bus, Blob **ret, Err *err);
void blob_close(Blob *b);
/* When what was kept survives that the machine loses its power. */
typedef enum BlobSync {
    BLOB_SYNC_NOW,   /* before the call that keeps it returns: so it is after blob_open */
    BLOB_SYNC_LATER, /* the same, but short logs by the next blob_sync */
    BLOB_SYNC_NEVER, /* some time later */
} BlobSync;
/* Before the blob store is used. */
void blob_set_sync(Blob *b, BlobSync sync);

/* ---- logs: appended at (job, attempt, offset) ---- */
/* A log for one who appends to it. Who has it before he looks whether the attempt is still running appends
 * nothing when it is not: what comes after blob_log_keep is ERR_CANCELLED. */
typedef struct Log BlobLog;
BlobLog *blob_log_use(Blob *b, int64_t job, int64_t attempt);
void blob_log_leave(BlobLog *log);
/* Appends, skipping what is there already; a gap is ERR_CONFLICT. *ret_next: the size afterwards (filled in
 * for a gap and a full disk too). Publishes BUS_LOG, so the caller holds no lock that a wake takes. A full
 * disk is ERR_NO_SPACE and leaves the log as it was. Descriptors of busy logs are kept open, a bounded
 * number. */
_must_check_ int blob_log_write(BlobLog *log, uint64_t offset, const void *data, size_t len,
                                uint64_t *ret_next, Err *err);
/* The same, of one who knows that the attempt is running. */
_must_check_ int blob_log_append(Blob *b, int64_t job, int64_t attempt, uint64_t offset, const void *data,
                                 size_t len, uint64_t *ret_next, Err *err);
/* Bytes so far; 0 when there is none yet. Quick for a log that is being written. */
_must_check_ int blob_log_size(Blob *b, int64_t job, int64_t attempt, uint64_t *ret_size, Err *err);
/* Reads up to size bytes at offset through the descriptor that the busy log has open already: thousands of
 * followers of one log cost one descriptor. 0: nothing there (yet). ERR_NOT_FOUND when there is no log yet.
 */
_must_check_ ssize_t blob_log_read(Blob *b, int64_t job, int64_t attempt, uint64_t offset, void *buf,
                                   size_t size, Err *err);
/* For reading; ERR_NOT_FOUND when there is none yet. The caller closes. */
_must_check_ int blob_log_open(Blob *b, int64_t job, int64_t attempt, int *ret_fd, uint64_t *ret_size,
                               Err *err);
/* The offset of a line (from 0), by the index: a read of at most 64 KiB of log. Past the end: the size. */
_must_check_ int blob_log_line(Blob *b, int64_t job, int64_t attempt, uint64_t line, uint64_t *ret_offset,
                               Err *err);
/* The attempt is about to end: its log takes no more bytes, and those that it has are on the disk no later
 * than what is committed after this. A long log is synced here, which takes what the disk takes; a short one
 * by the next blob_sync. Fine when there is no log. After success blob_log_unkeep, whether the attempt has
 * ended (blob_log_end comes before) or goes on. */
_must_check_ int blob_log_keep(Blob *b, int64_t job, int64_t attempt, Err *err);
void blob_log_unkeep(Blob *b, int64_t job, int64_t attempt);
/* Brings to the disk what blob_log_keep has left: to be called before commits go there. One thread at a
 * time. */
_must_check_ int blob_sync(Blob *b, Err *err);
/* Whether the machine has started anew since blob_mended was called last, or may have: the ends of logs that
 * were being written may be missing, or be zeros. */
bool blob_power_was_off(const Blob *b);
/* Cuts such a log back to its first zero byte, at most LOG_MEND_MAX bytes behind its end: whoever appends to
 * it is asked for the rest. Before anybody has used the log. Fine when there is none. */
_must_check_ int blob_log_mend(Blob *b, int64_t job, int64_t attempt, Err *err);
/* All such logs are mended. */
_must_check_ int blob_mended(Blob *b, Err *err);
#define LOG_MEND_MAX (UINT64_C(64) << 20)
/* The attempt has ended: its log takes no more bytes; closes what is kept open, publishes BUS_LOG. */
void blob_log_end(Blob *b, int64_t job, int64_t attempt);

/* ---- artifacts: content-addressed, sha256 checked when stored and when asked ---- */
typedef struct BlobUpload BlobUpload;
/* An upload is used by one thread at a time, and ended before blob_close. */
_must_check_ int blob_upload_begin(Blob *b, BlobUpload **ret, Err *err);
_must_check_ int blob_upload_write(BlobUpload *u, const void *data, size_t len, Err *err);
/* Ends the upload: checks sha256 (hex, or NULL; another one is ERR_INVALID), files the object, links
 * artifacts/<commit>/<path> in place of an older one. Frees u in any case. ret_sha: 65 bytes. path is checked
 * (file_check_path); ERR_CONFLICT when it needs a folder where a file is, or the reverse. */
_must_check_ int blob_upload_finish(BlobUpload *u, const char *commit, const char *path, const char *sha256,
                                    char *ret_sha, uint64_t *ret_size, Err *err);
void blob_upload_abort(BlobUpload *u);
/* ERR_IO when the object's size is not the one that was kept. The caller closes. */
_must_check_ int blob_object_open(Blob *b, const char *sha256, uint64_t size, int *ret_fd, Err *err);
/* Reads the whole object and compares its sha256. */
_must_check_ int blob_object_check(Blob *b, const char *sha256, Err *err);
/* Whether the object and the name artifacts/<commit>/<path>, perhaps of other bytes by now, are there. */
bool blob_artifact_there(Blob *b, const char *sha256, const char *commit, const char *path);
/* The name artifacts/<commit>/<path> goes, with the folders that it leaves empty; fine when it is gone. */
_must_check_ int blob_name_remove(Blob *b, const char *commit, const char *path, Err *err);
/* The same name, if it is one of the object `sha256`, becomes one of the object `instead`. ERR_NOT_FOUND:
 * that is not there. */
_must_check_ int blob_name_change(Blob *b, const char *sha256, const char *commit, const char *path,
                                  const char *instead, Err *err);
/* Forgets the object; fine when it is gone. Who has it open reads it to its end. An upload of the same bytes
 * that ends meanwhile may rest on it, or on its name: whoever records one asks blob_artifact_there first. */
_must_check_ int blob_object_remove(Blob *b, const char *sha256, Err *err);

/* ---- caches: archives by name (a UUID); not brought to the disk at once, for each can be made again ---- */
/* An upload that blob_cache_finish ends, as blob_upload_finish does the others; its checksum is XXH64: only
 * damage is to be found, for who makes an archive may put anything into it. ret_sum: 17 bytes. */
_must_check_ int blob_cache_begin(Blob *b, BlobUpload **ret, Err *err);
_must_check_ int blob_cache_finish(BlobUpload *u, const char *uuid, const char *xxh64, char *ret_sum,
                                   uint64_t *ret_size, Err *err);
/* One that is removed meanwhile can be read to its end. The caller closes. */
_must_check_ int blob_cache_open(Blob *b, const char *uuid, int *ret_fd, Err *err);
void blob_cache_remove(Blob *b, const char *uuid);
/* Names of those that were there before the store was opened. */
_must_check_ int blob_caches_left(Blob *b, const void *mem, const char ***ret, size_t *ret_count, Err *err);
/* Bytes that came so far. */
uint64_t blob_upload_size(const BlobUpload *u);
