/* Server-sent events, read piece by piece (WHATWG HTML, section 9.2.6). */
#pragma once

#include "base/buf.h"
#include <stdbool.h>

typedef struct SseReader {
    Buf line, data, event;
    Buf id; /* of the last whole event that had one, as Last-Event-ID says it */
    Buf next_id;
    bool has_data, has_id, skip_lf, started;
    bool too_long; /* an event went over SSE_MAX: the stream is not to be trusted */
} SseReader;

#define SSE_MAX (16U << 20)

void sse_done(SseReader *r);
/* A new connection: what was half read is forgotten, the id stays. */
void sse_reset(SseReader *r);
/* Calls on_event for each whole event ("message" when it has no name); data is zero-terminated. Stops with
 * the first non-zero that it returns and gives that; else 0. */
int sse_feed(SseReader *r, const char *bytes, size_t len,
             int (*on_event)(void *arg, const char *event, const Buf *data), void *arg);
