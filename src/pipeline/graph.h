/* The graph of a file's jobs: names become indices; circles are found. */
#pragma once

#include "pipeline/lang.h"
#include "pipeline/problems.h"

/* Names in order, to find one among many: an attacker's names cost no more than others. */
typedef struct NameEntry {
    const char *name;
    size_t index, count; /* of a matrix: that many, one behind the other */
} NameEntry;

void names_sort(NameEntry *names, size_t count);
/* The entry, or NULL. */
const NameEntry *names_find(const NameEntry *names, size_t count, const char *name);

/* Fills in PipeJob.need, need_at, need_count, known and dependents, and PipeDeploy.job_index (0 when there
 * are no jobs). Missing needs, needs of itself, circles and an unclear job of a deploy become problems. */
void graph_link(PipeFile *file, const void *mem, Problems *problems);
