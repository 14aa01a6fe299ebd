#include "pipeline/shell.h"

#include "base/str.h"

static ShellIn now(const Shell *s) {
    return s->in[s->depth];
}

static void set(Shell *s, ShellIn in) {
    s->in[s->depth] = in;
}

/* Behind "<<": the word that ends the here-document. Gives the bytes that it takes. */
static size_t read_here(Shell *s, const char *text, size_t len) {
    size_t at = 0, to = 0;
    char quote = '\0';

    s->here_quoted = s->here_tabs = false;
    if (at < len && text[at] == '-') {
        s->here_tabs = true;
        at++;
    }
    while (at < len && (text[at] == ' ' || text[at] == '\t'))
        at++;
    for (; at < len && to < SHELL_MAX_WORD - 1; at++) {
        char c = text[at];

        if (quote ? c == quote : c == '\'' || c == '"' || c == '\\') {
            quote = quote || c == '\\' ? '\0' : c;
            s->here_quoted = true;
        } else if (!quote && strchr(" \t\n;&|<>()", c)) {
            break;
        } else {
            s->here[to++] = c;
        }
    }
    s->here[to] = '\0';
    return at;
}

/* The first line of a here-document; gives its length with the line break, and ends it when it is the last.
 */
static size_t read_here_line(Shell *s, const char *text, size_t len) {
    const char *end = memchr(text, '\n', len);
    size_t line = end ? (size_t)(end - text) : len, skip = 0;

    while (s->here_tabs && skip < line && text[skip] == '\t')
        skip++;
    if (s->line_start && line - skip == strlen(s->here) && memcmp(text + skip, s->here, line - skip) == 0) {
        s->here[0] = '\0';
        set(s, SHELL_PLAIN);
    }
    s->line_start = end != NULL;
    return line + (end != NULL);
}

static void end_line(Shell *s) {
    s->word = false;
    if (s->here[0] && now(s) == SHELL_PLAIN) {
        set(s, SHELL_HERE);
        s->line_start = true;
    }
}

static bool opens_command(const Shell *s, const char *text, size_t left) {
    return left >= 2 && text[0] == '$' && text[1] == '(' && s->depth < SHELL_MAX_DEPTH - 1;
}

static size_t feed_plain(Shell *s, const char *text, size_t left) {
    char c = *text;
    bool word = s->word;

    s->word = !strchr(" \t\n;&|()<>", c);
    if (opens_command(s, text, left)) {
        s->in[++s->depth] = SHELL_PLAIN;
        s->word = false;
        return 2;
    }
    if (c == '\n')
        end_line(s);
    else if (c == '\'')
        set(s, SHELL_SINGLE);
    else if (c == '"')
        set(s, SHELL_DOUBLE);
    else if (c == '#' && !word)
        set(s, SHELL_COMMENT);
    else if (c == ')' && s->depth > 0)
        s->depth--;
    else if (left >= 3 && memcmp(text, "<<<", 3) == 0)
        return 3;
    else if (left >= 2 && memcmp(text, "<<", 2) == 0)
        return 2 + read_here(s, text + 2, left - 2);
    return 1;
}

static size_t feed_double(Shell *s, const char *text, size_t left) {
    if (opens_command(s, text, left)) {
        s->in[++s->depth] = SHELL_PLAIN;
        return 2;
    }
    if (*text == '"')
        set(s, SHELL_PLAIN);
    return 1;
}

static size_t feed(Shell *s, const char *text, size_t left) {
    ShellIn in = now(s);

    if (in == SHELL_HERE)
        return read_here_line(s, text, left);
    if (s->escaped || (*text == '\\' && (in == SHELL_PLAIN || in == SHELL_DOUBLE))) {
        s->escaped = !s->escaped;
        s->word = true;
        return 1;
    }
    if (in == SHELL_PLAIN)
        return feed_plain(s, text, left);
    if (in == SHELL_DOUBLE)
        return feed_double(s, text, left);
    if (in == SHELL_SINGLE ? *text == '\'' : *text == '\n') {
        set(s, SHELL_PLAIN);
        if (in == SHELL_COMMENT)
            end_line(s);
    }
    return 1;
}

/* "\\" before a "$" makes it text, and of two "$" the shell makes its process number. */
static const char *spoils(const char *text, size_t len) {
    size_t dollars = 0, slashes = 0;

    while (dollars < len && text[len - dollars - 1] == '$')
        dollars++;
    while (dollars + slashes < len && text[len - dollars - slashes - 1] == '\\')
        slashes++;
    if (slashes % 2 && dollars == 0)
        return "a backslash";
    return (dollars - slashes % 2) % 2 ? "another $" : NULL;
}

void shell_feed(Shell *s, const char *text, size_t len) {
    for (size_t at = 0; at < len;)
        at += feed(s, text + at, len - at);
    s->spoilt = spoils(text, len);
}

const char *shell_spoilt(const Shell *s) {
    return now(s) == SHELL_COMMENT ? NULL : s->spoilt;
}

const char *shell_quoted(const Shell *s) {
    if (now(s) == SHELL_SINGLE)
        return "single quotes";
    return now(s) == SHELL_HERE && s->here_quoted ? "a here-document with a quoted word" : NULL;
}
