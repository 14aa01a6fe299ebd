#include "pipeline/spec.h"

#include "base/str.h"
#include <assert.h>

#define NAME_MAX_BYTES 80 /* of a step's name made from its command */

void spec_init(SpecWriter *w, const PipeFile *file, const void *mem) {
    size_t count = file->env ? file->env->count : 0;

    *w = (SpecWriter){.mem = mem, .env = file->env};
    w->names = mem_array(NULL, NameEntry, count);
    w->hidden = mem_array(NULL, size_t, count);
    for (size_t i = 0; i < count; i++)
        w->names[i] = (NameEntry){.name = file->env->pairs[i].key->text, .index = i};
    names_sort(w->names, count);
}

void spec_done(SpecWriter *w) {
    talloc_free(w->names);
    talloc_free(w->hidden);
    buf_done(&w->buf);
}

static const char *finish(SpecWriter *w) {
    w->total += w->buf.len;
    return w->total <= SPEC_MAX_TOTAL ? buf_dup(&w->buf, w->mem) : NULL;
}

static void write_pair(JsonWriter *jw, const YamlPair *pair) {
    jw_strn(jw, pair->key->text, pair->value->text, pair->value->len);
}

static void write_pairs(JsonWriter *jw, const YamlNode *env) {
    for (size_t i = 0; env && i < env->count; i++)
        write_pair(jw, &env->pairs[i]);
}

/* Of variables those that are left to the runner to fill in, or the others. */
static void write_those(JsonWriter *jw, const YamlNode *env, bool computed) {
    for (size_t i = 0; env && i < env->count; i++)
        if (template_is(env->pairs[i].value->text) == computed)
            write_pair(jw, &env->pairs[i]);
}

static bool any_computed(const YamlNode *env) {
    for (size_t i = 0; env && i < env->count; i++)
        if (template_is(env->pairs[i].value->text))
            return true;
    return false;
}

/* The file's variables that the job does not set itself, then the job's. */
static void write_job_env(SpecWriter *w, JsonWriter *jw, const YamlNode *env) {
    size_t count = w->env ? w->env->count : 0;

    for (size_t i = 0; env && i < env->count; i++) {
        const NameEntry *found = names_find(w->names, count, env->pairs[i].key->text);

        if (found)
            w->hidden[found->index] = w->jobs;
    }
    jw_object(jw, "env");
    for (size_t i = 0; i < count; i++)
        if (w->hidden[i] != w->jobs)
            write_pair(jw, &w->env->pairs[i]);
    write_those(jw, env, false);
    jw_end_object(jw);
    if (!any_computed(env))
        return;
    jw_object(jw, "computed");
    write_those(jw, env, true);
    jw_end_object(jw);
}

static void write_values(JsonWriter *jw, const Script *script, bool computed) {
    for (size_t i = 0; i < script->count; i++)
        if (template_is(script->values[i].text) == computed)
            jw_str(jw, script->values[i].name, script->values[i].text);
}

static void write_step_env(JsonWriter *jw, const PipeStep *step) {
    const Script *script = &step->run.script;
    bool computed = any_computed(step->env);

    for (size_t i = 0; i < script->count && !computed; i++)
        computed = template_is(script->values[i].text);
    jw_object(jw, "env");
    write_those(jw, step->env, false);
    write_values(jw, script, false);
    jw_end_object(jw);
    if (!computed)
        return;
    jw_object(jw, "computed");
    write_those(jw, step->env, true);
    write_values(jw, script, true);
    jw_end_object(jw);
}

/* With its values in their places, each up to a line's end in it: for eyes only. */
static void show_command(const Script *script, Buf *out) {
    const char *from = script->text;

    for (size_t i = 0; i < script->count; i++) {
        char ref[40];
        const char *at;

        snprintf(ref, sizeof(ref), "${%s}", script->values[i].name);
        at = strstr(from, ref);
        assert(at);
        buf_add(out, from, (size_t)(at - from));
        buf_add(out, script->values[i].text, strcspn(script->values[i].text, "\r\n"));
        from = at + strlen(ref);
    }
    buf_adds(out, from);
}

/* The name, or the command's first line, cut. */
static void write_step_name(JsonWriter *jw, const PipeStep *step) {
    const char *run = step->run.node ? step->run.script.text : lang_text(step->uses);
    _cleanup_buf_ Buf shown = BUF_INIT;
    char cut[NAME_MAX_BYTES + 8];
    size_t len;

    if (step->run.script.count) {
        show_command(&step->run.script, &shown);
        run = buf_str(&shown);
    }
    run += strspn(run, " \t\r\n");
    len = strcspn(run, "\r\n");
    if (step->name) {
        jw_str(jw, "name", step->name->text);
    } else if (len <= NAME_MAX_BYTES) {
        jw_strn(jw, "name", run, len);
    } else {
        for (len = NAME_MAX_BYTES; ((unsigned char)run[len] & 0xC0) == 0x80;)
            len--;
        snprintf(cut, sizeof(cut), "%.*s…", (int)len, run);
        jw_str(jw, "name", cut);
    }
}

static void write_names(JsonWriter *jw, const char *key, const LangNodes *names) {
    jw_array(jw, key);
    for (size_t i = 0; i < names->count; i++)
        jw_str(jw, NULL, names->items[i]->text);
    jw_end_array(jw);
}

static void write_paths(JsonWriter *jw, const char *key, const LangPaths *paths) {
    jw_array(jw, key);
    for (size_t i = 0; i < paths->count; i++)
        jw_str(jw, NULL, paths->items[i]);
    jw_end_array(jw);
}

/* Whether tags or arguments are left to the runner to fill in. */
static bool is_computed(const PipeWith *docker) {
    for (size_t i = 0; i < docker->tag.count; i++)
        if (template_is(docker->tag.items[i]->text))
            return true;
    return any_computed(docker->args);
}

static void write_docker(JsonWriter *jw, const PipeWith *docker) {
    /* the workspace itself is "." here: "" means that nothing is built */
    jw_str(jw, "build", !docker->build ? "" : *docker->build ? docker->build : ".");
    jw_str(jw, "file", docker->file && *docker->file ? docker->file : "Dockerfile");
    write_names(jw, "tag", &docker->tag);
    jw_object(jw, "args");
    write_pairs(jw, docker->args);
    jw_end_object(jw);
    jw_str(jw, "target", lang_text(docker->target));
    jw_bool(jw, "push", docker->push);
    jw_bool(jw, "pull", docker->pull);
    if (is_computed(docker))
        jw_bool(jw, "computed", true);
}

static void write_uses(JsonWriter *jw, const PipeStep *step) {
    jw_str(jw, "uses", step->uses->text);
    jw_object(jw, "with");
    if (str_eq(step->uses->text, "docker"))
        write_docker(jw, step->with);
    else if (step->with->check)
        jw_str(jw, "check", step->with->check->text);
    else
        write_names(jw, "build", &step->with->packages);
    jw_end_object(jw);
}

static void write_service(JsonWriter *jw, const PipeService *service) {
    jw_object(jw, NULL);
    jw_str(jw, "name", service->name->text);
    jw_str(jw, "image", service->image->text);
    jw_object(jw, "env");
    write_pairs(jw, service->env);
    jw_end_object(jw);
    if (service->command.count)
        write_names(jw, "command", &service->command);
    jw_str(jw, "ready", lang_text(service->ready));
    jw_int(jw, "timeout", service->timeout);
    jw_end_object(jw);
}

static void write_caches(JsonWriter *jw, const PipeJob *job) {
    const PipeCache *caches = job->cache.items;

    jw_array(jw, "cache");
    for (size_t i = 0; i < job->cache.count; i++) {
        jw_object(jw, NULL);
        jw_str(jw, "key", caches[i].key->text);
        write_names(jw, "restore", &caches[i].restore);
        write_paths(jw, "paths", &caches[i].paths);
        jw_end_object(jw);
    }
    jw_end_array(jw);
}

static bool is_plain(const PipeArtifact *artifact) {
    return !artifact->name && !artifact->keep && !artifact->condition;
}

static void write_artifact(JsonWriter *jw, const PipeArtifact *artifact) {
    jw_object(jw, NULL);
    jw_str(jw, "name", lang_text(artifact->name));
    write_paths(jw, "paths", &artifact->paths);
    jw_int(jw, "keep", artifact->keep);
    jw_str(jw, "if", lang_text(artifact->condition));
    jw_end_object(jw);
}

/* Patterns that nothing is said of, then the others. */
static void write_artifacts(JsonWriter *jw, const PipeJob *job) {
    const PipeArtifact *artifacts = job->artifacts.items;

    jw_array(jw, "artifacts");
    for (size_t i = 0; i < job->artifacts.count; i++)
        for (size_t k = 0; is_plain(&artifacts[i]) && k < artifacts[i].paths.count; k++)
            jw_str(jw, NULL, artifacts[i].paths.items[k]);
    for (size_t i = 0; i < job->artifacts.count; i++)
        if (!is_plain(&artifacts[i]))
            write_artifact(jw, &artifacts[i]);
    jw_end_array(jw);
}

static void write_downloads(JsonWriter *jw, const PipeJob *job) {
    const PipeDownload *downloads = job->download.items;

    jw_array(jw, "download");
    for (size_t i = 0; i < job->download.count; i++) {
        jw_object(jw, NULL);
        jw_str(jw, "name", lang_text(downloads[i].name));
        jw_str(jw, "job", lang_text(downloads[i].job));
        jw_str(jw, "path", downloads[i].path ? downloads[i].path : "");
        jw_bool(jw, "optional", downloads[i].optional);
        jw_end_object(jw);
    }
    jw_end_array(jw);
}

static void write_container(JsonWriter *jw, const PipeJob *job) {
    const PipeService *services = job->services.items;

    if (!job->image.name)
        return;
    jw_str(jw, "image", job->image.name->text);
    jw_str(jw, "pull", job->image.pull->text);
    jw_str(jw, "user", lang_text(job->image.user));
    jw_array(jw, "services");
    for (size_t i = 0; i < job->services.count; i++)
        write_service(jw, &services[i]);
    jw_end_array(jw);
}

const char *spec_executor(const PipeJob *job) {
    const PipeStep *steps = job->steps.items;

    if (job->runs_on.executor)
        return job->runs_on.executor->text;
    if (job->image.name)
        return "docker";
    for (size_t i = 0; i < job->steps.count; i++)
        if (steps[i].uses)
            return steps[i].uses->text;
    return "sandbox";
}

static void write_step(JsonWriter *jw, const PipeStep *step) {
    jw_object(jw, NULL);
    write_step_name(jw, step);
    jw_str(jw, "run", step->run.script.text ? step->run.script.text : "");
    write_step_env(jw, step);
    jw_int(jw, "timeout", step->timeout);
    if (step->shell)
        jw_str(jw, "shell", step->shell->text);
    if (step->go_on)
        jw_bool(jw, "continue_on_error", true);
    jw_str(jw, "working_directory", step->folder ? step->folder : "");
    jw_str(jw, "if", lang_text(step->condition));
    if (step->uses)
        write_uses(jw, step);
    jw_end_object(jw);
}

static void write_resources(JsonWriter *jw, const PipeResources *resources) {
    jw_object(jw, "resources");
    jw_int(jw, "memory", resources->memory);
    jw_int(jw, "cpu", resources->cpu);
    jw_int(jw, "processes", resources->processes);
    jw_end_object(jw);
}

const char *spec_job(SpecWriter *w, const PipeJob *job, const LangPaths *release) {
    JsonWriter jw = JSON_WRITER(&w->buf);
    const PipeStep *steps = job->steps.items;

    w->jobs++;
    buf_clear(&w->buf);
    jw_object(&jw, NULL);
    jw_str(&jw, "kind", "steps");
    jw_str(&jw, "executor", spec_executor(job));
    jw_bool(&jw, "checkout", job->checkout);
    jw_bool(&jw, "network", job->network);
    write_job_env(w, &jw, job->env);
    jw_int(&jw, "timeout", job->timeout);
    jw_array(&jw, "steps");
    for (size_t i = 0; i < job->steps.count; i++)
        write_step(&jw, &steps[i]);
    jw_end_array(&jw);
    write_artifacts(&jw, job);
    jw_str(&jw, "artifacts_rule", "patterns");
    if (release)
        write_paths(&jw, "release", release);
    else
        jw_null(&jw, "release");
    write_resources(&jw, &job->resources);
    write_container(&jw, job);
    if (job->secrets.count)
        write_names(&jw, "secrets", &job->secrets);
    if (job->cache.count)
        write_caches(&jw, job);
    if (job->download.count)
        write_downloads(&jw, job);
    jw_end_object(&jw);
    return finish(w);
}

const char *spec_deploy(SpecWriter *w, const PipeDeploy *deploy, const char *job) {
    JsonWriter jw = JSON_WRITER(&w->buf);

    buf_clear(&w->buf);
    jw_object(&jw, NULL);
    jw_str(&jw, "kind", "deploy");
    jw_str(&jw, "executor", "deploy");
    jw_int(&jw, "timeout", 0);
    jw_object(&jw, "deploy");
    jw_str(&jw, "start", deploy->start->text);
    jw_object(&jw, "health");
    jw_str(&jw, "path", deploy->health.path->text);
    jw_int(&jw, "timeout", deploy->health.timeout);
    jw_end_object(&jw);
    jw_object(&jw, "env");
    write_pairs(&jw, deploy->env);
    jw_end_object(&jw);
    write_resources(&jw, &deploy->resources);
    jw_str(&jw, "job", job);
    jw_end_object(&jw);
    jw_end_object(&jw);
    return finish(w);
}

const char *spec_make(SpecWriter *w) {
    static const char spec[] = "{\"kind\":\"steps\",\"executor\":\"sandbox\",\"checkout\":true,\"network\":"
                               "true,\"env\":{},\"timeout\":0,"
                               "\"steps\":[{\"name\":\"make\",\"run\":\"make\",\"env\":{},\"timeout\":0,"
                               "\"working_directory\":\"\",\"if\":\"\"}],"
                               "\"artifacts\":[],\"artifacts_rule\":\"build-server\",\"release\":null,"
                               "\"resources\":{\"memory\":0,\"cpu\":0,\"processes\":0}}";

    return mem_strdup(w->mem, spec);
}

const char *spec_flake(SpecWriter *w) {
    static const char spec[] =
        "{\"kind\":\"steps\",\"executor\":\"nix\",\"checkout\":true,\"network\":"
        "true,\"env\":{},\"timeout\":0,"
        "\"steps\":[{\"name\":\"nix flake check\",\"run\":\"\",\"uses\":\"nix\",\"with\":{"
        "\"check\":\".\"},\"env\":{},\"timeout\":0,\"working_directory\":\"\",\"if\":\"\"}],"
        "\"artifacts\":[],\"artifacts_rule\":\"patterns\",\"release\":null,"
        "\"resources\":{\"memory\":0,\"cpu\":0,\"processes\":0}}";

    return mem_strdup(w->mem, spec);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const YamlPair *)a)->key->text, ((const YamlPair *)b)->key->text);
}

const char *spec_labels(SpecWriter *w, const YamlNode *labels) {
    JsonWriter jw = JSON_WRITER(&w->buf);
    _cleanup_talloc_ YamlPair *pairs = NULL;

    if (!labels || labels->count == 0)
        return NULL;
    pairs = mem_array(NULL, YamlPair, labels->count);
    memcpy(pairs, labels->pairs, labels->count * sizeof(*pairs));
    qsort(pairs, labels->count, sizeof(*pairs), by_key);
    buf_clear(&w->buf);
    jw_object(&jw, NULL);
    for (size_t i = 0; i < labels->count; i++)
        jw_strn(&jw, pairs[i].key->text, pairs[i].value->text, pairs[i].value->len);
    jw_end_object(&jw);
    return finish(w);
}

/* Without `on`: all that may pass by itself. A lost attempt was repeated already. */
static const char *const retry_default[] = {"exit", "timeout", "oom", "infrastructure"};

const char *spec_retry(SpecWriter *w, const PipeRetry *retry) {
    JsonWriter jw = JSON_WRITER(&w->buf);

    if (retry->times == 0)
        return NULL;
    buf_clear(&w->buf);
    jw_object(&jw, NULL);
    jw_int(&jw, "times", retry->times);
    jw_array(&jw, "on");
    for (size_t i = 0; i < retry->on.count; i++)
        jw_str(&jw, NULL, retry->on.items[i]->text);
    for (size_t i = 0; retry->on.count == 0 && i < ELEMENTS(retry_default); i++)
        jw_str(&jw, NULL, retry_default[i]);
    jw_end_array(&jw);
    jw_int(&jw, "backoff", retry->backoff);
    jw_end_object(&jw);
    return finish(w);
}
