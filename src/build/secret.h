/* Secrets: set, and given to the attempts of jobs that name them. A job sees those of its project, and those
 * of the organisation that the project has none of the same name for; one of a stored pipeline first that
 * pipeline's own. Thread-safe. */
#pragma once

#include "build/build.h"

#define SECRET_VALUE_MAX ((size_t)64 * 1024)
#define SECRET_JOB_MAX ((size_t)256 * 1024) /* of all that one job names */
#define SECRET_COUNT_MAX 500                /* of a project, of an organisation */
#define SECRET_SHORT 8                      /* bytes; shorter ones come with a warning */

/* Sets or replaces. project NULL: the organisation's. *ret_warning: "" or what the shortness of it or
 * its lines means; a constant. ERR_INVALID: a bad name or value; the message never holds the value. */
_must_check_ int build_secret_set(Builds *b, const Project *project, const char *name, const char *value,
                                  const char *by, const char **ret_warning, Err *err);
_must_check_ int build_secret_remove(Builds *b, const Project *project, const char *name, Err *err);
/* Seals all of them with a new key and forgets the old ones; gives their number. */
_must_check_ int build_secrets_rotate(Builds *b, size_t *ret_count, Err *err);

/* Inside the room: the secrets that the job names, in mem. *ret_problem (NULL: none): why it must not run. */
_must_check_ int secrets_of_job(Builds *b, const Job *job, const Build *build, const void *mem,
                                JobSecret **ret, size_t *ret_count, const char **ret_problem, Err *err);
