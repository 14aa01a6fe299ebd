#include "api/attempt.h"

#include "api/render.h"

void attempt_reply_stale(HttpRequest *req, const Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_str(&w, "error", "StaleAttempt");
    jw_str(&w, "message", err->msg);
    jw_end_object(&w);
    http_reply_json(req, 409, &out);
}

int attempt_asked(HttpRequest *req, Attempt *ret, Err *err) {
    int r = http_query_i64(req, "attempt", 1, INT64_MAX, &ret->attempt, err);

    return r < 0 ? r : http_param_id(req, "id", &ret->job, err);
}

int attempt_job(HttpRequest *req, int64_t attempt, Job **ret_job, Err *err) {
    const Principal *who = http_principal(req);
    Attempt a = {.attempt = attempt};
    int r = http_param_id(req, "id", &a.job, err);

    *ret_job = NULL;
    if (r >= 0)
        r = build_check_attempt(api_of(req)->builds, a, who->runner_id, http_mem(req), ret_job, err);
    if (r != -ERR_CONFLICT)
        return r;
    attempt_reply_stale(req, err);
    return 0;
}

int attempt_begin(HttpRequest *req, Job **ret_job, Err *err) {
    Attempt a = {0};
    int r = attempt_asked(req, &a, err);

    *ret_job = NULL;
    return r < 0 ? r : attempt_job(req, a.attempt, ret_job, err);
}
