#include "cli/term.h"

#include "base/str.h"

#include <sys/ioctl.h>
#include <unistd.h>

void term_init(Term *t, int fd) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct winsize size;

    *t = (Term){.tty = isatty(fd) == 1};
    if (!t->tty)
        return;
    t->colour = str_empty(no_color) && term && !str_eq(term, "dumb");
    t->width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

const char *term_style(const Term *t, Style style) {
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "\033[0m", [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
        [STYLE_RED] = "\033[31m",  [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
        [STYLE_BLUE] = "\033[34m",
    };

    return t->colour ? sequences[style] : "";
}

void term_add(const Term *t, Buf *out, Style style, const char *text) {
    if (style != STYLE_PLAIN)
        buf_adds(out, term_style(t, style));
    buf_adds(out, text);
    if (style != STYLE_PLAIN)
        buf_adds(out, term_style(t, STYLE_PLAIN));
}

/* ---- widths ---- */

typedef struct Range {
    uint32_t first, last;
} Range;

/* Unicode 15, general categories Mn, Me and Cf, of the scripts that names and messages are written in. */
static const Range narrow_none[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489},   {0x0591, 0x05BD}, {0x05BF, 0x05C7}, {0x0610, 0x061A},
    {0x064B, 0x065F}, {0x0670, 0x0670},   {0x06D6, 0x06DC}, {0x06DF, 0x06E4}, {0x06E7, 0x06ED},
    {0x0900, 0x0902}, {0x093C, 0x093C},   {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31},
    {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
    {0x202A, 0x202E}, {0x2060, 0x2064},   {0x20D0, 0x20F0}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
    {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
};

/* Unicode 15, EastAsianWidth.txt, W and F, neighbours joined. */
static const Range wide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},
    {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},
    {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
    {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},
    {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
    {0xA960, 0xA97C},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6B},
    {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x18CFF}, {0x1AFF0, 0x1B2FF}, {0x1F004, 0x1F004},
    {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F335},
    {0x1F337, 0x1F37C}, {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0},
    {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC}, {0x1F4FF, 0x1F53D},
    {0x1F54B, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596}, {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F},
    {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D7}, {0x1F6DC, 0x1F6FC}, {0x1F7E0, 0x1F7F0},
    {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};

static bool in_ranges(const Range *ranges, size_t count, uint32_t c) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (c < ranges[mid].first)
            high = mid;
        else if (c > ranges[mid].last)
            low = mid + 1;
        else
            return true;
    }
    return false;
}

/* One character of s; *ret_bytes: how many bytes it has. A byte that begins none is taken alone. */
static uint32_t next_char(const char *s, size_t *ret_bytes) {
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : *p >= 0xC2 ? 2 : 1;
    uint32_t c = n == 1 ? *p : *p & (0xFFU >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            *ret_bytes = 1;
            return 0xFFFD;
        }
        c = c << 6 | (p[i] & 0x3F);
    }
    *ret_bytes = n;
    return c;
}

static size_t char_width(uint32_t c) {
    if (c < 0x300)
        return 1;
    if (in_ranges(narrow_none, ELEMENTS(narrow_none), c))
        return 0;
    return in_ranges(wide, ELEMENTS(wide), c) ? 2 : 1;
}

size_t text_width(const char *s) {
    size_t width = 0, bytes;

    for (; *s; s += bytes)
        width += char_width(next_char(s, &bytes));
    return width;
}

size_t text_cut(const char *s, size_t columns) {
    size_t used = 0, at = 0, bytes;

    while (s[at]) {
        used += char_width(next_char(s + at, &bytes));
        if (used > columns)
            break;
        at += bytes;
    }
    return at;
}

const char *text_clean(const void *mem, const char *s) {
    char *copy;

    if (!s)
        return "";
    copy = str_utf8_clean(mem, s, strlen(s));
    for (unsigned char *p = (unsigned char *)copy; *p; p++) {
        if (*p < 0x20 || *p == 0x7F)
            *p = ' ';
        else if (p[0] == 0xC2 && p[1] < 0xA0) /* U+0080..9F: control characters too */
            p[0] = p[1] = ' ';
    }
    return copy;
}

const char *text_clean_lines(const void *mem, const char *s, const char *indent) {
    const char *out = "";

    for (const char *line = s; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
        _cleanup_talloc_ char *one = mem_strndup(NULL, line, strcspn(line, "\n"));

        out = mem_printf(mem, "%s%s%s%s", out, line == s ? "" : "\n", line == s ? "" : indent,
                         text_clean(one, one));
    }
    return out;
}

/* ---- what a log may do to a terminal ---- */

enum { FILTER_TEXT, FILTER_ESCAPE, FILTER_CSI, FILTER_STRING, FILTER_STRING_ESCAPE, FILTER_C2 };

#define FILTER_MAX_SEQUENCE 64

static void filter_text(TermFilter *f, unsigned char c, Buf *out) {
    if (c == 0x1B) {
        f->state = FILTER_ESCAPE;
        buf_clear(&f->seq);
    } else if (c == 0xC2) {
        f->state = FILTER_C2;
    } else if (c >= 0x20 ? c != 0x7F : strchr("\t\n\r\b", c) && c) {
        buf_addc(out, (char)c);
    }
}

static void filter_escape(TermFilter *f, unsigned char c) {
    if (c == '[')
        f->state = FILTER_CSI;
    else if (strchr("]PX^_", c) && c)
        f->state = FILTER_STRING;
    else if (c < 0x20 || c > 0x2F) /* intermediate bytes go on, anything else ends it */
        f->state = FILTER_TEXT;
}

static void filter_csi(TermFilter *f, unsigned char c, Buf *out) {
    if (c >= 0x20 && c <= 0x3F && f->seq.len < FILTER_MAX_SEQUENCE) {
        buf_addc(&f->seq, (char)c);
        return;
    }
    f->state = FILTER_TEXT;
    /* digits, ';' and ':' only: "<" "=" ">" "?" make private sequences of it */
    if (c == 'm' && strspn(buf_str(&f->seq), "0123456789;:") == f->seq.len)
        buf_addf(out, "\033[%sm", buf_str(&f->seq));
    else if (c == '\n')
        buf_addc(out, '\n');
}

void term_filter(TermFilter *f, const char *data, size_t len, Buf *out) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];

        switch (f->state) {
        case FILTER_TEXT:
            filter_text(f, c, out);
            break;
        case FILTER_C2:
            f->state = FILTER_TEXT;
            if (c >= 0xA0) {
                buf_addc(out, (char)0xC2);
                buf_addc(out, (char)c);
            }
            break;
        case FILTER_ESCAPE:
            filter_escape(f, c);
            break;
        case FILTER_CSI:
            filter_csi(f, c, out);
            break;
        case FILTER_STRING: /* up to BEL or ESC \; a newline ends it too, so that a broken one cannot hide a
                               log */
            if (c == 0x07 || c == '\n')
                f->state = FILTER_TEXT;
            else if (c == 0x1B)
                f->state = FILTER_STRING_ESCAPE;
            if (c == '\n')
                buf_addc(out, '\n');
            break;
        default:
            f->state = FILTER_TEXT;
            if (c != '\\')
                filter_text(f, c, out);
        }
    }
}

void term_filter_done(TermFilter *f) {
    buf_done(&f->seq);
}
