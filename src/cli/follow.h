/* Following a build's log over server-sent events, through lost connections and restarts of the server. */
#pragma once

#include "cli/call.h"

/* How far the log of one attempt of a job has been printed. */
typedef struct FollowJob {
    const char *name;
    int64_t attempt;
    int64_t next;        /* offset behind the last byte that was printed */
    const char *status;  /* the last word about it, or "" */
    const char *message; /* what was said with it, or "" */
    const char *waits;   /* what was last said of why it waits, or "" */
} FollowJob;

typedef struct FollowJobs {
    FollowJob *items;
    size_t count;
} FollowJobs;

/* The part of an event's text that was not printed yet, and its length for *len; notes that it is printed
 * now: a piece that comes twice, or overlaps, gives only what is new. A replacement character counts as the
 * one byte that it stands for. */
const char *follow_new_part(FollowJobs *jobs, const void *mem, const char *job, int64_t attempt,
                            int64_t offset, const char *text, size_t *len);

/* Prints the log of the build (of one job when job is not NULL) to standard output until it ends. Each byte
 * once. Gives CLI_DONE after success, CLI_FAILED after anything else. */
_must_check_ int follow_build(Cli *cli, int64_t build, const char *job, Err *err);
/* Of the answer that says which build was started: tells it, or follows the build. */
_must_check_ int follow_started(Cli *cli, json_t *answer, bool follow, Err *err);
