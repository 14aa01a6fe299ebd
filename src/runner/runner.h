/* The runner: leases jobs, forks a job process for each, adopts those that live on from a runner before it.
 */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct RunnerOptions {
    const char *server;      /* "http://127.0.0.1:8080" */
    const char *server_file; /* a file whose JSON has the server's present address as "url", read again
                              * whenever the server is out of reach; or NULL */
    const char *token;       /* or NULL */
    const char *token_file;  /* or NULL; its first line */
    const char *dir;         /* jobs/, work/, mirrors/ and etc/ come to be in it */
    const char *name;        /* for the log; or NULL */
    const char *version;
    int slots;                 /* ≥ 1 */
    const char *const *labels; /* "key=value", NULL-terminated, or NULL */
    int64_t cpu, memory, disk; /* what jobs may ask together: thousandths, bytes, bytes; 0: what is there */
    const char *const
        *executors; /* those to offer, NULL-terminated; NULL: all that work here and are allowed */
    bool allow_shell;
    uint64_t keep_free_bytes; /* with less free beneath dir it takes no job (see base/disk.h) */
    uint64_t spool_bytes;     /* of a job's log that wait on disk while the server is away; 0: 1 GiB */
    int64_t cancel_grace_us;  /* between SIGTERM and SIGKILL; 0: 10 s */
    int64_t cleanup_us;       /* for all that runs after a cancel or the job's timeout; 0: 60 s */
    uid_t job_uid_base;       /* as root, sandboxes of slot n run as this + n; 0: SANDBOX_UID_BASE */
    gid_t job_gid;            /* 0: SANDBOX_GID */
} RunnerOptions;

/* Runs until SIGTERM or SIGINT, which leave the job processes running, or until it is drained and has nothing
 * left. The process must have no other thread, so that it can fork job processes. Any error: it cannot start.
 */
_must_check_ int runner_main(const RunnerOptions *options, Err *err);
