/* Patterns of branches, tags and files, as people write them. Within the room. */
#pragma once

#include <stdbool.h>

/* What is wrong with a pattern (str_glob_list); NULL: nothing. first: nothing stands before it that it could
 * take away from. */
const char *pattern_fault(const char *pattern, bool first);
