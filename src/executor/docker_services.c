/* What runs beside a job's container: a network of the job's own, a container for each service in it. */
#include "base/clock.h"
#include "base/str.h"
#include "executor/docker.h"
#include <fcntl.h>
#include <stdio.h>

#define SHOWN_LINES "50"
#define PAUSE_FIRST_US (50 * US_PER_MS)
#define PAUSE_MAX_US US_PER_S

static char *service_name(const void *mem, const ExecutorJob *job, size_t i) {
    return mem_printf(mem, "%s-%zu", engine_job_name(mem, job, "-service"), i);
}

/* ---- starting ---- */

/* Without a network for the job its services are still to be reached, but nothing else. */
static int create_network(HttpClient *c, const ExecutorJob *job, const char *name, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter w = JSON_WRITER(&body);
    int r;

    jw_object(&w, NULL);
    jw_str(&w, "Name", name);
    jw_bool(&w, "CheckDuplicate", true);
    jw_bool(&w, "Internal", !job->network);
    engine_write_labels(&w, job);
    jw_end_object(&w);
    r = engine_post(c, "/networks/create", &body, NULL, err);
    return r < 0 ? err_wrap(err, "create the job's network") : 0;
}

static void write_words(JsonWriter *w, const char *key, const char *const *words) {
    jw_array(w, key);
    for (; words && *words; words++)
        jw_str(w, NULL, *words);
    jw_end_array(w);
}

static void write_service(JsonWriter *w, const ExecutorJob *job, const ExecutorService *service,
                          const char *network) {
    jw_object(w, NULL);
    jw_str(w, "Image", service->image);
    jw_str(w, "Hostname", service->name);
    write_words(w, "Env", service->env);
    if (service->command)
        write_words(w, "Cmd", service->command);
    engine_write_labels(w, job);
    jw_object(w, "HostConfig");
    jw_str(w, "NetworkMode", network);
    jw_int(w, "PidsLimit", EXECUTOR_PROCESSES);
    jw_object(w, "LogConfig");
    jw_str(w, "Type", "json-file");
    jw_object(w, "Config");
    jw_str(w, "max-size", "10m");
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
    jw_object(w, "NetworkingConfig");
    jw_object(w, "EndpointsConfig");
    jw_object(w, network);
    write_words(w, "Aliases", (const char *const[]){service->name, NULL});
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
}

static int start_service(HttpClient *c, const ExecutorJob *job, size_t i, const char *network, int out,
                         Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *image = NULL;
    _cleanup_buf_ Buf body = BUF_INIT;
    const ExecutorService *service = &job->container.services[i];
    const char *name = service_name(mem, job, i);
    JsonWriter w = JSON_WRITER(&body);
    int r = image_ensure(c, &job->container, service->image, out, &image, err);

    if (r < 0)
        return r;
    write_service(&w, job, service, network);
    r = engine_post(c, mem_printf(mem, "/containers/create?name=%s", name), &body, NULL, err);
    if (r == 0)
        r = engine_post(c, mem_printf(mem, "/containers/%s/start", name), NULL, NULL, err);
    return r;
}

/* ---- readiness ---- */

typedef enum Health { HEALTH_NONE, HEALTH_STARTING, HEALTH_GOOD } Health;

typedef struct Wait {
    HttpClient *client;
    const void *mem;
    const ExecutorService *service;
    const char *name; /* of its container */
    int64_t deadline;
    Health health;
} Wait;

static int64_t time_left(const Wait *w) {
    return MAX(w->deadline - clock_mono(), 1);
}

/* ERR_CONFLICT: it has ended. */
static int look(Wait *w, HttpClient *c, Err *err) {
    _cleanup_json_ json_t *seen = NULL;
    EngineCall call = {.method = "GET",
                       .path = mem_printf(w->mem, "/containers/%s/json", w->name),
                       .timeout_us = time_left(w)};
    json_t *state;
    const char *health;
    int r = engine_call(c, &call, &seen, err);

    if (r < 0)
        return r;
    state = json_object_get(seen, "State");
    health = json_string_value(json_object_get(json_object_get(state, "Health"), "Status"));
    if (!json_is_true(json_object_get(state, "Running")))
        return err_set(err, ERR_CONFLICT, "it ended with exit status %lld",
                       (long long)json_integer_value(json_object_get(state, "ExitCode")));
    if (str_eq(health, "unhealthy"))
        return err_set(err, ERR_CONFLICT, "its image's health check says it is unhealthy");
    w->health = str_empty(health) || str_eq(health, "none") ? HEALTH_NONE
                : str_eq(health, "healthy")                 ? HEALTH_GOOD
                                                            : HEALTH_STARTING;
    return 0;
}

typedef struct Events {
    Wait *wait;
    HttpClient *client; /* for looking, while the other one listens */
} Events;

/* Whatever has happened, looking says what is now. */
static int look_again(void *arg, Err *err) {
    Events *e = arg;
    int r = look(e->wait, e->client, err);

    return r < 0 ? r : e->wait->health == HEALTH_STARTING ? 0 : err_set(err, ERR_CANCELLED, "known");
}

static int take_event(void *arg, json_t *line, Err *err) {
    return look_again(arg, err);
}

/* The engine's events wake us: of its health, and of its end. Those from before we listen come, too. */
static int wait_healthy(Wait *w, int64_t since, Err *err) {
    _cleanup_buf_ Buf filters = BUF_INIT;
    JsonWriter jw = JSON_WRITER(&filters);
    Events e = {.wait = w};
    HttpCall call = {.method = "GET", .timeout_us = time_left(w)};
    int r = engine_open(w->mem, &e.client, err);

    if (r < 0)
        return r;
    jw_object(&jw, NULL);
    write_words(&jw, "container", (const char *const[]){w->name, NULL});
    write_words(&jw, "event", (const char *const[]){"health_status", "die", NULL});
    jw_end_object(&jw);
    call.path = mem_printf(w->mem, "/events?since=%lld&filters=%s", (long long)(since / US_PER_S),
                           str_url_encode(w->mem, buf_str(&filters), false));
    r = look_again(&e, err);
    if (r == 0)
        r = engine_lines(w->client, &call, -1, take_event, &e, err);
    return r == -ERR_CANCELLED ? 0 : r;
}

/* `ready`, run in the service: its exit status. */
static int try_ready(Wait *w, Err *err) {
    _cleanup_json_ json_t *made = NULL, *seen = NULL;
    _cleanup_buf_ Buf body = BUF_INIT, start = BUF_INIT;
    JsonWriter jw = JSON_WRITER(&body);
    EngineCall attach = {.method = "POST", .body = &start, .timeout_us = time_left(w)};
    const char *words[] = {"/bin/sh", "-c", w->service->ready, NULL}, *id = NULL;
    _cleanup_close_ int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int64_t status = 0;
    int r;

    jw_object(&jw, NULL);
    write_words(&jw, "Cmd", words);
    jw_bool(&jw, "AttachStdout", true);
    jw_bool(&jw, "AttachStderr", true);
    jw_end_object(&jw);
    buf_adds(&start, "{\"Detach\":false,\"Tty\":false}");
    r = engine_post(w->client, mem_printf(w->mem, "/containers/%s/exec", w->name), &body, &made, err);
    if (r == 0)
        r = json_get_str(made, "Id", &id, err);
    if (r < 0)
        return r;
    attach.path = mem_printf(w->mem, "/exec/%s/start", id);
    r = engine_attach(w->client, &attach, nowhere, NULL, NULL, err);
    if (r == 0)
        r = engine_get(w->client, mem_printf(w->mem, "/exec/%s/json", id), &seen, err);
    if (r == 0)
        r = json_get_i64(seen, "ExitCode", &status, err);
    return r < 0 ? r : (int)(status & 0xff);
}

/* status: of the last try that ended; -1: none did. */
static int never_ready(const Wait *w, int status, Err *err) {
    return status < 0 ? err_set(err, ERR_TIMEOUT, "`%s` has not ended", w->service->ready)
                      : err_set(err, ERR_TIMEOUT, "`%s` exits with %d", w->service->ready, status);
}

/* A try in a service that has just ended fails in words of the engine: those of the service's end count. A
 * conflict while it runs is the end of a try, and not its own: 1. */
static int judge_failure(Wait *w, int r, Err *err) {
    Err again;
    int seen = look(w, w->client, &again);

    if (seen == 0 && r == -ERR_CONFLICT)
        return 1;
    if (seen == -ERR_CONFLICT) {
        *err = again;
        return seen;
    }
    return r;
}

/* Nothing tells when it would succeed, so it is tried with growing pauses. */
static int wait_ready(Wait *w, Err *err) {
    int64_t pause = PAUSE_FIRST_US;
    int r, status = -1;

    for (;;) {
        r = look(w, w->client, err);
        if (r == 0)
            r = try_ready(w, err);
        if (r == 0)
            return 0;
        if (r > 0)
            status = r;
        if (clock_mono() + pause >= w->deadline)
            return never_ready(w, status, err);
        if (r < 0)
            r = judge_failure(w, r, err);
        if (r < 0)
            return r;
        usleep((useconds_t)pause);
        pause = MIN(pause * 2, PAUSE_MAX_US);
    }
}

static int wait_service(HttpClient *c, const ExecutorJob *job, size_t i, int64_t since, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const ExecutorService *service = &job->container.services[i];
    int64_t patience = service->timeout_us > 0 ? service->timeout_us : EXECUTOR_READY_US;
    Wait w = {.client = c,
              .mem = mem,
              .service = service,
              .name = service_name(mem, job, i),
              .deadline = clock_mono() + patience};
    char took[CLOCK_RFC3339_SIZE];
    int r = *service->ready ? wait_ready(&w, err) : wait_healthy(&w, since, err);

    if (r == -ERR_TIMEOUT)
        return err_wrap(err, "service %s: not ready after %s", service->name, clock_human(patience, took));
    return r < 0 ? err_wrap(err, "service %s", service->name) : 0;
}

/* ---- all of them ---- */

static int start_all(HttpClient *c, const ExecutorJob *job, const char *network, int out, Err *err) {
    int64_t since = clock_now();
    int r = 0;

    for (size_t i = 0; r == 0 && i < job->container.service_count; i++) {
        dprintf(out, "==> service %s: %s\n", job->container.services[i].name,
                job->container.services[i].image);
        r = start_service(c, job, i, network, out, err);
        if (r < 0)
            return err_wrap(err, "service %s", job->container.services[i].name);
    }
    for (size_t i = 0; r == 0 && i < job->container.service_count; i++)
        r = wait_service(c, job, i, since, err);
    return r;
}

int services_start(HttpClient *c, const ExecutorJob *job, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *network = engine_job_name(mem, job, "-net");
    int r;

    if (job->container.service_count == 0)
        return 0;
    r = create_network(c, job, network, err);
    if (r < 0)
        return r;
    r = start_all(c, job, network, out, err);
    if (r < 0)
        services_show(c, job, out);
    return r;
}

/* ---- their ends ---- */

/* *ret: how it has ended, in mem; NULL: it has not. */
static int how_it_ended(HttpClient *c, const char *container, const void *mem, const char **ret, Err *err) {
    _cleanup_json_ json_t *seen = NULL;
    EngineCall call = {.method = "GET",
                       .path = mem_printf(mem, "/containers/%s/json", container),
                       .timeout_us = ENGINE_SHORT_US};
    const json_t *state;
    char status[100];
    int r = engine_call(c, &call, &seen, err);

    if (r < 0)
        return r;
    *ret = NULL;
    state = json_object_get(seen, "State");
    if (!str_eq(json_string_value(json_object_get(state, "Status")), "exited"))
        return 0;
    executor_name_status((int)json_integer_value(json_object_get(state, "ExitCode")), status, sizeof(status));
    *ret = mem_printf(mem, "%s%s", status,
                      json_is_true(json_object_get(state, "OOMKilled")) ? ", out of memory" : "");
    return 0;
}

void services_show(HttpClient *c, const ExecutorJob *job, int out) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Err err;

    for (size_t i = 0; i < job->container.service_count; i++) {
        const char *container = service_name(mem, job, i), *how = NULL;
        EngineCall call = {
            .method = "GET",
            .path = mem_printf(mem, "/containers/%s/logs?stdout=1&stderr=1&tail=" SHOWN_LINES, container),
            .timeout_us = ENGINE_SHORT_US};

        if (how_it_ended(c, container, mem, &how, &err) == -ERR_NOT_FOUND)
            continue; /* it was never made */
        job->shared->told[i] = how != NULL;
        dprintf(out, "==> service %s %s:\n", job->container.services[i].name,
                how ? mem_printf(mem, "has ended with %s, and said last", how) : "said last");
        if (engine_attach(c, &call, out, NULL, NULL, &err) < 0)
            dprintf(out, "%s\n", err.msg);
    }
}

int services_tell(HttpClient *c, const ExecutorJob *job, void (*say)(void *arg, const char *line), void *arg,
                  Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    int r = 0;

    for (size_t i = 0; i < job->container.service_count && r >= 0; i++) {
        const char *how = NULL;

        if (job->shared->told[i])
            continue;
        r = how_it_ended(c, service_name(mem, job, i), mem, &how, err);
        if (r == -ERR_NOT_FOUND) /* somebody has removed it, whom that tells nothing */
            r = 0;
        if (how)
            say(arg, mem_printf(mem, "service %s has ended by itself, before the steps were over: %s",
                                job->container.services[i].name, how));
    }
    return r;
}
