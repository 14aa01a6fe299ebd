/* The container of a job. Each step is a start of it, so that what a step writes outside the workspace stays
 * for the next one, and what it left running does not. What differs from step to step (the script, its folder
 * and its own variables) comes in a file of a folder that the container sees. */
#include "base/file.h"
#include "base/str.h"
#include "executor/docker.h"
#include "executor/env.h"
#include "executor/oom.h"
#include "executor/sandbox.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define PASSWD_MAX ((size_t)4 * 1024 * 1024)
#define KILL_GROUP "TINI_KILL_PROCESS_GROUP=1" /* a SIGTERM reaches all of a step, not only its shell */

/* ---- making it ---- */

static void write_mount(JsonWriter *w, const char *source, const char *target, bool read_only) {
    jw_object(w, NULL);
    jw_str(w, "Type", "bind");
    jw_str(w, "Source", source);
    jw_str(w, "Target", target);
    jw_bool(w, "ReadOnly", read_only);
    jw_end_object(w);
}

static void write_host_config(JsonWriter *w, const ExecutorJob *job, const char *network) {
    char scripts[PATH_MAX];

    snprintf(scripts, sizeof(scripts), "%s" DOCKER_SCRIPTS, job->scratch);
    jw_object(w, "HostConfig");
    jw_str(w, "NetworkMode", *network ? network : job->network ? "default" : "none");
    jw_bool(w, "Init", true);
    if (job->limits.memory) {
        jw_int(w, "Memory", (int64_t)job->limits.memory);
        jw_int(w, "MemorySwap", (int64_t)job->limits.memory); /* memory and swap together: no swap */
    }
    if (job->limits.cpu > 0)
        jw_int(w, "NanoCpus", job->limits.cpu * 1000000);
    jw_int(w, "PidsLimit", job->limits.processes > 0 ? job->limits.processes : EXECUTOR_PROCESSES);
    jw_object(w, "LogConfig"); /* we are attached: the engine need not keep it as well */
    jw_str(w, "Type", "none");
    jw_end_object(w);
    jw_array(w, "Mounts");
    write_mount(w, job->workspace, SANDBOX_FOLDER, false);
    write_mount(w, job->handover, EXECUTOR_HANDOVER, false);
    write_mount(w, scripts, DOCKER_SCRIPTS, true);
    for (const char *const *path = job->read_only; path && *path; path++)
        write_mount(w, *path, *path, true);
    jw_end_array(w);
    jw_end_object(w);
}

static void write_user(JsonWriter *w, const ExecutorJob *job) {
    char ids[64];

    if (*job->container.user) {
        jw_str(w, "User", job->container.user);
    } else if (geteuid() != 0) {
        /* what it writes into the workspace must be ours to remove */
        snprintf(ids, sizeof(ids), "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
        jw_str(w, "User", ids);
    }
}

static const char *id_of(const json_t *image) {
    const char *id = json_string_value(json_object_get(image, "Id"));

    return id ? id : "";
}

int container_create(HttpClient *c, const ExecutorJob *job, const json_t *image, const char *network,
                     Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf body = BUF_INIT;
    JsonWriter w = JSON_WRITER(&body);
    int r;

    jw_object(&w, NULL);
    jw_str(&w, "Image", id_of(image));
    jw_array(&w, "Entrypoint");
    jw_str(&w, NULL, "/bin/sh");
    jw_end_array(&w);
    jw_array(&w, "Cmd");
    jw_str(&w, NULL, DOCKER_SCRIPTS "/" DOCKER_STEP);
    jw_end_array(&w);
    jw_array(&w, "Env");
    jw_str(&w, NULL, KILL_GROUP);
    for (const char *const *item = job->container.env; item && *item; item++)
        jw_str(&w, NULL, *item);
    jw_end_array(&w);
    jw_str(&w, "WorkingDir", SANDBOX_FOLDER);
    jw_bool(&w, "AttachStdout", true);
    jw_bool(&w, "AttachStderr", true);
    write_user(&w, job);
    engine_write_labels(&w, job);
    write_host_config(&w, job, network);
    jw_end_object(&w);
    r = engine_post(c, mem_printf(mem, "/containers/create?name=%s", engine_job_name(mem, job, "")), &body,
                    NULL, err);
    return r < 0 ? err_wrap(err, "create a container of %s", job->container.image) : 0;
}

/* ---- its user ---- */

/* The third or fourth field, by the line's first one. */
static bool find_entry(char *text, const char *name, int field, uint32_t *ret) {
    char *line, *at, *rest = text;
    uint64_t value;

    while ((line = strsep(&rest, "\n"))) {
        at = strsep(&line, ":");
        if (!str_eq(at, name))
            continue;
        for (int i = 1; i <= field && line; i++)
            at = strsep(&line, ":");
        if (at && str_to_u64(at, UINT32_MAX - 1, &value)) {
            *ret = (uint32_t)value;
            return true;
        }
    }
    return false;
}

/* The first file of a tar: 512 bytes of header, with its size in octal at 124 (POSIX ustar), then it. */
static char *first_of_tar(Buf *tar) {
    char size[13] = {0};
    long len;

    if (tar->len < 1024)
        return NULL;
    memcpy(size, tar->data + 124, 12);
    len = strtol(size, NULL, 8);
    if (len < 0 || (size_t)len > tar->len - 512)
        return NULL;
    tar->data[512 + len] = '\0';
    return tar->data + 512;
}

/* What a file of the container says; NULL: nothing. */
static int look_up(HttpClient *c, const ExecutorJob *job, const char *file, const char *name, int field,
                   uint32_t *ret, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HttpCall call = {
        .method = "GET",
        .path = mem_printf(mem, "/containers/%s/archive?path=%s", engine_job_name(mem, job, ""), file),
        .max_answer = PASSWD_MAX};
    int r = http_client_call(c, &call, err);
    char *text;

    if (r == 0)
        r = http_call_check(&call, err);
    if (r == -ERR_NOT_FOUND)
        r = err_set(err, ERR_INVALID, "user \"%s\" is not in the image: it has no %s", name, file);
    if (r == 0) {
        text = first_of_tar(&call.answer);
        if (!text || !find_entry(text, name, field, ret))
            r = err_set(err, ERR_INVALID, "user \"%s\" is not in the image's %s", name, file);
    }
    buf_done(&call.answer);
    return r;
}

static int resolve(HttpClient *c, const ExecutorJob *job, const char *name, const char *file, int field,
                   uint32_t *ret, Err *err) {
    uint64_t value;

    if (str_to_u64(name, UINT32_MAX - 1, &value)) {
        *ret = (uint32_t)value;
        return 0;
    }
    return look_up(c, job, file, name, field, ret, err);
}

int container_user(HttpClient *c, const ExecutorJob *job, const json_t *image, uid_t *uid, gid_t *gid,
                   Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *own = json_string_value(json_object_get(json_object_get(image, "Config"), "User"));
    char *user = mem_strdup(mem, *job->container.user ? job->container.user : own ? own : ""), *group;
    uint32_t found[2] = {0, 0};
    Err ignored;
    int r;

    if (geteuid() != 0 || !*user) {
        *uid = geteuid();
        *gid = getegid();
        return 0;
    }
    group = strchr(user, ':');
    if (group)
        *group++ = '\0';
    r = resolve(c, job, user, "/etc/passwd", 2, &found[0], err);
    if (r == 0 && group)
        r = resolve(c, job, group, "/etc/group", 2, &found[1], err);
    else if (r == 0 && look_up(c, job, "/etc/passwd", user, 3, &found[1], &ignored) < 0)
        found[1] =
            0; /* a bare number that the image does not know is in the group root, as the engine has it */
    if (r < 0)
        return r;
    *uid = found[0];
    *gid = found[1];
    return 0;
}

/* ---- a step ---- */

/* For a shell: the text in single quotes. */
static void add_quoted(Buf *out, const char *text) {
    buf_addc(out, '\'');
    for (; *text; text++)
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *text);
    buf_addc(out, '\'');
}

static bool is_variable(const char *item) {
    size_t len = strspn(item, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return len > 0 && item[len] == '=' && !(item[0] >= '0' && item[0] <= '9');
}

static bool has_item(const char *const *env, const char *item) {
    for (; env && *env; env++)
        if (str_eq(*env, item))
            return true;
    return false;
}

/* The container has the job's variables already. */
static int add_variables(const ExecutorJob *job, const ExecutorStep *step, Buf *out, Err *err) {
    for (const char *const *item = step->env; item && *item; item++) {
        if (has_item(job->container.env, *item))
            continue;
        if (!is_variable(*item))
            return err_set(err, ERR_INVALID,
                           "variable \"%.*s\": a step's own variables have letters, digits and _ in their "
                           "names; set this one for the job",
                           (int)strcspn(*item, "="), *item);
        buf_addf(out, "export %.*s=", (int)strcspn(*item, "="), *item);
        add_quoted(out, *item + strcspn(*item, "=") + 1);
        buf_addc(out, '\n');
    }
    return 0;
}

/* For the container's user alone: there may be secrets in it. */
static int keep_script(const ExecutorJob *job, const Buf *script, Err *err) {
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    snprintf(path, sizeof(path), "%s" DOCKER_SCRIPTS "/" DOCKER_STEP, job->scratch);
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0 || (geteuid() == 0 && fchown(fd, job->shared->uid, job->shared->gid) < 0))
        return err_errno(err, "create %s", path);
    return file_write_all(fd, script->data, script->len, err);
}

static int write_script(const ExecutorJob *job, const ExecutorStep *step, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    int r;

    buf_adds(&out, "unset TINI_KILL_PROCESS_GROUP\n");
    r = add_variables(job, step, &out, err);
    if (r < 0)
        return r;
    if (!str_empty(step->cwd)) {
        buf_adds(&out, "cd -- ");
        add_quoted(&out, step->cwd);
        buf_adds(&out, " || exit\n");
    }
    buf_adds(&out, "exec ");
    add_quoted(&out, str_empty(step->shell) ? "/bin/sh" : step->shell);
    buf_adds(&out, " -e -c ");
    add_quoted(&out, step->run);
    buf_addc(&out, '\n');
    return keep_script(job, &out, err);
}

typedef struct Start {
    HttpClient *client; /* a second one: the first listens */
    const char *path;
    ExecutorShared *shared;
} Start;

static int start_now(void *arg, Err *err) {
    Start *s = arg;

    s->shared->running = true;
    return engine_post(s->client, s->path, NULL, NULL, err);
}

/* The inspection says so; but Podman's does not on every machine. */
static bool killed_for_memory(const json_t *seen, int log) {
    const char *id = json_string_value(json_object_get(seen, "Id"));

    return json_is_true(json_object_get(json_object_get(seen, "State"), "OOMKilled")) ||
           (id && oom_log_names(log, id));
}

/* The exit status, and whether the kernel killed for want of memory. log: its own, since the step's start. */
static int take_end(HttpClient *c, const ExecutorJob *job, const char *name, int log, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *end = NULL, *seen = NULL;
    int64_t status = 0;
    int r = engine_post(c, mem_printf(mem, "/containers/%s/wait", name), NULL, &end, err);

    if (r == 0)
        r = json_get_i64(end, "StatusCode", &status, err);
    job->shared->running = r < 0;
    if (r < 0 || status == 0)
        return r;
    if (engine_get(c, mem_printf(mem, "/containers/%s/json", name), &seen, err) == 0)
        job->shared->oom = killed_for_memory(seen, log);
    return (int)(status & 0xff);
}

int container_run(HttpClient *c, ExecutorJob *job, const ExecutorStep *step, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *name = engine_job_name(mem, job, "");
    _cleanup_close_ int log = oom_log_open();
    Start start = {.path = mem_printf(mem, "/containers/%s/start", name), .shared = job->shared};
    EngineCall attach = {
        .method = "POST",
        .path = mem_printf(mem, "/containers/%s/attach?stream=1&stdout=1&stderr=1", name),
    };
    int r = write_script(job, step, err);

    if (r == 0)
        r = engine_open(mem, &start.client, err);
    if (r == 0)
        r = engine_attach(c, &attach, step->out, start_now, &start, err);
    if (r == -ERR_CONFLICT) /* not a step's failure: what the engine has does not allow it now */
        err->code = ERR_UNAVAILABLE;
    if (r < 0)
        return err_wrap(err, "start the container");
    return take_end(start.client, job, name, log, err);
}
