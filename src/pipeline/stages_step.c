/* The kinds of steps: a line each in a table, with how its config is checked and what becomes its script. */
#include "pipeline/stages.h"

#include "base/id.h"
#include "base/str.h"

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

static bool deploys(const StagesStep *step) {
    return name_begins(step, "deploy") || name_begins(step, "release");
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

/* "./a//b/" is "a/b", and "." nothing: how a specification has it. */
static const char *plain_path(const StagesReader *r, const char *path) {
    _cleanup_buf_ Buf out = BUF_INIT;
    size_t len;

    for (const char *at = path; *at; at += len + (at[len] == '/')) {
        len = strcspn(at, "/");
        if (len == 0 || (len == 1 && *at == '.'))
            continue;
        buf_adds(&out, out.len ? "/" : "");
        buf_add(&out, at, len);
    }
    return buf_dup(&out, r->mem);
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
        step->folder = plain_path(r, folder);
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

/* ---- docker ---- */

#define DEFAULT_IMAGE "ubuntu:latest"
#define TAGS_MAX 100

/* A Dockerfile is told from the workspace on; in our terms it is in its context. */
static void read_build(StagesReader *r, StagesStep *step) {
    const char *context = stages_text(step->config, "build_context"), *inside;
    const char *file = stages_text(step->config, "dockerfile");

    if (!is_inside(context) || !is_inside(file))
        stages_step_problem(r, step, step->config,
                            "\"dockerfile\" and \"build_context\": expected paths inside the workspace");
    context = plain_path(r, context);
    context = *context ? context : ".";
    file = plain_path(r, file);
    file = *file ? file : "Dockerfile";
    inside = str_after(file, context);
    if (inside && *inside == '/')
        file = inside + 1;
    else if (!str_eq(context, ".") && strchr(file, '/'))
        stages_step_problem(r, step, yaml_get(step->config, "dockerfile"),
                            "\"dockerfile\": expected a file below \"build_context\"");
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

/* One that is built to be run, and has no name, gets one that no other execution has. */
static const char *own_name(StagesReader *r) {
    char uuid[ID_UUID_SIZE];

    id_uuid(uuid);
    return mem_printf(r->mem, "pelton-step-%s", uuid);
}

static void read_tags(StagesReader *r, StagesStep *step, const char *image) {
    const YamlNode *tags = stages_list(r, step->config, "tags", TAGS_MAX);
    size_t count = 0;

    if (*image)
        mem_append(r->mem, step->tags, count, tag_of(r, step, image));
    for (size_t i = 0; tags && i < tags->count; i++)
        if (tags->items[i]->kind == YAML_SCALAR && *tags->items[i]->text)
            mem_append(r->mem, step->tags, count, tag_of(r, step, tags->items[i]->text));
        else
            stages_step_problem(r, step, tags->items[i], "\"tags\": expected names of images");
    step->push = *stages_text(step->config, "registry") && count > 0;
    if (count == 0 && step->run)
        mem_append(r->mem, step->tags, count, own_name(r));
    else if (count == 0)
        stages_step_problem(r, step, step->config, "\"image\": expected a name for the image that is built");
    mem_append(r->mem, step->tags, count, NULL);
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
    } else if (!step->run && *image && deploys(step)) {
        stages_later(r, step, "steps that deploy an image");
        return;
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

/* ---- what runs in a later version ---- */

/* A forge step without an action clones; that needs nothing but git. */
static void check_forge(StagesReader *r, StagesStep *step) {
    if (*stages_text(step->config, "repository_url") && stages_connector_clones(step))
        make_clone(r, step);
    else
        stages_connector_check(r, step);
}

static void check_connector(StagesReader *r, StagesStep *step) {
    stages_connector_check(r, step);
}

/* As a job of the cluster it has a script; what is deployed is described, or is the image itself. */
static void check_kubernetes(StagesReader *r, StagesStep *step) {
    bool described = *first_text(step, "manifest", "helm_chart");
    bool image = *stages_text(step->config, "image");

    if (!described && !image)
        stages_step_problem(r, step, step->config, "missing \"image\" in its config");
    if (!script_of(r, step) && !described && !(image && deploys(step)))
        stages_step_problem(
            r, step, step->config,
            "nothing to do; expected \"command\", \"script\", \"manifest\" or \"helm_chart\"");
    stages_connector_check(r, step);
}

static void check_custom(StagesReader *r, StagesStep *step) {
    const YamlNode *plugin = stages_value(step->config, "plugin_name");

    if (plugin && plugin->kind != YAML_SCALAR)
        stages_step_problem(r, step, plugin, "\"plugin_name\": expected a text, got %s",
                            yaml_kind_word(plugin));
    else if (!deploys(step) && !*stages_text(step->config, "plugin_name"))
        stages_step_problem(r, step, step->config,
                            "nothing to do; expected \"plugin_name\", or a name that begins with \"deploy\" "
                            "or \"release\"");
    stages_mapping(r, step->config, "plugin_config");
    stages_later(r, step, "custom steps (deployments, plugins)");
}

static const StagesKind kinds[] = {
    {"shell", check_shell, true},    {"docker", check_docker},        {"kubernetes k8s", check_kubernetes},
    {"aws a_w_s", check_connector},  {"azure", check_connector},      {"gcp g_c_p", check_connector},
    {"github git_hub", check_forge}, {"gitlab git_lab", check_forge}, {"custom", check_custom},
};

static const char *const kind_words[] = {"shell", "docker", "kubernetes", "aws",    "azure",
                                         "gcp",   "github", "gitlab",     "custom", NULL};

const StagesKind *stages_kind(StagesReader *r, const YamlNode *type, const StagesStep *step) {
    const char *text = type && type->kind == YAML_SCALAR && !yaml_is_null(type) ? type->text : "";

    if (!type || yaml_is_null(type)) /* what has an image wants a container */
        text = *stages_text(step->config, "image") ? "docker" : "shell";
    for (size_t i = 0; i < ELEMENTS(kinds); i++)
        if (stages_in_words(kinds[i].names, text))
            return &kinds[i];
    stages_step_problem(r, step, type,
                        "unknown step type \"%s\"%s; expected shell, docker, kubernetes, aws, azure, gcp, "
                        "github, gitlab or custom",
                        problems_show(&r->problems, text),
                        problems_meant(&r->problems, str_nearest(text, kind_words)));
    return NULL;
}
