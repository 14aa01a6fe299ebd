/* Reading ahead: a thread makes the next pieces of a stream while the one before is worked on. */
#pragma once

#include "base/err.h"
#include <sys/types.h>

typedef struct Ahead Ahead;

/* Gives up to `size` bytes, 0 at the end, negative after an error; called on the thread. */
typedef ssize_t (*AheadFill)(void *arg, void *buf, size_t size);

_must_check_ int ahead_start(AheadFill fill, void *arg, Ahead **ret, Err *err);
/* The next piece, which stays until the next call; 0 and negative as `fill` gave it, and so from then on. */
ssize_t ahead_next(Ahead *a, const void **ret);
/* Waits for the fill that is going on, and for no other; frees. NULL is fine. */
void ahead_stop(Ahead *a);
