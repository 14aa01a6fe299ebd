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

typedef struct NixActivity {
    uint64_t id;
    char *text, *name; /* a build's own name: its lines begin with it */
    int64_t began;     /* µs since 1970 */
    bool build;
} NixActivity;

typedef struct NixStep {
    const char *text;
    int64_t took; /* µs */
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
    int64_t began, ended;
} NixLog;

/* Takes a line without its end at `now` (µs since 1970); what people shall read is appended to out. A line
 * that is not nix's is given on as it is. */
void nix_log_line(NixLog *l, const char *line, size_t len, int64_t now, Buf *out);
/* Into an object:
 * "total_steps","started_at","completed_at","timeline":[{"text","duration"}],"important_messages":[{"level",
 * "message"}],"packages_checked":[],"checks_run":[]; durations in seconds. */
void nix_log_summary(const NixLog *l, JsonWriter *w);
