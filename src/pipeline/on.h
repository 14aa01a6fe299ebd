/* `on`: which events a pipeline is for. Within the room. */
#pragma once

#include "pipeline/changes.h"

/* Whether the file is for what happened. false: *ret_why says why not. */
bool on_wants(const PipeFile *file, Changes *changes, const char **ret_why);
/* The file's schedules into the plan, in mem. */
void on_schedules(const PipeFile *file, const void *mem, Plan *plan);
