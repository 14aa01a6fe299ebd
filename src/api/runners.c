/* /api/runners: who runs jobs. */
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"

static int render_runner(HttpRequest *req, JsonWriter *w, const Runner *r, Err *err) {
    Job *leases;
    size_t count;
    int rc = store_job_leases(api_of(req)->builds->db, r->id, http_mem(req), &leases, &count, err);

    if (rc < 0)
        return rc;
    jw_object(w, NULL);
    jw_int(w, "id", r->id);
    jw_str(w, "name", r->name);
    jw_str(w, "arch", r->arch);
    jw_raw(w, "labels", r->labels, strlen(r->labels));
    jw_raw(w, "executors", r->executors, strlen(r->executors));
    jw_int(w, "slots", r->slots);
    jw_str(w, "version", r->version);
    jw_time(w, "last_seen", r->last_seen);
    jw_str(w, "status", build_runner_away(r, clock_now()) ? "away" : count ? "busy" : "idle");
    jw_array(w, "jobs");
    for (size_t i = 0; i < count; i++)
        jw_int(w, NULL, leases[i].id);
    jw_end_array(w);
    jw_end_object(w);
    return 0;
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Runner *runners;
    size_t count;
    int r = store_runners(api_of(req)->builds->db, http_mem(req), &runners, &count, err);

    jw_object(&w, NULL);
    jw_array(&w, "runners");
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = render_runner(req, &w, &runners[i], err);
    jw_end_array(&w);
    jw_end_object(&w);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

const HttpRoute api_runners[] = {
    {.method = HTTP_GET,
     .path = "/api/runners",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "runners",
     .summary = "The runners and what they run",
     .answer = "{\"type\":\"object\",\"properties\":{\"runners\":{\"type\":\"array\"}}}"},
    {0},
};
