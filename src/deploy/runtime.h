/* How a release runs: a table a runtime. `process`: in the sandbox of this machine. Docker, Swarm and
 * Kubernetes will stand behind the same table. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Release {
    const char *uuid, *slug, *commit;
    const char *dir;        /* <state>/releases/<uuid> */
    const char *program;    /* for the supervisor */
    const char *spec;       /* JSON text, checked */
    const char *const *env; /* further "K=V", or NULL */
    int64_t stop_us;        /* between SIGTERM and SIGKILL; 0: 10 s */
} Release;

typedef struct RuntimeStatus {
    bool running;      /* something answers for the release */
    bool failed;       /* it has ended and will not come again by itself */
    char address[64];  /* "127.0.0.1:20001" */
    char message[256]; /* why it failed */
} RuntimeStatus;

typedef struct RuntimeOps {
    const char *name;
    /* ERR_INVALID for what this runtime cannot do, naming the field. */
    int (*check)(const char *spec, Err *err);
    /* Makes the release's files from the artifact; at once when they are whole. cancel_fd (or -1): readable
     * ends it. */
    int (*prepare)(const Release *r, int artifact_fd, int cancel_fd, Err *err);
    /* Starts what does not run yet (adopts what does); healthy: it was healthy before and shall be kept
     * running. */
    int (*start)(const Release *r, bool healthy, Err *err);
    int (*status)(const Release *r, RuntimeStatus *ret, Err *err);
    /* A descriptor that becomes readable when the status may have changed; the caller closes. */
    int (*watch)(const Release *r, int *ret_fd, Err *err);
    /* It was found healthy: from now on it is started again when it ends. */
    int (*confirm)(const Release *r, Err *err);
    /* The last lines of its output into out. */
    void (*tail)(const Release *r, char *out, size_t size);
    /* Asks, waits the grace, kills; fine when nothing runs. */
    int (*stop)(const Release *r, Err *err);
    /* Removes everything of a stopped release. */
    int (*remove)(const Release *r, Err *err);
} RuntimeOps;

extern const RuntimeOps runtime_process;
/* The runtime of that name; NULL: none. */
const RuntimeOps *runtime_find(const char *name);
