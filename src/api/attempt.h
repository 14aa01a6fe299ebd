/* Inside the room: calls of a job process, which speak for an attempt. */
#pragma once

#include "api/api.h"

/* {"error":"StaleAttempt"} */
void attempt_reply_stale(HttpRequest *req, const Err *err);
/* The job of the path's {id}, the attempt of the query, whether there is such a one or not. */
_must_check_ int attempt_asked(HttpRequest *req, Attempt *ret, Err *err);
/* The job of the path's {id}, which the attempt holds at this runner; a stale one is answered here: 0, and
 * *ret_job NULL. */
_must_check_ int attempt_job(HttpRequest *req, int64_t attempt, Job **ret_job, Err *err);
/* The same, the attempt being the query's. */
_must_check_ int attempt_begin(HttpRequest *req, Job **ret_job, Err *err);
