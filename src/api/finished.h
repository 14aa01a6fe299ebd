/* Inside the room: the JSON of builds that have finished, which does not change any more. A small cache, one
 * slot an id. An entry belongs to one end of the build (its finished_at), so a build that is taken up again
 * is never shown as it was. */
#pragma once

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Finished Finished;

Finished *finished_new(const void *mem);
/* Appends the JSON to out, if it is there. Any thread. */
bool finished_get(Finished *f, int64_t id, int64_t finished_at, Buf *out);
/* What they say is not so any more. */
void finished_clear(Finished *f);
void finished_put(Finished *f, int64_t id, int64_t finished_at, const Buf *json);
