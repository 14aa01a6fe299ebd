/* Base64 of a text that may stand anywhere in what was encoded: it begins at one of three alignments, the
 * characters at its ends hold bits of its neighbours, and encoders break lines where they like. So it is
 * looked for in pieces, each of characters that are the text's alone; they overlap, and together they are all
 * of it. */
#include "base/str.h"
#include "secret/needles.h"

#define PIECE_STEP 4

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* `before` zero bytes, the text and the tail, without padding. */
static void encode(const char *text, size_t len, size_t before, const char *tail, Buf *out) {
    size_t total = before + len + strlen(tail);
    unsigned bits = 0, have = 0;

    for (size_t i = 0; i < total; i++) {
        unsigned byte = i < before ? 0 : (unsigned char)(i < before + len ? text[i - before] : *tail);

        bits = (bits << 8 | byte) & 0xffff;
        for (have += 8; have >= 6; have -= 6)
            buf_addc(out, alphabet[bits >> (have - 6) & 63]);
    }
    if (have)
        buf_addc(out, alphabet[bits << (6 - have) & 63]);
}

/* The piece, and as the alphabet for URLs and file names has it. */
static void put_piece(Needles *n, const char *piece, size_t len) {
    char other[NEEDLE_PIECE];

    needles_put(n, piece, len);
    if (!memchr(piece, '+', len) && !memchr(piece, '/', len))
        return;
    for (size_t i = 0; i < len; i++)
        other[i] = piece[i] == '+' ? '-' : piece[i] == '/' ? '_' : piece[i];
    needles_put(n, other, len);
}

static void put_pieces(Needles *n, const char *text, size_t len) {
    for (size_t i = 0; i + NEEDLE_PIECE < len; i += PIECE_STEP)
        put_piece(n, text + i, NEEDLE_PIECE);
    put_piece(n, len < NEEDLE_PIECE ? text : text + len - NEEDLE_PIECE, MIN(len, (size_t)NEEDLE_PIECE));
}

/* What ends the encoded text: more that we do not know, nothing, or the line's end that `echo` adds. */
static void add_aligned(Needles *n, const char *text, size_t len, size_t before) {
    static const char *const tails[] = {"", "\n"};
    size_t skip = (before * 8 + 5) / 6, sure = (before + len) * 8 / 6;

    for (size_t i = 0; i < ELEMENTS(tails); i++) {
        _cleanup_buf_ Buf all = BUF_INIT;
        size_t last;

        encode(text, len, before, tails[i], &all);
        if (i == 0 && sure > skip)
            put_pieces(n, buf_str(&all) + skip, sure - skip);
        last = MIN(all.len - skip, (size_t)NEEDLE_PIECE);
        put_piece(n, buf_str(&all) + all.len - last, last);
    }
}

void needles_add_base64(Needles *n, const char *value, size_t len) {
    for (size_t before = 0; before < 3; before++)
        add_aligned(n, value, len, before);
}
