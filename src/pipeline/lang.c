#include "pipeline/lang_check.h"

#include "base/str.h"

#define KEYS(table) .keys = (table), .count = sizeof(table) / sizeof((table)[0])

static const char *const executors[] = {"sandbox", "shell", "docker", "nix", NULL};
static const char *const pulls[] = {"missing", "always", "never", NULL};
static const char *const uses[] = {"docker", "nix", NULL};
static const char *const shells[] = {"sh", "bash", "dash", "zsh", "ksh", NULL};
static const char *const cancels[] = {"queued", "running", "none", NULL};
static const char *const forever[] = {"forever", NULL};
static const char *const retry_reasons[] = {"exit", "timeout", "oom", "infrastructure", "lost", NULL};

#define QUEUE_TIMEOUT_ALSO "queue_timeout queueTimeout"

/* For the schema: what check_flake and check_secrets ask. */
#define FLAKE_PATTERN "^[^\\x00-\\x20\\x7f-][^\\x00-\\x20\\x7f]*$"
#define VARIABLE_PATTERN "^[A-Za-z_][A-Za-z0-9_]{0,254}$"

#define ENV_ALSO "environment variables vars"

static const LangKey filter_keys[] = {
    {"branches", LANG_GLOBS, offsetof(PipeFilter, branches), .unset = "all", .also = "branch refs only",
     .help =
         "Branches that it is for, as [patterns](#patterns): `[main, \"release/*\"]`. Of a pull request: the "
         "one that it is to go into, its target."},
    {"paths", LANG_PATTERNS, offsetof(PipeFilter, paths), .unset = "all", .also = "files changes",
     .help = "Only when one of these files has changed, as [patterns](#patterns): `[\"src/**\"]`."},
    {"ignore", LANG_PATTERNS, offsetof(PipeFilter, ignore), .unset = "none",
     .also = "paths-ignore paths_ignore except", .help = "Changes of these files do not count."},
};

const LangLevel lang_filter = {
    .heading = "`on.push`, `on.pull_request`",
    .help = "`push: [main]` is `push: {branches: [main]}`. What has changed is what differs from the commit "
            "before the push; of a "
            "new branch, where that is not known, everything; of a pull request what it has changed since it "
            "left its target.",
    .expected = "a mapping or a list of branches",
    .short_key = "branches",
    KEYS(filter_keys),
    .size = sizeof(PipeFilter),
};

static const LangKey tags_keys[] = {
    {"names", LANG_GLOBS, offsetof(PipeTags, names), .unset = "all", .also = "tags patterns",
     .help = "Tags that it is for, as [patterns](#patterns): `[\"v[0-9]*\"]`."},
};

const LangLevel lang_tags = {
    .heading = "`on.tag`",
    .help = "`tag: [\"v*\"]` is `tag: {names: [\"v*\"]}`.",
    .expected = "a mapping or a list of tags",
    .short_key = "names",
    KEYS(tags_keys),
    .size = sizeof(PipeTags),
};

static const LangKey on_keys[] = {
    {"push", LANG_PART, offsetof(PipeOn, push), .level = &lang_filter,
     .expected = "a mapping or a list of branches", .unset = "no push", .help = "Pushes to branches."},
    {"pull_request", LANG_PART, offsetof(PipeOn, pull_request), .level = &lang_filter,
     .expected = "a mapping or a list of branches", .unset = "no pull request",
     .also = "pull-request merge_request pr", .help = "Pull requests."},
    {"tag", LANG_PART, offsetof(PipeOn, tag), .level = &lang_tags, .expected = "a mapping or a list of tags",
     .unset = "no tag", .also = "tags release", .help = "Tags that are pushed."},
    {"manual", LANG_NODE, offsetof(PipeOn, manual), .unset = "always possible",
     .also = "workflow_dispatch web api dispatch",
     .help = "A build can always be started by hand; this only says so."},
    {"schedule", LANG_TIMES, offsetof(PipeOn, schedule), .max = LANG_MAX_SCHEDULES,
     .expected = "a mapping of names to times, as {nightly: \"0 3 * * *\"}, at most 100", .unset = "none",
     .also = "cron crons schedules timer",
     .help = "Times, by name: `{nightly: \"0 3 * * *\"}`. At each the newest commit of the default branch is "
             "built. A time is minute, hour, day of the month, month and weekday, as cron has them, or "
             "`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."},
};

const LangLevel lang_on = {
    .noun = "on",
    .heading = "`on`",
    .help = "`on: [push, tag]` is `on: {push: {}, tag: {}}`.",
    .expected = "an event, a list of events or a mapping of them",
    KEYS(on_keys),
    .size = sizeof(PipeOn),
    .rules = lang_rules_on,
};

static const LangKey file_keys[] = {
    {"on", LANG_EVENTS, offsetof(PipeFile, on), .level = &lang_on,
     .expected = "an event, a list of events or a mapping of them", .unset = "pushes, pull requests and tags",
     .also = "trigger triggers when event workflow",
     .help = "What the pipeline is for. By hand it can always be started."},
    {"timezone", LANG_ZONE, offsetof(PipeFile, timezone), .expected = "a time zone such as Europe/Berlin",
     .unset = "UTC", .also = "time-zone time_zone tz", .help = "Of the times of `on.schedule`."},
    {"include", LANG_INCLUDE, offsetof(PipeFile, include), .expected = "a file or a list of files",
     .unset = "nothing", .also = "includes import",
     .help =
         "Files of the same commit that hold parts of this one, as `[{file: ci/common.yml}]`: the file is "
         "over them as a job is over its templates. They may include others, five levels deep, twenty in "
         "all."},
    {"env", LANG_ENV, offsetof(PipeFile, env), .of_steps = true, .unset = "none", .also = ENV_ALSO,
     .help = "Environment of every step of every job. A deploy has its own."},
    {"concurrency", LANG_MAPPING, offsetof(PipeFile, concurrency), .level = &lang_concurrency,
     .unset = "builds run beside each other", .also = "resource_group resource-group mutex lock",
     .help = "How many builds of the same group run at the same time, and what becomes of older ones."},
    {"timeout", LANG_DURATION, offsetof(PipeFile, timeout), .unset = "none", .also = "build-timeout",
     .help = "What of the build is not done this long after its start is stopped, and it has failed."},
    {"queue-timeout", LANG_DURATION, offsetof(PipeFile, queue_timeout), .unset = "none",
     .also = QUEUE_TIMEOUT_ALSO, .help = "The `queue-timeout` of jobs that set none."},
    {"inputs", LANG_INPUTS, offsetof(PipeFile, inputs), .level = &lang_input, .max = LANG_MAX_INPUTS,
     .expected = "a mapping of names to inputs", .unset = "none", .also = "parameters params", .early = true,
     .help = "What may be given to a build that is started by hand; `${{ inputs.NAME }}` is its value."},
    {"templates", LANG_TEMPLATES, offsetof(PipeFile, templates),
     .expected = "a mapping of names to parts of jobs", .unset = "none",
     .also = "definitions defaults anchors", .early = true,
     .help = "Parts of jobs, by name, for jobs to `extend`. A template may extend others."},
    {"jobs", LANG_JOBS, offsetof(PipeFile, jobs), .level = &lang_job, .max = LANG_MAX_JOBS,
     .expected = "a mapping of names to jobs", .unset = "none", .also = "job pipeline workflow stages tasks",
     .help = "The jobs of a build, by name. They run at the same time as far as `needs` and runners allow. "
             "Required, unless the file only deploys."},
    {"deploy", LANG_PART, offsetof(PipeFile, deploy), .level = &lang_deploy,
     .expected = "a mapping with \"start\"", .unset = "nothing is deployed", .also = "deployment release",
     .help = "What to run, and show at the project's URL, after a build."},
};

const LangLevel lang_file = {
    .noun = "",
    .heading = "The file",
    .help = "The keys at the top level.",
    .expected = "a mapping with \"jobs\" or \"deploy\"",
    KEYS(file_keys),
    .size = sizeof(PipeFile),
    .rules = lang_rules_file,
};

static const char *const input_types[] = {"string", "number", "boolean", "choice", NULL};

static const LangKey input_keys[] = {
    {"type", LANG_WORD, offsetof(PipeInput, type), .words = input_types,
     .unset = "`choice` with `options`, else `string`", .also = "kind", .help = "What may be given."},
    {"options", LANG_NAMES, offsetof(PipeInput, options), .expected = "a list of texts", .unset = "none",
     .also = "values choices enum", .help = "What a choice is from."},
    {"default", LANG_TEXT, offsetof(PipeInput, fallback), .expected = "a value", .unset = "empty",
     .also = "value", .help = "Its value when nothing is given, also in builds that nobody started by hand."},
    {"required", LANG_BOOL, offsetof(PipeInput, required), .fallback = "false",
     .help = "Whether it must be given to a build that is started by hand."},
    {"description", LANG_TEXT, offsetof(PipeInput, description), .unset = "none", .also = "title help",
     .help = "What it is for."},
};

const LangLevel lang_input = {
    .noun = "input",
    .heading = "`inputs.NAME`",
    .help = "",
    .expected = "a mapping",
    KEYS(input_keys),
    .size = sizeof(PipeInput),
    .rules = lang_rules_input,
};

const LangLevel lang_template = {.noun = "template"};

static const LangKey need_keys[] = {
    {"job", LANG_TEXT, offsetof(PipeNeed, job), .required = true, .expected = "a job's name", .also = "name",
     .help = "The job. Of one with a `matrix` it means all of them; `test (18, pg)` is one of them."},
    {"optional", LANG_BOOL, offsetof(PipeNeed, optional), .fallback = "false",
     .help = "Whether the file may have no such job; then it is not waited for."},
};

const LangLevel lang_need = {
    .noun = "need",
    .heading = "`jobs.NAME.needs`",
    .help = "`needs: [lint]` is `needs: [{job: lint}]`.",
    .expected = "a job's name or a mapping with \"job\"",
    .short_key = "job",
    KEYS(need_keys),
    .size = sizeof(PipeNeed),
};

static const LangKey image_keys[] = {
    {"name", LANG_TEXT, offsetof(PipeImage, name), .required = true, .expected = "an image's name",
     .pattern = LANG_IMAGE_PATTERN, .also = "image",
     .help = "The image, as `docker pull` takes it: `node:20`, `registry.example.com/team/app@sha256:…`."},
    {"pull", LANG_WORD, offsetof(PipeImage, pull), .words = pulls, .fallback = "missing",
     .also = "pull-policy pull_policy", .help = "When to ask the registry for it."},
    {"user", LANG_TEXT, offsetof(PipeImage, user), .unset = "the image's", .also = "run-as",
     .help = "Who the steps are in it: `1000`, `1000:1000`, or a name of its /etc/passwd."},
};

const LangLevel lang_image = {
    .heading = "`jobs.NAME.image`",
    .help = "`image: node:20` is `image: {name: node:20}`.",
    .expected = "an image's name or a mapping with \"name\"",
    .short_key = "name",
    KEYS(image_keys),
    .size = sizeof(PipeImage),
};

static const LangKey service_keys[] = {
    {"image", LANG_TEXT, offsetof(PipeService, image), .required = true, .expected = "an image's name",
     .pattern = LANG_IMAGE_PATTERN, .also = "name", .help = "The image that runs."},
    {"env", LANG_ENV, offsetof(PipeService, env), .unset = "none", .also = ENV_ALSO,
     .help = "Environment of the service."},
    {"command", LANG_NAMES, offsetof(PipeService, command), .expected = "a list of arguments",
     .unset = "the image's", .also = "cmd args run", .help = "What it runs, as a list of arguments."},
    {"ready", LANG_TEXT, offsetof(PipeService, ready), .expected = "a command",
     .unset = "the image's own health check", .also = "healthcheck health wait test",
     .help = "A command that succeeds in the service once it is up; the steps wait for that."},
    {"timeout", LANG_DURATION, offsetof(PipeService, timeout), .fallback = "60s", .also = "wait",
     .help = "A service that is not up after this time fails the job."},
};

const LangLevel lang_service = {
    .noun = "service",
    .heading = "`jobs.NAME.services.NAME`",
    .help =
        "Steps reach it by its name, which is that of a host: small letters, digits, `-` and `_`, at most "
        "63. `services: {db: postgres:16}` is `services: {db: {image: "
        "postgres:16}}`.",
    .expected = "an image's name or a mapping with \"image\"",
    .short_key = "image",
    KEYS(service_keys),
    .size = sizeof(PipeService),
};

static const LangKey cache_keys[] = {
    {"key", LANG_TEXT, offsetof(PipeCache, key), .required = true, .expected = "a key", .uses = EXPR_FILES,
     .also = "name id",
     .help = "What the cache is called. `npm-${{ hash('package-lock.json') }}`: another one when that file "
             "changes (without such a file `hash()` is empty). Caches of one key keep the same paths."},
    {"restore", LANG_NAMES, offsetof(PipeCache, restore),
     .expected = "a beginning of a key or a list of them", .uses = EXPR_FILES, .unset = "only `key` itself",
     .also = "restore-keys restore_keys fallback_keys",
     .help =
         "Beginnings of keys: without a cache of that key, the newest of the first of these that there is."},
    {"paths", LANG_PATTERNS, offsetof(PipeCache, paths), .required = true, .also = "path files mount",
     .help =
         "What is kept of the workspace: files, folders, patterns. `~` and variables are no part of it: "
         "what a tool keeps in its home folder it is to keep here, as by `env: {npm_config_cache: .npm}`."},
};

const LangLevel lang_cache = {
    .noun = "cache",
    .heading = "`jobs.NAME.cache`",
    .help = "Restored before the first step, saved when the job went well. `cache` is one of these or a list "
            "of them.",
    .expected = "a mapping with \"key\" and \"paths\"",
    KEYS(cache_keys),
    .size = sizeof(PipeCache),
};

static const LangKey job_keys[] = {
    {"image", LANG_MAPPING, offsetof(PipeJob, image), .level = &lang_image,
     .expected = "an image's name or a mapping", .unset = "none", .also = "container docker",
     .help = "The steps run in a container of this image, made for the job. Without: with the runner's own "
             "programs."},
    {"services", LANG_MAP, offsetof(PipeJob, services), .level = &lang_service, .max = LANG_MAX_SERVICES,
     .expected = "a mapping of names to services such as {db: postgres:16}", .unset = "none",
     .also = "service sidecars",
     .help = "Containers beside the job's own, which runs in an `image`: databases and the like. They are "
             "gone when it ends."},
    {"extends", LANG_EXTENDS, offsetof(PipeJob, extends), .expected = "a template's name or a list of them",
     .unset = "nothing", .also = "extend template",
     .help = "Templates that this job is built on: what it says itself wins, mappings are joined key by key, "
             "and of several "
             "templates the later one wins."},
    {"matrix", LANG_MATRIX, offsetof(PipeJob, matrix), .expected = "a mapping of names to lists of values",
     .unset = "one job", .also = "strategy parallel",
     .help = "One job for each combination of values: see [Many alike](#many-alike)."},
    {"cache", LANG_LIST, offsetof(PipeJob, cache), .level = &lang_cache, .max = LANG_MAX_STEPS,
     .single = true, .expected = "a mapping with \"key\" and \"paths\", or a list of them", .unset = "none",
     .also = "caches", .help = "Files that later builds find again."},
    {"secrets", LANG_NAMES, offsetof(PipeJob, secrets), .expected = "a secret's name or a list of them",
     .pattern = VARIABLE_PATTERN, .unset = "none", .also = "secret",
     .help = "Secrets of the project that the steps find in their environment, by name, and that "
             "no log shows."},
    {"needs", LANG_NEEDS, offsetof(PipeJob, needs), .level = &lang_need,
     .expected = "a job's name or a list of them", .unset = "none",
     .also = "depends_on depends-on dependsOn depends dependencies requires after",
     .help =
         "Jobs that must have ended before this one starts. It starts when all went well, unless `if` says "
         "otherwise."},
    {"steps", LANG_LIST, offsetof(PipeJob, steps), .level = &lang_step, .required = true,
     .max = LANG_MAX_STEPS, .expected = "a list of steps", .also = "script scripts commands run tasks",
     .help = "What the job does, one after the other, in one workspace. The first that fails ends the job, "
             "but for steps whose `if` says otherwise."},
    {
        "env",
        LANG_ENV,
        offsetof(PipeJob, env),
        .of_steps = true,
        .unset = "none",
        .also = ENV_ALSO,
        .help = "Environment of the job's steps, over that of the file.",
        .uses = EXPR_NEEDS | EXPR_FILES,
    },
    {"timeout", LANG_DURATION, offsetof(PipeJob, timeout), .unset = "the server's",
     .also = "timeout-minutes timeout_minutes", .help = "The job is stopped, and failed, after this time."},
    {"queue-timeout", LANG_DURATION, offsetof(PipeJob, queue_timeout), .unset = "that of the file",
     .also = QUEUE_TIMEOUT_ALSO,
     .help = "A job that could have run and that no runner has taken after this time fails as `timeout`."},
    {"retry", LANG_MAPPING, offsetof(PipeJob, retry), .level = &lang_retry, .unset = "never",
     .also = "retries attempts",
     .help = "How often the job runs again when it failed: a number or a mapping."},
    {"allow-failure", LANG_BOOL, offsetof(PipeJob, allow_failure), .fallback = "false",
     .also = "allow_failure continue-on-error continue_on_error failure",
     .help = "Whether the build, and jobs that need this one, go on as if it had gone well when it failed."},
    {"priority", LANG_INT, offsetof(PipeJob, priority), .min = -100, .max = 100, .unset = "`0`",
     .expected = "a whole number from -100 to 100", .also = "weight",
     .help = "Of the jobs that wait for a runner, those of a higher priority come first."},
    {"artifacts", LANG_LIST, offsetof(PipeJob, artifacts), .level = &lang_artifacts, .max = LANG_MAX_STEPS,
     .single = true, .unset = "none", .expected = "a list of patterns, or of mappings with \"paths\"",
     .also = "artefacts upload",
     .help = "Files of the workspace that are kept: patterns, or mappings that name them and say for how "
             "long. See [Artifacts](#artifacts)."},
    {"download", LANG_LIST, offsetof(PipeJob, download), .level = &lang_download, .max = LANG_MAX_STEPS,
     .single = true, .unset = "none", .expected = "an artifact's name or a list of them",
     .also = "downloads fetch get restore",
     .help = "Artifacts of jobs that this one needs, which are in its workspace before its first step."},
    {"if", LANG_CONDITION, offsetof(PipeJob, condition), .unset = "`success()`",
     .also = "when condition only rules", .help = "Whether the job runs: see [Conditions](#conditions).",
     .uses = EXPR_STATUS | EXPR_NEEDS},
    {"checkout", LANG_BOOL, offsetof(PipeJob, checkout), .fallback = "true", .also = "clone",
     .help =
         "Whether the workspace holds the commit's files; without, it is empty, and the job starts sooner."},
    {"network", LANG_BOOL, offsetof(PipeJob, network), .fallback = "true", .also = "internet",
     .help = "Whether the steps reach the network."},
    {"runs-on", LANG_MAPPING, offsetof(PipeJob, runs_on), .level = &lang_runs_on, .unset = "any runner",
     .also = "runs_on runner tags platform agent", .help = "Which runners may take the job."},
    {"resources", LANG_MAPPING, offsetof(PipeJob, resources), .level = &lang_resources,
     .unset = "the runner's", .also = "limits", .help = "What the job may use at most."},
};

const LangLevel lang_job = {
    .noun = "job",
    .heading = "`jobs.NAME`",
    .help = "A name has letters, digits, `_`, `-` and dots, and at most 100 characters.",
    .expected = "a mapping with \"steps\"",
    KEYS(job_keys),
    .size = sizeof(PipeJob),
    .check = lang_check_job,
    .rules = lang_rules_job,
};

static const LangKey with_keys[] = {
    {"build", LANG_FOLDER, offsetof(PipeWith, build), .unset = "nothing is built", .also = "context dir",
     .help = "The folder of the workspace that an image is built from."},
    {"file", LANG_FOLDER, offsetof(PipeWith, file), .unset = "`Dockerfile`", .also = "dockerfile",
     .expected = "a file", .help = "The Dockerfile in that folder."},
    {"tag", LANG_NAMES, offsetof(PipeWith, tag), .expected = "a name or a list of them", .uses = EXPR_LATE,
     .unset = "required for `docker`", .also = "tags image", .pattern = LANG_IMAGE_NEW_PATTERN "$",
     .help = "What the image is called: `app:${{ commit.short }}`."},
    {"args", LANG_ENV, offsetof(PipeWith, args), .unset = "none", .also = "build-args build_args",
     .uses = EXPR_LATE, .help = "Values of the Dockerfile's `ARG`s."},
    {"target", LANG_TEXT, offsetof(PipeWith, target), .unset = "the last", .also = "stage",
     .help = "The stage of the Dockerfile to build."},
    {"push", LANG_BOOL, offsetof(PipeWith, push), .fallback = "false",
     .help = "Whether it is pushed; credentials come as a secret `DOCKER_AUTH_CONFIG`."},
    {"pull", LANG_BOOL, offsetof(PipeWith, pull), .fallback = "false",
     .help = "Whether to look for newer base images."},
    {"check", LANG_TEXT, offsetof(PipeWith, check), .expected = "a flake", .unset = "none", .also = "flake",
     .pattern = FLAKE_PATTERN,
     .help = "For `nix`: a flake whose checks are run, as `nix flake check` does: `.`."},
    {"packages", LANG_NAMES, offsetof(PipeWith, packages), .expected = "what nix builds, or a list of it",
     .unset = "none", .also = "package installables attributes", .pattern = FLAKE_PATTERN,
     .help = "For `nix`: what is built, as `nix build` takes it: `.#hello`."},
};

const LangLevel lang_with = {
    .heading = "`jobs.NAME.steps`: `with`",
    .help = "`docker` takes all but `check` and `packages`, `nix` one of these two.",
    .expected = "a mapping",
    KEYS(with_keys),
    .size = sizeof(PipeWith),
};

static const LangKey step_keys[] = {
    {
        "run",
        LANG_SCRIPT,
        offsetof(PipeStep, run),
        .unset = "required, or `uses`",
        .expected = "a command",
        .also = "script command commands cmd sh",
        .help = "The command or, in several lines, the script. The shell is "
                "`sh -e`: the first command that fails ends the step.",
        .uses = EXPR_LATE,
    },
    {"uses", LANG_WORD, offsetof(PipeStep, uses), .words = uses, .unset = "`run`", .also = "plugin action",
     .help = "What the step does instead of a command: `docker` builds and pushes an image, `nix` checks or "
             "builds a flake."},
    {"with", LANG_PART, offsetof(PipeStep, with), .level = &lang_with, .expected = "a mapping",
     .unset = "none", .also = "settings args", .help = "What `uses` is to do."},
    {"name", LANG_TEXT, offsetof(PipeStep, name), .unset = "the first line of `run`",
     .also = "title label displayName", .help = "What the step is called in logs and messages."},
    {
        "env",
        LANG_ENV,
        offsetof(PipeStep, env),
        .of_steps = true,
        .unset = "none",
        .also = ENV_ALSO,
        .help = "Environment of this step, over that of the job.",
        .uses = EXPR_LATE,
    },
    {"continue-on-error", LANG_BOOL, offsetof(PipeStep, go_on), .fallback = "false",
     .also = "continue_on_error allow-failure allow_failure ignore-errors",
     .help = "Whether the job goes on as if the step had gone well when it failed."},
    {"shell", LANG_WORD, offsetof(PipeStep, shell), .words = shells, .unset = "`sh`", .also = "interpreter",
     .help = "What runs the command, as `SHELL -e -c …`; it must be where the step runs."},
    {"timeout", LANG_DURATION, offsetof(PipeStep, timeout), .unset = "the job's",
     .also = "timeout-minutes timeout_minutes", .help = "The step is stopped, and failed, after this time."},
    {"working-directory", LANG_FOLDER, offsetof(PipeStep, folder), .unset = "the workspace",
     .also = "working_directory workingDirectory workdir work-dir directory dir cwd",
     .help = "The folder of the workspace to run in."},
    {"if", LANG_CONDITION, offsetof(PipeStep, condition), .unset = "`success()`",
     .also = "when condition only",
     .help = "Whether the step runs: `always()` also after a failed step, `failure()` only then.",
     .uses = EXPR_STATUS | EXPR_LATE},
};

const LangLevel lang_step = {
    .noun = "step",
    .heading = "`jobs.NAME.steps`",
    .help = "A step is a mapping, or just its command: `- make` is `- run: make`.",
    .expected = "a command or a mapping with \"run\"",
    .short_key = "run",
    KEYS(step_keys),
    .size = sizeof(PipeStep),
    .check = lang_check_step,
    .rules = lang_rules_step,
};

static const LangKey artifacts_keys[] = {
    {"name", LANG_NAME, offsetof(PipeArtifact, name), .unset = "none", .also = "title id",
     .help = "What other jobs `download` it by. Several jobs, those of a matrix say, may give the same one: "
             "their files are put together."},
    {"paths", LANG_PATTERNS, offsetof(PipeArtifact, paths), .required = true, .also = "path files",
     .help = "[Patterns](#patterns) of files, relative to the workspace."},
    {"keep", LANG_DURATION, offsetof(PipeArtifact, keep), .words = forever, .max = LANG_MAX_KEEP,
     .expected = "a duration such as 12h or 30d, at most 3650d, or \"forever\"", .unset = "the server's",
     .also = "expire_in expire-in expires retention-days retention ttl",
     .help = "How long after the build's end it is kept; without, as long as the server's `artifact-keep` "
             "says: for ever, unless it was set."},
    {"if", LANG_CONDITION, offsetof(PipeArtifact, condition), .unset = "`success()`", .also = "when on",
     .help = "Whether it is kept: `always()` also when a step has failed, `failure()` only then. What a "
             "cancelled job made is never kept.",
     .uses = EXPR_STATUS},
};

const LangLevel lang_artifacts = {
    .noun = "artifact",
    .heading = "`jobs.NAME.artifacts`",
    .help = "`artifacts: [\"dist/**\"]` is `artifacts: [{paths: [\"dist/**\"]}]`, and one may stand without "
            "the list.",
    .expected = "a pattern or a mapping with \"paths\"",
    .short_key = "paths",
    KEYS(artifacts_keys),
    .size = sizeof(PipeArtifact),
};

static const LangKey download_keys[] = {
    {"name", LANG_NAME, offsetof(PipeDownload, name), .unset = "all of `job`'s", .also = "artifact artifacts",
     .help = "The name that `artifacts` gave it. It comes from all jobs that give this name and that this "
             "job needs, also through others; where two have the same file, that of the later job in the "
             "pipeline file counts."},
    {"job", LANG_TEXT, offsetof(PipeDownload, job), .expected = "a job's name", .unset = "every job",
     .also = "from needs jobs", .help = "Only from this job. Of one with a `matrix` it means all of them."},
    {"path", LANG_FOLDER, offsetof(PipeDownload, path), .unset = "the workspace",
     .also = "to into target dir folder",
     .help = "A folder of the workspace; below it the files have the paths that they had where they were "
             "made."},
    {"optional", LANG_BOOL, offsetof(PipeDownload, optional), .fallback = "false",
     .also = "if-no-files-found allow-missing",
     .help = "Whether the job goes on when there is no such artifact."},
};

const LangLevel lang_download = {
    .noun = "download",
    .heading = "`jobs.NAME.download`",
    .help = "`download: dist` is `download: [{name: dist}]`.",
    .expected = "an artifact's name or a mapping with \"name\" or \"job\"",
    .short_key = "name",
    KEYS(download_keys),
    .size = sizeof(PipeDownload),
    .check = lang_check_download,
    .rules = lang_rules_download,
};

static const LangKey concurrency_keys[] = {
    {"group", LANG_TEMPLATE, offsetof(PipeConcurrency, group), .required = true, .expected = "a group's name",
     .also = "name key",
     .help = "Builds of the project with the same group wait for each other. `${{ … }}` is evaluated: "
             "`deploy`, `${{ repo }}-${{ branch }}`."},
    {"limit", LANG_INT, offsetof(PipeConcurrency, limit), .min = 1, .max = 1000, .fallback = "1",
     .expected = "a whole number from 1 to 1000", .also = "max max-parallel",
     .help = "How many of them run at the same time."},
    {"cancel", LANG_WORD, offsetof(PipeConcurrency, cancel), .words = cancels, .fallback = "queued",
     .also = "cancel-in-progress interruptible",
     .help = "What a newer build of the group cancels, as `superseded`: `queued` older ones that have not "
             "begun, `running` those that have as well, `none` nothing: every build has its turn."},
};

const LangLevel lang_concurrency = {
    .heading = "`concurrency`",
    .help = "`concurrency: deploy` is `concurrency: {group: deploy}`.",
    .expected = "a group's name or a mapping with \"group\"",
    .short_key = "group",
    KEYS(concurrency_keys),
    .size = sizeof(PipeConcurrency),
};

static const LangKey retry_keys[] = {
    {"times", LANG_INT, offsetof(PipeRetry, times), .min = 1, .max = 10, .required = true,
     .expected = "a whole number from 1 to 10", .also = "max count limit attempts",
     .help = "How often at most, the first run not counted."},
    {"on", LANG_WORDS, offsetof(PipeRetry, on), .words = retry_reasons, .unset = "all of these but `lost`",
     .also = "when if reasons",
     .help = "The reasons to do so: a step's `exit` status, a `timeout`, out of memory (`oom`), the runner's "
             "own trouble (`infrastructure`), or attempts that were all `lost` with their runners."},
    {"backoff", LANG_DURATION, offsetof(PipeRetry, backoff), .unset = "at once",
     .also = "delay wait interval",
     .help = "How long to wait before the first repetition; before each further one twice as long."},
};

const LangLevel lang_retry = {
    .heading = "`jobs.NAME.retry`",
    .help = "`retry: 2` is `retry: {times: 2}`. An attempt that was lost with its runner is repeated by "
            "itself, and does not count here.",
    .expected = "a number or a mapping with \"times\"",
    .short_key = "times",
    KEYS(retry_keys),
    .size = sizeof(PipeRetry),
};

static const LangKey runs_on_keys[] = {
    {"executor", LANG_WORD, offsetof(PipeRunsOn, executor), .words = executors,
     .unset = "`docker` with an `image`, what a step `uses`, else `sandbox`", .also = "type kind",
     .help = "How the steps run: `sandbox` isolated from the machine and from other jobs; `docker` in "
             "containers; "
             "`shell` directly on the machine, where the server allows it."},
    {"arch", LANG_NAME, offsetof(PipeRunsOn, arch), .expected = "an architecture", .unset = "any",
     .also = "architecture platform cpu",
     .help = "The runner's architecture as `uname -m` prints it: `x86_64`, `aarch64`. "
             "`amd64` and `arm64` are understood."},
    {"labels", LANG_LABELS, offsetof(PipeRunsOn, labels), .unset = "any",
     .expected = "a mapping of labels to texts such as {tier: high-memory}", .also = "label tags tag",
     .help = "Labels that the runner must have, each with this text: `{tier: high-memory}`."},
};

const LangLevel lang_runs_on = {
    .heading = "`jobs.NAME.runs-on`",
    .help = "",
    .expected = "a mapping with \"executor\", \"arch\" or \"labels\" (left out: any runner)",
    KEYS(runs_on_keys),
    .size = sizeof(PipeRunsOn),
};

static const LangKey resources_keys[] = {
    {"memory", LANG_SIZE, offsetof(PipeResources, memory), .min = 1024 * 1024, .unset = "the runner's",
     .also = "mem ram", .help = "Of all its processes together, with a unit: `512M`, `4G`."},
    {"cpu", LANG_CPU, offsetof(PipeResources, cpu), .unset = "the runner's", .also = "cpus cores",
     .help = "How many processors' time, also in parts: `1.5`."},
    {"processes", LANG_INT, offsetof(PipeResources, processes), .min = 1, .max = 1000000,
     .unset = "the runner's", .also = "pids procs threads",
     .help = "How many processes and threads at the same time."},
    {"disk", LANG_SIZE, offsetof(PipeResources, disk), .min = 1024 * 1024, .unset = "the runner's",
     .also = "storage space", .help = "Space that the runner's disk must have for it, with a unit: `10G`."},
};

const LangLevel lang_resources = {
    .heading = "`jobs.NAME.resources`",
    .help = "",
    .expected = "a mapping with \"memory\", \"cpu\", \"processes\" or \"disk\"",
    KEYS(resources_keys),
    .size = sizeof(PipeResources),
};

const LangLevel lang_deploy_resources = {
    .heading = "`deploy.resources`",
    .help = "Those of a job, without `disk`.",
    .expected = "a mapping with \"memory\", \"cpu\" or \"processes\"",
    .keys = resources_keys,
    .count = ELEMENTS(resources_keys) - 1,
    .size = sizeof(PipeResources),
};

static const LangKey deploy_keys[] = {
    {"branch", LANG_TEXT, offsetof(PipeDeploy, branch), .expected = "a branch's name", .fallback = "main",
     .also = "branches ref on",
     .help = "A build of this branch that was pushed or started by hand is deployed when all its jobs went "
             "well."},
    {"start", LANG_TEXT, offsetof(PipeDeploy, start), .required = true, .expected = "a command",
     .also = "command cmd run startCommand start_command exec entrypoint",
     .help = "The command that starts the program, in the folder of the release. It serves HTTP on `$PORT`."},
    {"health", LANG_MAPPING, offsetof(PipeDeploy, health), .level = &lang_health,
     .expected = "a path or a mapping", .unset = "`/`", .also = "healthcheck health-check health_check ready",
     .help = "How to see that the program is up: a path or a mapping. Only then does it get the traffic."},
    {"env", LANG_ENV, offsetof(PipeDeploy, env), .unset = "none", .also = ENV_ALSO,
     .help = "Environment of the program."},
    {"job", LANG_TEXT, offsetof(PipeDeploy, job), .expected = "a job's name",
     .unset = "the only job that no other needs", .also = "from needs jobs",
     .help = "The job whose workspace becomes the release; of one with a `matrix` one combination, `test "
             "(18, pg)`."},
    {"files", LANG_PATTERNS, offsetof(PipeDeploy, files), .fallback = "**", .also = "paths include publish",
     .help = "Which files of that workspace: a pattern or a list of them. `.git` is never among them."},
    {"resources", LANG_MAPPING, offsetof(PipeDeploy, resources), .level = &lang_deploy_resources,
     .unset = "the server's", .also = "limits", .help = "What the program may use at most."},
};

const LangLevel lang_deploy = {
    .noun = "deploy",
    .heading = "`deploy`",
    .help = "",
    .expected = "a mapping with \"start\"",
    KEYS(deploy_keys),
    .size = sizeof(PipeDeploy),
};

static const LangKey health_keys[] = {
    {"path", LANG_URL_PATH, offsetof(PipeHealth, path), .fallback = "/", .also = "url uri endpoint",
     .help = "The program is up when a `GET` of it is answered with 200 to 399."},
    {"timeout", LANG_DURATION, offsetof(PipeHealth, timeout), .fallback = "30s", .also = "wait deadline",
     .help = "A release that is not up after this time has failed; the one before stays live."},
};

const LangLevel lang_health = {
    .heading = "`deploy.health`",
    .help = "`health: /up` is `health: {path: /up}`.",
    .expected = "a path or a mapping",
    .short_key = "path",
    KEYS(health_keys),
    .size = sizeof(PipeHealth),
};

const LangLevel *const lang_levels[] = {&lang_file,    &lang_on,        &lang_filter,
                                        &lang_tags,    &lang_input,     &lang_concurrency,
                                        &lang_job,     &lang_need,      &lang_step,
                                        &lang_with,    &lang_image,     &lang_service,
                                        &lang_cache,   &lang_artifacts, &lang_download,
                                        &lang_runs_on, &lang_resources, &lang_retry,
                                        &lang_deploy,  &lang_health,    &lang_deploy_resources,
                                        NULL};

const LangKey *lang_key(const LangLevel *level, const char *name) {
    for (size_t i = 0; i < level->count; i++)
        if (str_eq(level->keys[i].name, name))
            return &level->keys[i];
    return NULL;
}

/* Whether the space-separated list holds the word. */
static bool words_hold(const char *list, const char *word) {
    size_t len = strlen(word);

    for (const char *p = list; p && *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (n == len && memcmp(p, word, n) == 0)
            return true;
        p += n;
    }
    return false;
}

const char *lang_nearest(const LangLevel *level, const char *name) {
    const char *words[64] = {NULL};

    if (strlen(name) > LANG_MAX_NAME)
        return NULL;
    for (size_t i = 0; i < level->count && i < ELEMENTS(words) - 1; i++) {
        words[i] = level->keys[i].name;
        if (words_hold(level->keys[i].also, name))
            return words[i];
    }
    return str_nearest(name, words);
}
