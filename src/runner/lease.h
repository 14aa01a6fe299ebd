/* The lease thread: sits in the long poll and hands each answer to the main thread, then waits until that has
 * made of it what it wants. So the main thread forks only while this one holds nothing but a semaphore. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "runner/job.h"

typedef struct Lease Lease;

#define LEASE_WAIT_S 10 /* how long the server may hold a call, where nothing in between minds */

/* body: writes the request as it is now, which waits for so long (called on the lease thread). */
_must_check_ int lease_start(const RunnerHost *host, void (*body)(void *arg, int64_t wait_s, Buf *out),
                             void *arg, Lease **ret, Err *err);
/* Readable when there is an answer. */
int lease_fd(const Lease *l);
/* The answer (JSON text), valid until lease_go_on; NULL: there is none. */
const Buf *lease_answer(Lease *l);
void lease_go_on(Lease *l);
/* Where it came from, valid until lease_go_on. */
const char *lease_server(const Lease *l);
/* Ends the thread and frees. */
void lease_stop(Lease *l);
