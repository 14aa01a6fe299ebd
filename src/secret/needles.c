#include "secret/needles.h"

#include "base/str.h"
#include "secret/forms.h"

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
    needle.bytes = (const unsigned char *)mem_strndup(n->mem, bytes, len);
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

static void add_lines(Needles *n, const char *text, size_t len) {
    const char *end = text + len, *line = text;

    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;
        const char *at = line;
        size_t left = (size_t)(stop - line);

        trim(&at, &left);
        if (left >= NEEDLE_LINE)
            add_forms(n, at, left);
        line = stop + 1;
    }
}

void needles_add(Needles *n, const char *value, size_t len) {
    trim(&value, &len);
    if (len < NEEDLE_MIN)
        return;
    add_forms(n, value, len);
    needles_add_base64(n, value, len);
    if (memchr(value, '\n', len))
        add_lines(n, value, len);
}
