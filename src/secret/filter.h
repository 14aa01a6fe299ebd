/* Finds at memory speed where a needle may begin: text that holds none is hardly looked at. Only each
 * `stride`th place is, by a hash of the four bytes there; every needle of at least stride + 3 bytes that
 * begins on the way there has, wherever it begins, four of its first bytes at such a place. */
#pragma once

#include "secret/needles.h"
#include <stdint.h>

#define FILTER_GRAM 4

typedef struct Filter {
    unsigned char *bits;
    unsigned shift;
    size_t stride, reach; /* reach: of bytes that are looked at for one place; the shortest needle has them */
} Filter;

Filter *filter_new(const void *mem, const Needles *n);
/* The first place at or behind `at` where a needle may begin, within the next `stride` bytes; where less than
 * `reach` bytes are left, that place: it was not looked at. */
size_t filter_next(const Filter *f, const unsigned char *data, size_t at, size_t len);
