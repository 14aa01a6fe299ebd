/* With a real HAProxy. */
#include "ingress/ingress.h"

#include "apps.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#define DEADLINE (20 * US_PER_S)

typedef struct Fixture {
    char dir[64], state[80];
    Ingress *in;
    char *address;
    char answer[16384];
} Fixture;

static void open_ingress(Fixture *f, unsigned spares) {
    IngressOptions o = {.dir = f->state, .listen = "127.0.0.1:0", .spares = spares};
    Err err = {0};

    if (ingress_new(NULL, &o, &f->in, &err) < 0 || ingress_start(f->in, &err) < 0)
        fail_msg("%s", err.msg);
    f->address = ingress_address(f->in, f->in);
}

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/pelton-ingress-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->state, sizeof(f->state), "%s/ingress", f->dir);
    open_ingress(f, 4);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    Err err;

    ingress_stop(f->in);
    assert_int_equal(file_remove_tree(f->dir, &err), 0);
    free(f);
    return 0;
}

#define ok(call)                                                                                             \
    do {                                                                                                     \
        Err err_ = {0}, *e = &err_;                                                                          \
        if ((call) < 0)                                                                                      \
            fail_msg("%s", e->msg);                                                                          \
    } while (0)

#define refused(expected, call)                                                                              \
    do {                                                                                                     \
        Err err_ = {0}, *e = &err_;                                                                          \
        assert_true((call) < 0);                                                                             \
        assert_int_equal(e->code, (expected));                                                               \
    } while (0)

static int get(Fixture *f, const char *host, const char *path) {
    f->answer[0] = '\0';
    return client_get(f->address, host, path, f->answer, sizeof(f->answer));
}

static App *deploy(Fixture *f, const char *slug, const char *release) {
    App *app = app_start(release);

    ok(ingress_server_add(f->in, slug, release, app->address, e));
    ok(ingress_switch(f->in, slug, release, e));
    return app;
}

static pid_t haproxy_pid(Fixture *f) {
    char path[128];
    Buf text = BUF_INIT;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/haproxy.pid", f->state);
    ok(file_read(path, 100, &text, e));
    pid = (pid_t)strtol(text.data, NULL, 10);
    buf_done(&text);
    return pid;
}

static void nothing_runs_before_the_first_application(void **state) {
    Fixture *f = *state;
    char path[128];

    ingress_free(f->in);
    snprintf(path, sizeof(path), "%s/haproxy.cfg", f->state);
    assert_int_equal(access(path, F_OK), -1);
    open_ingress(f, 4);
}

static void an_unknown_host_gets_a_page_that_names_it(void **state) {
    Fixture *f = *state;

    ok(ingress_app_add(f->in, "hello", e));
    assert_int_equal(get(f, "Nobody<script>.localhost:80", "/"), 404);
    assert_non_null(strstr(f->answer, "No app is called <b>nobodyscript.localhost</b> here."));
    assert_null(strstr(f->answer, "hello"));
}

static void an_application_without_a_release_is_503(void **state) {
    Fixture *f = *state;

    ok(ingress_app_add(f->in, "hello", e));
    assert_int_equal(get(f, "hello.localhost", "/"), 503);
    assert_non_null(strstr(f->answer, "no healthy release"));
}

static void the_host_is_matched_without_case_and_port(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    char *url = ingress_url(f->in, "hello", f->in);

    assert_int_equal(get(f, "HeLLo.LOCALHOST:12345", "/"), 200);
    assert_int_equal(get(f, "hello.localhost.", "/"), 200);
    assert_int_equal(get(f, "xhello.localhost", "/"), 404);
    assert_non_null(strstr(url, "http://hello.localhost:"));
    assert_string_equal(ingress_live(f->in, "hello", f->in), "r1");
    app_stop(app);
}

static void who_asks_is_told_and_not_believed(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    int fd = client_dial(f->address);

    assert_int_equal(
        client_ask(fd, "GET", "hello.localhost:99", "/",
                   "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\n",
                   f->answer, sizeof(f->answer)),
        200);
    close(fd);
    assert_non_null(strcasestr(f->answer, "x-forwarded-for: 127.0.0.1\r\n"));
    assert_non_null(strcasestr(f->answer, "x-forwarded-host: hello.localhost:99\r\n"));
    assert_non_null(strcasestr(f->answer, "x-forwarded-proto: http\r\n"));
    assert_null(strstr(f->answer, "6.6.6.6"));
    app_stop(app);
}

static void a_proxy_that_is_trusted_says_who_asks(void **state) {
    static const char *const others[] = {"10.0.0.0/8", "::1", NULL};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *ours[102] = {0}; /* more than HAProxy takes words in a line */
    Fixture *f = *state;
    IngressOptions o = {.dir = f->state, .listen = "127.0.0.1:0", .url = "https://localhost:8443"};
    App *app = deploy(f, "hello", "r1");

    for (int i = 0; i < 100; i++)
        ours[i] = mem_printf(mem, "10.%d.0.0/16", i);
    ours[100] = "127.0.0.0/8";
    for (int trusted = 0; trusted < 2; trusted++) {
        int fd;

        ingress_free(f->in);
        o.proxies = trusted ? ours : others;
        ok(ingress_new(NULL, &o, &f->in, e));
        ok(ingress_start(f->in, e));
        assert_string_equal(ingress_url(f->in, "hello", f->in), "https://hello.localhost:8443/");
        ok(ingress_switch(f->in, "hello", "r1", e)); /* once it has the new configuration */
        f->address = ingress_address(f->in, f->in);
        fd = client_dial(f->address);
        assert_int_equal(client_ask(fd, "GET", "hello.localhost", "/",
                                    "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: gopher\r\n", f->answer,
                                    sizeof(f->answer)),
                         200);
        close(fd);
        assert_non_null(strcasestr(f->answer, trusted ? "x-forwarded-for: 6.6.6.6\r\n"
                                                      : "x-forwarded-for: 127.0.0.1\r\n"));
        assert_non_null(strcasestr(f->answer, "x-forwarded-proto: https\r\n"));
        /* who says nothing is told apart all the same */
        assert_int_equal(get(f, "hello.localhost", "/"), 200);
        assert_non_null(strcasestr(f->answer, "x-forwarded-for: 127.0.0.1\r\n"));
    }
    app_stop(app);
}

static void a_trusted_proxy_must_be_an_address(void **state) {
    static const char *const names[] = {"proxy.example.com }", NULL};
    Fixture *f = *state;
    IngressOptions o = {.dir = f->state, .listen = "127.0.0.1:0", .proxies = names};
    Ingress *in;

    refused(ERR_INVALID, ingress_new(NULL, &o, &in, e));
}

static void a_websocket_passes(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    int fd = client_dial(f->address);
    char echo[16] = "";

    assert_int_equal(client_ask(fd, "GET", "hello.localhost", "/",
                                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                                f->answer, sizeof(f->answer)),
                     101);
    app_send(fd, "ping-pong");
    assert_int_equal(recv(fd, echo, 9, MSG_WAITALL), 9);
    assert_string_equal(echo, "ping-pong");
    close(fd);
    app_stop(app);
}

static void fifty_switches_under_load_lose_no_request(void **state) {
    Fixture *f = *state;
    App *live = deploy(f, "hello", "r0");
    Load load[4];

    load_start(&load[0], f->address, "hello.localhost", "GET", true);
    load_start(&load[1], f->address, "hello.localhost", "GET", false);
    load_start(&load[2], f->address, "hello.localhost", "POST", true);
    load_start(&load[3], f->address, "hello.localhost", "POST", false);
    for (int i = 1; i <= 50; i++) {
        int before = load[0].asked;
        char release[16];
        App *next;

        snprintf(release, sizeof(release), "r%d", i);
        next = deploy(f, "hello", release);
        ok(ingress_drain(f->in, "hello", live->name, DEADLINE, -1, e));
        app_stop(live);
        live = next;
        while (load[0].asked < before + 3 && !load[0].failed)
            poll(NULL, 0, 1);
    }
    for (int i = 0; i < 4; i++) {
        load_stop(&load[i]);
        if (load[i].failed)
            fail_msg("%d of %d: %s", load[i].failed, load[i].asked, load[i].first_failure);
        assert_true(load[i].asked > 50);
    }
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nr50\n"));
    app_stop(live);
}

/* Waits until the application has so many requests before its gate. */
static void await_waiting(App *app, int count) {
    for (int64_t until = clock_mono() + DEADLINE; app->waiting < count;) {
        assert_true(clock_mono() < until);
        poll(NULL, 0, 1);
    }
}

typedef struct Late {
    Fixture *f;
    const char *method;
    int status;
    char answer[16384];
    pthread_t thread;
} Late;

static void *ask_late(void *arg) {
    Late *late = arg;

    int fd = client_dial(late->f->address);

    late->status = client_ask(fd, late->method, "hello.localhost", "/wait", "Content-Length: 0\r\n",
                              late->answer, sizeof(late->answer));
    close(fd);
    return NULL;
}

static void late_start(Late *late, Fixture *f, const char *method) {
    memset(late, 0, sizeof(*late));
    late->f = f;
    late->method = method;
    assert_int_equal(pthread_create(&late->thread, NULL, ask_late, late), 0);
}

static void *drain_r1(void *arg) {
    Fixture *f = arg;

    ok(ingress_drain(f->in, "hello", "r1", DEADLINE, -1, e));
    return NULL;
}

static void a_request_under_way_is_waited_for(void **state) {
    Fixture *f = *state;
    App *old = deploy(f, "hello", "r1"), *new;
    pthread_t thread;
    Late late;

    late_start(&late, f, "GET");
    await_waiting(old, 1);
    new = deploy(f, "hello", "r2");
    assert_int_equal(pthread_create(&thread, NULL, drain_r1, f), 0);
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nr2\n"));
    app_open_gate(old);
    pthread_join(late.thread, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(late.status, 200);
    assert_non_null(strstr(late.answer, "\r\n\r\nr1\n"));
    app_stop(old);
    app_stop(new);
}

/* What only reads is asked again at the new release; what may have changed something is not. */
static void the_grace_ends_what_does_not_end(void **state) {
    Fixture *f = *state;
    App *old = deploy(f, "hello", "r1"), *new;
    int cancel = eventfd(1, EFD_CLOEXEC);
    Late reads, changes;

    late_start(&reads, f, "GET");
    await_waiting(old, 1);
    late_start(&changes, f, "POST");
    await_waiting(old, 2);
    new = deploy(f, "hello", "r2");
    app_open_gate(new);
    refused(ERR_CONFLICT, ingress_drain(f->in, "hello", "r2", 0, -1, e));
    ok(ingress_drain(f->in, "hello", "r1", DEADLINE, cancel, e));
    pthread_join(reads.thread, NULL);
    pthread_join(changes.thread, NULL);
    assert_int_equal(reads.status, 200);
    assert_non_null(strstr(reads.answer, "\r\n\r\nr2\n"));
    assert_int_not_equal(changes.status, 200);
    assert_int_equal(new->waiting, 1);
    ok(ingress_drain(f->in, "hello", "r1", DEADLINE, -1, e));
    app_open_gate(old);
    app_open_gate(old);
    app_stop(old);
    app_stop(new);
    close(cancel);
}

static void a_killed_haproxy_comes_back_with_its_routes(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    pid_t before = haproxy_pid(f);
    int status = 0;

    assert_int_equal(kill(before, SIGKILL), 0);
    for (int64_t until = clock_mono() + DEADLINE; status != 200 && clock_mono() < until; poll(NULL, 0, 2))
        status = get(f, "hello.localhost", "/");
    assert_int_equal(status, 200);
    assert_int_not_equal(haproxy_pid(f), before);
    app_stop(app);
}

static void a_killed_haproxy_does_not_fail_a_deploy(void **state) {
    Fixture *f = *state;
    App *old = deploy(f, "hello", "r1"), *new;

    for (int i = 0; i < 3; i++)
        kill(haproxy_pid(f), SIGKILL);
    new = deploy(f, "hello", "r2");
    ok(ingress_drain(f->in, "hello", "r1", DEADLINE, -1, e));
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nr2\n"));
    app_stop(old);
    app_stop(new);
}

static void a_new_server_finds_haproxy_again(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1"), *next;
    pid_t before = haproxy_pid(f);
    char address[64];

    snprintf(address, sizeof(address), "%s", f->address);
    ingress_free(f->in);
    assert_int_equal(client_get(address, "hello.localhost", "/", f->answer, sizeof(f->answer)), 200);
    open_ingress(f, 4);
    assert_string_equal(f->address, address);
    assert_string_equal(ingress_live(f->in, "hello", f->in), "r1");
    next = deploy(f, "hello", "r2");
    assert_int_equal(haproxy_pid(f), before);
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nr2\n"));
    app_stop(app);
    app_stop(next);
}

static void what_haproxy_lost_while_nobody_looked_is_given_again(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    int status = 0;

    kill(haproxy_pid(f), SIGKILL);
    ingress_free(f->in);
    open_ingress(f, 4);
    for (int64_t until = clock_mono() + DEADLINE; status != 200 && clock_mono() < until; poll(NULL, 0, 2))
        status = get(f, "hello.localhost", "/");
    assert_int_equal(status, 200);
    app_stop(app);
}

static void more_applications_than_spares_reload_without_a_lost_request(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    pid_t before = haproxy_pid(f);
    Load load[2];
    App *more[6];

    load_start(&load[0], f->address, "hello.localhost", "GET", true);
    load_start(&load[1], f->address, "hello.localhost", "POST", false);
    for (int i = 0; i < 6; i++) {
        char slug[16];

        snprintf(slug, sizeof(slug), "more%d", i);
        more[i] = deploy(f, slug, slug);
    }
    assert_int_not_equal(haproxy_pid(f), before);
    for (int i = 0; i < 2; i++) {
        load_stop(&load[i]);
        if (load[i].failed)
            fail_msg("%d of %d: %s", load[i].failed, load[i].asked, load[i].first_failure);
    }
    assert_int_equal(get(f, "more5.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nmore5\n"));
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    for (int i = 0; i < 6; i++)
        app_stop(more[i]);
    app_stop(app);
}

static void a_removed_application_is_404_and_its_slot_clean(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1");
    char **apps;

    ok(ingress_app_remove(f->in, "hello", e));
    ok(ingress_app_remove(f->in, "hello", e));
    assert_int_equal(get(f, "hello.localhost", "/"), 404);
    ok(ingress_app_add(f->in, "other", e));
    assert_int_equal(get(f, "other.localhost", "/"), 503);
    apps = ingress_apps(f->in, f->in);
    assert_string_equal(apps[0], "other");
    assert_null(apps[1]);
    ok(ingress_server_add(f->in, "other", "r1", app->address, e));
    ok(ingress_switch(f->in, "other", "r1", e));
    ok(ingress_server_remove(f->in, "other", "r1", e));
    assert_int_equal(get(f, "other.localhost", "/"), 503);
    app_stop(app);
}

static void a_moved_release_is_found_at_its_new_port(void **state) {
    Fixture *f = *state;
    App *app = deploy(f, "hello", "r1"), *moved = app_start("moved");

    ok(ingress_server_add(f->in, "hello", "r1", moved->address, e));
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nmoved\n"));
    app_stop(app);
    app_stop(moved);
}

/* The ingress ends; its port is another's, as if taken meanwhile. */
static void lose_port(Fixture *f, const App *thief) {
    char *text;
    Buf routes = BUF_INIT;
    char path[128], changed[512];

    ingress_free(f->in);
    snprintf(path, sizeof(path), "%s/routes.json", f->state);
    ok(file_read(path, 4096, &routes, e));
    text = strstr(routes.data, "\"address\":\"127.0.0.1:");
    assert_non_null(text);
    snprintf(changed, sizeof(changed), "%.*s\"address\":\"%s\"%s", (int)(text - routes.data), routes.data,
             thief->address, strchr(text, ','));
    ok(file_write_atomic(path, changed, strlen(changed), 0600, e));
    buf_done(&routes);
}

static void a_taken_port_is_chosen_anew(void **state) {
    Fixture *f = *state;
    App *thief = app_start("thief"), *app;

    lose_port(f, thief);
    open_ingress(f, 4);
    assert_string_equal(f->address, thief->address);
    app = deploy(f, "hello", "r1");
    f->address = ingress_address(f->in, f->in);
    assert_string_not_equal(f->address, thief->address);
    assert_int_equal(get(f, "hello.localhost", "/"), 200);
    assert_non_null(strstr(f->answer, "\r\n\r\nr1\n"));
    app_stop(app);
    app_stop(thief);
}

/* Not started. */
static Ingress *ingress_at(Fixture *f, const char *listen) {
    IngressOptions o = {.dir = f->state, .listen = listen};
    Ingress *in;

    ok(ingress_new(NULL, &o, &in, e));
    return in;
}

static void a_taken_port_is_chosen_anew_before_it_is_told(void **state) {
    App *thief = app_start("thief");
    Fixture *f = *state;
    Ingress *in;
    char *address;

    lose_port(f, thief);
    in = ingress_at(f, "127.0.0.1:0");
    ok(ingress_claim(in, e));
    address = ingress_address(in, in);
    assert_string_not_equal(address, thief->address);
    open_ingress(f, 4);
    assert_string_equal(f->address, address);
    ingress_free(in);
    app_stop(thief);
}

static void says_what_to_do(const Err *err, const char *address) {
    assert_int_equal(err->code, ERR_UNAVAILABLE);
    if (!strstr(err->msg, address) || !strstr(err->msg, "--ingress ADDR:PORT") ||
        !strstr(err->msg, "--ingress off") || strstr(err->msg, "ALERT"))
        fail_msg("%s", err->msg);
}

static void is_taken(Fixture *f, const char *address) {
    Ingress *in = ingress_at(f, address);
    Err err = {0};

    assert_true(ingress_claim(in, &err) < 0);
    says_what_to_do(&err, address);
    ingress_free(in);
}

static void an_address_that_another_holds_is_refused(void **state) {
    App *thief = app_start("thief");
    Fixture *f = *state;
    char other[64];
    Ingress *in;

    is_taken(f, thief->address);
    snprintf(other, sizeof(other), "0.0.0.0:%d", thief->port);
    is_taken(f, other);
    snprintf(other, sizeof(other), "[::]:%d", thief->port);
    is_taken(f, other);
    snprintf(other, sizeof(other), "%s", thief->address);
    app_stop(thief);
    in = ingress_at(f, other);
    ok(ingress_claim(in, e));
    ingress_free(in);
}

static void an_address_of_ipv6_that_another_holds_is_refused(void **state) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(a);
    char address[64];

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        skip();
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(address, sizeof(address), "[::1]:%d", ntohs(a.sin6_port));
    is_taken(*state, address);
    close(fd);
}

/* Also after a start with another address was refused: that one is not ours for having been asked for. */
static void what_an_earlier_haproxy_of_ours_holds_is_not_taken(void **state) {
    App *thief = app_start("thief"), *app;
    Fixture *f = *state;
    char address[64];
    Ingress *in;

    app = deploy(f, "hello", "r1");
    snprintf(address, sizeof(address), "%s", f->address);
    ingress_free(f->in);
    is_taken(f, thief->address);
    is_taken(f, thief->address);
    in = ingress_at(f, address);
    ok(ingress_claim(in, e));
    ingress_free(in);
    open_ingress(f, 4);
    app_stop(app);
    app_stop(thief);
}

static void an_address_that_was_taken_later_fails_a_deploy_with_what_to_do(void **state) {
    App *thief = app_start("thief"), *app = app_start("r1");
    Fixture *f = *state;
    Ingress *in = ingress_at(f, thief->address);
    Err err = {0};

    assert_true(ingress_server_add(in, "hello", "r1", app->address, &err) < 0);
    says_what_to_do(&err, thief->address);
    ingress_free(in);
    app_stop(app);
    app_stop(thief);
}

static void hostile_names_reach_nothing(void **state) {
    Fixture *f = *state;

    refused(ERR_INVALID, ingress_app_add(f->in, "a\nadd map", e));
    refused(ERR_INVALID, ingress_app_add(f->in, "../x", e));
    refused(ERR_INVALID, ingress_server_add(f->in, "a", "r;x", "127.0.0.1:1", e));
    refused(ERR_INVALID, ingress_server_add(f->in, "a", "r", "127.0.0.1:1 check\n", e));
    refused(ERR_INVALID, ingress_switch(f->in, "a", "../r", e));
    refused(ERR_NOT_FOUND, ingress_switch(f->in, "a", "r", e));
}

static void bad_settings_are_refused(void **state) {
    static const char *const listens[] = {
        "", "8081", "x:80", "127.0.0.1:99999", "127.0.0.1:80\nbind :1", "[::1:80", NULL};
    Fixture *f = *state;
    IngressOptions o = {.dir = f->state, .domain = "localhost"};
    Ingress *in;

    for (size_t i = 0; listens[i]; i++) {
        o.listen = listens[i];
        refused(ERR_INVALID, ingress_new(NULL, &o, &in, e));
    }
    o.listen = "127.0.0.1:0";
    o.domain = "a b";
    refused(ERR_INVALID, ingress_new(NULL, &o, &in, e));
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        test(nothing_runs_before_the_first_application),
        test(an_unknown_host_gets_a_page_that_names_it),
        test(an_application_without_a_release_is_503),
        test(the_host_is_matched_without_case_and_port),
        test(who_asks_is_told_and_not_believed),
        test(a_proxy_that_is_trusted_says_who_asks),
        test(a_trusted_proxy_must_be_an_address),
        test(a_websocket_passes),
        test(fifty_switches_under_load_lose_no_request),
        test(a_request_under_way_is_waited_for),
        test(the_grace_ends_what_does_not_end),
        test(a_killed_haproxy_comes_back_with_its_routes),
        test(a_killed_haproxy_does_not_fail_a_deploy),
        test(a_new_server_finds_haproxy_again),
        test(what_haproxy_lost_while_nobody_looked_is_given_again),
        test(more_applications_than_spares_reload_without_a_lost_request),
        test(a_removed_application_is_404_and_its_slot_clean),
        test(a_moved_release_is_found_at_its_new_port),
        test(a_taken_port_is_chosen_anew),
        test(a_taken_port_is_chosen_anew_before_it_is_told),
        test(an_address_that_another_holds_is_refused),
        test(an_address_of_ipv6_that_another_holds_is_refused),
        test(what_an_earlier_haproxy_of_ours_holds_is_not_taken),
        test(an_address_that_was_taken_later_fails_a_deploy_with_what_to_do),
        test(hostile_names_reach_nothing),
        test(bad_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
