#include "base/str.h"

#include "base/buf.h"
#include <ctype.h>

const char *str_after(const char *s, const char *prefix) {
    size_t len = strlen(prefix);

    return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_ends(const char *s, const char *suffix) {
    size_t len = strlen(s), tail = strlen(suffix);

    return len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

/* The digits at *s as a number; moves *s behind them. */
static bool digits(const char **s, uint64_t max, uint64_t *ret) {
    const char *at = *s;
    uint64_t value = 0;

    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (value > (max - digit) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *s = at;
    *ret = value;
    return true;
}

bool str_to_u64(const char *s, uint64_t max, uint64_t *ret) {
    uint64_t value;

    if (!s || !digits(&s, max, &value) || *s)
        return false;
    *ret = value;
    return true;
}

bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret) {
    bool negative = s && *s == '-';
    uint64_t value;
    int64_t number;

    if (!str_to_u64(negative ? s + 1 : s, (uint64_t)INT64_MAX + negative, &value))
        return false;
    number = negative ? (int64_t)(~value + 1) : (int64_t)value;
    if (number < min || number > max)
        return false;
    *ret = number;
    return true;
}

bool str_to_size(const char *s, uint64_t *ret) {
    static const char units[] = "KMGT";
    const char *unit;
    uint64_t value;
    int shift = 0;

    if (!s || !digits(&s, UINT64_MAX, &value))
        return false;
    if (*s) {
        unit = strchr(units, *s);
        if (!unit || s[1])
            return false;
        shift = 10 * (int)(unit - units + 1);
    }
    if (value > UINT64_MAX >> shift)
        return false;
    *ret = value << shift;
    return true;
}

static const struct {
    const char *word;
    int64_t us;
} units[] = {
    {"ms", 1000},
    {"s", 1000000},
    {"m", 60 * INT64_C(1000000)},
    {"h", 3600 * INT64_C(1000000)},
    {"d", 86400 * INT64_C(1000000)},
    {"w", 7 * 86400 * INT64_C(1000000)},
};

static bool duration_unit(const char **s, int64_t *ret) {
    for (size_t i = 0; i < ELEMENTS(units); i++) {
        const char *rest = str_after(*s, units[i].word);

        if (rest && (*rest == '\0' || isdigit((unsigned char)*rest))) {
            *s = rest;
            *ret = units[i].us;
            return true;
        }
    }
    return false;
}

bool str_to_duration(const char *s, int64_t *ret_us) {
    int64_t total = 0, unit, before = INT64_MAX;
    uint64_t value;

    if (str_to_u64(s, INT64_MAX / 1000000, &value)) {
        *ret_us = (int64_t)value * 1000000;
        return true;
    }
    if (str_empty(s))
        return false;
    while (*s) {
        if (!digits(&s, INT64_MAX, &value) || !duration_unit(&s, &unit) || unit >= before)
            return false; /* units go down, each once: "1h30m" */
        if (value > (uint64_t)((INT64_MAX - total) / unit))
            return false;
        total += (int64_t)value * unit;
        before = unit;
    }
    *ret_us = total;
    return true;
}

char *str_from_duration(int64_t us, char *out) {
    size_t len = 0;

    snprintf(out, STR_DURATION_SIZE, "0s");
    for (size_t i = ELEMENTS(units) - 1; i-- > 0; us %= units[i].us) /* weeks as days: "30d" */
        if (us >= units[i].us)
            len += (size_t)snprintf(out + len, STR_DURATION_SIZE - len, "%lld%s",
                                    (long long)(us / units[i].us), units[i].word);
    return out;
}

#define NEAR_MAX 64

/* Damerau-Levenshtein distance (optimal string alignment) of words of at most NEAR_MAX bytes. */
static int distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    int rows[3][NEAR_MAX + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int *spare = before;

        now[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int cost = a[i - 1] != b[j - 1];

            now[j] = MIN(MIN(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = MIN(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *str_nearest(const char *s, const char *const *words) {
    const char *best = NULL;
    size_t len = s ? strlen(s) : 0;
    int best_distance = 3;

    if (len == 0 || len > NEAR_MAX)
        return NULL;
    for (; *words; words++) {
        size_t word_len = strlen(*words);
        int d;

        if (word_len > NEAR_MAX)
            continue;
        d = distance(s, len, *words, word_len);
        if (d < best_distance && 2 * (size_t)d < MAX(len, word_len)) {
            best = *words;
            best_distance = d;
        }
    }
    return best;
}

bool str_is_web_url(const char *s) {
    const char *host = str_after(s, "https://");

    if (!host)
        host = str_after(s, "http://");
    if (!host || strcspn(host, "/?#") == 0)
        return false;
    while ((unsigned char)*s > ' ' && *s != 0x7F)
        s++;
    return !*s;
}

bool str_is_commit(const char *s) {
    return s && strlen(s) == 40 && strspn(s, "0123456789abcdef") == 40;
}

bool str_is_name(const char *name, size_t max) {
    size_t len = name ? strlen(name) : 0;

    if (len == 0 || len > max || *name == '.' || strstr(name, ".."))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

size_t str_utf8_next(const char *s, size_t len) {
    const unsigned char *b = (const unsigned char *)s;
    unsigned char low = 0x80, high = 0xbf;
    size_t need;

    if (len == 0)
        return 0;
    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    need = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    /* RFC 3629, section 4: what the second byte may be keeps out overlong forms, surrogates and > U+10FFFF */
    if (b[0] == 0xe0)
        low = 0xa0;
    else if (b[0] == 0xed)
        high = 0x9f;
    else if (b[0] == 0xf0)
        low = 0x90;
    else if (b[0] == 0xf4)
        high = 0x8f;
    if (len < need || b[1] < low || b[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

bool str_utf8_valid(const char *s, size_t len) {
    while (len > 0) {
        size_t n = str_utf8_next(s, len);

        if (n == 0)
            return false;
        s += n;
        len -= n;
    }
    return true;
}

char *str_utf8_clean(const void *ctx, const char *s, size_t len) {
    _cleanup_buf_ Buf out = BUF_INIT;

    buf_reserve(&out, len);
    while (len > 0) {
        size_t n = str_utf8_next(s, len);

        if (n)
            buf_add(&out, s, n);
        else
            buf_adds(&out, "\xef\xbf\xbd");
        s += n ? n : 1;
        len -= n ? n : 1;
    }
    return buf_dup(&out, ctx);
}

void str_hex(const void *bytes, size_t len, char *out) {
    static const char hex_digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[b[i] >> 4];
        out[2 * i + 1] = hex_digits[b[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool str_unhex(const char *hex, void *out, size_t len) {
    unsigned char *b = out;

    if (!hex || strlen(hex) != 2 * len || strspn(hex, "0123456789abcdefABCDEF") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++)
        b[i] = (unsigned char)(hex_value(hex[2 * i]) * 16 + hex_value(hex[2 * i + 1]));
    return true;
}

char *str_base64_encode(const void *ctx, const void *bytes, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    char *text = mem_array(ctx, char, (len + 2) / 3 * 4 + 1), *to = text;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits =
            (uint32_t)b[i] << 16 | (i + 1 < len ? (uint32_t)b[i + 1] << 8 : 0) | (i + 2 < len ? b[i + 2] : 0);

        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[bits & 63] : '=';
    }
    return text;
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t str_base64_decode(const char *in, size_t in_len, void *out, size_t size) {
    unsigned char *b = out;
    uint32_t bits = 0;
    size_t padding = 0, made = 0;

    while (padding < 2 && padding < in_len && in[in_len - 1 - padding] == '=')
        padding++;
    if (in_len % 4 || in_len / 4 * 3 - padding > size)
        return -1;
    for (size_t i = 0; i < in_len - padding; i++) {
        int value = base64_value(in[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4)
            b[made++] = (unsigned char)(bits >> (6 - i % 4 * 2));
    }
    /* the bits behind the last byte are zero, or two texts would mean the same bytes */
    if (padding && bits & (padding == 1 ? 3u : 15u))
        return -1;
    return (ssize_t)made;
}

bool str_url_decode(char *s) {
    char *to = s;

    for (; *s; s++) {
        int high, low;

        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        high = hex_value(s[1]);
        low = high < 0 ? -1 : hex_value(s[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        s += 2;
    }
    *to = '\0';
    return true;
}

char *str_url_encode(const void *ctx, const char *s, bool keep_slash) {
    _cleanup_buf_ Buf out = BUF_INIT;

    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s) || (keep_slash && *s == '/'))
            buf_addc(&out, *s);
        else
            buf_addf(&out, "%%%02X", (unsigned char)*s);
    }
    return buf_dup(&out, ctx);
}

#define GLOB_MAX 1024
#define GLOB_CLASS_MAX 256

/* The set of places in the pattern where a match may stand: time is |pattern| × |s| whatever they are. */
typedef struct Glob {
    const char *pattern;
    size_t len;
    bool at[GLOB_MAX + 1];
} Glob;

/* "**" and a slash as segments of their own: any number of segments, none too. */
static bool glob_is_folders(const Glob *g, size_t i) {
    return strncmp(g->pattern + i, "**/", 3) == 0 && (i == 0 || g->pattern[i - 1] == '/');
}

/* A match stands at i, and behind every '*' there that may match nothing. */
static void glob_enter(Glob *g, size_t i) {
    while (!g->at[i]) {
        g->at[i] = true;
        if (glob_is_folders(g, i))
            i += 3;
        else if (g->pattern[i] == '*')
            i += g->pattern[i + 1] == '*' ? 2 : 1;
    }
}

static bool is_negation(char c) {
    return c == '!' || c == '^';
}

/* A "]" that comes first is one of its characters (POSIX, 2.13.1). */
size_t str_glob_class(const char *p) {
    const char *first = p + 1, *end;

    if (*p != '[')
        return 0;
    first += is_negation(*first);
    first += *first == ']';
    end = memchr(first, ']', strnlen(first, GLOB_CLASS_MAX));
    return end ? (size_t)(end - p) + 1 : 0;
}

/* In the order of code points, which that of the bytes of UTF-8 is. */
static bool glob_not_after(const char *a, size_t a_len, const char *b, size_t b_len) {
    int order = memcmp(a, b, MIN(a_len, b_len));

    return order < 0 || (order == 0 && a_len <= b_len);
}

/* Whether the class (of len bytes) has the character (of n). */
static bool glob_class_has(const char *p, size_t len, const char *s, size_t n) {
    const char *end = p + len - 1;
    bool except = is_negation(p[1]), has = false;

    for (p += 1 + except; p < end;) {
        const char *from = p, *to = p;
        size_t from_len = MAX(str_utf8_next(from, (size_t)(end - from)), (size_t)1), to_len = from_len;

        p += from_len;
        if (*p == '-' && p + 1 < end) {
            to = p + 1;
            to_len = MAX(str_utf8_next(to, (size_t)(end - to)), (size_t)1);
            p = to + to_len;
        }
        has = has || (glob_not_after(from, from_len, s, n) && glob_not_after(s, n, to, to_len));
    }
    return has != except;
}

/* The same of a class and what stands behind it, which repeats it. */
static void glob_take_class(Glob *next, size_t i, size_t len, const char *s, size_t n) {
    bool more = next->pattern[i + len] == '+';

    if (*s == '/' || !glob_class_has(next->pattern + i, len, s, n))
        return;
    glob_enter(next, i + len + more);
    if (more)
        glob_enter(next, i);
}

/* One character (of n bytes) taken from a match that stands at i. */
static void glob_take(Glob *next, size_t i, const char *s, size_t n) {
    const char *p = next->pattern + i;
    size_t class_len = str_glob_class(p), escape = *p == '\\' && p[1];

    if (glob_is_folders(next, i)) {
        next->at[i] = true;
        if (*s == '/')
            glob_enter(next, i + 3);
    } else if (*p == '*') {
        if (p[1] == '*' || *s != '/')
            glob_enter(next, i);
    } else if (*p == '?') {
        if (*s != '/')
            glob_enter(next, i + 1);
    } else if (class_len) {
        glob_take_class(next, i, class_len, s, n);
    } else if (strncmp(p + escape, s, n) == 0) {
        glob_enter(next, i + escape + n);
    }
}

bool str_glob(const char *pattern, const char *s) {
    Glob sets[2] = {0}, *now = &sets[0], *next = &sets[1];
    size_t len = strlen(s), n;

    now->pattern = next->pattern = pattern;
    now->len = next->len = strlen(pattern);
    if (now->len > GLOB_MAX)
        return false;
    glob_enter(now, 0);
    for (; len > 0; s += n, len -= n) {
        Glob *spare = now;

        n = MAX(str_utf8_next(s, len), (size_t)1);
        memset(next->at, 0, next->len + 1);
        for (size_t i = 0; i < now->len; i++)
            if (now->at[i])
                glob_take(next, i, s, n);
        now = next;
        next = spare;
    }
    return now->at[now->len];
}

bool str_glob_next(bool fits, const char *pattern, const char *s) {
    bool except = *pattern == '!';

    return fits == except && str_glob(pattern + except, s) ? !fits : fits;
}
