#include "deploy/spec.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "executor/sandbox.h"

#define SPEC_MAX ((size_t)4 * 1024 * 1024)
#define HEALTH_TIMEOUT (30 * US_PER_S)
#define STOP_GRACE (10 * US_PER_S)
#define UIDS 50000

/* FNV-1a. Two releases may share a user: their files and processes are apart by name spaces anyway. */
uid_t release_uid(const char *uuid) {
    uint32_t hash = 2166136261u;

    for (; *uuid; uuid++)
        hash = (hash ^ (unsigned char)*uuid) * 16777619u;
    return SANDBOX_UID_BASE + 1000 + hash % UIDS;
}

void release_cgroup_name(const char *uuid, char *out) {
    snprintf(out, RELEASE_CGROUP_SIZE, "pelton-release-%.36s", uuid);
}

/* It becomes a line of an HTTP request. */
static int check_path(const char *path, Err *err) {
    if (path[0] != '/' || strlen(path) > 1024)
        return err_set(err, ERR_INVALID, "field \"health.path\": expected a path such as /healthz");
    for (const char *c = path; *c; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return err_set(err, ERR_INVALID,
                           "field \"health.path\": expected a path without spaces or control characters");
    return 0;
}

static int read_health(ReleaseSpec *spec, json_t *root, const void *mem, Err *err) {
    const char *path = "/";
    json_t *health = NULL;

    if (json_opt_object(root, "health", &health, err) < 0)
        return -(int)err->code;
    if (health && (json_opt_str(health, "path", &path, err) < 0 ||
                   json_opt_i64(health, "timeout", &spec->health_timeout_us, err) < 0))
        return err_wrap(err, "health");
    if (spec->health_timeout_us <= 0)
        spec->health_timeout_us = HEALTH_TIMEOUT;
    spec->health_path = mem_strdup(mem, path);
    return check_path(path, err);
}

static int read_env(ReleaseSpec *spec, json_t *root, const void *mem, Err *err) {
    const char **list = mem_array(mem, const char *, 1), *key;
    json_t *env = NULL, *value;
    size_t count = 0;

    if (json_opt_object(root, "env", &env, err) < 0)
        return -(int)err->code;
    json_object_foreach (env, key, value) {
        const char *text = "";

        if (json_get_str(env, key, &text, err) < 0)
            return err_wrap(err, "env");
        if (!*key || strchr(key, '='))
            return err_set(err, ERR_INVALID, "env: \"%.80s\" cannot be a variable's name", key);
        mem_append(mem, list, count, mem_printf(mem, "%s=%s", key, text));
    }
    mem_append(mem, list, count, NULL);
    spec->env = list;
    return 0;
}

static int read_resources(ReleaseSpec *spec, json_t *root, Err *err) {
    json_t *resources = NULL;
    int64_t memory = 0;

    if (json_opt_object(root, "resources", &resources, err) < 0)
        return -(int)err->code;
    if (resources && (json_opt_i64(resources, "memory", &memory, err) < 0 ||
                      json_opt_i64(resources, "cpu", &spec->limits.cpu, err) < 0 ||
                      json_opt_i64(resources, "processes", &spec->limits.processes, err) < 0))
        return err_wrap(err, "resources");
    if (memory < 0 || spec->limits.cpu < 0 || spec->limits.processes < 0)
        return err_set(err, ERR_INVALID, "field \"resources\": a limit is negative");
    spec->limits.memory = (uint64_t)memory;
    return 0;
}

static int read_spec(ReleaseSpec *spec, json_t *root, const void *mem, Err *err) {
    const char *start = NULL;
    bool network = true;

    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "expected an object");
    if (json_get_str(root, "start", &start, err) < 0 || json_opt_bool(root, "network", &network, err) < 0 ||
        json_opt_i64(root, "stop", &spec->stop_us, err) < 0)
        return -(int)err->code;
    if (str_empty(start))
        return err_set(err, ERR_INVALID, "field \"start\": expected the command that starts the application");
    if (!network)
        return err_set(err, ERR_INVALID,
                       "field \"network\": a deployed application is reached over this machine's loopback, "
                       "so it cannot be "
                       "without network; leave it out");
    if (spec->stop_us <= 0)
        spec->stop_us = STOP_GRACE;
    spec->start = mem_strdup(mem, start);
    if (read_health(spec, root, mem, err) < 0 || read_env(spec, root, mem, err) < 0)
        return -(int)err->code;
    return read_resources(spec, root, err);
}

int release_spec_parse(const char *text, const void *mem, ReleaseSpec **ret, Err *err) {
    _cleanup_talloc_ ReleaseSpec *spec = mem_new(mem, ReleaseSpec);
    _cleanup_json_ json_t *root = NULL;

    if (json_read(text, strlen(text), &root, err) < 0 || read_spec(spec, root, spec, err) < 0)
        return err_wrap(err, "deploy");
    *ret = TAKE_PTR(spec);
    return 0;
}

static bool same_name(const char *a, const char *b) {
    size_t len = strcspn(a, "=");

    return strcspn(b, "=") == len && memcmp(a, b, len) == 0;
}

void release_spec_add_env(ReleaseSpec *spec, const char *const *more, const void *mem) {
    const char **list = mem_array(mem, const char *, 1);
    size_t count = 0;

    for (const char *const *own = spec->env; *own; own++) {
        bool replaced = false;

        for (const char *const *m = more; m && *m; m++)
            replaced = replaced || same_name(*own, *m);
        if (!replaced)
            mem_append(mem, list, count, *own);
    }
    for (; more && *more; more++)
        if (strchr(*more, '=') && **more != '=')
            mem_append(mem, list, count, mem_strdup(mem, *more));
    mem_append(mem, list, count, NULL);
    spec->env = list;
}

static void write_env(JsonWriter *w, const ReleaseSpec *spec) {
    jw_object(w, "env");
    for (const char *const *item = spec->env; *item; item++) {
        _cleanup_talloc_ char *key = mem_strndup(NULL, *item, strcspn(*item, "="));

        jw_str(w, key, *item + strlen(key) + 1);
    }
    jw_end_object(w);
}

/* 0600: the environment may hold secrets. */
int release_spec_write(const ReleaseSpec *spec, const char *dir, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/spec.json", dir);
    _cleanup_buf_ Buf text = BUF_INIT;
    JsonWriter w = JSON_WRITER(&text);

    jw_object(&w, NULL);
    jw_str(&w, "uuid", spec->uuid);
    jw_str(&w, "slug", spec->slug);
    jw_str(&w, "commit", spec->commit);
    jw_str(&w, "start", spec->start);
    jw_int(&w, "stop", spec->stop_us);
    jw_object(&w, "health");
    jw_str(&w, "path", spec->health_path);
    jw_int(&w, "timeout", spec->health_timeout_us);
    jw_end_object(&w);
    write_env(&w, spec);
    jw_object(&w, "resources");
    jw_int(&w, "memory", (int64_t)spec->limits.memory);
    jw_int(&w, "cpu", spec->limits.cpu);
    jw_int(&w, "processes", spec->limits.processes);
    jw_end_object(&w);
    jw_end_object(&w);
    return file_write_atomic(path, text.data, text.len, 0600, err);
}

int release_spec_read(const char *dir, const void *mem, ReleaseSpec **ret, Err *err) {
    _cleanup_talloc_ ReleaseSpec *spec = mem_new(mem, ReleaseSpec);
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/spec.json", dir);
    const char *uuid = NULL, *slug = NULL, *commit = "";
    _cleanup_json_ json_t *root = NULL;
    _cleanup_buf_ Buf text = BUF_INIT;

    if (file_read(path, SPEC_MAX, &text, err) < 0)
        return -(int)err->code;
    if (json_read(text.data, text.len, &root, err) < 0 || read_spec(spec, root, spec, err) < 0 ||
        json_get_str(root, "uuid", &uuid, err) < 0 || json_get_str(root, "slug", &slug, err) < 0 ||
        json_opt_str(root, "commit", &commit, err) < 0)
        return err_wrap(err, "%s", path);
    spec->uuid = mem_strdup(spec, uuid);
    spec->slug = mem_strdup(spec, slug);
    spec->commit = mem_strdup(spec, commit);
    spec->uid = release_uid(uuid);
    *ret = TAKE_PTR(spec);
    return 0;
}
