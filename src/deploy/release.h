/* One release on disk and its supervisor, `pelton release --dir DIR` (internal verb):
 *   files/       what was unpacked, the application's own to write
 *   spec.json    what to run; written last, so its presence says that the release is whole
 *   state.json   ReleaseState, replaced atomically by the supervisor at each change
 *   lock         write-locked (fcntl) by the supervisor as long as it lives: the lock tells its pid
 *   healthy      there when it was found healthy once: from then on the supervisor starts it again when it
 * ends etc/         the sandbox's /etc app.log      what the application writes, with app.log.1 before it, 5
 * MiB each at most
 *
 * Specification: {"uuid","slug","commit","uid","start","health":{"path","timeout"},"env":{},"resources":{}};
 * "start" runs in /bin/sh with $PORT set and must listen on it on 127.0.0.1 (or all addresses). */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum ReleasePhase {
    RELEASE_STARTING, /* the application runs and has not been found healthy yet */
    RELEASE_RUNNING,  /* it was healthy; when it ends it is started again */
    RELEASE_BACKOFF,  /* it ended and waits to be started again */
    RELEASE_FAILED,   /* it ended before it was healthy; the supervisor is about to end */
    RELEASE_STOPPED,  /* ended because it was asked to */
} ReleasePhase;

typedef struct ReleaseState {
    ReleasePhase phase;
    pid_t pid; /* of the sandbox, or 0 */
    int port;
    int64_t restarts;
    int exit_status;   /* of the last end: exit status or 128 + signal; -1: it has not ended yet */
    char message[256]; /* why it failed */
} ReleaseState;

/* The supervisor. Returns in the calling process when the supervisor (a grandchild in a session of its own)
 * holds the lock and has started the application: an exit status; what went wrong is on standard error. 0 too
 * when one runs already. */
int release_main(const char *dir);
/* `pelton release --dir DIR --unpack`: unpacks the archive on standard input into DIR/files as the release's
 * user. Nothing is written outside; paths and links that lead out, devices, more than 4 GiB or 500,000
 * entries are refused. */
int release_unpack_main(const char *dir);
#define RELEASE_NO_ROOM 3 /* its exit status when the disk is nearly full */

/* ERR_NOT_FOUND: none was written yet. */
_must_check_ int release_state_read(const char *dir, ReleaseState *ret, Err *err);
/* The pid of the supervisor and a pidfd of it (the caller closes), or ERR_NOT_FOUND when none runs. ret_pidfd
 * may be NULL. */
_must_check_ int release_supervisor(const char *dir, pid_t *ret_pid, int *ret_pidfd, Err *err);
/* The word of a phase in state.json: "running". */
const char *release_phase_word(ReleasePhase phase);
