/* Whom the kernel has killed for want of memory, by its own log (/dev/kmsg): for a container whose group is
 * gone before anybody can ask it, and whose engine does not tell. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The log from now on; -1: it may not be read here. The caller closes. */
int oom_log_open(void);
/* Whether since then a limit was hit of the group that has this id in its path. What was read is not read
 * again. */
bool oom_log_names(int fd, const char *id);
/* The same of one record: "PRIORITY,NUMBER,TIME,FLAGS;TEXT\n" (Linux, Documentation/ABI/testing/dev-kmsg). */
bool oom_record_names(const char *record, size_t len, const char *id);
