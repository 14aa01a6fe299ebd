/* Whether an application answers: GET of its health path until it is well. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct HealthCheck {
    const char *host;   /* Host header: "hello.localhost" */
    const char *path;   /* checked; begins with '/' */
    int64_t timeout_us; /* for all tries together */
    int watch_fd;       /* readable: ask `where` again; read empty (inotify) */
    int cancel_fd;      /* readable: ERR_CANCELLED; or -1 */
    /* Where it is now, "127.0.0.1:PORT" into address; an error ends the wait with it (it has failed). */
    int (*where)(void *arg, char *address, size_t size, Err *err);
    void *arg;
} HealthCheck;

/* 2xx and 3xx are well. Tries with growing short pauses. ERR_TIMEOUT says what the last try found. *ret_us
 * (may be NULL): how long it took. */
_must_check_ int health_wait(const HealthCheck *h, int64_t *ret_us, Err *err);
