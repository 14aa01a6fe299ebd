/* Pull requests: builds of them, and the approval that those from forks need. */
#include "api/pulls.h"

#include "base/str.h"
#include "build/pull.h"
#include "git/git.h"
#include <inttypes.h>

static PullRequest *pull_new(HttpRequest *req) {
    return mem_new(http_mem(req), PullRequest);
}

const PullRequest *pull_unknown(HttpRequest *req, const char *ref) {
    PullRequest *pull = pull_new(req);

    pull->number = git_pull_number(ref);
    return pull->number ? pull : NULL;
}

int pull_told(HttpRequest *req, json_t *body, const char *ref, const PullRequest **ret, Err *err) {
    PullRequest *pull = pull_new(req);
    json_t *object = NULL;
    int r = json_opt_object(body, "pull_request", &object, err);

    if (r < 0 || !object || !git_pull_number(ref))
        return r;
    r = pull_read(object, pull, err);
    if (r >= 0 && pull->number != git_pull_number(ref))
        r = err_set(err, ERR_INVALID, "field \"pull_request.number\": \"%s\" is another one's head", ref);
    if (r >= 0)
        *ret = pull;
    return r;
}

/* ---- asked for ---- */

static int no_head(const PullRequest *pull, Err *err) {
    if (pull->source)
        return err_set(err, ERR_INVALID,
                       "field \"pull_request.head\": is missing, and there is neither refs/pull/%" PRId64
                       "/head nor a branch \"%s\"",
                       pull->number, pull->source);
    return err_set(err, ERR_INVALID,
                   "field \"pull_request.head\": is missing, and there is no refs/pull/%" PRId64 "/head",
                   pull->number);
}

/* As it says; else where its head is; else, of our own, where its branch is. */
static int find_head(const Project *project, const json_t *object, const PullRequest *pull, const void *mem,
                     const char **ret, Err *err) {
    const char *head = NULL, *full;
    int r = json_opt_str(object, "head", &head, err);

    if (r < 0)
        return r;
    if (head)
        r = git_resolve(project->path, head, mem, ret, &full, err);
    else
        r = git_resolve(project->path, pull_ref(pull->number, mem), mem, ret, &full, err);
    if (head && r == -ERR_NOT_FOUND)
        return err_set(err, ERR_INVALID,
                       "field \"pull_request.head\": there is no commit %s in the repository", head);
    if (r == -ERR_NOT_FOUND && pull->source && pull->origin != PULL_FORK)
        r = git_resolve(project->path, mem_printf(mem, "refs/heads/%s", pull->source), mem, ret, &full, err);
    return r == -ERR_NOT_FOUND ? no_head(pull, err) : r;
}

static int check_target(const Project *project, const PullRequest *pull, const void *mem, Err *err) {
    const char *commit, *full;
    int r = 0;

    if (pull->target)
        r = git_resolve(project->path, mem_printf(mem, "refs/heads/%s", pull->target), mem, &commit, &full,
                        err);
    return r == -ERR_NOT_FOUND
               ? err_set(err, ERR_INVALID, "field \"pull_request.target\": there is no branch \"%s\"",
                         pull->target)
               : r;
}

static int check_alone(const json_t *body, Err *err) {
    static const char *const others[] = {"ref", "branch"};

    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (json_is_string(json_object_get(body, others[i])))
            return err_set(err, ERR_INVALID, "field \"%s\": a pull request is built at its \"head\"",
                           others[i]);
    return 0;
}

int pull_asked(HttpRequest *req, const json_t *body, const json_t *object, BuildRequest *request, Err *err) {
    const Project *project = request->project;
    PullRequest *pull = pull_new(req);
    int r = check_alone(body, err);

    if (r >= 0)
        r = pull_read(object, pull, err);
    if (r >= 0)
        r = check_target(project, pull, http_mem(req), err);
    if (r >= 0)
        r = find_head(project, object, pull, http_mem(req), &request->commit, err);
    if (r < 0)
        return r;
    request->event = "pull_request";
    request->ref = pull_ref(pull->number, http_mem(req));
    request->pull = pull;
    return 0;
}

/* ---- shown ---- */

void render_pull(JsonWriter *w, const Build *build) {
    if (str_empty(build->pull))
        jw_null(w, "pull_request");
    else
        jw_raw(w, "pull_request", build->pull, strlen(build->pull));
    jw_bool(w, "untrusted", build->untrusted);
    jw_str(w, "approved_by", str_empty(build->approved_by) ? NULL : build->approved_by);
}

/* ---- approval ---- */

static int approve(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Build *build;
    int r = load_build(req, &build, err);

    if (r >= 0)
        r = build_approve(api_of(req)->builds, build->id, ((Principal *)http_principal(req))->name, err);
    if (r >= 0)
        r = load_build(req, &build, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "id", build->id);
    jw_str(&w, "status", build->state);
    jw_str(&w, "message", mem_printf(http_mem(req), "approved by %s", build->approved_by));
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

const HttpRoute api_pulls[] = {
    {.method = HTTP_POST,
     .path = "/api/builds/{id}/approve",
     .family = &family_git_ci,
     .roles = ROLE_WRITE,
     .handle = approve,
     .tag = "builds",
     .summary = "Trust a build from a fork: its jobs that wait for that go on",
     .answer = "Outcome"},
    {0},
};
