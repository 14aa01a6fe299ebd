/* JSON: a writer that streams into a buffer, and readers with checks over jansson (duplicate keys refused,
 * exact 64-bit integers, depth limited to 64). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>

DEFINE_CLEANUP(json_t *, json_decref)
#define _cleanup_json_ _cleanup_(mem_json_decref_p)

/* Writes compact JSON; puts the commas itself. Keys and strings are escaped (RFC 8259); bytes that are not
 * UTF-8 become U+FFFD. A NULL string is written as null. Nesting up to 63 levels. */
typedef struct JsonWriter {
    Buf *out;
    uint64_t comma; /* a bit a level: something was written there already */
    int depth;
} JsonWriter;

#define JSON_WRITER(buf) ((JsonWriter){.out = (buf)})

void jw_object(JsonWriter *w, const char *key); /* key NULL: an element of an array, or the root */
void jw_array(JsonWriter *w, const char *key);
void jw_end_object(JsonWriter *w);
void jw_end_array(JsonWriter *w);
void jw_str(JsonWriter *w, const char *key, const char *value);
void jw_strn(JsonWriter *w, const char *key, const char *value, size_t len);
void jw_int(JsonWriter *w, const char *key, int64_t value);
void jw_bool(JsonWriter *w, const char *key, bool value);
void jw_null(JsonWriter *w, const char *key);
/* RFC 3339, or null when us is 0. */
void jw_time(JsonWriter *w, const char *key, int64_t us);
/* Seconds with µs, or null when negative. */
void jw_seconds(JsonWriter *w, const char *key, int64_t us);
/* Text that is JSON already. */
void jw_raw(JsonWriter *w, const char *key, const char *json, size_t len);

/* Reads one JSON value and nothing behind it. The error says line, column and what is wrong. */
_must_check_ int json_read(const char *text, size_t len, json_t **ret, Err *err);
/* The same for what may hold a log: its texts may have zero bytes inside, json_string_length() is theirs. */
_must_check_ int json_read_log(const char *text, size_t len, json_t **ret, Err *err);

/* Fields of an object. The errors name the field: `field "ref": expected a string, got a number`.
 * Optional ones leave *ret untouched when the field is absent or null. Strings are borrowed from obj.
 * Strings with a zero byte inside are refused. */
_must_check_ int json_get_str(const json_t *obj, const char *key, const char **ret, Err *err);
_must_check_ int json_opt_str(const json_t *obj, const char *key, const char **ret, Err *err);
_must_check_ int json_get_i64(const json_t *obj, const char *key, int64_t *ret, Err *err);
_must_check_ int json_opt_i64(const json_t *obj, const char *key, int64_t *ret, Err *err);
/* A whole number from min to max; INT64_MAX: any from min on. */
_must_check_ int json_get_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
                                Err *err);
_must_check_ int json_opt_range(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret,
                                Err *err);
_must_check_ int json_opt_bool(const json_t *obj, const char *key, bool *ret, Err *err);
/* *ret is borrowed. */
_must_check_ int json_opt_object(const json_t *obj, const char *key, json_t **ret, Err *err);
_must_check_ int json_opt_array(const json_t *obj, const char *key, json_t **ret, Err *err);
