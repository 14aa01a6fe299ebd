/* The masker once more, plain and slow: every needle is looked for at every place of the whole text. */
#pragma once

#include "secret/mask.h"
#include "secret/needles.h"
#include <string.h>

static inline bool plain_begins(const Needle *n, const char *text, size_t len) {
    return memcmp(n->bytes, text, MIN(n->len, len)) == 0;
}

/* The shortest needle that begins with these bytes, or SIZE_MAX. */
static inline size_t plain_shortest(const Needles *n, const char *text, size_t len) {
    size_t shortest = SIZE_MAX;

    for (size_t i = 0; i < n->count; i++)
        if (n->items[i].len >= len && plain_begins(&n->items[i], text, len))
            shortest = MIN(shortest, n->items[i].len);
    return shortest;
}

/* Hides [from, to), but for what has been given out. */
static inline void plain_hide(bool *hidden, size_t from, size_t to, size_t given) {
    for (size_t i = MAX(from, given); i < to; i++)
        hidden[i] = true;
}

/* An end of the text that half a needle or MASK_BEGUN bytes of one begin with is hidden too: the longest. */
static inline void plain_mark_end(const Needles *n, const char *text, size_t len, size_t given,
                                  bool *hidden) {
    for (size_t from = 0; from < len; from++) {
        size_t shortest = plain_shortest(n, text + from, len - from);

        if (shortest == SIZE_MAX || (len - from < MASK_BEGUN && (len - from) * 2 < shortest))
            continue;
        plain_hide(hidden, from, len, given);
        return;
    }
}

/* The longest needle that ends at each place, or 0. */
static inline size_t *plain_ends(const Needles *n, const char *text, size_t len) {
    size_t *ends = calloc(len + 1, sizeof(*ends));

    for (size_t from = 0; from < len; from++)
        for (size_t i = 0; i < n->count; i++)
            if (n->items[i].len <= len - from && plain_begins(&n->items[i], text + from, n->items[i].len))
                ends[from + n->items[i].len] = MAX(ends[from + n->items[i].len], n->items[i].len);
    return ends;
}

/* pauses: whether the stream pauses after so many bytes, for 0 to len; NULL: nowhere. What it has given out
 * by then stays seen, whatever comes. */
static inline void plain_mask(const Needles *n, const char *text, size_t len, const bool *pauses, Buf *out) {
    _cleanup_free_ bool *hidden = calloc(len + 1, 1);
    _cleanup_free_ size_t *ends = plain_ends(n, text, len);
    size_t given = 0;

    for (size_t at = 1; at <= len; at++) {
        plain_hide(hidden, at - ends[at], at, given);
        if (at == len || (pauses && pauses[at])) {
            plain_mark_end(n, text, at, given, hidden);
            given = at;
        }
    }
    for (size_t i = 0; i < len; i++) {
        if (!hidden[i])
            buf_addc(out, text[i]);
        else if (i == 0 || !hidden[i - 1])
            buf_adds(out, "***");
    }
}
