/* The HAProxy process: finding it, starting it, its seamless reload. Not thread-safe. */
#pragma once

#include "ingress/haconfig.h"
#include "ingress/hasocket.h"
#include "ingress/routes.h"

typedef struct HaProcess {
    const char *dir; /* of its files; its current folder */
    const char *program;
    int dirfd;
    HaSocket socket;
    pid_t pid; /* 0: none is known to run */
    int pidfd;
} HaProcess;

/* Finds the one that an earlier server started. False: there is none. */
bool haprocess_attach(HaProcess *p, const Routes *r);
/* Writes its files from the routes (one generation on) and starts it; when one runs, the new one takes over
 * its listening sockets and the old one ends with its last request. The error holds HAProxy's own words. */
_must_check_ int haprocess_start(HaProcess *p, const HaConfig *c, Routes *r, const char *routes_path,
                                 Err *err);
/* Whether it has ended (then it is forgotten). */
bool haprocess_gone(HaProcess *p);
void haprocess_forget(HaProcess *p);
/* Ends it and the older ones at once, and waits for that. */
void haprocess_stop(HaProcess *p, Routes *r);
/* Drops the older processes that have ended; whether one is left that was the newest at `generation` or
 * later. */
bool haprocess_old_serves(Routes *r, int64_t generation);
