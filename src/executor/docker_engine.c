#include "base/str.h"
#include "executor/docker.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

/* ---- finding it ---- */

static bool is_socket(const char *path) {
    struct stat st;

    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The first of the usual places that has a socket; "": none. */
static const char *usual_place(const void *mem) {
    const char *own = getenv("XDG_RUNTIME_DIR");
    const char *places[] = {"/run/docker.sock", "/run/podman/podman.sock",
                            own ? mem_printf(mem, "%s/docker.sock", own) : "",
                            own ? mem_printf(mem, "%s/podman/podman.sock", own) : ""};

    for (size_t i = 0; i < ELEMENTS(places); i++)
        if (is_socket(places[i]))
            return places[i];
    return "";
}

int engine_open(const void *mem, HttpClient **ret, Err *err) {
    _cleanup_talloc_ void *tmp = talloc_new(NULL);
    const char *host = getenv("DOCKER_HOST"), *path;
    int r;

    if (str_empty(host))
        path = usual_place(tmp);
    else if (!(path = str_after(host, "unix://")))
        return err_set(err, ERR_UNSUPPORTED,
                       "DOCKER_HOST is \"%s\": only an engine of this machine works, unix:///PATH", host);
    if (!*path)
        return err_set(err, ERR_UNSUPPORTED,
                       "no engine's socket at /run/docker.sock or /run/podman/podman.sock; install docker.io "
                       "or podman, or set DOCKER_HOST=unix:///PATH");
    r = http_client_new(mem, mem_printf(tmp, "unix:%s", path), NULL, ret, err);
    return r < 0 ? err_wrap(err, "container engine") : 0;
}

int engine_available(Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HttpCall call = {.method = "GET", .path = "/_ping", .timeout_us = ENGINE_SHORT_US};
    HttpClient *c;
    int r = engine_open(mem, &c, err);

    if (r < 0)
        return r;
    r = http_client_call(c, &call, err);
    if (r == 0)
        r = http_call_check(&call, err);
    buf_done(&call.answer);
    if (r < 0) {
        err->code = ERR_UNSUPPORTED;
        return err_wrap(err, "the container engine does not answer");
    }
    return 0;
}

/* ---- calls ---- */

int engine_call(HttpClient *c, const EngineCall *call, json_t **ret, Err *err) {
    HttpCall http = {
        .method = call->method,
        .path = call->path,
        .content_type = call->body ? "application/json" : NULL,
        .body = call->body ? buf_str(call->body) : NULL,
        .body_len = call->body ? call->body->len : 0,
        .headers = call->headers,
        .timeout_us = call->timeout_us,
        .max_answer = ANSWER_MAX,
    };
    int r = http_client_call(c, &http, err);

    if (r == 0)
        r = http_call_check(&http, err);
    if (r == 0 && ret) {
        *ret = NULL;
        if (http.answer.len)
            r = json_read(http.answer.data, http.answer.len, ret, err);
    }
    buf_done(&http.answer);
    return r;
}

int engine_get(HttpClient *c, const char *path, json_t **ret, Err *err) {
    return engine_call(c, &(EngineCall){.method = "GET", .path = path}, ret, err);
}

int engine_post(HttpClient *c, const char *path, const Buf *body, json_t **ret, Err *err) {
    return engine_call(c, &(EngineCall){.method = "POST", .path = path, .body = body}, ret, err);
}

/* ---- names ---- */

char *engine_label_filter(const void *mem, const char *const *labels) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_array(&w, "label");
    for (; *labels; labels++)
        jw_str(&w, NULL, *labels);
    jw_end_array(&w);
    jw_end_object(&w);
    return str_url_encode(mem, buf_str(&out), false);
}

static void write_number(JsonWriter *w, const char *key, int64_t value) {
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    jw_str(w, key, text);
}

void engine_write_labels(JsonWriter *w, const ExecutorJob *job) {
    jw_object(w, "Labels");
    jw_str(w, "pelton.runner", job->cgroup.host->name);
    write_number(w, "pelton.slot", job->cgroup.slot);
    write_number(w, "pelton.job", job->id);
    write_number(w, "pelton.attempt", job->attempt);
    jw_end_object(w);
}

char *engine_job_name(const void *mem, const ExecutorJob *job, const char *suffix) {
    return mem_printf(mem, "%s-slot-%d%s", job->cgroup.host->name, job->cgroup.slot, suffix);
}
