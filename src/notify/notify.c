#include "notify/notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "http/client.h"
#include "notify/message.h"
#include "secret/ring.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define BATCH 50
#define LANES_MAX 16 /* threads, each only as long as something is due; of more lanes each has its turn */
#define TIMEOUT_US (10 * US_PER_S)
#define ANSWER_MAX ((size_t)64 * 1024)

/* Between attempts; after the last one it has failed. */
static const int64_t pauses[] = {2 * US_PER_S, 15 * US_PER_S, 120 * US_PER_S, 900 * US_PER_S,
                                 3600 * US_PER_S};

/* What is due in one, by a thread of its own: a receiver that hangs holds up what its own project says in
 * that way, and nobody else's. */
typedef struct Lane Lane;
struct Lane {
    Notify *n;
    Lane *next;
    NoticeLane of;
    pthread_t thread;
    HttpClient *client; /* of the call that runs */
    bool through;       /* to be joined */
};

struct Notify {
    Builds *b;
    NotifyOptions options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, look;
    Lane *lanes;
    size_t lane_count;
    int64_t turn_project; /* the lane that was opened last */
    char turn_kind[32];
    BusSubscription *on_notice;
};

typedef struct Call {
    Notify *n;
    Lane *lane;
    const void *mem;
    const Notice *notice;
    json_t *config;
    Subject subject;
} Call;

static const char *setting(const Call *c, const char *key) {
    const char *text = json_string_value(json_object_get(c->config, key));

    return text ? text : "";
}

/* ---- who may be called ---- */

static bool in_list(const char *const *list, const char *text) {
    for (; list && *list; list++)
        if (strcasecmp(*list, text) == 0)
            return true;
    return false;
}

/* A pipeline's author must not make the server call itself, or what only it can reach. */
static bool allow(const void *arg, const struct sockaddr *address) {
    const Notify *n = arg;
    char text[INET6_ADDRSTRLEN] = "";
    const void *bytes = address->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

    return http_address_is_outside(address) ||
           (inet_ntop(address->sa_family, bytes, text, sizeof(text)) && in_list(n->options.allow, text));
}

/* "https://host:port" of an address, and what comes behind it. */
static int split_url(const char *url, const void *mem, const char **ret_base, const char **ret_path,
                     Err *err) {
    size_t len;

    if (!str_is_web_url(url))
        return err_set(err, ERR_INVALID, "\"%.80s\" is no http:// or https:// address", url);
    len = (size_t)(strstr(url, "://") + 3 - url);
    len += strcspn(url + len, "/?#");
    *ret_base = mem_strndup(mem, url, len);
    *ret_path = url[len] == '/' ? url + len : mem_printf(mem, "/%s", url + len);
    return 0;
}

/* ---- calls ---- */

/* What will not be better another time. */
static bool is_final(const HttpCall *call) {
    return call->status >= 400 && call->status < 500 && call->status != 408 && call->status != 429;
}

static void note_client(Lane *lane, HttpClient *client) {
    pthread_mutex_lock(&lane->n->lock);
    lane->client = client;
    if (client && lane->n->stop)
        http_client_interrupt(client);
    pthread_mutex_unlock(&lane->n->lock);
}

/* *ret_final: it need not be tried again. */
static int post(Call *c, const char *url, const char *token, const Buf *body, Buf *answer, bool *ret_final,
                Err *err) {
    static const char *const headers[] = {"User-Agent: pelton", "Accept: application/json", NULL};
    HttpCall call = {.method = "POST",
                     .content_type = "application/json",
                     .body = body->data,
                     .body_len = body->len,
                     .headers = headers,
                     .timeout_us = TIMEOUT_US,
                     .max_answer = ANSWER_MAX};
    const char *base;
    HttpClient *client;
    int r = split_url(url, c->mem, &base, &call.path, err);

    if (r >= 0)
        r = http_client_new(c->mem, base, str_empty(token) ? NULL : token, &client, err);
    if (r < 0) {
        *ret_final = true;
        return r;
    }
    http_client_guard(client, (HttpGuard){allow, c->n});
    note_client(c->lane, client);
    r = http_client_call(client, &call, err);
    note_client(c->lane, NULL);
    if (r >= 0)
        r = http_call_check(&call, err);
    *ret_final = r == -ERR_FORBIDDEN || is_final(&call);
    if (answer)
        buf_add(answer, call.answer.data, call.answer.len);
    buf_done(&call.answer);
    talloc_free(client);
    return r;
}

static int send_email(Call *c, bool *ret_final, Err *err) {
    const MailServer *server = &c->n->options.mail;
    Mail mail = {.to = setting(c, "email"),
                 .subject = message_line(&c->subject, c->mem),
                 .text = message_text(&c->subject, c->mem),
                 .id = mem_printf(c->mem, "%s.%" PRId64, c->subject.build->uuid, c->notice->id)};
    int r;

    *ret_final = true;
    if (str_empty(server->url))
        return err_set(err, ERR_UNSUPPORTED, "this server sends no mail: its setting smtp is missing");
    r = mail_send(server, &mail, TIMEOUT_US, err);
    *ret_final = r == -ERR_INVALID || r == -ERR_FORBIDDEN || r == -ERR_UNSUPPORTED;
    return r;
}

/* Slack answers 200 whatever happened. */
static int check_slack(const Buf *answer, bool *ret_final, Err *err) {
    _cleanup_json_ json_t *body = NULL;
    Err why;

    if (json_read(answer->len ? answer->data : "", answer->len, &body, &why) < 0)
        return err_set(err, ERR_IO, "Slack's answer is no JSON");
    if (json_is_true(json_object_get(body, "ok")))
        return 0;
    *ret_final = true;
    why.msg[0] = '\0';
    return err_set(err, ERR_FORBIDDEN, "Slack: %.100s",
                   json_string_value(json_object_get(body, "error"))
                       ? json_string_value(json_object_get(body, "error"))
                       : "refused");
}

static int send_slack(Call *c, bool *ret_final, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT, answer = BUF_INIT;
    const char *url = setting(c, "webhook_url"), *channel = setting(c, "slack_channel");
    int r;

    message_chat(&c->subject, *channel ? channel : NULL, &body);
    if (*url)
        return post(c, url, NULL, &body, NULL, ret_final, err);
    r = post(c, "https://slack.com/api/chat.postMessage", setting(c, "slack_token"), &body, &answer,
             ret_final, err);
    return r < 0 ? r : check_slack(&answer, ret_final, err);
}

static int send_webhook(Call *c, bool *ret_final, Err *err) {
    const char *url = setting(c, "webhook_url");
    _cleanup_buf_ Buf body = BUF_INIT;

    if (str_after(url, "https://hooks.slack.com/"))
        message_chat(&c->subject, NULL, &body);
    else
        message_json(&c->subject, &body);
    return post(c, url, NULL, &body, NULL, ret_final, err);
}

static int send_status(Call *c, bool *ret_final, Err *err) {
    const Execution *e = c->subject.execution;
    const char *repository = setting(c, "repository"), *commit = c->subject.build->commit;
    const char *api = setting(c, "github_api_url"), *slash;
    _cleanup_buf_ Buf body = BUF_INIT;

    if (!*repository && e)
        repository = e->repository;
    if (str_empty(commit) && e)
        commit = e->commit;
    slash = strchr(repository, '/');
    *ret_final = true;
    if (!slash || str_empty(commit))
        return err_set(err, ERR_INVALID,
                       "no status: it is not known which commit of which OWNER/NAME was built");
    if (!*setting(c, "github_token"))
        return err_set(err, ERR_INVALID, "no status: GITHUB_TOKEN is missing in the pipeline's environment");
    message_status(&c->subject, &body);
    return post(c,
                mem_printf(c->mem, "%s/repos/%s/statuses/%s", *api ? api : "https://api.github.com",
                           str_url_encode(c->mem, repository, true), str_url_encode(c->mem, commit, false)),
                setting(c, "github_token"), &body, NULL, ret_final, err);
}

/* No message: what the stages left for each other is not needed any more. */
static int remove_workspaces(Call *c, bool *ret_final, Err *err) {
    *ret_final = false;
    return build_workspaces_remove(c->n->b, c->notice->build_id, err);
}

static const struct {
    const char *kind;
    int (*send)(Call *c, bool *ret_final, Err *err);
} kinds[] = {
    {"email", send_email},
    {"slack", send_slack},
    {"webhook", send_webhook},
    {"status", send_status},
    {"workspace", remove_workspaces},
};

/* ---- the outbox ---- */

static int load(Call *c, Err *err) {
    Builds *b = c->n->b;
    char *config;
    Build *build;
    Execution *execution;
    int r = store_build_load(b->db, c->notice->build_id, c->mem, &build, err);

    if (r >= 0)
        r = secret_unseal(b->ring, c->mem, NOTICE_PLACE, c->notice->config, &config, err);
    if (r >= 0)
        r = json_read(config, strlen(config), &c->config, err);
    if (r < 0)
        return r;
    c->subject = (Subject){.build = build,
                           .moment = c->notice->moment,
                           .url = mem_printf(c->mem, "%s/builds/%" PRId64, c->n->options.url, build->id)};
    r = store_execution_of_build(b->db, build->id, c->mem, &execution, err);
    if (r >= 0)
        c->subject.execution = execution;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static int try(Call *c, bool *ret_final, Err *err) {
    int r = load(c, err);

    *ret_final = true;
    for (size_t i = 0; r >= 0 && i < ELEMENTS(kinds); i++)
        if (str_eq(kinds[i].kind, c->notice->kind))
            return kinds[i].send(c, ret_final, err);
    return r;
}

static int settle(Notify *n, const Notice *notice, const char *state, const char *error, int64_t due,
                  Err *err) {
    int r = db_begin(n->b->db, err);

    if (r < 0)
        return r;
    r = store_notice_set(n->b->db, notice->id, state, error, due, clock_now(), err);
    if (r >= 0)
        r = db_commit(n->b->db, err);
    db_rollback(n->b->db);
    return r;
}

static int work_off(Lane *lane, const Notice *notice, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Notify *n = lane->n;
    Call call = {.n = n, .lane = lane, .mem = mem, .notice = notice};
    bool final = false;
    Err why;
    int r = try(&call, &final, &why);

    json_decref(call.config);
    if (r == -ERR_CANCELLED) /* we are to stop: another time */
        return 0;
    if (r >= 0)
        return settle(n, notice, "sent", "", 0, err);
    if (!final && notice->attempts < (int64_t)ELEMENTS(pauses))
        return settle(n, notice, "due", why.msg, clock_now() + pauses[notice->attempts], err);
    log_warn("notify", "build %" PRId64 ": %s: %s", notice->build_id, notice->kind, why.msg);
    return settle(n, notice, "failed", why.msg, 0, err);
}

static bool stopping(Notify *n) {
    bool stop;

    pthread_mutex_lock(&n->lock);
    stop = n->stop;
    pthread_mutex_unlock(&n->lock);
    return stop;
}

/* Whether others may wait for a thread. */
static bool is_crowded(Notify *n) {
    bool crowded;

    pthread_mutex_lock(&n->lock);
    crowded = n->lane_count >= LANES_MAX;
    pthread_mutex_unlock(&n->lock);
    return crowded;
}

/* *ret_more: there may be more that is due, and nobody waits for this thread. */
static int work_off_some(Lane *lane, bool *ret_more, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    size_t count = 0;
    Notice *due;
    int r = store_notices_due(lane->n->b->db, &lane->of, clock_now(), BATCH, mem, &due, &count, err);

    *ret_more = count > 0;
    for (size_t i = 0; r >= 0 && i < count && *ret_more && !stopping(lane->n); i++) {
        r = work_off(lane, &due[i], err);
        *ret_more = !is_crowded(lane->n);
    }
    return r;
}

/* Under the lock: until `until` of the wall clock (0: for ever), or until somebody has something for us. */
static void rest(Notify *n, int64_t until) {
    struct timespec time = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};

    if (until)
        pthread_cond_timedwait(&n->changed, &n->lock, &time);
    else
        pthread_cond_wait(&n->changed, &n->lock);
}

static void log_and_pause(Notify *n, const Err *err) {
    int64_t until = clock_now() + US_PER_S;

    log_err("notify", "the outbox", err);
    pthread_mutex_lock(&n->lock);
    while (!n->stop && clock_now() < until)
        rest(n, until);
    pthread_mutex_unlock(&n->lock);
}

static void wake(void *arg, int64_t key) {
    Notify *n = arg;

    pthread_mutex_lock(&n->lock);
    n->look = true;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

static void *run_lane(void *arg) {
    Lane *lane = arg;
    bool more = true;
    Err err;

    while (more && !stopping(lane->n))
        if (work_off_some(lane, &more, &err) < 0)
            log_and_pause(lane->n, &err);
    pthread_mutex_lock(&lane->n->lock);
    lane->through = true;
    pthread_mutex_unlock(&lane->n->lock);
    wake(lane->n, 0);
    return NULL;
}

/* ---- the thread that sees to it that each lane with something due has one ---- */

static bool is_open(const Notify *n, const NoticeLane *lane) {
    for (const Lane *l = n->lanes; l; l = l->next)
        if (l->of.project_id == lane->project_id && str_eq(l->of.kind, lane->kind))
            return true;
    return false;
}

static int open_lane(Notify *n, const NoticeLane *of, Err *err) {
    Lane *lane = mem_new(n, Lane);
    int r;

    *lane = (Lane){.n = n, .of = {of->project_id, mem_strdup(lane, of->kind)}};
    r = pthread_create(&lane->thread, NULL, run_lane, lane);
    if (r != 0) {
        talloc_free(lane);
        return err_set(err, ERR_UNAVAILABLE, "start a thread that notifies: error %d", r);
    }
    pthread_mutex_lock(&n->lock);
    lane->next = n->lanes;
    n->lanes = lane;
    n->lane_count++;
    pthread_mutex_unlock(&n->lock);
    return 0;
}

/* The first one whose thread is through, or any when all are asked for; out of the list. */
static Lane *take_lane(Notify *n, bool any) {
    Lane *lane, **at;

    pthread_mutex_lock(&n->lock);
    for (at = &n->lanes; *at && !any && !(*at)->through; at = &(*at)->next)
        ;
    lane = *at;
    if (lane) {
        *at = lane->next;
        n->lane_count--;
    }
    pthread_mutex_unlock(&n->lock);
    return lane;
}

static void close_lanes(Notify *n, bool all) {
    Lane *lane;

    while ((lane = take_lane(n, all))) {
        pthread_join(lane->thread, NULL);
        talloc_free(lane);
    }
}

/* In the order of store_notice_lanes. */
static bool comes_after_turn(const Notify *n, const NoticeLane *lane) {
    return lane->project_id != n->turn_project ? lane->project_id > n->turn_project
                                               : strcmp(lane->kind, n->turn_kind) > 0;
}

/* From the one behind that which was opened last, so that none is opened again and again before others. */
static int open_lanes(Notify *n, const NoticeLane *lanes, size_t count, Err *err) {
    size_t begin = 0;
    int r = 0;

    while (begin < count && !comes_after_turn(n, &lanes[begin]))
        begin++;
    for (size_t i = 0; r >= 0 && i < count && n->lane_count < LANES_MAX; i++) {
        const NoticeLane *lane = &lanes[(begin + i) % count];

        if (is_open(n, lane))
            continue;
        r = open_lane(n, lane, err);
        n->turn_project = lane->project_id;
        snprintf(n->turn_kind, sizeof(n->turn_kind), "%s", lane->kind);
    }
    return r;
}

/* The wall clock time of the next look; 0: when somebody wakes us, as a lane does that is through. */
static int64_t look(Notify *n) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    int64_t now = clock_now(), next = 0;
    size_t count = 0;
    NoticeLane *lanes;
    Err err;
    int r = store_notice_lanes(n->b->db, now, mem, &lanes, &count, &err);

    if (r >= 0)
        r = open_lanes(n, lanes, count, &err);
    if (r >= 0)
        r = store_notices_next(n->b->db, now, &next, &err);
    if (r < 0) {
        log_err("notify", "the outbox", &err);
        return clock_now() + US_PER_S;
    }
    return next;
}

static void *run(void *arg) {
    Notify *n = arg;

    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        int64_t next;

        n->look = false;
        pthread_mutex_unlock(&n->lock);
        close_lanes(n, false);
        next = look(n);
        pthread_mutex_lock(&n->lock);
        while (!n->stop && !n->look && (next == 0 || next > clock_now()))
            rest(n, next);
    }
    pthread_mutex_unlock(&n->lock);
    close_lanes(n, true);
    return NULL;
}

int notify_start(Builds *b, const NotifyOptions *options, Notify **ret, Err *err) {
    Notify *n = mem_new(NULL, Notify);
    int r;

    n->b = b;
    n->options = *options;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    n->on_notice = bus_subscribe(b->bus, BUS_NOTICE, 0, wake, n);
    r = pthread_create(&n->thread, NULL, run, n);
    if (r != 0) {
        bus_unsubscribe(n->on_notice);
        talloc_free(n);
        return err_set(err, ERR_UNAVAILABLE, "start the thread that notifies: error %d", r);
    }
    *ret = n;
    return 0;
}

void notify_stop(Notify *n) {
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    for (Lane *lane = n->lanes; lane; lane = lane->next)
        if (lane->client)
            http_client_interrupt(lane->client);
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    bus_unsubscribe(n->on_notice);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
    talloc_free(n);
}
