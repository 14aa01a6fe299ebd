/* /api/runners: who runs jobs. */
#include "api/finished.h"
#include "api/render.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

/* A drained one works off what it has, and ends: then it is not away, but where it should be. */
static const char *status_of(const Runner *r, size_t jobs) {
    if (r->drained_at)
        return jobs ? "draining" : "drained";
    return build_runner_away(r, clock_now()) ? "away" : jobs ? "busy" : "idle";
}

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
    jw_int(w, "cpu", r->cpu);
    jw_int(w, "memory", r->memory);
    jw_int(w, "disk", r->disk);
    jw_str(w, "version", r->version);
    jw_time(w, "last_seen", r->last_seen);
    jw_str(w, "status", status_of(r, count));
    jw_str(w, "drained_by", *r->drained_by ? r->drained_by : NULL);
    jw_time(w, "drained_at", r->drained_at);
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

static int set_drained(HttpRequest *req, const char *by, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Runner *runner;
    int r = build_drain_runner(api_of(req)->builds, http_param(req, "name"), by, http_mem(req), &runner, err);

    if (r >= 0)
        r = render_runner(req, &w, runner, err);
    if (r < 0)
        return r;
    http_reply_json(req, 200, &out);
    return 0;
}

static int drain(HttpRequest *req, Err *err) {
    return set_drained(req, ((Principal *)http_principal(req))->name, err);
}

static int resume(HttpRequest *req, Err *err) {
    return set_drained(req, NULL, err);
}

bool api_own_runner(Api *api, int64_t id) {
    for (size_t i = 0; i < API_OWN_RUNNERS; i++)
        if (api->own_runners[i] == id)
            return true;
    return false;
}

/* It would start again, and find nothing that it may do. */
static int check_not_own(HttpRequest *req, const char *name, Err *err) {
    Api *api = api_of(req);
    Runner *runner;
    int r = store_runner_by_name(api->builds->db, name, http_mem(req), &runner, err);

    if (r >= 0 && api_own_runner(api, runner->id))
        return err_set(err, ERR_CONFLICT, "the server starts runner %s itself: start it with fewer --runners",
                       name);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static int remove_runner(HttpRequest *req, Err *err) {
    const char *name = http_param(req, "name");
    int r = check_not_own(req, name, err);

    if (r >= 0)
        r = build_remove_runner(api_of(req)->builds, name, err);
    if (r < 0)
        return r;
    finished_clear(api_of(req)->finished); /* what it has run names it otherwise */
    log_info("api", "runner %s is removed by %s", name, ((Principal *)http_principal(req))->name);
    http_reply_empty(req, 204);
    return 0;
}

const HttpRoute api_runners[] = {
    {.method = HTTP_GET,
     .path = "/api/runners",
     .roles = ROLE_READ,
     .handle = list,
     .tag = "runners",
     .summary = "The runners and what they run",
     .answer = "(runners:[Runner])"},
    {.method = HTTP_POST,
     .path = "/api/runners/{name}/drain",
     .roles = ROLE_ADMIN,
     .handle = drain,
     .tag = "runners",
     .summary = "It takes nothing new, and ends when it has nothing left",
     .answer = "Runner"},
    {.method = HTTP_POST,
     .path = "/api/runners/{name}/resume",
     .roles = ROLE_ADMIN,
     .handle = resume,
     .tag = "runners",
     .summary = "It works again; the server starts its own, who looks after another starts that",
     .answer = "Runner"},
    {.method = HTTP_DELETE,
     .path = "/api/runners/{name}",
     .roles = ROLE_ADMIN,
     .handle = remove_runner,
     .tag = "runners",
     .summary = "It is gone for ever: its token is revoked, its name is free",
     .status = 204},
    {0},
};
