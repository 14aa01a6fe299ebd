/* WebSocket frames (RFC 6455), by wslay. */
#include "base/str.h"
#include "http/stream.h"
#include <errno.h>
#include <sys/socket.h>

#define WS_MESSAGE_MAX (64 * 1024) /* of a peer's: read and dropped */

/* ---- SHA-1 (RFC 3174), which the handshake asks for and nothing else here uses ---- */

static uint32_t rotate(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const unsigned char *p) {
    static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                         : b ^ c ^ d;
        uint32_t t = rotate(a, 5) + f + e + w[i] + constants[i / 20];

        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* len at most 119: two blocks. */
static void sha1_short(const char *text, size_t len, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[128] = {0};
    size_t size = len < 56 ? 64 : 128;

    memcpy(block, text, len);
    block[len] = 0x80;
    block[size - 2] = (unsigned char)(len * 8 >> 8);
    block[size - 1] = (unsigned char)(len * 8);
    for (size_t at = 0; at < size; at += 64)
        sha1_block(h, block + at);
    for (int i = 0; i < 20; i++)
        out[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

void ws_accept_key(const char *key, char *out) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char sum[21] = {0};
    char text[64];
    int n = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    sha1_short(text, (size_t)n, sum);
    for (int i = 0; i < 21; i += 3) {
        uint32_t bits = (uint32_t)sum[i] << 16 | (uint32_t)sum[i + 1] << 8 | sum[i + 2];

        for (int k = 0; k < 4; k++)
            *out++ = letters[bits >> (18 - 6 * k) & 63];
    }
    out[-1] = '='; /* 20 bytes: the last of 28 letters is padding */
    *out = '\0';
}

/* ---- frames ---- */

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *arg) {
    HttpStream *st = arg;
    ssize_t n = recv(st->fd, buf, len, MSG_DONTWAIT);

    (void)flags;
    if (n > 0)
        return n;
    wslay_event_set_error(ws, n < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags, void *arg) {
    HttpStream *st = arg;
    ssize_t n;

    /* the answer's header goes first */
    if (st->pending.len > st->pending_at && !stream_send(st, NULL, 0)) {
        wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    n = st->pending.len > st->pending_at
            ? (errno = EAGAIN, -1)
            : send(st->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));
    if (n >= 0)
        return n;
    st->full = errno == EAGAIN;
    wslay_event_set_error(ws, errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

void ws_open(HttpStream *st) {
    struct wslay_event_callbacks callbacks = {.recv_callback = on_recv, .send_callback = on_send};

    if (wslay_event_context_server_init(&st->ws, &callbacks, st) != 0)
        abort(); /* out of memory */
    wslay_event_config_set_no_buffering(st->ws, 1);
    wslay_event_config_set_max_recv_msg_length(st->ws, WS_MESSAGE_MAX);
}

void ws_free(HttpStream *st) {
    if (st->ws)
        wslay_event_context_free(TAKE_PTR(st->ws));
}

static bool queue(HttpStream *st, uint8_t opcode, const char *data, size_t len) {
    struct wslay_event_msg msg = {.opcode = opcode, .msg = (const uint8_t *)data, .msg_length = len};

    return wslay_event_queue_msg(st->ws, &msg) == 0;
}

bool ws_writable(HttpStream *st) {
    if (wslay_event_send(st->ws) != 0)
        return false;
    /* after a goodbye or a bad frame wslay reads no more, and when its own goodbye is out it is over */
    return wslay_event_want_write(st->ws) || wslay_event_want_read(st->ws);
}

bool ws_message(HttpStream *st, const Buf *text) {
    bool ok;

    if (!str_utf8_valid(text->data, text->len)) { /* a peer would end the connection (section 8.1) */
        _cleanup_talloc_ char *clean = str_utf8_clean(NULL, text->data, text->len);

        ok = queue(st, WSLAY_TEXT_FRAME, clean, strlen(clean));
    } else {
        ok = queue(st, WSLAY_TEXT_FRAME, text->data, text->len);
    }
    return ok && ws_writable(st);
}

bool ws_ping(HttpStream *st) {
    return queue(st, WSLAY_PING, NULL, 0) && ws_writable(st);
}

bool ws_close(HttpStream *st, unsigned code) {
    if (wslay_event_get_close_sent(st->ws))
        return true;
    return wslay_event_queue_close(st->ws, (uint16_t)code, NULL, 0) == 0 && ws_writable(st);
}

bool ws_readable(HttpStream *st) {
    if (wslay_event_recv(st->ws) != 0)
        return false;
    return ws_writable(st);
}
