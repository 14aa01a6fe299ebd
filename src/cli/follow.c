#include "cli/follow.h"

#include "base/clock.h"
#include "base/str.h"
#include "cli/sse.h"
#include "cli/table.h"
#include "cli/waits.h"

#include <inttypes.h>
#include <time.h>

#define SILENCE (90 * US_PER_S)       /* the server sends a comment far more often */
#define PATIENCE (10 * 60 * US_PER_S) /* how long a server may be away */
#define PAUSE_FIRST (100 * US_PER_MS)
#define PAUSE_MOST (2 * US_PER_S)
#define IDLE (2 * US_PER_S)       /* without a word: it is asked how the build stands */
#define ASK_EVERY (10 * US_PER_S) /* and again, where only what it waits for is of interest */
#define SKIPPED_NAMED 5           /* there may be hundreds */

typedef struct Follow {
    Cli *cli;
    Cli aside; /* the same server over a connection of its own, to ask while the log is followed */
    int64_t asked;
    json_t *state;     /* the build as it answered then, or NULL */
    const char *waits; /* "test waits: no runner has label gpu=yes", or NULL */
    int64_t build;
    SseReader sse;
    FollowJobs jobs;
    const char *current; /* the job and attempt whose text was printed last */
    int64_t current_attempt;
    Buf text; /* for standard output, gathered over one piece of the answer */
    TermFilter filter;
    bool line_open;     /* the last byte on the terminal was no newline */
    bool status_shown;  /* the progress line is on the screen */
    bool heard;         /* something came over this connection */
    const char *result; /* the build's end, or NULL */
    const char *why;    /* of a build that never had a job; else "" */
    Err err;
} Follow;

/* ---- what is new in a piece ---- */

static FollowJob *find_job(FollowJobs *jobs, const void *mem, const char *name, int64_t attempt,
                           int64_t offset) {
    FollowJob job = {.attempt = attempt, .next = offset, .status = "", .message = "", .waits = ""};

    for (size_t i = 0; i < jobs->count; i++)
        if (jobs->items[i].attempt == attempt && str_eq(jobs->items[i].name, name))
            return &jobs->items[i];
    job.name = mem_strdup(mem, name);
    mem_append(mem, jobs->items, jobs->count, job);
    return &jobs->items[jobs->count - 1];
}

/* The next byte of the log as it stands in the text: itself, or a replacement character. */
static const char *step(const char *s, const char *end) {
    return s + (end - s >= 3 && memcmp(s, "\xEF\xBF\xBD", 3) == 0 ? 3 : 1);
}

const char *follow_new_part(FollowJobs *jobs, const void *mem, const char *job, int64_t attempt,
                            int64_t offset, const char *text, size_t *len) {
    FollowJob *pos = find_job(jobs, mem, job, attempt, offset);
    const char *start = text, *end = text + *len;
    int64_t at = offset;

    while (start < end && at < pos->next) {
        start = step(start, end);
        at++;
    }
    for (const char *s = start; s < end; s = step(s, end))
        at++;
    pos->next = MAX(pos->next, at);
    *len = (size_t)(end - start);
    return start;
}

/* ---- the terminal ---- */

static void clear_status(Follow *f) {
    if (f->status_shown)
        fputs("\r\033[K", stderr);
    f->status_shown = false;
}

/* "  test (step 2) 12 s": of each job that runs. */
static void add_running(const Follow *f, Buf *line) {
    const json_t *jobs = json_object_get(f->state, "jobs");
    const void *mem = f->cli->mem;
    json_t *job, *step;
    size_t i, k;

    json_array_foreach (jobs, i, job) {
        const json_t *steps = json_object_get(job, "steps");

        if (!str_eq(field_text(mem, job, "status"), "running"))
            continue;
        buf_addf(line, "  %s", text_clean(mem, field_text(mem, job, "name")));
        json_array_foreach (steps, k, step)
            if (str_eq(field_text(mem, step, "status"), "running"))
                buf_addf(line, " (step %zu)", k + 1);
        buf_addf(line, " %s", field_duration(mem, job, clock_now()));
    }
}

static void draw_status(Follow *f) {
    const Term *term = &f->cli->err;
    _cleanup_buf_ Buf line = BUF_INIT;
    size_t keep, begin;

    if (!term->tty || f->cli->json || f->line_open || f->result)
        return;
    buf_addf(&line, "build %" PRId64 ":", f->build);
    begin = line.len;
    if (f->waits)
        buf_addf(&line, " %s", text_clean(f->cli->mem, f->waits));
    else
        add_running(f, &line);
    if (line.len == begin)
        buf_adds(&line, f->jobs.count ? " goes on" : " waiting");
    keep = text_cut(line.data, term->width > 1 ? (size_t)term->width - 1 : 0);
    clear_status(f);
    fprintf(stderr, "%s%.*s%s", term_style(term, STYLE_DIM), (int)keep, line.data,
            term_style(term, STYLE_PLAIN));
    fflush(stderr);
    f->status_shown = true;
}

static int flush_text(Follow *f) {
    int r;

    if (f->text.len == 0)
        return 0;
    clear_status(f);
    f->line_open = f->text.data[f->text.len - 1] != '\n';
    if (f->cli->out.tty) {
        _cleanup_buf_ Buf safe = BUF_INIT;

        term_filter(&f->filter, f->text.data, f->text.len, &safe);
        r = cli_print(&safe, &f->err);
    } else {
        r = cli_print(&f->text, &f->err);
        f->line_open = f->line_open && f->cli->out.tty;
    }
    buf_clear(&f->text);
    return r;
}

/* A line of our own between the log's, on standard error. */
static int say(Follow *f, Style style, const char *line) {
    int r = flush_text(f);

    clear_status(f);
    if (r < 0 || f->cli->json)
        return r;
    fprintf(stderr, "%s%s%s%s\n", f->line_open ? "\n" : "", term_style(&f->cli->err, style), line,
            style == STYLE_PLAIN ? "" : term_style(&f->cli->err, STYLE_PLAIN));
    f->line_open = false;
    return 0;
}

/* ---- events ---- */

static int take_log(Follow *f, const json_t *data) {
    const char *job = field_text(f->cli->mem, data, "job"), *part;
    const char *text = field_text(f->cli->mem, data, "text");
    size_t len = json_string_length(json_object_get(data, "text"));
    int64_t attempt = field_int(data, "attempt", 1);

    part = follow_new_part(&f->jobs, f->cli->mem, job, attempt, field_int(data, "offset", 0), text, &len);
    if (len == 0)
        return 0;
    if (!str_eq(f->current, job) || f->current_attempt != attempt) {
        bool first = !f->current;
        _cleanup_talloc_ char *line =
            attempt > 1
                ? mem_printf(NULL, "==> %s (attempt %" PRId64 ") <==", text_clean(f->cli->mem, job), attempt)
                : mem_printf(NULL, "==> %s <==", text_clean(f->cli->mem, job));

        f->current = mem_strdup(f->cli->mem, job);
        f->current_attempt = attempt;
        if ((!first || attempt > 1) && say(f, STYLE_BOLD, line) < 0)
            return -f->err.code;
    }
    buf_add(&f->text, part, len);
    return 0;
}

/* A job that went wrong says so once, with its reason. */
static int take_job(Follow *f, const json_t *data) {
    const char *name = field_text(f->cli->mem, data, "name"),
               *status = field_text(f->cli->mem, data, "status");
    const char *message = field_text(f->cli->mem, data, "message");
    FollowJob *job = find_job(&f->jobs, f->cli->mem, name, field_int(data, "attempt", 1), 0);
    bool bad = str_eq(status, "failed") || str_eq(status, "cancelled");
    _cleanup_talloc_ char *line = NULL;

    if (str_eq(job->status, status))
        return 0;
    job->status = mem_strdup(f->cli->mem, status);
    job->message = mem_strdup(f->cli->mem, message);
    f->waits = NULL;
    json_decref(f->state);
    f->state = NULL;
    if (!bad || f->cli->json)
        return 0;
    if (!*message)
        message = field_text(f->cli->mem, data, "reason");
    line = mem_printf(NULL, "%s %s%s%s", text_clean(f->cli->mem, name), text_clean(f->cli->mem, status),
                      *message ? ": " : "", text_clean(f->cli->mem, message));
    return say(f, status_style(status), line);
}

static int print_event(Follow *f, const char *event, json_t *data) {
    char *text;

    json_object_set_new(data, "event", json_string(event));
    text = json_dumps(data, JSON_COMPACT);
    if (text)
        buf_addf(&f->text, "%s\n", text);
    free(text);
    return 0;
}

/* As JSON a log event holds only what is new, too. */
static int print_log_event(Follow *f, json_t *data) {
    const char *text = field_text(f->cli->mem, data, "text");
    size_t len = json_string_length(json_object_get(data, "text"));
    int64_t offset = field_int(data, "offset", 0);
    const char *part = follow_new_part(&f->jobs, f->cli->mem, field_text(f->cli->mem, data, "job"),
                                       field_int(data, "attempt", 1), offset, text, &len);

    if (len == 0)
        return 0;
    if (part != text) {
        for (const char *s = text; s < part; s = step(s, part))
            offset++;
        json_object_set_new(data, "text", json_stringn(part, len));
        json_object_set_new(data, "offset", json_integer(offset));
    }
    return print_event(f, "log", data);
}

static int on_event(void *arg, const char *event, const Buf *text) {
    Follow *f = arg;
    _cleanup_json_ json_t *data = NULL;
    bool log = str_eq(event, "log"), job = str_eq(event, "job"), end = str_eq(event, "end");
    int r = 0;

    if (!log && !job && !end)
        return 0;
    if (json_read_log(buf_str(text), text->len, &data, &f->err) < 0)
        return err_wrap(&f->err, "the server's event \"%s\" cannot be read", event);
    if (end) {
        f->result = mem_strdup(f->cli->mem, field_text(f->cli->mem, data, "status"));
        f->why = mem_strdup(f->cli->mem, field_text(f->cli->mem, data, "message"));
    }
    if (job)
        r = take_job(f, data);
    if (f->cli->json)
        r = log ? print_log_event(f, data) : print_event(f, event, data);
    else if (log)
        r = take_log(f, data);
    return r < 0 ? r : end;
}

static int on_data(void *arg, const void *bytes, size_t len) {
    Follow *f = arg;
    int r;

    f->heard = true;
    r = sse_feed(&f->sse, bytes, len, on_event, f);
    if (r >= 0 && f->sse.too_long) {
        err_set(&f->err, ERR_TOO_LARGE, "the server sent an event of over %u bytes", SSE_MAX);
        r = -ERR_TOO_LARGE;
    }
    if (r >= 0 && flush_text(f) < 0)
        r = -f->err.code;
    if (r == 0)
        draw_status(f);
    return r;
}

/* ---- what it waits for ---- */

static int tell_waits(Follow *f, const char *job, const char *why) {
    _cleanup_talloc_ char *line =
        mem_printf(NULL, "%s waits: %s", text_clean(f->cli->mem, job), text_clean(f->cli->mem, why));
    json_t *data;
    int r;

    if (!f->cli->json)
        return say(f, STYLE_DIM, line);
    data = json_pack("{s:s, s:s}", "name", job, "waiting", why);
    r = print_event(f, "waiting", data);
    json_decref(data);
    return r < 0 ? r : flush_text(f);
}

/* "busy since 40 s" and "busy since 50 s" are. */
static bool same_but_numbers(const char *a, const char *b) {
    for (;;) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (*a != *b || !*a)
            return *a == *b;
        a++;
        b++;
    }
}

/* How it stands, over a connection of our own. Whoever follows hears by the log's what is wrong with it. */
static bool ask_state(Follow *f) {
    json_t *state = NULL;
    Err err;

    if (!f->aside.client) {
        f->aside = *f->cli;
        if (http_client_new(f->cli->mem, f->cli->url, f->cli->token, &f->aside.client, &err) < 0)
            return false;
    }
    if (cli_request(&f->aside, "GET", mem_printf(f->cli->mem, "/api/builds/%" PRId64, f->build), NULL, &state,
                    &err) < 0)
        return false;
    json_decref(f->state);
    f->state = state;
    return true;
}

/* What was said is not said again; the line on a terminal keeps saying it as it is. */
static void note_waits(Follow *f) {
    const char *job, *why;
    FollowJob *known;

    f->waits = NULL;
    if (!build_waits(f->state, &job, &why))
        return;
    f->waits = mem_printf(f->cli->mem, "%s waits: %s", job, why);
    known = find_job(&f->jobs, f->cli->mem, job, 0, 0);
    if (same_but_numbers(known->waits, why) || tell_waits(f, job, why) < 0)
        return;
    known->waits = mem_strdup(f->cli->mem, why);
}

static void on_idle(void *arg) {
    Follow *f = arg;
    int64_t now = clock_mono();

    if (f->result)
        return;
    if (!f->asked || now - f->asked >= (f->cli->err.tty ? IDLE : ASK_EVERY)) {
        f->asked = now;
        if (ask_state(f))
            note_waits(f);
    }
    draw_status(f);
}

/* "skipped: b (its condition is false), c and 3 more" */
static int tell_skipped(Follow *f) {
    _cleanup_buf_ Buf line = BUF_INIT;
    size_t count = 0;

    for (size_t i = 0; i < f->jobs.count; i++) {
        const FollowJob *job = &f->jobs.items[i];

        if (!str_eq(job->status, "skipped") || ++count > SKIPPED_NAMED)
            continue;
        buf_addf(&line, "%s%s", count > 1 ? ", " : "skipped: ", text_clean(f->cli->mem, job->name));
        if (*job->message)
            buf_addf(&line, " (%s)", text_clean(f->cli->mem, job->message));
    }
    if (count > SKIPPED_NAMED)
        buf_addf(&line, " and %zu more", count - SKIPPED_NAMED);
    return count ? say(f, STYLE_DIM, line.data) : 0;
}

/* ---- connections ---- */

/* One connection, to its end. 0: it was cut, or the server is going down: worth another try. */
static int connect_once(Follow *f, const char *path, Err *err) {
    const char *last =
        f->sse.id.len ? mem_printf(f->cli->mem, "Last-Event-ID: %s", buf_str(&f->sse.id)) : NULL;
    const char *const headers[] = {"Accept: text/event-stream", last, NULL};
    HttpCall call = {.method = "GET",
                     .path = path,
                     .headers = headers,
                     .timeout_us = SILENCE,
                     .stream = true,
                     .on_data = on_data,
                     .on_idle = on_idle,
                     .idle_us = IDLE,
                     .arg = f};
    bool busy;
    int r;

    sse_reset(&f->sse);
    r = cli_call(f->cli, &call, err);
    busy = call.status == 502 || call.status == 503 || call.status == 504;
    buf_done(&call.answer);
    if (f->result)
        return 1;
    if (f->err.code) {
        *err = f->err;
        return -err->code;
    }
    if (r == -ERR_UNAVAILABLE || r == -ERR_TIMEOUT || busy)
        return 0;
    return r;
}

static int follow_to_end(Follow *f, const char *path, Err *err) {
    int64_t pause = PAUSE_FIRST, heard_at = 0;
    bool lost = false;

    for (;;) {
        int r;

        f->heard = false;
        *err = (Err){0};
        r = connect_once(f, path, err);
        if (r != 0)
            return r;
        if (f->heard || !err->code) {
            pause = f->heard ? PAUSE_FIRST : pause;
            heard_at = clock_mono();
            lost = false;
        }
        if (heard_at == 0 || clock_mono() - heard_at > PATIENCE) /* was never there, or stays away */
            return err->code ? -(int)err->code
                             : err_set(err, ERR_UNAVAILABLE, "%s gives no log", f->cli->url);
        if (!lost && err->code &&
            say(f, STYLE_YELLOW, "pelton: lost the server, waiting for it to come back") < 0)
            return -f->err.code;
        lost = lost || err->code;
        f->cli->hint = NULL;
        cli_pause(pause);
        pause = MIN(pause * 2, PAUSE_MOST);
    }
}

/* How it ended: a job that is followed alone may end long before its build. */
static const char *result_of(const Follow *f, const char *job) {
    const char *status = f->result;

    for (size_t i = 0; job && i < f->jobs.count; i++)
        if (str_eq(f->jobs.items[i].name, job) && *f->jobs.items[i].status)
            status = f->jobs.items[i].status;
    return status;
}

int follow_build(Cli *cli, int64_t build, const char *job, Err *err) {
    Follow f = {.cli = cli, .build = build, .why = ""};
    const char *path = mem_printf(cli->mem, "/api/builds/%" PRId64 "/logs?follow=true%s%s", build,
                                  job ? "&job=" : "", job ? str_url_encode(cli->mem, job, false) : "");
    _cleanup_talloc_ char *line = NULL;
    int r;

    draw_status(&f);
    r = follow_to_end(&f, path, err);
    if (r > 0) {
        const char *result = text_clean(cli->mem, result_of(&f, job));

        line = mem_printf(NULL, "%s%s%s %" PRId64 " %s%s%s", job ? "job " : "",
                          job ? text_clean(cli->mem, job) : "", job ? " of build" : "build", build, result,
                          *f.why ? ": " : "", text_clean_lines(cli->mem, f.why, "  "));
        r = job ? 0 : tell_skipped(&f);
        if (r >= 0)
            r = say(&f, status_style(result), line);
        if (r < 0)
            *err = f.err;
        else
            r = str_eq(result, "success") ? CLI_DONE : CLI_FAILED;
    }
    clear_status(&f);
    json_decref(f.state);
    sse_done(&f.sse);
    buf_done(&f.text);
    term_filter_done(&f.filter);
    return r;
}

static int report_started(Cli *cli, const json_t *answer, int64_t id, Err *err) {
    const char *status = text_clean(cli->mem, field_text(cli->mem, answer, "status"));
    const char *message = text_clean_lines(cli->mem, field_text(cli->mem, answer, "message"), "  ");
    _cleanup_buf_ Buf out = BUF_INIT;
    int r;

    buf_addf(&out, "build %" PRId64 " ", id);
    term_add(&cli->out, &out, status_style(status), status);
    buf_addf(&out, "%s%s: %s/builds/%" PRId64 "\n", *message ? ": " : "", message, cli->url, id);
    r = cli_print(&out, err);
    return r < 0 ? r : str_eq(status, "failed") ? CLI_FAILED : CLI_DONE;
}

int follow_started(Cli *cli, json_t *answer, bool follow, Err *err) {
    int64_t id = field_int(answer, "id", 0);
    int r;

    if (follow && id) {
        cli_note(cli, "build %" PRId64 ": %s/builds/%" PRId64, id, cli->url, id);
        return follow_build(cli, id, NULL, err);
    }
    if (!cli->json)
        return report_started(cli, answer, id, err);
    r = cli_print_json(cli, answer, err);
    return r < 0 ? r : str_eq(field_text(cli->mem, answer, "status"), "failed") ? CLI_FAILED : CLI_DONE;
}
