/* A build's log: whole as JSON (document 3), as bytes with ranges, or followed by SSE, WebSocket or plain
 * text.
 *
 * All but the ranges are one HttpSource that walks through the build's jobs in their order. What it sends
 * comes straight from the log files, so a follower that stalls costs nothing but its connection. */
#include "api/pipelines.h"
#include "api/rendered.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdatomic.h>

#define SSE "text/event-stream"
#define CHUNK 32768
#define KEEPALIVE_US (5 * US_PER_S) /* proxies cut what is silent for 10 s at the soonest */

typedef enum Format { FORMAT_JSON, FORMAT_TEXT, FORMAT_SSE, FORMAT_WEBSOCKET } Format;

typedef struct Follower {
    Builds *b;
    Format format;
    bool follow; /* wait for more; else end where the log ends now */
    int64_t build_id;
    int64_t position; /* of the job that is being read */
    int64_t last;     /* of the last one to read; INT64_MAX: all */
    Job *job;         /* NULL: not looked up yet */
    int64_t attempt;  /* of it that is read; others follow it as long as there are more */
    int64_t only;     /* this attempt and no other; 0: from the newest on */
    uint64_t offset;
    uint64_t resume_offset; /* where to begin in the first job */
    int64_t resume_attempt;
    StateWord word; /* what states are called; NULL: as they are */
    bool many;      /* more than one job: say whose lines follow */
    bool started;   /* something was sent */
    bool finished;
    atomic_bool changed; /* the build has changed since its jobs were looked at */
    HttpStream *stream;
    BusSubscription *on_build, *on_log;
    int64_t log_job; /* what on_log is for */
} Follower;

/* Where to go on, as one number (Last-Event-ID): position, attempt (8 bits), offset (40 bits). */
static int64_t place_of(const Follower *f) {
    return f->position << 48 | (f->attempt & 0xff) << 40 | (int64_t)f->offset;
}

static void resume(Follower *f, int64_t place) {
    if (place <= 0)
        return;
    f->position = place >> 48;
    f->resume_attempt = place >> 40 & 0xff;
    f->resume_offset = (uint64_t)place & 0xffffffffff;
}

static void log_grew(void *arg, int64_t key) {
    Follower *f = arg;

    http_stream_wake(f->stream);
}

static void build_changed(void *arg, int64_t key) {
    Follower *f = arg;

    atomic_store(&f->changed, true);
    http_stream_wake(f->stream);
}

static void attach(void *state, HttpStream *stream) {
    Follower *f = state;

    f->stream = stream;
    if (f->follow)
        f->on_build = bus_subscribe(f->b->bus, BUS_BUILD, f->build_id, build_changed, f);
}

static void follower_close(void *state) {
    Follower *f = state;

    bus_unsubscribe(f->on_build);
    bus_unsubscribe(f->on_log);
    talloc_free(f);
}

static void watch_log(Follower *f) {
    if (!f->follow || f->log_job == f->job->id)
        return;
    bus_unsubscribe(f->on_log);
    f->on_log = bus_subscribe(f->b->bus, BUS_LOG, f->job->id, log_grew, f);
    f->log_job = f->job->id;
}

/* Nothing comes after what the attempt's log has now: it has ended, though its job may go on. */
static bool is_whole(const Follower *f) {
    return f->job->finished_at || f->attempt < f->job->attempt ||
           (f->attempt && !str_eq(f->job->state, "running"));
}

/* The job has no more attempts to read. */
static bool is_over(const Follower *f) {
    return f->only ? is_whole(f) : f->job->finished_at && f->attempt >= f->job->attempt;
}

/* ---- what is written ---- */

static void add_event(Follower *f, Buf *out, const char *event, Buf *data) {
    if (f->format == FORMAT_SSE)
        http_sse_add(out, f->job ? place_of(f) : -1, event, buf_str(data), data->len);
    else
        buf_add(out, data->data, data->len);
}

static void add_text(Follower *f, Buf *out, const char *bytes, size_t len) {
    _cleanup_buf_ Buf data = BUF_INIT;
    JsonWriter w = JSON_WRITER(&data);

    jw_object(&w, NULL);
    if (f->format == FORMAT_WEBSOCKET)
        jw_str(&w, "event", "log");
    jw_str(&w, "job", f->job->name);
    jw_int(&w, "attempt", f->attempt);
    jw_int(&w, "offset", (int64_t)(f->offset - len));
    jw_strn(&w, "text", bytes, len);
    jw_end_object(&w);
    add_event(f, out, "log", &data);
}

/* The inside of a JSON string: what the writer makes of it, less the quotes. */
static void add_escaped(Buf *out, const char *bytes, size_t len) {
    _cleanup_buf_ Buf quoted = BUF_INIT;
    JsonWriter w = JSON_WRITER(&quoted);

    jw_strn(&w, NULL, bytes, len);
    buf_add(out, quoted.data + 1, quoted.len - 2);
}

static void begin(Follower *f, Buf *out) {
    if (!f->started && f->format == FORMAT_JSON)
        buf_adds(out, "{\"logs\":\"");
    f->started = true;
}

static void add_bytes(Follower *f, Buf *out, const char *bytes, size_t len) {
    begin(f, out);
    if (f->format == FORMAT_TEXT)
        buf_add(out, bytes, len);
    else if (f->format == FORMAT_JSON)
        add_escaped(out, bytes, len);
    else
        add_text(f, out, bytes, len);
}

static void add_heading(Follower *f, Buf *out) {
    char line[256];
    int n = snprintf(line, sizeof(line), "== job %.200s ==\n", f->job->name);

    if (f->many && (f->format == FORMAT_JSON || f->format == FORMAT_TEXT))
        add_bytes(f, out, line, (size_t)n);
}

static const char *word_of(const Follower *f, const char *state, const char *reason, bool begun) {
    return f->word ? f->word(state, reason, begun) : state;
}

static void add_job_state(Follower *f, Buf *out) {
    _cleanup_buf_ Buf data = BUF_INIT;
    JsonWriter w = JSON_WRITER(&data);

    if (f->format == FORMAT_JSON || f->format == FORMAT_TEXT)
        return;
    jw_object(&w, NULL);
    if (f->format == FORMAT_WEBSOCKET)
        jw_str(&w, "event", "job");
    jw_str(&w, "name", f->job->name);
    jw_str(&w, "status", word_of(f, f->job->state, f->job->reason, f->job->started_at));
    jw_int(&w, "attempt", f->job->attempt);
    jw_str(&w, "reason", f->job->reason);
    jw_str(&w, "message", f->job->message);
    jw_end_object(&w);
    add_event(f, out, "job", &data);
}

/* message: why the build never had a job, for no job has said it; else NULL. */
static void add_end(Follower *f, Buf *out, const Build *build, const char *message) {
    _cleanup_buf_ Buf data = BUF_INIT;
    JsonWriter w = JSON_WRITER(&data);

    if (f->format == FORMAT_TEXT)
        return;
    if (f->format == FORMAT_JSON) {
        buf_adds(out, f->started ? "\"}" : "{\"logs\":\"No logs available yet\"}");
        return;
    }
    jw_object(&w, NULL);
    if (f->format == FORMAT_WEBSOCKET)
        jw_str(&w, "event", "end");
    jw_str(&w, "status", word_of(f, build->state, build->reason, true));
    if (message)
        jw_str(&w, "message", message);
    jw_end_object(&w);
    add_event(f, out, "end", &data);
}

/* ---- what is read ---- */

/* Begins with an attempt of the job. */
static void read_attempt(Follower *f, int64_t attempt, uint64_t offset, Buf *out) {
    f->attempt = attempt;
    f->offset = offset;
    watch_log(f);
    if (offset == 0 && attempt)
        add_heading(f, out);
}

/* Where the follower was when it was cut off, if that attempt was not too long ago to be told in 8 bits. */
static void begin_job(Follower *f, Buf *out) {
    bool resumed = f->resume_offset && f->resume_attempt <= f->job->attempt;

    if (f->only)
        read_attempt(f, f->only, resumed ? f->resume_offset : 0, out);
    else
        read_attempt(f, resumed ? f->resume_attempt : f->job->attempt, resumed ? f->resume_offset : 0, out);
    f->resume_offset = 0;
}

/* The job at the position, or the next one, newly read. ERR_NOT_FOUND behind the last one. */
static int look_up(Follower *f, Buf *out, Err *err) {
    bool fresh = !f->job;
    Job *job;
    int r = store_job_at(f->b->db, f->build_id, f->position, f, &job, err);

    if (r < 0)
        return r;
    talloc_free(f->job);
    f->job = job;
    f->position = job->position;
    if (fresh)
        begin_job(f, out);
    else if (!f->attempt && job->attempt && !f->only)
        read_attempt(f, 1, 0, out);
    return 0;
}

/* Bytes that may still grow into a character stay for the next time (at most 3). */
static size_t whole_text(const char *bytes, size_t len) {
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)bytes[len - back];

        if ((c & 0xc0) == 0x80)
            continue;
        return (c >= 0xf0 && back < 4) || (c >= 0xe0 && back < 3) || (c >= 0xc0 && back < 2) ? len - back
                                                                                             : len;
    }
    return len;
}

/* 1: some bytes were added; 0: none now. */
/* What a follower before this one was sent for the same place. */
static bool again(Follower *f, const RenderedKey *key, Buf *out) {
    size_t len = rendered_get(key, out);

    f->offset += len;
    f->started = f->started || len;
    return len > 0;
}

/* 1: some bytes were added; 0: none now. *ret_all: there are no more than these now. */
static int read_some(Follower *f, Buf *out, size_t max, bool *ret_all, Err *err) {
    RenderedKey key = {
        .job = log_job(f->job), .attempt = f->attempt, .offset = f->offset, .format = f->format};
    bool shared = f->format == FORMAT_SSE || f->format == FORMAT_WEBSOCKET;
    size_t before = out->len, len;
    char bytes[CHUNK];
    ssize_t n;

    if (f->attempt == 0)
        return 0;
    if (shared && again(f, &key, out))
        return 1;
    n = blob_log_read(f->b->blob, log_job(f->job), f->attempt, f->offset, bytes, MIN(max, sizeof(bytes)),
                      err);
    if (n <= 0)
        return n == -ERR_NOT_FOUND ? 0 : (int)n;
    *ret_all = (size_t)n < MIN(max, sizeof(bytes));
    len = f->format == FORMAT_TEXT ? (size_t)n : whole_text(bytes, (size_t)n);
    if (len == 0) {
        if (!is_whole(f))
            return 0;
        len = (size_t)n;
    }
    f->offset += len;
    add_bytes(f, out, bytes, len);
    if (shared)
        rendered_put(&key, len, out->data + before, out->len - before);
    return 1;
}

static int end_of_build(Follower *f, Buf *out, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Build *build;
    int r = store_build_load(f->b->db, f->build_id, mem, &build, err);

    if (r < 0)
        return r;
    /* all its jobs have ended, but the build's own end is in the same transaction as the last one's */
    add_end(f, out, build, f->position == 0 && !str_empty(build->message) ? build->message : NULL);
    f->finished = true;
    return 0;
}

/* The job's end is a message of its own; that of the build comes with the next call, which finds no job. */
static void next_job(Follower *f, Buf *out) {
    if (f->follow)
        add_job_state(f, out);
    TALLOC_FREE(f->job);
    f->attempt = 0;
    f->position++;
    f->resume_attempt = 0;
}

/* One piece: 1 when something was added or the place has moved, 0 when there is nothing now. *ret_all as in
 * read_some: a growth after it wakes the stream. */
static int advance(Follower *f, Buf *out, size_t max, bool *ret_all, Err *err) {
    int r;

    if (!f->job || atomic_exchange(&f->changed, false)) {
        r = f->position > f->last ? -ERR_NOT_FOUND : look_up(f, out, err);
        if (r == -ERR_NOT_FOUND) {
            r = end_of_build(f, out, err);
            return r < 0 ? r : 1;
        }
        if (r < 0)
            return r;
    }
    r = read_some(f, out, max, ret_all, err);
    *ret_all = *ret_all && f->follow && !is_whole(f);
    if (r != 0)
        return r;
    if (!f->only && f->attempt < f->job->attempt) {
        read_attempt(f, f->attempt + 1, 0, out);
        return 1;
    }
    if (!is_over(f) && f->follow)
        return 0;
    next_job(f, out);
    return 1;
}

static int follower_read(void *state, Buf *out, size_t max) {
    Follower *f = state;
    size_t before = out->len;
    bool all = false;
    Err err;

    while (!f->finished && out->len == before) {
        int r = advance(f, out, max, &all, &err);

        if (r < 0)
            return -1; /* the connection is cut: the peer sees that it is not whole, and resumes */
        if (r == 0)
            return 0;
    }
    return f->finished ? -1 : !all;
}

static const HttpSource source = {.read = follower_read, .close = follower_close};

/* ---- the routes ---- */

static int reply_file(HttpRequest *req, Builds *b, const Job *job, int64_t attempt, Err *err) {
    uint64_t size;
    int fd, r;

    r = attempt ? blob_log_open(b->blob, log_job(job), attempt, &fd, &size, err) : -ERR_NOT_FOUND;
    if (r == -ERR_NOT_FOUND) {
        http_reply(req, 200, "text/plain; charset=utf-8", "", 0);
        return 0;
    }
    if (r < 0)
        return r;
    http_reply_file(req, fd, size, "text/plain; charset=utf-8", NULL);
    return 0;
}

static Format format_of(const HttpRequest *req) {
    static const char *const types[] = {JSON, SSE, TEXT, NULL};
    const char *type = http_accepted(req, types);

    if (http_wants_websocket(req))
        return FORMAT_WEBSOCKET;
    if (str_eq(type, SSE))
        return FORMAT_SSE;
    if (str_eq(type, TEXT) || http_query(req, "offset") || http_header(req, "Range"))
        return FORMAT_TEXT;
    return FORMAT_JSON;
}

static void start_stream(HttpRequest *req, Follower *f) {
    static const char *const types[] = {
        [FORMAT_JSON] = JSON, [FORMAT_TEXT] = "text/plain; charset=utf-8", [FORMAT_SSE] = SSE};

    if (f->format == FORMAT_WEBSOCKET)
        http_reply_websocket(req, &source, f, attach, KEEPALIVE_US);
    else
        http_reply_stream(req, types[f->format], &source, f, attach,
                          f->format == FORMAT_SSE ? KEEPALIVE_US : 0);
}

typedef struct LogCall {
    Build *build;
    Job *job; /* the only one that is asked for; NULL: all */
    int64_t jobs, offset, attempt;
    bool follow;
} LogCall;

static int read_call(HttpRequest *req, LogCall *call, Err *err) {
    int r = http_query_bool(req, "follow", &call->follow, err);

    if (r >= 0)
        r = http_query_i64(req, "offset", 0, INT64_MAX, &call->offset, err);
    if (r >= 0)
        r = http_query_i64(req, "attempt", 1, INT64_MAX, &call->attempt, err);
    if (r >= 0)
        r = load_build(req, &call->build, err);
    return r < 0 ? r : store_job_count(api_of(req)->builds->db, call->build->id, &call->jobs, err);
}

static int find_job(HttpRequest *req, LogCall *call, Err *err) {
    Db *db = api_of(req)->builds->db;
    const char *name = http_query(req, "job");
    int r = 0;

    if (name)
        r = store_job_by_name(db, call->build->id, name, http_mem(req), &call->job, err);
    else if (call->jobs == 1)
        r = store_job_at(db, call->build->id, 0, http_mem(req), &call->job, err);
    if (r == -ERR_NOT_FOUND && name)
        return err_set(err, ERR_NOT_FOUND, "build %" PRId64 " has no job '%s'", call->build->id, name);
    if (r < 0 || !(call->attempt || call->offset))
        return r;
    if (!call->job)
        return err_set(err, ERR_INVALID,
                       "query \"%s\": build %" PRId64 " has %" PRId64 " jobs: say of which one (job)",
                       call->attempt ? "attempt" : "offset", call->build->id, call->jobs);
    if (call->attempt > call->job->attempt)
        return err_set(err, ERR_NOT_FOUND,
                       "job '%s' of build %" PRId64 " has no attempt %" PRId64 "; it has had %" PRId64,
                       call->job->name, call->build->id, call->attempt, call->job->attempt);
    return 0;
}

static Follower *follower_new(HttpRequest *req, const LogCall *call, Format format) {
    Follower *f = mem_new(NULL, Follower);
    const Job *job = call->job;

    f->b = api_of(req)->builds;
    f->format = format;
    f->follow = call->follow && format != FORMAT_JSON;
    f->build_id = call->build->id;
    f->position = job ? job->position : 0;
    /* the only job that there is now may make others */
    f->last = job && (!f->follow || call->attempt || http_query(req, "job")) ? job->position : INT64_MAX;
    f->only = call->attempt;
    f->many = call->jobs > 1 && !http_query(req, "job");
    if (job && call->offset) {
        f->resume_offset = (uint64_t)call->offset;
        f->resume_attempt = job->attempt;
    }
    resume(f, http_sse_last_id(req, 0));
    return f;
}

static int logs(HttpRequest *req, Err *err) {
    Format format = format_of(req);
    LogCall call = {.follow = format == FORMAT_SSE || format == FORMAT_WEBSOCKET};
    int r = read_call(req, &call, err);

    if (r >= 0)
        r = find_job(req, &call, err);
    if (r < 0)
        return r;
    if (format == FORMAT_TEXT && !call.follow && !call.offset && call.job)
        return reply_file(req, api_of(req)->builds, call.job, call.attempt ? call.attempt : call.job->attempt,
                          err);
    start_stream(req, follower_new(req, &call, format));
    return 0;
}

void logs_follow(HttpRequest *req, int64_t build_id, StateWord word) {
    Follower *f = mem_new(NULL, Follower);

    *f = (Follower){.b = api_of(req)->builds,
                    .format = FORMAT_WEBSOCKET,
                    .follow = true,
                    .build_id = build_id,
                    .last = INT64_MAX,
                    .word = word,
                    .many = true};
    start_stream(req, f);
}

const HttpRoute api_logs[] = {
    {.method = HTTP_GET,
     .path = "/api/builds/{id}/logs",
     .roles = ROLE_READ,
     .handle = logs,
     .tag = "builds",
     .summary = "The log: JSON {\"logs\"}; text/plain with Range and offset; text/event-stream or WebSocket "
                "to follow",
     .query = "job: only this job's; attempt: an earlier one's (one job); offset: from this byte on "
              "(text/plain, one job); follow: go on until "
              "the build ends",
     .answer = "(logs:text)",
     .type = TEXT,
     .events = "LogEvent",
     .frames = "LogFrame"},
    {0},
};
