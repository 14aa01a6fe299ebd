/* From a build's artifact to a live page: unpack, start beside the old release, wait until it is healthy,
 * move the traffic, drain and stop the old one. The state of deployments (pending … live) is kept by store
 * and build; this room does the work and can be killed anywhere: every step finds what an earlier try left.
 *
 * A release lives in <dir>/<uuid>/ (release.h) under a supervisor of its own that outlives the server. */
#pragma once

#include "base/err.h"
#include "ingress/ingress.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Deployer Deployer;

typedef struct DeployOptions {
    const char *dir;     /* "<state>/releases" */
    const char *program; /* runs `program release --dir DIR`; NULL: this binary (/proc/self/exe) */
    Ingress *ingress;    /* outlives the deployer */
    int64_t drain_us;    /* how long the old release may finish its requests; 0: 30 s */
    int64_t stop_us;     /* between SIGTERM and SIGKILL; 0: 10 s */
} DeployOptions;

typedef struct DeployJob {
    const char *uuid;   /* of the deployment; names the release */
    const char *slug;   /* of the project; the host name */
    const char *commit; /* 40 hex digits; $PELTON_COMMIT of the application */
    int artifact_fd;    /* .pelton/release.tar.zst, read from its beginning by pread; stays the caller's */
    const char *spec;   /* the JSON object `deploy` of the job's specification (release.h) */
    const char *const
        *env; /* further "K=V" (secrets), NULL-terminated, or NULL; they win over the spec's env */
    const char *previous; /* the uuid that is live now, or NULL */
} DeployJob;

typedef struct DeployHooks {
    /* A line for the job's log, without its end. */
    void (*log)(void *arg, const char *line, size_t len);
    /* The traffic has moved: record the deployment as live at url. An error moves the traffic back and fails
     * the deployment. From its success on the deployment cannot fail or be cancelled any more. May be NULL.
     */
    int (*commit)(void *arg, const char *url, Err *err);
    int cancel_fd; /* readable (an eventfd): somebody asked to stop; -1: nobody can */
    void *arg;
} DeployHooks;

_must_check_ int deploy_new(const void *mem, const DeployOptions *options, Deployer **ret, Err *err);
/* Ends the deployer's thread; releases go on. No deploy_run may be under way. */
void deploy_free(Deployer *d);

/* Checks a deploy specification as deploy_run would: ERR_INVALID names the field. */
_must_check_ int deploy_spec_check(const char *spec, Err *err);

/* Deploys; blocks for as long as it takes (run it on a thread of its own). Several may run at a time, of one
 * project one. On failure (ERR_CANCELLED when asked to stop) nothing of the new release is left and the old
 * one is live as before. Called again for the same uuid after the server died, it completes what is there.
 * *ret_url: talloc in mem. */
_must_check_ int deploy_run(Deployer *d, const DeployJob *job, const DeployHooks *hooks, const void *mem,
                            char **ret_url, Err *err);

typedef struct DeployLive {
    const char *uuid, *slug, *commit;
    const char *spec;
    const char *const *env;
} DeployLive;

/* Opens the release artifact of a deployment whose files are gone. The deployer closes *ret_fd. Called on its
 * thread. */
typedef int (*DeployArtifact)(void *arg, const char *uuid, int *ret_fd, Err *err);

/* At the server's start: makes what should be live so: adopts the supervisors that run, starts the missing
 * ones, sets the routes. In the background; everything is copied. From then on a live release whose
 * supervisor dies is started again. artifact may be NULL. */
_must_check_ int deploy_restore(Deployer *d, const DeployLive *live, size_t count, DeployArtifact artifact,
                                void *arg, Err *err);
/* Waits until the restore that is under way has been done. */
void deploy_restore_wait(Deployer *d);
typedef bool (*DeployWanted)(void *arg, const char *uuid);

/* Stops and removes every release, with its route, that is not wanted. Each is asked for after it was found,
 * so that one which is made meanwhile is known to who answers. Blocks until they have stopped, one after
 * another. */
_must_check_ int deploy_sweep(Deployer *d, DeployWanted wanted, void *arg, Err *err);
/* Takes a project off: its route, its releases. Fine when there is nothing. */
_must_check_ int deploy_remove(Deployer *d, const char *slug, Err *err);
/* The output of a release's application: its newest log file, for reading; ERR_NOT_FOUND. The caller closes.
 */
_must_check_ int deploy_log_open(Deployer *d, const char *uuid, int *ret_fd, Err *err);
