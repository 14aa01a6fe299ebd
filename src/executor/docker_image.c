#include "base/clock.h"
#include "base/str.h"
#include "executor/docker.h"
#include <stdio.h>

#define REFERENCE_MAX 512
#define SUMMARY_EVERY_US (2 * US_PER_S)
#define LAYERS_MAX 512

/* ---- progress ---- */

typedef struct Layer {
    char id[32];
    int64_t current, total;
} Layer;

typedef struct Progress {
    int out;
    Layer layers[LAYERS_MAX];
    size_t count;
    int64_t said; /* when the last summary was */
} Progress;

static Layer *layer_of(Progress *p, const char *id) {
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->layers[i].id, id))
            return &p->layers[i];
    if (p->count == LAYERS_MAX)
        return NULL;
    snprintf(p->layers[p->count].id, sizeof(p->layers[0].id), "%s", id);
    return &p->layers[p->count++];
}

static void summarise(Progress *p, const char *status) {
    int64_t current = 0, total = 0, now = clock_mono();

    if (now - p->said < SUMMARY_EVERY_US)
        return;
    p->said = now;
    for (size_t i = 0; i < p->count; i++) {
        current += p->layers[i].current;
        total += p->layers[i].total;
    }
    dprintf(p->out, "%s: %lld of %lld MiB\n", status, (long long)(current >> 20), (long long)(total >> 20));
}

/* A line for each thing that happens to a layer, but not for each of its bytes. */
static int take_progress(void *arg, json_t *line, Err *err) {
    Progress *p = arg;
    const char *status = json_string_value(json_object_get(line, "status"));
    const char *id = json_string_value(json_object_get(line, "id"));
    const char *error = json_string_value(json_object_get(line, "error"));
    json_t *detail = json_object_get(line, "progressDetail");
    int64_t total = json_integer_value(json_object_get(detail, "total"));
    Layer *layer;

    if (error)
        return err_set(err, ERR_UNAVAILABLE, "%s", error);
    if (!status)
        return 0;
    if (id && total > 0) {
        layer = layer_of(p, id);
        if (layer) {
            layer->total = total;
            layer->current = json_integer_value(json_object_get(detail, "current"));
        }
        summarise(p, status);
    } else if (!id) {
        dprintf(p->out, "%s\n", status);
    } else if (!json_object_size(detail)) {
        dprintf(p->out, "%s: %s\n", id, status);
    }
    return 0;
}

/* ---- pull ---- */

/* Without a tag an engine would pull all that there are. */
static bool has_tag(const char *image) {
    const char *slash = strrchr(image, '/');

    return strpbrk(slash ? slash : image, ":@") != NULL;
}

static int check_reference(const char *image, Err *err) {
    size_t len = strlen(image);

    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@", image[i]))
            return err_set(err, ERR_INVALID, "image \"%s\": expected REGISTRY/NAME:TAG", image);
    if (len == 0 || len > REFERENCE_MAX || image[0] == '/' || image[0] == '.' || strstr(image, "/.") ||
        strstr(image, "//"))
        return err_set(err, ERR_INVALID, "image \"%.200s\": expected REGISTRY/NAME:TAG", image);
    return 0;
}

static int pull(HttpClient *c, const char *login, const char *image, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Progress *progress = mem_new(mem, Progress);
    const char *headers[] = {NULL, NULL};
    HttpCall call = {.method = "POST", .headers = headers};
    int r = login_header(mem, login, image, (char **)&headers[0], err);

    if (r < 0)
        return r;
    call.path = mem_printf(mem, "/images/create?fromImage=%s%s", str_url_encode(mem, image, false),
                           has_tag(image) ? "" : "&tag=latest");
    progress->out = out;
    progress->said = clock_mono();
    dprintf(out, "==> pull %s\n", image);
    r = engine_lines(c, &call, -1, take_progress, progress, err);
    return r < 0 ? err_wrap(err, "pull %s", image) : 0;
}

int image_ensure(HttpClient *c, const ExecutorContainer *container, const char *image, int out, json_t **ret,
                 Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *path;
    int r = check_reference(image, err);

    if (r < 0)
        return r;
    path = mem_printf(mem, "/images/%s/json", str_url_encode(mem, image, true));
    if (str_eq(container->pull, "always")) {
        r = pull(c, container->registry_login, image, out, err);
        return r < 0 ? r : engine_get(c, path, ret, err);
    }
    r = engine_get(c, path, ret, err);
    if (r != -ERR_NOT_FOUND)
        return r;
    if (str_eq(container->pull, "never"))
        return err_set(err, ERR_INVALID, "image %s is not on this machine, and pull is \"never\"", image);
    r = pull(c, container->registry_login, image, out, err);
    return r < 0 ? r : engine_get(c, path, ret, err);
}

/* ---- push ---- */

int image_push(HttpClient *c, const char *login, const char *image, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Progress *progress = mem_new(mem, Progress);
    const char *headers[] = {NULL, NULL}, *slash = strrchr(image, '/');
    const char *colon = strchr(slash ? slash : image, ':'), *name;
    HttpCall call = {.method = "POST", .headers = headers};
    int r = check_reference(image, err);

    if (r == 0)
        r = login_header(mem, login, image, (char **)&headers[0], err);
    if (r < 0)
        return r;
    name = colon ? mem_strndup(mem, image, (size_t)(colon - image)) : image;
    call.path = mem_printf(mem, "/images/%s/push?tag=%s", str_url_encode(mem, name, true),
                           colon ? str_url_encode(mem, colon + 1, false) : "latest");
    progress->out = out;
    progress->said = clock_mono();
    dprintf(out, "==> push %s\n", image);
    r = engine_lines(c, &call, -1, take_progress, progress, err);
    return r < 0 ? err_wrap(err, "push %s", image) : 0;
}
