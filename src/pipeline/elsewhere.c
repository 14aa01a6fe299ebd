#include "pipeline/elsewhere.h"

#include "base/str.h"

#define OF_A_JOB "it belongs to a job, or to a template that jobs extend"
#define NO_CONTAINER_S "what steps share is the workspace; what they keep, \"artifacts\" and \"cache\""
#define NO_PRIVILEGES "no job is privileged: images are built by a step with `uses: docker`"
#define NO_PERMISSIONS "a job has the secrets that it names, and no more: leave it out"
#define OTHER_FILES "other files come by \"include\", parts of jobs by \"templates\" and \"extends\""

/* words: "a b c"; "a*": whatever begins so. */
typedef struct Elsewhere {
    const LangLevel *level;
    const char *words, *advice;
} Elsewhere;

static const Elsewhere keys[] = {
    {&lang_file, "name", "a pipeline has no name: leave it out"},
    {&lang_file, "default", "what jobs have in common stands in \"templates\", which they extend"},
    {&lang_file, "stages", "a job starts when those have ended that its \"needs\" names: leave it out"},
    {&lang_file,
     "image services cache before_script after_script steps script commands artifacts tags labels retry "
     "matrix "
     "needs depends_on clone skip_clone volumes platform runs-on secrets if",
     OF_A_JOB},
    {&lang_file, "permissions", NO_PERMISSIONS},
    {&lang_file, "kind type", "a pipeline of Drone is a job here, beneath \"jobs\""},
    {&lang_on, "branch branches paths", "it belongs to an event: on: {push: {branches: [main]}}"},
    {&lang_on, "workflow_call repository_dispatch workflow_run", OTHER_FILES},
    {&lang_filter, "tags", "tags are an event of their own: on: {tag: [\"v*\"]}"},
    {&lang_filter, "branches-ignore",
     "\"branches\" takes away what stands behind \"!\": [\"**\", \"!wip/*\"]"},
    {&lang_tags, "tags-ignore", "\"names\" takes away what stands behind \"!\": [\"**\", \"!*-rc*\"]"},
    {&lang_concurrency, "cancel-in-progress", "write `cancel: running`"},
    {&lang_job, "name", "a job's name is its key: leave it out"},
    {&lang_job, "stage", "a job starts when those have ended that its \"needs\" names"},
    {&lang_job, "before_script", "write it as the first of \"steps\""},
    {&lang_job, "after_script", "write it as a step with `if: always()`"},
    {&lang_job, "except", "write a condition: `if: branch != \"main\"`"},
    {&lang_job, "interruptible", "write `concurrency: {group: …, cancel: running}` at the top level"},
    {&lang_job, "concurrency resource_group",
     "builds take turns, not jobs: write \"concurrency\" at the top level"},
    {&lang_job, "uses", OTHER_FILES},
    {&lang_job, "trigger", "what a step writes to \"$PELTON_PIPELINE\" are further jobs of its build"},
    {&lang_job, "permissions id_tokens", NO_PERMISSIONS},
    {&lang_job, "outputs", "its steps write lines NAME=VALUE to \"$PELTON_OUTPUT\": leave it out"},
    {&lang_job, "dependencies", "what it takes of the jobs that it needs, \"download\" names"},
    {&lang_job, "volumes", NO_CONTAINER_S},
    {&lang_job, "privileged", NO_PRIVILEGES},
    {&lang_image, "entrypoint command cmd", "an image's entry point is not used: its commands are \"steps\""},
    {&lang_image, "volumes", NO_CONTAINER_S},
    {&lang_service, "ports expose", "steps reach it by its name, on its own ports: leave it out"},
    {&lang_service, "alias", "steps reach it by its key: leave it out"},
    {&lang_service, "options", "a command that succeeds once it is up is its \"ready\""},
    {&lang_service, "entrypoint", "write \"command\": what the image runs, as a list"},
    {&lang_step, "image container", "the steps of a job share a container: write \"image\" beside \"steps\""},
    {&lang_step, "secrets", "write it beside \"steps\": all steps of the job find them in their environment"},
    {&lang_step, "id",
     "what it writes to \"$PELTON_OUTPUT\" is outputs.NAME for the steps behind it: leave it out"},
    {&lang_step, "needs depends_on", "steps run one after the other: leave it out"},
    {&lang_step, "failure", "write `continue-on-error: true`"},
    {&lang_step, "detach background", "what runs beside the steps is one of the job's \"services\""},
    {&lang_step, "volumes", NO_CONTAINER_S},
    {&lang_step, "privileged", NO_PRIVILEGES},
    {&lang_artifacts, "reports",
     "name the files in \"paths\"; `if: always()` keeps them of a job that failed, too"},
    {&lang_cache, "policy when",
     "it is restored before the steps, and kept when the job went well: leave it out"},
    {&lang_deploy, "port ports listen expose",
     "two releases run side by side for the switch, each on a port of its own: the program listens on "
     "\"$PORT\", say `start: ./app --port \"$PORT\"`"},
    {&lang_deploy, "network internet",
     "a release is reached over this machine's network, and has it: leave it out"},
    {NULL, NULL, NULL},
};

static const Elsewhere uses[] = {
    {NULL, "actions/checkout*", "the workspace holds the commit already: leave it out"},
    {NULL, "actions/cache*", "write \"cache\" in the job"},
    {NULL, "actions/upload-artifact*", "write \"artifacts\" in the job"},
    {NULL, "actions/download-artifact*", "write \"download\" in the job"},
    {NULL, "actions/setup-*", "take an \"image\" that has it, or a runner"},
    {NULL, "docker/login-action* docker/setup-*",
     "leave it out; the login is a secret DOCKER_AUTH_CONFIG that the job names"},
    {NULL, "docker/build-push-action* plugins/docker* plugins/kaniko* woodpeckerci/plugin-docker*",
     "write `uses: docker`"},
    {NULL, "*", "actions and plugins do not run here: write the commands as \"run\""},
    {NULL, NULL, NULL},
};

static const Elsewhere reasons[] = {
    {NULL, "script_failure", "write \"exit\""},
    {NULL, "runner_system_failure", "write \"infrastructure\""},
    {NULL, "job_execution_timeout stuck_or_timeout_failure", "write \"timeout\""},
    {NULL, "always unknown_failure", "without \"on\" it is for every reason"},
    {NULL, NULL, NULL},
};

static const Elsewhere names[] = {
    {NULL,
     "github.ref_name github.head_ref CI_COMMIT_BRANCH CI_COMMIT_REF_NAME DRONE_BRANCH "
     "CI_COMMIT_SOURCE_BRANCH",
     "write branch"},
    {NULL, "github.ref CI_COMMIT_REF DRONE_COMMIT_REF", "write ref"},
    {NULL, "github.base_ref CI_MERGE_REQUEST_TARGET_BRANCH_NAME CI_COMMIT_TARGET_BRANCH DRONE_TARGET_BRANCH",
     "write target"},
    {NULL,
     "github.event.number github.event.pull_request.number CI_MERGE_REQUEST_IID CI_COMMIT_PULL_REQUEST "
     "DRONE_PULL_REQUEST",
     "write pull_request.number"},
    {NULL, "github.event.pull_request.title CI_MERGE_REQUEST_TITLE DRONE_PULL_REQUEST_TITLE",
     "write pull_request.title"},
    {NULL, "CI_COMMIT_TAG DRONE_TAG", "write tag"},
    {NULL, "github.sha CI_COMMIT_SHA DRONE_COMMIT DRONE_COMMIT_SHA", "write commit"},
    {NULL, "CI_COMMIT_SHORT_SHA", "write commit.short"},
    {NULL, "CI_COMMIT_MESSAGE DRONE_COMMIT_MESSAGE github.event.head_commit.message", "write commit.message"},
    {NULL, "github.actor CI_COMMIT_AUTHOR DRONE_COMMIT_AUTHOR", "write commit.author"},
    {NULL, "github.event_name CI_PIPELINE_SOURCE CI_PIPELINE_EVENT DRONE_BUILD_EVENT", "write event"},
    {NULL,
     "github.repository CI_PROJECT_NAME CI_PROJECT_PATH CI_REPO CI_REPO_NAME DRONE_REPO DRONE_REPO_NAME",
     "write repo"},
    {NULL, "github.event.inputs* parameters*", "write inputs.NAME"},
    {NULL, "github.run_id github.run_number CI_PIPELINE_ID CI_PIPELINE_NUMBER CI_JOB_ID DRONE_BUILD_NUMBER",
     "steps find it as $PELTON_BUILD"},
    {NULL, "github.workspace CI_PROJECT_DIR CI_WORKSPACE DRONE_WORKSPACE",
     "steps find it as $PELTON_WORKSPACE"},
    {NULL, "steps.*", "write outputs.NAME; in another job, needs.JOB.outputs.NAME"},
    {NULL, "runner.*", "which runner it is, \"runs-on\" says"},
    {NULL, "job.status on_failure on_success", "write failure(), success(), cancelled() or always()"},
    {NULL, "vars.*", "write \"env\", or \"inputs\" with a default"},
    {NULL, "startsWith", "write a pattern: tag matches \"v*\""},
    {NULL, "endsWith", "write a pattern: branch matches \"**-fix\""},
    {NULL, "hashFiles", "write hash(…)"},
    {NULL, "format join", "write the values into the text: \"${{ branch }}-${{ event }}\""},
    {NULL, NULL, NULL},
};

static bool is(const char *word, size_t len, const char *name) {
    if (len && word[len - 1] == '*')
        return strncmp(word, name, len - 1) == 0;
    return strlen(name) == len && memcmp(word, name, len) == 0;
}

static const char *look_up(const Elsewhere *at, const LangLevel *level, const char *name) {
    for (; at->words; at++)
        for (const char *p = at->words + strspn(at->words, " "); *p && at->level == level;) {
            size_t len = strcspn(p, " ");

            if (is(p, len, name))
                return at->advice;
            p += len;
            p += strspn(p, " ");
        }
    return NULL;
}

/* As GitLab CI has them. */
static bool is_job(const YamlNode *value) {
    return value->kind == YAML_MAPPING && (yaml_get(value, "script") || yaml_get(value, "steps") ||
                                           yaml_get(value, "extends") || yaml_get(value, "stage"));
}

const char *elsewhere_key(const LangLevel *level, const YamlPair *pair) {
    if (level == &lang_step && !pair->key->quoted && strchr(pair->key->text, ' '))
        return "to YAML \": \" makes a mapping of a command: put it in quotes, or behind \"run: |\"";
    if (level == &lang_file && is_job(pair->value))
        return "jobs are beneath \"jobs\"";
    return look_up(keys, level, pair->key->text);
}

const char *elsewhere_word(const LangKey *key, const char *word) {
    if (str_eq(key->name, "uses"))
        return strchr(word, '/') ? look_up(uses, NULL, word) : NULL;
    return str_eq(key->name, "on") ? look_up(reasons, NULL, word) : NULL;
}

const char *elsewhere_name(const char *name) {
    return look_up(names, NULL, name);
}
