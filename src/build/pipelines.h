/* Stored pipelines: kept with all their versions, run on demand, by deliveries, by pushes to repositories of
 * ours and by the clock. An execution is a build like any other. All functions are thread-safe. */
#pragma once

#include "build/build.h"
#include "pipeline/pipeline.h"
#include "store/pipeline.h"

/* Reads, checks and stores the text: a new pipeline, or (uuid) the next version of one that is there. A text
 * that is the current version's makes no new one. ERR_INVALID, ERR_UNSUPPORTED with *ret_problems (which may
 * be empty), ERR_NOT_FOUND. In mem. */
_must_check_ int build_pipeline_save(Builds *b, const char *uuid, const char *yaml, size_t len,
                                     const char *by, const void *mem, Pipeline **ret,
                                     PlanProblems **ret_problems, Err *err);
/* Its executions stay, those that run go on. */
_must_check_ int build_pipeline_delete(Builds *b, const char *uuid, Err *err);

typedef struct PipelineRun {
    const Pipeline *pipeline;
    const char *trigger_type;                 /* "manual", "webhook", "schedule" … */
    const char *triggered_by;                 /* "api", "webhook", "schedule", "push" */
    const char *who;                          /* for the build's pusher */
    const char *branch, *commit, *repository; /* as they were given; "" none */
    const char *payload;                      /* JSON; "" none */
    const char *env;                          /* JSON object of texts, or NULL */
    const char *delivery;                     /* the same one again runs nothing; NULL: none */
    bool untrusted;                           /* it works on a stranger's code: it gets no secrets */
} PipelineRun;

typedef struct PipelineStarted {
    int64_t build;    /* 0: nothing runs */
    const char *uuid; /* NULL then; in mem */
    const char *why;  /* why nothing runs; "" */
} PipelineStarted;

/* Plans the current version and stores the execution. When `repository` is one that we host the build is of
 * its commit (commit, or branch, or the default one); of any other it is told to the steps only. May start
 * git: not on an epoll thread. */
_must_check_ int build_pipeline_run(Builds *b, const PipelineRun *run, const void *mem, PipelineStarted *ret,
                                    Err *err);
