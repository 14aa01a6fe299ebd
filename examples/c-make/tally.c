/* tally: counts the words of its input. */
#include "words.h"

#include <stdio.h>

int main(void) {
    static char text[1 << 20];
    size_t len = fread(text, 1, sizeof(text), stdin);
    Words words;

    words_count(text, len, &words);
    printf("%zu words, longest: %s\n", words.count, words.longest);
    return 0;
}
