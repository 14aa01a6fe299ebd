/* The job process: forked by the runner without an exec, it makes the workspace, runs the steps, keeps log
 * and result until the server has them, cleans up, and goes on whatever becomes of the runner and the server.
 */
#pragma once

#include "base/disk.h"
#include "base/json.h"
#include "executor/cgroup.h"
#include "runner/runner.h"

/* What the runner found out once, for all its jobs. */
typedef struct RunnerHost {
    RunnerOptions o; /* with the defaults filled in; paths are absolute */
    char *token;
    pid_t pid; /* the runner's */
    Disk disk; /* beneath the runner's folder */
    CgroupHost cgroups;
} RunnerHost;

/* Reasons that come with SIGTERM (sigqueue's value); the order is the wire's. */
typedef enum JobStop { JOB_STOP_USER, JOB_STOP_SUPERSEDED, JOB_STOP_TIMEOUT } JobStop;
#define JOB_SIGNAL_STOP SIGTERM
#define JOB_SIGNAL_STALE SIGUSR1

/* In the forked child, with SIGTERM, SIGINT, SIGUSR1 and SIGCHLD blocked: runs the job (JOB, JSON, without
 * its secrets, for it goes to a file); gives the exit status: 0 when nothing is left of it, not even in its
 * files. secrets: the JOB's object, or NULL. */
int job_main(const RunnerHost *host, int64_t id, int64_t attempt, int slot, const char *job, size_t len,
             const json_t *secrets);
/* How a job has ended whose process could not say it. */
typedef struct JobLoss {
    const char *state;  /* "lost", "failed" */
    const char *reason; /* or NULL */
    const char *message;
} JobLoss;

/* The same for a job whose process has died: brings its result to the server, with the rest of its log. loss:
 * there is none; NULL otherwise. */
int job_deliver_main(const RunnerHost *host, int slot, const JobLoss *loss);
/* Removes all files of a slot whose process is dead. */
void job_remove(const RunnerHost *host, int slot);
