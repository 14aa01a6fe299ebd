/* /api/queue: what waits, and whether it moves. */
#include "api/render.h"

#include "base/str.h"

#define MAX_ROWS 100
#define MAX_REASON 500

static void render_pause(JsonWriter *w, const Pause *pause) {
    if (!pause) {
        jw_null(w, "paused");
        return;
    }
    jw_object(w, "paused");
    jw_str(w, "by", pause->by);
    jw_str(w, "reason", pause->reason);
    jw_time(w, "since", pause->since);
    jw_end_object(w);
}

static int render_fits(HttpRequest *req, JsonWriter *w, Err *err) {
    Db *db = api_of(req)->builds->db;
    QueueCount *rows;
    size_t count;
    int r = store_queue_by_fit(db, MAX_ROWS, http_mem(req), &rows, &count, err);

    jw_array(w, "fits");
    for (size_t i = 0; r >= 0 && i < count; i++) {
        Fit *fit;

        r = store_fit_load(db, rows[i].id, http_mem(req), &fit, err);
        if (r < 0)
            break;
        jw_object(w, NULL);
        jw_str(w, "executor", fit->executor);
        jw_str(w, "arch", fit->arch);
        jw_raw(w, "labels", fit->labels, strlen(fit->labels));
        jw_int(w, "cpu", fit->cpu);
        jw_int(w, "memory", fit->memory);
        jw_int(w, "disk", fit->disk);
        jw_int(w, "queued", rows[i].jobs);
        jw_end_object(w);
    }
    jw_end_array(w);
    return r;
}

static int render_projects(HttpRequest *req, JsonWriter *w, Err *err) {
    QueueCount *rows;
    size_t count;
    int r = store_queue_by_project(api_of(req)->builds->db, MAX_ROWS, http_mem(req), &rows, &count, err);

    jw_array(w, "projects");
    for (size_t i = 0; r >= 0 && i < count; i++) {
        jw_object(w, NULL);
        jw_str(w, "name", rows[i].project);
        jw_int(w, "queued", rows[i].jobs);
        jw_end_object(w);
    }
    jw_end_array(w);
    return r;
}

static int show(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    _cleanup_view_ Db *view = NULL;
    Db *db = api_of(req)->builds->db;
    int64_t queued, running;
    Pause *pause;
    int r = db_view(db, &view, err);

    if (r >= 0)
        r = store_pause_load(db, http_mem(req), &pause, err);
    if (r >= 0)
        r = store_queue_total(db, &queued, &running, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    render_pause(&w, pause);
    jw_int(&w, "queued", queued);
    jw_int(&w, "running", running);
    r = render_fits(req, &w, err);
    if (r >= 0)
        r = render_projects(req, &w, err);
    jw_end_object(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

static int reply_pause(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Pause *pause;
    int r = store_pause_load(api_of(req)->builds->db, http_mem(req), &pause, err);

    if (r < 0)
        return r;
    jw_object(&w, NULL);
    render_pause(&w, pause);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int pause_queue(HttpRequest *req, Err *err) {
    const Principal *who = http_principal(req);
    const char *reason = NULL;
    json_t *body;
    int r = http_body_json(req, true, &body, err);

    if (r >= 0)
        r = json_opt_str(body, "reason", &reason, err);
    if (r >= 0 && reason && strlen(reason) > MAX_REASON)
        r = err_set(err, ERR_INVALID, "field \"reason\": more than %d bytes", MAX_REASON);
    if (r >= 0)
        r = build_pause(api_of(req)->builds, who->name, reason, err);
    return r < 0 ? r : reply_pause(req, err);
}

static int resume_queue(HttpRequest *req, Err *err) {
    bool changed;
    int r = build_resume(api_of(req)->builds, &changed, err);

    return r < 0 ? r : reply_pause(req, err);
}

const HttpRoute api_queue[] = {
    {.method = HTTP_GET,
     .path = "/api/queue",
     .roles = ROLE_READ,
     .mode = HTTP_THREADED, /* it counts all that waits */
     .handle = show,
     .tag = "queue",
     .summary = "How many jobs wait, by what they ask and by repository, and whether the queue is paused",
     .answer = "(paused:Pause? queued:int running:int fits:[Fit] projects:[(name:text queued:int)])"},
    {.method = HTTP_POST,
     .path = "/api/queue/pause",
     .roles = ROLE_ADMIN,
     .handle = pause_queue,
     .accept = JSON,
     .tag = "queue",
     .summary = "Nothing new starts, deploys neither; what runs goes on",
     .request = "{\"type\":\"object\"," ONLY_THESE ",\"properties\":{\"reason\":{\"type\":\"string\"}}}",
     .answer = "(paused:Pause?)"},
    {.method = HTTP_POST,
     .path = "/api/queue/resume",
     .roles = ROLE_ADMIN,
     .handle = resume_queue,
     .tag = "queue",
     .summary = "What waits starts again",
     .answer = "(paused:Pause?)"},
    {0},
};
