/* Real connections wait on a real server; what a handler was woken for is seen in what it answers. */
#include "base/clock.h"
#include "base/str.h"
#include "http/client.h"
#include "queue/queue.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Fixture {
    Bus *bus;
    Queue *queue;
    HttpServer *http;
    atomic_int work;    /* pieces to hand out */
    atomic_int waiting; /* handlers that have gone to sleep */
    atomic_int looks;
    atomic_int late; /* pieces that were found only because the time was up */
    atomic_int fit;  /* of the pieces */
} Fixture;

static Err err;

static bool take_one(Fixture *f) {
    int have = atomic_load(&f->work);

    while (have > 0)
        if (atomic_compare_exchange_weak(&f->work, &have, have - 1))
            return true;
    return false;
}

/* A runner's number is what it can do: work of a fit is for runners up to that number; runner 100 is full. */
static bool fits(void *arg, int64_t fit, const void *room) {
    return *(const int64_t *)room <= fit;
}

static int64_t *room_of(int64_t runner) {
    int64_t *room = runner == 100 ? NULL : mem_new(NULL, int64_t);

    if (room)
        *room = runner;
    return room;
}

/* As the lease route does it: enter, mark, look, wait. */
static int lease(HttpRequest *req, Err *e) {
    Fixture *f = http_arg(req);
    int64_t runner;
    uint64_t mark;
    bool bears;
    int r = http_param_id(req, "runner", &runner, e);

    if (r < 0)
        return r;
    if (!queue_enter(f->queue, runner, http_waiter(req), &bears))
        return err_set(e, ERR_CONFLICT, "a newer call has come");
    mark = queue_mark(f->queue);
    atomic_fetch_add(&f->looks, 1);
    if (http_peer_gone(req)) {
        if (bears)
            queue_pass_on(f->queue, atomic_load(&f->fit), mark);
        return err_set(e, ERR_CANCELLED, "gone");
    }
    if (runner <= atomic_load(&f->fit) && take_one(f)) {
        if (http_timed_out(req))
            atomic_fetch_add(&f->late, 1);
        if (bears && atomic_load(&f->work) > 0)
            queue_pass_on(f->queue, atomic_load(&f->fit), mark);
        http_reply_text(req, 200, "work");
    } else if (http_timed_out(req)) {
        http_reply_text(req, 200, "nothing");
    } else {
        queue_wait(f->queue, runner, http_wait(req, clock_mono() + 20 * US_PER_S), mark, room_of(runner));
        atomic_fetch_add(&f->waiting, 1);
    }
    return 0;
}

static const HttpRoute routes[] = {{.method = HTTP_GET, .path = "/lease/{runner}", .handle = lease}, {0}};

static int setup(void **state) {
    static const HttpRoute *const tables[] = {routes, NULL};
    Fixture *f = mem_new(NULL, Fixture);
    HttpServerOptions options = {.listen = "127.0.0.1:0",
                                 .threads = 2,
                                 .max_body = 1024,
                                 .idle_timeout_us = 60 * US_PER_S,
                                 .request_timeout_us = 60 * US_PER_S,
                                 .max_workers = 1,
                                 .tables = tables,
                                 .arg = f,
                                 .title = "t",
                                 .version = "1"};

    f->bus = bus_new(f);
    f->queue = queue_new(f, f->bus, fits, NULL);
    assert_true(http_server_start(&options, &f->http, &err) >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    http_server_stop(f->http, US_PER_S);
    queue_free(f->queue);
    bus_free(f->bus);
    talloc_free(f);
    return 0;
}

typedef struct Caller {
    Fixture *f;
    int runner;
    pthread_t thread;
    char answer[16];
} Caller;

static void *call(void *arg) {
    Caller *c = arg;
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    HttpCall http = {.method = "GET", .timeout_us = 30 * US_PER_S};
    HttpClient *client;
    Err e;

    http.path = mem_printf(mem, "/lease/%d", c->runner);
    if (http_client_new(mem, mem_printf(mem, "http://%s", http_server_address(c->f->http)), NULL, &client,
                        &e) >= 0 &&
        http_client_call(client, &http, &e) >= 0)
        snprintf(c->answer, sizeof(c->answer), "%s", http.status == 200 ? buf_str(&http.answer) : "refused");
    buf_done(&http.answer);
    return NULL;
}

static void call_start(Fixture *f, Caller *c, int runner) {
    *c = (Caller){.f = f, .runner = runner};
    assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

static void until(atomic_int *value, int at_least) {
    int64_t deadline = clock_mono() + 20 * US_PER_S;

    while (atomic_load(value) < at_least) {
        assert_true(clock_mono() < deadline);
        sched_yield();
    }
}

static void give_of(Fixture *f, int pieces, int fit) {
    atomic_store(&f->fit, fit);
    atomic_fetch_add(&f->work, pieces);
    bus_publish(f->bus, BUS_QUEUE, fit);
}

static void give(Fixture *f, int pieces) {
    give_of(f, pieces, 99);
}

static void assert_work(Caller *c) {
    pthread_join(c->thread, NULL);
    assert_string_equal(c->answer, "work");
}

static void work_that_comes_wakes_one_of_those_who_wait(void **state) {
    Fixture *f = *state;
    Caller a, b;
    int looks;

    call_start(f, &a, 1);
    until(&f->waiting, 1);
    call_start(f, &b, 2);
    until(&f->waiting, 2);
    looks = atomic_load(&f->looks);
    give(f, 1);
    assert_work(&a); /* who has waited longest */
    assert_int_equal(atomic_load(&f->looks), looks + 1);
    give(f, 1);
    assert_work(&b);
}

static void one_wake_is_passed_on_until_the_work_is_taken(void **state) {
    Fixture *f = *state;
    Caller callers[8];

    for (int i = 0; i < 8; i++)
        call_start(f, &callers[i], i + 1);
    until(&f->waiting, 8);
    give(f, 8);
    for (int i = 0; i < 8; i++)
        assert_work(&callers[i]);
}

static void a_call_for_one_runner_wakes_that_one(void **state) {
    Fixture *f = *state;
    Caller a, b;

    call_start(f, &a, 1);
    until(&f->waiting, 1);
    call_start(f, &b, 2);
    until(&f->waiting, 2);
    atomic_store(&f->fit, 99);
    atomic_store(&f->work, 1); /* nobody is told of it but runner 2 */
    bus_publish(f->bus, BUS_RUNNER, 2);
    assert_work(&b);
    give(f, 1);
    assert_work(&a);
}

static void work_that_comes_between_looking_and_waiting_is_seen(void **state) {
    Fixture *f = *state;

    for (int round = 0; round < 200; round++) {
        Caller a;

        call_start(f, &a, 1);
        give(f, 1);
        assert_work(&a);
    }
}

static void work_wakes_the_longest_waiting_runner_that_it_fits_and_no_other(void **state) {
    Fixture *f = *state;
    Caller big, full, small, later;
    int looks;

    call_start(f, &big, 7);
    until(&f->waiting, 1);
    call_start(f, &full, 100);
    until(&f->waiting, 2);
    call_start(f, &small, 2);
    until(&f->waiting, 3);
    call_start(f, &later, 1);
    until(&f->waiting, 4);
    looks = atomic_load(&f->looks);
    give_of(f, 1, 3);
    assert_work(&small);
    give_of(f, 1, 3);
    assert_work(&later);
    assert_int_equal(atomic_load(&f->looks), looks + 2);
    give(f, 1);
    assert_work(&big);
    assert_int_equal(atomic_load(&f->looks), looks + 3);
    bus_publish(f->bus, BUS_RUNNER, 100);
    until(&f->looks, looks + 4);
    until(&f->waiting, 5);
    give_of(f, 1, 100);
    bus_publish(f->bus, BUS_RUNNER, 100);
    assert_work(&full);
}

static void work_that_fits_nobody_wakes_nobody(void **state) {
    Fixture *f = *state;
    Caller a;
    int looks;

    call_start(f, &a, 5);
    until(&f->waiting, 1);
    looks = atomic_load(&f->looks);
    for (int i = 0; i < 1000; i++)
        bus_publish(f->bus, BUS_QUEUE, 4);
    assert_int_equal(atomic_load(&f->looks), looks);
    give(f, 1);
    assert_work(&a);
    assert_int_equal(atomic_load(&f->looks), looks + 1);
}

static void everybody_looks_when_anything_may_have_become_claimable(void **state) {
    Fixture *f = *state;
    Caller a, b;

    call_start(f, &a, 1);
    call_start(f, &b, 2);
    until(&f->waiting, 2);
    atomic_store(&f->fit, 99);
    atomic_store(&f->work, 2);
    bus_publish(f->bus, BUS_QUEUE, 0);
    assert_work(&a);
    assert_work(&b);
}

/* A connection that is cut: the peer's end is gone with a reset. */
static void call_and_vanish(Fixture *f, int runner, int *ret_fd) {
    struct linger hard = {.l_onoff = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char text[100];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(text, sizeof(text), "GET /lease/%d HTTP/1.1\r\nHost: x\r\n\r\n", runner);

    to.sin_port = htons((uint16_t)strtoul(strrchr(http_server_address(f->http), ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    *ret_fd = fd;
}

static void work_is_not_lost_on_a_runner_that_has_vanished(void **state) {
    Fixture *f = *state;
    Caller b;
    int fd;

    call_and_vanish(f, 1, &fd);
    until(&f->waiting, 1);
    call_start(f, &b, 2);
    until(&f->waiting, 2);
    close(fd);
    give(f, 1);
    assert_work(&b);
    assert_int_equal(atomic_load(&f->late), 0);
}

static void a_newer_call_takes_the_place_of_the_one_before(void **state) {
    Fixture *f = *state;
    Caller old, new;

    call_start(f, &old, 1);
    until(&f->waiting, 1);
    call_start(f, &new, 1);
    pthread_join(old.thread, NULL); /* at once: it does not keep its place until its time is up */
    assert_string_equal(old.answer, "refused");
    until(&f->waiting, 2);
    assert_int_equal(atomic_load(&f->looks), 2);
    give(f, 1);
    assert_work(&new);
    assert_int_equal(atomic_load(&f->late), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(work_that_comes_wakes_one_of_those_who_wait),
        TEST(one_wake_is_passed_on_until_the_work_is_taken),
        TEST(a_call_for_one_runner_wakes_that_one),
        TEST(work_that_comes_between_looking_and_waiting_is_seen),
        TEST(work_wakes_the_longest_waiting_runner_that_it_fits_and_no_other),
        TEST(work_that_fits_nobody_wakes_nobody),
        TEST(everybody_looks_when_anything_may_have_become_claimable),
        TEST(work_is_not_lost_on_a_runner_that_has_vanished),
        TEST(a_newer_call_takes_the_place_of_the_one_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
