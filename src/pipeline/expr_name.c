/* The names of expressions and where their values come from. */
#include "pipeline/expr.h"

#include "base/str.h"
#include "pipeline/elsewhere.h"

#define SHORT_COMMIT 8
#define RESULT ".result"
#define OUTPUTS ".outputs."

typedef struct Name {
    const char *name;
    size_t offset; /* of the text in PlanContext */
    bool fold;     /* only the plan's maker knows it */
    const char *help;
} Name;

/* Not only a text of the context. */
#define NO_OFFSET SIZE_MAX

static const Name names[] = {
    {"branch", offsetof(PlanContext, branch), false, "the branch, `main`; empty for a tag"},
    {"ref", offsetof(PlanContext, ref), false, "the whole ref, `refs/heads/main`"},
    {"tag", NO_OFFSET, false, "the tag, `v1.0`; empty for a branch"},
    {"commit", offsetof(PlanContext, commit), false, "the commit's full hash"},
    {"commit.short", NO_OFFSET, false, "its first eight digits"},
    {"commit.message", offsetof(PlanContext, message), true, "its message"},
    {"commit.author", offsetof(PlanContext, author), true, "its author's name"},
    {"event", offsetof(PlanContext, event), false, "`push`, `tag`, `manual`, `pull_request` or `schedule`"},
    {"schedule", offsetof(PlanContext, schedule), true,
     "the name of the schedule that started the build, `nightly`; empty for other events"},
    {"target", offsetof(PlanContext, target), true, "the branch that a pull request is for; else empty"},
    {"pull_request.number", offsetof(PlanContext, pull_number), true, "its number; else empty"},
    {"pull_request.title", offsetof(PlanContext, pull_title), true, "its title, as far as it was told"},
    {"project", offsetof(PlanContext, project), false, "the project's name"},
    {"repo", offsetof(PlanContext, project), false, "the same"},
};

/* Names with a part that the file chose. */
static const ExprWord families[] = {
    {"matrix.NAME", "the value that this job has of its `matrix`"},
    {"inputs.NAME", "what was given by hand for an input, or its default"},
    {"needs.JOB.result", "how a job that this one needs has ended: `success`, `failed`, `skipped` or "
                         "`cancelled`; of those of a `matrix` that it needs the worst; in a job's `if` and "
                         "`env` and in its steps"},
    {"needs.JOB.outputs.NAME",
     "what a step of such a job wrote to `$PELTON_OUTPUT`, or nothing; of those of a "
     "`matrix` that it needs the last one that did; in the same places"},
    {"outputs.NAME", "what an earlier step of the same job wrote to `$PELTON_OUTPUT`, or nothing; in steps"},
};

/* What a wrong name may have meant: names, functions and truth. */
static const char *const near_names[] = {
    "branch",        "ref",      "tag",     "commit",    "event",        "project",
    "repo",          "success",  "failure", "cancelled", "always",       "contains",
    "changed",       "hash",     "true",    "false",     "commit.short", "commit.message",
    "commit.author", "schedule", "target",  NULL};

/* Names that have one of a few words: compared with any other they mislead. */
static const char *const events[] = {"push", "tag", "manual", "pull_request", "schedule", NULL};
static const char *const results[] = {"success", "failed", "skipped", "cancelled", NULL};

static Value text_value(const char *text) {
    return value_text(text ? text : "", text ? strlen(text) : 0);
}

static Value plain_value(const Name *name, const PlanContext *c) {
    const char *tag = c && c->ref ? str_after(c->ref, "refs/tags/") : NULL;

    if (!c)
        return value_text("", 0);
    if (str_eq(name->name, "tag"))
        return text_value(tag);
    if (tag && str_eq(name->name, "branch"))
        return value_text("", 0);
    if (name->offset == NO_OFFSET)
        return value_text(c->commit ? c->commit : "", c->commit ? strnlen(c->commit, SHORT_COMMIT) : 0);
    return text_value(*(const char *const *)((const char *)c + name->offset));
}

/* ---- matrix and inputs ---- */

static int not_there(const char *family, const char *name, Err *err) {
    return err_set(err, ERR_NOT_FOUND, "\"%s.%.60s\" may be in a part that is not there", family, name);
}

static int unknown(const char *family, const char *name, const YamlNode *of, const char *none, Err *err) {
    const char **known = mem_array(NULL, const char *, (of ? of->count : 0) + 1), *nearest;
    int r;

    for (size_t i = 0; of && i < of->count; i++)
        known[i] = of->pairs[i].key->text;
    nearest = strlen(name) <= 100 ? str_nearest(name, known) : NULL;
    if (!of || of->count == 0)
        r = err_set(err, ERR_INVALID, "unknown name \"%s.%.60s\": %s", family, name, none);
    else if (nearest)
        r = err_set(err, ERR_INVALID, "unknown name \"%s.%.60s\"; did you mean \"%s.%.60s\"?", family, name,
                    family, nearest);
    else
        r = err_set(err, ERR_INVALID, "unknown name \"%s.%.60s\"; the first of %zu is \"%s.%.60s\"", family,
                    name, of->count, family, known[0]);
    talloc_free(known);
    return r;
}

static int member(const char *family, const char *name, const YamlNode *of, const char *none, bool lacking,
                  NameValue *ret, Err *err) {
    const YamlNode *node = yaml_get(of, name);

    if (!node && lacking)
        return not_there(family, name, err);
    if (!node)
        return unknown(family, name, of, none, err);
    *ret = (NameValue){.value = value_scalar(node), .fold = true};
    return 0;
}

/* ---- needs ---- */

static const char *need_name(const YamlNode *node) {
    const YamlNode *job = node->kind == YAML_MAPPING ? yaml_get(node, "job") : node;

    return job && job->kind == YAML_SCALAR ? job->text : "";
}

static bool is_needed(const YamlNode *needs, const char *job, size_t len) {
    const YamlNode *const *items =
        needs->kind == YAML_SEQUENCE ? (const YamlNode *const *)needs->items : &needs;
    size_t count = needs->kind == YAML_SEQUENCE ? needs->count : 1;

    for (size_t i = 0; i < count; i++)
        if (plan_name_means(job, len, need_name(items[i])))
            return true;
    return false;
}

static bool is_of(const PlanNeed *need, const char *job, size_t len) {
    return plan_name_means(job, len, need->job);
}

static size_t rank_of(const char *state) {
    static const char *const worst_last[] = {"skipped", "success", "cancelled", "failed"};

    for (size_t i = ELEMENTS(worst_last); i > 0; i--)
        if (str_eq(state, worst_last[i - 1]))
            return i;
    return 0;
}

static const char *result_of(const PlanContext *c, const char *job, size_t len) {
    const char *worst = "";

    for (size_t i = 0; c && i < c->need_count; i++)
        if (is_of(&c->needs[i], job, len) && rank_of(c->needs[i].state) > rank_of(worst))
            worst = c->needs[i].state;
    return worst;
}

static const char *output_named(const PlanOutput *outputs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(outputs[i].name, name))
            return outputs[i].value;
    return NULL;
}

/* Of a matrix the last one's. */
static const char *need_output(const PlanContext *c, const char *job, size_t len, const char *name) {
    const char *last = "";

    for (size_t i = 0; c && i < c->need_count; i++) {
        const PlanNeed *need = &c->needs[i];
        const char *value =
            is_of(need, job, len) ? output_named(need->outputs, need->output_count, name) : NULL;

        if (value)
            last = value;
    }
    return last;
}

/* A job's name may have dots in it, an output's has none: "JOB.outputs.NAME" is told from its end.
 * *ret_output NULL: it is "JOB.result". Gives the length of JOB, 0: neither. */
static size_t need_parts(const char *rest, const char **ret_output) {
    const char *dot = strrchr(rest, '.');
    size_t before = dot ? (size_t)(dot - rest) + 1 : 0, len = strlen(OUTPUTS);

    *ret_output = NULL;
    if (before > len && memcmp(rest + before - len, OUTPUTS, len) == 0) {
        *ret_output = dot + 1;
        return before - len;
    }
    return str_ends(rest, RESULT) ? strlen(rest) - strlen(RESULT) : 0;
}

static int need_value(const char *rest, const ExprScope *scope, NameValue *ret, Err *err) {
    const char *output;
    size_t len = need_parts(rest, &output);

    if (!(scope->uses & EXPR_NEEDS))
        return err_set(err, ERR_INVALID,
                       "\"needs\" is for a job's \"if\" and \"env\" and for its steps: nothing is known of "
                       "them before");
    if (len == 0)
        return err_set(err, ERR_INVALID, "expected needs.JOB.result or needs.JOB.outputs.NAME");
    if (!scope->late && !(scope->needs && is_needed(scope->needs, rest, len)))
        return scope->lacking & EXPR_LACKS_NEEDS
                   ? not_there("needs", rest, err)
                   : err_set(err, ERR_INVALID, "\"%.*s\" is not among the job's \"needs\": name it there",
                             (int)MIN(len, (size_t)60), rest);
    *ret = (NameValue){.late = true,
                       .value = text_value(output ? need_output(scope->context, rest, len, output)
                                                  : result_of(scope->context, rest, len))};
    ret->value.words = output ? NULL : results;
    return 0;
}

static int output_value(const char *name, const ExprScope *scope, NameValue *ret, Err *err) {
    const PlanContext *c = scope->context;
    const char *value = c ? output_named(c->outputs, c->output_count, name) : NULL;

    if (!(scope->uses & EXPR_OUTPUTS))
        return err_set(
            err, ERR_INVALID,
            "\"outputs\" is what a step wrote for those behind it in the same job; another job's is "
            "needs.JOB.outputs.%.60s",
            name);
    *ret = (NameValue){.late = true, .value = text_value(value)};
    return 0;
}

static int no_such(const char *name, bool call, Err *err) {
    const char *nearest, *advice;

    if (str_after(name, "secrets."))
        return err_set(err, ERR_INVALID,
                       "secrets arrive in the environment: name it in the job's \"secrets\" and use $%.60s",
                       name + strlen("secrets."));
    if (str_after(name, "env."))
        return err_set(err, ERR_INVALID, "the environment is the shell's: write $%.60s",
                       name + strlen("env."));
    advice = elsewhere_name(name);
    if (advice)
        return err_set(err, ERR_INVALID, "unknown %s \"%s\"; %s", call ? "function" : "name", name, advice);
    nearest = str_nearest(name, near_names);
    return err_set(err, ERR_INVALID, "unknown %s \"%s\"%s%s%s", call ? "function" : "name", name,
                   nearest ? "; did you mean \"" : "; a text is written in quotes", nearest ? nearest : "",
                   nearest ? "\"?" : "");
}

bool expr_name_word(size_t i, ExprWord *ret) {
    if (i < ELEMENTS(names))
        *ret = (ExprWord){names[i].name, names[i].help};
    else if (i < ELEMENTS(names) + ELEMENTS(families))
        *ret = families[i - ELEMENTS(names)];
    else
        return false;
    return true;
}

int expr_name(const char *name, bool call, const ExprScope *scope, NameValue *ret, Err *err) {
    const char *rest;

    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (str_eq(name, names[i].name)) {
            *ret = (NameValue){.value = plain_value(&names[i], scope->context), .fold = names[i].fold};
            ret->value.words = str_eq(name, "event") ? events : NULL;
            return 0;
        }
    if ((rest = str_after(name, "matrix.")))
        return member("matrix", rest, scope->matrix, "the job has no matrix",
                      scope->lacking & EXPR_LACKS_MATRIX, ret, err);
    if ((rest = str_after(name, "inputs.")))
        return member("inputs", rest, scope->inputs, "the file has no inputs",
                      scope->lacking & EXPR_LACKS_INPUTS, ret, err);
    if ((rest = str_after(name, "needs.")))
        return need_value(rest, scope, ret, err);
    if ((rest = str_after(name, "outputs.")))
        return output_value(rest, scope, ret, err);
    return no_such(name, call, err);
}
