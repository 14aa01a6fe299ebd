#include "runner/spec.h"

#include "base/json.h"
#include "base/str.h"

#define STEPS_MAX 10000

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

static int read_step(const json_t *from, const void *mem, JobStep *step, Err *err) {
    int r;

    *step = (JobStep){.name = "", .run = "", .condition = "", .cwd = "", .env = {.mem = mem}};
    r = opt_str(from, "name", mem, &step->name, err);
    if (r == 0)
        r = opt_str(from, "run", mem, &step->run, err);
    if (r == 0)
        r = opt_str(from, "if", mem, &step->condition, err);
    if (r == 0)
        r = opt_str(from, "working_directory", mem, &step->cwd, err);
    if (r == 0)
        r = json_opt_i64(from, "timeout", &step->timeout_us, err);
    if (r == 0)
        r = json_opt_bool(from, "continue_on_error", &step->continue_on_error, err);
    if (r == 0)
        r = read_env(from, "env", &step->env, err);
    return r;
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

static int read_spec(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    const char *rule = NULL;
    int r;

    r = opt_str(from, "executor", mem, &job->executor, err);
    if (r == 0)
        r = json_opt_bool(from, "checkout", &job->checkout, err);
    if (r == 0)
        r = json_opt_bool(from, "network", &job->network, err);
    if (r == 0)
        r = json_opt_i64(from, "timeout", &job->timeout_us, err);
    if (r == 0)
        r = read_env(from, "env", &job->env, err);
    if (r == 0)
        r = read_steps(from, mem, job, err);
    if (r == 0)
        r = read_words(from, "artifacts", mem, &job->artifacts, err);
    if (r == 0)
        r = json_opt_str(from, "artifacts_rule", &rule, err);
    if (r == 0)
        r = read_words(from, "release", mem, &job->release, err);
    if (r == 0)
        r = read_resources(from, &job->limits, err);
    if (job->artifacts && !job->artifacts[0])
        job->artifacts = NULL;
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

static int read_job(const json_t *from, const void *mem, JobSpec *job, Err *err) {
    struct {
        const char *key, **place;
    } texts[] = {{"name", &job->name},
                 {"commit", &job->commit},
                 {"ref", &job->ref},
                 {"branch", &job->branch},
                 {"event", &job->event}};
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
        r = json_opt_object(from, "spec", &spec, err);
    if (r == 0)
        r = spec ? read_spec(spec, mem, job, err) : err_set(err, ERR_INVALID, "field \"spec\": is missing");
    /* what was given by hand wins over the pipeline's */
    if (r == 0)
        r = read_env(from, "env", &job->env, err);
    if (r == 0 && job->timeout_us == 0)
        r = json_opt_i64(from, "timeout", &job->timeout_us, err);
    return r;
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
        .executor = "sandbox",
        .checkout = true,
        .network = true,
        .env = {.mem = job},
    };
    r = json_read(text, len, &root, err);
    if (r == 0)
        r = read_job(root, job, job, err);
    if (r < 0) {
        talloc_free(job);
        return err_wrap(err, "job specification");
    }
    *ret = job;
    return 0;
}
