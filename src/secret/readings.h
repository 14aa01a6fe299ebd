/* What programs make of a text in which a backslash means something: the `echo` of sh, printf, whoever reads
 * JSON. A table, a program a line. */
#pragma once

#include "base/buf.h"

typedef struct Reading {
    const char *letters; /* pairs: behind a backslash, and what both stand for; NULL: the table's end */
    unsigned flags;
} Reading;

extern const Reading readings[];

/* Adds the text as this program gives it out: bytes, which need be no text. False: as far as a \c, which ends
 * it. */
bool reading_of(const Reading *r, const char *text, size_t len, Buf *out);
