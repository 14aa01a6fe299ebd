/* The kinds of steps: a line each in a table, with how its config is checked and what becomes its script. */
#include "pipeline/stages.h"

#include "base/str.h"
#include <ctype.h>

/* ---- scripts of steps that have none of their own; what they work on comes as environment ---- */

static const char clone_script[] =
    "export GIT_TERMINAL_PROMPT=0\n"
    "mkdir -p \"${CLONE_DIR:-.}\" && cd \"${CLONE_DIR:-.}\"\n"
    "[ -e .git ] || git init -q .\n"
    "set --\n"
    "CLONE_LOGIN=${CLONE_LOGIN:-${GITHUB_TOKEN:-${ACCESS_TOKEN:-}}}\n"
    "if [ -n \"$CLONE_LOGIN\" ]; then\n"
    "    case $CLONE_LOGIN in *:*) ;; *) CLONE_LOGIN=x-access-token:$CLONE_LOGIN ;; esac\n"
    "    export CLONE_LOGIN\n"
    "    set -- -c credential.helper= -c 'credential.helper=!f() { echo \"username=${CLONE_LOGIN%%:*}\";"
    " echo \"password=${CLONE_LOGIN#*:}\"; }; f'\n"
    "fi\n"
    "git \"$@\" fetch -q --depth 1 -- \"$CLONE_URL\" \"${CLONE_COMMIT:-${CLONE_BRANCH:-HEAD}}\"\n"
    "git checkout -q --force --detach FETCH_HEAD\n"
    "git log -1 --format='%H %s'\n";

static const char build_script[] =
    "if [ -f package.json ]; then\n"
    "    if [ -f package-lock.json ]; then npm ci; else npm install; fi\n"
    "    npm run build --if-present\n"
    "elif [ -f requirements.txt ]; then pip install -r requirements.txt\n"
    "elif [ -f pyproject.toml ]; then pip install .\n"
    "elif [ -f Cargo.toml ]; then cargo build --release\n"
    "elif [ -f pom.xml ]; then mvn -B package\n"
    "elif [ -f build.gradle ]; then if [ -x ./gradlew ]; then ./gradlew build; else gradle build; fi\n"
    "elif [ -f go.mod ]; then go build ./...\n"
    "elif [ -n \"$(find . -maxdepth 1 -name '*.csproj' -o -maxdepth 1 -name '*.sln')\" ]; then dotnet build\n"
    "elif [ -f index.html ]; then echo 'static files: nothing to build'\n"
    "else\n"
    "    echo 'nothing here says how it is built (package.json, requirements.txt, pyproject.toml, Cargo.toml,"
    " pom.xml, build.gradle, go.mod, *.csproj, index.html); give the step a command' >&2\n"
    "    exit 1\n"
    "fi\n";

/* ---- reading a config ---- */

static bool name_begins(const StagesStep *step, const char *word) {
    return strncasecmp(step->name, word, strlen(word)) == 0;
}

/* A script may be one text or a list of lines. */
static void add_script(StagesReader *r, const StagesStep *step, const char *key, Buf *out) {
    const YamlNode *node = step->config ? yaml_get(step->config, key) : NULL;

    if (!node || yaml_is_null(node))
        return;
    if (node->kind == YAML_SCALAR) {
        buf_addf(out, "%s%s", out->len ? "\n" : "", node->text);
        return;
    }
    if (node->kind == YAML_MAPPING) {
        stages_step_problem(r, step, node, "\"%s\": expected a script or a list of commands", key);
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        if (node->items[i]->kind == YAML_SCALAR)
            buf_addf(out, "%s%s", out->len ? "\n" : "", node->items[i]->text);
        else
            stages_step_problem(r, step, node->items[i], "\"%s\": expected a list of commands", key);
}

static const char *script_of(StagesReader *r, const StagesStep *step) {
    _cleanup_buf_ Buf out = BUF_INIT;

    add_script(r, step, "command", &out);
    add_script(r, step, "script", &out);
    return buf_str(&out)[strspn(buf_str(&out), " \t\r\n")] ? buf_dup(&out, r->mem) : NULL;
}

static bool is_inside(const char *folder) {
    size_t len;

    if (*folder == '/' || strlen(folder) > 1024)
        return false;
    for (const char *at = folder; *at; at += len + (at[len] == '/')) {
        len = strcspn(at, "/");
        if (len == 2 && memcmp(at, "..", 2) == 0)
            return false;
    }
    return true;
}

/* Folders are of the workspace; /workspace is how a container sees it. */
static void read_folder(StagesReader *r, StagesStep *step) {
    const char *folder = stages_text(step->config, "working_directory");
    const char *inside = str_after(folder, "/workspace");

    if (inside && (!*inside || *inside == '/'))
        folder = inside + strspn(inside, "/");
    if (*folder && !is_inside(folder))
        stages_step_problem(r, step, yaml_get(step->config, "working_directory"),
                            "\"working_directory\": expected a folder of the workspace, got \"%s\"",
                            problems_show(&r->problems, folder));
    else
        step->folder = folder;
}

static void add_var(StagesReader *r, StagesStep *step, const char *name, const char *value) {
    StagesVar var = {name, value};

    if (!str_empty(value))
        mem_append(r->mem, step->vars, step->var_count, var);
}

static const char *first_text(const StagesStep *step, const char *key, const char *other) {
    const char *text = stages_text(step->config, key);

    return *text ? text : stages_text(step->config, other);
}

/* `credentials: NAME` is a secret: a token, or a user and a password with a colon between; `${NAME}` any
 * variable. */
static void read_credentials(StagesReader *r, StagesStep *step) {
    const char *text = stages_text(step->config, "credentials"), *name = text;
    bool variable = str_after(text, "${") && str_ends(text, "}");

    if (!*text)
        return;
    if (variable)
        name = mem_strndup(r->mem, text + 2, strlen(text) - 3);
    if (!stages_is_variable(name)) {
        stages_step_problem(r, step, yaml_get(step->config, "credentials"),
                            "\"credentials\": expected the name of a secret or ${VARIABLE}, got \"%s\"",
                            problems_show(&r->problems, text));
        return;
    }
    if (!variable)
        stages_secrets_add(&step->secrets, name, r->mem);
    step->run = mem_printf(r->mem, "CLONE_LOGIN=\"${%s-}\"\n%s", name, clone_script);
}

static void make_clone(StagesReader *r, StagesStep *step) {
    add_var(r, step, "CLONE_URL", stages_text(step->config, "repository_url"));
    add_var(r, step, "CLONE_BRANCH", stages_text(step->config, "branch"));
    add_var(r, step, "CLONE_COMMIT", stages_text(step->config, "commit"));
    add_var(r, step, "CLONE_DIR", first_text(step, "working_directory", "target_directory"));
    step->run = clone_script;
    read_credentials(r, step);
}

static bool detection(const StagesStep *step) {
    bool off = false;
    const YamlNode *node = step->config ? yaml_get(step->config, "disable_deployment_detection") : NULL;

    return !(node && yaml_as_bool(node, &off) && off);
}

/* ---- shell ---- */

static void check_shell(StagesReader *r, StagesStep *step) {
    size_t before = r->problems.count;
    bool detect = detection(step);
    bool clone = *stages_text(step->config, "repository_url") &&
                 (name_begins(step, "clone") || name_begins(step, "checkout"));

    step->run = script_of(r, step);
    if (clone && detect) {
        make_clone(r, step);
        return;
    }
    read_folder(r, step);
    if (step->run || r->problems.count != before)
        return;
    if (detect && (name_begins(step, "build") || name_begins(step, "compile")))
        step->run = build_script;
    else
        stages_step_problem(r, step, step->node,
                            "nothing to run; expected \"command\" or \"script\" in its config");
}

/* ---- what runs in a later version: checked already, so that a mistake is not found only then ---- */

static void later(StagesReader *r, const StagesStep *step, const char *what) {
    r->later++;
    stages_step_problem(
        r, step, step->node,
        "%s are run by a later version; until then, use a shell step with the command line tool", what);
}

/* ---- docker ---- */

#define DEFAULT_IMAGE "ubuntu:latest"

/* A Dockerfile is told from the workspace on; in our terms it is in its context. */
static void read_build(StagesReader *r, StagesStep *step) {
    const char *context = stages_text(step->config, "build_context"), *inside;
    const char *file = stages_text(step->config, "dockerfile");
    size_t len;

    context = *context ? context : ".";
    while (context[0] == '.' && context[1] == '/')
        context += 2;
    len = strlen(context) - (str_ends(context, "/") && context[1] ? 1 : 0);
    context = mem_strndup(r->mem, context, len);
    while (file[0] == '.' && file[1] == '/')
        file += 2;
    file = *file ? file : "Dockerfile";
    inside = str_after(file, context);
    if (inside && *inside == '/')
        file = inside + 1;
    else if (!str_eq(context, ".") && strchr(file, '/'))
        stages_step_problem(r, step, yaml_get(step->config, "dockerfile"),
                            "\"dockerfile\": expected a file below \"build_context\"");
    if (!is_inside(context) || !is_inside(file))
        stages_step_problem(r, step, step->config,
                            "\"dockerfile\" and \"build_context\": expected paths inside the workspace");
    step->builds = true;
    step->context = context;
    step->file = file;
}

/* A name without a registry's gets the one that the step says. */
static const char *tag_of(StagesReader *r, const StagesStep *step, const char *name) {
    const char *registry = stages_text(step->config, "registry");
    bool has = str_after(name, registry) != NULL;

    return *registry && !has
               ? mem_printf(r->mem, "%s%s%s", registry, str_ends(registry, "/") ? "" : "/", name)
               : name;
}

static void read_tags(StagesReader *r, StagesStep *step, const char *image) {
    const YamlNode *tags = step->config ? yaml_get(step->config, "tags") : NULL;
    size_t count = 0;

    if (*image)
        mem_append(r->mem, step->tags, count, tag_of(r, step, image));
    for (size_t i = 0; tags && tags->kind == YAML_SEQUENCE && i < tags->count && i < 100; i++)
        if (tags->items[i]->kind == YAML_SCALAR)
            mem_append(r->mem, step->tags, count, tag_of(r, step, tags->items[i]->text));
    if (count == 0)
        stages_step_problem(r, step, step->config, "\"image\": expected a name for the image that is built");
    mem_append(r->mem, step->tags, count, NULL);
    step->push = *stages_text(step->config, "registry") && count > 1;
}

/* A folder of the workspace is known before; one of the container's own is gone to by the script. */
static void read_container_folder(StagesReader *r, StagesStep *step) {
    const char *folder = stages_text(step->config, "working_directory");
    const char *inside = str_after(folder, "/workspace");

    if (*folder != '/' || (inside && (!*inside || *inside == '/'))) {
        read_folder(r, step);
        return;
    }
    add_var(r, step, "STEP_FOLDER", folder);
    step->run = mem_printf(r->mem, "mkdir -p \"$STEP_FOLDER\" && cd \"$STEP_FOLDER\"\n%s", step->run);
}

static void check_docker(StagesReader *r, StagesStep *step) {
    const char *image = stages_text(step->config, "image");

    step->run = script_of(r, step);
    if (image[strcspn(image, " \t\n")]) {
        stages_step_problem(r, step, yaml_get(step->config, "image"),
                            "\"image\": a name has no spaces in it");
        return;
    }
    if (*stages_text(step->config, "dockerfile") || *stages_text(step->config, "build_context")) {
        read_build(r, step);
        read_tags(r, step, image);
    } else if (!step->run) {
        stages_step_problem(
            r, step, step->node,
            "nothing to do; expected \"command\", \"script\" or \"dockerfile\" in its config");
        return;
    }
    if (!step->run)
        return;
    step->image = step->builds ? step->tags[0] : *image ? image : DEFAULT_IMAGE;
    read_container_folder(r, step);
}

/* ---- the connectors' keys ---- */

/* A key of config.parameters (or of the config itself) and what may stand there. */
typedef struct ParamRule {
    const char *key;
    const char *words; /* "ec2 ecs lambda"; NULL: anything the test takes */
    bool (*test)(const char *text);
    const char *expected;
} ParamRule;

static bool is_subscription(const char *text) {
    size_t dashes = 0;

    for (const char *p = text; *p; p++)
        dashes += *p == '-';
    return strlen(text) == 36 && dashes == 4;
}

static bool is_gcp_project(const char *text) {
    size_t len = strlen(text);

    return len >= 6 && len <= 30 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
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
    return slashes >= 1 && slashes <= 2 && text[0] != '/' && !str_ends(text, "/") && !strpbrk(text, " \t\n");
}

static bool is_yaml_name(const char *text) {
    return str_ends(text, ".yml") || str_ends(text, ".yaml");
}

static bool is_web_url(const char *text) {
    return str_after(text, "http://") || str_after(text, "https://");
}

static bool is_namespace(const char *text) {
    size_t len = strlen(text);

    return len && len <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
           text[0] != '-' && text[len - 1] != '-';
}

static const ParamRule aws_rules[] = {
    {.key = "aws_service", .words = "ec2 ecs lambda codebuild"},
    {0},
};
static const ParamRule azure_rules[] = {
    {.key = "azure_subscription_id", .test = is_subscription, .expected = "36 characters with 4 hyphens"},
    {.key = "azure_service", .words = "aci aks functions devops acr"},
    {0},
};
static const ParamRule gcp_rules[] = {
    {.key = "gcp_project_id",
     .test = is_gcp_project,
     .expected = "6 to 30 lower case letters, digits and hyphens"},
    {.key = "gcp_service",
     .words = "gke cloud-run cloud-functions cloud-build compute-engine gcr artifact-registry"},
    {0},
};
static const ParamRule github_rules[] = {
    {.key = "github_repository", .test = is_owner_and_name, .expected = "OWNER/NAME"},
    {.key = "github_operation",
     .words = "workflow_dispatch create_release upload_asset create_pr clone push"},
    {.key = "github_workflow", .test = is_yaml_name, .expected = "a file that ends in .yml or .yaml"},
    {0},
};
static const ParamRule gitlab_rules[] = {
    {.key = "gitlab_project", .test = is_gitlab_project, .expected = "a number or GROUP/NAME"},
    {.key = "gitlab_url", .test = is_web_url, .expected = "http:// or https://"},
    {.key = "gitlab_operation",
     .words = "trigger_pipeline create_release upload_package create_mr clone push"},
    {0},
};
static const ParamRule kubernetes_rules[] = {
    {.key = "namespace",
     .test = is_namespace,
     .expected = "at most 63 lower case letters, digits and hyphens, none at its ends"},
    {0},
};

static bool in_words(const char *words, const char *text, size_t len) {
    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");

        if (word == len && strncasecmp(at, text, len) == 0)
            return true;
        at += word;
    }
    return false;
}

/* Values with ${…} in them are not known yet. */
static void check_rules(StagesReader *r, const StagesStep *step, const ParamRule *rules) {
    const YamlNode *parameters = step->config ? yaml_get(step->config, "parameters") : NULL;

    for (; rules->key; rules++) {
        const char *text = stages_text(parameters, rules->key);
        bool fine;

        if (!*text)
            text = stages_text(step->config, rules->key);
        fine = !*text || strstr(text, "${") ||
               (rules->words ? in_words(rules->words, text, strlen(text)) : rules->test(text));
        if (!fine)
            stages_step_problem(r, step, step->config, "\"%s\": expected %s%s, got \"%s\"", rules->key,
                                rules->words ? "one of " : "", rules->words ? rules->words : rules->expected,
                                problems_show(&r->problems, text));
    }
}

static void check_cloud(StagesReader *r, const StagesStep *step, const ParamRule *rules, const char *what) {
    size_t before = r->problems.count;

    check_rules(r, step, rules);
    if (r->problems.count == before)
        later(r, step, what);
}

static void check_aws(StagesReader *r, StagesStep *step) {
    check_cloud(r, step, aws_rules, "steps on AWS");
}

static void check_azure(StagesReader *r, StagesStep *step) {
    check_cloud(r, step, azure_rules, "steps on Azure");
}

static void check_gcp(StagesReader *r, StagesStep *step) {
    check_cloud(r, step, gcp_rules, "steps on Google Cloud");
}

static void check_kubernetes(StagesReader *r, StagesStep *step) {
    size_t before = r->problems.count;

    check_rules(r, step, kubernetes_rules);
    if (!script_of(r, step) && !*first_text(step, "manifest", "helm_chart"))
        stages_step_problem(
            r, step, step->node,
            "nothing to do; expected \"command\", \"script\", \"manifest\" or \"helm_chart\"");
    if (r->problems.count == before)
        later(r, step, "steps on Kubernetes");
}

/* A forge step without an action clones; that needs nothing but git. */
static void check_forge(StagesReader *r, StagesStep *step, const char *operation, const ParamRule *rules,
                        const char *what) {
    const YamlNode *parameters = step->config ? yaml_get(step->config, "parameters") : NULL;
    const char *asked = stages_text(parameters, operation);

    if (!*asked)
        asked = stages_text(step->config, "action");
    if (*stages_text(step->config, "repository_url") && (!*asked || str_eq(asked, "clone")))
        make_clone(r, step);
    else
        check_cloud(r, step, rules, what);
}

static void check_github(StagesReader *r, StagesStep *step) {
    check_forge(r, step, "github_operation", github_rules, "steps on GitHub that do more than clone");
}

static void check_gitlab(StagesReader *r, StagesStep *step) {
    check_forge(r, step, "gitlab_operation", gitlab_rules, "steps on GitLab that do more than clone");
}

static void check_custom(StagesReader *r, StagesStep *step) {
    later(r, step, "custom steps (deployments, plugins)");
}

static const StagesKind kinds[] = {
    {"shell", check_shell},           {"docker", check_docker},         {"kubernetes k8s", check_kubernetes},
    {"aws a_w_s", check_aws},         {"azure", check_azure},           {"gcp g_c_p", check_gcp},
    {"github git_hub", check_github}, {"gitlab git_lab", check_gitlab}, {"custom", check_custom},
};

static const char *const kind_words[] = {"shell", "docker", "kubernetes", "aws",    "azure",
                                         "gcp",   "github", "gitlab",     "custom", NULL};

const StagesKind *stages_kind(StagesReader *r, const YamlNode *type, const StagesStep *step) {
    const char *text = type && type->kind == YAML_SCALAR && !yaml_is_null(type) ? type->text : "";

    if (!type || yaml_is_null(type)) /* what has an image wants a container */
        text = *stages_text(step->config, "image") ? "docker" : "shell";
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (in_words(kinds[i].names, text, strlen(text)))
            return &kinds[i];
    stages_step_problem(r, step, type,
                        "unknown step type \"%s\"%s; expected shell, docker, kubernetes, aws, azure, gcp, "
                        "github, gitlab or custom",
                        problems_show(&r->problems, text),
                        problems_meant(&r->problems, str_nearest(text, kind_words)));
    return NULL;
}
