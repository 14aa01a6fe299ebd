/* A server for the length of one build, on this machine and for nobody else: what `pelton run` works with. */
#pragma once

#include "cli/call.h"

typedef struct Local Local;

typedef struct LocalOptions {
    const char *state;   /* kept between runs; NULL: a folder that is gone afterwards */
    int64_t slots;       /* jobs at a time */
    const char **labels; /* of its runner: "key=value", NULL-terminated; NULL: none */
} LocalOptions;

/* Starts it and connects cli with it. A keeper, a process in a session of its own, holds it and ends it when
 * this process is gone, however that happened: it cancels what runs, waits for it, and removes the folder. */
_must_check_ int local_start(Cli *cli, const LocalOptions *options, Local **ret, Err *err);
/* A folder in the server's that is as short-lived. */
const char *local_scratch(const Local *l);
/* What is to be cancelled when this process is gone. */
void local_build(Local *l, int64_t build);
/* Ends it, and waits until everything is gone. */
void local_stop(Local *l);
