/* Inside the room: what the pipeline of a commit is planned with, when its build is made and when a job of it
 * hands over more. */
#pragma once

#include "build/pull.h"
#include "git/git.h"

/* A pipeline file is at most what the reader takes. */
#define COMMIT_FILE_MAX (1024 * 1024)

typedef struct CommitContext {
    const Build *build;     /* what is of the event: ref, branch, inputs, old_rev … */
    const Project *project; /* without a path: there is no repository to ask */
    const PullRequest *pull;
    PlanSource source;
    PlanContext plan;
} CommitContext;

/* Fills in `plan`, which holds on to c, from the first three; whether it deploys is left to the caller. */
void commit_context(CommitContext *c, const Builds *b, const GitCommit *commit, const void *mem);
