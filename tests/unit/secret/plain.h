/* The masker once more, plain and slow: every needle is looked for at every place of the whole text. */
#pragma once

#include "secret/needles.h"
#include <string.h>

static inline bool plain_begins(const Needle *n, const char *text, size_t len) {
    return memcmp(n->bytes, text, MIN(n->len, len)) == 0;
}

/* An end of the text that half a needle or more begins with is hidden too: the longest such end counts. */
static inline void plain_mark_end(const Needles *n, const char *text, size_t len, bool *hidden) {
    for (size_t from = 0; from < len; from++) {
        size_t shortest = SIZE_MAX;

        for (size_t i = 0; i < n->count; i++)
            if (n->items[i].len >= len - from && plain_begins(&n->items[i], text + from, len - from))
                shortest = MIN(shortest, n->items[i].len);
        if (shortest == SIZE_MAX)
            continue;
        if ((len - from) * 2 >= shortest)
            memset(hidden + from, true, len - from);
        return;
    }
}

static inline void plain_mask(const Needles *n, const char *text, size_t len, Buf *out) {
    _cleanup_free_ bool *hidden = calloc(len + 1, 1);

    for (size_t from = 0; from < len; from++)
        for (size_t i = 0; i < n->count; i++)
            if (n->items[i].len <= len - from && plain_begins(&n->items[i], text + from, n->items[i].len))
                memset(hidden + from, true, n->items[i].len);
    plain_mark_end(n, text, len, hidden);
    for (size_t i = 0; i < len; i++) {
        if (!hidden[i])
            buf_addc(out, text[i]);
        else if (i == 0 || !hidden[i - 1])
            buf_adds(out, "***");
    }
}
