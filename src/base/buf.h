/* A growing byte buffer; always zero-terminated behind `len`, so that text may be used as a C string. */
#pragma once

#include "base/mem.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Buf {
    char *data; /* NULL while empty */
    size_t len;
    size_t capacity;
} Buf;

#define BUF_INIT ((Buf){0})
#define _cleanup_buf_ _cleanup_(buf_done)

void buf_done(Buf *b);
/* Forgets the content, keeps the memory. */
void buf_clear(Buf *b);
/* Room for `more` bytes behind len; gives the place to write. The caller adds to len itself. */
char *buf_reserve(Buf *b, size_t more);
void buf_add(Buf *b, const void *bytes, size_t len);

static inline void buf_addc(Buf *b, char c) {
    char *end = b->len + 1 < b->capacity ? b->data + b->len : buf_reserve(b, 1);

    end[0] = c;
    end[1] = '\0';
    b->len++;
}

void buf_adds(Buf *b, const char *s);
void buf_addf(Buf *b, const char *fmt, ...) _printf_(2, 3);
/* Drops `len` bytes from the front. */
void buf_drop(Buf *b, size_t len);
/* The text ("" while empty); owned by the buffer. */
const char *buf_str(const Buf *b);
/* A talloc copy in ctx. */
char *buf_dup(const Buf *b, const void *ctx);
