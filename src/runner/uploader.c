#include "runner/uploader.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "runner/report.h"
#include "runner/server.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define BATCH_MAX (INT64_C(2) << 20)
#define PUNCH_EVERY (INT64_C(16) << 20)
#define PUNCH_BEHIND (INT64_C(64) << 20) /* what a server that lost its last writes may ask for again */
#define LOOK_EVERY (INT64_C(1) << 20)    /* bytes between two looks at the disk */
#define SOON_US (6 * US_PER_MS)
#define REPORT_FIRST_US (50 * US_PER_MS)
#define REPORT_EVERY_US (10 * US_PER_S)
#define CALL_TIMEOUT_US (60 * US_PER_S)
#define THREAD_STACK ((size_t)256 * 1024)

struct Uploader {
    UploaderOptions o;
    char *server;
    HttpClient *client;
    int event_fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock: */
    unsigned events;
    int64_t size, sent, punched;
    int64_t looked; /* the size when the disk was looked at last */
    bool quit, aborted, full;
    char refusal[400];           /* why the server takes no more of the log; "": it does */
    char *report, *final;        /* malloc'ed text */
    int64_t report_due, log_due; /* not sent before */
    int64_t wakes_at;            /* the thread sleeps until then */
    Buf head;                    /* the whole log while spool_fd is -1 */
    int spool_fd;
    void (*fn)(void *arg);
    void *arg;
    /* the thread's own: */
    char *batch;
    size_t batch_size;
    ServerRetry retry;
};

static void raise_event(Uploader *u, UploaderEvent event) {
    u->events |= event;
    if (eventfd_write(u->event_fd, 1) < 0)
        log_error("runner", "job %lld: eventfd: errno %d", (long long)u->o.job, errno);
}

/* Waits until the time or a change; gives false when the thread shall end. */
static bool wait_until(Uploader *u, int64_t mono_us) {
    struct timespec at = {.tv_sec = mono_us / US_PER_S, .tv_nsec = mono_us % US_PER_S * 1000};

    if (!u->quit) {
        u->wakes_at = mono_us;
        pthread_cond_clockwait(&u->changed, &u->lock, CLOCK_MONOTONIC, &at);
        u->wakes_at = INT64_MIN;
    }
    return !u->quit;
}

/* After a failure: a pause that new log lines do not cut short. */
static void back_off(Uploader *u, const char *what, const Err *err) {
    int64_t until = clock_mono() + server_retry_pause(&u->retry);

    u->wakes_at = INT64_MIN;
    if (u->retry.failures == 1)
        log_warn("runner", "job %lld: %s: %s; trying again", (long long)u->o.job, what, err->msg);
    server_refresh(u->o.server_file, &u->server, u->o.token, &u->client);
    while (clock_mono() < until && !u->aborted && wait_until(u, until))
        ;
}

static bool is_stale(const HttpCall *call) {
    return call->status == 404 || call->status == 410 ||
           (call->status == 409 && str_eq(server_error_word(&call->answer), "StaleAttempt"));
}

/* The server's offset in {"next":N}; -1: none. */
static int64_t answer_next(const HttpCall *call) {
    _cleanup_json_ json_t *root = NULL;
    int64_t next = -1;
    Err err;

    if (json_read(buf_str(&call->answer), call->answer.len, &root, &err) < 0 ||
        json_opt_i64(root, "next", &next, &err) < 0)
        return -1;
    return next;
}

static bool answer_stop(const HttpCall *call) {
    _cleanup_json_ json_t *root = NULL;
    bool stop = false;
    Err err;

    return json_read(buf_str(&call->answer), call->answer.len, &root, &err) == 0 &&
           json_opt_bool(root, "stop", &stop, &err) == 0 && stop;
}

/* Gives the disk back what the server has: all of it where room is scarce. */
static void punch(Uploader *u) {
    bool low = u->spool_fd >= 0 && disk_is_low(u->o.disk);
    int64_t until = u->sent - (low ? 0 : PUNCH_BEHIND);

    if (u->spool_fd < 0 || until - u->punched < (low ? LOOK_EVERY : PUNCH_EVERY))
        return;
    if (fallocate(u->spool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, u->punched, until - u->punched) ==
        0)
        u->punched = until;
}

static void batch_reserve(Uploader *u, size_t len) {
    if (u->batch_size >= len)
        return;
    u->batch_size = len <= UPLOADER_SHORT ? len : (size_t)BATCH_MAX;
    free(u->batch);
    u->batch = malloc(u->batch_size);
    if (!u->batch)
        abort();
}

static int read_spool(Uploader *u, int64_t from, size_t len, Err *err) {
    size_t have = 0;
    ssize_t got;

    while (have < len) {
        got = pread(u->spool_fd, u->batch + have, len - have, from + (int64_t)have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_errno(err, "read the log's spool");
        have += (size_t)got;
    }
    return 0;
}

/* The lock is held before and after. */
static int read_batch(Uploader *u, int64_t from, size_t len, Err *err) {
    int r;

    batch_reserve(u, len);
    if (u->spool_fd < 0) {
        memcpy(u->batch, u->head.data + from, len);
        return 0;
    }
    pthread_mutex_unlock(&u->lock);
    r = read_spool(u, from, len, err);
    pthread_mutex_lock(&u->lock);
    return r;
}

/* Performs a call without the lock; the lock is held before and after. */
static int call_unlocked(Uploader *u, HttpCall *call, Err *err) {
    int r;

    pthread_mutex_unlock(&u->lock);
    r = u->client ? http_client_call(u->client, call, err) : err_set(err, ERR_UNAVAILABLE, "no server");
    /* 507: it has no room, and may have none for long: who asked decides */
    if (r == 0 && ((call->status >= 500 && call->status != 507) || call->status == 401 ||
                   call->status == 403 || call->status == 429 || call->status == 408))
        r = http_call_check(call, err);
    pthread_mutex_lock(&u->lock);
    return r;
}

/* No more of the log is sent: the job cannot end well any more. */
static void refuse(Uploader *u, const char *why) {
    if (u->refusal[0])
        return;
    log_warn("runner", "job %lld: no more of its log is kept: %s", (long long)u->o.job, why);
    snprintf(u->refusal, sizeof(u->refusal), "%s", why);
    raise_event(u, UPLOADER_REFUSED);
}

/* The server has the log up to there. */
static void go_back(Uploader *u, int64_t next) {
    u->sent = MIN(next, u->size);
    if (u->sent < u->punched)
        refuse(u, "the server has lost a part of it that is not here any more");
}

static void took_log(Uploader *u, const HttpCall *call, int64_t expected) {
    int64_t next = answer_next(call);
    Err err;

    if (call->status / 100 == 2)
        u->sent = next >= 0 ? MIN(next, u->size) : expected;
    else if (call->status == 409 && next >= 0)
        go_back(u, next);
    else if (http_call_check(call, &err) < 0)
        refuse(u, err.msg);
    punch(u);
    if (u->full && (u->size == u->sent || (u->size - u->sent < u->o.most / 2 && !disk_is_low(u->o.disk)))) {
        u->full = false;
        raise_event(u, UPLOADER_DRAINED);
    }
}

static void send_log(Uploader *u) {
    int64_t from = u->sent, len = MIN(u->size - from, BATCH_MAX);
    char path[128];
    HttpCall call = {
        .method = "POST",
        .path = path,
        .content_type = "application/octet-stream",
        .body_len = (size_t)len,
        .timeout_us = CALL_TIMEOUT_US,
    };
    Err err;
    int r;

    snprintf(path, sizeof(path), "/api/runner/jobs/%lld/log?attempt=%lld&offset=%lld", (long long)u->o.job,
             (long long)u->o.attempt, (long long)from);
    r = read_batch(u, from, (size_t)len, &err);
    if (r == 0) {
        call.body = u->batch;
        r = call_unlocked(u, &call, &err);
    }
    if (r < 0) {
        back_off(u, "send the log", &err);
    } else {
        u->retry.failures = 0;
        if (is_stale(&call)) {
            raise_event(u, UPLOADER_STALE);
            u->quit = true;
        } else {
            took_log(u, &call, from + len);
        }
    }
    buf_done(&call.answer);
}

static void took_report(Uploader *u, const HttpCall *call, bool final) {
    int64_t next;

    if (is_stale(call)) {
        raise_event(u, UPLOADER_STALE);
        u->quit = true;
    } else if (call->status / 100 == 2) {
        u->retry.failures = 0;
        if (final) {
            raise_event(u, UPLOADER_DELIVERED);
            u->quit = true;
        } else if (answer_stop(call)) {
            raise_event(u, UPLOADER_STOP);
        }
    } else if (final && call->status == 409 && (next = answer_next(call)) >= 0) {
        u->retry.failures = 0;
        go_back(u, next);
        if (next >= u->size) /* or it would be told the same for ever */
            refuse(u, "a part of it is lost on the runner");
    } else { /* no room for it, say */
        Err err = {0};

        if (http_call_check(call, &err) < 0)
            back_off(u, "report", &err);
    }
}

/* A copy: the main thread may hand over a newer one meanwhile. */
static char *report_text(Uploader *u, bool final) {
    char *text = strdup(final ? u->final : u->report);

    if (!text)
        abort();
    if (!u->refusal[0])
        return text;
    return report_cut(text, u->sent, u->refusal);
}

static void send_report(Uploader *u, bool final) {
    _cleanup_free_ char *text = report_text(u, final);
    char path[64];
    HttpCall call = {
        .method = "PATCH", .path = path, .content_type = "application/json", .timeout_us = CALL_TIMEOUT_US};
    Err err;

    u->report_due = clock_mono() + REPORT_EVERY_US;
    snprintf(path, sizeof(path), "/api/runner/jobs/%lld", (long long)u->o.job);
    call.body = text;
    call.body_len = strlen(text);
    if (call_unlocked(u, &call, &err) < 0)
        back_off(u, "report", &err);
    else
        took_report(u, &call, final);
    buf_done(&call.answer);
}

static void run_fn(Uploader *u) {
    void (*fn)(void *) = u->fn;

    pthread_mutex_unlock(&u->lock);
    fn(u->arg);
    pthread_mutex_lock(&u->lock);
    u->fn = NULL;
    raise_event(u, UPLOADER_RAN);
}

/* Log that nobody waits for may gather a little; all of it is sent before anything else is. */
static bool log_is_due(const Uploader *u) {
    return u->size > u->sent && !u->refusal[0] && (u->final || u->fn || clock_mono() >= u->log_due);
}

static int64_t next_due(const Uploader *u) {
    int64_t due = u->report_due;

    return u->size > u->sent && !u->refusal[0] ? MIN(due, u->log_due) : due;
}

static void *uploader_main(void *arg) {
    Uploader *u = arg;

    pthread_mutex_lock(&u->lock);
    while (!u->quit) {
        if (log_is_due(u))
            send_log(u);
        else if (u->final)
            send_report(u, true);
        else if (u->fn)
            run_fn(u);
        else if (clock_mono() >= u->report_due && u->report)
            send_report(u, false);
        else if (clock_mono() >= u->report_due)
            u->report_due = clock_mono() + REPORT_EVERY_US;
        else
            wait_until(u, next_due(u));
    }
    if (u->fn) /* never begun; nobody shall wait for it */
        raise_event(u, UPLOADER_RAN);
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

/* Small, and without the second guard page that glibc would add to its own: one of these starts with every
 * job. */
static int start_thread(Uploader *u, Err *err) {
    pthread_attr_t attr;
    int r;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    r = pthread_create(&u->thread, &attr, uploader_main, u);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        errno = r;
        return err_errno(err, "start a thread");
    }
    return 0;
}

int uploader_start(const UploaderOptions *o, Uploader **ret, Err *err) {
    Uploader *u = mem_new(NULL, Uploader);
    Err ignored;
    int r;

    u->o = *o;
    u->server = mem_strdup(u, o->server);
    u->size = o->size;
    u->sent = o->sent;
    u->wakes_at = INT64_MIN;
    u->log_due = clock_mono() + SOON_US;
    u->spool_fd = -1;
    if (o->spooled) {
        u->spool_fd = open(o->spool, O_RDWR | O_CLOEXEC);
        if (u->spool_fd < 0) {
            r = err_errno(err, "open %s", o->spool);
            talloc_free(u);
            return r;
        }
    } else if (o->log) {
        buf_add(&u->head, o->log, (size_t)o->size);
    }
    u->report_due = clock_mono() + REPORT_FIRST_US;
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    u->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->event_fd < 0) {
        r = err_errno(err, "eventfd");
        talloc_free(u);
        return r;
    }
    if (http_client_new(u, u->server, o->token, &u->client, &ignored) < 0)
        u->client = NULL; /* found again by server_refresh */
    r = start_thread(u, err);
    if (r < 0) {
        close(u->event_fd);
        talloc_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

int uploader_fd(const Uploader *u) {
    return u->event_fd;
}

unsigned uploader_events(Uploader *u) {
    eventfd_t count;
    unsigned events;

    if (eventfd_read(u->event_fd, &count) < 0)
        return 0;
    pthread_mutex_lock(&u->lock);
    events = u->events;
    u->events = 0;
    pthread_mutex_unlock(&u->lock);
    return events;
}

/* All or nothing. */
static int write_at(int fd, const char *data, size_t len, int64_t at, Err *err) {
    size_t done = 0;
    int r = 0;

    while (done < len && r == 0) {
        ssize_t n = pwrite(fd, data + done, len - done, at + (int64_t)done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            r = err_errno(err, "write");
    }
    if (r < 0 && ftruncate(fd, at) < 0)
        log_warn("runner", "cannot cut a spool back to %lld bytes: errno %d", (long long)at, errno);
    return r;
}

/* The log has become long: all of it goes to the file, and what follows. */
static int spill(Uploader *u, Err *err) {
    _cleanup_close_ int fd = open(u->o.spool, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return err_errno(err, "create");
    r = write_at(fd, u->head.data, u->head.len, 0, err);
    if (r < 0) {
        unlink(u->o.spool);
        return r;
    }
    pthread_mutex_lock(&u->lock);
    u->spool_fd = TAKE_FD(fd);
    buf_done(&u->head);
    pthread_mutex_unlock(&u->lock);
    return 0;
}

static bool is_refused(Uploader *u) {
    bool refused;

    pthread_mutex_lock(&u->lock);
    refused = u->refusal[0] != '\0';
    pthread_mutex_unlock(&u->lock);
    return refused;
}

static int no_spool(const Uploader *u, Err *err) {
    if (err->code != ERR_NO_SPACE || !u->o.disk->whose)
        return err_wrap(err, "write the log's spool %s", u->o.spool);
    return err_set(err, ERR_NO_SPACE, "%s is full: write the log's spool %s", u->o.disk->whose, u->o.spool);
}

/* The spool takes no more than the disk can spare, as long as there is hope that the server takes it. With
 * the lock. */
static bool too_far_behind(Uploader *u) {
    int64_t behind = u->size - u->sent;

    if (behind > u->o.most)
        return true;
    if (behind < BATCH_MAX || u->size - u->looked < LOOK_EVERY)
        return false;
    u->looked = u->size;
    return disk_is_low(u->o.disk);
}

/* Only the main thread appends, so what it reads of head, spool_fd and size needs no lock. */
static int append(Uploader *u, const void *data, size_t len, int64_t due, Err *err) {
    bool memory = u->spool_fd < 0 && u->head.len + len <= UPLOADER_SHORT;
    int r = 0;

    if (is_refused(u))
        return 0;
    if (!memory && u->spool_fd < 0)
        r = spill(u, err);
    if (!memory && r == 0) {
        r = write_at(u->spool_fd, data, len, u->size, err);
    }
    if (r < 0)
        return no_spool(u, err);
    pthread_mutex_lock(&u->lock);
    if (memory)
        buf_add(&u->head, data, len);
    u->log_due = u->size == u->sent ? due : MIN(due, u->log_due);
    u->size += (int64_t)len;
    if (too_far_behind(u))
        u->full = true;
    if (u->wakes_at > due)
        pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
    return 0;
}

int uploader_write(Uploader *u, const void *data, size_t len, Err *err) {
    return append(u, data, len, 0, err);
}

int uploader_write_soon(Uploader *u, const void *data, size_t len, Err *err) {
    return append(u, data, len, clock_mono() + SOON_US, err);
}

const char *uploader_short_log(const Uploader *u) {
    return u->spool_fd < 0 ? buf_str(&u->head) : NULL;
}

int64_t uploader_size(const Uploader *u) {
    return u->size; /* only the main thread changes it */
}

const char *uploader_refusal(Uploader *u) {
    const char *refusal;

    pthread_mutex_lock(&u->lock);
    refusal = u->refusal[0] ? u->refusal : ""; /* it is written once */
    pthread_mutex_unlock(&u->lock);
    return refusal;
}

bool uploader_full(Uploader *u) {
    bool full;

    pthread_mutex_lock(&u->lock);
    full = u->full && !u->refusal[0];
    pthread_mutex_unlock(&u->lock);
    return full;
}

static void set_text(char **place, const char *text, size_t len) {
    char *copy = strndup(text, len);

    if (!copy)
        abort();
    free(*place);
    *place = copy;
}

/* The thread need not wake before the report is due. */
void uploader_report(Uploader *u, const char *report, size_t len) {
    int64_t soon = clock_mono() + REPORT_FIRST_US;

    pthread_mutex_lock(&u->lock);
    set_text(&u->report, report, len);
    u->report_due = MIN(u->report_due, soon);
    if (u->wakes_at > u->report_due)
        pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void uploader_finish(Uploader *u, const char *report, size_t len) {
    pthread_mutex_lock(&u->lock);
    set_text(&u->final, report, len);
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void uploader_run(Uploader *u, void (*fn)(void *arg), void *arg) {
    pthread_mutex_lock(&u->lock);
    assert(!u->fn);
    u->fn = fn;
    u->arg = arg;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

int uploader_call(Uploader *u, HttpCall *call, int (*rewind)(void *arg, Err *err), Err *err) {
    int r, again;

    pthread_mutex_lock(&u->lock);
    for (;;) {
        if (u->quit || u->aborted) {
            r = err_set(err, ERR_CANCELLED, "asked to stop");
            break;
        }
        r = call_unlocked(u, call, err);
        if (r == 0) {
            u->retry.failures = 0;
            if (call->status == 409 && is_stale(call)) {
                raise_event(u, UPLOADER_STALE);
                u->quit = true;
            }
            break;
        }
        if (u->quit || u->aborted)
            continue;
        buf_clear(&call->answer);
        again = rewind ? rewind(call->arg, err) : 0;
        if (again < 0) {
            r = again;
            break;
        }
        back_off(u, call->path, err);
        if (again > 0 && !u->quit && !u->aborted)
            break;
    }
    pthread_mutex_unlock(&u->lock);
    return r;
}

int uploader_go_on(Uploader *u, Err *err) {
    bool end;

    pthread_mutex_lock(&u->lock);
    end = u->quit || u->aborted;
    pthread_mutex_unlock(&u->lock);
    return end ? err_set(err, ERR_CANCELLED, "asked to stop") : 0;
}

void uploader_abort(Uploader *u, bool on) {
    pthread_mutex_lock(&u->lock);
    u->aborted = on;
    if (on && u->fn && u->client)
        http_client_interrupt(u->client);
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void uploader_stop(Uploader *u) {
    pthread_mutex_lock(&u->lock);
    if (!u->quit && u->client)
        http_client_interrupt(u->client);
    u->quit = true;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
    pthread_join(u->thread, NULL);
    close(u->event_fd);
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->changed);
    if (u->spool_fd >= 0)
        mem_close(u->spool_fd);
    buf_done(&u->head);
    free(u->report);
    free(u->final);
    free(u->batch);
    talloc_free(u);
}
