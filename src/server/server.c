#include "server/server.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "build/cache.h"
#include "build/remove.h"
#include "executor/sandbox.h"
#include "git/git.h"
#include "ingress/ingress.h"
#include "notify/notify.h"
#include "secret/ring.h"
#include "server/child.h"
#include "server/deployer.h"
#include "server/runners.h"
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#define MAX_CHILDREN 16
#define STOP_GRACE_US (10 * US_PER_S)
#define CHILD_GRACE_US (5 * US_PER_S)
#define LOST_AFTER_US (5 * US_PER_S)
#define RUNNER_WAIT_US (10 * US_PER_S)

typedef struct Server {
    const Settings *settings;
    const char *program, *state, *version;
    const char *url; /* as this machine reaches it */
    TALLOC_CTX *mem;
    int lock_fd, signals;
    Bus *bus;
    Builds builds;
    Queue *queue;
    Api api;
    HttpServer *http;
    Ingress *ingress;
    Deployer *deployer;
    DeployAgent *agent;
    Notify *notify;
    Child *children[MAX_CHILDREN];
    RunnerSeat seats[MAX_CHILDREN];
    BusSubscription *on_seat[MAX_CHILDREN];
    size_t child_count;
    int wake_fd; /* a child may be wanted again */
} Server;

static const char *in_state(Server *s, const char *name) {
    return mem_printf(s->mem, "%s/%s", s->state, name);
}

static bool deploys(const Server *s) {
    return !str_eq(s->settings->ingress, SETTINGS_OFF);
}

/* ---- the state directory ---- */

/* One server a state directory: a second one is told so instead of breaking things. */
static int lock_state(Server *s, Err *err) {
    const char *path = in_state(s, "lock");

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_errno(err, "open %s", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_CONFLICT, "another server works on %s: stop it, or choose another --state",
                       s->state);
    return 0;
}

static int open_state(Server *s, Err *err) {
    char *absolute;
    /* jobs, which are other users, pass through to their workspaces; they cannot list it */
    int r = file_mkdirs(s->settings->state, 0711, err);

    if (r == -ERR_NOT_FOUND) /* where nothing can be made: nobody has looked for anything */
        err->code = ERR_IO;
    if (r < 0)
        return err_wrap(err, "state directory");
    absolute = realpath(s->settings->state, NULL);
    if (!absolute)
        return err_errno(err, "state directory %s", s->settings->state);
    s->state = mem_strdup(s->mem, absolute);
    free(absolute);
    s->api.repos = in_state(s, "repos");
    r = lock_state(s, err);
    if (r >= 0)
        r = file_mkdirs(s->api.repos, 0711, err);
    return r;
}

static bool fits(void *arg, int64_t fit, const void *room) {
    return build_fits(arg, fit, room);
}

static DbSync database_sync(const Settings *settings) {
    if (str_eq(settings->database_sync, "full"))
        return DB_SYNC_COMMITS;
    return str_eq(settings->database_sync, "normal") ? DB_SYNC_NEVER : DB_SYNC_ANSWERS;
}

static const BlobSync sync_of_blobs[] = {
    [DB_SYNC_ANSWERS] = BLOB_SYNC_LATER,
    [DB_SYNC_COMMITS] = BLOB_SYNC_NOW,
    [DB_SYNC_NEVER] = BLOB_SYNC_NEVER,
};

static int sync_blobs(void *blob, Err *err) {
    return blob_sync(blob, err);
}

static int open_rooms(Server *s, Err *err) {
    DbOptions db = {.url = mem_printf(s->mem, "sqlite:%s/pelton.db", s->state),
                    .sync = database_sync(s->settings),
                    .busy_us = 10 * US_PER_S};
    Builds *b = &s->builds;
    int r = store_open(s->mem, &db, &b->db, err);

    if (r < 0)
        return err_wrap(err, "database");
    r = secret_ring_open(s->mem, in_state(s, "secret.key"), &b->ring, err);
    if (r < 0)
        return r;
    s->bus = b->bus = bus_new(s->mem);
    r = blob_open(s->mem, in_state(s, "blobs"), s->bus, &b->blob, err);
    if (r < 0)
        return r;
    if (db.sync == DB_SYNC_ANSWERS)
        db_before_durable(b->db, sync_blobs, b->blob);
    blob_set_sync(b->blob, sync_of_blobs[db.sync]);
    b->options = (BuildOptions){.lease_us = s->settings->lease,
                                .lost_after_us = MIN(LOST_AFTER_US, s->settings->lease),
                                .max_attempts = s->settings->max_attempts,
                                .cache_project = (int64_t)s->settings->cache_project,
                                .cache_total = (int64_t)s->settings->cache_total,
                                .artifact_keep_us = s->settings->artifact_keep,
                                .job_timeout_us = s->settings->job_timeout,
                                .allow_shell = s->settings->allow_executor && s->settings->allow_executor[0],
                                .no_deploy = !deploys(s)};
    b->dispatch = dispatch_new(s->mem);
    b->disk =
        (Disk){.whose = "the server's disk", .path = s->state, .keep_bytes = s->settings->min_free_space};
    s->queue = queue_new(s->mem, s->bus, fits, b);
    return 0;
}

/* ---- tokens ---- */

static int open_keys(Server *s, Err *err) {
    TokenRequest hook = {.name = "hook", .role = "hook"};
    char text[AUTH_TOKEN_SIZE];
    int64_t id;
    bool fresh;
    int r = auth_token_file(s->builds.db, in_state(s, "hook.token"), &hook, text, &id, &fresh, err);

    if (r < 0)
        return r;
    s->api.own_tokens[0] = id;
    return auth_key_file(in_state(s, "webhook.key"), s->api.webhook_key, err);
}

/* Only when we can be reached: whoever starts us is told of it once, and a start that fails tells nothing. */
static int first_login(Server *s, bool *ret_new, Err *err) {
    TokenRequest admin = {.name = "admin", .role = "admin"};
    char text[AUTH_TOKEN_SIZE];
    int64_t id;

    return auth_token_file(s->builds.db, in_state(s, "admin.token"), &admin, text, &id, ret_new, err);
}

/* ---- HTTP ---- */

/* The address as this machine reaches it: a server that listens everywhere has none of its own. */
static const char *local_address(Server *s, const char *address) {
    const char *port = strrchr(address, ':');

    if (str_after(address, "0.0.0.0:"))
        return mem_printf(s->mem, "127.0.0.1%s", port);
    return str_after(address, "[::]:") ? mem_printf(s->mem, "[::1]%s", port) : address;
}

static const char *public_address(Server *s, const char *address) {
    char host[256] = "";

    if (address == local_address(s, address) || gethostname(host, sizeof(host) - 1) < 0)
        return local_address(s, address);
    return mem_printf(s->mem, "%s%s", host, strrchr(address, ':'));
}

/* What people and the hook reach us at; the port is known only now, and no request has come yet. */
static void know_address(void *arg, const char *address) {
    Server *s = (Server *)((char *)arg - offsetof(Server, api));

    s->url = mem_printf(s->mem, "http://%s", local_address(s, address));
    s->api.url =
        s->settings->url ? s->settings->url : mem_printf(s->mem, "http://%s", public_address(s, address));
    s->builds.options.url = s->api.url;
}

static int start_http(Server *s, Err *err) {
    const Settings *set = s->settings;
    HttpServerOptions options = {.listen = set->listen,
                                 .threads = (unsigned)set->threads,
                                 .max_connections = (unsigned)set->connections,
                                 .max_body = set->max_body,
                                 .idle_timeout_us = set->idle_timeout,
                                 .request_timeout_us = set->request_timeout,
                                 .max_workers = (unsigned)set->workers,
                                 .access_log = set->access_log,
                                 .tables = api_tables,
                                 .schemas = api_schemas,
                                 .authorize = api_authorize,
                                 .still = api_still,
                                 .settle = api_settle,
                                 .listening = know_address,
                                 .arg = &s->api,
                                 .title = "Pelton",
                                 .version = s->version};

    api_init(&s->api, s->mem);
    s->api.builds = &s->builds;
    s->api.queue = s->queue;
    s->api.ingress = s->ingress;
    s->api.state = s->state;
    s->api.program = s->program;
    s->api.version = s->version;
    s->api.repo_group = geteuid() == 0 ? SANDBOX_GID : (gid_t)-1;
    s->api.runner_wait_us = MIN(RUNNER_WAIT_US, set->lease / 3);
    s->api.session_us = set->session;
    return http_server_start(&options, &s->http, err);
}

static void render_where(Server *s, Buf *out) {
    JsonWriter w = JSON_WRITER(out);

    jw_object(&w, NULL);
    jw_str(&w, "url", s->url);
    jw_str(&w, "public_url", s->api.url);
    jw_str(&w, "address", http_server_address(s->http));
    jw_str(&w, "ingress", s->ingress ? ingress_address(s->ingress, s->mem) : NULL);
    jw_str(&w, "token_file", in_state(s, "admin.token"));
    jw_int(&w, "pid", getpid());
    jw_str(&w, "version", s->version);
    jw_end_object(&w);
    buf_addc(out, '\n');
}

static int tell(Server *s, bool first, Err *err) {
    _cleanup_buf_ Buf where = BUF_INIT;
    int r;

    render_where(s, &where);
    r = file_write_atomic(in_state(s, "server.json"), where.data, where.len, 0644, err);
    if (r < 0)
        return r;
    if (s->settings->json) {
        fputs(buf_str(&where), stdout);
    } else {
        printf("Pelton %s: %s (applications: %s, state: %s)\n", s->version, s->api.url,
               s->ingress ? ingress_url(s->ingress, "NAME", s->mem) : "none", s->state);
        if (first)
            printf("The first time: log in with\n    pelton login %s --token-file %s\n", s->api.url,
                   in_state(s, "admin.token"));
    }
    fflush(stdout);
    return 0;
}

/* ---- deploys ---- */

static int start_deploys(Server *s, Err *err) {
    DeployOptions options = {.dir = in_state(s, "releases"),
                             .program = s->program,
                             .ingress = s->ingress,
                             .drain_us = s->settings->drain_grace};
    int r = ingress_start(s->ingress, err);

    if (r >= 0)
        r = deploy_new(s->mem, &options, &s->deployer, err);
    if (r >= 0)
        r = deploy_agent_start(&s->builds, s->deployer, &s->agent, err);
    return r;
}

static int open_ingress(Server *s, Err *err) {
    IngressOptions options = {
        .dir = in_state(s, "ingress"),
        .listen = s->settings->ingress,
        .domain = s->settings->domain,
        .url = s->settings->ingress_url,
        .proxies = s->settings->trusted_proxy,
    };

    return ingress_new(s->mem, &options, &s->ingress, err);
}

/* ---- runners ---- */

/* A runner of ours was drained, or is not any more. */
static void seat_changed(void *arg, int64_t runner_id) {
    Server *s = arg;

    eventfd_write(s->wake_fd, 1);
}

static int start_runner(Server *s, size_t i, RunnerChild *child, Err *err) {
    RunnerSeat *seat = &s->seats[i];
    ChildOptions options = {.program = s->program, .wanted = runner_child_wanted, .arg = seat};
    int r = runner_child_prepare(s->builds.db, child, s->mem, &options.argv, err);

    *seat = (RunnerSeat){.db = s->builds.db, .id = child->id};
    if (r >= 0)
        r = child_start(s->mem, &options, &s->children[i], err);
    if (r < 0)
        return r;
    s->on_seat[i] = bus_subscribe(s->bus, BUS_DRAIN, seat->id, seat_changed, s);
    s->child_count++;
    return 0;
}

static int start_runners(Server *s, Err *err) {
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0)
        return err_errno(err, "eventfd");
    for (int64_t i = 0; i < s->settings->runners; i++) {
        RunnerChild child = {.program = s->program,
                             .state = s->state,
                             .url = s->url,
                             .number = (int)i,
                             .slots = s->settings->slots,
                             .labels = s->settings->runner_label,
                             .cancel_grace_us = s->settings->cancel_grace,
                             .cleanup_us = s->settings->cleanup_time,
                             .min_free_space = s->settings->min_free_space,
                             .allow_shell = s->builds.options.allow_shell};
        int r = start_runner(s, (size_t)i, &child, err);

        if (r < 0)
            return r;
        s->api.own_runners[i] = child.id;
        s->api.own_tokens[1 + i] = child.token_id;
    }
    return 0;
}

/* The program or the state directory may have moved since the hooks were written. */
static int renew_hooks(Server *s, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Project *projects;
    size_t count;
    int r = store_projects(s->builds.db, mem, &projects, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        if (str_eq(projects[i].source, "hosted"))
            r = git_hook_install(projects[i].path, s->program, s->state, err);
    return r;
}

static void begin_comparing(void *arg) {
    Server *s = arg;
    Err err;

    if (build_cache_sweep(&s->builds, &err) < 0)
        log_err("server", "remove what is left of caches", &err);
    if (build_repos_sweep(&s->builds, s->api.repos, &err) < 0)
        log_err("server", "remove what is left of deleted repositories", &err);
    if (renew_hooks(s, &err) < 0)
        log_err("server", "renew the hooks", &err);
}

static int start_comparing(Server *s, Err *err) {
    CompareOptions options = {.every_us = s->settings->compare_refs, .begin = begin_comparing, .arg = s};

    return build_compare_start(&s->builds, &options, err);
}

/* ---- notifications ---- */

static int read_password(Server *s, const char **ret, Err *err) {
    const char *path = s->settings->smtp_password_file;
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = path ? file_read(path, 4096, &text, err) : 0;

    if (r < 0)
        return err_wrap(err, "setting \"smtp-password-file\"");
    *ret = path ? mem_strndup(s->mem, buf_str(&text), strcspn(buf_str(&text), "\r\n")) : NULL;
    return 0;
}

static int start_notify(Server *s, Err *err) {
    const Settings *set = s->settings;
    NotifyOptions options = {.mail = {.url = set->smtp, .user = set->smtp_user, .from = set->smtp_from},
                             .allow = (const char *const *)set->notify_allow,
                             .url = s->api.url};
    int r = read_password(s, &options.mail.password, err);

    return r < 0 ? r : notify_start(&s->builds, &options, &s->notify, err);
}

/* ---- life ---- */

static int block_signals(Server *s, Err *err) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals < 0 ? err_errno(err, "signalfd") : 0;
}

static void raise_descriptors(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Where git is started: the folder that we were started in may be removed. What settings name has been read.
 */
static int stay_in_state(Server *s, Err *err) {
    return chdir(s->state) < 0 ? err_errno(err, "state directory %s", s->state) : 0;
}

static int start(Server *s, Err *err) {
    bool first = false;
    int r = block_signals(s, err);

    umask(022); /* jobs and releases, which are other users, pass through our folders */
    raise_descriptors();
    if (r >= 0)
        r = open_state(s, err);
    if (r >= 0)
        r = open_rooms(s, err);
    if (r >= 0)
        r = build_repos_put_back(&s->builds, s->api.repos, err);
    if (r >= 0)
        r = open_keys(s, err);
    if (r >= 0 && deploys(s))
        r = open_ingress(s, err);
    if (r >= 0)
        r = build_reaper_start(&s->builds, err);
    if (r >= 0)
        r = start_comparing(s, err);
    if (r >= 0)
        r = start_http(s, err);
    if (r >= 0 && deploys(s)) /* our own address is taken by now, too */
        r = ingress_claim(s->ingress, err);
    if (r >= 0)
        r = first_login(s, &first, err);
    if (r < 0)
        return r;
    r = db_durable(s->builds.db, db_promised(s->builds.db), 0, err); /* the tokens that are told */
    if (r >= 0)
        r = tell(s, first, err);
    if (r >= 0)
        r = start_notify(s, err);
    if (r >= 0)
        r = stay_in_state(s, err);
    if (r >= 0)
        r = start_runners(s, err);
    if (r >= 0 && deploys(s))
        r = start_deploys(s, err);
    return r;
}

/* false: a signal asks us to end. */
static bool go_on(Server *s) {
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            return false;
    return true;
}

static void run(Server *s) {
    while (go_on(s)) {
        struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->wake_fd, .events = POLLIN}};
        eventfd_t changes;
        int64_t next = 0;

        eventfd_read(s->wake_fd, &changes);

        for (size_t i = 0; i < s->child_count; i++) {
            int64_t at = child_check(s->children[i]);

            if (at && (!next || at < next))
                next = at;
        }
        poll(fds, ELEMENTS(fds), next ? (int)MAX((next - clock_mono()) / US_PER_MS + 1, (int64_t)0) : -1);
    }
    log_info("server", "stopping; jobs and releases go on");
}

static void stop_children(Server *s) {
    int64_t until = clock_mono() + CHILD_GRACE_US;

    for (size_t i = 0; i < s->child_count; i++) {
        bus_unsubscribe(s->on_seat[i]);
        child_ask(s->children[i]);
    }
    for (size_t i = 0; i < s->child_count; i++)
        child_stop(s->children[i], until);
}

/* Jobs and releases go on: the next server takes them over. */
static void stop(Server *s) {
    stop_children(s);
    if (s->agent)
        deploy_agent_stop(s->agent);
    if (s->http)
        http_server_stop(s->http, STOP_GRACE_US);
    if (s->deployer)
        deploy_free(s->deployer);
    if (s->ingress)
        ingress_free(s->ingress);
    notify_stop(s->notify);
    build_compare_stop(&s->builds);
    build_reaper_stop(&s->builds);
    if (s->queue)
        queue_free(s->queue);
    if (s->builds.blob)
        blob_close(s->builds.blob);
    if (s->builds.db)
        db_close(s->builds.db);
    if (s->bus)
        bus_free(s->bus);
}

int server_run(const Settings *settings, const char *program, const char *version, Err *err) {
    Server s = {.settings = settings,
                .program = program,
                .version = version,
                .mem = talloc_new(NULL),
                .lock_fd = -1,
                .wake_fd = -1};
    int r = start(&s, err);

    if (r >= 0)
        run(&s);
    stop(&s);
    if (s.lock_fd >= 0)
        close(s.lock_fd);
    if (s.wake_fd >= 0)
        close(s.wake_fd);
    talloc_free(s.mem);
    return r;
}
