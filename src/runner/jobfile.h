/* The file of a slot's job process, <dir>/jobs/slot-N.job: a line that says which job it is, the JOB, and at
 * the end its final report, a line of JSON each, and then the log if that is short; empty when the slot is
 * free. The process holds a record lock on it (fcntl(2)) for as long as it lives, so the kernel tells whether
 * it does, and its pid; steps do not inherit such a lock. Beside it lies a longer log's spool, slot-N.log.
 * Slots are used again, because making and removing files is what costs most on ext4 (it avoids inodes that
 * were freed lately by looking at each). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct JobFile {
    int64_t id, attempt;
    int slot;
    char *job;    /* JOB, JSON */
    char *result; /* the final REPORT; NULL: there is none yet */
    char *log;    /* with a result: a short log's bytes */
    size_t log_len;
} JobFile;

/* "<dir>/jobs/slot-3.job", and with kind ".log" the spool's. */
void jobfile_path(const char *dir, int slot, const char *kind, char out[PATH_MAX]);
/* "slot-3", with anything behind a dot → 3. */
bool jobfile_name(const char *name, int *ret_slot);
/* Locks the slot's file and fills it; the descriptor must stay open (closing any of the file's drops the
 * lock). ERR_CONFLICT: another process lives there. */
_must_check_ int jobfile_create(const char *dir, int slot, int64_t id, int64_t attempt, const char *job,
                                size_t job_len, int *ret_fd, Err *err);
/* Opens one that is there and locks it: ERR_CONFLICT when its process lives. */
_must_check_ int jobfile_take(const char *path, int *ret_fd, Err *err);
/* The final report (one line), and the log while it is short (else NULL). A line without its end is none. */
_must_check_ int jobfile_finish(int fd, const char *report, size_t len, const char *log, size_t log_len,
                                Err *err);
/* The slot is free. */
void jobfile_clear(int fd);
/* The process that holds the lock, or 0. Not for one's own file. */
pid_t jobfile_holder(const char *path);
/* ERR_NOT_FOUND: the slot is free; ERR_INVALID: the file was never whole. In mem. Not for one's own file. */
_must_check_ int jobfile_read(const char *path, const void *mem, JobFile *ret, Err *err);
