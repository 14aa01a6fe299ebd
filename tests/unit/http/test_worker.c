/* THREADED handlers. */
#include "support.h"

static Gate asleep = GATE_INIT, worked = GATE_INIT, awake = GATE_INIT;

static int upper_handle(HttpRequest *req, Err *err) {
    char piece[5000];
    ssize_t n;
    int r = http_body_begin(req, 200, "text/plain", err);

    if (r < 0)
        return r;
    while ((n = http_body_read(req, piece, sizeof(piece), err)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            piece[i] = (char)(piece[i] - 32);
        r = http_body_write(req, piece, (size_t)n, err);
        if (r < 0)
            return r;
    }
    return (int)n;
}

static int sum_handle(HttpRequest *req, Err *err) {
    char piece[60000], text[64];
    size_t total = 0;
    ssize_t n;

    while ((n = http_body_read(req, piece, sizeof(piece), err)) > 0) {
        if (total == 0)
            gate_add(&asleep);
        total += (size_t)n;
    }
    gate_add(&worked);
    if (n < 0)
        return (int)n;
    snprintf(text, sizeof(text), "%zu %s", total,
             http_header(req, "X-Name") ? http_header(req, "X-Name") : "-");
    http_reply_text(req, 200, text);
    return 0;
}

/* Reads the body when it is told to. */
static int late_handle(HttpRequest *req, Err *err) {
    gate_add(&asleep);
    gate_wait(&awake, 1);
    return sum_handle(req, err);
}

/* Answers without a look at the body. */
static int refuse_handle(HttpRequest *req, Err *err) {
    (void)req;
    return err_set(err, ERR_FORBIDDEN, "not you");
}

static int broken_handle(HttpRequest *req, Err *err) {
    int r = http_body_begin(req, 200, "text/plain", err);

    if (r >= 0)
        r = http_body_write(req, "some", 4, err);
    return r < 0 ? r : err_set(err, ERR_IO, "the disk failed");
}

/* Writes until it cannot. */
static int flood_handle(HttpRequest *req, Err *err) {
    static const char piece[65536];
    int r = http_body_begin(req, 200, "text/plain", err);

    gate_add(&asleep);
    while (r >= 0)
        r = http_body_write(req, piece, sizeof(piece), err);
    gate_add(&worked);
    return r;
}

static int fixed(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_text(req, 200, "fixed");
    return 0;
}

static const HttpRoute table[] = {
    {.method = HTTP_GET, .path = "/fixed", .handle = fixed},
    {.method = HTTP_POST,
     .path = "/upper",
     .handle = upper_handle,
     .mode = HTTP_THREADED,
     .max_body = UINT64_MAX},
    {.method = HTTP_POST,
     .path = "/sum",
     .handle = sum_handle,
     .mode = HTTP_THREADED,
     .max_body = UINT64_MAX},
    {.method = HTTP_PUT, .path = "/sum", .handle = sum_handle, .mode = HTTP_THREADED, .max_body = 1000},
    {.method = HTTP_POST,
     .path = "/refuse",
     .handle = refuse_handle,
     .mode = HTTP_THREADED,
     .max_body = UINT64_MAX},
    {.method = HTTP_POST,
     .path = "/late",
     .handle = late_handle,
     .mode = HTTP_THREADED,
     .max_body = UINT64_MAX},
    {.method = HTTP_GET, .path = "/broken", .handle = broken_handle, .mode = HTTP_THREADED},
    {.method = HTTP_GET, .path = "/flood", .handle = flood_handle, .mode = HTTP_THREADED},
    {.method = HTTP_GET, .path = "/worker", .handle = fixed, .mode = HTTP_THREADED},
    {0},
};

static int setup(void **state) {
    gate_reset(&asleep);
    gate_reset(&worked);
    gate_reset(&awake);
    *state = server_new_for(table);
    return 0;
}

static int teardown(void **state) {
    http_server_stop(*state, US_PER_S);
    return 0;
}

#define REQUEST(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static char *letters(size_t len) {
    char *data = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + i % 26);
    data[len] = '\0';
    return data;
}

static void a_worker_answers(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;

    for (int i = 0; i < 20; i++) {
        assert_int_equal(get(c, "/worker", &a), 200);
        assert_string_equal(a.data, "fixed");
    }
    talloc_free(c);
}

static void a_worker_reads_a_body_of_any_size(void **state) {
    static const size_t sizes[] = {0, 5, 200 * 1024, 30 * 1024 * 1024};
    HttpClient *c = client_of(*state);

    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        _cleanup_free_ char *data = letters(sizes[i]);
        HttpCall call = {.method = "POST",
                         .path = "/sum",
                         .body = data,
                         .body_len = sizes[i],
                         .headers = (const char *[]){"X-Name: me", NULL}};
        char expected[32];

        snprintf(expected, sizeof(expected), "%zu me", sizes[i]);
        assert_int_equal(call_of(c, &call), 200);
        assert_string_equal(call.answer.data, expected);
        buf_done(&call.answer);
    }
    talloc_free(c);
}

static void a_worker_writes_while_it_reads(void **state) {
    static const size_t sizes[] = {0, 10, 300 * 1024};
    HttpClient *c = client_of(*state);

    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        _cleanup_free_ char *data = letters(sizes[i]);
        HttpCall call = {.method = "POST", .path = "/upper", .body = data, .body_len = sizes[i]};

        assert_int_equal(call_of(c, &call), 200);
        assert_int_equal(call.answer.len, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(call.answer.data[k], data[k] - 32);
        buf_done(&call.answer);
    }
    talloc_free(c);
}

static void a_chunked_body_reaches_a_worker(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, "POST /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 2000; i++)
        raw_send(fd, "100\r\n"
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n");
    raw_send(fd, "0\r\n\r\n");
    assert_true(raw_read(fd, "\r\n\r\n512000 -", &a));
    raw_send(fd, REQUEST("/fixed"));
    assert_true(raw_read(fd, "\r\n\r\nfixed", &a));
    close(fd);
}

static void a_worker_may_refuse_before_the_body(void **state) {
    HttpClient *c = client_of(*state);
    size_t len = 20 * 1024 * 1024;
    _cleanup_free_ char *data = letters(len);
    HttpCall call = {.method = "POST", .path = "/refuse", .body = data, .body_len = len};

    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_of(c, &call), 403);
        assert_contains(&call.answer, "not you");
    }
    call.body_len = 10;
    assert_int_equal(call_of(c, &call), 403);
    buf_done(&call.answer);
    talloc_free(c);
}

static void a_worker_hears_of_a_body_over_its_limit(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, "PUT /sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++)
        raw_send(fd, "20\r\n0123456789abcdef0123456789abcdef\r\n");
    assert_true(raw_read(fd, "HTTP/1.1 413 ", &a));
    close(fd);
}

static void a_worker_hears_of_a_peer_that_leaves(void **state) {
    int fd = raw_connect(*state);

    raw_send(fd, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc");
    gate_wait(&asleep, 1);
    close(fd);
    gate_wait(&worked, 1);
    fd = raw_connect(*state);
    raw_send(fd, REQUEST("/flood"));
    gate_wait(&asleep, 2);
    close(fd);
    gate_wait(&worked, 2);
}

/* More than the ring holds, so that the connection sleeps when its end comes. */
static void a_worker_that_is_late_hears_of_a_peer_that_has_left(void **state) {
    _cleanup_free_ char *data = letters(300 * 1024);
    int fd = raw_connect(*state);

    raw_send(fd, "POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    raw_send(fd, data);
    gate_wait(&asleep, 1);
    close(fd);
    gate_add(&awake);
    gate_wait(&worked, 1);
}

static void an_answer_that_breaks_is_not_taken_for_whole(void **state) {
    HttpClient *c = client_of(*state);
    HttpCall call = {.method = "GET", .path = "/broken", .timeout_us = 20 * US_PER_S};
    Err err;

    assert_int_equal(http_client_call(c, &call, &err), -ERR_IO);
    buf_done(&call.answer);
    talloc_free(c);
}

static void a_slow_reader_holds_a_worker_only_for_the_idle_time(void **state) {
    HttpServerOptions o = {.idle_timeout_us = 100 * US_PER_MS};
    HttpServer *s = server_of(o, table);
    int fd = raw_connect(s);

    (void)state;
    raw_send(fd, REQUEST("/flood"));
    gate_wait(&worked, 1);
    close(fd);
    http_server_stop(s, US_PER_S);
}

static void *call_worker(void *arg) {
    HttpClient *c = client_of(arg);

    for (int i = 0; i < 20; i++)
        assert_int_equal(get(c, i % 2 ? "/worker" : "/fixed", NULL), 200);
    talloc_free(c);
    return NULL;
}

static void more_calls_than_workers_wait_their_turn(void **state) {
    HttpServerOptions o = {.max_workers = 2};
    HttpServer *s = server_of(o, table);
    pthread_t threads[8];

    (void)state;
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_worker, s), 0);
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
    http_server_stop(s, US_PER_S);
}

static void stopping_does_not_wait_for_ever(void **state) {
    HttpServer *s = server_new_for(table);
    int upload = raw_connect(s), flood = raw_connect(s), half = raw_connect(s);

    (void)state;
    raw_send(upload, "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc");
    raw_send(flood, REQUEST("/flood"));
    raw_send(half, "GET /fixed HTT");
    gate_wait(&asleep, 2);
    http_server_stop(s, 50 * US_PER_MS);
    assert_int_equal(worked.count, 2);
    close(upload);
    close(flood);
    close(half);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_worker_answers),
        TEST(a_worker_reads_a_body_of_any_size),
        TEST(a_worker_writes_while_it_reads),
        TEST(a_chunked_body_reaches_a_worker),
        TEST(a_worker_may_refuse_before_the_body),
        TEST(a_worker_hears_of_a_body_over_its_limit),
        TEST(a_worker_hears_of_a_peer_that_leaves),
        TEST(a_worker_that_is_late_hears_of_a_peer_that_has_left),
        TEST(an_answer_that_breaks_is_not_taken_for_whole),
        TEST(a_slow_reader_holds_a_worker_only_for_the_idle_time),
        TEST(more_calls_than_workers_wait_their_turn),
        TEST(stopping_does_not_wait_for_ever),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
