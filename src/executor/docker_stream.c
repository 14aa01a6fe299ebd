#include "base/file.h"
#include "executor/docker.h"
#include <string.h>

#define LINE_MAX_BYTES ((size_t)16 * 1024 * 1024) /* a line of progress that is longer is not one */

/* ---- output ---- */

/* The engine puts eight bytes before each piece of output of a container without a terminal: stream, three
 * zeroes, length (big endian). */
typedef struct Attach {
    int out;
    unsigned char head[8];
    size_t head_len;
    uint32_t left; /* of the piece */
    int (*started)(void *arg, Err *err);
    void *arg;
    Err *err;
    int result;
} Attach;

static size_t take_head(Attach *a, const unsigned char *data, size_t len) {
    size_t taken = MIN(len, sizeof(a->head) - a->head_len);

    memcpy(a->head + a->head_len, data, taken);
    a->head_len += taken;
    if (a->head_len == sizeof(a->head)) {
        a->left =
            (uint32_t)a->head[4] << 24 | (uint32_t)a->head[5] << 16 | (uint32_t)a->head[6] << 8 | a->head[7];
        a->head_len = 0;
    }
    return taken;
}

static int on_output(void *arg, const void *data, size_t len) {
    Attach *a = arg;
    const unsigned char *at = data;

    while (len && a->result == 0) {
        size_t taken = MIN(len, a->left);

        if (a->left == 0) {
            taken = take_head(a, at, len);
        } else {
            a->result = file_write_all(a->out, at, taken, a->err);
            a->left -= (uint32_t)taken;
        }
        at += taken;
        len -= taken;
    }
    return a->result;
}

static int on_head(void *arg) {
    Attach *a = arg;

    if (a->started)
        a->result = a->started(a->arg, a->err);
    return a->result;
}

int engine_attach(HttpClient *c, const EngineCall *call, int out, int (*started)(void *arg, Err *err),
                  void *arg, Err *err) {
    Err own = {0};
    Attach a = {.out = out, .started = started, .arg = arg, .err = &own};
    HttpCall http = {
        .method = call->method,
        .path = call->path,
        .content_type = call->body ? "application/json" : NULL,
        .body = call->body ? call->body->data : NULL,
        .body_len = call->body ? call->body->len : 0,
        .timeout_us = call->timeout_us,
        .on_data = on_output,
        .on_head = on_head,
        .arg = &a,
    };
    int r = http_client_call(c, &http, err);

    if (r == 0)
        r = http_call_check(&http, err);
    buf_done(&http.answer);
    if (a.result < 0) {
        *err = own;
        return a.result;
    }
    return r;
}

/* ---- JSON lines ---- */

typedef struct Lines {
    Buf buf;
    int body_fd;
    int (*line)(void *arg, json_t *line, Err *err);
    void *arg;
    Err *err;
    int result;
} Lines;

static int take_line(Lines *l, const char *text, size_t len) {
    _cleanup_json_ json_t *line = NULL;

    while (len && (text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    if (len == 0)
        return 0;
    if (json_read(text, len, &line, l->err) < 0)
        return err_wrap(l->err, "the engine's progress");
    return l->line(l->arg, line, l->err);
}

static int on_lines(void *arg, const void *data, size_t len) {
    Lines *l = arg;
    size_t from = 0;
    char *end;

    buf_add(&l->buf, data, len);
    while (l->result == 0 && (end = memchr(l->buf.data + from, '\n', l->buf.len - from))) {
        l->result = take_line(l, l->buf.data + from, (size_t)(end - l->buf.data) - from);
        from = (size_t)(end - l->buf.data) + 1;
    }
    buf_drop(&l->buf, from);
    if (l->result == 0 && l->buf.len > LINE_MAX_BYTES)
        l->result = err_set(l->err, ERR_TOO_LARGE, "the engine's progress: a line without an end");
    return l->result;
}

static ssize_t body_read(void *arg, void *buf, size_t size, Err *err) {
    Lines *l = arg;
    ssize_t len = read(l->body_fd, buf, size);

    return len < 0 ? err_errno(err, "read the build's context") : len;
}

int engine_lines(HttpClient *c, HttpCall *call, int body_fd, int (*line)(void *arg, json_t *line, Err *err),
                 void *arg, Err *err) {
    Err own = {0};
    Lines l = {.body_fd = body_fd, .line = line, .arg = arg, .err = &own};
    int r;

    call->on_data = on_lines;
    call->body_read = body_fd >= 0 ? body_read : NULL;
    call->arg = &l;
    r = http_client_call(c, call, err);
    if (r == 0)
        r = http_call_check(call, err);
    if (r == 0 && l.buf.len)
        l.result = take_line(&l, l.buf.data, l.buf.len);
    buf_done(&l.buf);
    buf_done(&call->answer);
    if (l.result < 0) {
        *err = own;
        return l.result;
    }
    return r;
}
