/* The specifications of jobs as JSON (SPEC in docs/runner-protocol.md). */
#pragma once

#include "base/json.h"
#include "pipeline/graph.h"

#define SPEC_MAX_TOTAL (64 * 1024 * 1024) /* of all jobs of a plan */

typedef struct SpecWriter {
    const void *mem;
    const YamlNode *env; /* of the file */
    NameEntry *names;    /* of that env, sorted */
    size_t *hidden;      /* for each of its variables: the job (from 1) that has one of that name */
    size_t jobs;         /* written so far */
    size_t total;        /* bytes so far */
    Buf buf;
} SpecWriter;

void spec_init(SpecWriter *w, const PipeFile *file, const void *mem);
void spec_done(SpecWriter *w);

/* What runs the job: what it says, or what its image and steps need. */
const char *spec_executor(const PipeJob *job);
/* A job of steps; release: the files that become the release, or NULL. The text lives in the writer's mem;
 * NULL when all together would be larger than SPEC_MAX_TOTAL. */
const char *spec_job(SpecWriter *w, const PipeJob *job, const LangPaths *release);
/* The deploy of `job`'s workspace. */
const char *spec_deploy(SpecWriter *w, const PipeDeploy *deploy, const char *job);
/* One step `make`, whose artifacts are document 0's. */
const char *spec_make(SpecWriter *w);
/* A flake alone: its checks. */
const char *spec_flake(SpecWriter *w);
/* `labels` with sorted keys; NULL when there are none. */
const char *spec_labels(SpecWriter *w, const YamlNode *labels);
/* PlanJob.retry; NULL: never. */
const char *spec_retry(SpecWriter *w, const PipeRetry *retry);
