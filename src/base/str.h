/* Text: comparison, checked numbers, encodings, the nearest right word. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Most texts differ at once: a call only for the others. */
static inline bool str_eq(const char *a, const char *b) {
    return a == b || (a && b && *a == *b && strcmp(a, b) == 0);
}

static inline bool str_empty(const char *s) {
    return !s || !*s;
}

/* The rest of s behind the prefix, or NULL when s does not begin with it. */
const char *str_after(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* A whole decimal number and nothing else, within [min, max]; false otherwise (*ret untouched). */
_must_check_ bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
_must_check_ bool str_to_u64(const char *s, uint64_t max, uint64_t *ret);

/* Sizes as people write them: "512", "64K", "10M", "4G" (powers of 1024) → bytes. */
_must_check_ bool str_to_size(const char *s, uint64_t *ret);
/* Durations: "90" (seconds), "500ms", "30s", "10m", "2h", "1d", "2w", "1h30m" → microseconds. */
_must_check_ bool str_to_duration(const char *s, int64_t *ret_us);
#define STR_DURATION_SIZE 64
/* The reverse, whole milliseconds: "30d", "1h30m", "0s". Gives out, of STR_DURATION_SIZE bytes. */
char *str_from_duration(int64_t us, char *out);

/* The word of the list (NULL-terminated) nearest to s, or NULL when none is near enough to be meant
 * (Damerau-Levenshtein distance at most 2, and less than half the length). */
const char *str_nearest(const char *s, const char *const *words);

/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_utf8_valid(const char *s, size_t len);
/* The length (1..4) of the valid UTF-8 character that s begins with, or 0. */
size_t str_utf8_next(const char *s, size_t len);
/* A talloc copy with every byte that is not valid UTF-8 replaced by U+FFFD. */
char *str_utf8_clean(const void *ctx, const char *s, size_t len);

/* Lower-case hex; out has 2 * len + 1 bytes. */
void str_hex(const void *bytes, size_t len, char *out);
/* Exactly 2 * len hex digits and nothing else. */
_must_check_ bool str_unhex(const char *hex, void *out, size_t len);
/* Base64 (RFC 4648, section 4), and back to at most `size` bytes; gives the length or -1. */
char *str_base64_encode(const void *ctx, const void *bytes, size_t len);
ssize_t str_base64_decode(const char *in, size_t in_len, void *out, size_t size);
/* Percent-decoding in place (RFC 3986); false on a bad escape or a decoded zero byte. */
_must_check_ bool str_url_decode(char *s);
/* Percent-encodes everything but unreserved characters; with keep_slash also '/' stays. */
char *str_url_encode(const void *ctx, const char *s, bool keep_slash);

/* http:// or https:// and a host, perhaps more; no blanks, no control characters. */
bool str_is_web_url(const char *s);

/* 40 lower-case hex digits, a git object name (SHA-1). */
bool str_is_commit(const char *s);

/* Whether `name` is a plain name: [A-Za-z0-9_-][A-Za-z0-9._-]*, at most max bytes, no "..". */
bool str_is_name(const char *name, size_t max);

/* Shell-style match of the whole string: '*' matches within a segment, '**' across '/', "**" + "/" as a
 * segment also none ("a/" "**" "/b" matches "a/b"), '?' one character but '/', '[a-z]' one of a class, '[!a]'
 * one that is not in it, and no '/' either; with a '+' behind it one or more of them. '\\' takes its meaning
 * from what follows. A pattern over 1,024 bytes matches nothing. */
bool str_glob(const char *pattern, const char *s);
/* The length of the class that p begins with, both brackets included; 0: none. */
size_t str_glob_class(const char *p);
/* One pattern of a list further: the last that matches says whether s does, and what stands behind a '!' says
 * no. fits: what the patterns before it say. */
bool str_glob_next(bool fits, const char *pattern, const char *s);
