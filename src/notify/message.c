#include "notify/message.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

static const char *verb(const Subject *s) {
    if (str_eq(s->moment, "start"))
        return "has begun";
    if (str_eq(s->moment, "success"))
        return "succeeded";
    return str_eq(s->build->reason, "timeout") ? "took too long" : "failed";
}

/* The pipeline's name, or the repository's. */
static const char *name_of(const Subject *s) {
    return s->execution && !str_empty(s->build->subject) && str_empty(s->build->author) ? s->build->subject
                                                                                        : s->build->project;
}

const char *message_line(const Subject *s, const void *mem) {
    bool failed = str_eq(s->moment, "failure") && !str_empty(s->build->message);

    return mem_printf(mem, "%s #%" PRId64 " %s%s%s", name_of(s), s->build->id, verb(s), failed ? ": " : "",
                      failed ? s->build->message : "");
}

const char *message_text(const Subject *s, const void *mem) {
    const Build *b = s->build;
    _cleanup_buf_ Buf out = BUF_INIT;
    char took[CLOCK_RFC3339_SIZE];

    buf_addf(&out, "%s\n\n", message_line(s, mem));
    if (!str_empty(b->branch))
        buf_addf(&out, "Branch: %s\n", b->branch);
    if (!str_empty(b->commit))
        buf_addf(&out, "Commit: %s\n", b->commit);
    if (!str_empty(b->pusher))
        buf_addf(&out, "Started by: %s\n", b->pusher);
    if (b->started_at && b->finished_at)
        buf_addf(&out, "Took: %s\n", clock_human(b->finished_at - b->started_at, took));
    buf_addf(&out, "\n%s\n", s->url);
    return buf_dup(&out, mem);
}

void message_json(const Subject *s, Buf *out) {
    const Build *b = s->build;
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "event", s->moment);
    jw_str(&w, "name", name_of(s));
    jw_str(&w, "project", b->project);
    jw_str(&w, "pipeline_id", s->execution ? s->execution->pipeline : NULL);
    jw_str(&w, "execution_id", b->uuid);
    jw_int(&w, "build", b->id);
    jw_str(&w, "status", b->state);
    jw_str(&w, "reason", b->reason);
    jw_str(&w, "message", b->message);
    jw_str(&w, "branch", b->branch);
    jw_str(&w, "commit", b->commit);
    jw_time(&w, "started_at", b->started_at);
    jw_time(&w, "finished_at", b->finished_at);
    jw_str(&w, "url", s->url);
    jw_end_object(&w);
}

void message_chat(const Subject *s, const char *channel, Buf *out) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    if (channel)
        jw_str(&w, "channel", channel);
    jw_str(&w, "text", mem_printf(mem, "%s\n%s", message_line(s, mem), s->url));
    jw_end_object(&w);
}

void message_status(const Subject *s, Buf *out) {
    static const char *const states[][2] = {
        {"start", "pending"}, {"success", "success"}, {"failure", "failure"}};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    for (size_t i = 0; i < ELEMENTS(states); i++)
        if (str_eq(states[i][0], s->moment))
            jw_str(&w, "state", states[i][1]);
    jw_str(&w, "target_url", s->url);
    jw_str(&w, "description",
           mem_printf(mem, "%.130s", message_line(s, mem))); /* at most 140 characters there */
    jw_str(&w, "context", mem_printf(mem, "pelton/%s", name_of(s)));
    jw_end_object(&w);
}
