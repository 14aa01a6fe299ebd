/* The file of the stages dialect, read and checked. Keys that are not ours are left alone: its documents' own
 * examples have many. */
#include "pipeline/stages.h"

#include "base/cron.h"
#include "base/str.h"
#include "base/zone.h"
#include "pipeline/pattern.h"
#include <ctype.h>
#include <stdarg.h>

#define TIMEOUT_MAX (INT64_C(30) * 24 * 3600 * 1000000)
#define ITEMS_MAX 1000 /* triggers, notices, patterns */

const char *stages_text(const YamlNode *mapping, const char *key) {
    const YamlNode *node = mapping && mapping->kind == YAML_MAPPING ? yaml_get(mapping, key) : NULL;

    return node && node->kind == YAML_SCALAR && !yaml_is_null(node) ? node->text : "";
}

void stages_step_problem(StagesReader *r, const StagesStep *step, const YamlNode *at, const char *fmt, ...) {
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problems_at(&r->problems, at ? at : step->node, "Step '%s' in stage '%s': %s",
                problems_show(&r->problems, step->name), problems_show(&r->problems, step->stage), text);
}

const YamlNode *stages_value(const YamlNode *mapping, const char *key) {
    const YamlNode *node = mapping && mapping->kind == YAML_MAPPING ? yaml_get(mapping, key) : NULL;

    return node && !yaml_is_null(node) ? node : NULL;
}

const YamlNode *stages_list(StagesReader *r, const YamlNode *mapping, const char *key, size_t max) {
    const YamlNode *node = stages_value(mapping, key);

    if (!node)
        return NULL;
    if (node->kind != YAML_SEQUENCE)
        problems_at(&r->problems, node, "\"%s\": expected a list, got %s", key, yaml_kind_word(node));
    else if (node->count > max)
        problems_at(&r->problems, node, "\"%s\": more than %zu", key, max);
    else
        return node;
    return NULL;
}

const YamlNode *stages_mapping(StagesReader *r, const YamlNode *mapping, const char *key) {
    const YamlNode *node = stages_value(mapping, key);

    if (!node || node->kind == YAML_MAPPING)
        return node;
    problems_at(&r->problems, node, "\"%s\": expected a mapping, got %s", key, yaml_kind_word(node));
    return NULL;
}

static bool read_bool(StagesReader *r, const YamlNode *mapping, const char *key) {
    const YamlNode *node = stages_value(mapping, key);
    bool value = false;

    if (node && !yaml_as_bool(node, &value))
        problems_at(&r->problems, node, "\"%s\": expected true or false", key);
    return value;
}

/* Seconds, or a duration as 10m. */
static int64_t read_timeout(StagesReader *r, const YamlNode *mapping) {
    const YamlNode *node = stages_value(mapping, "timeout");
    int64_t us = 0;

    if (!node)
        return 0;
    if (node->kind != YAML_SCALAR || !str_to_duration(node->text, &us) || us <= 0 || us > TIMEOUT_MAX) {
        problems_at(&r->problems, node, "\"timeout\": expected seconds, more than 0 and at most 30 days");
        return 0;
    }
    return us;
}

static int64_t read_retries(StagesReader *r, const YamlNode *mapping, int64_t fallback) {
    const YamlNode *node = stages_value(mapping, "retry_count");
    int64_t count = fallback;

    if (node && (!yaml_as_int(node, &count) || count < 0 || count > STAGES_MAX_RETRIES)) {
        problems_at(&r->problems, node, "\"retry_count\": expected 0 to %d", STAGES_MAX_RETRIES);
        return fallback;
    }
    return count;
}

bool stages_is_variable(const char *name) {
    if (!*name || strlen(name) > 255 || isdigit((unsigned char)*name))
        return false;
    while (isalnum((unsigned char)*name) || *name == '_')
        name++;
    return !*name;
}

static const YamlNode *read_env(StagesReader *r, const YamlNode *mapping) {
    const YamlNode *env = stages_mapping(r, mapping, "environment");

    if (env && env->count > STAGES_MAX_ENV) {
        problems_at(&r->problems, env, "\"environment\": more than %d variables", STAGES_MAX_ENV);
        return NULL;
    }
    for (size_t i = 0; env && i < env->count; i++) {
        const YamlPair *pair = &env->pairs[i];

        if (!stages_is_variable(pair->key->text))
            problems_at(&r->problems, pair->key, "\"environment\": \"%s\" is not a variable's name",
                        problems_show(&r->problems, pair->key->text));
        else if (plan_sets_variable(pair->key->text))
            problems_at(&r->problems, pair->key,
                        "\"environment\": Pelton sets %s in every step, over this; take another name",
                        pair->key->text);
        else if (pair->value->kind != YAML_SCALAR)
            problems_at(&r->problems, pair->value, "\"environment.%s\": expected a text, got %s",
                        pair->key->text, yaml_kind_word(pair->value));
    }
    return env;
}

/* ---- secrets ---- */

bool stages_secrets_hold(const StagesSecrets *secrets, const char *name) {
    for (size_t i = 0; i < secrets->count; i++)
        if (str_eq(secrets->names[i], name))
            return true;
    return false;
}

void stages_secrets_add(StagesSecrets *secrets, const char *name, const void *mem) {
    if (!stages_secrets_hold(secrets, name))
        mem_append(mem, secrets->names, secrets->count, name);
}

static void read_secret(StagesReader *r, const YamlNode *node, StagesSecrets *secrets) {
    if (node->kind != YAML_SCALAR)
        problems_at(&r->problems, node, "\"secrets\": expected names of secrets, got %s",
                    yaml_kind_word(node));
    else if (!stages_is_variable(node->text))
        problems_at(&r->problems, node,
                    "\"secrets\": \"%s\" is not a secret's name; expected letters, digits and _, no digit "
                    "first",
                    problems_show(&r->problems, node->text));
    else
        stages_secrets_add(secrets, node->text, r->mem);
}

/* One name, or a list of them. */
static void read_secrets(StagesReader *r, const YamlNode *mapping, StagesSecrets *secrets) {
    const YamlNode *node = stages_value(mapping, "secrets");

    if (node && node->kind == YAML_SEQUENCE && node->count > STAGES_MAX_SECRETS)
        problems_at(&r->problems, node, "\"secrets\": more than %d", STAGES_MAX_SECRETS);
    else if (node && node->kind == YAML_SEQUENCE)
        for (size_t i = 0; i < node->count; i++)
            read_secret(r, node->items[i], secrets);
    else if (node)
        read_secret(r, node, secrets);
}

StagesSecrets stages_secrets_of(const StagesFile *file, const Stage *stage, const StagesStep *steps,
                                size_t count, const void *mem) {
    StagesSecrets all = {0};

    for (size_t i = 0; i < count + 2 && all.count <= STAGES_MAX_JOB_SECRETS; i++) {
        const StagesSecrets *from = i == 0   ? &file->secrets
                                    : i == 1 ? &stage->secrets
                                             : &steps[i - 2].secrets;

        for (size_t k = 0; k < from->count; k++)
            stages_secrets_add(&all, from->names[k], mem);
    }
    return all;
}

/* A name goes into logs and addresses: it is text, and short. */
static const char *read_name(StagesReader *r, const YamlNode *mapping, const char *whose) {
    const YamlNode *node = yaml_get(mapping, "name");
    const char *name = stages_text(mapping, "name");
    bool bad = strlen(name) > STAGES_MAX_NAME;

    for (const char *p = name; *p && !bad; p++)
        bad = iscntrl((unsigned char)*p) != 0;
    if (node && node->kind != YAML_SCALAR)
        problems_at(&r->problems, node, "%s name: expected a text, got %s", whose, yaml_kind_word(node));
    else if (bad)
        problems_at(&r->problems, node, "a name has at most %d bytes, all on one line", STAGES_MAX_NAME);
    else if (!name[strspn(name, " \t")])
        problems_at(&r->problems, node ? node : mapping, "%s name cannot be empty", whose);
    else
        return name;
    return "";
}

/* Whether it can be read; what it says depends on variables that are known later. */
static const YamlNode *read_condition(StagesReader *r, const YamlNode *mapping, const char *what) {
    const YamlNode *node = stages_value(mapping, "condition");
    const PlanContext none = {.project = "", .branch = "", .ref = "", .commit = "", .event = ""};
    StagesEnv env = {0};
    const char *text;
    bool unused;
    Err err;

    if (!node || (node->kind == YAML_SCALAR && !node->text[strspn(node->text, " \t\r\n")]))
        return NULL;
    if (node->kind != YAML_SCALAR) {
        problems_at(&r->problems, node, "\"condition\" of %s: expected an expression", what);
        return NULL;
    }
    if (stages_condition(&env, node->text, r->mem, &text, &err) < 0 ||
        condition_eval(text, &none, COND_SUCCESS, &unused, &err) < 0)
        problems_at(&r->problems, node, "condition of %s: %s", what, err.msg);
    return node;
}

/* ---- stages and steps ---- */

static void check_as(StagesReader *r, const StagesKind *kind, StagesStep *step) {
    size_t before = r->problems.count;

    kind->check(r, step);
    if (!kind->of_server)
        problems_set_kind(&r->problems, before, PLAN_PROBLEM_CONFIG);
}

static void read_step(StagesReader *r, const YamlNode *node, size_t number, StagesStep *step) {
    const StagesKind *kind;

    step->node = node;
    if (node->kind != YAML_MAPPING) {
        problems_at(&r->problems, node, "Step %zu in stage '%s': expected a mapping", number,
                    problems_show(&r->problems, step->stage));
        return;
    }
    step->name = read_name(
        r, node,
        mem_printf(r->mem, "Step %zu in stage '%s'", number, problems_show(&r->problems, step->stage)));
    step->config = stages_mapping(r, node, "config");
    step->condition =
        read_condition(r, node, mem_printf(r->mem, "step '%s'", problems_show(&r->problems, step->name)));
    step->continue_on_error = read_bool(r, node, "continue_on_error");
    step->timeout = read_timeout(r, node);
    step->env = read_env(r, step->config);
    read_secrets(r, node, &step->secrets);
    read_secrets(r, step->config, &step->secrets);
    kind = stages_kind(r, yaml_get(node, "step_type"), step);
    if (kind)
        check_as(r, kind, step);
}

/* One that builds an image and runs in it is two. */
static void add_step(StagesReader *r, Stage *stage, const StagesStep *step) {
    StagesStep first = *step, second = *step;

    if (!step->builds || !step->run) {
        mem_append(r->mem, stage->steps, stage->count, first);
        return;
    }
    if (stage->parallel)
        stages_step_problem(
            r, step, step->node,
            "in a parallel stage a step builds an image or runs in one; build it in a stage before");
    first.name = mem_printf(r->mem, "%s (image)", step->name);
    first.run = first.image = NULL;
    second.builds = false;
    mem_append(r->mem, stage->steps, stage->count, first);
    mem_append(r->mem, stage->steps, stage->count, second);
}

static void read_steps(StagesReader *r, const YamlNode *node, Stage *stage) {
    const YamlNode *steps = stages_list(r, node, "steps", STAGES_MAX_STEPS);

    if (!steps || steps->count == 0) {
        if (steps || !stages_value(node, "steps"))
            problems_at(&r->problems, steps ? steps : node, "Stage '%s' must have at least one step",
                        problems_show(&r->problems, stage->name));
        return;
    }
    r->steps += steps->count;
    if (r->steps > STAGES_MAX_STEPS) {
        problems_at(&r->problems, steps, "more than %d steps", STAGES_MAX_STEPS);
        return;
    }
    for (size_t i = 0; i < steps->count; i++) {
        StagesStep step = {.stage = stage->name, .name = ""};

        read_step(r, steps->items[i], i + 1, &step);
        add_step(r, stage, &step);
    }
}

static void read_stage(StagesReader *r, const YamlNode *node, size_t number, Stage *stage) {
    stage->name = "";
    if (node->kind != YAML_MAPPING) {
        problems_at(&r->problems, node, "Stage %zu: expected a mapping with \"name\" and \"steps\"", number);
        return;
    }
    stage->name = read_name(r, node, mem_printf(r->mem, "Stage %zu", number));
    stage->condition =
        read_condition(r, node, mem_printf(r->mem, "stage '%s'", problems_show(&r->problems, stage->name)));
    stage->env = read_env(r, node);
    read_secrets(r, node, &stage->secrets);
    stage->parallel = read_bool(r, node, "parallel");
    stage->timeout = read_timeout(r, node);
    stage->retries = read_retries(r, node, -1);
    read_steps(r, node, stage);
}

bool stages_in_parallel(const Stage *stage) {
    return stage->parallel && stage->count > 1;
}

size_t stages_job_length(const Stage *stage, size_t first) {
    size_t count = 1;

    while (!stages_in_parallel(stage) && first + count < stage->count &&
           str_eq(stage->steps[first + count].image, stage->steps[first].image))
        count++;
    return count;
}

static void check_secrets(StagesReader *r, const YamlNode *node, const StagesFile *file, const Stage *stage) {
    size_t length;

    for (size_t i = 0; i < stage->count; i += length) {
        length = stages_job_length(stage, i);
        if (stages_secrets_of(file, stage, &stage->steps[i], length, r->mem).count <= STAGES_MAX_JOB_SECRETS)
            continue;
        problems_at(&r->problems, node, "Stage '%s' names more than %d secrets for one job",
                    problems_show(&r->problems, stage->name), STAGES_MAX_JOB_SECRETS);
        return;
    }
}

static void read_stages(StagesReader *r, const YamlNode *root, StagesFile *file) {
    const YamlNode *stages = stages_list(r, root, "stages", STAGES_MAX);

    if (!stages || stages->count == 0) {
        if (stages || !stages_value(root, "stages"))
            problems_at(&r->problems, stages ? stages : root, "Pipeline must have at least one stage");
        return;
    }
    file->stages = mem_array(r->mem, Stage, stages->count);
    file->count = stages->count;
    for (size_t i = 0; i < stages->count; i++) {
        read_stage(r, stages->items[i], i + 1, &file->stages[i]);
        check_secrets(r, stages->items[i], file, &file->stages[i]);
    }
}

/* ---- triggers ---- */

static const char *const trigger_types[][2] = {
    {"webhook", "webhook"}, {"schedule", "schedule"},         {"cron", "schedule"}, {"manual", "manual"},
    {"api", "manual"},      {"git_push", "git_push"},         {"push", "git_push"}, {"git_tag", "git_tag"},
    {"tag", "git_tag"},     {"pull_request", "pull_request"},
};

static const char *const *read_patterns(StagesReader *r, const YamlNode *config, const char *key) {
    const YamlNode *list = stages_list(r, config, key, ITEMS_MAX);
    const char **patterns = NULL;
    size_t count = 0;

    for (size_t i = 0; list && i < list->count; i++) {
        const YamlNode *item = list->items[i];
        const char *fault = item->kind == YAML_SCALAR ? pattern_fault(item->text, count == 0) : NULL;

        if (item->kind != YAML_SCALAR)
            problems_at(&r->problems, item, "\"%s\": expected a text, got %s", key, yaml_kind_word(item));
        else if (fault)
            problems_at(&r->problems, item, "\"%s\": \"%s\" %s", key, problems_show(&r->problems, item->text),
                        fault);
        else
            mem_append(r->mem, patterns, count, item->text);
    }
    if (count)
        mem_append(r->mem, patterns, count, NULL);
    return patterns;
}

static void check_cron(StagesReader *r, const YamlNode *node, const YamlNode *config,
                       const StagesTrigger *trigger) {
    const YamlNode *time = stages_value(config, "cron_expression"), *place = stages_value(config, "timezone");
    _cleanup_talloc_ Zone *zone = NULL;
    size_t unused;
    Err err;

    if (cron_check(trigger->cron, &unused, &err) < 0)
        problems_at(&r->problems, time ? time : node, "\"cron_expression\": %s", err.msg);
    if (zone_read(trigger->timezone, NULL, &zone, &err) < 0)
        problems_at(&r->problems, place ? place : node, "\"timezone\": %s", err.msg);
}

static void read_trigger(StagesReader *r, const YamlNode *node, StagesTrigger *trigger) {
    const char *type = stages_text(node, "trigger_type");
    const YamlNode *config;

    if (node->kind != YAML_MAPPING) {
        problems_at(&r->problems, node, "a trigger: expected a mapping with \"trigger_type\"");
        return;
    }
    config = stages_mapping(r, node, "config");
    for (size_t i = 0; i < ELEMENTS(trigger_types); i++)
        if (strcasecmp(trigger_types[i][0], type) == 0)
            trigger->type = trigger_types[i][1];
    if (!trigger->type) {
        problems_at(&r->problems, node,
                    "unknown trigger type \"%s\"; expected webhook, schedule, manual, git_push, git_tag or "
                    "pull_request",
                    problems_show(&r->problems, type));
        return;
    }
    trigger->branches = read_patterns(r, config, "branch_patterns");
    trigger->tags = read_patterns(r, config, "tag_patterns");
    trigger->events = read_patterns(r, config, "events");
    trigger->repository = *stages_text(config, "repository") ? stages_text(config, "repository") : NULL;
    trigger->timezone = *stages_text(config, "timezone") ? stages_text(config, "timezone") : "UTC";
    if (!str_eq(trigger->type, "schedule"))
        return;
    trigger->cron = stages_text(config, "cron_expression");
    check_cron(r, node, config, trigger);
}

static void read_triggers(StagesReader *r, const YamlNode *root, StagesInfo *info) {
    const YamlNode *list = stages_list(r, root, "triggers", ITEMS_MAX);

    if (!list)
        return;
    info->triggers = mem_array(r->mem, StagesTrigger, list->count);
    info->trigger_count = list->count;
    for (size_t i = 0; i < list->count; i++)
        read_trigger(r, list->items[i], &info->triggers[i]);
}

void stages_read_file(StagesReader *r, const YamlNode *root, StagesFile *ret) {
    const char *description = stages_text(root, "description");

    if (root->kind != YAML_MAPPING) {
        problems_at(&r->problems, root, "expected a mapping with \"name\" and \"stages\", got %s",
                    yaml_kind_word(root));
        return;
    }
    ret->info = mem_new(r->mem, StagesInfo);
    ret->info->name = read_name(r, root, "Pipeline");
    ret->info->description = *description ? description : NULL;
    ret->env = read_env(r, root);
    read_secrets(r, root, &ret->secrets);
    ret->timeout = read_timeout(r, root);
    ret->retries = read_retries(r, root, 0);
    read_triggers(r, root, ret->info);
    read_stages(r, root, ret);
    stages_notices_read(r, root, ret);
}

/* ---- which trigger wants what ---- */

static bool fits(const char *const *patterns, const char *text) {
    bool fits = !patterns;

    for (size_t i = 0; patterns && patterns[i]; i++)
        fits = str_glob_next(fits, patterns[i], text);
    return fits;
}

const char *stages_repository_name(const char *repository, const void *mem) {
    const char *slash = strrchr(repository, '/'), *name = slash ? slash + 1 : repository;

    return mem_strndup(mem, name, strlen(name) - (str_ends(name, ".git") ? 4 : 0));
}

static bool same_repository(const char *a, const char *b) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    return str_eq(stages_repository_name(a, mem), stages_repository_name(b, mem));
}

/* Forges call a tag's push a push. */
static bool hears(const StagesTrigger *t, const char *event) {
    return fits(t->events, event) || (str_eq(event, "tag") && fits(t->events, "push"));
}

static bool trigger_wants(const StagesTrigger *t, const char *event, const char *ref) {
    bool tag = str_eq(event, "tag");

    if (str_eq(t->type, "webhook"))
        return hears(t, event) && (tag ? fits(t->tags, ref) : fits(t->branches, ref));
    if (str_eq(t->type, "git_push"))
        return str_eq(event, "push") && fits(t->branches, ref);
    if (str_eq(t->type, "git_tag"))
        return tag && fits(t->tags, ref);
    return str_eq(t->type, event) && fits(t->branches, ref);
}

bool stages_wants(const StagesInfo *info, const char *event, const char *ref, const char *repository) {
    if (str_eq(event, "manual"))
        return true;
    for (size_t i = 0; i < info->trigger_count; i++) {
        const StagesTrigger *t = &info->triggers[i];

        if (trigger_wants(t, event, ref) &&
            (!repository || !t->repository || same_repository(t->repository, repository)))
            return true;
    }
    return info->trigger_count == 0;
}
