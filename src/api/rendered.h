/* Inside the room: pieces of logs as they were sent last. Followers of one log ask for the same piece one
 * after another, and a log never changes where it is written, so the piece is read, escaped and framed once.
 * A few entries a thread. */
#pragma once

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct RenderedKey {
    int64_t job, attempt;
    uint64_t offset;
    int format;
} RenderedKey;

/* Appends the piece to out and tells how many bytes of the log it is; 0: not here. */
size_t rendered_get(const RenderedKey *key, Buf *out);
void rendered_put(const RenderedKey *key, size_t bytes, const char *piece, size_t len);
