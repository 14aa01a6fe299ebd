/* The server's own runners: their row, their token, their command line. */
#pragma once

#include "store/store.h"

typedef struct RunnerChild {
    const char *program, *state, *url;
    const char *const *labels; /* "key=value", NULL-terminated; NULL: none */
    int number;                /* from 0 */
    int64_t slots, cancel_grace_us, cleanup_us;
    uint64_t min_free_space;
    bool allow_shell;
    int64_t id, token_id; /* filled in: its row's, its token's */
} RunnerChild;

/* A runner of the server's own that may be drained: then it is not to run. */
typedef struct RunnerSeat {
    Db *db;
    int64_t id;
    bool told; /* that it is drained */
} RunnerSeat;

/* ChildOptions.wanted: whether the seat's runner is to run. Says so once when it is not. */
bool runner_child_wanted(void *seat);

/* Makes the runner known under the name "local" ("local-2", …), keeps its token in STATE/runner/token across
 * restarts (jobs that outlive the server still speak with it), and gives the argument vector to start it with
 * (in mem). */
_must_check_ int runner_child_prepare(Db *db, RunnerChild *child, const void *mem,
                                      const char *const **ret_argv, Err *err);
