/* Inside of the job process: a REPORT that has to be other than it was written. */
#pragma once

#include <stdint.h>

/* Of a job whose log the server takes no more of: REPORT as if the log ended after `kept` bytes, and a
 * success has become a failure (infrastructure) with the reason why; another end says it in its message too.
 * Takes text, a malloc'ed one, and gives one. */
char *report_cut(char *text, int64_t kept, const char *why);
/* The bytes of log that a final REPORT tells of; -1: none. */
int64_t report_log_size(const char *text);
