/* What no key of a level tells by itself, and the same once more for the schema: a rule that is added to one
 * belongs to the other. */
#include "pipeline/lang_check.h"

#include "base/str.h"
#include "pipeline/spec.h"
#include "pipeline/template.h"
#include <ctype.h>

#define HOST_NAME_MAX_LEN 63

#define DIGITS_(number) #number
#define DIGITS(number) DIGITS_(number) /* of a macro's value */
#define RULE_IF(this, then) "{\"if\":" this ",\"then\":" then "}"
#define RULE_IS(key, word)                                                                                   \
    "{\"required\":[\"" key "\"],\"properties\":{\"" key "\":{\"const\":\"" word "\"}}}"
#define RULE_OF(key, rule) "{\"properties\":{\"" key "\":" rule "}}"
#define RULE_HAS_STEP(word)                                                                                  \
    "{\"required\":[\"steps\"],\"properties\":{\"steps\":{\"contains\":{\"type\":\"object\",\"allOf\":"      \
    "[" RULE_IS("uses", word) "]}}}}"

/* What a step `uses` needs the executor of that name, and a job has one. */
static void check_uses(LangReader *r, const PipeJob *job) {
    const YamlNode *executor = job->runs_on.executor;
    const PipeStep *steps = job->steps.items;

    for (size_t i = 0; i < job->steps.count; i++) {
        const YamlNode *word = steps[i].uses;

        if (!word || str_eq(spec_executor(job), word->text))
            continue;
        if (executor)
            lang_refuse(r, executor,
                        str_eq(word->text, "nix")
                            ? "`uses: nix` needs the executor \"nix\"; leave \"executor\" out"
                            : "`uses: docker` needs the executor \"docker\"; leave \"executor\" out");
        else
            lang_refuse(
                r, word,
                "needs another executor than the job's image or steps before; make it a job of its own");
    }
}

static void check_artifacts(LangReader *r, const PipeJob *job) {
    const PipeArtifact *artifacts = job->artifacts.items;

    for (size_t i = 0; i < job->artifacts.count; i++)
        for (size_t k = 0; k < i && artifacts[i].name; k++)
            if (artifacts[k].name && str_eq(artifacts[i].name->text, artifacts[k].name->text)) {
                lang_refuse(r, artifacts[i].name,
                            "another of its artifacts has this name; put their \"paths\" together");
                break;
            }
}

/* One that is known only as the job runs is the engine's to judge. */
static bool is_image(const YamlNode *node, bool is_new) {
    return !node || template_is(node->text) || lang_is_image(node->text, is_new);
}

static void check_images(LangReader *r, const PipeJob *job) {
    static const char expected[] =
        "no image is called so; expected NAME:TAG or REGISTRY/NAME:TAG, the name in lower case";
    const PipeService *services = job->services.items;

    if (!is_image(job->image.name, false))
        lang_refuse(r, job->image.name, expected);
    for (size_t i = 0; i < job->services.count; i++)
        if (!is_image(services[i].image, false))
            lang_refuse(r, services[i].image, expected);
}

/* A label of a host's name (RFC 1123, 2.1), with the `_` that engines take as well. */
static bool is_host_name(const char *name) {
    static const char all[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(name);

    return len > 0 && len <= HOST_NAME_MAX_LEN && strspn(name, all) == len &&
           isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[len - 1]);
}

static void check_services(LangReader *r, const PipeJob *job) {
    const PipeService *services = job->services.items;

    for (size_t i = 0; i < job->services.count; i++)
        if (str_eq(services[i].name->text, "localhost"))
            lang_refuse(
                r, services[i].name,
                "\"localhost\" is the job itself; steps reach a service by its name: take another one");
        else if (str_is_name(services[i].name->text, LANG_MAX_NAME) && !is_host_name(services[i].name->text))
            lang_refuse(
                r, services[i].name,
                "steps reach a service by its name, so it is that of a host: small letters, digits, - and "
                "_, a letter or digit first and last, at most 63");
}

static void check_secrets(LangReader *r, const PipeJob *job) {
    for (size_t i = 0; i < job->secrets.count; i++)
        if (!lang_is_variable(job->secrets.items[i]))
            lang_refuse(r, job->secrets.items[i],
                        "a secret's name has letters, digits and _, not a digit first");
        else if (plan_sets_variable(job->secrets.items[i]->text))
            lang_refuse(
                r, job->secrets.items[i],
                "Pelton sets a variable of that name in every step, over the secret; take another name");
}

static void check_counts(LangReader *r, const YamlNode *node, const PipeJob *job) {
    const struct {
        const char *key, *what;
        size_t count, max;
    } lists[] = {
        {"steps", "more than " DIGITS(LANG_MAX_JOB_LIST) " steps in one job", job->steps.count,
         LANG_MAX_JOB_LIST},
        {"artifacts", "more than " DIGITS(LANG_MAX_JOB_LIST) " artifacts of one job", job->artifacts.count,
         LANG_MAX_JOB_LIST},
        {"download", "more than " DIGITS(LANG_MAX_JOB_LIST) " downloads of one job", job->download.count,
         LANG_MAX_JOB_LIST},
        {"cache", "more than " DIGITS(LANG_MAX_CACHES) " caches of one job", job->cache.count,
         LANG_MAX_CACHES},
    };

    for (size_t i = 0; i < ELEMENTS(lists); i++)
        if (lists[i].count > lists[i].max)
            lang_refuse(r, yaml_get(node, lists[i].key), lists[i].what);
}

/* What an engine does is asked of one. */
void lang_check_job(LangReader *r, const YamlNode *node, const void *target) {
    const PipeJob *job = target;
    const YamlNode *executor = job->runs_on.executor;

    if (job->image.name && executor && !str_eq(executor->text, "docker"))
        lang_refuse(r, executor, "an image needs the executor \"docker\"; leave \"executor\" out");
    check_counts(r, node, job);
    check_uses(r, job);
    check_artifacts(r, job);
    check_images(r, job);
    check_services(r, job);
    check_secrets(r, job);
    if (job->services.count && !job->image.name && !r->problems->lacking)
        lang_refuse(r, yaml_get(node, "services"),
                    "services are reached from a container: the job needs an \"image\"");
}

const char *const lang_rules_job[] = {
    /* services need an image */
    RULE_IF("{\"required\":[\"services\"],\"properties\":{\"services\":{\"minProperties\":1}}}",
            "{\"required\":[\"image\"]}"),
    /* an image and `uses: docker` need the executor docker */
    RULE_IF("{\"anyOf\":[{\"required\":[\"image\"]}," RULE_HAS_STEP("docker") "]}",
            RULE_OF("runs-on", RULE_OF("executor", "{\"not\":{\"enum\":[\"sandbox\",\"shell\",\"nix\"]}}"))),
    /* `uses: nix` needs the executor nix */
    RULE_IF(
        RULE_HAS_STEP("nix"),
        RULE_OF("runs-on", RULE_OF("executor", "{\"not\":{\"enum\":[\"sandbox\",\"shell\",\"docker\"]}}"))),
    RULE_IF(RULE_HAS_STEP("nix"),
            "{\"not\":{\"anyOf\":[{\"required\":[\"image\"]}," RULE_HAS_STEP("docker") "]}}"),
    /* of one job */
    RULE_OF("steps", "{\"maxItems\":" DIGITS(LANG_MAX_JOB_LIST) "}"),
    RULE_OF("artifacts", "{\"maxItems\":" DIGITS(LANG_MAX_JOB_LIST) "}"),
    RULE_OF("download", "{\"maxItems\":" DIGITS(LANG_MAX_JOB_LIST) "}"),
    RULE_OF("cache", "{\"maxItems\":" DIGITS(LANG_MAX_CACHES) "}"),
    /* no secret has the name of a variable of ours, and none is a number */
    RULE_OF("secrets", "{\"not\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
                       "ours\"},{\"type\":\"number\"},{\"type\":\"array\",\"contains\":{\"anyOf\":[{\"$ref\":"
                       "\"#/$defs/ours\"},{\"type\":\"number\"}]}}]}}"),
    NULL,
};

/* ---- steps ---- */

static void check_tags(LangReader *r, const PipeWith *with) {
    for (size_t i = 0; i < with->tag.count; i++)
        if (!is_image(with->tag.items[i], true))
            lang_refuse(
                r, with->tag.items[i],
                "no image can be called so; expected NAME:TAG or REGISTRY/NAME:TAG, the name in lower case");
}

/* Whether the key is there, be its value good or bad: a bad one has been told already. */
static bool says(const PipeWith *with, const char *key) {
    return yaml_get(with->node, key) != NULL;
}

static void lack_tag(LangReader *r, const PipeWith *with) {
    LangPlace place = {.up = r->place, .level = &lang_with, .name = "with"};

    r->place = &place;
    lang_missing(r, with->node, "tag");
    r->place = place.up;
}

static void check_docker(LangReader *r, const PipeWith *with) {
    check_tags(r, with);
    if (!says(with, "tag"))
        lack_tag(r, with);
    else if (!says(with, "build") && !with->push)
        lang_refuse(r, with->node, "expected \"build\", \"push\" or both");
    if (says(with, "check") || says(with, "packages"))
        lang_refuse(r, with->node, "\"check\" and \"packages\" are for `uses: nix`");
}

/* A word of nix's command line: no option of its own, and one word. */
static void check_flake(LangReader *r, const YamlNode *node) {
    bool fine = node->text[0] != '-';

    for (size_t i = 0; fine && i < node->len; i++)
        fine = isgraph((unsigned char)node->text[i]) || (unsigned char)node->text[i] >= 0x80;
    if (!fine)
        lang_refuse(r, node,
                    "expected what nix builds or checks, as `.#hello`: no option, and without spaces");
}

/* Keys of `with` that are for docker alone. */
static bool is_of_docker(const LangKey *key) {
    return !str_eq(key->name, "check") && !str_eq(key->name, "packages");
}

static void check_nix(LangReader *r, const PipeWith *with) {
    bool other = false;

    for (size_t i = 0; i < lang_with.count; i++)
        other = other || (is_of_docker(&lang_with.keys[i]) && says(with, lang_with.keys[i].name));
    if (other)
        lang_refuse(r, with->node, "`uses: nix` takes \"check\" or \"packages\" only");
    else if (says(with, "check") == says(with, "packages"))
        lang_refuse(r, with->node, "expected either \"check\" or \"packages\"");
    if (with->check)
        check_flake(r, with->check);
    for (size_t i = 0; i < with->packages.count; i++)
        check_flake(r, with->packages.items[i]);
}

void lang_check_step(LangReader *r, const YamlNode *node, const void *target) {
    const PipeStep *step = target;

    if (!yaml_get(node, "run") && !yaml_get(node, "uses"))
        lang_missing(r, node, "run");
    if (step->run.node && step->uses)
        lang_refuse(r, step->uses, "a step has \"run\" or \"uses\", not both");
    if (step->uses && !yaml_get(node, "with"))
        lang_missing(r, node, "with");
    if (step->with && !yaml_get(node, "uses"))
        lang_refuse(r, step->with->node, "\"with\" is for a step with \"uses\"");
    else if (step->with && step->with->node->kind != YAML_MAPPING)
        return;
    else if (step->with && str_eq(lang_text(step->uses), "docker"))
        check_docker(r, step->with);
    else if (step->with && step->uses)
        check_nix(r, step->with);
}

const char *const lang_rules_step[] = {
    "{\"oneOf\":[{\"required\":[\"run\"]},{\"required\":[\"uses\"]}]}",
    "{\"dependentRequired\":{\"uses\":[\"with\"],\"with\":[\"uses\"]}}",
    RULE_IF(RULE_IS("uses", "docker"),
            RULE_OF("with", "{\"required\":[\"tag\"],\"properties\":{\"check\":false,\"packages\":false},"
                            "\"anyOf\":[{\"required\":[\"build\"]},{\"required\":[\"push\"],\"properties\":{"
                            "\"push\":{\"not\":{\"const\":false}}}}]}")),
    RULE_IF(RULE_IS("uses", "nix"), RULE_OF("with", "{\"propertyNames\":{\"enum\":[\"check\",\"packages\"]},"
                                                    "\"minProperties\":1,\"maxProperties\":1}")),
    NULL,
};

/* ---- the rest ---- */

void lang_check_download(LangReader *r, const YamlNode *node, const void *target) {
    if (!yaml_get(node, "name") && !yaml_get(node, "job"))
        lang_refuse(r, node, "expected \"name\", \"job\" or both");
}

const char *const lang_rules_download[] = {
    "{\"anyOf\":[{\"required\":[\"name\"]},{\"required\":[\"job\"]}]}",
    NULL,
};

const char *const lang_rules_input[] = {
    /* see check_input of inputs.c */
    RULE_IF(RULE_IS("type", "choice"), "{\"required\":[\"options\"]}"),
    RULE_IF("{\"required\":[\"options\"]}",
            RULE_OF("type", "{\"not\":{\"enum\":[\"string\",\"number\",\"boolean\"]}}")),
    RULE_IF(
        RULE_IS("type", "boolean"),
        RULE_OF("default",
                "{\"anyOf\":[{\"enum\":[true,false,\"true\",\"false\"]},{\"$ref\":\"#/$defs/template\"}]}")),
    RULE_IF(RULE_IS("type", "number"),
            RULE_OF("default", "{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"string\",\"pattern\":\"^[-.0-9]"
                               "+$\"},{\"$ref\":\"#/$defs/template\"}]}")),
    NULL,
};

const char *const lang_rules_on[] = {
    "{\"minProperties\":1}",
    NULL,
};

const char *const lang_rules_file[] = {
    /* see read_file of plan.c, link_deploy of graph.c */
    "{\"anyOf\":[{\"required\":[\"jobs\"]},{\"required\":[\"deploy\"]}]}",
    RULE_IF("{\"required\":[\"deploy\"]}",
            RULE_OF("jobs", "{\"propertyNames\":{\"not\":{\"const\":\"deploy\"}}}")),
    NULL,
};
