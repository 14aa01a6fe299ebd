/* `uses: docker`: an image out of a Dockerfile and a folder of the workspace, by BuildKit where the engine
 * has it, and its push. */
#include "base/file.h"
#include "base/str.h"
#include "executor/docker.h"
#include "executor/docker_context.h"
#include "executor/docker_trace.h"
#include <stdio.h>

#define FILE_MAX ((size_t)1024 * 1024)

/* ---- credentials for base images ---- */

/* BuildKit asks a session of its client for credentials, and has none here: a base image from a registry that
 * there is a login for is pulled before. */
static int pull_base(HttpClient *c, const ExecutorJob *job, const ExecutorBuild *build, const char *image,
                     int out, Err *err) {
    _cleanup_json_ json_t *seen = NULL;
    ExecutorContainer container = job->container;

    container.pull = build->pull ? "always" : "missing";
    return image_ensure(c, &container, image, out, &seen, err);
}

/* "FROM [--platform=…] IMAGE [AS NAME]": the image; NULL: another line, or one that only the engine can
 * expand. */
static char *base_of(char *line) {
    char *word = strsep(&line, " \t");

    if (!word || strcasecmp(word, "FROM") != 0)
        return NULL;
    do
        word = strsep(&line, " \t\r");
    while (word && (!*word || strncmp(word, "--", 2) == 0));
    return word && !strchr(word, '$') ? word : NULL;
}

static int pull_bases(HttpClient *c, const ExecutorJob *job, const ExecutorBuild *build, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    char *rest, *line, *image;
    int r = file_read(mem_printf(mem, "%s/%s/%s", job->workspace, build->context, build->file), FILE_MAX,
                      &text, err);

    rest = mem_strdup(mem, buf_str(&text));
    while (r == 0 && (line = strsep(&rest, "\n"))) {
        image = base_of(line + strspn(line, " \t"));
        if (image && login_has(job->container.registry_login, image))
            r = pull_base(c, job, build, image, out, err);
    }
    return r;
}

/* ---- the build ---- */

typedef struct Build {
    int out;
    Trace trace;
    bool failed;
} Build;

static int take_trace(Build *b, const json_t *aux, Err *err) {
    _cleanup_buf_ Buf lines = BUF_INIT;
    size_t len = json_string_length(aux);
    _cleanup_free_ char *bytes = malloc(len + 1);
    ssize_t got;
    int r;

    if (!bytes)
        abort();
    got = str_base64_decode(json_string_value(aux), len, bytes, len);
    if (got < 0)
        return err_set(err, ERR_INVALID, "BuildKit's progress is not in its format");
    r = trace_take(&b->trace, bytes, (size_t)got, &lines, err);
    return r < 0 ? r : file_write_all(b->out, buf_str(&lines), lines.len, err);
}

/* The classic builder says it in "stream"; a failure is the build's own. */
static int take_line(void *arg, json_t *line, Err *err) {
    Build *b = arg;
    const char *error = json_string_value(json_object_get(line, "error"));
    const char *stream = json_string_value(json_object_get(line, "stream"));
    const json_t *aux = json_object_get(line, "aux");

    if (error) {
        b->failed = true;
        dprintf(b->out, "%s\n", error);
        return 0;
    }
    if (stream)
        return file_write_all(b->out, stream, strlen(stream), err);
    if (json_is_string(aux) && str_eq(json_string_value(json_object_get(line, "id")), "moby.buildkit.trace"))
        return take_trace(b, aux, err);
    return 0;
}

static bool has_buildkit(HttpClient *c) {
    _cleanup_json_ json_t *version = NULL;
    json_t *part;
    size_t i;
    Err ignored;

    if (engine_get(c, "/version", &version, &ignored) < 0)
        return false;
    json_array_foreach (json_object_get(version, "Components"), i, part)
        if (str_eq(json_string_value(json_object_get(part, "Name")), "Podman Engine"))
            return false;
    return true; /* every Docker since 18.09 */
}

static char *encoded_args(const void *mem, const char *const *args) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    for (; args && *args; args++)
        jw_str(&w, mem_strndup(mem, *args, strcspn(*args, "=")), *args + strcspn(*args, "=") + 1);
    jw_end_object(&w);
    return str_url_encode(mem, buf_str(&out), false);
}

static const char *build_path(HttpClient *c, const void *mem, const ExecutorJob *job,
                              const ExecutorBuild *build) {
    _cleanup_buf_ Buf path = BUF_INIT;
    bool buildkit = has_buildkit(c);

    buf_addf(&path, "/build?version=%d&rm=1&forcerm=1&dockerfile=%s&buildargs=%s", buildkit ? 2 : 1,
             str_url_encode(mem, build->file, false), encoded_args(mem, build->args));
    for (const char *const *tag = build->tags; *tag; tag++)
        buf_addf(&path, "&t=%s", str_url_encode(mem, *tag, false));
    if (*build->target)
        buf_addf(&path, "&target=%s", str_url_encode(mem, build->target, false));
    if (build->pull && !(buildkit && job->container.registry_login))
        buf_adds(&path, "&pull=1");
    if (!job->network)
        buf_adds(&path, "&networkmode=none");
    return buf_dup(&path, mem);
}

static int run_build(HttpClient *c, const ExecutorJob *job, const ExecutorBuild *build, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *headers[] = {NULL, NULL};
    Build b = {.out = out, .trace = {.mem = mem}};
    HttpCall call = {.method = "POST", .content_type = "application/x-tar", .headers = headers};
    _cleanup_close_ int context = -1;
    int64_t size = 0;
    int r = context_pack(job->workspace, build->context, build->file, job->scratch, &context, &size, err);

    if (r == 0)
        r = login_config_header(mem, job->container.registry_login, (char **)&headers[0], err);
    if (r < 0)
        return r;
    call.path = build_path(c, mem, job, build);
    call.body_len = (size_t)size;
    dprintf(out, "==> build %s from %lld KiB of context\n", build->tags[0], (long long)(size + 1023) >> 10);
    r = engine_lines(c, &call, context, take_line, &b, err);
    trace_done(&b.trace);
    return r < 0 ? err_wrap(err, "build %s", build->tags[0]) : b.failed ? 1 : 0;
}

int docker_build(HttpClient *c, ExecutorJob *job, const ExecutorBuild *build, int out, Err *err) {
    int r = 0;

    if (*build->context) {
        if (job->container.registry_login)
            r = pull_bases(c, job, build, out, err);
        if (r == 0)
            r = run_build(c, job, build, out, err);
    }
    for (const char *const *tag = build->tags; r == 0 && build->push && *tag; tag++)
        r = image_push(c, job->container.registry_login, *tag, out, err);
    return r;
}
