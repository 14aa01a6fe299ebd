/* Whether what is kept under one key is one thing. */
#pragma once

#include "pipeline/lang.h"
#include "pipeline/problems.h"

/* Two caches of one key that keep other paths, of one job or of two, become a problem: whichever is kept
 * first would be restored for both. Keys are compared as they are written; instances of a matrix are of one
 * job. */
void caches_check(const PipeFile *file, Problems *problems);
