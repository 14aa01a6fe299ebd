/* Writing an answer. */
#include "http/request.h"

#include "base/clock.h"
#include "base/str.h"
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Whether an answer may be given now; a second one is a mistake of the handler's. */
static bool begin_reply(HttpRequest *req, ReplyKind kind, int status, const char *type) {
    if (req->reply.kind != REPLY_NONE)
        return false;
    req->reply.kind = kind;
    req->reply.status = status;
    req->reply.type = type;
    return true;
}

void reply_discard(Reply *reply) {
    if (reply->fd >= 0)
        close(reply->fd);
    if (reply->stream)
        stream_discard(reply->stream);
    buf_done(&reply->body);
    *reply = (Reply){.fd = -1};
}

void http_add_header(HttpRequest *req, const char *name, const char *value) {
    HeaderPair pair = {mem_strdup(req->mem, name), mem_strdup(req->mem, value)};

    /* a value from outside must not begin a line of its own */
    for (char *p = (char *)pair.value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    mem_append(req->mem, req->reply.headers, req->reply.header_count, pair);
}

bool reply_has_header(const HttpRequest *req, const char *name) {
    for (size_t i = 0; i < req->reply.header_count; i++)
        if (strcasecmp(req->reply.headers[i].name, name) == 0)
            return true;
    return false;
}

void http_reply(HttpRequest *req, int status, const char *content_type, const void *data, size_t len) {
    if (begin_reply(req, REPLY_BYTES, status, mem_strdup(req->mem, content_type)) && len)
        buf_add(&req->reply.body, data, len);
}

static void reply_buf(HttpRequest *req, int status, const char *content_type, Buf *body) {
    if (begin_reply(req, REPLY_BYTES, status, content_type)) {
        req->reply.body = *body;
        *body = BUF_INIT;
    } else {
        buf_done(body);
    }
}

void http_reply_buf(HttpRequest *req, int status, const char *content_type, Buf *body) {
    reply_buf(req, status, mem_strdup(req->mem, content_type), body);
}

void http_reply_json(HttpRequest *req, int status, Buf *body) {
    reply_buf(req, status, "application/json", body);
}

void http_reply_text(HttpRequest *req, int status, const char *text) {
    if (begin_reply(req, REPLY_BYTES, status, "text/plain; charset=utf-8"))
        buf_adds(&req->reply.body, text);
}

void http_reply_empty(HttpRequest *req, int status) {
    (void)begin_reply(req, REPLY_BYTES, status, NULL);
}

void http_reply_redirect(HttpRequest *req, int status, const char *location) {
    if (!begin_reply(req, REPLY_BYTES, status, NULL))
        return;
    http_add_header(req, "Location", location);
}

/* ---- errors ---- */

int http_status_of(ErrCode code) {
    switch (code) {
    case ERR_INVALID:
        return 400;
    case ERR_UNAUTHORIZED:
        return 401;
    case ERR_FORBIDDEN:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_CONFLICT:
    case ERR_EXISTS:
        return 409;
    case ERR_TOO_LARGE:
        return 413;
    case ERR_UNSUPPORTED:
        return 415;
    case ERR_UNAVAILABLE:
    case ERR_CANCELLED:
        return 503;
    case ERR_TIMEOUT:
        return 504;
    case ERR_NO_SPACE:
        return 507;
    case ERR_IO:
    case ERR_INTERNAL:
    default:
        return 500;
    }
}

/* The type name of an error, and what a person can do about it. */
typedef struct ErrorWords {
    int status;
    const char *type;
    const char *suggestion;
} ErrorWords;

static const ErrorWords error_words[] = {
    {400, "ValidationError", "correct the request as the message says"},
    {401, "Unauthorized", "send a valid token: Authorization: Bearer TOKEN"},
    {403, "Forbidden", "use a token that has the right to do this"},
    {404, "NotFound", "check the name or number"},
    {405, "MethodNotAllowed", "use one of the methods in the Allow header"},
    {409, "Conflict", "read the present state and decide anew"},
    {410, "Gone", NULL},
    {413, "PayloadTooLarge", "send less, or raise the limit in the server's configuration"},
    {415, "UnsupportedMediaType", "send the body in the expected media type"},
    {422, "UnprocessableEntity", "correct the request as the message says"},
    {426, "UpgradeRequired", "open the address as a WebSocket"},
    {431, "HeadersTooLarge", "send fewer or shorter header fields"},
    {429, "TooManyRequests", "slow down"},
    {500, "InternalError", "look for the request id in the server's log"},
    {501, "NotImplemented", NULL},
    {502, "BadGateway", "try again later"},
    {503, "Unavailable", "try again later"},
    {504, "Timeout", "try again later"},
    {507, "InsufficientStorage", "free space on the server, or raise the quota"},
};

#define NAME_TAKEN "take another name, or the one that is there"
#define NO_SUCH_PATH "check the address: /api/openapi.json lists all paths"

static const ErrorWords *words_of(int status) {
    for (size_t i = 0; i < ELEMENTS(error_words); i++)
        if (error_words[i].status == status)
            return &error_words[i];
    return status < 500 ? &error_words[0] : words_of(500);
}

const char *http_error_words(int status, const char **ret_suggestion) {
    const ErrorWords *words = words_of(status);

    *ret_suggestion = words->suggestion;
    return words->type;
}

static const char *default_error_body(HttpRequest *req, int status, const Err *err, Buf *out) {
    const ErrorWords *words = words_of(status);
    JsonWriter w = JSON_WRITER(out);
    const char *suggestion = words->suggestion;

    if (!req->route && status == 404)
        suggestion = NO_SUCH_PATH;
    else if (err->code == ERR_EXISTS)
        suggestion = NAME_TAKEN;

    jw_object(&w, NULL);
    jw_str(&w, "error", words->type);
    jw_str(&w, "message", err->msg);
    jw_object(&w, "details");
    jw_str(&w, "code", err_word(err->code));
    jw_int(&w, "status", status);
    jw_str(&w, "request_id", req->id);
    jw_end_object(&w);
    jw_array(&w, "suggestions");
    if (suggestion)
        jw_str(&w, NULL, suggestion);
    jw_end_array(&w);
    jw_time(&w, "timestamp", clock_now());
    jw_end_object(&w);
    return "application/json";
}

const HttpFamily http_family_default = {.name = "default", .error_body = default_error_body};

void http_reply_err(HttpRequest *req, const Err *err) {
    const HttpFamily *family = req->route && req->route->family ? req->route->family : &http_family_default;
    int status = req->reply.status ? req->reply.status : http_status_of(err->code);
    Buf body = BUF_INIT;
    const char *type;

    if (req->reply.kind != REPLY_NONE)
        return;
    if (status == 401 && !reply_has_header(req, "WWW-Authenticate"))
        http_add_header(req, "WWW-Authenticate", "Bearer realm=\"pelton\"");
    if (status == 503 && !reply_has_header(req, "Retry-After"))
        http_add_header(req, "Retry-After", "1");
    type = family->error_body(req, status, err, &body);
    reply_buf(req, status, type, &body);
}

void http_reply_err_as(HttpRequest *req, int status, const Err *err) {
    if (req->reply.kind != REPLY_NONE)
        return;
    req->reply.status = status;
    http_reply_err(req, err);
}

void http_reply_instead(HttpRequest *req, const Err *err) {
    reply_discard(&req->reply);
    http_reply_err(req, err);
}

/* ---- an answer that we send ourselves ---- */

const char *reply_reason(int status) {
    const char *reason = MHD_get_reason_phrase_for((unsigned)status);

    return reason ? reason : "Unknown";
}

static void add_date(Buf *out) {
    char text[40];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_addf(out, "Date: %s\r\n", text);
}

void reply_head(const HttpRequest *req, uint64_t length, bool chunked, Buf *out) {
    const Reply *reply = &req->reply;

    buf_addf(out, "HTTP/1.1 %d %s\r\n", reply->status, reply_reason(reply->status));
    add_date(out);
    if (reply->type)
        buf_addf(out, "Content-Type: %s\r\n", reply->type);
    buf_addf(out, "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n", req->id);
    for (size_t i = 0; i < reply->header_count; i++)
        buf_addf(out, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
    if (reply->cut)
        buf_adds(out, "Connection: close\r\n");
    if (chunked)
        buf_adds(out, "Transfer-Encoding: chunked\r\n");
    else if (length != UINT64_MAX)
        buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    buf_adds(out, "\r\n");
}

/* ---- files ---- */

typedef enum RangeKind { RANGE_WHOLE, RANGE_PART, RANGE_NONE } RangeKind;

/* One range of bytes (RFC 9110, section 14); of several or unknown ones the whole file is sent. */
static RangeKind read_range(const char *text, uint64_t size, uint64_t *from, uint64_t *count) {
    const char *spec = text ? str_after(text, "bytes=") : NULL;
    uint64_t first = 0, last = UINT64_MAX;
    char copy[64], *dash;

    if (!spec || strchr(spec, ',') || strlen(spec) >= sizeof(copy))
        return RANGE_WHOLE;
    memcpy(copy, spec, strlen(spec) + 1);
    dash = strchr(copy, '-');
    if (!dash || (dash == copy && !dash[1]))
        return RANGE_WHOLE;
    *dash++ = '\0';
    if ((*copy && !str_to_u64(copy, UINT64_MAX, &first)) || (*dash && !str_to_u64(dash, UINT64_MAX, &last)))
        return RANGE_WHOLE;
    if (!*copy) { /* the last so many bytes */
        if (last == 0 || size == 0)
            return RANGE_NONE;
        first = last < size ? size - last : 0;
        last = size - 1;
    }
    if (first > last)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_NONE;
    *from = first;
    *count = MIN(last, size - 1) - first + 1;
    return RANGE_PART;
}

/* If-None-Match: a list of entity tags or "*"; compared weakly (RFC 9110, section 13.1.2). */
static bool none_match_fails(const char *list, const char *etag) {
    size_t len = strlen(etag);

    for (const char *p = list; p && *p;) {
        size_t n;

        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        if (p[0] == 'W' && p[1] == '/')
            p += 2;
        n = strcspn(p, ",");
        while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
            n--;
        if (n == len && memcmp(p, etag, len) == 0)
            return true;
        p += strcspn(p, ",");
    }
    return false;
}

static void reply_range(HttpRequest *req, uint64_t size, const char *etag, Reply *part) {
    const char *if_range = request_header(req, "If-Range");
    const char *range = request_header(req, "Range");
    char text[96];

    part->status = 200;
    part->offset = 0;
    part->length = size;
    if (!range || (if_range && !str_eq(if_range, etag)))
        return;
    switch (read_range(range, size, &part->offset, &part->length)) {
    case RANGE_PART:
        part->status = 206;
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)part->offset,
                 (unsigned long long)(part->offset + part->length - 1), (unsigned long long)size);
        http_add_header(req, "Content-Range", text);
        break;
    case RANGE_NONE:
        part->status = 416;
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
        http_add_header(req, "Content-Range", text);
        break;
    case RANGE_WHOLE:
    default:
        break;
    }
}

void http_reply_file(HttpRequest *req, int fd, uint64_t size, const char *content_type, const char *etag) {
    Reply part = {0};
    char *quoted = NULL;

    if (req->reply.kind != REPLY_NONE) {
        close(fd);
        return;
    }
    if (etag) {
        quoted = etag[0] == '"' ? mem_strdup(req->mem, etag) : mem_printf(req->mem, "\"%s\"", etag);
        http_add_header(req, "ETag", quoted);
    }
    http_add_header(req, "Accept-Ranges", "bytes");
    if (quoted && none_match_fails(request_header(req, "If-None-Match"), quoted)) {
        close(fd);
        http_reply_empty(req, 304);
        return;
    }
    reply_range(req, size, quoted, &part);
    if (part.status == 416 || part.length == 0) {
        close(fd);
        (void)begin_reply(req, REPLY_BYTES, part.status, mem_strdup(req->mem, content_type));
        return;
    }
    (void)begin_reply(req, REPLY_FILE, part.status, mem_strdup(req->mem, content_type));
    req->reply.fd = fd;
    req->reply.offset = part.offset;
    req->reply.length = part.length;
}
