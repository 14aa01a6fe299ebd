#include "api/multipart.h"

#include "base/str.h"

#define BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */
#define HEADERS_MAX 8192
#define PARTS_MAX 100

typedef enum State { STATE_SKIP, STATE_LINE, STATE_HEADERS, STATE_FILE, STATE_END } State;

struct Multipart {
    State state;
    char delimiter[BOUNDARY_MAX + 5]; /* "\r\n--boundary" */
    size_t delimiter_len;
    const char *const *names;
    Buf pending, file;
    size_t max, parts;
    bool found;
    const char *filename;
};

static int multipart_free(Multipart *m) {
    buf_done(&m->pending);
    buf_done(&m->file);
    return 0;
}

/* The value of a parameter of a header field: name="value" or name=value. In mem; NULL: none. */
static const char *parameter(const char *field, const char *name, const void *mem) {
    size_t len = strlen(name);

    for (const char *at = strchr(field, ';'); at; at = strchr(at, ';')) {
        at += 1 + strspn(at + 1, " \t");
        if (strncasecmp(at, name, len) != 0 || at[len] != '=')
            continue;
        at += len + 1;
        return *at == '"' ? mem_strndup(mem, at + 1, strcspn(at + 1, "\""))
                          : mem_strndup(mem, at, strcspn(at, "; \t"));
    }
    return NULL;
}

int multipart_new(const void *mem, const char *content_type, const char *const *names, size_t max,
                  Multipart **ret, Err *err) {
    const char *boundary = NULL;
    Multipart *m;

    if (content_type && strncasecmp(content_type, "multipart/form-data", 19) == 0)
        boundary = parameter(content_type, "boundary", mem);
    if (str_empty(boundary) || strlen(boundary) > BOUNDARY_MAX)
        return err_set(err, ERR_UNSUPPORTED, "expected a body of multipart/form-data with a boundary");
    m = mem_new(mem, Multipart);
    talloc_set_destructor(m, multipart_free);
    m->names = names;
    m->max = max;
    m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    buf_adds(&m->pending, "\r\n"); /* the first boundary may be the body's first line */
    *ret = m;
    return 0;
}

static int keep(Multipart *m, size_t len, Err *err) {
    if (m->state != STATE_FILE)
        return 0;
    if (m->file.len + len > m->max)
        return err_set(err, ERR_TOO_LARGE, "the file is larger than %zu MiB", m->max / 1024 / 1024);
    buf_add(&m->file, m->pending.data, len);
    return 0;
}

/* What a part holds, up to its delimiter: 1 when that has come. */
static int pass_content(Multipart *m, Err *err) {
    Buf *in = &m->pending;
    const char *end = in->len ? memmem(in->data, in->len, m->delimiter, m->delimiter_len) : NULL;
    size_t len = end ? (size_t)(end - in->data) : in->len - MIN(in->len, m->delimiter_len - 1);
    int r = keep(m, len, err);

    if (r < 0)
        return r;
    buf_drop(in, len + (end ? m->delimiter_len : 0));
    if (!end)
        return 0;
    m->state = STATE_LINE;
    return 1;
}

/* The rest of a delimiter's line. */
static int pass_line(Multipart *m, Err *err) {
    Buf *in = &m->pending;
    size_t blanks = 0;

    while (blanks < in->len && (in->data[blanks] == ' ' || in->data[blanks] == '\t'))
        blanks++;
    buf_drop(in, blanks);
    if (in->len < 2)
        return 0;
    if (memcmp(in->data, "--", 2) == 0)
        m->state = STATE_END;
    else if (memcmp(in->data, "\r\n", 2) == 0)
        m->state = STATE_HEADERS;
    else
        return err_set(err, ERR_INVALID, "the multipart body is broken behind a boundary");
    /* headers end with an empty line, also when there are none */
    if (m->state == STATE_END)
        buf_drop(in, 2);
    return 1;
}

static bool is_ours(const Multipart *m, const char *name) {
    for (size_t i = 0; m->names[i]; i++)
        if (str_eq(m->names[i], name))
            return true;
    return false;
}

static void read_headers(Multipart *m, const char *text) {
    static const char field[] = "\r\ncontent-disposition:";
    const char *at = strcasestr(text, field), *line, *name;

    m->state = STATE_SKIP;
    if (!at || m->found)
        return;
    at += sizeof(field) - 1;
    line = mem_strndup(m, at, strcspn(at, "\r\n"));
    name = parameter(line, "name", m);
    if (!name || !is_ours(m, name))
        return;
    m->filename = parameter(line, "filename", m);
    m->found = true;
    m->state = STATE_FILE;
}

static int pass_headers(Multipart *m, Err *err) {
    Buf *in = &m->pending;
    const char *end = memmem(in->data, in->len, "\r\n\r\n", 4);
    size_t len = end ? (size_t)(end - in->data) : 0;
    _cleanup_talloc_ char *text = NULL;

    if ((end && len > HEADERS_MAX) || (!end && in->len > HEADERS_MAX) || m->parts > PARTS_MAX)
        return err_set(err, ERR_INVALID, "the multipart body has too many parts or headers");
    if (!end)
        return 0;
    m->parts++;
    text = mem_strndup(NULL, in->data, len);
    read_headers(m, text);
    buf_drop(in, len + 4);
    return 1;
}

int multipart_feed(Multipart *m, const void *data, size_t len, Err *err) {
    int r = 1;

    if (m->state != STATE_END)
        buf_add(&m->pending, data, len);
    while (r > 0 && m->state != STATE_END && m->pending.len) {
        if (m->state == STATE_LINE)
            r = pass_line(m, err);
        else if (m->state == STATE_HEADERS)
            r = pass_headers(m, err);
        else
            r = pass_content(m, err);
    }
    return r < 0 ? r : 0;
}

int multipart_file(const Multipart *m, const char **ret_filename, const Buf **ret_content, Err *err) {
    if (m->state != STATE_END)
        return err_set(err, ERR_INVALID, "the multipart body is cut off");
    if (!m->found)
        return err_set(err, ERR_INVALID, "no file: expected a part named \"%s\"", m->names[0]);
    *ret_filename = m->filename ? m->filename : "";
    *ret_content = &m->file;
    return 0;
}
