/* Problems as a good compiler shows them: the place, the message, the line and a caret. */
#include "pipeline/problems.h"

#include "base/str.h"

#define PRINTED_MAX 50
#define WIDTH 100 /* of the part of a line that is shown, in terminal columns */
#define TAB 8

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define GREEN "\033[1;32m"
#define PLAIN "\033[0m"

/* The length of the line break at s, or 0: LF, CR, CR LF, and NEL, LS, PS, which libyaml counts too. */
static size_t line_break(const char *s, size_t len) {
    if (len >= 2 && memcmp(s, "\r\n", 2) == 0)
        return 2;
    if (*s == '\n' || *s == '\r')
        return 1;
    if (len >= 2 && memcmp(s, "\xC2\x85", 2) == 0)
        return 2;
    return len >= 3 && (memcmp(s, "\xE2\x80\xA8", 3) == 0 || memcmp(s, "\xE2\x80\xA9", 3) == 0) ? 3 : 0;
}

bool problems_line(const char *text, size_t len, int line, const char **ret, size_t *ret_len) {
    size_t at = 0, start = 0;
    int now = 1;

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        at = start = 3; /* a byte order mark is no column */
    for (; at < len; at++) {
        size_t brk = line_break(text + at, len - at);

        if (!brk)
            continue;
        if (now == line)
            break;
        now++;
        start = at + brk;
        at = start - 1;
    }
    if (now != line || line < 1)
        return false;
    *ret = text + start;
    *ret_len = at - start;
    return true;
}

typedef struct Glyph {
    char bytes[8];
    size_t len;
    int width;
} Glyph;

static bool is_wide(unsigned long c) {
    static const unsigned long ranges[][2] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                                              {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                                              {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};

    for (size_t i = 0; i < ELEMENTS(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static bool is_control(unsigned long c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* One character of the line as it is shown, at terminal column `column`; gives the bytes it took. A tab
 * becomes blanks; what would upset a terminal (controls, bytes that are no UTF-8, direction marks) a question
 * mark. */
static size_t glyph_next(const char *s, size_t len, int column, Glyph *g) {
    unsigned char first = (unsigned char)*s;
    size_t n = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    unsigned long c = n == 1 ? first : first & (0xFFu >> (n + 1));

    *g = (Glyph){.bytes = "?", .len = 1, .width = 1};
    if (first == '\t') {
        g->len = (size_t)(TAB - column % TAB);
        g->width = (int)g->len;
        memset(g->bytes, ' ', g->len);
        return 1;
    }
    if (n > len || !str_utf8_valid(s, n))
        return 1;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    if (is_control(c))
        return n;
    memcpy(g->bytes, s, n);
    g->len = n;
    g->width = is_wide(c) ? 2 : 1;
    return n;
}

/* The terminal column (from 0) of the line's character number `column` (from 1). */
static int terminal_column(const char *line, size_t len, int column) {
    int at = 0;
    Glyph g;

    for (int i = 1; i < column && len > 0; i++) {
        size_t n = glyph_next(line, len, at, &g);

        at += g.width;
        line += n;
        len -= n;
    }
    return at;
}

/* The line between two terminal columns; gives whether it goes on behind. */
static bool print_part(const char *line, size_t len, int from, int to, Buf *out) {
    int at = 0;
    Glyph g;

    while (len > 0) {
        size_t n = glyph_next(line, len, at, &g);

        if (at + g.width > to)
            return true;
        if (at >= from)
            buf_add(out, g.bytes, g.len);
        else if (at + g.width > from)
            buf_addc(out, ' '); /* the half of a wide one */
        at += g.width;
        line += n;
        len -= n;
    }
    return false;
}

static void print_line(const PlanProblem *p, const char *text, size_t len, bool colour, Buf *out) {
    const char *line;
    size_t line_len;
    int caret, from = 0;

    if (!problems_line(text, len, p->line, &line, &line_len))
        return;
    caret = terminal_column(line, line_len, p->column);
    if (caret >= WIDTH)
        from = caret - WIDTH / 2;
    buf_addf(out, "%5d | %s", p->line, from ? "…" : "");
    if (print_part(line, line_len, from, from + WIDTH, out))
        buf_adds(out, "…");
    if (p->column > 0)
        buf_addf(out, "\n      | %*s%s^%s", caret - from + (from ? 1 : 0), "", colour ? GREEN : "",
                 colour ? PLAIN : "");
    buf_addc(out, '\n');
}

static void print_problem(const PlanProblem *p, const char *file, const char *text, size_t len, bool colour,
                          Buf *out) {
    buf_adds(out, colour ? BOLD : "");
    buf_adds(out, file);
    if (p->line > 0)
        buf_addf(out, ":%d:%d", p->line, MAX(p->column, 1));
    buf_addf(out, ": %serror: %s%s%s\n", colour ? RED : "", colour ? PLAIN BOLD : "", p->message,
             colour ? PLAIN : "");
    if (p->line > 0 && text)
        print_line(p, text, len, colour, out);
}

void plan_problems_print(const PlanProblems *problems, const char *file, const char *text, size_t len,
                         bool colour, Buf *out) {
    size_t shown = MIN(problems->count, (size_t)PRINTED_MAX);

    for (size_t i = 0; i < shown; i++) {
        const PlanProblem *p = &problems->items[i];

        print_problem(p, p->file ? p->file : file, p->file ? p->text : text, p->file ? p->len : len, colour,
                      out);
    }
    if (shown < problems->count)
        buf_addf(out, "%s: and %zu more\n", file, problems->count - shown);
}
