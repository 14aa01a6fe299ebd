#include "base/buf.h"

#include <stdarg.h>
#include <string.h>

void buf_done(Buf *b) {
    free(b->data);
    *b = BUF_INIT;
}

void buf_clear(Buf *b) {
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_reserve(Buf *b, size_t more) {
    size_t need = b->len + more + 1;

    if (need > b->capacity) {
        size_t capacity = MAX(b->capacity + b->capacity / 2, (size_t)256);

        capacity = MAX(capacity, need);
        b->data = realloc(b->data, capacity);
        if (!b->data)
            abort();
        b->capacity = capacity;
    }
    return b->data + b->len;
}

void buf_add(Buf *b, const void *bytes, size_t len) {
    char *end = buf_reserve(b, len);

    if (len)
        memcpy(end, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(Buf *b, const char *s) {
    buf_add(b, s, strlen(s));
}

void buf_addf(Buf *b, const char *fmt, ...) {
    size_t room = b->capacity - b->len;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    va_end(ap);
    if (n < 0) {
        if (room)
            b->data[b->len] = '\0';
        return;
    }
    if ((size_t)n >= room) {
        buf_reserve(b, (size_t)n);
        va_start(ap, fmt);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
}

void buf_drop(Buf *b, size_t len) {
    if (len >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->data, b->data + len, b->len - len + 1);
    b->len -= len;
}

const char *buf_str(const Buf *b) {
    return b->data ? b->data : "";
}

char *buf_dup(const Buf *b, const void *ctx) {
    return mem_strndup(ctx, buf_str(b), b->len);
}
