/* What nix says with `--log-format internal-json` (lines "@nix {…}", src/libutil/logging.cc of Nix), as lines
 * for people and as a summary: what was done and how long it took, warnings and errors, packages and checks.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

#define NIX_LOG_KEPT 1000 /* steps, messages, names: more are counted only */
#define NIX_LOG_DEPTH 20  /* of steps below steps; deeper ones are beside each other */

typedef struct NixActivity {
    uint64_t id;
    char *text, *name;  /* a build's own name: its lines begin with it */
    size_t step;        /* its own, or the one that it is a part of, from 1; 0: none */
    bool build, beside; /* beside: others run at the same time that are no part of it */
} NixActivity;

typedef struct NixStep {
    const char *text;
    int64_t began, ended; /* µs since 1970; ended 0: not yet */
    size_t under;         /* the step that it is a part of, from 1; 0: none */
    int depth;
} NixStep;

typedef struct NixMessage {
    const char *level; /* "error", "warning" */
    const char *text;
} NixMessage;

typedef struct NixNames {
    const char **items;
    size_t count;
} NixNames;

typedef struct NixLog {
    void *mem;
    bool check; /* of `nix flake check`: what it builds are checks */
    NixActivity *open;
    size_t open_count;
    NixStep *steps;
    size_t step_count, total_steps;
    NixMessage *messages;
    size_t message_count;
    NixNames packages, checks;
    bool all_packages; /* were checked, without their names */
    int64_t began, ended;
} NixLog;

/* Takes a line without its end at `now` (µs since 1970); what people shall read is appended to out. A line
 * that is not nix's is given on as it is. */
void nix_log_line(NixLog *l, const char *line, size_t len, int64_t now, Buf *out);
/* What `nix flake show --json` says (NULL: nothing): the names of packages that were checked, where nix has
 * not told them itself. */
void nix_log_shown(NixLog *l, const json_t *shown);
/* Into an object:
 * "total_steps","started_at","completed_at","timeline":[{"text","duration","children":[…]}],
 * "steps":[{"text","duration"}] (those of the timeline, as they began),
 * "important_messages":[{"level","message"}],"packages_checked":[],"checks_run":[]; durations in seconds. */
void nix_log_summary(const NixLog *l, JsonWriter *w);
