/* The runner's table of job processes: forks them, adopts those of a runner before it, tells them to stop,
 * and clears away what one that was killed has left. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "runner/job.h"

typedef struct Jobs Jobs;

Jobs *jobs_new(const void *mem, const RunnerHost *host);
/* Looks through <dir>/jobs: what lives is adopted; results that were not delivered get a process that does;
 * the rest is removed. */
_must_check_ int jobs_adopt(Jobs *j, Err *err);
/* Forks a process for a JOB. Only while no other thread holds a lock. */
void jobs_start(Jobs *j, const json_t *job);
/* A STOP. Unknown ones are left alone. */
void jobs_stop(Jobs *j, const json_t *stop);
/* Reaps children that have ended (after SIGCHLD). */
void jobs_reap(Jobs *j);
/* The adopted ones: fills fds (at most max) with pidfds to poll; then jobs_ended for each that became
 * readable. */
struct pollfd;
size_t jobs_poll(const Jobs *j, struct pollfd *fds, size_t max);
void jobs_ended(Jobs *j, int pidfd);
/* "running":[{"job":7,"attempt":1}] into an open object. Any thread. */
void jobs_write(Jobs *j, JsonWriter *w);
/* Kills those that should have ended long ago, and are followed by one that delivers; gives when the next one
 * should, monotonic, INT64_MAX: none. reachable: the server is. */
int64_t jobs_kill_overdue(Jobs *j, bool reachable);
size_t jobs_count(const Jobs *j);
/* Whether a process has nothing left but to deliver its result and to clear away. */
bool jobs_finishing(const Jobs *j);
