/* The runners that the server starts as its own children, started again when they end. Jobs go on whatever
 * happens to them. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <sys/types.h>

typedef struct ChildOptions {
    const char *program;       /* this binary */
    const char *const *argv;   /* of `pelton runner …`, NULL-terminated */
    bool (*wanted)(void *arg); /* whether it is to run now: a drained one is not */
    void *arg;
} ChildOptions;

typedef struct Child Child;

/* Starts the child when it is wanted. Must be called by the thread that lives as long as the process: the
 * child ends with it.
 */
_must_check_ int child_start(const void *mem, const ChildOptions *options, Child **ret, Err *err);
/* After SIGCHLD, and when it may be wanted again: reaps, starts, and tells when (monotonic µs; 0: it runs, or
 * is not wanted) to call again. */
int64_t child_check(Child *k);
/* SIGTERM: the runner ends and leaves its jobs running. */
void child_ask(Child *k);
/* Waits for its end, at most until then (monotonic µs): one that hangs, or is stopped, is killed. */
void child_stop(Child *k, int64_t until);
