/* Server-sent events: WHATWG HTML, section 9.2. */
#include "base/str.h"
#include "http/request.h"

/* The text with its line ends as one "data:" line each; CR, LF and CRLF end a line there. */
void http_sse_add(Buf *out, int64_t id, const char *event, const char *data, size_t len) {
    const char *end = data + len;

    buf_reserve(out, len + 64);
    if (id >= 0)
        buf_addf(out, "id: %lld\n", (long long)id);
    if (event)
        buf_addf(out, "event: %s\n", event);
    for (;;) {
        const char *p = data;

        while (p < end && *p != '\n' && *p != '\r')
            p++;
        buf_add(out, "data: ", 6);
        buf_add(out, data, (size_t)(p - data));
        buf_addc(out, '\n');
        if (p == end)
            break;
        data = p + 1 + (*p == '\r' && p + 1 < end && p[1] == '\n');
    }
    buf_addc(out, '\n');
}

int64_t http_sse_last_id(const HttpRequest *req, int64_t fallback) {
    const char *text = request_header(req, "Last-Event-ID");
    int64_t id = fallback;

    if (!text || !*text)
        text = http_query(req, "lastEventId");
    return text && str_to_i64(text, 0, INT64_MAX, &id) ? id : fallback;
}
