/* What `ps` shows of this process. Linux shows the memory that the program was started with, argv; a process
 * that is forked and not executed has its parent's, until it writes its own words there. */
#pragma once

#include "base/mem.h"

/* Once, at the start: title_set may write over argv's strings from now on, so whoever needs them has copied
 * them. */
void title_keep(int argc, char **argv);
/* Does nothing before title_keep; a longer text is cut to the room that there is. From one thread at a time.
 */
void title_set(const char *fmt, ...) _printf_(1, 2);
