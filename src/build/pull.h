/* Pull requests: what is known of one. Who tells of it says what he knows, as JSON {"number", "source",
 * "target", "title", "author", "fork"}; the rest is as it was told before. Thread-safe. */
#pragma once

#include "build/build.h"
#include "pipeline/pipeline.h"

#include <jansson.h>

/* Texts are borrowed from the object. A "fork" that is left out is PULL_TOLD. ERR_INVALID names the field. */
_must_check_ int pull_read(const json_t *object, PullRequest *ret, Err *err);
/* "refs/pull/7/head" */
const char *pull_ref(int64_t number, const void *mem);

/* ---- inside the room ---- */
/* With what was told before, and the repository's own branch where no target is known; all texts are set, the
 * origin is PULL_OWN or PULL_FORK. In mem. */
_must_check_ int pull_complete(Builds *b, const Project *project, const PullRequest *told, const void *mem,
                               PullRequest *ret, Err *err);
/* As Build.pull has it. */
const char *pull_text(const PullRequest *pull, const void *mem);
/* The branch that it is from. A fork's is none of the repository's, and is not to be taken for one that has
 * its name: "pull/7", as where it is not known. */
const char *pull_branch(const PullRequest *pull, const void *mem);
/* Of the build; number 0 and no texts: it is of none. In mem. */
_must_check_ int pull_of_build(const Build *build, const void *mem, PullRequest *ret, Err *err);
/* For planning: what expressions are told of it; nothing when it is none. */
void pull_tell(const PullRequest *pull, const void *mem, PlanContext *context);
