/* Hides secrets in a stream of bytes. Each byte that is part of a form of a secret (needles.h) is hidden, and
 * a run of such bytes becomes "***"; however the stream is cut into pieces, the output is the same. What may
 * be the beginning of a form is held back until it is known; that is never more than the longest form, and
 * nothing at all where no form begins with the last bytes.
 *
 * A stream that pauses is not kept waiting: mask_pause gives out what is held back, and what comes then is
 * still hidden as the rest of what came before. Where half of a form or MASK_BEGUN bytes have come that part
 * is hidden: never more than MASK_BEGUN - 1 bytes of one are seen.
 *
 * A Masker is used by one thread at a time. */
#pragma once

#include "base/buf.h"

#define MASK_BEGUN 8 /* bytes: fewer of a long form tell nobody what it is, and words begin like that */

typedef struct Masker Masker;

typedef struct MaskText {
    const char *data; /* valid until the next call, or for as long as what was given in */
    size_t len;
} MaskText;

/* Values: `count` texts that must not be seen. NULL when none is long enough to be looked for. */
Masker *mask_new(const void *mem, const char *const *values, size_t count);

MaskText mask_feed(Masker *m, const void *data, size_t len);
/* Bytes held back. */
size_t mask_held(const Masker *m);
/* Nothing comes for a while: what is held back. */
MaskText mask_pause(Masker *m);
/* The stream is at its end: what is held back. The next byte begins another stream. */
MaskText mask_end(Masker *m);

/* Whether the text has a whole form in it. m NULL: no. */
bool mask_finds(const Masker *m, const char *text);
/* A text by itself, whatever the stream is at. In mem; m NULL: a copy. */
char *mask_text(const Masker *m, const void *mem, const char *text);
