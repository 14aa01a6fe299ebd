#include "http/client.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "http/client_impl.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define ANSWER_MAX ((size_t)16 * 1024 * 1024)
#define PIECE ((size_t)64 * 1024)
#define CHUNK_HEAD 16 /* room for a chunk's size and the end of its line */

/* ---- making ---- */

static int client_free(HttpClient *c) {
    wire_close(&c->wire);
    if (c->wire.interrupt_fd >= 0)
        close(c->wire.interrupt_fd);
    buf_done(&c->in);
    if (c->curl)
        curl_done(c);
    return 0;
}

/* "host:port/prefix" or "[v6]:port/prefix" */
static int parse_http(HttpClient *c, const char *rest, const char *base, Err *err) {
    size_t len = strcspn(rest, "/?#");
    const char *bracket = rest[0] == '[' ? memchr(rest, ']', len) : NULL;
    const char *colon = memchr(bracket ? bracket : rest, ':', len - (size_t)(bracket ? bracket - rest : 0));
    size_t host = colon ? (size_t)(colon - rest) : len;
    int64_t port;

    c->authority = mem_strndup(c, rest, len);
    c->port = colon ? mem_strndup(c, colon + 1, len - host - 1) : mem_strdup(c, "80");
    c->host = bracket ? mem_strndup(c, rest + 1, (size_t)(bracket - rest - 1)) : mem_strndup(c, rest, host);
    c->prefix = mem_strdup(c, rest + len);
    if (!*c->host || !str_to_i64(c->port, 1, 65535, &port) || strchr(c->prefix, '?') ||
        strchr(c->prefix, '#') || strchr(c->authority, '@'))
        return err_set(err, ERR_INVALID, "address \"%s\": expected http://HOST:PORT", base);
    return 0;
}

static int parse_base(HttpClient *c, const char *base, Err *err) {
    const char *rest;
    size_t len;

    for (const char *p = base; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return err_set(err, ERR_INVALID, "address \"%s\" has a space or control character", base);
    if ((rest = str_after(base, "http://"))) {
        int r = parse_http(c, rest, base, err);
        if (r < 0)
            return r;
    } else if ((rest = str_after(base, "unix:")) && *rest) {
        c->unix_path = mem_strdup(c, rest);
        c->authority = mem_strdup(c, "localhost");
        c->prefix = mem_strdup(c, "");
    } else if (str_after(base, "https://")) {
        c->url = mem_strdup(c, base);
    } else {
        return err_set(err, ERR_INVALID, "address \"%s\": expected http://, https:// or unix:", base);
    }
    rest = c->url ? c->url : c->prefix;
    len = strlen(rest);
    if (len && rest[len - 1] == '/') /* paths begin with one */
        ((char *)rest)[len - 1] = '\0';
    return 0;
}

int http_client_new(const void *mem, const char *base, const char *token, HttpClient **ret, Err *err) {
    HttpClient *c = mem_new(mem, HttpClient);
    int r;

    c->wire.fd = c->wire.interrupt_fd = -1;
    talloc_set_destructor(c, client_free);
    r = parse_base(c, base, err);
    if (r >= 0 && token && strpbrk(token, "\r\n"))
        r = err_set(err, ERR_INVALID, "the token has a line end in it");
    c->token = mem_strdup(c, token);
    if (r >= 0) {
        c->wire.interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (c->wire.interrupt_fd < 0)
            r = err_errno(err, "eventfd");
    }
    if (r < 0) {
        talloc_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void http_client_interrupt(HttpClient *c) {
    uint64_t one = 1;

    if (write(c->wire.interrupt_fd, &one, sizeof(one)) < 0) {
        /* it is set already */
    }
}

void http_client_forget(HttpClient *c) {
    wire_close(&c->wire);
    /* the parent's interrupts are the parent's */
    mem_close(c->wire.interrupt_fd);
    c->wire.interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->curl)
        curl_forget(c);
}

void http_client_guard(HttpClient *c, HttpGuard guard) {
    wire_close(&c->wire);
    c->wire.guard = guard;
}

/* ---- a call ---- */

int client_take(CallSink *sink, int status, const char *data, size_t len, Err *err) {
    HttpCall *call = sink->call;

    if (call->on_data && status >= 200 && status < 300)
        return call->on_data(call->arg, data, len) ? err_set(err, ERR_CANCELLED, "ended by the receiver") : 0;
    if (call->answer.len + len > sink->max)
        return err_set(err, ERR_TOO_LARGE, "the answer is larger than %zu bytes", sink->max);
    buf_add(&call->answer, data, len);
    return 0;
}

typedef struct Exchange {
    HttpClient *client;
    HttpCall *call;
    Parser parser;
    CallSink sink;
    bool heard;   /* a byte of the answer has come */
    bool started; /* a byte of a streamed body was taken from its source: it cannot be sent again */
    bool whole;   /* the request was sent to its end */
    bool headed;  /* on_head was called */
} Exchange;

static int tell_head(Exchange *x, Err *err) {
    HttpCall *call = x->call;

    if (x->headed || !call->on_head || x->parser.state <= PARSER_HEADER || x->parser.status < 200 ||
        x->parser.status > 299)
        return 0;
    x->headed = true;
    return call->on_head(call->arg) ? err_set(err, ERR_CANCELLED, "ended by the receiver") : 0;
}

void client_set_type(HttpClient *c, HttpCall *call, const char *type) {
    talloc_free(c->answer_type);
    c->answer_type = mem_strdup(c, type);
    call->answer_type = c->answer_type;
}

static int on_body(void *arg, const char *data, size_t len, Err *err) {
    Exchange *x = arg;
    int r = tell_head(x, err);

    if (r < 0)
        return r;
    if (!x->call->answer_type && x->parser.type.len)
        client_set_type(x->client, x->call, x->parser.type.data);
    return client_take(&x->sink, x->parser.status, data, len, err);
}

static int64_t call_deadline(const HttpCall *call) {
    return call->timeout_us ? clock_mono() + call->timeout_us : 0;
}

/* Bytes have moved: a stream's patience begins anew. */
static void progress(Exchange *x) {
    if (x->call->stream)
        x->client->wire.deadline = call_deadline(x->call);
}

static void write_head(const HttpClient *c, const HttpCall *call, Buf *out) {
    bool body = call->body || call->body_read || call->body_len;

    buf_addf(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\n", call->method, c->prefix, call->path, c->authority);
    if (c->token)
        buf_addf(out, "Authorization: Bearer %s\r\n", c->token);
    if (call->content_type)
        buf_addf(out, "Content-Type: %s\r\n", call->content_type);
    if (call->trailer)
        buf_adds(out, "Transfer-Encoding: chunked\r\n");
    else if (body || (strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0))
        buf_addf(out, "Content-Length: %zu\r\n", call->body_len);
    for (size_t i = 0; call->headers && call->headers[i]; i++)
        buf_addf(out, "%s\r\n", call->headers[i]);
    buf_adds(out, "\r\n");
}

/* Reads what is there into the parser. 1: the answer is whole. */
static int receive(Exchange *x, Err *err) {
    HttpClient *c = x->client;
    char *room = buf_reserve(&c->in, PIECE);
    ssize_t n = recv(c->wire.fd, room, PIECE, MSG_DONTWAIT);
    size_t used;
    int r;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_errno(err, "read the answer");
    if (n == 0) {
        r = parser_end(&x->parser, err);
        return r < 0 ? r : 1;
    }
    x->heard = true;
    progress(x);
    r = parser_feed(&x->parser, room, (size_t)n, &used, err);
    if (r == 0)
        r = tell_head(x, err);
    if (r < 0)
        return r;
    if (x->parser.state == PARSER_DONE && used < (size_t)n)
        x->parser.keep = false; /* bytes that belong to no answer */
    return x->parser.state == PARSER_DONE;
}

/* Sends iov; gives 1 when the answer came whole before the end. */
static int transmit(Exchange *x, const void *data, size_t len, Err *err) {
    Wire *w = &x->client->wire;
    const char *at = data;

    while (len) {
        ssize_t n = send(w->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        int got, r;

        if (n >= 0) {
            at += n;
            len -= (size_t)n;
            if (n)
                progress(x);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            /* an early refusal may be waiting behind the reset */
            int saved = errno;

            while ((r = receive(x, err)) == 0 && x->heard && (r = wire_wait(w, WIRE_READ, err)) > 0) {
            }
            errno = saved;
            return r > 0 ? r : err_errno(err, "send the request");
        }
        got = wire_wait(w, WIRE_READ | WIRE_WRITE, err);
        if (got < 0)
            return got;
        r = got & WIRE_READ ? receive(x, err) : 0;
        if (r != 0)
            return r;
    }
    return 0;
}

static int transmit_streamed(Exchange *x, Err *err) {
    _cleanup_free_ char *piece = malloc(PIECE);
    HttpCall *call = x->call;
    size_t left = call->body_len;

    if (!piece)
        abort();
    while (left) {
        ssize_t n;
        int r;

        x->started = true;
        n = call->body_read(call->arg, piece, MIN(PIECE, left), err);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return err_set(err, ERR_INVALID, "the body ended %zu bytes too early", left);
        left -= (size_t)n;
        r = transmit(x, piece, (size_t)n, err);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Sends len bytes that lie at chunk + CHUNK_HEAD, as a chunk of RFC 9112, section 7.1. */
static int transmit_chunk(Exchange *x, char *chunk, size_t len, Err *err) {
    char size[CHUNK_HEAD + 1];
    int head = snprintf(size, sizeof(size), "%zx\r\n", len);

    memcpy(chunk + CHUNK_HEAD - head, size, (size_t)head);
    memcpy(chunk + CHUNK_HEAD + len, "\r\n", 2);
    return transmit(x, chunk + CHUNK_HEAD - head, (size_t)head + len + 2, err);
}

static int transmit_chunked(Exchange *x, Err *err) {
    _cleanup_free_ char *chunk = malloc(CHUNK_HEAD + PIECE + 2);
    _cleanup_buf_ Buf last = BUF_INIT;
    HttpCall *call = x->call;
    ssize_t n;

    if (!chunk)
        abort();
    x->started = true;
    while ((n = call->body_read(call->arg, chunk + CHUNK_HEAD, PIECE, err)) > 0) {
        int r = transmit_chunk(x, chunk, (size_t)n, err);

        if (r != 0)
            return r;
    }
    if (n < 0)
        return (int)n;
    buf_addf(&last, "0\r\n%s\r\n\r\n", call->trailer(call->arg));
    return transmit(x, last.data, last.len, err);
}

/* Waits for the answer's next bytes. */
static int await_answer(Exchange *x, Err *err) {
    const HttpCall *call = x->call;
    Wire *w = &x->client->wire;
    int64_t deadline = w->deadline;

    for (;;) {
        int64_t idle = call->on_idle ? clock_mono() + call->idle_us : 0;
        bool first = idle && (!deadline || idle < deadline);
        int r;

        w->deadline = first ? idle : deadline;
        r = wire_wait(w, WIRE_READ, err);
        w->deadline = deadline;
        if (r != -ERR_TIMEOUT || !first)
            return r;
        call->on_idle(call->arg);
    }
}

/* Request and answer over the connection there is. */
static int exchange(Exchange *x, Err *err) {
    HttpClient *c = x->client;
    HttpCall *call = x->call;
    _cleanup_buf_ Buf head = BUF_INIT;
    int r;

    write_head(c, call, &head);
    if (call->body && call->body_len <= PIECE)
        buf_add(&head, call->body, call->body_len);
    r = transmit(x, head.data, head.len, err);
    if (r == 0 && call->body && call->body_len > PIECE)
        r = transmit(x, call->body, call->body_len, err);
    else if (r == 0 && call->trailer)
        r = transmit_chunked(x, err);
    else if (r == 0 && !call->body && call->body_len)
        r = transmit_streamed(x, err);
    x->whole = r == 0;
    while (r == 0) {
        r = await_answer(x, err);
        if (r > 0)
            r = receive(x, err);
    }
    return r < 0 ? r : 0;
}

/* A kept connection that is readable has been closed, or talks out of turn. */
static bool connection_fresh(const Wire *w) {
    char byte;

    return recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int attempt(Exchange *x, bool *reused, Err *err) {
    HttpClient *c = x->client;
    int r;

    if (c->wire.fd >= 0 && !connection_fresh(&c->wire))
        wire_close(&c->wire);
    *reused = c->wire.fd >= 0;
    if (!*reused) {
        r = wire_connect(&c->wire, c->host, c->port, c->unix_path, err);
        if (r < 0)
            return r;
    }
    parser_init(&x->parser, strcmp(x->call->method, "HEAD") == 0, on_body, x);
    r = exchange(x, err);
    x->call->status = x->parser.status;
    client_set_type(c, x->call, r >= 0 && x->parser.type.len ? x->parser.type.data : NULL);
    if (x->started && !x->whole) /* libmicrohttpd may miss a plain end that comes with the last bytes */
        wire_reset(&c->wire);
    else if (r < 0 || !x->parser.keep || !x->whole)
        wire_close(&c->wire);
    parser_done(&x->parser);
    buf_clear(&c->in);
    return r;
}

static int plain_call(HttpClient *c, HttpCall *call, Err *err) {
    Exchange x = {
        .client = c, .call = call, .sink = {call, call->max_answer ? call->max_answer : ANSWER_MAX}};
    bool reused;
    int r;

    c->wire.deadline = call_deadline(call);
    r = attempt(&x, &reused, err);
    if (r == -ERR_IO && reused && !x.heard && !x.started)
        r = attempt(&x, &reused, err);
    if (r == -ERR_IO && !x.heard && !x.started && !c->answered && c->host) {
        Err what = *err;

        return err_set(err, ERR_IO, "%s; is its address https://?", what.msg);
    }
    return r;
}

int http_client_call(HttpClient *c, HttpCall *call, Err *err) {
    int r;

    call->status = 0;
    call->untrusted = false;
    client_set_type(c, call, NULL);
    buf_clear(&call->answer);
    for (const char *p = call->path; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return err_set(err, ERR_INVALID, "path \"%s\" is not encoded", call->path);
    for (size_t i = 0; call->headers && call->headers[i]; i++)
        if (strpbrk(call->headers[i], "\r\n"))
            return err_set(err, ERR_INVALID, "a header field has a line end in it");
    r = c->url ? curl_call(c, call, err) : plain_call(c, call, err);
    c->answered = c->answered || r >= 0;
    return r;
}

/* ---- statuses as errors ---- */

static ErrCode code_of_status(int status) {
    switch (status) {
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
    case 410:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 413:
        return ERR_TOO_LARGE;
    case 405:
    case 415:
    case 501:
        return ERR_UNSUPPORTED;
    case 429:
    case 502:
    case 503:
        return ERR_UNAVAILABLE;
    case 408:
    case 504:
        return ERR_TIMEOUT;
    case 507:
        return ERR_NO_SPACE;
    default:
        return status >= 500 ? ERR_INTERNAL : ERR_INVALID;
    }
}

/* What an answer tells of a wrong address: nginx, Caddy and Apache say in words that they want TLS. */
static const char *wrong_address(const HttpCall *call) {
    static const char *const words[] = {"HTTPS", "SSL-enabled"};

    if (call->status / 100 == 3)
        return ": it is elsewhere; is its address https:// there?";
    for (size_t i = 0; call->status == 400 && call->answer.len && i < ELEMENTS(words); i++)
        if (memmem(call->answer.data, call->answer.len, words[i], strlen(words[i])))
            return ": is its address https://?";
    return "";
}

int http_call_check(const HttpCall *call, Err *err) {
    _cleanup_json_ json_t *body = NULL;
    const char *message = NULL;
    Err ignored;

    if (call->status >= 200 && call->status < 300)
        return 0;
    if (call->answer.len && json_read(call->answer.data, call->answer.len, &body, &ignored) >= 0) {
        message = json_string_value(json_object_get(body, "message"));
        if (!message)
            message = json_string_value(json_object_get(body, "error"));
    }
    if (message)
        return err_set_(err, ERR_HERE, code_of_status(call->status), call->status, "%s", message);
    return err_set_(err, ERR_HERE, code_of_status(call->status), call->status, "the server answered %d%s",
                    call->status, wrong_address(call));
}
