#include "build/pull.h"

#include "base/json.h"
#include "base/str.h"
#include "git/git.h"
#include <inttypes.h>

#define NUMBER_MAX INT32_MAX /* as git_pull_number */
#define TEXT_MAX 1000        /* bytes */

/* ---- reading ---- */

static int read_text(const json_t *object, const char *key, const char **ret, Err *err) {
    const char *text = NULL;
    int r = json_opt_str(object, key, &text, err);

    if (r >= 0 && text && strlen(text) > TEXT_MAX)
        return err_set(err, ERR_INVALID, "field \"%s\": expected at most %d bytes", key, TEXT_MAX);
    if (r >= 0 && !str_empty(text))
        *ret = text;
    return r;
}

static int read_branch(const json_t *object, const char *key, const char **ret, Err *err) {
    _cleanup_talloc_ char *ref = NULL;
    const char *branch = NULL;
    int r = read_text(object, key, &branch, err);

    if (r < 0 || !branch)
        return r;
    ref = mem_printf(NULL, "refs/heads/%s", branch);
    if (!git_ref_valid(ref))
        return err_set(err, ERR_INVALID, "field \"%s\": \"%.100s\" is not a branch's name", key, branch);
    *ret = branch;
    return 0;
}

static int read_fields(const json_t *object, PullRequest *pull, Err *err) {
    bool fork = false;
    int r = json_get_range(object, "number", 1, NUMBER_MAX, &pull->number, err);

    if (r >= 0)
        r = read_branch(object, "source", &pull->source, err);
    if (r >= 0)
        r = read_branch(object, "target", &pull->target, err);
    if (r >= 0)
        r = read_text(object, "title", &pull->title, err);
    if (r >= 0)
        r = read_text(object, "author", &pull->author, err);
    if (r >= 0)
        r = json_opt_bool(object, "fork", &fork, err);
    if (json_is_boolean(json_object_get(object, "fork")))
        pull->origin = fork ? PULL_FORK : PULL_OWN;
    return r;
}

int pull_read(const json_t *object, PullRequest *ret, Err *err) {
    PullRequest pull = {.origin = PULL_TOLD};
    int r = read_fields(object, &pull, err);

    if (r < 0)
        return err_wrap(err, "pull_request");
    *ret = pull;
    return 0;
}

/* ---- what is known ---- */

const char *pull_ref(int64_t number, const void *mem) {
    return mem_printf(mem, "refs/pull/%" PRId64 "/head", number);
}

static int read_known(const char *facts, const void *mem, PullRequest *ret, Err *err) {
    _cleanup_json_ json_t *object = NULL;
    int r = json_read(facts, strlen(facts), &object, err);

    if (r >= 0)
        r = pull_read(object, ret, err);
    if (r < 0)
        return r;
    ret->source = mem_strdup(mem, ret->source);
    ret->target = mem_strdup(mem, ret->target);
    ret->title = mem_strdup(mem, ret->title);
    ret->author = mem_strdup(mem, ret->author);
    return 0;
}

static const char *first_of(const char *a, const char *b) {
    return a ? a : b ? b : "";
}

/* What nobody has said is taken for the worse. */
static PullOrigin origin_of(const PullRequest *told, const PullRequest *known) {
    if (told->origin == PULL_OWN || told->origin == PULL_FORK)
        return told->origin;
    if (known->number)
        return known->origin;
    return told->origin == PULL_TOLD ? PULL_OWN : PULL_FORK;
}

static int default_target(const Project *project, const void *mem, const char **ret, Err *err) {
    int r = git_head(project->path, mem, ret, err);

    return r == -ERR_NOT_FOUND ? 0 : r;
}

int pull_complete(Builds *b, const Project *project, const PullRequest *told, const void *mem,
                  PullRequest *ret, Err *err) {
    const char *facts = NULL, *target = NULL;
    PullRequest known = {0};
    int r = store_pull_get(b->db, project->id, told->number, mem, &facts, err);

    if (r >= 0 && facts)
        r = read_known(facts, mem, &known, err);
    if (r >= 0 && !told->target && !known.target)
        r = default_target(project, mem, &target, err);
    if (r < 0)
        return err_wrap(err, "pull request %" PRId64, told->number);
    *ret = (PullRequest){.number = told->number,
                         .source = first_of(told->source, known.source),
                         .target = first_of(told->target, first_of(known.target, target)),
                         .title = first_of(told->title, known.title),
                         .author = first_of(told->author, known.author),
                         .origin = origin_of(told, &known)};
    return 0;
}

const char *pull_text(const PullRequest *pull, const void *mem) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_int(&w, "number", pull->number);
    jw_str(&w, "source", pull->source);
    jw_str(&w, "target", pull->target);
    jw_str(&w, "title", pull->title);
    jw_str(&w, "author", pull->author);
    jw_bool(&w, "fork", pull->origin == PULL_FORK);
    jw_end_object(&w);
    return buf_dup(&out, mem);
}

const char *pull_branch(const PullRequest *pull, const void *mem) {
    return pull->origin == PULL_FORK || !*pull->source ? mem_printf(mem, "pull/%" PRId64, pull->number)
                                                       : pull->source;
}

int pull_of_build(const Build *build, const void *mem, PullRequest *ret, Err *err) {
    PullRequest pull = {0};
    int r = str_empty(build->pull) ? 0 : read_known(build->pull, mem, &pull, err);

    if (r < 0)
        return err_wrap(err, "pull request of build %" PRId64, build->id);
    *ret = pull;
    return 0;
}

void pull_tell(const PullRequest *pull, const void *mem, PlanContext *context) {
    if (!pull->number)
        return;
    context->target = pull->target;
    context->pull_number = mem_printf(mem, "%" PRId64, pull->number);
    context->pull_title = pull->title;
}
