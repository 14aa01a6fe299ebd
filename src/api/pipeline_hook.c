/* /api/ci/pipelines/{id}/webhook: a forge tells of a push or a pull request (contracts/pipelines.md). */
#include "api/pipelines.h"

#include "base/str.h"
#include "git/git.h"
#include <string.h>

#define PAYLOAD_MAX (5 * 1024 * 1024)
#define PIECE ((size_t)64 * 1024)

static int read_body(HttpRequest *req, Buf *out, Err *err) {
    ssize_t n = 1;

    while (n > 0) {
        n = http_body_read(req, buf_reserve(out, PIECE), PIECE, err);
        if (n < 0)
            return (int)n;
        out->len += (size_t)n;
        if (out->len > PAYLOAD_MAX)
            return err_set(err, ERR_TOO_LARGE, "the payload is larger than %d MiB",
                           PAYLOAD_MAX / 1024 / 1024);
    }
    return 0;
}

/* Signed with the pipeline's secret, or sent by somebody who may trigger it anyway. */
static int authenticate(HttpRequest *req, const Pipeline *p, const Buf *body, Err *err) {
    static const char *const signatures[] = {"X-Hub-Signature-256", "X-Gitea-Signature"};
    const char *token = http_header(req, "X-Gitlab-Token");
    char secret[AUTH_SECRET_SIZE];

    auth_webhook_secret(api_of(req)->webhook_key, p->uuid, secret);
    for (size_t i = 0; i < ELEMENTS(signatures); i++) {
        const char *signature = http_header(req, signatures[i]);

        if (!signature)
            continue;
        if (auth_webhook_signed(secret, buf_str(body), body->len, signature))
            return 0;
        return err_set(err, ERR_UNAUTHORIZED, "%s does not fit the body and the pipeline's secret",
                       signatures[i]);
    }
    if (token)
        return auth_webhook_same(secret, token)
                   ? 0
                   : err_set(err, ERR_UNAUTHORIZED, "X-Gitlab-Token is not the pipeline's secret");
    if (!http_credential(req))
        return err_set(err, ERR_UNAUTHORIZED,
                       "sign the delivery with the pipeline's secret (X-Hub-Signature-256), or send a token");
    return auth_authorize(api_of(req)->builds->db, req, ROLE_WRITE, err);
}

/* What is signed may be a form whose only field is the JSON (GitHub's content type
 * application/x-www-form-urlencoded). */
static int take_payload(HttpRequest *req, const Buf *body, const char **ret, Err *err) {
    const char *type = http_header(req, "Content-Type");
    char *text = mem_strndup(http_mem(req), body->len ? body->data : "", body->len), *form;

    *ret = text;
    if (strlen(text) != body->len)
        return err_set(err, ERR_INVALID, "a zero byte is no part of JSON");
    if (!type || !str_after(type, "application/x-www-form-urlencoded") || *text == '{')
        return 0;
    form = (char *)str_after(text, "payload=");
    if (!form)
        return err_set(err, ERR_INVALID, "expected the form's field \"payload\", or JSON");
    form[strcspn(form, "&")] = '\0';
    for (char *c = form; *c; c++)
        if (*c == '+')
            *c = ' ';
    *ret = form;
    return str_url_decode(form)
               ? 0
               : err_set(err, ERR_INVALID, "the form's field \"payload\" is not percent-encoded");
}

typedef struct Delivery {
    const char *event;  /* "push", "tag", "pull_request"; NULL: none of ours */
    const char *ref;    /* what triggers' patterns are about */
    const char *action; /* of a pull request */
    const char *ignore; /* why nothing runs; NULL */
} Delivery;

static const char *text_at(const json_t *object, const char *a, const char *b) {
    const json_t *value = json_object_get(object, a);
    const char *text;

    if (b)
        value = json_object_get(value, b);
    text = json_string_value(value);
    return text ? text : "";
}

static const char *event_name(const HttpRequest *req) {
    static const char *const headers[] = {"X-GitHub-Event", "X-Gitea-Event", "X-Gitlab-Event"};
    static const char *const names[][2] = {
        {"Push Hook", "push"}, {"Tag Push Hook", "push"}, {"Merge Request Hook", "pull_request"}};

    for (size_t i = 0; i < ELEMENTS(headers); i++) {
        const char *event = http_header(req, headers[i]);

        for (size_t k = 0; event && k < ELEMENTS(names); k++)
            if (str_eq(names[k][0], event))
                return names[k][1];
        if (event)
            return event;
    }
    return "push";
}

static const char *first(const char *a, const char *b) {
    return *a ? a : b;
}

/* GitHub and Gitea say which commit is the head's; of GitLab it is the last. */
static const char *message_of(const json_t *body) {
    const json_t *commits = json_object_get(body, "commits");
    size_t count = json_array_size(commits);

    return first(text_at(body, "head_commit", "message"),
                 count ? text_at(json_array_get(commits, count - 1), "message", NULL) : "");
}

static void read_push(const json_t *body, PipelineRun *run, Delivery *d) {
    const char *ref = text_at(body, "ref", NULL), *tag = str_after(ref, "refs/tags/");
    const char *branch = str_after(ref, "refs/heads/");
    const char *message = message_of(body);

    run->commit = text_at(body, "after", NULL);
    d->event = tag ? "tag" : "push";
    d->ref = tag ? tag : branch ? branch : ref;
    run->trigger_type = "webhook";
    run->branch = tag ? ref : d->ref;
    if (*run->commit && run->commit[strspn(run->commit, "0")] == '\0')
        d->ignore = "the ref was deleted";
    else if (str_after(ref, "refs/") && !tag && !branch)
        d->ignore = "what was pushed is no branch and no tag";
    else if (git_skip_asked(message))
        d->ignore = "the commit message asks to skip it";
}

/* Whether what is to be merged lies in the repository itself, and not in a fork. What is not said is none. */
static bool is_own(const json_t *pull, const json_t *merge) {
    const json_t *head = json_object_get(pull, "head"), *base = json_object_get(pull, "base");
    const char *from = text_at(head, "repo", "full_name"), *to = text_at(base, "repo", "full_name");
    const json_t *source = json_object_get(merge, "source_project_id");
    const json_t *target = json_object_get(merge, "target_project_id");

    return (*from && str_eq(from, to)) || (json_is_integer(source) && json_equal(source, target));
}

static void read_pull_request(const json_t *body, PipelineRun *run, Delivery *d) {
    const json_t *pull = json_object_get(body, "pull_request");
    const json_t *merge = json_object_get(body, "object_attributes");

    d->event = run->trigger_type = "pull_request";
    run->untrusted = !is_own(pull, merge);
    d->action = first(text_at(body, "action", NULL), text_at(merge, "action", NULL));
    run->commit =
        first(text_at(json_object_get(pull, "head"), "sha", NULL), text_at(merge, "last_commit", "id"));
    run->branch =
        first(text_at(json_object_get(pull, "head"), "ref", NULL), text_at(merge, "source_branch", NULL));
    d->ref =
        first(text_at(json_object_get(pull, "base"), "ref", NULL), text_at(merge, "target_branch", NULL));
}

static Delivery read_payload(const HttpRequest *req, const json_t *body, PipelineRun *run) {
    Delivery d = {.ref = "", .action = ""};
    const char *event = event_name(req);

    run->repository =
        first(text_at(body, "repository", "full_name"), text_at(body, "project", "path_with_namespace"));
    if (str_eq(event, "push"))
        read_push(body, run, &d);
    else if (str_eq(event, "pull_request"))
        read_pull_request(body, run, &d);
    else
        d.ignore = str_eq(event, "ping") ? "pong" : "this kind of event starts nothing";
    return d;
}

static bool action_starts(const StagesInfo *info, const Delivery *d) {
    static const char *const usual[] = {"opened",   "open",   "synchronize", "synchronized",
                                        "reopened", "reopen", "update",      NULL};
    const char *const *actions = usual;

    for (size_t i = 0; i < info->trigger_count; i++)
        if (str_eq(info->triggers[i].type, "pull_request") && info->triggers[i].events)
            actions = info->triggers[i].events;
    for (; *actions; actions++)
        if (str_eq(*actions, d->action))
            return true;
    return false;
}

/* Whether the pipeline's triggers want it; *io_ignore says why not. */
static int check_wanted(HttpRequest *req, const PipelineRun *run, Delivery *d, Err *err) {
    const Pipeline *p = run->pipeline;
    const PlanContext none = {
        .project = "", .branch = "", .ref = "", .commit = "", .event = "push", .bare = true};
    PlanProblems *problems;
    PipelineVersion *version;
    StagesInfo *info;
    Plan *plan;
    int r = store_pipeline_version(api_of(req)->builds->db, p->id, p->version, http_mem(req), &version, err);

    if (r >= 0)
        r = stages_plan(version->yaml, strlen(version->yaml), &none, http_mem(req), &plan, &info, &problems,
                        err);
    if (r < 0)
        return r;
    if (!stages_wants(info, d->event, d->ref, *run->repository ? run->repository : NULL))
        d->ignore = mem_printf(http_mem(req), "no trigger of the pipeline wants a %s of %s", d->event,
                               *d->ref ? d->ref : "no ref");
    else if (str_eq(d->event, "pull_request") && !action_starts(info, d))
        d->ignore = mem_printf(http_mem(req), "%s starts nothing", d->action);
    return 0;
}

static const char *delivery_id(const HttpRequest *req) {
    static const char *const headers[] = {"X-GitHub-Delivery", "X-Gitea-Delivery", "X-Gitlab-Event-UUID"};

    for (size_t i = 0; i < ELEMENTS(headers); i++) {
        const char *id = http_header(req, headers[i]);

        if (!str_empty(id) && strlen(id) <= 200)
            return id;
    }
    return NULL;
}

static int run_it(HttpRequest *req, PipelineRun *run, Delivery *d, Err *err) {
    PipelineStarted started = {0};
    int r = d->ignore ? 0 : check_wanted(req, run, d, err);

    if (r >= 0 && !d->ignore)
        r = build_pipeline_run(api_of(req)->builds, run, http_mem(req), &started, err);
    if (r < 0)
        return r;
    reply_started(req, &started,
                  d->ignore ? mem_printf(http_mem(req), "Ignored: %s", d->ignore)
                            : "Pipeline triggered by webhook");
    return 0;
}

static bool is_fine_word(const char *text) {
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return strlen(text) <= 255;
}

static int webhook(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf body = BUF_INIT;
    _cleanup_json_ json_t *payload = NULL;
    PipelineRun run = {
        .triggered_by = "webhook", .who = "webhook", .trigger_type = "webhook", .branch = "", .commit = ""};
    Delivery delivery;
    Pipeline *p;
    int r = pipeline_param(req, &p, err);

    if (r >= 0)
        r = read_body(req, &body, err);
    if (r >= 0)
        r = authenticate(req, p, &body, err);
    if (r >= 0)
        r = disk_check(&api_of(req)->builds->disk, err);
    if (r >= 0)
        r = take_payload(req, &body, &run.payload, err);
    if (r >= 0)
        r = json_read(run.payload, strlen(run.payload), &payload, err);
    if (r < 0)
        return r;
    if (!json_is_object(payload))
        return err_set(err, ERR_INVALID, "expected a JSON object");
    run.pipeline = p;
    run.delivery = delivery_id(req);
    delivery = read_payload(req, payload, &run);
    if (!delivery.ignore && !*delivery.ref)
        return err_set(err, ERR_INVALID,
                       "the payload names no branch or tag; expected a push (\"ref\", \"after\") or a pull "
                       "request (\"pull_request\") as a forge tells it");
    if (!is_fine_word(run.branch) || !is_fine_word(run.commit))
        return err_set(err, ERR_INVALID, "field \"ref\" or \"after\": expected a name without blanks");
    return run_it(req, &run, &delivery, err);
}

const HttpRoute api_pipeline_hook[] = {
    {.method = HTTP_POST,
     .path = "/api/ci/pipelines/{id}/webhook",
     .family = &family_pipelines,
     .mode = HTTP_THREADED,
     .handle = webhook,
     .max_body = PAYLOAD_MAX,
     .tag = "pipelines",
     .summary = "A push as GitHub, GitLab and Gitea tell it, signed with the pipeline's secret",
     .answer = "ExecutionStarted"},
    {0},
};
