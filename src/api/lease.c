/* The runner protocol's first half: register, lease, heartbeat (docs/runner-protocol.md). */
#include "api/render.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include <inttypes.h>

#define MAX_SLOTS 1024
#define MAX_LABELS 100
#define MAX_RUNNING 4096
#define MAX_WAIT 60 /* seconds */
/* A row is not written for every call. */
#define SEEN_EVERY_US (10 * US_PER_S)

typedef struct LeaseCall {
    Runner runner;
    const char **executors; /* NULL-terminated */
    const char **labels;    /* "key=value", NULL-terminated */
    int64_t wait;           /* seconds */
    Attempt *running;
    size_t running_count;
} LeaseCall;

static int read_executors(json_t *body, const void *mem, LeaseCall *call, Err *err) {
    json_t *list = NULL, *item;
    size_t i;
    int r = json_opt_array(body, "executors", &list, err);

    if (r < 0)
        return r;
    if (!list || json_array_size(list) > 16)
        return err_set(err, ERR_INVALID, "field \"executors\": expected a list of at most 16 names");
    call->executors = mem_array(mem, const char *, json_array_size(list) + 1);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return err_set(err, ERR_INVALID, "field \"executors[%zu]\": expected a string", i);
        /* the server's own: no runner may have it */
        if (str_eq(json_string_value(item), "deploy"))
            return err_set(err, ERR_INVALID, "field \"executors[%zu]\": 'deploy' is not for runners", i);
        call->executors[i] = json_string_value(item);
    }
    return 0;
}

static int read_running(json_t *body, const void *mem, LeaseCall *call, Err *err) {
    json_t *list = NULL, *item;
    size_t i;
    int r = json_opt_array(body, "running", &list, err);

    if (r < 0)
        return r;
    if (json_array_size(list) > MAX_RUNNING)
        return err_set(err, ERR_INVALID, "field \"running\": more than %d attempts", MAX_RUNNING);
    call->running = mem_array(mem, Attempt, json_array_size(list) + 1);
    json_array_foreach (list, i, item) {
        r = json_get_i64(item, "job", &call->running[i].job, err);
        if (r >= 0)
            r = json_get_i64(item, "attempt", &call->running[i].attempt, err);
        if (r >= 0)
            r = json_opt_str(item, "told", &call->running[i].told, err);
        if (r < 0)
            return err_wrap(err, "field \"running[%zu]\"", i);
    }
    call->running_count = json_array_size(list);
    return 0;
}

static const char *json_text(json_t *value, const char *fallback, const void *mem) {
    _cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    return mem_strdup(mem, text ? text : fallback);
}

static int read_labels(json_t *body, const void *mem, LeaseCall *call, Err *err) {
    json_t *labels = NULL, *value;
    const char *key;
    size_t count = 0;
    int r = json_opt_object(body, "labels", &labels, err);

    if (r < 0)
        return r;
    if (json_object_size(labels) > MAX_LABELS)
        return err_set(err, ERR_INVALID, "field \"labels\": more than %d", MAX_LABELS);
    call->labels = mem_array(mem, const char *, json_object_size(labels) + 1);
    json_object_foreach (labels, key, value) {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "field \"labels.%s\": expected a string", key);
        call->labels[count++] = mem_printf(mem, "%s=%s", key, json_string_value(value));
    }
    call->runner.labels = json_text(labels, "{}", mem);
    return 0;
}

static int read_capacity(json_t *body, Runner *runner, Err *err) {
    const struct {
        const char *key;
        int64_t *value;
    } fields[] = {{"cpu", &runner->cpu}, {"memory", &runner->memory}, {"disk", &runner->disk}};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS(fields); i++)
        r = json_opt_range(body, fields[i].key, 0, INT64_MAX, fields[i].value, err);
    return r;
}

static int read_facts(json_t *body, const void *mem, LeaseCall *call, Err *err) {
    Runner *runner = &call->runner;
    int r = json_get_str(body, "arch", &runner->arch, err);

    runner->version = "";
    if (r >= 0)
        r = json_get_range(body, "slots", 0, MAX_SLOTS, &runner->slots, err);
    if (r >= 0)
        r = json_opt_str(body, "version", &runner->version, err);
    if (r >= 0)
        r = read_capacity(body, runner, err);
    if (r >= 0)
        r = read_labels(body, mem, call, err);
    if (r >= 0)
        r = read_executors(body, mem, call, err);
    if (r < 0)
        return r;
    runner->executors = json_text(json_object_get(body, "executors"), "[]", mem);
    return 0;
}

static int read_call(HttpRequest *req, LeaseCall *call, Err *err) {
    const Principal *who = http_principal(req);
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    call->wait = 0;
    if (r >= 0)
        r = json_opt_range(body, "wait", 0, MAX_WAIT, &call->wait, err);
    if (r >= 0)
        r = read_facts(body, http_mem(req), call, err);
    if (r >= 0)
        r = read_running(body, http_mem(req), call, err);
    call->runner.id = who->runner_id;
    return r;
}

static bool same_facts(const Runner *a, const Runner *b) {
    return str_eq(a->arch, b->arch) && str_eq(a->labels, b->labels) && str_eq(a->executors, b->executors) &&
           str_eq(a->version, b->version) && a->slots == b->slots && a->cpu == b->cpu &&
           a->memory == b->memory && a->disk == b->disk;
}

/* The runner's facts may change with each start of it (slots, version): written when they do, and now and
 * then to say it was seen. */
static int note_runner(HttpRequest *req, LeaseCall *call, Err *err) {
    Db *db = api_of(req)->builds->db;
    int64_t now = clock_now();
    Runner *known;
    bool same;
    int r = store_runner_by_id(db, call->runner.id, http_mem(req), &known, err);

    if (r < 0)
        return err_wrap(err, "the token's runner");
    same = same_facts(known, &call->runner);
    if (same && now - known->last_seen < SEEN_EVERY_US)
        return 0;
    call->runner.name = known->name;
    call->runner.uuid = known->uuid;
    r = db_begin(db, err);
    if (r < 0)
        return r;
    if (!same)
        r = store_runner_put(db, &call->runner, http_mem(req), err);
    if (r >= 0)
        r = store_runner_seen(db, known->id, now, err);
    if (r >= 0)
        r = db_commit_casually(db, err);
    db_rollback(db);
    return r;
}

/* ---- the answer ---- */

static void render_stops(JsonWriter *w, const StopOrder *stops, size_t count) {
    jw_array(w, "stop");
    for (size_t i = 0; i < count; i++) {
        jw_object(w, NULL);
        jw_int(w, "job", stops[i].attempt.job);
        jw_int(w, "attempt", stops[i].attempt.attempt);
        jw_str(w, "reason", stops[i].reason);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void render_repository(HttpRequest *req, JsonWriter *w, const Project *p) {
    const char *peer = http_peer(req);

    jw_object(w, "repository");
    jw_str(w, "url", mem_printf(http_mem(req), "%s/git/%s.git", api_of(req)->url, p->name));
    jw_str(w, "path", str_eq(peer, "127.0.0.1") || str_eq(peer, "::1") ? p->path : NULL);
    jw_end_object(w);
}

/* Here and nowhere else: to the runner of the attempt. */
static void render_secrets(JsonWriter *w, const ClaimedJob *c) {
    if (c->secret_count == 0)
        return;
    jw_object(w, "secrets");
    for (size_t i = 0; i < c->secret_count; i++)
        jw_str(w, c->secrets[i].name, c->secrets[i].value);
    jw_end_object(w);
}

static void render_needs(JsonWriter *w, const ClaimedJob *c) {
    if (c->need_count == 0)
        return;
    jw_array(w, "needs");
    for (size_t i = 0; i < c->need_count; i++) {
        const PlanNeed *need = &c->needs[i];

        jw_object(w, NULL);
        jw_str(w, "job", need->job);
        jw_str(w, "state", need->state);
        jw_object(w, "outputs");
        for (size_t k = 0; k < need->output_count; k++)
            jw_str(w, need->outputs[k].name, need->outputs[k].value);
        jw_end_object(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void render_job(HttpRequest *req, JsonWriter *w, const ClaimedJob *c) {
    jw_object(w, NULL);
    jw_int(w, "id", c->job.id);
    jw_str(w, "uuid", c->job.uuid);
    jw_int(w, "attempt", c->job.attempt);
    jw_int(w, "lease", api_of(req)->builds->options.lease_us / US_PER_S);
    jw_int(w, "timeout", api_of(req)->builds->options.job_timeout_us);
    jw_int(w, "build", c->build->id);
    jw_str(w, "build_url", build_url(req, c->build->id));
    jw_str(w, "name", c->job.name);
    jw_object(w, "project");
    jw_int(w, "id", c->project->id);
    jw_str(w, "uuid", c->project->uuid);
    jw_str(w, "name", c->project->name);
    jw_end_object(w);
    jw_str(w, "commit", c->build->commit);
    jw_str(w, "ref", c->build->ref);
    jw_str(w, "branch", c->build->branch);
    jw_str(w, "event", c->build->event);
    jw_str(w, "schedule", c->build->schedule);
    if (!str_empty(c->build->pull))
        jw_raw(w, "pull_request", c->build->pull, strlen(c->build->pull));
    if (c->build->untrusted)
        jw_bool(w, "untrusted", true);
    render_repository(req, w, c->project);
    jw_raw(w, "env", c->build->env, strlen(c->build->env));
    jw_raw(w, "spec", c->job.spec, strlen(c->job.spec));
    render_needs(w, c);
    render_secrets(w, c);
    jw_end_object(w);
}

static void reply_lease(HttpRequest *req, const Claimed *claimed, const StopOrder *stops, size_t stop_count) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_array(&w, "jobs");
    for (size_t i = 0; i < claimed->count; i++)
        render_job(req, &w, &claimed->jobs[i]);
    jw_end_array(&w);
    render_stops(&w, stops, stop_count);
    if (claimed->drained)
        jw_bool(&w, "drain", true);
    jw_int(&w, "heartbeat", MAX(api_of(req)->runner_wait_us / US_PER_S, INT64_C(1)));
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
}

/* Fills the free slots. */
static int claim(HttpRequest *req, const LeaseCall *call, Claimed *ret, Err *err) {
    const Runner *runner = &call->runner;
    BuildClaim wish = {.runner_id = runner->id,
                       .offer = {.executors = call->executors,
                                 .arch = runner->arch,
                                 .labels = call->labels,
                                 .cpu = runner->cpu,
                                 .memory = runner->memory,
                                 .disk = runner->disk},
                       .slots = runner->slots,
                       .max = (size_t)runner->slots};
    int r = build_claim(api_of(req)->builds, &wish, http_mem(req), ret, err);

    if (r >= 0 && runner->slots == 0) /* none at all, where the claim takes it for "not counted" */
        ret->free_slots = 0;
    return r;
}

/* What is left of what a job woke this call for is for the next runner that it fits. Whatever goes wrong
 * here, that runner's own next call finds it. */
static void pass_on(Api *api, uint64_t mark) {
    int64_t fit = 0;
    Err err;
    int r;

    while ((r = store_lane_next_fit(api->builds->db, fit, &fit, &err)) >= 0 && fit)
        queue_pass_on(api->queue, fit, mark);
    if (r < 0)
        log_err("api", "look for what other runners could do", &err);
}

/* What the call tells of the runner and of what it runs; its orders. */
static int keep_up(HttpRequest *req, LeaseCall *call, StopOrder **ret_stops, size_t *ret_count, Err *err) {
    Builds *b = api_of(req)->builds;
    _cleanup_view_ Db *view = NULL;
    int r = db_view(b->db, &view, err);

    if (r >= 0)
        r = note_runner(req, call, err);
    if (r >= 0)
        r = build_renew(b, call->runner.id, call->running, call->running_count, http_mem(req), ret_stops,
                        ret_count, err);
    return r;
}

static int answer_or_wait(HttpRequest *req, const LeaseCall *call, const Claimed *claimed,
                          const StopOrder *stops, size_t stop_count, uint64_t mark) {
    Api *api = api_of(req);
    int64_t until = clock_mono() + MIN(call->wait * US_PER_S, api->runner_wait_us);

    /* Said each time: a call that has waited comes here again, and then it may have something to promise. A
     * lease that a power loss undoes would be given again under the same number, while a runner elsewhere
     * works at it. One on this machine does not. */
    http_set_promise(req, !claimed->count || api_own_runner(api, call->runner.id) ? HTTP_PROMISE_NONE
                                                                                  : HTTP_PROMISE_URGENT);
    if (claimed->count || stop_count || claimed->drained || !call->wait || http_timed_out(req))
        reply_lease(req, claimed, stops, stop_count);
    else
        queue_wait(api->queue, call->runner.id, http_wait(req, until), mark,
                   claimed->free_slots ? build_offer_copy(&claimed->rest, NULL) : NULL);
    return 0;
}

/* Whoever waits was let in by a token that was good when it came. */
static int check_token(HttpRequest *req, Err *err) {
    return http_still_allowed(req) ? 0
                                   : err_set(err, ERR_UNAUTHORIZED, "the token has expired or was revoked");
}

static int lease(HttpRequest *req, Err *err) {
    Api *api = api_of(req);
    LeaseCall call = {0};
    Claimed claimed = {0};
    StopOrder *stops;
    size_t stop_count;
    uint64_t mark;
    bool bears;
    int r = read_call(req, &call, err);

    if (r < 0)
        return r;
    if (!queue_enter(api->queue, call.runner.id, http_waiter(req), &bears))
        return err_set(err, ERR_CONFLICT, "a newer call of this runner has come: it may hold one at a time");
    mark = queue_mark(api->queue);
    r = check_token(req, err);
    if (r >= 0)
        r = keep_up(req, &call, &stops, &stop_count, err);
    if (r >= 0 && http_peer_gone(req))
        r = err_set(err, ERR_CANCELLED, "the runner has hung up");
    if (r >= 0)
        r = claim(req, &call, &claimed, err);
    if (bears && !claimed.paused)
        pass_on(api, mark);
    return r < 0 ? r : answer_or_wait(req, &call, &claimed, stops, stop_count, mark);
}

static int heartbeat(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const Principal *who = http_principal(req);
    LeaseCall call = {0};
    StopOrder *stops;
    size_t count;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = read_running(body, http_mem(req), &call, err);
    if (r >= 0)
        r = build_renew(api_of(req)->builds, who->runner_id, call.running, call.running_count, http_mem(req),
                        &stops, &count, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    render_stops(&w, stops, count);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int put_runner(Db *db, Runner *runner, const void *mem, Err *err) {
    int r = db_begin(db, err);

    if (r < 0)
        return r;
    r = store_runner_put(db, runner, mem, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    return r;
}

static int register_runner(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Db *db = api_of(req)->builds->db;
    char uuid[ID_UUID_SIZE], text[AUTH_TOKEN_SIZE];
    LeaseCall call = {.runner = {.uuid = uuid, .created_at = clock_now()}};
    TokenRequest token = {.role = "runner"};
    int64_t token_id;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_get_str(body, "name", &call.runner.name, err);
    if (r >= 0)
        r = read_facts(body, http_mem(req), &call, err);
    if (r < 0)
        return r;
    /* one that is known may come without: its machine cannot make sandboxes any more, and it says so by its
     * list */
    if (!call.executors[0])
        return err_set(err, ERR_INVALID, "field \"executors\": expected at least one");
    if (!str_is_name(call.runner.name, 100) || str_eq(call.runner.name, SERVER_RUNNER))
        return err_set(
            err, ERR_INVALID,
            "field \"name\": expected letters, digits, '.', '-' and '_', at most 100, not '" SERVER_RUNNER
            "'");
    id_uuid(uuid);
    r = put_runner(db, &call.runner, http_mem(req), err);
    if (r < 0)
        return r;
    token.name = mem_printf(http_mem(req), "runner %s", call.runner.name);
    token.runner_id = call.runner.id;
    r = auth_token_create(db, &token, text, &token_id, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "id", call.runner.id);
    jw_str(&w, "token", text);
    jw_end_object(&w);
    http_reply_json(req, 201, &out);
    return 0;
}

const HttpRoute api_lease[] = {
    {.method = HTTP_POST,
     .path = "/api/runner/register",
     .roles = ROLE_REGISTER | ROLE_ADMIN,
     .handle = register_runner,
     .accept = JSON,
     .tag = "runner protocol",
     .summary = "A registration token for a runner's own",
     .status = 201,
     .request = "{\"type\":\"object\",\"required\":[\"name\",\"arch\",\"executors\",\"slots\"]}",
     .answer = "(id:int token:text)"},
    {.method = HTTP_POST,
     .path = "/api/runner/lease",
     .roles = ROLE_RUNNER,
     .promise = HTTP_PROMISE_URGENT,
     .handle = lease,
     .accept = JSON,
     .tag = "runner protocol",
     .summary = "Long poll: jobs to run, attempts to stop; renews the leases of what runs",
     .request = "{\"type\":\"object\",\"required\":[\"arch\",\"executors\",\"slots\"]}",
     .answer = "(jobs:[LeasedJob] stop:[Stop] drain?:bool heartbeat:int)"},
    {.method = HTTP_POST,
     .path = "/api/runner/heartbeat",
     .roles = ROLE_RUNNER,
     .promise = HTTP_PROMISE_NONE,
     .handle = heartbeat,
     .accept = JSON,
     .tag = "runner protocol",
     .summary = "Renews leases, tells what to stop",
     .request = "{\"type\":\"object\",\"required\":[\"running\"]}",
     .answer = "(stop:[Stop])"},
    {0},
};
