#include "cli/sse.h"

#include "base/str.h"

void sse_done(SseReader *r) {
    buf_done(&r->line);
    buf_done(&r->data);
    buf_done(&r->event);
    buf_done(&r->id);
    buf_done(&r->next_id);
}

static void forget_event(SseReader *r) {
    buf_clear(&r->data);
    buf_clear(&r->event);
    r->has_data = r->has_id = false;
}

void sse_reset(SseReader *r) {
    buf_clear(&r->line);
    forget_event(r);
    r->skip_lf = r->started = r->too_long = false;
}

static void take_field(SseReader *r, const char *name, size_t len, const char *value, size_t value_len) {
    if (len == 4 && memcmp(name, "data", 4) == 0) {
        if (r->has_data)
            buf_addc(&r->data, '\n');
        buf_add(&r->data, value, value_len);
        r->has_data = true;
    } else if (len == 5 && memcmp(name, "event", 5) == 0) {
        buf_clear(&r->event);
        buf_add(&r->event, value, value_len);
    } else if (len == 2 && memcmp(name, "id", 2) == 0 && !memchr(value, 0, value_len)) {
        buf_clear(&r->next_id);
        buf_add(&r->next_id, value, value_len);
        r->has_id = true;
    }
}

/* Not before the event is whole: one that is cut off behind its id has to come again. */
static void take_id(SseReader *r) {
    if (!r->has_id)
        return;
    buf_clear(&r->id);
    buf_add(&r->id, r->next_id.data, r->next_id.len);
}

/* One whole line; an empty one ends the event. */
static int take_line(SseReader *r, int (*on_event)(void *, const char *, const Buf *), void *arg) {
    const char *line = buf_str(&r->line), *colon;
    size_t len = r->line.len, skip;
    int stop = 0;

    if (!r->started && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
        line += 3;
        len -= 3;
    }
    r->started = true;
    if (len == 0) {
        take_id(r);
        if (r->has_data)
            stop = on_event(arg, r->event.len ? buf_str(&r->event) : "message", &r->data);
        forget_event(r);
    } else if ((colon = memchr(line, ':', len)) == NULL) {
        take_field(r, line, len, "", 0);
    } else if (colon > line) {
        skip = (size_t)(colon - line) + 1;
        skip += skip < len && line[skip] == ' ';
        take_field(r, line, (size_t)(colon - line), line + skip, len - skip);
    }
    buf_clear(&r->line);
    return stop;
}

int sse_feed(SseReader *r, const char *bytes, size_t len,
             int (*on_event)(void *arg, const char *event, const Buf *data), void *arg) {
    const char *end = bytes + len;

    while (bytes < end && !r->too_long) {
        const char *stop = bytes;
        int given;

        if (r->skip_lf && *bytes == '\n')
            bytes++, stop++;
        r->skip_lf = false;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        buf_add(&r->line, bytes, (size_t)(stop - bytes));
        r->too_long = r->line.len + r->data.len > SSE_MAX;
        if (stop == end)
            break;
        r->skip_lf = *stop == '\r';
        bytes = stop + 1;
        given = take_line(r, on_event, arg);
        if (given != 0)
            return given;
    }
    return 0;
}
