#include "support.h"

/* What a settle is to do with an answer, and what it held back. */
static HttpHold *held;
static bool block, refuse;
static Gate settled = GATE_INIT;

static int fixed(HttpRequest *req, Err *err) {
    (void)err;
    http_add_header(req, "X-Secret", "told");
    http_reply_text(req, 201, "done");
    return 0;
}

static int careless(HttpRequest *req, Err *err) {
    (void)err;
    http_set_promise(req, HTTP_PROMISE_NONE);
    http_reply_text(req, 201, "done");
    return 0;
}

/* Nothing at first, which promises nothing; then something. */
static int waiting(HttpRequest *req, Err *err) {
    HttpWaiter *w;

    (void)err;
    if (http_waiter(req)) {
        http_reply_text(req, 201, "done");
        return 0;
    }
    http_set_promise(req, HTTP_PROMISE_NONE);
    w = http_wait(req, clock_mono() + 20 * US_PER_S);
    http_waiter_wake(w);
    http_waiter_unref(w);
    return 0;
}

static int failing(HttpRequest *req, Err *err) {
    (void)req;
    return err_set(err, ERR_CONFLICT, "no");
}

static void settle(void *arg, HttpRequest *req) {
    Err err;

    (void)arg;
    assert_int_equal(http_may_block(req), block);
    if (!block)
        held = http_hold(req);
    (void)err_set(&err, ERR_NO_SPACE, "the disk is full");
    if (refuse)
        http_reply_instead(req, &err);
    gate_add(&settled);
}

static const HttpRoute routes[] = {
    {.method = HTTP_GET, .path = "/fixed", .handle = fixed},
    {.method = HTTP_POST, .path = "/fixed", .handle = fixed},
    {.method = HTTP_POST, .path = "/worker", .mode = HTTP_THREADED, .handle = fixed},
    {.method = HTTP_POST, .path = "/casual", .handle = fixed, .promise = HTTP_PROMISE_NONE},
    {.method = HTTP_POST, .path = "/careless", .handle = careless},
    {.method = HTTP_POST, .path = "/failing", .handle = failing},
    {.method = HTTP_POST, .path = "/waiting", .handle = waiting},
    {0},
};

static int setup(void **state) {
    *state = server_of((HttpServerOptions){.settle = settle}, routes);
    gate_reset(&settled);
    block = refuse = false;
    return 0;
}

static int teardown(void **state) {
    http_server_stop(*state, 5 * US_PER_S);
    return 0;
}

#define REQUEST(path) "POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* Nothing comes before the release: what comes first is what the release has made of it. */
static void ask(HttpServer *s, const Err *err, Buf *out) {
    int fd = raw_connect(s);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    raw_send(fd, REQUEST("/fixed"));
    gate_wait(&settled, 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    http_release(held, err);
    assert_true(raw_read(fd, NULL, out));
    close(fd);
}

static void an_answer_that_is_held_goes_out_when_it_is_released(void **state) {
    Buf out = BUF_INIT;

    ask(*state, NULL, &out);
    assert_contains(&out, "201 Created");
    assert_contains(&out, "X-Secret: told");
    buf_done(&out);
}

static void a_promise_that_cannot_be_kept_is_an_error_instead(void **state) {
    Buf out = BUF_INIT;
    Err err;

    (void)err_set(&err, ERR_NO_SPACE, "the disk is full");
    ask(*state, &err, &out);
    assert_contains(&out, "507 ");
    assert_contains(&out, "the disk is full");
    assert_null(strstr(buf_str(&out), "X-Secret"));
    buf_done(&out);
}

static void a_worker_waits_itself(void **state) {
    Buf out = BUF_INIT;

    block = true;
    raw_talk(*state, REQUEST("/worker"), &out);
    assert_contains(&out, "201 Created");
    refuse = true;
    raw_talk(*state, REQUEST("/worker"), &out);
    assert_contains(&out, "507 ");
    assert_null(strstr(buf_str(&out), "X-Secret"));
    buf_done(&out);
}

static void reads_errors_and_what_promises_nothing_are_not_held(void **state) {
    Buf out = BUF_INIT;

    raw_talk(*state, REQUEST("/casual"), &out);
    assert_contains(&out, "201 Created");
    raw_talk(*state, REQUEST("/careless"), &out);
    assert_contains(&out, "201 Created");
    raw_talk(*state, REQUEST("/failing"), &out);
    assert_contains(&out, "409 ");
    raw_talk(*state, "GET /fixed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &out);
    assert_contains(&out, "201 Created");
    assert_int_equal(settled.count, 0);
    buf_done(&out);
}

static void what_is_said_before_a_wait_does_not_hold_after_it(void **state) {
    int fd = raw_connect(*state);
    Buf out = BUF_INIT;

    raw_send(fd, REQUEST("/waiting"));
    gate_wait(&settled, 1);
    http_release(held, NULL);
    assert_true(raw_read(fd, NULL, &out));
    assert_contains(&out, "201 Created");
    close(fd);
    buf_done(&out);
}

/* The release may come before the handler's thread has put the connection to sleep. */
static void settle_at_once(void *arg, HttpRequest *req) {
    (void)arg;
    http_release(http_hold(req), NULL);
}

static void a_release_that_is_quicker_than_the_sleep_is_not_lost(void **state) {
    HttpServer *s = server_of((HttpServerOptions){.settle = settle_at_once}, routes);
    HttpClient *c = client_of(s);

    (void)state;
    for (int i = 0; i < 100; i++) {
        HttpCall call = {.method = "POST", .path = "/fixed"};

        assert_int_equal(call_of(c, &call), 201);
        buf_done(&call.answer);
    }
    talloc_free(c);
    http_server_stop(s, 5 * US_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_that_is_held_goes_out_when_it_is_released, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promise_that_cannot_be_kept_is_an_error_instead, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_waits_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_errors_and_what_promises_nothing_are_not_held, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_said_before_a_wait_does_not_hold_after_it, setup, teardown),
        cmocka_unit_test(a_release_that_is_quicker_than_the_sleep_is_not_lost),
    };

    return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
