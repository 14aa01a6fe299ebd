#include "http/parser.h"

#include "base/str.h"
#include <ctype.h>
#include <strings.h>

void parser_init(Parser *p, bool head, int (*on_data)(void *, const char *, size_t, Err *), void *arg) {
    *p = (Parser){.head = head, .on_data = on_data, .arg = arg};
}

void parser_done(Parser *p) {
    buf_done(&p->type);
    buf_done(&p->line);
}

static int bad(Err *err, const char *what) {
    return err_set(err, ERR_IO, "the server's answer is not valid HTTP: %s", what);
}

/* "HTTP/1.1 200 OK" */
static int read_status(Parser *p, const char *line, Err *err) {
    const char *at = str_after(line, "HTTP/1.");

    if (!at && p->header_bytes <= 2 && !*line)
        return 0; /* an empty line before it */
    if (!at || (at[0] != '0' && at[0] != '1') || at[1] != ' ' || !isdigit((unsigned char)at[2]) ||
        !isdigit((unsigned char)at[3]) || !isdigit((unsigned char)at[4]) || (at[5] && at[5] != ' '))
        return bad(err, "status line");
    p->status = (at[2] - '0') * 100 + (at[3] - '0') * 10 + at[4] - '0';
    if (p->status < 100)
        return bad(err, "status");
    p->keep = at[0] == '1';
    p->has_length = p->chunked = p->encoded = false;
    buf_clear(&p->type);
    p->state = PARSER_HEADER;
    return 0;
}

static bool has_word(const char *list, const char *word) {
    size_t len = strlen(word);

    while (*list) {
        size_t n;

        list += strspn(list, " \t,");
        n = strcspn(list, ", \t;");
        if (n == len && strncasecmp(list, word, n) == 0)
            return true;
        list += n;
        list += strcspn(list, ",");
    }
    return false;
}

static int read_field(Parser *p, const char *name, const char *value, Err *err) {
    uint64_t length;

    if (strcasecmp(name, "Content-Length") == 0) {
        if (!str_to_u64(value, UINT64_MAX - 1, &length) || (p->has_length && length != p->left))
            return bad(err, "Content-Length");
        p->has_length = true;
        p->left = length;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        p->encoded = true;
        p->chunked = strcasecmp(value, "chunked") == 0;
    } else if (strcasecmp(name, "Connection") == 0) {
        if (has_word(value, "close"))
            p->keep = false;
        else if (has_word(value, "keep-alive"))
            p->keep = true;
    } else if (strcasecmp(name, "Content-Type") == 0) {
        buf_clear(&p->type);
        buf_adds(&p->type, value);
    }
    return 0;
}

/* What comes behind the header (RFC 9112, section 6.3). */
static void begin_body(Parser *p) {
    if (p->status < 200) { /* an interim answer; the real one follows */
        p->state = PARSER_STATUS;
        return;
    }
    if (p->head || p->status == 204 || p->status == 304) {
        p->state = PARSER_DONE;
    } else if (p->chunked) {
        p->state = PARSER_CHUNK_SIZE;
    } else if (p->has_length && !p->encoded) {
        p->state = p->left ? PARSER_LENGTH : PARSER_DONE;
    } else {
        p->keep = false;
        p->state = PARSER_TO_END;
    }
}

static int read_header(Parser *p, char *line, Err *err) {
    char *colon, *value, *end;

    if (!*line) {
        begin_body(p);
        return 0;
    }
    colon = strchr(line, ':');
    if (!colon || colon == line || strcspn(line, " \t") < (size_t)(colon - line))
        return bad(err, "header field");
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return read_field(p, line, value, err);
}

/* "1a2b" or "1a2b;extension" */
static int read_chunk_size(Parser *p, const char *line, Err *err) {
    uint64_t size = 0;
    size_t digits = strspn(line, "0123456789abcdefABCDEF");

    if (digits == 0 || digits > 15 || (line[digits] && !strchr("; \t", line[digits])))
        return bad(err, "chunk size");
    for (size_t i = 0; i < digits; i++)
        size = size * 16 +
               (uint64_t)(isdigit((unsigned char)line[i]) ? line[i] - '0' : (line[i] | 32) - 'a' + 10);
    p->left = size;
    p->state = size ? PARSER_CHUNK : PARSER_TRAILER;
    return 0;
}

static int read_line(Parser *p, char *line, Err *err) {
    switch (p->state) {
    case PARSER_STATUS:
        return read_status(p, line, err);
    case PARSER_HEADER:
        return read_header(p, line, err);
    case PARSER_CHUNK_SIZE:
        return read_chunk_size(p, line, err);
    case PARSER_CHUNK_END:
        p->state = PARSER_CHUNK_SIZE;
        return *line ? bad(err, "chunk end") : 0;
    case PARSER_TRAILER:
    default:
        if (!*line)
            p->state = PARSER_DONE;
        return 0;
    }
}

static int check_line_limit(Parser *p, size_t more, Err *err) {
    bool chunk = p->state == PARSER_CHUNK_SIZE || p->state == PARSER_CHUNK_END;

    if (chunk)
        return p->line.len + more > PARSER_LINE_MAX ? bad(err, "chunk line too long") : 0;
    p->header_bytes += more;
    return p->header_bytes > PARSER_HEADER_MAX ? bad(err, "header too large") : 0;
}

/* Takes bytes up to a line's end. */
static int feed_line(Parser *p, const char *data, size_t len, size_t *used, Err *err) {
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) + 1 : len;
    int r = check_line_limit(p, n, err);

    if (r < 0)
        return r;
    *used = n;
    buf_add(&p->line, data, n);
    if (!end)
        return 0;
    p->line.len--;
    if (p->line.len && p->line.data[p->line.len - 1] == '\r')
        p->line.len--;
    p->line.data[p->line.len] = '\0';
    if (memchr(p->line.data, '\0', p->line.len))
        return bad(err, "zero byte in the header");
    r = read_line(p, p->line.data, err);
    buf_clear(&p->line);
    return r;
}

static int feed_body(Parser *p, const char *data, size_t len, size_t *used, Err *err) {
    size_t n = p->state == PARSER_TO_END ? len : (size_t)MIN((uint64_t)len, p->left);
    int r;

    *used = n;
    r = p->on_data(p->arg, data, n, err);
    if (r != 0)
        return r < 0 ? r : err_set(err, ERR_CANCELLED, "ended by the receiver");
    if (p->state == PARSER_TO_END)
        return 0;
    p->left -= n;
    if (p->left == 0)
        p->state = p->state == PARSER_CHUNK ? PARSER_CHUNK_END : PARSER_DONE;
    return 0;
}

int parser_feed(Parser *p, const char *data, size_t len, size_t *ret_used, Err *err) {
    size_t done = 0;

    while (done < len && p->state != PARSER_DONE) {
        bool body = p->state == PARSER_LENGTH || p->state == PARSER_CHUNK || p->state == PARSER_TO_END;
        size_t used = 0;
        int r = body ? feed_body(p, data + done, len - done, &used, err)
                     : feed_line(p, data + done, len - done, &used, err);

        if (r < 0)
            return r;
        done += used;
    }
    *ret_used = done;
    return 0;
}

int parser_end(Parser *p, Err *err) {
    if (p->state == PARSER_TO_END)
        p->state = PARSER_DONE;
    if (p->state == PARSER_DONE)
        return 0;
    return err_set(err, ERR_IO, "the server closed the connection before the end of its answer");
}
