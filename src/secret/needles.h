/* What the masker looks for: every form of every secret, as bytes. */
#pragma once

#include "base/buf.h"

#define NEEDLE_MIN 4 /* bytes; of shorter ones nothing is hidden */
#define NEEDLE_LINE                                                                                          \
    8 /* a line of a value is looked for by itself from this length on; shorter: needles_add */
#define NEEDLE_PIECE                                                                                         \
    8 /* base64 is found by pieces of so many characters, for its lines may break anywhere                   \
       */

typedef struct Needle {
    const unsigned char *bytes;
    size_t len;
} Needle;

typedef struct Needles {
    const void *mem;
    Needle *items;
    size_t count;
} Needles;

/* Adds the value in all its forms: whole (without white space at its ends) and each of its lines; both as
 * they are and as JSON, URLs, XML and shells write them; base64 at the three alignments. What backslashes in
 * it stand for to `echo` of sh, to printf and in JSON is hidden likewise (readings.h). Copies.
 *
 * Of lines under NEEDLE_LINE bytes those with a digit or a '=' are taken (the last one of a key, NAME=VALUE),
 * the others are words and brackets of a file's format mostly (`true,`, `user:`), which all output has. */
void needles_add(Needles *n, const char *value, size_t len);
/* Whether a line of a value of several, one with a letter or a digit in it, is too short to be taken. */
bool needles_skip_lines(const char *value, size_t len);
/* Sorts, a prefix before what is longer, each once. */
void needles_sort(Needles *n);

/* Inside: takes the form in when it is long enough to be looked for. */
void needles_put(Needles *n, const void *bytes, size_t len);
/* Inside: the value as base64, in pieces. */
void needles_add_base64(Needles *n, const char *value, size_t len);
