#include "runner/lease.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runner/server.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

/* A server that is back counts the leases of all that runs here from then on. */
#define PAUSE_MAX_US US_PER_S
#define ANSWER_MAX ((size_t)256 << 20) /* a job's specification may have 64 MiB, before it is escaped */
#define CALL_TIMEOUT_US ((LEASE_WAIT_S + 10) * US_PER_S)

struct Lease {
    const RunnerHost *host;
    char *server;
    HttpClient *client;
    void (*body)(void *arg, int64_t wait_s, Buf *out);
    void *arg;
    int64_t wait_s;
    int event_fd;
    sem_t go_on;
    pthread_t thread;
    Buf answer;
    ServerRetry retry;
    atomic_bool quit;
    pthread_mutex_t lock; /* of client, against lease_stop's interrupt */
    pthread_cond_t pause;
};

/* Waits before another try; an end cuts it short. */
static void back_off(Lease *l, const Err *err) {
    int64_t until = clock_mono() + server_retry_pause(&l->retry);
    struct timespec at = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};

    if (l->retry.failures == 1)
        log_warn("runner", "lease: %s; trying again%s", err->msg,
                 err->code == ERR_UNAUTHORIZED
                     ? ". If this runner was removed: end it, remove the file token of "
                       "its folder, and start it with a registration token"
                     : "");
    pthread_mutex_lock(&l->lock);
    server_refresh(l->host->o.server_file, &l->server, l->host->token, &l->client);
    while (!l->quit && clock_mono() < until)
        pthread_cond_clockwait(&l->pause, &l->lock, CLOCK_MONOTONIC, &at);
    pthread_mutex_unlock(&l->lock);
}

static int call_server(Lease *l, Buf *ret_answer, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    HttpCall call = {
        .method = "POST",
        .path = "/api/runner/lease",
        .content_type = "application/json",
        .timeout_us = CALL_TIMEOUT_US,
        .max_answer = ANSWER_MAX,
    };
    int r;

    l->body(l->arg, l->wait_s, &body);
    call.body = body.data;
    call.body_len = body.len;
    r = l->client ? http_client_call(l->client, &call, err) : err_set(err, ERR_UNAVAILABLE, "no server");
    if (r == 0)
        r = http_call_check(&call, err);
    if (r == 0)
        *ret_answer = call.answer;
    else
        buf_done(&call.answer);
    return r;
}

/* A proxy before the server has less patience than we ask of it (504): that is no failure, and we ask for
 * less. */
static bool ask_for_less(Lease *l, int64_t began, const Err *err) {
    int64_t patience_s = (clock_mono() - began) / US_PER_S;

    if (err->code != ERR_TIMEOUT || err->sys != 504 || l->wait_s <= 1 || patience_s < 1 ||
        patience_s > l->wait_s)
        return false;
    l->wait_s = MAX(MIN(l->wait_s, patience_s) / 2, INT64_C(1));
    log_info("runner",
             "a proxy before the server waits for no more than %lld s: calls are held for %lld s now",
             (long long)patience_s, (long long)l->wait_s);
    return true;
}

static void *lease_main(void *arg) {
    Lease *l = arg;
    Err err;

    while (!l->quit) {
        int64_t began = clock_mono();

        if (call_server(l, &l->answer, &err) < 0) {
            if (!l->quit && !ask_for_less(l, began, &err))
                back_off(l, &err);
            continue;
        }
        if (l->retry.failures > 0)
            log_info("runner", "the server is back");
        l->retry.failures = 0;
        if (eventfd_write(l->event_fd, 1) < 0)
            log_error("runner", "eventfd: errno %d", errno);
        while (sem_wait(&l->go_on) < 0 && errno == EINTR)
            ;
        buf_done(&l->answer);
    }
    return NULL;
}

static void lease_free(Lease *l) {
    if (l->event_fd >= 0)
        mem_close(l->event_fd);
    sem_destroy(&l->go_on);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->pause);
    talloc_free(l);
}

int lease_start(const RunnerHost *host, void (*body)(void *arg, int64_t wait_s, Buf *out), void *arg,
                Lease **ret, Err *err) {
    Lease *l = mem_new(NULL, Lease);
    int r;

    l->host = host;
    l->body = body;
    l->arg = arg;
    l->wait_s = LEASE_WAIT_S;
    l->server = mem_strdup(l, host->o.server);
    l->retry.longest_us = PAUSE_MAX_US;
    sem_init(&l->go_on, 0, 0);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->pause, NULL);
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = l->event_fd < 0 ? err_errno(err, "eventfd")
                        : http_client_new(l, l->server, host->token, &l->client, err);
    if (r == 0) {
        r = -pthread_create(&l->thread, NULL, lease_main, l);
        if (r < 0) {
            errno = -r;
            r = err_errno(err, "start a thread");
        }
    }
    if (r < 0) {
        lease_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

int lease_fd(const Lease *l) {
    return l->event_fd;
}

const Buf *lease_answer(Lease *l) {
    eventfd_t count;

    return eventfd_read(l->event_fd, &count) < 0 ? NULL : &l->answer;
}

const char *lease_server(const Lease *l) {
    return l->server;
}

void lease_go_on(Lease *l) {
    sem_post(&l->go_on);
}

void lease_stop(Lease *l) {
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    if (l->client)
        http_client_interrupt(l->client);
    pthread_cond_signal(&l->pause);
    pthread_mutex_unlock(&l->lock);
    sem_post(&l->go_on);
    pthread_join(l->thread, NULL);
    buf_done(&l->answer);
    lease_free(l);
}
