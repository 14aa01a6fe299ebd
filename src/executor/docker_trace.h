/* What BuildKit says while it builds, as lines for people: "#3 [2/4] RUN make", what it prints, "#3 DONE 1.2
 * s". */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_VERTICES_MAX 2000

typedef struct TraceVertex {
    char *digest;
    Buf line; /* of its output, not yet at its end */
    bool begun, ended;
} TraceVertex;

typedef struct Trace {
    const void *mem;
    TraceVertex *vertices;
    size_t count;
} Trace;

/* A StatusResponse of BuildKit's API (api/services/control/control.proto), in protobuf's wire format; the
 * lines are appended to out. ERR_INVALID: it is not one. */
_must_check_ int trace_take(Trace *t, const void *data, size_t len, Buf *out, Err *err);
void trace_done(Trace *t);
