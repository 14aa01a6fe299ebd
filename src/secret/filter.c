#include "secret/filter.h"

#include <string.h>

#define STRIDE_MAX ((size_t)8)
#define BITS_LEAST 12 /* 512 bytes */
#define BITS_MOST 20  /* 128 KiB: of the second cache */
#define BITS_A_GRAM 24

static inline uint32_t hash(const Filter *f, const unsigned char *gram) {
    uint32_t value;

    memcpy(&value, gram, sizeof(value));
    return (uint32_t)(value * 2654435769u) >> f->shift;
}

static size_t shortest(const Needles *n) {
    size_t len = STRIDE_MAX + FILTER_GRAM - 1;

    for (size_t i = 0; i < n->count; i++)
        len = MIN(len, n->items[i].len);
    return len;
}

Filter *filter_new(const void *mem, const Needles *n) {
    Filter *f = mem_new(mem, Filter);
    unsigned bits = BITS_LEAST;

    f->reach = shortest(n);
    f->stride = f->reach - FILTER_GRAM + 1;
    while (bits < BITS_MOST && ((size_t)1 << bits) < n->count * f->stride * BITS_A_GRAM)
        bits++;
    f->shift = 32 - bits;
    f->bits = mem_array(f, unsigned char, ((size_t)1 << bits) / 8);
    for (size_t i = 0; i < n->count; i++)
        for (size_t k = 0; k < f->stride; k++) {
            uint32_t h = hash(f, n->items[i].bytes + k);

            f->bits[h >> 3] |= (unsigned char)(1u << (h & 7));
        }
    return f;
}

size_t filter_next(const Filter *f, const unsigned char *data, size_t at, size_t len) {
    const size_t stride = f->stride;
    uint32_t h;

    for (; at + f->reach <= len; at += stride) {
        h = hash(f, data + at + stride - 1);
        if (f->bits[h >> 3] >> (h & 7) & 1)
            break;
    }
    return at;
}
