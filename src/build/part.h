/* Inside the room: jobs that a job hands over to its build. */
#pragma once

#include "build/state.h"

typedef struct Part {
    Plan *plan;
    const char *problem; /* all its mistakes, for the job's message; NULL: none */
    const char **known;  /* the names of the build's jobs when it was read, by id */
    size_t known_count;
} Part;

/* Plans it, without a transaction. In mem. Mistakes in it are no error. */
_must_check_ int part_read(Builds *b, int64_t job_id, const char *text, const void *mem, Part **ret,
                           Err *err);
/* Before the maker, which has succeeded, ends: inserts the jobs, unless the build is made to end.
 * *ret_problem: why they cannot be its build's; NULL: they are. */
_must_check_ int part_insert(Tx *tx, const Part *part, const Job *maker, const char **ret_problem, Err *err);
