#include "secret/needles.h"

#include "base/str.h"
#include "secret/forms.h"
#include "secret/readings.h"
#include <ctype.h>

static int order(const void *a, const void *b) {
    const Needle *x = a, *y = b;
    int r = memcmp(x->bytes, y->bytes, MIN(x->len, y->len));

    return r ? r : (x->len > y->len) - (x->len < y->len);
}

void needles_sort(Needles *n) {
    size_t kept = 0;

    if (n->count)
        qsort(n->items, n->count, sizeof(n->items[0]), order);
    for (size_t i = 0; i < n->count; i++)
        if (kept == 0 || order(&n->items[kept - 1], &n->items[i]) != 0)
            n->items[kept++] = n->items[i];
    n->count = kept;
}

void needles_put(Needles *n, const void *bytes, size_t len) {
    Needle needle = {.len = len};

    if (len < NEEDLE_MIN)
        return;
    needle.bytes = memcpy(mem_array(n->mem, unsigned char, len), bytes, len);
    mem_append(n->mem, n->items, n->count, needle);
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **text, size_t *len) {
    for (; *len && is_space(**text); (*len)--)
        (*text)++;
    while (*len && is_space((*text)[*len - 1]))
        (*len)--;
}

static void add_forms(Needles *n, const char *text, size_t len) {
    _cleanup_buf_ Buf form = BUF_INIT;

    for (const Form *f = forms; f->encode; f++) {
        buf_clear(&form);
        f->encode(f, text, len, &form);
        if (f == forms || form.len != len || memcmp(form.data, text, len) != 0)
            needles_put(n, form.data, form.len);
    }
}

/* The next line without white space at its ends, in *ret; *text and *len become what follows it. */
static bool next_line(const char **text, size_t *len, const char **ret, size_t *ret_len) {
    const char *newline = *len ? memchr(*text, '\n', *len) : NULL;
    size_t line = newline ? (size_t)(newline - *text) : *len, behind = newline ? line + 1 : line;

    if (*len == 0)
        return false;
    *ret = *text;
    *ret_len = line;
    trim(ret, ret_len);
    *text += behind;
    *len -= behind;
    return true;
}

static bool line_counts(const char *line, size_t len) {
    bool telling = len >= NEEDLE_LINE;

    for (size_t i = 0; i < len && !telling; i++)
        telling = isdigit((unsigned char)line[i]) || line[i] == '=';
    return telling && len >= NEEDLE_MIN;
}

static bool has_words(const char *line, size_t len) {
    size_t i = 0;

    while (i < len && !isalnum((unsigned char)line[i]))
        i++;
    return i < len;
}

static void add_lines(Needles *n, const char *text, size_t len) {
    const char *line;
    size_t line_len;

    while (next_line(&text, &len, &line, &line_len))
        if (line_counts(line, line_len))
            add_forms(n, line, line_len);
}

bool needles_skip_lines(const char *value, size_t len) {
    const char *line;
    size_t line_len;

    trim(&value, &len);
    if (!len || !memchr(value, '\n', len))
        return false;
    while (next_line(&value, &len, &line, &line_len))
        if (has_words(line, line_len) && !line_counts(line, line_len))
            return true;
    return false;
}

static void add_value(Needles *n, const char *value, size_t len) {
    trim(&value, &len);
    if (len < NEEDLE_MIN)
        return;
    add_forms(n, value, len);
    needles_add_base64(n, value, len);
    if (memchr(value, '\n', len))
        add_lines(n, value, len);
}

/* Whether an earlier program makes the same of it, or there is nothing to make. */
static bool was_read(const Reading *reading, const Buf *as, const char *value, size_t len) {
    _cleanup_buf_ Buf other = BUF_INIT;

    if (as->len == len && memcmp(buf_str(as), value, len) == 0)
        return true;
    for (const Reading *r = readings; r < reading; r++) {
        buf_clear(&other);
        (void)reading_of(r, value, len, &other);
        if (other.len == as->len && memcmp(buf_str(&other), buf_str(as), as->len) == 0)
            return true;
    }
    return false;
}

static void add_readings(Needles *n, const char *value, size_t len) {
    _cleanup_buf_ Buf as = BUF_INIT;

    for (const Reading *r = readings; r->letters; r++) {
        bool whole;

        buf_clear(&as);
        whole = reading_of(r, value, len, &as);
        /* what a part may be a word of other lines is taken as a line's would be */
        if ((whole || line_counts(buf_str(&as), as.len)) && !was_read(r, &as, value, len))
            add_value(n, buf_str(&as), as.len);
    }
}

void needles_add(Needles *n, const char *value, size_t len) {
    add_value(n, value, len);
    if (memchr(value, '\\', len))
        add_readings(n, value, len);
}
