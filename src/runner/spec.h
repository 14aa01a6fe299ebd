/* JOB of docs/runner-protocol.md, read and checked. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "executor/cgroup.h"
#include "executor/env.h"
#include "executor/executor.h"
#include "pipeline/pipeline.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct JobStep {
    const char *name, *run, *condition, *cwd, *shell; /* never NULL */
    const ExecutorBuild *build;                       /* `uses: docker`; NULL: none */
    const ExecutorNix *nix;                           /* `uses: nix`; NULL: none */
    Env env, computed;                                /* computed: texts with ${{ }}, over `env` */
    bool computed_build;                              /* so are the texts of `build` */
    int64_t timeout_us;                               /* 0: none */
    bool continue_on_error;
    const char *const *secrets; /* of the job's, by name: for steps that name them only; NULL: none */
} JobStep;

/* A workspace that an earlier job has left. */
typedef struct JobTake {
    const char *path; /* of the artifact */
    bool changes;     /* only what it changed */
    bool required;    /* it ran for sure */
} JobTake;

typedef struct JobWorkspace {
    JobTake *take; /* in the order in which they lie over each other */
    size_t take_count;
    const char *keep; /* leaves its own under this path; NULL: does not */
    bool changes;     /* only what the job changed */
} JobWorkspace;

typedef struct JobArtifact {
    const char *name, *condition; /* never NULL */
    const char *const *paths;     /* globs, NULL-terminated */
    int64_t keep_us;              /* 0: as the server has it; negative: for ever */
} JobArtifact;

typedef struct JobDownload {
    const char *name, *job; /* "": any */
    const char *path;       /* a folder of the workspace; "": the workspace */
    bool optional;
} JobDownload;

typedef struct JobCache {
    const char *key;            /* may hold ${{ }} */
    const char *const *restore; /* beginnings of keys, NULL-terminated; they too */
    const char *const *paths;   /* globs, NULL-terminated */
    /* as the job goes on: */
    const char *name; /* the key; NULL: not known yet */
    bool kept;        /* there is one with this key already */
    int64_t damaged;  /* there is this one, and it is of no use; 0: none */
} JobCache;

typedef struct JobSpec {
    int64_t id, attempt, build;
    const char *name, *project, *commit, *ref, *branch, *event, *schedule, *build_url; /* never NULL */
    const char *target;                           /* of a pull request; "" */
    int64_t pull_number;                          /* 0: it is none */
    bool untrusted;                               /* from a fork, and nobody has approved it */
    const char *repository_url, *repository_path; /* NULL: none */
    int64_t project_id;
    Env env;         /* the specification's, then the job's */
    Env computed;    /* texts with ${{ }}: of names that are not in what is over the specification's */
    PlanNeed *needs; /* how the jobs that it needs have ended, as far as it asks */
    size_t need_count;
    const char **secret_names, **secrets; /* and their values */
    size_t secret_count;
    const char *executor;
    bool checkout, network;
    int64_t timeout_us;
    JobStep *steps;
    size_t step_count;
    JobArtifact *artifacts;
    size_t artifact_count;
    JobDownload *downloads;
    size_t download_count;
    bool artifacts_of_build_server;
    ExecutorContainer container;
    const char *const *release; /* globs, NULL-terminated; NULL: no release */
    JobCache *caches;
    size_t cache_count;
    CgroupLimits limits;
    JobWorkspace workspace;
} JobSpec;

/* What a JOB has of time, µs; 0: as much as it likes. */
_must_check_ int spec_timeout(const json_t *job, int64_t *ret, Err *err);
/* ERR_INVALID names the field. */
_must_check_ int spec_read(const char *text, size_t len, const void *mem, JobSpec **ret, Err *err);
/* The JOB's secrets: an object of texts, or NULL. */
_must_check_ int spec_add_secrets(JobSpec *job, const json_t *secrets, Err *err);
/* Sets the secrets that the step may have; step NULL: those that all may have. */
void spec_set_secrets(const JobSpec *job, const JobStep *step, Env *env);
/* What the job says of a variable, secrets included; NULL: nothing. */
const char *spec_variable(const JobSpec *job, const char *name);
