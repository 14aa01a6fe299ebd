/* Steps that speak with a cloud, a cluster or a forge. They run in a later version; what they say is checked
 * already, so that a mistake is not found only then. Two vocabularies are about: parameters that are called
 * by the connector (aws_service), and `service` and `action` with parameters of their own. */
#include "pipeline/stages.h"

#include "base/str.h"

typedef enum ParamKind { PARAM_TEXT, PARAM_BOOL, PARAM_TEXTS, PARAM_RESOURCES } ParamKind;

/* A key of config.parameters, or of the config itself, and what may stand there. */
typedef struct ParamRule {
    const char *key;
    ParamKind kind;
    const char *words;              /* of a text: "ec2 ecs lambda"; NULL: what the test takes */
    bool (*test)(const char *text); /* NULL: all that is not empty */
    const char *expected;
} ParamRule;

/* What is asked for by `service` and `action`. */
typedef struct Operation {
    const char *service, *action; /* service NULL: of a forge */
    const char *needs;            /* "cluster service": texts that must be there */
    const char *also;             /* texts that may be; NULL: none */
} Operation;

typedef struct Connector {
    const char *types, *what;
    const char *prefixes; /* of keys that are its own: what else begins so is a mistake; NULL: none */
    const ParamRule *rules;
    const Operation *operations;
    const char *services; /* what `service` may say; NULL: it has none */
    const char *actions;  /* of a forge: what `action` may say besides */
} Connector;

/* ---- tests of texts ---- */

bool stages_in_words(const char *words, const char *text) {
    size_t len = strlen(text);

    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");

        if (word == len && strncasecmp(at, text, len) == 0)
            return true;
        at += word;
    }
    return false;
}

static bool is_subscription(const char *text) {
    size_t dashes = 0;

    for (const char *p = text; *p; p++)
        dashes += *p == '-';
    return strlen(text) == 36 && dashes == 4;
}

#define LOWER_CASE "abcdefghijklmnopqrstuvwxyz0123456789-"

static bool is_gcp_project(const char *text) {
    size_t len = strlen(text);

    return len >= 6 && len <= 30 && strspn(text, LOWER_CASE) == len;
}

static bool is_owner_and_name(const char *text) {
    const char *slash = strchr(text, '/');

    return slash && slash != text && slash[1] && !strchr(slash + 1, '/') && !strpbrk(text, " \t\n");
}

static bool is_gitlab_project(const char *text) {
    size_t slashes = 0;

    if (text[strspn(text, "0123456789")] == '\0')
        return true;
    for (const char *p = text; *p; p++)
        slashes += *p == '/';
    return slashes >= 1 && text[0] != '/' && !str_ends(text, "/") && !strstr(text, "//") &&
           !strpbrk(text, " \t\n");
}

static bool is_yaml_name(const char *text) {
    return str_ends(text, ".yml") || str_ends(text, ".yaml");
}

static bool is_namespace(const char *text) {
    size_t len = strlen(text);

    return len && len <= 63 && strspn(text, LOWER_CASE) == len && text[0] != '-' && text[len - 1] != '-';
}

static bool is_image(const char *text) {
    return !text[strcspn(text, " \t\n")];
}

/* A number, perhaps with a fraction; gives what stands behind it, or NULL. */
static const char *number_end(const char *text) {
    size_t whole = strspn(text, "0123456789"), part = 0;

    if (text[whole] == '.')
        part = strspn(text + whole + 1, "0123456789") + 1;
    return whole && part != 1 ? text + whole + part : NULL;
}

/* Kubernetes' quantities: 100m, 0.5, 2 */
static bool is_cpu(const char *text) {
    const char *unit = number_end(text);

    return unit && (!*unit || str_eq(unit, "m"));
}

/* 128Mi, 1G, bytes */
static bool is_memory(const char *text) {
    const char *unit = number_end(text);

    return unit && (!*unit || stages_in_words("Ki Mi Gi Ti Pi Ei k K M G T P E", unit));
}

/* ---- the connectors ---- */

static const ParamRule aws_rules[] = {
    {.key = "aws_region"},
    {.key = "aws_service", .words = "ec2 ecs lambda codebuild"},
    {.key = "aws_access_key_id"},
    {.key = "aws_secret_access_key"},
    {0},
};
static const Operation aws_operations[] = {
    {"ecs", "update-service", "cluster service", "task_definition"},
    {"lambda", "update-function-code", "function_name zip_file", NULL},
    {0},
};

static const ParamRule azure_rules[] = {
    {.key = "azure_subscription_id", .test = is_subscription, .expected = "36 characters with 4 hyphens"},
    {.key = "azure_resource_group"},
    {.key = "azure_service", .words = "aci aks functions devops acr"},
    {.key = "azure_region"},
    {.key = "azure_client_id"},
    {.key = "azure_client_secret"},
    {0},
};
static const Operation azure_operations[] = {
    {"container-instances", "create-or-update", "resource_group container_group image", NULL},
    {0},
};

#define GCP_SERVICES "gke cloud-run cloud-functions cloud-build compute-engine gcr artifact-registry"
static const ParamRule gcp_rules[] = {
    {.key = "gcp_project_id",
     .test = is_gcp_project,
     .expected = "6 to 30 lower case letters, digits and hyphens"},
    {.key = "gcp_region"},
    {.key = "gcp_zone"},
    {.key = "gcp_service", .words = GCP_SERVICES},
    {.key = "gcp_service_account_key"},
    {.key = "gke_cluster_name"},
    {0},
};
static const Operation gcp_operations[] = {
    {"cloud-run", "deploy", "service_name image", "region"},
    {0},
};

#define GITHUB_OPERATIONS "workflow_dispatch create_release upload_asset create_pr clone push"
static const ParamRule github_rules[] = {
    {.key = "github_repository", .test = is_owner_and_name, .expected = "OWNER/NAME"},
    {.key = "github_token"},
    {.key = "github_operation", .words = GITHUB_OPERATIONS},
    {.key = "github_workflow", .test = is_yaml_name, .expected = "a file that ends in .yml or .yaml"},
    {.key = "github_branch"},
    {0},
};
static const Operation github_operations[] = {
    {NULL, "create-release", "repository tag", "name body"},
    {NULL, "update-status", "commit state", "repository description context"},
    {NULL, "create-status", "sha state", "repository description context"},
    {0},
};

#define GITLAB_OPERATIONS "trigger_pipeline create_release upload_package create_mr clone push"
static const ParamRule gitlab_rules[] = {
    {.key = "gitlab_project", .test = is_gitlab_project, .expected = "a number or GROUP/NAME"},
    {.key = "gitlab_url", .test = str_is_web_url, .expected = "http:// or https:// and a host"},
    {.key = "gitlab_token"},
    {.key = "gitlab_operation", .words = GITLAB_OPERATIONS},
    {.key = "gitlab_ref"},
    {.key = "gitlab_variables", .kind = PARAM_TEXTS},
    {0},
};
static const Operation gitlab_operations[] = {
    {NULL, "mirror", "source_repo target_repo", "branch"},
    {NULL, "update-merge-request", "project_id merge_request_iid", "state"},
    {0},
};

static const ParamRule kubernetes_rules[] = {
    {.key = "image", .test = is_image, .expected = "a name without spaces"},
    {.key = "namespace",
     .test = is_namespace,
     .expected = "at most 63 lower case letters, digits and hyphens, none at its ends"},
    {.key = "manifest"},
    {.key = "helm_chart"},
    {.key = "use_pvc", .kind = PARAM_BOOL},
    {.key = "use_hostpath", .kind = PARAM_BOOL},
    {.key = "storage_class"},
    {.key = "storage_size", .test = is_memory, .expected = "an amount like 10Gi"},
    {.key = "service_account"},
    {.key = "resource_requests", .kind = PARAM_RESOURCES},
    {.key = "resource_limits", .kind = PARAM_RESOURCES},
    {0},
};

static const Connector connectors[] = {
    {"kubernetes k8s", "steps on Kubernetes", NULL, kubernetes_rules, NULL, NULL, NULL},
    {"aws a_w_s", "steps on AWS", "aws_", aws_rules, aws_operations, "ec2 ecs lambda codebuild", NULL},
    {"azure", "steps on Azure", "azure_", azure_rules, azure_operations,
     "aci aks functions devops acr container-instances", NULL},
    {"gcp g_c_p", "steps on Google Cloud", "gcp_ gke_", gcp_rules, gcp_operations, GCP_SERVICES, NULL},
    {"github git_hub", "steps on GitHub that do more than clone", "github_", github_rules, github_operations,
     NULL, GITHUB_OPERATIONS},
    {"gitlab git_lab", "steps on GitLab that do more than clone", "gitlab_", gitlab_rules, gitlab_operations,
     NULL, GITLAB_OPERATIONS},
};

static const Connector *connector_of(const StagesStep *step) {
    const char *type = stages_text(step->node, "step_type");

    for (size_t i = 0; i < ELEMENTS(connectors); i++)
        if (stages_in_words(connectors[i].types, type))
            return &connectors[i];
    return NULL;
}

/* ---- values ---- */

static const YamlNode *parameters_of(const StagesStep *step) {
    const YamlNode *parameters = stages_value(step->config, "parameters");

    return parameters && parameters->kind == YAML_MAPPING ? parameters : NULL;
}

static const YamlNode *param(const StagesStep *step, const char *key) {
    const YamlNode *node = stages_value(parameters_of(step), key);

    return node ? node : stages_value(step->config, key);
}

static const char *param_text(const StagesStep *step, const char *key) {
    const char *text = stages_text(parameters_of(step), key);

    return *text ? text : stages_text(step->config, key);
}

/* A text; false after a problem. */
static bool check_is_text(StagesReader *r, const StagesStep *step, const YamlNode *node, const char *key) {
    if (node->kind == YAML_SCALAR && *node->text)
        return true;
    stages_step_problem(r, step, node, "\"%s\": expected a text, got %s", key,
                        node->kind == YAML_SCALAR ? "an empty one" : yaml_kind_word(node));
    return false;
}

static void check_text(StagesReader *r, const StagesStep *step, const YamlNode *node, const ParamRule *rule) {
    const char *text = node->text;

    if (!check_is_text(r, step, node, rule->key) || stages_is_open(text) || (!rule->words && !rule->test) ||
        (rule->words ? stages_in_words(rule->words, text) : rule->test(text)))
        return;
    stages_step_problem(r, step, node, "\"%s\": expected %s%s, got \"%s\"", rule->key,
                        rule->words ? "one of " : "", rule->words ? rule->words : rule->expected,
                        problems_show(&r->problems, text));
}

static void check_texts(StagesReader *r, const StagesStep *step, const YamlNode *node, const char *key) {
    for (size_t i = 0; i < node->count; i++) {
        const YamlNode *value = node->pairs[i].value;

        if (value->kind != YAML_SCALAR)
            stages_step_problem(r, step, value, "\"%s.%s\": expected a text, got %s", key,
                                problems_show(&r->problems, node->pairs[i].key->text), yaml_kind_word(value));
    }
}

static void check_resources(StagesReader *r, const StagesStep *step, const YamlNode *node, const char *key) {
    static const ParamRule amounts[] = {
        {.key = "cpu", .test = is_cpu, .expected = "an amount like 100m or 0.5"},
        {.key = "memory", .test = is_memory, .expected = "an amount like 128Mi or 1G"},
    };

    for (size_t i = 0; i < ELEMENTS(amounts); i++) {
        const YamlNode *value = stages_value(node, amounts[i].key);
        ParamRule rule = amounts[i];

        rule.key = mem_printf(r->mem, "%s.%s", key, amounts[i].key);
        if (value)
            check_text(r, step, value, &rule);
    }
}

static void check_rule(StagesReader *r, const StagesStep *step, const ParamRule *rule) {
    const YamlNode *node = param(step, rule->key);
    bool unused;

    if (!node)
        return;
    if (rule->kind == PARAM_TEXT)
        check_text(r, step, node, rule);
    else if (rule->kind == PARAM_BOOL && (node->kind != YAML_SCALAR || !stages_is_open(node->text)) &&
             !yaml_as_bool(node, &unused))
        stages_step_problem(r, step, node, "\"%s\": expected true or false, got %s", rule->key,
                            yaml_kind_word(node));
    else if (rule->kind != PARAM_BOOL && node->kind != YAML_MAPPING)
        stages_step_problem(r, step, node, "\"%s\": expected a mapping, got %s", rule->key,
                            yaml_kind_word(node));
    else if (rule->kind == PARAM_TEXTS)
        check_texts(r, step, node, rule->key);
    else if (rule->kind == PARAM_RESOURCES)
        check_resources(r, step, node, rule->key);
}

/* ---- keys that nobody knows: what is not the connector's own may be anything, its documents have many ----
 */

static bool begins_with_one(const char *text, const char *prefixes) {
    for (const char *at = prefixes; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");

        if (strncmp(text, at, len) == 0)
            return true;
        at += len;
    }
    return false;
}

static void check_key(StagesReader *r, const StagesStep *step, const Connector *c, const YamlNode *key) {
    const char *words[32];
    size_t count = 0;

    for (const ParamRule *rule = c->rules; rule->key && count + 1 < ELEMENTS(words); rule++) {
        if (str_eq(rule->key, key->text))
            return;
        words[count++] = rule->key;
    }
    words[count] = NULL;
    if (c->prefixes ? begins_with_one(key->text, c->prefixes) : str_nearest(key->text, words) != NULL)
        stages_step_problem(r, step, key, "unknown key \"%s\"%s", problems_show(&r->problems, key->text),
                            problems_meant(&r->problems, str_nearest(key->text, words)));
}

static void check_keys(StagesReader *r, const StagesStep *step, const Connector *c, const YamlNode *mapping) {
    for (size_t i = 0; mapping && i < mapping->count; i++)
        check_key(r, step, c, mapping->pairs[i].key);
}

/* ---- service and action ---- */

/* A cloud's are parameters, for `service` may be both; a forge's may stand in the config as well. */
static const YamlNode *operation_param(const StagesStep *step, const Operation *operation, const char *key) {
    return operation->service ? stages_value(parameters_of(step), key) : param(step, key);
}

static void check_operation_texts(StagesReader *r, const StagesStep *step, const Operation *operation,
                                  const char *keys, bool needed) {
    const YamlNode *parameters = parameters_of(step);

    for (const char *at = keys ? keys : ""; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        const char *key = mem_strndup(r->mem, at, len);
        const YamlNode *node = operation_param(step, operation, key);

        if (node)
            check_is_text(r, step, node, key);
        else if (needed)
            stages_step_problem(r, step, parameters ? parameters : step->config, "missing \"%s\" for %s", key,
                                operation->action);
        at += len;
    }
}

/* What the actions of a service, or of a forge, are called; NULL: they are not known. */
static const char *actions_of(StagesReader *r, const Connector *c, const char *service) {
    _cleanup_buf_ Buf out = BUF_INIT;

    for (const Operation *o = c->operations; o->action; o++)
        if (!o->service || str_eq(o->service, service))
            buf_addf(&out, "%s%s", out.len ? " " : "", o->action);
    if (c->actions)
        buf_addf(&out, " %s", c->actions);
    return out.len ? buf_dup(&out, r->mem) : NULL;
}

static void check_operation(StagesReader *r, const StagesStep *step, const Connector *c) {
    const YamlNode *service = c->services ? stages_value(step->config, "service") : NULL;
    const YamlNode *action = stages_value(step->config, "action");
    ParamRule services = {.key = "service", .words = c->services}, actions = {.key = "action"};

    if (service)
        check_text(r, step, service, &services);
    actions.words = actions_of(r, c, stages_text(step->config, "service"));
    if (action)
        check_text(r, step, action, &actions);
    if (c->services && !service != !action)
        stages_step_problem(r, step, service ? service : action, "missing \"%s\" beside \"%s\"",
                            service ? "action" : "service", service ? "service" : "action");
    for (const Operation *o = c->operations; o->action; o++) {
        if (!str_eq(o->action, stages_text(step->config, "action")) ||
            (o->service && !str_eq(o->service, stages_text(step->config, "service"))))
            continue;
        check_operation_texts(r, step, o, o->needs, true);
        check_operation_texts(r, step, o, o->also, false);
    }
}

/* ---- the whole ---- */

void stages_later(StagesReader *r, const StagesStep *step, const char *what) {
    size_t before = r->problems.count;

    stages_step_problem(
        r, step, stages_value(step->node, "step_type"),
        "%s are run by a later version; until then, use a shell step with the command line tool", what);
    problems_set_kind(&r->problems, before, PLAN_PROBLEM_LATER);
}

bool stages_connector_clones(const StagesStep *step) {
    const char *github = param_text(step, "github_operation"), *gitlab = param_text(step, "gitlab_operation");
    const char *asked = *github ? github : *gitlab ? gitlab : stages_text(step->config, "action");

    return !*asked || str_eq(asked, "clone");
}

void stages_connector_check(StagesReader *r, const StagesStep *step) {
    const Connector *c = connector_of(step);

    for (const ParamRule *rule = c->rules; rule->key; rule++)
        check_rule(r, step, rule);
    check_keys(r, step, c, stages_mapping(r, step->config, "parameters"));
    if (c->prefixes)
        check_keys(r, step, c, step->config);
    if (c->operations)
        check_operation(r, step, c);
    stages_later(r, step, c->what);
}
