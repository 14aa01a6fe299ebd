#include "base/clock.h"

#include "base/mem.h"
#include <stdio.h>
#include <time.h>

static int64_t now_of(clockid_t id) {
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_now(void) {
    return now_of(CLOCK_REALTIME);
}

int64_t clock_mono(void) {
    return now_of(CLOCK_MONOTONIC);
}

/* Both are read at one moment, or once more: the thread may be stopped between them. */
int64_t clock_distance(void) {
    int64_t before, now;

    do {
        before = clock_mono();
        now = clock_now();
    } while (clock_mono() - before > US_PER_MS);
    return now - before;
}

int clock_poll_ms(int64_t until) {
    int64_t left;

    if (until == INT64_MAX)
        return -1;
    left = MAX(until - clock_mono(), (int64_t)0);
    return (int)MIN((left + US_PER_MS - 1) / US_PER_MS, (int64_t)3600 * 1000);
}

typedef struct Civil {
    int64_t year;
    unsigned month, day, hour, minute, second, us;
} Civil;

/* Days since 1970 to a date of the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level
 * Date Algorithms"): gmtime_r() takes the lock of the time zone, and every answer has a few times in it. */
static Civil civil(int64_t us) {
    int64_t seconds = us / US_PER_S - (us % US_PER_S < 0);
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    unsigned rest = (unsigned)(seconds - days * 86400);
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;

    return (Civil){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = doy - (153 * mp + 2) / 5 + 1,
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
        .us = (unsigned)(us - seconds * US_PER_S),
    };
}

static char *put(char *at, unsigned value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

static char *put_second(char *at, const Civil *c, char between) {
    at = put(at, (unsigned)c->year, 4);
    *at++ = '-';
    at = put(at, c->month, 2);
    *at++ = '-';
    at = put(at, c->day, 2);
    *at++ = between;
    at = put(at, c->hour, 2);
    *at++ = ':';
    at = put(at, c->minute, 2);
    *at++ = ':';
    return put(at, c->second, 2);
}

/* RFC 3339 has four digits for a year: what is outside is shown as the nearest time inside. */
static Civil civil_clamped(int64_t us) {
    const int64_t first = INT64_C(-62167219200) * US_PER_S;         /* 0000-01-01 */
    const int64_t last = INT64_C(253402300799) * US_PER_S + 999999; /* 9999-12-31T23:59:59.999999 */

    return civil(us < first ? first : us > last ? last : us);
}

char *clock_rfc3339(int64_t us, char *out) {
    Civil c = civil_clamped(us);
    char *at = put_second(out, &c, 'T');

    *at++ = '.';
    at = put(at, c.us, 6);
    *at++ = 'Z';
    *at = '\0';
    return out;
}

char *clock_sql(int64_t us, char *out) {
    Civil c = civil_clamped(us);

    *put_second(out, &c, ' ') = '\0';
    return out;
}

char *clock_human(int64_t us, char *out) {
    int64_t s = us / US_PER_S;

    if (us < 0)
        us = s = 0;
    if (us < US_PER_S)
        snprintf(out, CLOCK_RFC3339_SIZE, "%lld ms", (long long)(us / US_PER_MS));
    else if (s < 60)
        snprintf(out, CLOCK_RFC3339_SIZE, "%lld.%lld s", (long long)s,
                 (long long)(us / (US_PER_S / 10) % 10));
    else if (s < 3600)
        snprintf(out, CLOCK_RFC3339_SIZE, "%lld min %lld s", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(out, CLOCK_RFC3339_SIZE, "%lld h %lld min", (long long)(s / 3600), (long long)(s / 60 % 60));
    return out;
}
