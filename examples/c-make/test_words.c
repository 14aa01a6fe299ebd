#include "words.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void expect(const char *text, size_t count, const char *longest) {
    Words words;

    words_count(text, strlen(text), &words);
    if (words.count == count && strcmp(words.longest, longest) == 0)
        return;
    printf("\"%s\": %zu words, longest \"%s\"; expected %zu, \"%s\"\n", text, words.count, words.longest, count,
           longest);
    failures++;
}

int main(void) {
    expect("", 0, "");
    expect(" .,- ", 0, "");
    expect("one", 1, "one");
    expect("a wheel, a jet", 4, "wheel");
    expect("two-part", 2, "part");
    printf("%s\n", failures ? "failed" : "all words are counted");
    return failures > 0;
}
