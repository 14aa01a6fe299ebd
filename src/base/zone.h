/* Time zones, without the process's own (which tzset keeps for all threads): TZif files (RFC 8536). */
#pragma once

#include "base/err.h"
#include <stdint.h>

typedef struct Zone Zone;

/* "Europe/Berlin" from the system's time zone database; "UTC" needs none. ERR_INVALID: there is none of that
 * name; the message has the nearest one. In mem. */
_must_check_ int zone_read(const char *name, const void *mem, Zone **ret, Err *err);
/* Seconds that local time is ahead of UTC at this time (s since 1970). */
int64_t zone_offset(const Zone *zone, int64_t at);
