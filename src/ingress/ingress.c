#include "ingress/ingress.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "ingress/haproxy.h"
#include "ingress/listen.h"
#include "ingress/sync.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

struct Ingress {
    char *dir, *routes_path, *url;
    unsigned spares;
    bool any_port; /* the setting's port is 0 */
    HaConfig config;

    pthread_mutex_t lock; /* of all below */
    Routes *routes;
    HaProcess process;
    bool attached; /* an earlier process has been looked for */

    pthread_t thread;
    bool threaded, stop;
    int wake_fd;
};

/* ---- settings ---- */

static char *default_program(const void *mem) {
    return mem_strdup(mem, access("/usr/sbin/haproxy", X_OK) == 0 ? "/usr/sbin/haproxy" : "haproxy");
}

static void choose_limits(HaConfig *c) {
    struct rlimit files = {0};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    getrlimit(RLIMIT_NOFILE, &files);
    c->threads = (unsigned)MAX(1, MIN(cpus, 4));
    c->max_files = (unsigned)MIN(files.rlim_max, (rlim_t)40000);
}

static void choose_user(HaConfig *c) {
    const struct passwd *user;

    c->drop = geteuid() == 0;
    c->uid = c->gid = 65534;
    if (c->drop && (user = getpwnam("haproxy"))) {
        c->uid = user->pw_uid;
        c->gid = user->pw_gid;
    }
}

static int choose_proxies(Ingress *in, const IngressOptions *o, Err *err) {
    const char **copy = NULL;
    size_t count = 0;

    in->url = mem_strdup(in, o->url);
    in->config.tls = o->url && str_after(o->url, "https://");
    for (const char *const *one = o->proxies; one && *one; one++) {
        if (!haconfig_network_valid(*one))
            return err_set(err, ERR_INVALID,
                           "trusted proxy \"%.80s\": expected an address or a network, such as 127.0.0.1 or "
                           "10.0.0.0/8",
                           *one);
        mem_append(in, copy, count, mem_strdup(in, *one));
    }
    mem_append(in, copy, count, NULL);
    in->config.proxies = copy;
    return 0;
}

static int choose_address(Ingress *in, const char *listen, bool keep, Err *err) {
    Routes *r = in->routes;
    char host[64];
    int64_t port = 0;

    if (listen_split(listen, host, sizeof(host), &port, err) < 0)
        return -(int)err->code;
    in->any_port = port == 0;
    if (keep && in->any_port && r->address && str_eq(r->listen, listen))
        return 0;
    if (in->any_port && listen_try(host, 0, &port, err) < 0)
        return -(int)err->code;
    listen = mem_strdup(r, listen);
    talloc_free(r->listen);
    talloc_free(r->address);
    r->listen = (char *)listen;
    r->address = mem_printf(r, "%s:%d", host, (int)port);
    return 0;
}

static int ingress_destroy(Ingress *in) {
    haprocess_forget(&in->process);
    if (in->process.dirfd >= 0)
        close(in->process.dirfd);
    if (in->wake_fd >= 0)
        close(in->wake_fd);
    pthread_mutex_destroy(&in->lock);
    return 0;
}

static int open_dir(Ingress *in, Err *err) {
    if (file_mkdirs(in->dir, 0711, err) < 0)
        return -(int)err->code;
    in->process.dirfd = open(in->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->process.dirfd < 0 || in->wake_fd < 0)
        return err_errno(err, "%s", in->dir);
    return 0;
}

int ingress_new(const void *mem, const IngressOptions *o, Ingress **ret, Err *err) {
    Ingress *in = mem_new(mem, Ingress);
    _cleanup_talloc_ Ingress *scope = in;

    in->process = (HaProcess){.dirfd = -1, .pidfd = -1};
    in->wake_fd = -1;
    pthread_mutex_init(&in->lock, NULL);
    talloc_set_destructor(in, ingress_destroy);
    in->dir = mem_strdup(in, o->dir);
    in->routes_path = mem_printf(in, "%s/routes.json", o->dir);
    in->spares = o->spares ? o->spares : 64;
    in->process.dir = in->dir;
    in->process.program = o->program ? mem_strdup(in, o->program) : default_program(in);
    in->config.domain = mem_strdup(in, o->domain ? o->domain : "localhost");
    if (!haconfig_domain_valid(in->config.domain))
        return err_set(err, ERR_INVALID, "ingress domain \"%s\": expected a host name in lower case",
                       in->config.domain);
    if (choose_proxies(in, o, err) < 0)
        return -(int)err->code;
    choose_limits(&in->config);
    choose_user(&in->config);
    in->routes = routes_new(in);
    if (open_dir(in, err) < 0 || routes_load(in->routes, in->routes_path, err) < 0 ||
        choose_address(in, o->listen, true, err) < 0 || routes_save(in->routes, in->routes_path, err) < 0)
        return err_wrap(err, "ingress");
    *ret = TAKE_PTR(scope);
    return 0;
}

/* ---- keeping HAProxy as it should be; the lock is held ---- */

static void wake(Ingress *in) {
    uint64_t one = 1;

    if (write(in->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_warn("ingress", "eventfd: %s", strerror(errno));
}

static int try_address(const Ingress *in, Err *err) {
    char host[64];
    int64_t port = 0;

    if (listen_split(in->routes->address, host, sizeof(host), &port, err) < 0)
        return -(int)err->code;
    return listen_try(host, port, &port, err);
}

static int start_process(Ingress *in, Err *err) {
    return haprocess_start(&in->process, &in->config, in->routes, in->routes_path, err);
}

/* HAProxy could not listen. A port that was ours to choose is chosen anew; another one is somebody else's to
 * choose, who is told so in fewer words than HAProxy's. */
static int start_elsewhere(Ingress *in, Err *err) {
    Routes *r = in->routes;
    Err why;

    log_warn("ingress", "%s", err->msg);
    if (try_address(in, &why) < 0)
        *err = why;
    if (!in->any_port || in->process.pid || choose_address(in, r->listen, false, &why) < 0 ||
        start_process(in, &why) < 0)
        return -(int)err->code;
    log_warn("ingress", "the port was taken by another: %s now", r->address);
    return 0;
}

/* Starts HAProxy, or a new one over a running one, with enough slots. */
static int launch(Ingress *in, Err *err) {
    Routes *r = in->routes;
    unsigned needed = routes_slots_needed(r);

    if (r->slots == 0)
        r->slots = in->spares;
    while (r->slots < needed)
        r->slots *= 2;
    if (start_process(in, err) < 0 && (!strstr(err->msg, "cannot bind") || start_elsewhere(in, err) < 0))
        return -(int)err->code;
    wake(in);
    return sync_all(&in->process.socket, r, in->config.domain, err);
}

static bool config_current(Ingress *in) {
    _cleanup_talloc_ char *digest = haconfig_digest(&in->config, in->routes, NULL);

    return str_eq(digest, in->routes->config) && routes_slots_needed(in->routes) <= in->routes->slots;
}

/* After this HAProxy runs with these settings and enough slots. */
static int ensure(Ingress *in, Err *err) {
    bool fresh = !in->attached;

    in->attached = true;
    if (fresh && haprocess_attach(&in->process, in->routes)) {
        log_info("ingress", "HAProxy %d is still there", (int)in->process.pid);
        wake(in);
        if (config_current(in))
            return sync_all(&in->process.socket, in->routes, in->config.domain, err);
    }
    if (!haprocess_gone(&in->process) && config_current(in))
        return 0;
    return launch(in, err);
}

/* Keeps the routes and brings HAProxy to them: the slot of the application (and its host when it is new).
 * Should the process have died meanwhile, a new one has all of it from its start. */
static int apply(Ingress *in, const RouteApp *app, bool host, Err *err) {
    _cleanup_talloc_ char *name = mem_printf(NULL, "%s.%s", app->slug, in->config.domain);
    HaSocket *s = &in->process.socket;
    Err why;

    if (routes_save(in->routes, in->routes_path, err) < 0 || ensure(in, err) < 0)
        return -(int)err->code;
    if (sync_slot(s, app, app->slot, &why) == 0 && (!host || sync_host(s, name, (int)app->slot, &why) == 0))
        return 0;
    log_err("ingress", "set a route", &why);
    if (!haprocess_gone(&in->process) && why.code != ERR_NOT_FOUND) {
        *err = why;
        return -(int)err->code;
    }
    return launch(in, err);
}

/* ---- the thread that looks after HAProxy ---- */

/* A descriptor of its own to wait on, since others may replace the process meanwhile. */
static int watched(Ingress *in) {
    return in->process.pid ? fcntl(in->process.pidfd, F_DUPFD_CLOEXEC, 3) : -1;
}

static int look_after(Ingress *in, int *backoff, bool *ret_stop) {
    int pidfd = -1;
    Err err;

    pthread_mutex_lock(&in->lock);
    *ret_stop = in->stop;
    if (!in->stop) {
        bool ran = in->process.pid != 0, died = haprocess_gone(&in->process) && ran;

        if (died)
            log_warn("ingress", "HAProxy has ended; it is started again");
        if (in->routes->count == 0 || ensure(in, &err) == 0) {
            *backoff = 0;
        } else {
            log_err("ingress", "HAProxy", &err);
            *backoff = MIN(MAX(*backoff * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
        }
        pidfd = watched(in);
    }
    pthread_mutex_unlock(&in->lock);
    return pidfd;
}

static void *watch(void *arg) {
    Ingress *in = arg;
    int backoff = 0;
    bool stop = false;

    while (!stop) {
        _cleanup_close_ int pidfd = look_after(in, &backoff, &stop);
        struct pollfd fds[] = {{.fd = in->wake_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        uint64_t ignored;

        if (stop)
            break;
        poll(fds, ELEMENTS(fds), backoff ? backoff : -1);
        if (fds[0].revents && read(in->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
            log_warn("ingress", "eventfd: %s", strerror(errno));
    }
    return NULL;
}

/* Whether the HAProxy of an earlier server has the port. It lets go of it for the next one, also for another
 * address with it. */
static bool ours(Ingress *in) {
    const Routes *r = in->routes;
    bool runs = haprocess_attach(&in->process, r);

    haprocess_forget(&in->process);
    return runs && str_eq(strrchr(r->bound ? r->bound : r->address, ':'), strrchr(r->address, ':'));
}

static int claim_address(Ingress *in, Err *err) {
    if (try_address(in, err) == 0 || ours(in))
        return 0;
    if (!in->any_port || choose_address(in, in->routes->listen, false, err) < 0)
        return -(int)err->code;
    return routes_save(in->routes, in->routes_path, err);
}

int ingress_claim(Ingress *in, Err *err) {
    int ret;

    pthread_mutex_lock(&in->lock);
    ret = claim_address(in, err);
    pthread_mutex_unlock(&in->lock);
    return ret;
}

int ingress_start(Ingress *in, Err *err) {
    int ret = pthread_create(&in->thread, NULL, watch, in);

    if (ret != 0)
        return err_set(err, ERR_UNAVAILABLE, "ingress thread: %s", strerror(ret));
    in->threaded = true;
    return 0;
}

static void end_thread(Ingress *in) {
    if (!in->threaded)
        return;
    pthread_mutex_lock(&in->lock);
    in->stop = true;
    pthread_mutex_unlock(&in->lock);
    wake(in);
    pthread_join(in->thread, NULL);
    in->threaded = false;
}

void ingress_free(Ingress *in) {
    if (!in)
        return;
    end_thread(in);
    talloc_free(in);
}

void ingress_stop(Ingress *in) {
    Err err;

    end_thread(in);
    if (!in->attached)
        haprocess_attach(&in->process, in->routes);
    haprocess_stop(&in->process, in->routes);
    if (routes_save(in->routes, in->routes_path, &err) < 0)
        log_err("ingress", "stop", &err);
    talloc_free(in);
}

/* ---- what the deployer says ---- */

bool ingress_slug_valid(const char *slug) {
    return route_slug_valid(slug);
}

char *ingress_address(Ingress *in, const void *mem) {
    char *address;

    pthread_mutex_lock(&in->lock);
    address = mem_strdup(mem, in->routes->address);
    pthread_mutex_unlock(&in->lock);
    return address;
}

char *ingress_url(Ingress *in, const char *slug, const void *mem) {
    _cleanup_talloc_ char *address = ingress_address(in, NULL);
    const char *port = strrchr(address, ':'), *host;

    if (in->url) {
        host = strstr(in->url, "://") + 3;
        return mem_printf(mem, "%.*s%s.%s/", (int)(host - in->url), in->url, slug, host);
    }
    return mem_printf(mem, "http://%s.%s%s/", slug, in->config.domain, str_eq(port, ":80") ? "" : port);
}

static int check_names(const char *slug, const char *release, Err *err) {
    if (!route_slug_valid(slug))
        return err_set(err, ERR_INVALID,
                       "\"%.80s\" cannot be a host name: expected 1 to 63 of a-z, 0-9 and '-'",
                       slug ? slug : "");
    if (release && !route_release_valid(release))
        return err_set(err, ERR_INVALID, "\"%.80s\" cannot name a release", release);
    return 0;
}

int ingress_app_add(Ingress *in, const char *slug, Err *err) {
    RouteApp *app;
    int ret = 0;

    if (check_names(slug, NULL, err) < 0)
        return -(int)err->code;
    pthread_mutex_lock(&in->lock);
    app = routes_app(in->routes, slug);
    if (!app)
        ret = apply(in, routes_app_add(in->routes, slug), true, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "route %s", slug) : 0;
}

/* A HAProxy that does not run needs no telling. */
static int remove_app(Ingress *in, const char *slug, Err *err) {
    _cleanup_talloc_ char *host = mem_printf(NULL, "%s.%s", slug, in->config.domain);
    RouteApp *app = routes_app(in->routes, slug);
    unsigned slot;

    if (!app)
        return 0;
    slot = app->slot;
    routes_app_remove(in->routes, slug);
    if (routes_save(in->routes, in->routes_path, err) < 0)
        return -(int)err->code;
    if (!in->attached)
        return ensure(in, err);
    if (haprocess_gone(&in->process))
        return 0;
    if (sync_host(&in->process.socket, host, -1, err) < 0)
        return -(int)err->code;
    return sync_slot(&in->process.socket, NULL, slot, err);
}

int ingress_app_remove(Ingress *in, const char *slug, Err *err) {
    int ret;

    if (check_names(slug, NULL, err) < 0)
        return -(int)err->code;
    pthread_mutex_lock(&in->lock);
    ret = remove_app(in, slug, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "remove the route %s", slug) : 0;
}

char **ingress_apps(Ingress *in, const void *mem) {
    char **slugs;

    pthread_mutex_lock(&in->lock);
    slugs = mem_array(mem, char *, in->routes->count + 1);
    for (size_t i = 0; i < in->routes->count; i++)
        slugs[i] = mem_strdup(slugs, in->routes->apps[i].slug);
    pthread_mutex_unlock(&in->lock);
    return slugs;
}

static int add_server(Ingress *in, const char *slug, const char *release, const char *address, Err *err) {
    RouteApp *app = routes_app(in->routes, slug);
    RouteServer *server = app ? routes_server(app, release) : NULL;
    bool host = !app;

    if (!app)
        app = routes_app_add(in->routes, slug);
    if (!server) {
        routes_server_add(in->routes, app, release, address);
    } else if (!str_eq(server->address, address)) {
        talloc_free(server->address);
        server->address = mem_strdup(in->routes, address);
    }
    return apply(in, app, host, err);
}

int ingress_server_add(Ingress *in, const char *slug, const char *release, const char *address, Err *err) {
    int ret;

    if (check_names(slug, release, err) < 0)
        return -(int)err->code;
    if (!route_address_valid(address))
        return err_set(err, ERR_INVALID, "\"%.80s\": expected an address such as 127.0.0.1:8000",
                       address ? address : "");
    pthread_mutex_lock(&in->lock);
    ret = add_server(in, slug, release, address, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "route %s", slug) : 0;
}

static int switch_to(Ingress *in, const char *slug, const char *release, Err *err) {
    RouteApp *app = routes_app(in->routes, slug);
    RouteServer *next = app ? routes_server(app, release) : NULL, *live;

    if (!next)
        return err_set(err, ERR_NOT_FOUND, "no release %s of %s is known", release, slug);
    live = routes_live(app);
    if (live && live != next)
        live->state = ROUTE_DRAINING;
    next->state = ROUTE_LIVE;
    return apply(in, app, false, err);
}

int ingress_switch(Ingress *in, const char *slug, const char *release, Err *err) {
    int ret;

    if (check_names(slug, release, err) < 0)
        return -(int)err->code;
    pthread_mutex_lock(&in->lock);
    ret = switch_to(in, slug, release, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "route %s", slug) : 0;
}

char *ingress_live(Ingress *in, const char *slug, const void *mem) {
    const RouteServer *live = NULL;
    const RouteApp *app;
    char *release;

    pthread_mutex_lock(&in->lock);
    app = routes_app(in->routes, slug);
    if (app)
        live = routes_live(app);
    release = mem_strdup(mem, live ? live->release : NULL);
    pthread_mutex_unlock(&in->lock);
    return release;
}

/* ---- draining ---- */

/* Whether the release serves something yet. Gone from the routes, or no HAProxy that could tell: nothing. */
static bool still_serves(Ingress *in, const char *slug, const char *release) {
    const RouteServer *server;
    const RouteApp *app;
    bool serves = false;
    long busy = 0;
    Err err;

    pthread_mutex_lock(&in->lock);
    app = routes_app(in->routes, slug);
    server = app ? routes_server(app, release) : NULL;
    if (server) {
        if (in->process.pid && hasocket_busy(&in->process.socket, app->slot, release, &busy, &err) < 0)
            log_err("ingress", "drain", &err);
        serves = busy > 0 || haprocess_old_serves(in->routes, server->generation);
    }
    pthread_mutex_unlock(&in->lock);
    return serves;
}

static int drain_begin(Ingress *in, const char *slug, const char *release, Err *err) {
    RouteApp *app = routes_app(in->routes, slug);
    RouteServer *server = app ? routes_server(app, release) : NULL;

    if (!server)
        return 0;
    if (server->state == ROUTE_LIVE)
        return err_set(err, ERR_CONFLICT, "%s is the live release of %s", release, slug);
    server->state = ROUTE_DRAINING;
    return apply(in, app, false, err);
}

static int take_off(Ingress *in, const char *slug, const char *release, bool live_too, Err *err) {
    RouteApp *app = routes_app(in->routes, slug);
    const RouteServer *server = app ? routes_server(app, release) : NULL;

    if (!server)
        return 0;
    if (server->state == ROUTE_LIVE && !live_too)
        return err_set(err, ERR_CONFLICT, "%s became the live release of %s again", release, slug);
    routes_server_remove(app, release);
    return apply(in, app, false, err);
}

int ingress_server_remove(Ingress *in, const char *slug, const char *release, Err *err) {
    int ret;

    if (check_names(slug, release, err) < 0)
        return -(int)err->code;
    pthread_mutex_lock(&in->lock);
    ret = take_off(in, slug, release, true, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "route %s", slug) : 0;
}

int ingress_drain(Ingress *in, const char *slug, const char *release, int64_t grace_us, int cancel_fd,
                  Err *err) {
    struct pollfd cancel = {.fd = cancel_fd, .events = POLLIN};
    int64_t until = clock_mono() + grace_us;
    int ret;

    if (check_names(slug, release, err) < 0)
        return -(int)err->code;
    pthread_mutex_lock(&in->lock);
    ret = drain_begin(in, slug, release, err);
    pthread_mutex_unlock(&in->lock);
    if (ret < 0)
        return ret;
    /* HAProxy cannot say when the last one has gone: it is asked, with growing pauses */
    for (int pause = 2; still_serves(in, slug, release); pause = MIN(pause * 2, 200)) {
        int64_t left = until - clock_mono();

        if (left <= 0 || poll(&cancel, 1, (int)MIN(pause, left / US_PER_MS + 1)) > 0)
            break;
    }
    pthread_mutex_lock(&in->lock);
    ret = take_off(in, slug, release, false, err);
    pthread_mutex_unlock(&in->lock);
    return ret < 0 ? err_wrap(err, "drain") : 0;
}
