/* Counts words: runs of letters and digits. */
#pragma once

#include <stddef.h>

#define WORD_MAX 64

typedef struct Words {
    size_t count;
    char longest[WORD_MAX + 1]; /* the first of that length, cut at WORD_MAX */
} Words;

void words_count(const char *text, size_t len, Words *ret);
