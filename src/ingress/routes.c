#include "ingress/routes.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include <arpa/inet.h>

#define FILE_MAX ((size_t)64 * 1024 * 1024)

static const char *const state_words[] = {"added", "live", "draining"};

Routes *routes_new(const void *mem) {
    return mem_new(mem, Routes);
}

static bool label_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool route_slug_valid(const char *slug) {
    size_t len = slug ? strlen(slug) : 0;

    if (len == 0 || len > 63 || slug[0] == '-' || slug[len - 1] == '-')
        return false;
    for (const char *c = slug; *c; c++)
        if (!label_char(*c))
            return false;
    return true;
}

bool route_release_valid(const char *release) {
    size_t len = release ? strlen(release) : 0;

    if (len == 0 || len > 63)
        return false;
    for (const char *c = release; *c; c++)
        if (!label_char(*c) && *c != '_' && !(*c >= 'A' && *c <= 'Z'))
            return false;
    return true;
}

bool route_address_valid(const char *address) {
    const char *colon = address ? strrchr(address, ':') : NULL;
    char host[INET_ADDRSTRLEN];
    struct in_addr ignored;
    int64_t port;

    if (!colon || (size_t)(colon - address) >= sizeof(host))
        return false;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    return inet_pton(AF_INET, host, &ignored) == 1 && str_to_i64(colon + 1, 1, 65535, &port);
}

RouteApp *routes_app(const Routes *r, const char *slug) {
    for (size_t i = 0; i < r->count; i++)
        if (str_eq(r->apps[i].slug, slug))
            return &r->apps[i];
    return NULL;
}

static bool slot_taken(const Routes *r, unsigned slot) {
    for (size_t i = 0; i < r->count; i++)
        if (r->apps[i].slot == slot)
            return true;
    return false;
}

RouteApp *routes_app_add(Routes *r, const char *slug) {
    RouteApp app = {.slug = mem_strdup(r, slug)};

    while (slot_taken(r, app.slot))
        app.slot++;
    mem_append(r, r->apps, r->count, app);
    return &r->apps[r->count - 1];
}

void routes_app_remove(Routes *r, const char *slug) {
    RouteApp *app = routes_app(r, slug);

    if (!app)
        return;
    while (app->count > 0)
        routes_server_remove(app, app->servers[0].release);
    talloc_free(app->servers);
    talloc_free(app->slug);
    *app = r->apps[--r->count];
}

RouteServer *routes_server(const RouteApp *app, const char *release) {
    for (size_t i = 0; i < app->count; i++)
        if (str_eq(app->servers[i].release, release))
            return &app->servers[i];
    return NULL;
}

RouteServer *routes_server_add(Routes *r, RouteApp *app, const char *release, const char *address) {
    RouteServer server = {.generation = r->generation};

    server.release = mem_strdup(r, release);
    server.address = mem_strdup(r, address);
    mem_append(r, app->servers, app->count, server);
    return &app->servers[app->count - 1];
}

void routes_server_remove(RouteApp *app, const char *release) {
    RouteServer *server = routes_server(app, release);

    if (!server)
        return;
    talloc_free(server->release);
    talloc_free(server->address);
    *server = app->servers[--app->count];
}

RouteServer *routes_live(const RouteApp *app) {
    for (size_t i = 0; i < app->count; i++)
        if (app->servers[i].state == ROUTE_LIVE)
            return &app->servers[i];
    return NULL;
}

unsigned routes_slots_needed(const Routes *r) {
    unsigned needed = 0;

    for (size_t i = 0; i < r->count; i++)
        needed = MAX(needed, r->apps[i].slot + 1);
    return needed;
}

/* ---- routes.json ---- */

static void write_app(JsonWriter *w, const RouteApp *app) {
    jw_object(w, NULL);
    jw_str(w, "slug", app->slug);
    jw_int(w, "slot", app->slot);
    jw_array(w, "servers");
    for (size_t i = 0; i < app->count; i++) {
        jw_object(w, NULL);
        jw_str(w, "release", app->servers[i].release);
        jw_str(w, "address", app->servers[i].address);
        jw_str(w, "state", state_words[app->servers[i].state]);
        jw_int(w, "generation", app->servers[i].generation);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void write_old(JsonWriter *w, const RouteOld *old) {
    jw_object(w, NULL);
    jw_int(w, "pid", old->pid);
    jw_int(w, "started", (int64_t)old->started);
    jw_int(w, "generation", old->generation);
    jw_end_object(w);
}

int routes_save(const Routes *r, const char *path, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    JsonWriter w = JSON_WRITER(&text);
    int ret;

    jw_object(&w, NULL);
    jw_str(&w, "listen", r->listen);
    jw_str(&w, "address", r->address);
    jw_str(&w, "bound", r->bound);
    jw_str(&w, "config", r->config);
    jw_int(&w, "slots", r->slots);
    jw_int(&w, "generation", r->generation);
    jw_array(&w, "apps");
    for (size_t i = 0; i < r->count; i++)
        write_app(&w, &r->apps[i]);
    jw_end_array(&w);
    jw_array(&w, "old");
    for (size_t i = 0; i < r->old_count; i++)
        write_old(&w, &r->old[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    buf_addc(&text, '\n');
    ret = file_write_atomic(path, text.data, text.len, 0600, err);
    return ret < 0 ? err_wrap(err, "keep the routes") : 0;
}

static int read_server(Routes *r, RouteApp *app, json_t *object, Err *err) {
    const char *release = NULL, *address = NULL, *state = "";
    int64_t generation = 0;
    RouteServer *server;

    if (json_get_str(object, "release", &release, err) < 0 ||
        json_get_str(object, "address", &address, err) < 0 ||
        json_get_str(object, "state", &state, err) < 0 ||
        json_opt_i64(object, "generation", &generation, err) < 0)
        return -(int)err->code;
    if (!route_release_valid(release) || !route_address_valid(address))
        return err_set(err, ERR_INVALID, "a server of \"%s\" is not one", app->slug);
    server = routes_server_add(r, app, release, address);
    server->generation = generation;
    for (size_t i = 0; i < ELEMENTS(state_words); i++)
        if (str_eq(state, state_words[i]))
            server->state = (RouteState)i;
    return 0;
}

static int read_app(Routes *r, json_t *object, Err *err) {
    const char *slug = NULL;
    json_t *servers = NULL, *server;
    int64_t slot = 0;
    RouteApp *app;
    size_t i;

    if (json_get_str(object, "slug", &slug, err) < 0 || json_get_i64(object, "slot", &slot, err) < 0 ||
        json_opt_array(object, "servers", &servers, err) < 0)
        return -(int)err->code;
    if (!route_slug_valid(slug) || slot < 0 || slot > 1000000 || slot_taken(r, (unsigned)slot) ||
        routes_app(r, slug))
        return err_set(err, ERR_INVALID, "an application is not one");
    app = routes_app_add(r, slug);
    app->slot = (unsigned)slot;
    json_array_foreach (servers, i, server)
        if (read_server(r, app, server, err) < 0)
            return -(int)err->code;
    return 0;
}

static int read_old(Routes *r, json_t *object, Err *err) {
    int64_t pid = 0, started = 0, generation = 0;
    RouteOld old;

    if (json_get_i64(object, "pid", &pid, err) < 0 || json_get_i64(object, "started", &started, err) < 0 ||
        json_get_i64(object, "generation", &generation, err) < 0)
        return -(int)err->code;
    old = (RouteOld){.pid = (pid_t)pid, .started = (uint64_t)started, .generation = generation};
    mem_append(r, r->old, r->old_count, old);
    return 0;
}

static int read_root(Routes *r, json_t *root, Err *err) {
    const char *listen = NULL, *address = NULL, *bound = NULL, *config = NULL;
    json_t *apps = NULL, *old = NULL, *item;
    int64_t slots = 0;
    size_t i;

    if (json_opt_str(root, "listen", &listen, err) < 0 || json_opt_str(root, "address", &address, err) < 0 ||
        json_opt_str(root, "bound", &bound, err) < 0 || json_opt_str(root, "config", &config, err) < 0 ||
        json_opt_i64(root, "slots", &slots, err) < 0 ||
        json_opt_i64(root, "generation", &r->generation, err) < 0 ||
        json_opt_array(root, "apps", &apps, err) < 0 || json_opt_array(root, "old", &old, err) < 0)
        return -(int)err->code;
    r->listen = mem_strdup(r, listen);
    r->address = mem_strdup(r, address);
    r->bound = mem_strdup(r, bound);
    r->config = mem_strdup(r, config);
    r->slots = (unsigned)slots;
    json_array_foreach (apps, i, item)
        if (read_app(r, item, err) < 0)
            return -(int)err->code;
    json_array_foreach (old, i, item)
        if (read_old(r, item, err) < 0)
            return -(int)err->code;
    return 0;
}

int routes_load(Routes *r, const char *path, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_json_ json_t *root = NULL;
    Err why;

    if (file_read(path, FILE_MAX, &text, &why) < 0) {
        if (why.code == ERR_NOT_FOUND)
            return 0;
        *err = why;
        return err_wrap(err, "read the routes");
    }
    if (json_read(text.data, text.len, &root, err) < 0 || read_root(r, root, err) < 0)
        return err_wrap(err, "%s", path);
    return 0;
}
