/* Time: microseconds since 1970-01-01T00:00:00Z for what is kept, monotonic microseconds for what is waited.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

int64_t clock_now(void);  /* wall clock, µs UTC */
int64_t clock_mono(void); /* CLOCK_MONOTONIC, µs */
/* clock_now less clock_mono: the same at any two moments, unless the wall clock was set between them, or the
 * machine suspended. */
int64_t clock_distance(void);

/* What poll(2) takes to wait until then (by clock_mono; INT64_MAX: for ever), rounded up. */
int clock_poll_ms(int64_t until);

#define CLOCK_RFC3339_SIZE 32
/* "2026-02-24T06:59:36.123456Z" (RFC 3339, UTC, µs); `out` has CLOCK_RFC3339_SIZE bytes. Gives out. */
char *clock_rfc3339(int64_t us, char *out);
/* "2026-02-24 06:59:36", UTC (the form of document 3's created_at). */
char *clock_sql(int64_t us, char *out);
/* "1.2 s", "3 min 4 s", "2 h 5 min": for people. */
char *clock_human(int64_t us, char *out);
