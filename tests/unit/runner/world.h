/* A server that speaks the runner protocol and remembers what it heard, and a real runner that works for it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/cgroup.h"
#include "http/server.h"
#include "runner/runner.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define TOKEN "plt_test"
#define JOBS_MAX 64
#define WAIT_S 60

typedef struct FakeJob {
    bool leased, stale, stopping, stop_sent;
    char stop_reason[32];
    char *text;   /* JOB */
    Buf log;      /* kept up to 1 MiB */
    int64_t next; /* bytes of log accepted */
    Buf report;   /* the final one */
    int finals;   /* how often it came */
    int reports;
    Buf artifacts; /* "path size\n" */
    Buf release;
} FakeJob;

typedef struct World {
    char dir[64], address[64];
    HttpServer *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    HttpWaiter *waiter;
    FakeJob jobs[JOBS_MAX];
    int count;
    bool down;   /* answers 503 */
    bool full;   /* answers 507 to more of a log */
    int no_room; /* so many final reports are answered 507 */
    char running[4096];
    pid_t runner;
} World;

static World world;

static inline void must(int r, const Err *err) {
    if (r < 0)
        fail_msg("%s (%s)", err->msg, err->where);
}

static inline FakeJob *fake_job(int64_t id) {
    return id >= 1 && id <= world.count ? &world.jobs[id - 1] : NULL;
}

/* ---- the routes ---- */

static inline int answer_text(HttpRequest *req, int status, const char *text) {
    http_reply(req, status, "application/json", text, strlen(text));
    return 0;
}

static inline void write_jobs(Buf *out) {
    const char *comma = "";

    buf_adds(out, "{\"jobs\":[");
    for (int i = 0; i < world.count; i++)
        if (!world.jobs[i].leased) {
            world.jobs[i].leased = true;
            buf_addf(out, "%s%s", comma, world.jobs[i].text);
            comma = ",";
        }
    buf_adds(out, "],\"stop\":[");
    comma = "";
    for (int i = 0; i < world.count; i++)
        if (world.jobs[i].stopping && !world.jobs[i].stop_sent) {
            world.jobs[i].stop_sent = true;
            buf_addf(out, "%s{\"job\":%d,\"attempt\":1,\"reason\":\"%s\"}", comma, i + 1,
                     world.jobs[i].stop_reason);
            comma = ",";
        }
    buf_adds(out, "],\"heartbeat\":10}");
}

static inline int handle_lease(HttpRequest *req, Err *err) {
    Buf out = BUF_INIT;
    json_t *body, *running;
    char *text;
    int r = http_body_json(req, false, &body, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&world.lock);
    if (world.down) {
        pthread_mutex_unlock(&world.lock);
        return err_set(err, ERR_UNAVAILABLE, "down");
    }
    running = json_object_get(body, "running");
    text = json_dumps(running, JSON_COMPACT);
    snprintf(world.running, sizeof(world.running), "%s", text ? text : "");
    free(text);
    pthread_cond_broadcast(&world.changed);
    write_jobs(&out);
    if (strstr(buf_str(&out), "\"jobs\":[],\"stop\":[]") && !http_timed_out(req)) {
        if (world.waiter)
            http_waiter_unref(world.waiter);
        world.waiter = http_wait(req, clock_mono() + 2 * US_PER_S);
        buf_done(&out);
    } else {
        http_reply_json(req, 200, &out);
    }
    pthread_mutex_unlock(&world.lock);
    return 0;
}

/* Locks; NULL: answered already. */
static inline FakeJob *begin(HttpRequest *req, Err *err, int *ret) {
    int64_t id = 0;
    FakeJob *job;

    *ret = http_param_id(req, "id", &id, err);
    pthread_mutex_lock(&world.lock);
    job = fake_job(id);
    if (*ret == 0 && world.down)
        *ret = err_set(err, ERR_UNAVAILABLE, "down");
    else if (*ret == 0 && !job)
        *ret = err_set(err, ERR_NOT_FOUND, "no such job");
    else if (*ret == 0 && job->stale)
        *ret = answer_text(req, 409, "{\"error\":\"StaleAttempt\"}");
    else if (*ret == 0)
        return job;
    pthread_mutex_unlock(&world.lock);
    return NULL;
}

static inline int handle_log(HttpRequest *req, Err *err) {
    int64_t offset = 0;
    size_t len;
    const char *data = http_body(req, &len);
    char text[96];
    int r;
    FakeJob *job = begin(req, err, &r);

    if (!job)
        return r;
    r = http_query_i64(req, "offset", 0, INT64_MAX, &offset, err);
    if (r == 0 && offset > job->next) {
        snprintf(text, sizeof(text), "{\"error\":\"LogGap\",\"next\":%lld}", (long long)job->next);
        answer_text(req, 409, text);
    } else if (r == 0 && world.full) {
        answer_text(req, 507, "{\"error\":\"NoSpace\",\"message\":\"the disk is full\"}");
    } else if (r == 0) {
        int64_t skip = job->next - offset;

        if (skip < (int64_t)len) {
            if (job->log.len < (1 << 20))
                buf_add(&job->log, data + skip, len - (size_t)skip);
            job->next = offset + (int64_t)len;
        }
        pthread_cond_broadcast(&world.changed);
        snprintf(text, sizeof(text), "{\"next\":%lld}", (long long)job->next);
        answer_text(req, 200, text);
    }
    pthread_mutex_unlock(&world.lock);
    return r;
}

static inline int handle_report(HttpRequest *req, Err *err) {
    const char *state = "";
    int64_t log_size = 0;
    char text[96];
    size_t len;
    const char *data = http_body(req, &len);
    json_t *body = NULL;
    int r;
    FakeJob *job = begin(req, err, &r);

    if (!job)
        return r;
    r = http_body_json(req, false, &body, err);
    if (r == 0)
        r = json_get_str(body, "state", &state, err);
    if (r == 0)
        r = json_opt_i64(body, "log_size", &log_size, err);
    if (r == 0 && str_eq(state, "running")) {
        job->reports++;
        pthread_cond_broadcast(&world.changed);
        answer_text(req, 200, "{\"state\":\"running\",\"stop\":false}");
    } else if (r == 0 && log_size > job->next) {
        snprintf(text, sizeof(text), "{\"error\":\"LogGap\",\"next\":%lld}", (long long)job->next);
        answer_text(req, 409, text);
    } else if (r == 0 && world.no_room > 0) {
        world.no_room--;
        answer_text(req, 507, "{\"error\":\"NoSpace\",\"message\":\"the disk is full\"}");
    } else if (r == 0) {
        job->finals++;
        buf_clear(&job->report);
        buf_add(&job->report, data, len);
        pthread_cond_broadcast(&world.changed);
        answer_text(req, 200, "{\"state\":\"done\",\"stop\":false}");
    }
    pthread_mutex_unlock(&world.lock);
    return r;
}

static inline int handle_artifact(HttpRequest *req, Err *err) {
    const char *path = http_param(req, "path");
    size_t len;
    const char *data = http_body(req, &len);
    int r;
    FakeJob *job = begin(req, err, &r);

    if (!job)
        return r;
    if (!http_header(req, "X-Content-SHA256") || strlen(http_header(req, "X-Content-SHA256")) != 64)
        r = err_set(err, ERR_INVALID, "no hash");
    else {
        buf_addf(&job->artifacts, "%s %zu\n", path, len);
        if (str_ends(path, ".tar.zst"))
            buf_add(&job->release, data, len);
        answer_text(req, 201, "{}");
    }
    pthread_mutex_unlock(&world.lock);
    return r;
}

static const HttpRoute routes[] = {
    {.method = HTTP_POST, .path = "/api/runner/lease", .handle = handle_lease},
    {.method = HTTP_POST, .path = "/api/runner/jobs/{id}/log", .handle = handle_log, .max_body = 8 << 20},
    {.method = HTTP_PATCH, .path = "/api/runner/jobs/{id}", .handle = handle_report},
    {.method = HTTP_PUT,
     .path = "/api/runner/jobs/{id}/artifacts/{path*}",
     .handle = handle_artifact,
     .max_body = 64 << 20},
    {.path = NULL},
};

/* ---- the world ---- */

static inline void world_serve(const char *listen) {
    static const HttpRoute *const tables[] = {routes, NULL};
    HttpServerOptions options = {
        .listen = listen,
        .threads = 1,
        .max_body = 16 << 20,
        .idle_timeout_us = 60 * US_PER_S,
        .request_timeout_us = 60 * US_PER_S,
        .max_workers = 1,
        .tables = tables,
        .title = "fake",
        .version = "1",
    };
    Err err;

    must(http_server_start(&options, &world.server, &err), &err);
    snprintf(world.address, sizeof(world.address), "%s", http_server_address(world.server));
}

static inline void world_close_server(void) {
    if (world.server)
        http_server_stop(world.server, 0);
    world.server = NULL;
}

static inline void wake_lease(void) {
    if (world.waiter)
        http_waiter_wake(world.waiter);
}

/* The runner is this program again, so that it is the only thread of its process. */
static inline void world_start_runner(void) {
    char url[128];
    const char *argv[] = {"/proc/self/exe", "runner", url, world.dir, NULL};
    ProcOptions options = {.argv = argv};
    Err err;

    snprintf(url, sizeof(url), "http://%s", world.address);
    must(proc_start(&options, &world.runner, NULL, &err), &err);
}

static inline void world_end_runner(int sig) {
    int status;

    if (world.runner > 0) {
        kill(world.runner, sig);
        assert_int_equal(waitpid(world.runner, &status, 0), world.runner);
        if (sig == SIGTERM)
            assert_int_equal(status, 0);
    }
    world.runner = 0;
}

static inline int runner_program(int argc, char **argv) {
    static const char *const some[] = {"sandbox", "shell", NULL}, *const all[] = {"sandbox", "shell",
                                                                                  "docker", NULL};
    RunnerOptions options = {
        .server = argv[2],
        .token = TOKEN,
        .dir = argv[3],
        .slots = 4,
        .allow_shell = true,
        .executors = getenv("DOCKER_HOST") ? all : some, /* tests with an engine of their own say so */
        .version = "test",
        .cancel_grace_us = 300 * US_PER_MS,
    };

    Err err;

    if (argc < 4)
        return 2;
    return runner_main(&options, &err) < 0 ? 1 : 0;
}

static inline int world_setup(void **state) {
    memset(&world, 0, sizeof(world));
    pthread_mutex_init(&world.lock, NULL);
    pthread_cond_init(&world.changed, NULL);
    snprintf(world.dir, sizeof(world.dir), "/tmp/pelton-runner-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    assert_int_equal(chmod(world.dir, 0711), 0);
    world_serve("127.0.0.1:0");
    return 0;
}

/* Waits, with the lock held, until the condition holds. */
#define world_wait(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = clock_mono() + WAIT_S * US_PER_S;                                                   \
        struct timespec at_ = {.tv_sec = until_ / US_PER_S};                                                 \
        bool holds_;                                                                                         \
        pthread_mutex_lock(&world.lock);                                                                     \
        while (!(holds_ = (condition)))                                                                      \
            if (pthread_cond_clockwait(&world.changed, &world.lock, CLOCK_MONOTONIC, &at_) != 0)             \
                break;                                                                                       \
        pthread_mutex_unlock(&world.lock);                                                                   \
        if (!holds_)                                                                                         \
            fail_msg("waited in vain for: %s", #condition);                                                  \
    } while (0)

/* Waits for a state of files or processes, which tell nobody. */
#define world_until(condition)                                                                               \
    do {                                                                                                     \
        int64_t until_ = clock_mono() + WAIT_S * US_PER_S;                                                   \
        while (!(condition) && clock_mono() < until_)                                                        \
            poll(NULL, 0, 2);                                                                                \
        if (!(condition))                                                                                    \
            fail_msg("waited in vain for: %s", #condition);                                                  \
    } while (0)

/* The runner gets it next; takes the text. */
static inline int world_add(Buf *text) {
    int id;

    pthread_mutex_lock(&world.lock);
    world.jobs[world.count].text = TAKE_PTR(text->data);
    id = ++world.count;
    wake_lease();
    pthread_mutex_unlock(&world.lock);
    buf_done(text);
    return id;
}

/* A job of the shell executor that checks a commit out first. */
static inline int world_checkout_job(const char *url) {
    Buf text = BUF_INIT;

    buf_addf(
        &text,
        "{\"id\":%d,\"uuid\":\"u\",\"attempt\":1,\"lease\":30,\"build\":3,\"name\":\"test\","
        "\"project\":{\"id\":1,\"uuid\":\"p\",\"name\":\"hello\"},"
        "\"commit\":\"0123456789012345678901234567890123456789\",\"ref\":\"refs/heads/main\","
        "\"branch\":\"main\",\"event\":\"push\",\"env\":{},\"repository\":{\"url\":\"%s\",\"path\":null},"
        "\"spec\":{\"kind\":\"steps\",\"executor\":\"shell\",\"checkout\":true,\"steps\":[{\"name\":\"one\","
        "\"run\":\"true\"}]}}",
        world.count + 1, url);
    return world_add(&text);
}

/* steps: JSON of the array; more: further fields of the specification, each with a comma before it, or "". */
static inline int world_job(const char *executor, const char *steps, const char *more) {
    Buf text = BUF_INIT;

    buf_addf(&text,
             "{\"id\":%d,\"uuid\":\"u\",\"attempt\":1,\"lease\":30,\"build\":3,\"name\":\"test\","
             "\"project\":{\"id\":1,\"uuid\":\"p\",\"name\":\"hello\"},\"commit\":\"\",\"ref\":\"refs/heads/"
             "main\","
             "\"branch\":\"main\",\"event\":\"push\",\"env\":{\"FROM_JOB\":\"yes\"},"
             "\"spec\":{\"kind\":\"steps\",\"executor\":\"%s\",\"checkout\":false,\"steps\":%s%s}}",
             world.count + 1, executor, steps, more);
    return world_add(&text);
}

static inline FakeJob *world_finish(int id) {
    FakeJob *job = fake_job(id);

    world_wait(job->finals > 0);
    return job;
}

static inline void world_stop_job(int id, const char *reason) {
    FakeJob *job = &world.jobs[id - 1];

    pthread_mutex_lock(&world.lock);
    snprintf(job->stop_reason, sizeof(job->stop_reason), "%s", reason);
    job->stopping = true;
    wake_lease();
    pthread_mutex_unlock(&world.lock);
}

/* Whether nothing of a job is in it: no file with content, no folder with entries. */
static inline bool folder_empty(const char *name) {
    char path[512];
    struct dirent *entry;
    struct stat st;
    bool empty = true;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", world.dir, name);
    dir = opendir(path);
    while (dir && empty && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", world.dir, name, entry->d_name);
        empty = lstat(path, &st) < 0 || (S_ISDIR(st.st_mode) ? rmdir(path) == 0 : st.st_size == 0);
    }
    if (dir)
        closedir(dir);
    return empty;
}

/* Nothing of a finished job is left. */
static inline void world_clean(void) {
    world_until(folder_empty("jobs"));
    world_until(folder_empty("work"));
}

/* A runner that ends before its jobs do leaves the groups to the next one; there is none. */
static inline void remove_groups(void) {
    CgroupHost host;
    struct stat st;
    char name[64];

    assert_int_equal(stat(world.dir, &st), 0);
    snprintf(name, sizeof(name), "pelton-%llx-%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    cgroup_host_init(&host, name);
    cgroup_host_done(&host);
}

static inline int world_teardown(void **state) {
    Err err;

    world_clean();
    world_end_runner(SIGTERM);
    remove_groups();
    world_close_server();
    if (world.waiter)
        http_waiter_unref(world.waiter);
    for (int i = 0; i < world.count; i++) {
        free(world.jobs[i].text);
        buf_done(&world.jobs[i].log);
        buf_done(&world.jobs[i].report);
        buf_done(&world.jobs[i].artifacts);
        buf_done(&world.jobs[i].release);
    }
    must(file_remove_tree(world.dir, &err), &err);
    return 0;
}

static inline bool runs(const char *word) {
    const char *argv[] = {"pgrep", "-f", word, NULL};
    ProcOptions options = {.argv = argv};
    int status;
    Err err;

    must(proc_run(&options, NULL, 0, 4096, NULL, NULL, NULL, 0, &status, &err), &err);
    return status == 0;
}
