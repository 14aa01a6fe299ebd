#include "base/cron.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/zone.h"
#include <ctype.h>
#include <time.h>

#define DAY (24 * 3600)
#define YEARS 8
#define ALL_HOURS 0xffffffu

typedef struct Field {
    const char *name;
    int min, max;
    const char *words; /* three letters each, from min on */
} Field;

static const Field fields[] = {
    {"second", 0, 59, NULL},
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of the month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of the week", 0, 7, "sunmontuewedthufrisat"}, /* 7 is Sunday too */
};
#define FIELDS ELEMENTS(fields)

static const char *const nicknames[][2] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

/* A number or a word; steps over it. -1: neither. */
static int value_at(const Field *field, const char **at, const char *end) {
    const char *p = *at;
    int value = 0, digits = 0;

    for (; p < end && isdigit((unsigned char)*p) && digits < 4; p++, digits++)
        value = value * 10 + (*p - '0');
    if (digits) {
        *at = p;
        return value >= field->min && value <= field->max ? value : -1;
    }
    for (size_t i = 0; field->words && field->words[i] && end - p >= 3; i += 3) {
        if (strncasecmp(field->words + i, p, 3) == 0) {
            *at = p + 3;
            return field->min + (int)(i / 3);
        }
    }
    return -1;
}

/* "*", "5", "1-5", each with "/2" behind it. */
static bool read_part(const Field *field, const char *at, const char *end, uint64_t *bits) {
    int first = field->min, last = field->max, step = 1;
    bool star = at < end && (*at == '*' || *at == '?');

    if (star) {
        at++;
    } else {
        first = last = value_at(field, &at, end);
        if (first >= 0 && at < end && *at == '-') {
            at++;
            last = value_at(field, &at, end);
        } else if (at < end && *at == '/') {
            last = field->max;
        }
    }
    if (at < end && *at == '/') {
        const Field any = {"step", 1, 9999, NULL};

        at++;
        step = value_at(&any, &at, end);
    }
    if (at != end || first < 0 || last < first || step < 1)
        return false;
    for (int i = first; i <= last; i += step)
        *bits |= UINT64_C(1) << i;
    return true;
}

static int read_field(const Field *field, const char *text, size_t len, uint64_t *ret, Err *err) {
    const char *end = text + len;
    uint64_t bits = 0;

    for (const char *at = text;; at++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;

        if (!read_part(field, at, stop, &bits))
            return err_set(
                err, ERR_INVALID,
                "\"%.*s\" is no %s; expected %d to %d, ranges (1-5), lists (1,5), steps (*/5) or *",
                (int)MIN(len, (size_t)60), text, field->name, field->min, field->max);
        if (!comma)
            break;
        at = comma;
    }
    *ret = bits;
    return 0;
}

/* Whether a field leaves the day to the other one. */
static bool is_any(const char *text) {
    return *text == '*' || *text == '?';
}

#define WORDS_MAX (FIELDS + 1) /* one more than there may be */

typedef struct Words {
    const char *at[WORDS_MAX];
    size_t len[WORDS_MAX], count;
} Words;

static Words split(const char *text) {
    Words w = {.count = 0};

    for (text += strspn(text, " \t"); *text && w.count < WORDS_MAX; text += strspn(text, " \t")) {
        w.at[w.count] = text;
        w.len[w.count] = strcspn(text, " \t");
        text += w.len[w.count++];
    }
    return w;
}

static int read_fields(const char *text, Cron *cron, size_t *ret_at, Err *err) {
    Words w = split(text);
    uint64_t bits[FIELDS] = {1};
    size_t shift = FIELDS - w.count;
    int r = 0;

    if (w.count != FIELDS && w.count != FIELDS - 1)
        return err_set(err, ERR_INVALID,
                       "expected five fields (minute, hour, day, month, weekday), or six with seconds before "
                       "them, got %s\"%.60s\"",
                       w.count ? "" : "nothing: ", text);
    for (size_t i = shift; r == 0 && i < FIELDS; i++) {
        *ret_at = (size_t)(w.at[i - shift] - text);
        r = read_field(&fields[i], w.at[i - shift], w.len[i - shift], &bits[i], err);
    }
    if (r < 0)
        return r;
    *cron = (Cron){.seconds = bits[0],
                   .minutes = bits[1],
                   .hours = (uint32_t)bits[2],
                   .days = (uint32_t)bits[3],
                   .months = (uint32_t)bits[4],
                   .weekdays = (uint32_t)((bits[5] | bits[5] >> 7) & 0x7f),
                   .any_day = is_any(w.at[3 - shift]),
                   .any_weekday = is_any(w.at[5 - shift])};
    return 0;
}

/* *ret_at is set in any case. */
static int read_at(const char *text, const char *zone, Cron *ret, size_t *ret_at, Err *err) {
    _cleanup_talloc_ Zone *known = NULL;
    int r = zone_read(zone ? zone : "UTC", NULL, &known, err);

    *ret_at = 0;
    for (size_t i = 0; i < ELEMENTS(nicknames); i++)
        if (str_eq(text, nicknames[i][0]))
            text = nicknames[i][1];
    if (r == 0)
        r = read_fields(text, ret, ret_at, err);
    if (r == 0)
        snprintf(ret->zone, sizeof(ret->zone), "%s", zone ? zone : "UTC");
    return r;
}

int cron_read(const char *text, const char *zone, Cron *ret, Err *err) {
    size_t at;

    return read_at(text, zone, ret, &at, err);
}

/* ---- what was probably meant ---- */

/* "monday" -> "mon", "24" hours -> "0": what is no value, as the nearest one. */
static void mend_value(const Field *field, const char *at, size_t len, Buf *out) {
    const char *p = at;
    int value = 0;

    for (size_t i = 0; i < len && isdigit((unsigned char)at[i]) && value < 1000; i++)
        value = value * 10 + (at[i] - '0');
    if (value == field->max + 1 && field->min == 0)
        buf_adds(out, "0");
    else if (len > 3 && isalpha((unsigned char)*at) && value_at(field, &p, at + len) >= 0)
        buf_add(out, at, 3);
    else
        buf_add(out, at, len);
}

/* "fri-mon" -> "5-6,0-1", "22-2" -> "22-23,0-2". */
static bool mend_range(const Field *field, const char *at, const char *end, Buf *out) {
    int last = field->words && field->max == 7 ? 6 : field->max;
    int from = value_at(field, &at, end), to;

    if (from < 0 || at == end || *at++ != '-')
        return false;
    to = value_at(field, &at, end);
    if (to < 0 || at != end || to >= from)
        return false;
    buf_addf(out, "%d-%d,%d-%d", from, last, field->min, to);
    return true;
}

static void mend_part(const Field *field, const char *at, const char *end, Buf *out) {
    uint64_t bits = 0;

    if (read_part(field, at, end, &bits)) {
        buf_add(out, at, (size_t)(end - at));
        return;
    }
    if (at < end && *at == '/')
        buf_adds(out, "*");
    if (mend_range(field, at, end, out))
        return;
    while (at < end) {
        size_t len = 0;

        while (at + len < end && !strchr("-/", at[len]))
            len++;
        mend_value(field, at, len, out);
        at += len;
        if (at < end)
            buf_addc(out, *at++);
    }
}

static void mend_field(const Field *field, const char *at, const char *end, Buf *out) {
    for (const char *comma; (comma = memchr(at, ',', (size_t)(end - at))); at = comma + 1) {
        mend_part(field, at, comma, out);
        buf_addc(out, ',');
    }
    mend_part(field, at, end, out);
}

/* "3:00" -> "0 3 * * *". */
static bool mend_clock(const char *text, Buf *out) {
    int hour, minute, used = 0;

    /* NOLINTNEXTLINE(cert-err34-c): the widths leave nothing to overflow */
    if (sscanf(text, " %2d:%2d %n", &hour, &minute, &used) != 2 || text[used])
        return false;
    buf_addf(out, "%d %d * * *", minute, hour);
    return true;
}

static bool mend_nickname(const char *text, Buf *out) {
    const char *names[ELEMENTS(nicknames) + 1] = {NULL}, *nearest;
    _cleanup_talloc_ char *lower = mem_printf(NULL, "%s%s", *text == '@' ? "" : "@", text);

    for (size_t i = 0; i < ELEMENTS(nicknames); i++)
        names[i] = nicknames[i][0];
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    nearest = str_nearest(lower, names);
    if (str_eq(lower, "@nightly"))
        nearest = "@daily";
    if (nearest)
        buf_adds(out, nearest);
    return nearest != NULL;
}

/* The field that a four-field time has forgotten is its last one; a seventh would be a year. */
static void mend_fields(const char *text, Buf *out) {
    Words w = split(text);
    size_t count = MIN(w.count, FIELDS), shift = FIELDS - MAX(count, FIELDS - 1);

    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_addc(out, ' ');
        mend_field(&fields[i + shift], w.at[i], w.at[i] + w.len[i], out);
    }
    if (count == FIELDS - 2)
        buf_adds(out, " *");
}

static bool mend(const char *text, Buf *out) {
    Cron unused;
    size_t at;
    Err why;

    if (split(text).count > 1)
        mend_fields(text, out);
    else if (!mend_clock(text, out))
        return mend_nickname(text, out);
    return read_fields(buf_str(out), &unused, &at, &why) == 0;
}

static bool is_plain(const char *text) {
    while (isprint((unsigned char)*text) || *text == '\t')
        text++;
    return !*text;
}

int cron_check(const char *text, size_t *ret_at, Err *err) {
    _cleanup_buf_ Buf meant = BUF_INIT;
    int64_t next;
    Cron cron;
    Err why;
    int r;

    *ret_at = 0;
    if (strlen(text) > CRON_MAX)
        return err_set(err, ERR_INVALID, "expected at most %d bytes", CRON_MAX);
    if (!is_plain(text)) /* which a message shall not repeat */
        return err_set(err, ERR_INVALID, "expected digits, names and * , - / alone");
    r = read_at(text, NULL, &cron, ret_at, &why);
    if (r == 0) {
        *ret_at = 0;
        r = cron_next(&cron, 0, &next, &why); /* what never comes does not from any time on */
    }
    if (r == 0)
        return 0;
    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_INVALID, "\"%s\" never comes: %s", text, why.msg);
    if (!mend(text, &meant))
        return err_set(err, ERR_INVALID, "%s", why.msg);
    return err_set(err, ERR_INVALID, "%s; did you mean \"%s\"?", why.msg, buf_str(&meant));
}

/* ---- the next time ---- */

static bool day_fits(const Cron *cron, const struct tm *tm) {
    bool day = cron->days >> tm->tm_mday & 1, weekday = cron->weekdays >> tm->tm_wday & 1;

    if (!(cron->months >> (tm->tm_mon + 1) & 1))
        return false;
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

/* `delta` seconds later by the local clock: a midnight stays one. */
static int64_t local_later(const Zone *zone, int64_t at, int64_t delta) {
    int64_t then = at + delta;
    int64_t change = zone_offset(zone, then) - zone_offset(zone, at);
    int64_t fixed = then - change;

    return change && fixed > at && zone_offset(zone, fixed) == zone_offset(zone, then) ? fixed : then;
}

/* The clock was put back, and showed this very time before. */
static bool second_time(const Zone *zone, int64_t at) {
    int64_t back = zone_offset(zone, at - 3 * 3600) - zone_offset(zone, at);

    return back > 0 && zone_offset(zone, at - back) == zone_offset(zone, at) + back;
}

/* How far to go on by the local clock; 0: it fits. */
static int64_t misfit(const Cron *cron, const struct tm *tm) {
    if (!day_fits(cron, tm))
        return DAY - (tm->tm_hour * 3600 + tm->tm_min * 60 + tm->tm_sec);
    if (!(cron->hours >> tm->tm_hour & 1))
        return 3600 - (tm->tm_min * 60 + tm->tm_sec);
    if (!(cron->minutes >> tm->tm_min & 1))
        return 60 - tm->tm_sec;
    return cron->seconds >> tm->tm_sec & 1 ? 0 : 1;
}

int cron_next(const Cron *cron, int64_t after, int64_t *ret, Err *err) {
    _cleanup_talloc_ Zone *zone = NULL;
    int64_t at = after / US_PER_S + 1, until = at + (int64_t)YEARS * 366 * DAY;
    int r = zone_read(cron->zone, NULL, &zone, err);

    if (r < 0)
        return r;
    while (at < until) {
        time_t local = (time_t)(at + zone_offset(zone, at));
        struct tm tm;
        int64_t step;

        gmtime_r(&local, &tm);
        step = misfit(cron, &tm);
        if (step) {
            at = step > 3600 ? local_later(zone, at, step) : at + step;
        } else if (cron->hours != ALL_HOURS && second_time(zone, at)) {
            at++;
        } else {
            *ret = at * US_PER_S;
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "there is no such day within %d years", YEARS);
}
