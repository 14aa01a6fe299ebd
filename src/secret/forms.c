#include "secret/forms.h"

#include "base/str.h"

enum {
    LOWER = 1, /* hex digits */
    PLUS = 2,  /* URL: a space becomes '+' */
    SLASH = 4, /* JSON: "\/" */
    ASCII = 8, /* JSON: what is not ASCII as \u; shells: as octal numbers */
    LESS = 32, /* XML: text between tags */
    HTML = 16, /* JSON: '<', '>' and '&' as \u, as Go does it */
};

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool among(const char *set, char c) {
    return c && strchr(set, c);
}

static void itself(const Form *f, const char *text, size_t len, Buf *out) {
    buf_add(out, text, len);
}

static void hex(const Form *f, unsigned byte, Buf *out) {
    if (f->flags & LOWER)
        buf_addf(out, "%%%02x", byte);
    else
        buf_addf(out, "%%%02X", byte);
}

static void url(const Form *f, const char *text, size_t len, Buf *out) {
    for (size_t i = 0; i < len; i++) {
        if (is_plain(text[i]) || among(f->keep, text[i]))
            buf_addc(out, text[i]);
        else if (text[i] == ' ' && f->flags & PLUS)
            buf_addc(out, '+');
        else
            hex(f, (unsigned char)text[i], out);
    }
}

/* ---- JSON ---- */

/* The letter of a short escape (RFC 8259), or 0. */
static char json_letter(const Form *f, char c) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;

    return at ? to[at - from] : c == '/' && f->flags & SLASH ? '/' : '\0';
}

static void json_unit(const Form *f, unsigned unit, Buf *out) {
    if (f->flags & LOWER)
        buf_addf(out, "\\u%04x", unit);
    else
        buf_addf(out, "\\u%04X", unit);
}

/* Beyond the first 65,536 characters: a pair of surrogates. */
static void json_number(const Form *f, unsigned code, Buf *out) {
    if (code >= 0x10000) {
        json_unit(f, 0xd800 + ((code - 0x10000) >> 10), out);
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    json_unit(f, code, out);
}

static unsigned code_of(const char *c, size_t len) {
    unsigned code = (unsigned char)*c & (0xffu >> (len + 1));

    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)c[i] & 0x3f);
    return code;
}

static void json(const Form *f, const char *text, size_t len, Buf *out) {
    size_t step;

    for (size_t i = 0; i < len; i += step) {
        char letter = json_letter(f, text[i]);

        step = MAX(str_utf8_next(text + i, len - i), (size_t)1);
        if (letter)
            buf_addf(out, "\\%c", letter);
        else if ((unsigned char)text[i] < ' ' || (f->flags & HTML && among("<>&", text[i])))
            json_number(f, (unsigned char)text[i], out);
        else if (step > 1 && f->flags & ASCII)
            json_number(f, code_of(text + i, step), out);
        else
            buf_add(out, text + i, step);
    }
}

static void xml(const Form *f, const char *text, size_t len, Buf *out) {
    const char *from = f->flags & LESS ? "&<>" : "&<>\"'";
    const char *const to[] = {"&amp;", "&lt;", "&gt;", "&quot;", f->keep};

    for (size_t i = 0; i < len; i++) {
        const char *at = text[i] ? strchr(from, text[i]) : NULL;

        if (at)
            buf_adds(out, to[at - from]);
        else
            buf_addc(out, text[i]);
    }
}

/* ---- shells ---- */

/* Within '…': what ends the quotes, stands for one, and begins them again. */
static void quoted(const Form *f, const char *text, size_t len, Buf *out) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'')
            buf_adds(out, f->keep);
        else
            buf_addc(out, text[i]);
    }
}

/* A backslash before each of `keep`: "…", and bash's printf %q. */
static void backslashed(const Form *f, const char *text, size_t len, Buf *out) {
    for (size_t i = 0; i < len; i++) {
        if (among(f->keep, text[i]))
            buf_addc(out, '\\');
        buf_addc(out, text[i]);
    }
}

/* Within $'…', as bash writes it. */
static void ansi(const Form *f, const char *text, size_t len, Buf *out) {
    static const char from[] = "'\\\a\b\033\f\n\r\t\v", to[] = "'\\abEfnrtv";

    for (size_t i = 0; i < len; i++) {
        const char *at = text[i] ? strchr(from, text[i]) : NULL;
        unsigned char byte = (unsigned char)text[i];

        if (at)
            buf_addf(out, "\\%c", to[at - from]);
        else if (byte < ' ' || byte == 0x7f || (byte >= 0x80 && f->flags & ASCII))
            buf_addf(out, "\\%03o", byte);
        else
            buf_addc(out, text[i]);
    }
}

#define UNRESERVED "-._~"
#define COMPONENT UNRESERVED "!*'()"
#define WHOLE_URL COMPONENT ";/?:@&=+$,#"

const Form forms[] = {
    {itself, NULL, 0},
    {url, UNRESERVED, 0},
    {url, UNRESERVED, LOWER},
    {url, UNRESERVED "/", 0},
    {url, UNRESERVED "/", LOWER},
    {url, UNRESERVED, PLUS},
    {url, UNRESERVED, PLUS | LOWER},
    {url, "-._*", PLUS},
    {url, COMPONENT, 0},
    {url, WHOLE_URL, 0},
    {json, NULL, 0},
    {json, NULL, LOWER},
    {json, NULL, SLASH | LOWER},
    {json, NULL, ASCII},
    {json, NULL, ASCII | LOWER},
    {json, NULL, ASCII | LOWER | SLASH},
    {json, NULL, HTML | LOWER},
    {xml, "'", 0},
    {xml, "'", LESS},
    {xml, "&#39;", 0},
    {xml, "&#x27;", 0},
    {xml, "&apos;", 0},
    {quoted, "'\\''", 0},
    {quoted, "'\"'\"'", 0},
    {backslashed, "\"\\$`", 0},
    {backslashed, "\"\\$`!", 0},
    {backslashed, " \t'\"\\|&;()<>!{}*[?]^$`,", 0},
    {backslashed, " \t'\"\\|&;()<>!{}*[?]^$`,~#=", 0},
    {ansi, NULL, 0},
    {ansi, NULL, ASCII},
    {NULL, NULL, 0},
};
