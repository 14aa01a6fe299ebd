/* Aligned tables, times and states as people read them. */
#pragma once

#include "base/json.h"
#include "cli/term.h"

typedef struct Table Table;

/* headers: NULL-terminated; borrowed. */
Table *table_new(const void *mem, const char *const *headers);
/* The next cell, row by row; text is copied and cleaned (text_clean). */
void table_cell(Table *t, Style style, const char *text);
/* Columns are as wide as their widest cell, with two spaces between; the last one is not padded, and is cut
 * at the terminal's edge. Nothing is printed for a table without rows. */
void table_print(const Table *t, const Term *term, Buf *out);

/* "2026-02-24T06:59:36.123456Z", with any offset, or "2026-02-24 06:59:36" (UTC) → µs. */
_must_check_ bool time_parse(const char *s, int64_t *ret_us);
/* "just now", "3 min ago", "in 2 h", "2026-02-24" when over a month; "-" for 0. */
const char *time_ago(const void *mem, int64_t us, int64_t now);
/* The field of obj as µs, 0 when absent, null or not a time. */
int64_t field_time(const json_t *obj, const char *key);
/* The field as text, "" when absent; numbers in decimal. Borrowed, or in mem. */
const char *field_text(const void *mem, const json_t *obj, const char *key);
int64_t field_int(const json_t *obj, const char *key, int64_t fallback);
/* "12 s" of duration_seconds, or the time since started_at for what is running; "-". */
const char *field_duration(const void *mem, const json_t *obj, int64_t now);
/* The state of a build or a job as people are told it: "superseded" is a way of being cancelled. */
const char *field_status(const void *mem, const json_t *obj);
/* The colour of a state of a build, a job, a step, a deployment or a runner. */
Style status_style(const char *status);
/* "1.2 MiB". */
const char *size_human(const void *mem, int64_t bytes);
