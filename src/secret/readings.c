#include "secret/readings.h"

#include <ctype.h>
#include <string.h>

enum {
    OCTAL = 1,   /* \101 */
    ZERO = 2,    /* \0101 */
    HEX = 4,     /* \x41 */
    UNICODE = 8, /* \u0041 */
    PAIRS = 16,  /* \ud83d\ude00: two numbers, one character */
    STOP = 32,   /* \c: nothing comes after it */
};

/* What begins a number, how many digits it may have, and what it is called by. */
static const struct {
    char first; /* 0: its first digit */
    unsigned flag;
    size_t min, max;
    unsigned base;
} numbers[] = {
    {'0', ZERO, 0, 3, 8},     {'x', HEX, 1, 2, 16}, {'u', UNICODE, 1, 4, 16},
    {'U', UNICODE, 1, 8, 16}, {0, OCTAL, 1, 3, 8},
};

static unsigned digit_of(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return isxdigit((unsigned char)c) ? (unsigned)((c | 0x20) - 'a') + 10 : 16;
}

/* How many digits there are, at most max. */
static size_t read_digits(const char *text, size_t len, size_t max, unsigned base, unsigned *ret) {
    size_t i = 0;

    *ret = 0;
    for (; i < MIN(len, max) && digit_of(text[i]) < base; i++)
        *ret = *ret * base + digit_of(text[i]);
    return i;
}

static void add_code(unsigned code, Buf *out) {
    static const unsigned char heads[] = {0, 0xc0, 0xe0, 0xf0};
    size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;

    buf_addc(out, (char)(heads[more] | code >> (6 * more)));
    while (more--)
        buf_addc(out, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

/* The second half of a pair that a number began: how JSON writes what is beyond the first 65,536 characters.
 */
static size_t read_pair(const char *text, size_t len, unsigned *code) {
    unsigned low;

    if (*code < 0xd800 || *code >= 0xdc00 || len < 6 || text[0] != '\\' || text[1] != 'u' ||
        read_digits(text + 2, len - 2, 4, 16, &low) != 4 || low < 0xdc00 || low >= 0xe000)
        return 0;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return 6;
}

/* A number behind a backslash: how many bytes it has, 0 when there is none. */
static size_t read_number(const Reading *r, const char *text, size_t len, Buf *out) {
    for (size_t i = 0; i < ELEMENTS(numbers); i++) {
        size_t skip = numbers[i].first ? 1 : 0, digits;
        unsigned code;

        if (!(r->flags & numbers[i].flag) || (skip && text[0] != numbers[i].first))
            continue;
        digits = read_digits(text + skip, len - skip, numbers[i].max, numbers[i].base, &code);
        if (digits < numbers[i].min)
            continue;
        skip += digits;
        if (numbers[i].flag != UNICODE) {
            buf_addc(out, (char)code);
            return skip;
        }
        if (r->flags & PAIRS)
            skip += read_pair(text + skip, len - skip, &code);
        add_code(code, out);
        return skip;
    }
    return 0;
}

static char letter_of(const Reading *r, char c) {
    for (const char *pair = r->letters; *pair; pair += 2)
        if (*pair == c)
            return pair[1];
    return '\0';
}

/* What is behind a backslash: how many bytes of it are read with it. */
static size_t read_escape(const Reading *r, const char *text, size_t len, Buf *out) {
    char letter = len ? letter_of(r, *text) : '\0';
    size_t read = 1;

    if (letter)
        buf_addc(out, letter);
    else if (len == 0 || (read = read_number(r, text, len, out)) == 0)
        buf_addc(out, '\\');
    return len ? read : 0;
}

bool reading_of(const Reading *r, const char *text, size_t len, Buf *out) {
    const char *end = text + len;

    while (text < end) {
        const char *backslash = memchr(text, '\\', (size_t)(end - text));

        buf_add(out, text, (size_t)((backslash ? backslash : end) - text));
        if (!backslash)
            return true;
        text = backslash + 1;
        if (text < end && *text == 'c' && r->flags & STOP)
            return false;
        text += read_escape(r, text, (size_t)(end - text), out);
    }
    return true;
}

#define SHELL "a\ab\be\033f\fn\nr\rt\tv\v\\\\"

const Reading readings[] = {
    {SHELL, OCTAL | ZERO | STOP},                         /* sh: echo, printf %b */
    {SHELL "E\033", ZERO | HEX | UNICODE | STOP},         /* bash: echo -e */
    {SHELL "E\033", OCTAL | ZERO | HEX | UNICODE | STOP}, /* bash: printf %b */
    {SHELL, OCTAL},                                       /* sh: printf, the text itself as its format */
    {SHELL "E\033\"\"''", OCTAL | HEX | UNICODE},         /* bash: the same */
    {"b\bf\fn\nr\rt\t\"\"//\\\\", UNICODE | PAIRS},       /* JSON (RFC 8259) */
    {NULL, 0},
};
