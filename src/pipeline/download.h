/* Whether jobs need those that make what they download. */
#pragma once

#include "pipeline/lang.h"
#include "pipeline/problems.h"

/* After graph_link, when that found nothing wrong. A download that no job that is needed brings becomes a
 * problem, unless it is optional; in a part of a pipeline it may be brought by a job that its build has,
 * which is seen when the job runs. */
void downloads_check(const PipeFile *file, Problems *problems);
