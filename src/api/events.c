/* /api/events: what happens to builds, from the event table, so that a follower goes on where it was. */
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"

#define KEEPALIVE_US (5 * US_PER_S) /* as of logs */
#define BATCH 64

typedef struct Listener {
    Builds *b;
    int64_t last; /* id of the newest event that was sent */
    HttpStream *stream;
    BusSubscription *subscription;
} Listener;

static void wake(void *arg, int64_t key) {
    Listener *l = arg;

    http_stream_wake(l->stream);
}

static void attach(void *state, HttpStream *stream) {
    Listener *l = state;

    l->stream = stream;
    l->subscription = bus_subscribe(l->b->bus, BUS_EVENT, 0, wake, l);
}

static void close_listener(void *state) {
    Listener *l = state;

    bus_unsubscribe(l->subscription);
    talloc_free(l);
}

static int add(Listener *l, const EventRow *event, const void *mem, Buf *out, Err *err) {
    _cleanup_buf_ Buf data = BUF_INIT;
    JsonWriter w = JSON_WRITER(&data);
    Build *build;
    int r = store_build_load(l->b->db, event->build_id, mem, &build, err);

    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "type", event->kind);
    render_build(&w, "build", build);
    if (!str_empty(build->reason))
        jw_str(&w, "reason", build->reason);
    jw_end_object(&w);
    http_sse_add(out, event->id, NULL, buf_str(&data), data.len);
    return 0;
}

static int read_events(void *state, Buf *out, size_t max) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Listener *l = state;
    EventRow *events;
    size_t count;
    Err err;

    if (store_events_after(l->b->db, l->last, BATCH, mem, &events, &count, &err) < 0)
        return -1;
    for (size_t i = 0; i < count && out->len < max; i++) {
        if (add(l, &events[i], mem, out, &err) < 0)
            return -1;
        l->last = events[i].id;
    }
    return count > 0;
}

static const HttpSource source = {.read = read_events, .close = close_listener};

static int events(HttpRequest *req, Err *err) {
    Builds *b = api_of(req)->builds;
    int64_t newest;
    Listener *l;
    int r = store_event_last(b->db, &newest, err);

    if (r < 0)
        return r;
    l = mem_new(NULL, Listener);
    l->b = b;
    /* an id that is yet to come is of a state that was restored or made anew since */
    l->last = MIN(http_sse_last_id(req, newest), newest);
    http_reply_stream(req, "text/event-stream", &source, l, attach, KEEPALIVE_US);
    return 0;
}

const HttpRoute api_events[] = {
    {.method = HTTP_GET,
     .path = "/api/events",
     .roles = ROLE_READ,
     .handle = events,
     .tag = "builds",
     .summary = "Server-sent events (docs/api.md): what happens to builds; goes on from Last-Event-ID",
     .events = "Event"},
    {0},
};
