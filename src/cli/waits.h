/* What a build waits for, for whoever follows it. */
#pragma once

#include "base/json.h"

/* Of the answer of GET /api/builds/{id}: the first job that waits for something else than other jobs, and for
 * what. False: there is none, or something runs. Borrowed from build. */
bool build_waits(const json_t *build, const char **ret_job, const char **ret_why);
