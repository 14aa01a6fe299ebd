#include "words.h"

#include <ctype.h>
#include <string.h>

void words_count(const char *text, size_t len, Words *ret) {
    size_t longest = 0;

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < len;) {
        size_t start;

        while (i < len && !isalnum((unsigned char)text[i]))
            i++;
        start = i;
        while (i < len && isalnum((unsigned char)text[i]))
            i++;
        if (i == start)
            break;
        ret->count++;
        if (i - start > longest) {
            size_t shown = i - start < WORD_MAX ? i - start : WORD_MAX;

            longest = i - start;
            memcpy(ret->longest, text + start, shown);
            ret->longest[shown] = 0;
        }
    }
}
