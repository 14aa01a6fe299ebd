/* How programs write a text that they mean to be read back: a table, an encoder with its parameters a line.
 */
#pragma once

#include "base/buf.h"

typedef struct Form Form;

struct Form {
    void (*encode)(const Form *f, const char *text, size_t len, Buf *out); /* NULL: the table's end */
    const char *keep; /* URLs: what stays beside letters and digits; shells: what a ' becomes */
    unsigned flags;
};

/* The first one is the text itself. */
extern const Form forms[];
