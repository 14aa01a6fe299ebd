#include "executor/docker_trace.h"

#include "base/clock.h"
#include "base/str.h"

/* ---- protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) ---- */

typedef struct Field {
    unsigned number;
    uint64_t value;   /* of a varint */
    const char *data; /* of what has a length */
    size_t len;
} Field;

typedef struct Reader {
    const unsigned char *at, *end;
} Reader;

static bool read_varint(Reader *r, uint64_t *ret) {
    uint64_t value = 0;

    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        unsigned char byte = *r->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* 1: a field; 0: the end; -1: not the format. */
static int next(Reader *r, Field *f) {
    uint64_t key, len = 0;

    *f = (Field){0};
    if (r->at == r->end)
        return 0;
    if (!read_varint(r, &key))
        return -1;
    f->number = (unsigned)(key >> 3);
    if ((key & 7) == 0)
        return read_varint(r, &f->value) ? 1 : -1;
    if ((key & 7) == 2 && !read_varint(r, &len))
        return -1;
    if ((key & 7) == 1)
        len = 8;
    else if ((key & 7) == 5)
        len = 4;
    else if ((key & 7) != 2)
        return -1;
    if (len > (uint64_t)(r->end - r->at))
        return -1;
    f->data = (const char *)r->at;
    f->len = (size_t)len;
    r->at += len;
    return 1;
}

/* What should be a message and is a number has no data: as an empty one. */
static Reader reader(const void *data, size_t len) {
    const unsigned char *at = data ? data : (const unsigned char *)"";

    return (Reader){at, at + len};
}

/* Seconds and nanoseconds → µs; 0: none. */
static int64_t read_time(const Field *from) {
    Reader r = reader(from->data, from->len);
    int64_t s = 0, ns = 0;
    Field f;

    while (next(&r, &f) > 0)
        *(f.number == 1 ? &s : &ns) = (int64_t)(f.value & INT32_MAX);
    return s * US_PER_S + ns / 1000;
}

/* ---- vertices ---- */

static TraceVertex *vertex_of(Trace *t, const Field *digest, size_t *ret_number) {
    TraceVertex fresh = {0};

    if (!digest->data)
        return NULL;
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->vertices[i].digest) == digest->len &&
            memcmp(t->vertices[i].digest, digest->data, digest->len) == 0) {
            *ret_number = i + 1;
            return &t->vertices[i];
        }
    if (t->count == TRACE_VERTICES_MAX)
        return NULL;
    fresh.digest = mem_strndup(t->mem, digest->data, digest->len);
    mem_append(t->mem, t->vertices, t->count, fresh);
    *ret_number = t->count;
    return &t->vertices[t->count - 1];
}

static void flush_line(TraceVertex *v, size_t number, Buf *out) {
    if (v->line.len)
        buf_addf(out, "#%zu %s\n", number, buf_str(&v->line));
    buf_clear(&v->line);
}

typedef struct Seen {
    Field digest, name, error;
    bool cached;
    int64_t started, completed;
} Seen;

static void say_vertex(Trace *t, const Seen *seen, Buf *out) {
    char took[CLOCK_RFC3339_SIZE];
    size_t number;
    TraceVertex *v = vertex_of(t, &seen->digest, &number);

    if (!v)
        return;
    if (!v->begun && (seen->started || seen->cached)) {
        v->begun = true;
        buf_addf(out, "#%zu %.*s\n", number, (int)seen->name.len, seen->name.data);
    }
    if (v->ended || (!seen->completed && !seen->error.len))
        return;
    v->ended = true;
    flush_line(v, number, out);
    if (seen->error.len)
        buf_addf(out, "#%zu ERROR: %.*s\n", number, (int)seen->error.len, seen->error.data);
    else if (seen->cached)
        buf_addf(out, "#%zu CACHED\n", number);
    else
        buf_addf(out, "#%zu DONE %s\n", number, clock_human(seen->completed - seen->started, took));
}

static int take_vertex(Trace *t, const Field *from, Buf *out) {
    Reader r = reader(from->data, from->len);
    Seen seen = {0};
    Field f;
    int got;

    while ((got = next(&r, &f)) > 0) {
        if (f.number == 1)
            seen.digest = f;
        else if (f.number == 3)
            seen.name = f;
        else if (f.number == 4)
            seen.cached = f.value != 0;
        else if (f.number == 5)
            seen.started = read_time(&f);
        else if (f.number == 6)
            seen.completed = read_time(&f);
        else if (f.number == 7)
            seen.error = f;
    }
    if (got == 0)
        say_vertex(t, &seen, out);
    return got;
}

/* Whole lines, each with its vertex's number, for vertices run beside each other. */
static int take_log(Trace *t, const Field *from, Buf *out) {
    Reader r = reader(from->data, from->len);
    Field digest = {0}, message = {0}, f;
    TraceVertex *v;
    size_t number;
    int got;

    while ((got = next(&r, &f)) > 0) {
        if (f.number == 1)
            digest = f;
        else if (f.number == 4)
            message = f;
    }
    v = got == 0 ? vertex_of(t, &digest, &number) : NULL;
    for (size_t i = 0; v && i < message.len; i++) {
        if (message.data[i] == '\n')
            flush_line(v, number, out);
        else
            buf_addc(&v->line, message.data[i]);
    }
    return got;
}

int trace_take(Trace *t, const void *data, size_t len, Buf *out, Err *err) {
    Reader r = reader(data, len);
    int got = 0;
    Field f;

    while (got == 0 && (got = next(&r, &f)) > 0)
        got = f.number == 1 ? take_vertex(t, &f, out) : f.number == 3 ? take_log(t, &f, out) : 0;
    return got < 0 ? err_set(err, ERR_INVALID, "BuildKit's progress is not in its format") : 0;
}

void trace_done(Trace *t) {
    for (size_t i = 0; i < t->count; i++)
        buf_done(&t->vertices[i].line);
}
