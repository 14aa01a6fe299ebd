/* The one thread of a job process that speaks with the server: sends the log from its spool, reports, and
 * what the main thread hands it (artifacts). The main thread writes the spool and hears by a descriptor when
 * something came up. One request is in flight at a time; while the server answers the next bytes gather, so
 * that a slow server gets bigger pieces and a quick one each line at once. Out of reach: tried again, with
 * growing pauses up to 5 s, for ever. */
#pragma once

#include "base/buf.h"
#include "base/disk.h"
#include "base/err.h"
#include "http/client.h"
#include <stdbool.h>
#include <stdint.h>

#define UPLOADER_SHORT                                                                                       \
    ((size_t)64 * 1024) /* logs up to here stay in memory: most are, and a file costs more */

typedef struct Uploader Uploader;

typedef enum UploaderEvent {
    UPLOADER_STALE = 1,     /* the attempt is not ours any more: stop, clean up, say nothing */
    UPLOADER_STOP = 2,      /* the server wants the job cancelled */
    UPLOADER_DELIVERED = 4, /* the final report was accepted */
    UPLOADER_DRAINED = 8,   /* the backlog is below its limit again */
    UPLOADER_RAN = 16,      /* the function of uploader_run has returned */
    UPLOADER_REFUSED = 32,  /* the server takes no more of the log: see uploader_refusal */
} UploaderEvent;

typedef struct UploaderOptions {
    const char *server, *server_file, *token;
    int64_t job, attempt;
    const Disk *disk;  /* that the spool is on; on one that is nearly full the step has to wait sooner */
    const char *spool; /* path of the file that the log goes to when it is longer than UPLOADER_SHORT */
    bool spooled;      /* that file is there, with `size` bytes */
    const char *log;   /* else: `size` bytes that are there already, or NULL */
    int64_t size;      /* bytes in the spool */
    int64_t sent;      /* of them the server has, as far as is known; it corrects that */
    int64_t most;      /* bytes of log that wait on disk; then the step has to wait */
} UploaderOptions;

_must_check_ int uploader_start(const UploaderOptions *o, Uploader **ret, Err *err);
/* Readable when there are events. */
int uploader_fd(const Uploader *u);
/* The events since the last call, or'ed. */
unsigned uploader_events(Uploader *u);

/* Appends to the log and wakes the thread. ERR_NO_SPACE, ERR_IO. */
_must_check_ int uploader_write(Uploader *u, const void *data, size_t len, Err *err);
/* The same for what can wait some milliseconds for more to come: our own lines. */
_must_check_ int uploader_write_soon(Uploader *u, const void *data, size_t len, Err *err);
/* The whole log while it is short, for the main thread; NULL: it is in the spool. */
const char *uploader_short_log(const Uploader *u);
/* Why the server takes no more of the log (its disk is full); "": it does. From then on what is written to
 * the log is dropped, and the final report says that the job has failed for that, with the log that the
 * server has. */
const char *uploader_refusal(Uploader *u);
/* Bytes written so far. */
int64_t uploader_size(const Uploader *u);
/* Whether the server is so far behind that the step should wait. */
bool uploader_full(Uploader *u);

/* What to say while the job runs; sent when it changes (in the first 50 ms not at all: most jobs are over by
 * then) and every 10 s. */
void uploader_report(Uploader *u, const char *report, size_t len);
/* What to say last, after all of the log. UPLOADER_DELIVERED follows. */
void uploader_finish(Uploader *u, const char *report, size_t len);
/* Runs fn on the thread, between requests. UPLOADER_RAN follows. */
void uploader_run(Uploader *u, void (*fn)(void *arg), void *arg);
/* For fn: a call with retries, until it is answered or uploader_abort was called (ERR_CANCELLED). `rewind`
 * (may be NULL) goes back to the start of a streamed body before another try; negative: there can be none,
 * and why is how the call ends; positive: the body is gone, and the call ends with what went wrong, after the
 * pause that would have come before another try. */
_must_check_ int uploader_call(Uploader *u, HttpCall *call, int (*rewind)(void *arg, Err *err), Err *err);
/* Ends a running fn soon; uploader_call fails from now on, until `on` is false again. Any thread. */
void uploader_abort(Uploader *u, bool on);
/* For fn, between the pieces of work that takes long: ERR_CANCELLED when it is to end. */
_must_check_ int uploader_go_on(Uploader *u, Err *err);
/* Ends the thread, whatever it does, and frees. */
void uploader_stop(Uploader *u);
