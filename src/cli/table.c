#include "cli/table.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <time.h>

typedef struct Cell {
    const char *text;
    Style style;
} Cell;

struct Table {
    const char *const *headers;
    size_t columns;
    Cell *cells;
    size_t count;
};

Table *table_new(const void *mem, const char *const *headers) {
    Table *t = mem_new(mem, Table);

    t->headers = headers;
    while (headers[t->columns])
        t->columns++;
    return t;
}

void table_cell(Table *t, Style style, const char *text) {
    Cell cell = {text_clean(t, text), style};

    mem_append(t, t->cells, t->count, cell);
}

static void print_cell(const Term *term, Buf *out, const Cell *cell, size_t width, bool last, size_t left) {
    size_t used = text_width(cell->text), keep = strlen(cell->text);
    char *text;

    if (last && term->tty && used > left)
        keep = text_cut(cell->text, left > 0 ? left - 1 : 0);
    text = mem_printf(NULL, "%.*s%s", (int)keep, cell->text, keep < strlen(cell->text) ? "…" : "");
    term_add(term, out, cell->style, text);
    talloc_free(text);
    if (!last)
        buf_addf(out, "%*s", (int)(width - used + 2), "");
}

static void print_row(const Table *t, const Term *term, Buf *out, const Cell *row, const size_t *widths) {
    size_t used = 0;

    for (size_t c = 0; c < t->columns; c++) {
        size_t left = term->width > (int)used ? (size_t)term->width - used : 0;

        print_cell(term, out, &row[c], widths[c], c + 1 == t->columns, left);
        used += widths[c] + 2;
    }
    /* no blanks at the end of a line whose last cell is empty */
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
    buf_addc(out, '\n');
}

void table_print(const Table *t, const Term *term, Buf *out) {
    size_t rows = t->columns ? t->count / t->columns : 0;
    size_t *widths = mem_array(t, size_t, t->columns);
    Cell *head = mem_array(t, Cell, t->columns);

    if (rows == 0)
        return;
    for (size_t c = 0; c < t->columns; c++) {
        head[c] = (Cell){t->headers[c], STYLE_DIM};
        widths[c] = text_width(t->headers[c]);
        for (size_t r = 0; r < rows; r++)
            widths[c] = MAX(widths[c], text_width(t->cells[r * t->columns + c].text));
    }
    print_row(t, term, out, head, widths);
    for (size_t r = 0; r < rows; r++)
        print_row(t, term, out, t->cells + r * t->columns, widths);
}

/* ---- times ---- */

/* ".123456" → µs; moves *s behind it. */
static int64_t parse_fraction(const char **s) {
    int64_t us = 0, unit = 100000;

    if (**s != '.')
        return 0;
    for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
        us += (**s - '0') * unit;
    return us;
}

bool time_parse(const char *s, int64_t *ret_us) {
    struct tm tm = {0};
    int end = 0, hours, minutes;
    int64_t us;
    char sign;

    /* NOLINTNEXTLINE(cert-err34-c): the widths leave nothing to overflow */
    if (sscanf(s, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &end) < 6 ||
        end == 0)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    s += end;
    us = parse_fraction(&s);
    us += (int64_t)timegm(&tm) * US_PER_S;
    /* NOLINTNEXTLINE(cert-err34-c): as above */
    if (sscanf(s, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) == 3 && (sign == '+' || sign == '-') &&
        !s[end])
        us -= (sign == '-' ? -1 : 1) * (hours * 60 + minutes) * 60 * US_PER_S;
    else if (*s && !str_eq(s, "Z"))
        return false;
    *ret_us = us;
    return true;
}

const char *time_ago(const void *mem, int64_t us, int64_t now) {
    /* what is to come is not nearer than it is: a second that has begun counts */
    int64_t s = (now >= us ? now - us : us - now + US_PER_S - 1) / US_PER_S;
    const char *before = now >= us ? "" : "in ", *after = now >= us ? " ago" : "";
    char date[CLOCK_RFC3339_SIZE];

    if (us == 0)
        return "-";
    if (s < 5 && now >= us)
        return "just now";
    if (s < 60)
        return mem_printf(mem, "%s%" PRId64 " s%s", before, s, after);
    if (s < 3600)
        return mem_printf(mem, "%s%" PRId64 " min%s", before, s / 60, after);
    if (s < 48 * 3600)
        return mem_printf(mem, "%s%" PRId64 " h%s", before, s / 3600, after);
    if (s < 31 * 86400)
        return mem_printf(mem, "%s%" PRId64 " days%s", before, s / 86400, after);
    return mem_strndup(mem, clock_rfc3339(us, date), 10);
}

int64_t field_time(const json_t *obj, const char *key) {
    const json_t *value = json_object_get(obj, key);
    int64_t us = 0;

    if (json_is_integer(value))
        return json_integer_value(value);
    if (!json_is_string(value) || !time_parse(json_string_value(value), &us))
        return 0;
    return us;
}

const char *field_text(const void *mem, const json_t *obj, const char *key) {
    const json_t *value = json_object_get(obj, key);

    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        return mem_printf(mem, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return "";
}

int64_t field_int(const json_t *obj, const char *key, int64_t fallback) {
    const json_t *value = json_object_get(obj, key);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

const char *field_duration(const void *mem, const json_t *obj, int64_t now) {
    const json_t *seconds = json_object_get(obj, "duration_seconds");
    int64_t started = field_time(obj, "started_at");
    char text[64];

    if (json_is_number(seconds))
        return mem_strdup(mem, clock_human((int64_t)(json_number_value(seconds) * 1e6), text));
    if (started > 0 && field_time(obj, "finished_at") == 0 && now >= started)
        return mem_strdup(mem, clock_human(now - started, text));
    return "-";
}

const char *field_status(const void *mem, const json_t *obj) {
    const char *status = field_text(mem, obj, "status"), *reason = field_text(mem, obj, "reason");

    return str_eq(status, "cancelled") && str_eq(reason, "superseded") ? reason : status;
}

Style status_style(const char *status) {
    static const struct {
        const char *status;
        Style style;
    } styles[] = {
        {"success", STYLE_GREEN},  {"live", STYLE_GREEN},       {"idle", STYLE_GREEN},
        {"failed", STYLE_RED},     {"partial", STYLE_RED},      {"away", STYLE_RED},
        {"running", STYLE_BLUE},   {"busy", STYLE_BLUE},        {"building", STYLE_BLUE},
        {"deploying", STYLE_BLUE}, {"cancelled", STYLE_YELLOW}, {"queued", STYLE_DIM},
        {"blocked", STYLE_DIM},    {"skipped", STYLE_DIM},      {"superseded", STYLE_DIM},
        {"pending", STYLE_DIM},    {"draining", STYLE_YELLOW},  {"drained", STYLE_YELLOW},
    };

    for (size_t i = 0; i < ELEMENTS(styles); i++)
        if (str_eq(styles[i].status, status))
            return styles[i].style;
    return STYLE_PLAIN;
}

const char *size_human(const void *mem, int64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024)
        return mem_printf(mem, "%" PRId64 " B", bytes);
    while (value >= 1024 && unit + 1 < ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    return mem_printf(mem, "%.1f %s", value, units[unit]);
}
