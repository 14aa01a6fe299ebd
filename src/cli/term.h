/* The terminal: colours, widths, and text from elsewhere made harmless. */
#pragma once

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Term {
    bool tty;
    bool colour; /* a terminal that is not dumb, and NO_COLOR is unset or empty */
    int width;   /* columns; 0: not a terminal */
} Term;

typedef enum Style {
    STYLE_PLAIN,
    STYLE_BOLD,
    STYLE_DIM,
    STYLE_RED,
    STYLE_GREEN,
    STYLE_YELLOW,
    STYLE_BLUE
} Style;

void term_init(Term *t, int fd);
/* The escape sequence that begins the style, or "" without colours. STYLE_PLAIN ends any other. */
const char *term_style(const Term *t, Style style);
/* Adds the text in a style. */
void term_add(const Term *t, Buf *out, Style style, const char *text);

/* Columns that valid UTF-8 text takes: 0 for combining marks and joiners, 2 for wide characters (Unicode East
 * Asian Width W and F, and emoji), else 1. Bytes that are not UTF-8 count 1 each. */
size_t text_width(const char *s);
/* Bytes of the longest part of s from its start that takes at most `columns`. */
size_t text_cut(const char *s, size_t columns);
/* A copy on one line: control characters become a space, what is not UTF-8 U+FFFD. NULL gives "". */
const char *text_clean(const void *mem, const char *s);
/* The same of each line: those after the first begin with `indent`. */
const char *text_clean_lines(const void *mem, const char *s, const char *indent);

/* Passes a log through to a terminal: text, colours (SGR), tab, newline, carriage return and backspace. Other
 * escape and control sequences (titles, clipboard, cursor, queries that would answer as if typed) are
 * dropped. Keeps its state over pieces. */
typedef struct TermFilter {
    int state;
    Buf seq; /* of an escape sequence that is not yet whole */
} TermFilter;
void term_filter(TermFilter *f, const char *data, size_t len, Buf *out);
void term_filter_done(TermFilter *f);
