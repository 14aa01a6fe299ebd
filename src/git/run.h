/* One git process to its end. */
#pragma once

#include "base/proc.h"
#include "git/env.h"

#define GIT_TIMEOUT (INT64_C(60) * 1000000) /* µs; of what only reads and writes small things */

/* Runs argv ("git" first) with input `in` (may be NULL), its output appended to out (NULL: dropped; over
 * max_out ERR_TOO_LARGE, with what there was in out). A status other than 0 is ERR_IO with git's own words.
 */
_must_check_ int git_run(const char *const *argv, GitEnv *env, const void *in, size_t in_len, size_t max_out,
                         Buf *out, Err *err);
/* Runs with output and errors copied to log_fd (-1: to nobody) as they come, and the end of the errors kept
 * in *tail. For ever, if it takes so long. A status other than 0 is ERR_IO with git's own words. */
_must_check_ int git_run_logged(const ProcOptions *options, int log_fd, Buf *tail, Err *err);
