/* Times that come again and again, as cron(8) writes them: minute, hour, day of the month, month, day of the
 * week; with six fields the first one is seconds. Lists, ranges, steps, names of months and days, "?" for
 * "*", and @hourly @daily @midnight @weekly @monthly @yearly @annually. When both the day of the month and
 * that of the week are given, either is enough (crontab(5)). */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRON_MAX 200 /* bytes of a person's text */

typedef struct Cron {
    uint64_t seconds, minutes; /* a bit each */
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday;
    char zone[64]; /* of the time zone database: "Europe/Berlin"; "UTC" */
} Cron;

/* zone NULL: UTC. ERR_INVALID says which field is wrong, or that a zone is unknown here. */
_must_check_ int cron_read(const char *text, const char *zone, Cron *ret, Err *err);
/* For a person's text: also refuses what is longer than CRON_MAX and a day that never comes, and names the
 * nearest right form where it knows one. *ret_at: the mistake's byte in text. */
_must_check_ int cron_check(const char *text, size_t *ret_at, Err *err);
/* The first time after `after` (µs UTC, as the answer). ERR_NOT_FOUND: none within the next eight years. A
 * time that a change of the clock leaves out is not made up for; one that it brings twice counts once. */
_must_check_ int cron_next(const Cron *cron, int64_t after, int64_t *ret, Err *err);
