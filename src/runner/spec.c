#include "runner/spec.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define STEPS_MAX 10000
#define CACHES_MAX 100
#define ARTIFACTS_MAX 10000
#define DOWNLOADS_MAX 10000

static int read_env(const json_t *from, const char *key, Env *env, Err *err) {
    json_t *object = NULL, *value;
    const char *name;
    int r = json_opt_object(from, key, &object, err);

    if (r < 0)
        return r;
    json_object_foreach (object, name, value) {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "field \"%s.%s\": expected a string", key, name);
        env_set(env, name, json_string_value(value));
    }
    return 0;
}

static int read_words(const json_t *from, const char *key, const void *mem, const char *const **ret,
                      Err *err) {
    json_t *array = NULL, *value;
    const char **words = NULL;
    size_t i, count = 0;
    int r = json_opt_array(from, key, &array, err);

    if (r < 0 || !array)
        return r;
    json_array_foreach (array, i, value) {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "field \"%s\": expected strings", key);
        mem_append(mem, words, count, mem_strdup(mem, json_string_value(value)));
    }
    mem_append(mem, words, count, NULL);
    *ret = words;
    return 0;
}

static int opt_str(const json_t *from, const char *key, const void *mem, const char **ret, Err *err) {
    const char *text = NULL;
    int r = json_opt_str(from, key, &text, err);

    if (r == 0 && text)
        *ret = mem_strdup(mem, text);
    return r;
}

static int read_build(const json_t *with, const void *mem, ExecutorBuild *build, Err *err) {
    Env args = {.mem = mem};
    int r;

    *build = (ExecutorBuild){.context = "", .file = "Dockerfile", .target = ""};
    r = opt_str(with, "build", mem, &build->context, err);
    if (r == 0)
        r = opt_str(with, "file", mem, &build->file, err);
    if (r == 0)
        r = opt_str(with, "target", mem, &build->target, err);
    if (r == 0)
        r = read_words(with, "tag", mem, &build->tags, err);
    if (r == 0)
        r = read_env(with, "args", &args, err);
    if (r == 0)
        r = json_opt_bool(with, "push", &build->push, err);
    if (r == 0)
        r = json_opt_bool(with, "pull", &build->pull, err);
    build->args = env_list(&args);
    if (r == 0 && (!build->tags || !build->tags[0]))
        return err_set(err, ERR_INVALID, "field \"tag\": expected at least one");
    if (r == 0 && !*build->context && !build->push)
        return err_set(err, ERR_INVALID, "expected \"build\", \"push\" or both");
    return r;
}

static int read_nix(const json_t *with, const void *mem, ExecutorNix *nix, Err *err) {
    int r;

    *nix = (ExecutorNix){.check = ""};
    r = opt_str(with, "check", mem, &nix->check, err);
    if (r == 0)
        r = read_words(with, "build", mem, &nix->build, err);
    if (r == 0 && (*nix->check != 0) == (nix->build && nix->build[0]))
        return err_set(err, ERR_INVALID, "expected either \"check\" or \"build\"");
    for (const char *const *what = nix->build; r == 0 && what && *what; what++)
        if (**what == '-')
            return err_set(err, ERR_INVALID, "field \"build\": \"%s\" is an option, not a flake", *what);
    if (r == 0 && *nix->check == '-')
        return err_set(err, ERR_INVALID, "field \"check\": \"%s\" is an option, not a flake", nix->check);
    return r;
}

static int read_with(const char *uses, const json_t *with, const void *mem, JobStep *step, Err *err) {
    ExecutorBuild *build;
    ExecutorNix *nix;
    int r;

    if (str_eq(uses, "docker")) {
        step->build = build = mem_new(mem, ExecutorBuild);
        r = json_opt_bool(with, "computed", &step->computed_build, err);
        return r < 0 ? r : read_build(with, mem, build, err);
    }
    if (str_eq(uses, "nix")) {
        step->nix = nix = mem_new(mem, ExecutorNix);
        return read_nix(with, mem, nix, err);
    }
    return err_set(err, ERR_INVALID, "\"%s\": this runner knows docker and nix", uses);
}

static int read_uses(const json_t *from, const void *mem, JobStep *step, Err *err) {
    _cleanup_json_ json_t *none = json_object();
    json_t *with = none;
    const char *uses = "";
    int r = json_opt_str(from, "uses", &uses, err);

    if (r == 0)
        r = json_opt_object(from, "with", &with, err);
    if (r < 0 || !*uses)
        return r;
    r = read_with(uses, with, mem, step, err);
    return r < 0 ? err_wrap(err, "uses: %s", uses) : 0;
}

static int read_step(const json_t *from, const void *mem, JobStep *step, Err *err) {
    int r;

    *step = (JobStep){.name = "",
                      .run = "",
                      .condition = "",
                      .cwd = "",
                      .shell = "",
                      .env = {.mem = mem},
                      .computed = {.mem = mem}};
    r = opt_str(from, "name", mem, &step->name, err);
    if (r == 0)
        r = opt_str(from, "run", mem, &step->run, err);
    if (r == 0)
        r = opt_str(from, "if", mem, &step->condition, err);
    if (r == 0)
        r = opt_str(from, "working_directory", mem, &step->cwd, err);
    if (r == 0)
        r = opt_str(from, "shell", mem, &step->shell, err);
    if (r == 0)
        r = json_opt_i64(from, "timeout", &step->timeout_us, err);
    if (r == 0)
        r = json_opt_bool(from, "continue_on_error", &step->continue_on_error, err);
    if (r == 0)
        r = read_env(from, "env", &step->env, err);
    if (r == 0)
        r = read_env(from, "computed", &step->computed, err);
    if (r == 0)
        r = read_words(from, "secrets", mem, &step->secrets, err);
    return r < 0 ? r : read_uses(from, mem, step, err);
}

static int read_steps(const json_t *spec, const void *mem, JobSpec *job, Err *err) {
    json_t *array = NULL, *value;
    size_t i;
    int r = json_opt_array(spec, "steps", &array, err);

    if (r < 0)
        return r;
    job->step_count = json_array_size(array);
    if (job->step_count > STEPS_MAX)
        return err_set(err, ERR_INVALID, "%zu steps; at most %d", job->step_count, STEPS_MAX);
    job->steps = mem_array(mem, JobStep, MAX(job->step_count, 1));
    json_array_foreach (array, i, value) {
        r = json_is_object(value) ? read_step(value, mem, &job->steps[i], err)
                                  : err_set(err, ERR_INVALID, "expected an object");
        if (r < 0)
            return err_wrap(err, "step %zu", i + 1);
    }
    return 0;
}

static int read_service(const json_t *from, const void *mem, ExecutorService *service, Err *err) {
    Env env = {.mem = mem};
    int r;

    *service = (ExecutorService){.name = "", .image = "", .ready = ""};
    r = opt_str(from, "name", mem, &service->name, err);
    if (r == 0)
        r = opt_str(from, "image", mem, &service->image, err);
    if (r == 0)
        r = opt_str(from, "ready", mem, &service->ready, err);
    if (r == 0)
        r = json_opt_i64(from, "timeout", &service->timeout_us, err);
    if (r == 0)
        r = read_words(from, "command", mem, &service->command, err);
    if (r == 0)
        r = read_env(from, "env", &env, err);
    service->env = env_list(&env);
    if (r == 0 && !str_is_name(service->name, 63))
        return err_set(err, ERR_INVALID, "field \"name\": expected a plain name");
    return r;
}

static int read_services(const json_t *spec, const void *mem, ExecutorContainer *container, Err *err) {
    json_t *array = NULL, *value;
    ExecutorService *services;
    size_t i, count;
    int r = json_opt_array(spec, "services", &array, err);

    count = json_array_size(array);
    if (r < 0 || count == 0)
        return r;
    if (count > EXECUTOR_SERVICES)
        return err_set(err, ERR_INVALID, "%zu services; at most %d", count, EXECUTOR_SERVICES);
    services = mem_array(mem, ExecutorService, count);
    json_array_foreach (array, i, value) {
        r = json_is_object(value) ? read_service(value, mem, &services[i], err)
                                  : err_set(err, ERR_INVALID, "expected an object");
        if (r < 0)
            return err_wrap(err, "service %zu", i + 1);
    }
    container->services = services;
    container->service_count = count;
    return 0;
}

static int read_container(const json_t *spec, const void *mem, ExecutorContainer *container, Err *err) {
    int r = opt_str(spec, "image", mem, &container->image, err);

    if (r == 0)
        r = opt_str(spec, "pull", mem, &container->pull, err);
    if (r == 0)
        r = opt_str(spec, "user", mem, &container->user, err);
    return r < 0 ? r : read_services(spec, mem, container, err);
}

static int read_cache(const json_t *from, const void *mem, JobCache *cache, Err *err) {
    static const char *const none[] = {NULL};
    int r;

    *cache = (JobCache){.key = "", .restore = none, .paths = none};
    r = opt_str(from, "key", mem, &cache->key, err);
    if (r == 0)
        r = read_words(from, "restore", mem, &cache->restore, err);
    return r < 0 ? r : read_words(from, "paths", mem, &cache->paths, err);
}

static int read_artifact(const json_t *from, const void *mem, JobArtifact *artifact, Err *err) {
    static const char *const none[] = {NULL};
    int r;

    *artifact = (JobArtifact){.name = "", .condition = "", .paths = none};
    r = opt_str(from, "name", mem, &artifact->name, err);
    if (r == 0)
        r = opt_str(from, "if", mem, &artifact->condition, err);
    if (r == 0)
        r = json_opt_i64(from, "keep", &artifact->keep_us, err);
    return r < 0 ? r : read_words(from, "paths", mem, &artifact->paths, err);
}

/* Patterns stand for themselves, and are one artifact together. */
static int read_artifacts(const json_t *spec, const void *mem, JobSpec *job, Err *err) {
    JobArtifact plain = {.name = "", .condition = ""};
    json_t *array = NULL, *value;
    const char **patterns = NULL;
    size_t i, count = 0;
    int r = json_opt_array(spec, "artifacts", &array, err);

    if (r == 0 && json_array_size(array) > ARTIFACTS_MAX)
        r = err_set(err, ERR_INVALID, "field \"artifacts\": at most %d", ARTIFACTS_MAX);
    json_array_foreach (array, i, value) {
        JobArtifact artifact;

        if (r == 0 && json_is_string(value)) {
            mem_append(mem, patterns, count, mem_strdup(mem, json_string_value(value)));
            continue;
        }
        if (r == 0)
            r = json_is_object(value) ? read_artifact(value, mem, &artifact, err)
                                      : err_set(err, ERR_INVALID, "expected a pattern or an object");
        if (r < 0)
            return err_wrap(err, "field \"artifacts[%zu]\"", i);
        mem_append(mem, job->artifacts, job->artifact_count, artifact);
    }
    if (r == 0 && count) {
        mem_append(mem, patterns, count, NULL);
        plain.paths = patterns;
        mem_append(mem, job->artifacts, job->artifact_count, plain);
    }
    return r;
}

static int read_download(const json_t *from, const void *mem, JobDownload *download, Err *err) {
    int r;

    *download = (JobDownload){.name = "", .job = "", .path = ""};
    r = opt_str(from, "name", mem, &download->name, err);
    if (r == 0)
        r = opt_str(from, "path", mem, &download->path, err);
    if (r == 0)
        r = json_opt_bool(from, "optional", &download->optional, err);
    if (r == 0)
        r = opt_str(from, "job", mem, &download->job, err);
    if (r == 0 && *download->path)
        r = file_check_path(download->path, err);
    return r;
}

static int read_downloads(const json_t *spec, const void *mem, JobSpec *job, Err *err) {
    json_t *array = NULL, *value;
    size_t i;
    int r = json_opt_array(spec, "download", &array, err);

    if (r == 0 && json_array_size(array) > DOWNLOADS_MAX)
        r = err_set(err, ERR_INVALID, "field \"download\": at most %d", DOWNLOADS_MAX);
    json_array_foreach (array, i, value) {
        JobDownload download;

        if (r == 0)
            r = json_is_object(value) ? read_download(value, mem, &download, err)
                                      : err_set(err, ERR_INVALID, "expected an object");
        if (r < 0)
            return err_wrap(err, "field \"download[%zu]\"", i);
        mem_append(mem, job->downloads, job->download_count, download);
    }
    return r;
}

static int read_caches(const json_t *spec, const void *mem, JobSpec *job, Err *err) {
    json_t *array = NULL, *value;
    size_t i;
    int r = json_opt_array(spec, "cache", &array, err);

    if (r < 0)
        return r;
    if (json_array_size(array) > CACHES_MAX)
        return err_set(err, ERR_INVALID, "field \"cache\": at most %d", CACHES_MAX);
    json_array_foreach (array, i, value) {
        JobCache cache;

        r = json_is_object(value) ? read_cache(value, mem, &cache, err)
                                  : err_set(err, ERR_INVALID, "expected an object");
        if (r < 0)
            return err_wrap(err, "cache %zu", i + 1);
        mem_append(mem, job->caches, job->cache_count, cache);
    }
    return 0;
}

static int read_resources(const json_t *spec, CgroupLimits *limits, Err *err) {
    json_t *resources = NULL;
    int64_t memory = 0;
    int r = json_opt_object(spec, "resources", &resources, err);

    if (r == 0 && resources)
        r = json_opt_i64(resources, "memory", &memory, err);
    if (r == 0 && resources)
        r = json_opt_i64(resources, "cpu", &limits->cpu, err);
    if (r == 0 && resources)
        r = json_opt_i64(resources, "processes", &limits->processes, err);
    limits->memory = (uint64_t)MAX(memory, 0);
    return r;
}

static int read_take(const json_t *from, const void *mem, JobTake *take, Err *err) {
    int r = json_get_str(from, "path", &take->path, err);

    if (r == 0)
        r = json_opt_bool(from, "changes", &take->changes, err);
    if (r == 0)
        r = json_opt_bool(from, "required", &take->required, err);
    take->path = mem_strdup(mem, r == 0 ? take->path : NULL);
    return r;
}

static int read_workspace(const json_t *spec, const void *mem, JobWorkspace *workspace, Err *err) {
    json_t *object = NULL, *list = NULL, *value;
    size_t i;
    int r = json_opt_object(spec, "workspace", &object, err);

    if (r < 0 || !object)
        return r;
    r = json_opt_array(object, "take", &list, err);
    if (r == 0)
        r = opt_str(object, "keep", mem, &workspace->keep, err);
    if (r == 0)
        r = json_opt_bool(object, "changes", &workspace->changes, err);
    workspace->take = mem_array(mem, JobTake, json_array_size(list));
    json_array_foreach (list, i, value) {
        if (r == 0)
            r = read_take(value, mem, &workspace->take[i], err);
    }
    workspace->take_count = json_array_size(list);
    return r;
}

static int read_spec(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    const char *rule = NULL;
    int r;

    r = opt_str(from, "executor", mem, &job->executor, err);
    if (r == 0)
        r = json_opt_bool(from, "checkout", &job->checkout, err);
    if (r == 0)
        r = json_opt_bool(from, "network", &job->network, err);
    if (r == 0)
        r = read_env(from, "env", &job->env, err);
    if (r == 0)
        r = read_env(from, "computed", &job->computed, err);
    if (r == 0)
        r = read_steps(from, mem, job, err);
    if (r == 0)
        r = read_artifacts(from, mem, job, err);
    if (r == 0)
        r = read_downloads(from, mem, job, err);
    if (r == 0)
        r = json_opt_str(from, "artifacts_rule", &rule, err);
    if (r == 0)
        r = read_words(from, "release", mem, &job->release, err);
    if (r == 0)
        r = read_caches(from, mem, job, err);
    if (r == 0)
        r = read_resources(from, &job->limits, err);
    if (r == 0)
        r = read_workspace(from, mem, &job->workspace, err);
    if (r == 0)
        r = read_container(from, mem, &job->container, err);
    job->artifacts_of_build_server = str_eq(rule, "build-server");
    return r;
}

static int read_origin(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    json_t *project = NULL, *repository = NULL;
    int r;

    r = json_opt_object(from, "project", &project, err);
    if (r == 0 && project)
        r = json_opt_i64(project, "id", &job->project_id, err);
    if (r == 0 && project)
        r = opt_str(project, "name", mem, &job->project, err);
    if (r == 0)
        r = json_opt_object(from, "repository", &repository, err);
    if (r == 0 && repository)
        r = opt_str(repository, "url", mem, &job->repository_url, err);
    if (r == 0 && repository)
        r = opt_str(repository, "path", mem, &job->repository_path, err);
    return r;
}

static void read_outputs(const json_t *from, const void *mem, PlanNeed *need) {
    PlanOutput *outputs = NULL;
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)from, name, value) {
        PlanOutput output = {.name = mem_strdup(mem, name),
                             .value = mem_strdup(mem, json_is_string(value) ? json_string_value(value) : "")};

        mem_append(mem, outputs, need->output_count, output);
    }
    need->outputs = outputs;
}

static int read_needs(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    json_t *list = NULL, *item, *outputs = NULL;
    size_t i;
    int r = json_opt_array(from, "needs", &list, err);

    json_array_foreach (list, i, item) {
        PlanNeed need = {.job = "", .state = ""};

        if (r == 0)
            r = opt_str(item, "job", mem, &need.job, err);
        if (r == 0)
            r = opt_str(item, "state", mem, &need.state, err);
        if (r == 0)
            r = json_opt_object(item, "outputs", &outputs, err);
        if (r < 0)
            return err_wrap(err, "field \"needs[%zu]\"", i);
        read_outputs(outputs, mem, &need);
        mem_append(mem, job->needs, job->need_count, need);
    }
    return r;
}

/* Wins over what is computed, too. */
static void put_over(JobSpec *job, const Env *given) {
    env_set_all(&job->env, given);
    for (size_t i = 0; i < given->count; i++) {
        _cleanup_talloc_ char *name = mem_strndup(NULL, given->items[i], strcspn(given->items[i], "="));

        env_unset(&job->computed, name);
    }
}

/* What was given by hand wins over the pipeline's. */
static int read_given(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    Env given = {.mem = mem};
    int r = read_env(from, "env", &given, err);

    if (r == 0)
        put_over(job, &given);
    return r;
}

static int read_pull(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    json_t *pull = NULL;
    int r = json_opt_object(from, "pull_request", &pull, err);

    if (r == 0 && pull)
        r = json_opt_i64(pull, "number", &job->pull_number, err);
    if (r == 0 && pull)
        r = opt_str(pull, "target", mem, &job->target, err);
    return r;
}

static int read_job(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    struct {
        const char *key, **place;
    } texts[] = {{"name", &job->name},          {"commit", &job->commit}, {"ref", &job->ref},
                 {"branch", &job->branch},      {"event", &job->event},   {"schedule", &job->schedule},
                 {"build_url", &job->build_url}};
    json_t *spec = NULL;
    int r;

    r = json_get_i64(from, "id", &job->id, err);
    if (r == 0)
        r = json_get_i64(from, "attempt", &job->attempt, err);
    if (r == 0)
        r = json_opt_i64(from, "build", &job->build, err);
    for (size_t i = 0; r == 0 && i < ELEMENTS(texts); i++)
        r = opt_str(from, texts[i].key, mem, texts[i].place, err);
    if (r == 0)
        r = read_origin(from, mem, job, err);
    if (r == 0)
        r = read_pull(from, mem, job, err);
    if (r == 0)
        r = json_opt_bool(from, "untrusted", &job->untrusted, err);
    if (r == 0)
        r = json_opt_object(from, "spec", &spec, err);
    if (r == 0)
        r = spec ? read_spec(spec, mem, job, err) : err_set(err, ERR_INVALID, "field \"spec\": is missing");
    if (r == 0)
        r = read_needs(from, mem, job, err);
    if (r == 0)
        r = read_given(from, mem, job, err);
    return r < 0 ? r : spec_timeout(from, &job->timeout_us, err);
}

/* What only an engine, or nix, can do is asked of it. */
static int check_executor(JobSpec *job, Err *err) {
    bool docker = str_eq(job->executor, executor_docker.name), nix = str_eq(job->executor, executor_nix.name);

    if (!docker && *job->container.image)
        return err_set(err, ERR_INVALID, "an image needs the executor docker");
    if (job->container.service_count && !*job->container.image)
        return err_set(err, ERR_INVALID, "services need an image");
    for (size_t i = 0; i < job->step_count; i++)
        if ((!docker && job->steps[i].build) || (!nix && job->steps[i].nix))
            return err_set(err, ERR_INVALID, "step %zu: uses: %s needs the executor of that name", i + 1,
                           job->steps[i].build ? "docker" : "nix");
    return 0;
}

int spec_timeout(const json_t *job, int64_t *ret, Err *err) {
    json_t *spec = NULL;
    int r = json_opt_object(job, "spec", &spec, err);

    *ret = 0;
    if (r == 0 && spec)
        r = json_opt_i64(spec, "timeout", ret, err);
    return r == 0 && *ret == 0 ? json_opt_i64(job, "timeout", ret, err) : r;
}

int spec_read(const char *text, size_t len, const void *mem, JobSpec **ret, Err *err) {
    _cleanup_json_ json_t *root = NULL;
    JobSpec *job = mem_new(mem, JobSpec);
    int r;

    *job = (JobSpec){
        .name = "",
        .project = "",
        .commit = "",
        .ref = "",
        .branch = "",
        .event = "",
        .schedule = "",
        .build_url = "",
        .target = "",
        .executor = "sandbox",
        .container = {.image = "", .pull = "missing", .user = ""},
        .checkout = true,
        .network = true,
        .env = {.mem = job},
        .computed = {.mem = job},
    };
    r = json_read(text, len, &root, err);
    if (r == 0)
        r = read_job(root, job, job, err);
    if (r == 0)
        r = check_executor(job, err);
    if (r < 0) {
        talloc_free(job);
        return err_wrap(err, "job specification");
    }
    *ret = job;
    return 0;
}

int spec_add_secrets(JobSpec *job, const json_t *secrets, Err *err) {
    const char *name;
    json_t *value;

    job->secret_names = mem_array(job, const char *, json_object_size(secrets));
    job->secrets = mem_array(job, const char *, json_object_size(secrets));
    json_object_foreach ((json_t *)secrets, name, value) {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "field \"secrets.%s\": expected a string", name);
        job->secret_names[job->secret_count] = mem_strdup(job, name);
        job->secrets[job->secret_count++] = mem_strdup(job, json_string_value(value));
    }
    return 0;
}

static bool names(const JobStep *step, const char *secret) {
    for (const char *const *name = step->secrets; name && *name; name++)
        if (str_eq(*name, secret))
            return true;
    return false;
}

/* Whether it is for the steps that name it only. */
static bool is_own(const JobSpec *job, const char *secret) {
    for (size_t i = 0; i < job->step_count; i++)
        if (names(&job->steps[i], secret))
            return true;
    return false;
}

void spec_set_secrets(const JobSpec *job, const JobStep *step, Env *env) {
    for (size_t i = 0; i < job->secret_count; i++)
        if (!is_own(job, job->secret_names[i]) || (step && names(step, job->secret_names[i])))
            env_set(env, job->secret_names[i], job->secrets[i]);
}

const char *spec_variable(const JobSpec *job, const char *name) {
    for (size_t i = 0; i < job->secret_count; i++)
        if (str_eq(job->secret_names[i], name))
            return job->secrets[i];
    return env_get(&job->env, name);
}
