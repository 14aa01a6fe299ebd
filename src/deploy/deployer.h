/* The deployer's inside, shared by deploy.c (one deployment) and keeper.c (what is live). */
#pragma once

#include "deploy/deploy.h"
#include "deploy/runtime.h"
#include <pthread.h>

/* A release that is to be live: the keeper's thread starts it again when it ends. */
typedef struct Live {
    char *uuid, *slug, *commit, *spec; /* commit and spec only for one that may have to be unpacked anew */
    const char **env;
    int watch_fd; /* -1: it is to be looked at (again) */
    int64_t due;  /* monotonic: not before */
    int64_t backoff;
} Live;

struct Deployer {
    char *dir, *program;
    Ingress *ingress;
    int64_t drain_us, stop_us;
    const RuntimeOps *runtime;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t restored;
    Live **lives; /* each a talloc object */
    size_t count;
    bool restoring;
    DeployArtifact artifact;
    void *arg;
    bool stop;
    pthread_t thread;
    bool threaded;
    int wake_fd;
};

/* A uuid as ID_UUID_SIZE says; it becomes a path. */
bool deploy_uuid_valid(const char *uuid);
/* The release of a uuid, in mem; only what naming it needs. */
Release *deploy_release(Deployer *d, const char *uuid, const void *mem);
/* Stops and removes the release's processes and files; what goes wrong is logged. */
void deploy_discard(Deployer *d, const char *uuid);

/* The keeper. */
_must_check_ int keeper_start(Deployer *d, Err *err);
void keeper_end(Deployer *d);
/* From now on this release, and no other of the slug, is kept alive; uuid NULL: none. */
void keeper_set(Deployer *d, const char *slug, const char *uuid);
