/* What lives longer than a call: long polls, streams, WebSockets. */
#include "support.h"

static Gate asleep = GATE_INIT, closed = GATE_INIT;

/* ---- long polls ---- */

static pthread_mutex_t poll_lock = PTHREAD_MUTEX_INITIALIZER;
static HttpWaiter *poll_waiters[64];
static size_t poll_count;
static int poll_value;
static int poll_gone;

static int64_t poll_timeout(HttpRequest *req) {
    int64_t ms = 60000;
    Err err;

    if (http_query_i64(req, "ms", 0, 600000, &ms, &err) < 0)
        return 0;
    return ms * US_PER_MS;
}

/* Answers when poll_value is not 0, at the deadline otherwise. */
static int poll_handle(HttpRequest *req, Err *err) {
    char text[32];
    int value;

    (void)err;
    pthread_mutex_lock(&poll_lock);
    value = poll_value;
    if (!value && !http_timed_out(req))
        poll_waiters[poll_count++] = http_wait(req, clock_mono() + poll_timeout(req));
    poll_gone += http_peer_gone(req);
    pthread_mutex_unlock(&poll_lock);
    if (value || http_timed_out(req)) {
        snprintf(text, sizeof(text), value ? "value %d" : "timeout", value);
        http_reply_text(req, 200, text);
        return 0;
    }
    gate_add(&asleep);
    return 0;
}

/* Wakes all that wait, having set the value. */
static void poll_wake(int value) {
    pthread_mutex_lock(&poll_lock);
    poll_value = value;
    for (size_t i = 0; i < poll_count; i++) {
        http_waiter_wake(poll_waiters[i]);
        http_waiter_wake(poll_waiters[i]);
        http_waiter_unref(poll_waiters[i]);
    }
    poll_count = 0;
    pthread_mutex_unlock(&poll_lock);
}

/* ---- a source: numbers, as many as there are ---- */

typedef struct Numbers {
    atomic_int available;
    int given;
    int end; /* after so many */
    bool sse;
    size_t padding;
    HttpStream *_Atomic stream;
    atomic_size_t total;
} Numbers;

static Numbers numbers;

static int numbers_read(void *state, Buf *out, size_t max) {
    Numbers *n = state;

    while (n->given < atomic_load(&n->available) && out->len < max) {
        char text[32];

        snprintf(text, sizeof(text), "%d", n->given);
        if (n->sse)
            http_sse_add(out, n->given, "n", text, strlen(text));
        else
            buf_addf(out, "%s\n", text);
        for (size_t i = 0; i < n->padding; i++)
            buf_addc(out, 'p');
        n->given++;
        if (n->given == n->end) {
            atomic_store(&n->total, (size_t)n->given);
            return -1;
        }
    }
    atomic_store(&n->total, (size_t)n->given);
    return 0;
}

static void numbers_close(void *state) {
    atomic_store(&((Numbers *)state)->stream, NULL);
    gate_add(&closed);
}

static void numbers_attach(void *state, HttpStream *stream) {
    atomic_store(&((Numbers *)state)->stream, stream);
    gate_add(&asleep);
}

static const HttpSource numbers_source = {numbers_read, numbers_close};

static void numbers_reset(int available, int end, size_t padding) {
    gate_reset(&asleep);
    gate_reset(&closed);
    numbers = (Numbers){.end = end, .padding = padding};
    atomic_store(&numbers.available, available);
}

static void numbers_add(int count) {
    atomic_fetch_add(&numbers.available, count);
    http_stream_wake(atomic_load(&numbers.stream));
}

static int64_t keepalive_of(HttpRequest *req) {
    int64_t ms = 0;
    Err err;

    return http_query_i64(req, "keepalive", 0, 600000, &ms, &err) < 0 ? 0 : ms * US_PER_MS;
}

static int sse_handle(HttpRequest *req, Err *err) {
    (void)err;
    numbers.sse = true;
    numbers.given = (int)http_sse_last_id(req, -1) + 1;
    http_reply_stream(req, "text/event-stream", &numbers_source, &numbers, numbers_attach, keepalive_of(req));
    return 0;
}

static int text_handle(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_stream(req, "text/plain", &numbers_source, &numbers, numbers_attach, keepalive_of(req));
    return 0;
}

static int ws_handle(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_websocket(req, &numbers_source, &numbers, numbers_attach, keepalive_of(req));
    return 0;
}

static int fixed(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_text(req, 200, "fixed");
    return 0;
}

static const HttpRoute table[] = {
    {.method = HTTP_GET, .path = "/fixed", .handle = fixed},
    {.method = HTTP_GET, .path = "/poll", .handle = poll_handle},
    {.method = HTTP_GET, .path = "/sse", .handle = sse_handle},
    {.method = HTTP_GET, .path = "/text", .handle = text_handle},
    {.method = HTTP_GET, .path = "/ws", .handle = ws_handle},
    {0},
};

static int setup(void **state) {
    poll_value = 0;
    poll_count = 0;
    poll_gone = 0;
    numbers_reset(0, 0, 0);
    *state = server_new_for(table);
    return 0;
}

static int teardown(void **state) {
    http_server_stop(*state, US_PER_S);
    poll_wake(1);
    return 0;
}

#define REQUEST(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- the tests of long polls ---- */

static void a_long_poll_wakes(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, REQUEST("/poll"));
    gate_wait(&asleep, 1);
    poll_wake(0); /* for nothing: it sleeps again */
    gate_wait(&asleep, 2);
    poll_wake(7);
    assert_true(raw_read(fd, "value 7", &a));
    poll_wake(0);
    raw_send(fd, REQUEST("/fixed")); /* the connection is kept */
    assert_true(raw_read(fd, "\r\n\r\nfixed", &a));
    close(fd);
}

static void a_long_poll_ends_at_its_deadline(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;

    assert_int_equal(get(c, "/poll?ms=30", &a), 200);
    assert_string_equal(a.data, "timeout");
    assert_int_equal(get(c, "/poll?ms=0", &a), 200);
    assert_string_equal(a.data, "timeout");
    talloc_free(c);
}

static void a_peer_that_left_is_noticed_before_it_is_given_something(void **state) {
    int fd = raw_connect(*state);
    int gone = 0;

    raw_send(fd, REQUEST("/poll"));
    gate_wait(&asleep, 1);
    close(fd);
    for (int i = 0; i < 1000 && !gone; i++) {
        gate_reset(&asleep);
        poll_wake(0);
        gate_wait(&asleep, 1);
        pthread_mutex_lock(&poll_lock);
        gone = poll_gone;
        pthread_mutex_unlock(&poll_lock);
    }
    assert_true(gone >= 1);
}

static atomic_bool stop_waking;

static void *wake_always(void *arg) {
    (void)arg;
    while (!atomic_load(&stop_waking)) {
        pthread_mutex_lock(&poll_lock);
        for (size_t i = 0; i < poll_count; i++) {
            http_waiter_wake(poll_waiters[i]);
            http_waiter_unref(poll_waiters[i]);
        }
        poll_count = 0;
        pthread_mutex_unlock(&poll_lock);
    }
    return NULL;
}

/* Wakes that come before, while and after the connection is suspended, with the deadline in between. */
static void wakes_and_deadlines_may_cross(void **state) {
    HttpClient *clients[3];
    pthread_t threads[2];

    atomic_store(&stop_waking, false);
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wake_always, NULL), 0);
    for (size_t i = 0; i < ELEMENTS(clients); i++)
        clients[i] = client_of(*state);
    for (int i = 0; i < 60; i++) {
        _cleanup_buf_ Buf a = BUF_INIT;
        char path[32];

        snprintf(path, sizeof(path), "/poll?ms=%d", i % 4);
        assert_int_equal(get(clients[i % 3], path, &a), 200);
        assert_string_equal(a.data, "timeout");
    }
    atomic_store(&stop_waking, true);
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < ELEMENTS(clients); i++)
        talloc_free(clients[i]);
}

/* ---- the tests of streams ---- */

static void events_come_as_they_are_made(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, REQUEST("/sse"));
    gate_wait(&asleep, 1);
    assert_true(raw_read(fd, "\r\n\r\n", &a));
    assert_contains(&a, "Content-Type: text/event-stream\r\n");
    assert_contains(&a, "Cache-Control: no-cache\r\n");
    assert_contains(&a, "X-Request-Id: ");
    for (int i = 0; i < 5; i++) {
        char expected[64];

        numbers_add(1);
        snprintf(expected, sizeof(expected), "id: %d\nevent: n\ndata: %d\n\n", i, i);
        assert_true(raw_read(fd, expected, &a));
    }
    close(fd);
    gate_wait(&closed, 1);
}

static void a_stream_goes_on_behind_the_last_event(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    numbers_reset(10, 10, 0);
    raw_talk(*state, "GET /sse HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 7\r\n\r\n", &a);
    assert_null(strstr(a.data, "id: 7\n"));
    assert_contains(&a, "id: 8\n");
    assert_contains(&a, "id: 9\n");
    assert_true(str_ends(a.data, "\r\n0\r\n\r\n"));
    gate_wait(&closed, 1);
}

static void a_stream_of_http_1_0_has_no_chunks(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    numbers_reset(3, 3, 0);
    raw_talk(*state, "GET /text HTTP/1.0\r\n\r\n", &a);
    assert_null(strstr(a.data, "Transfer-Encoding"));
    assert_string_equal(strstr(a.data, "\r\n\r\n"), "\r\n\r\n0\n1\n2\n");
}

static void head_of_a_stream_has_no_body(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    numbers_reset(3, 3, 0);
    raw_talk(*state, "HEAD /text HTTP/1.1\r\nHost: x\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 200 ");
    assert_null(strstr(a.data, "\r\n\r\n0"));
    gate_wait(&closed, 1);
}

static int collect(void *arg, const void *data, size_t len) {
    buf_add(arg, data, len);
    return 0;
}

static void a_large_stream_comes_whole_to_our_client(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;
    HttpCall call = {.method = "GET", .path = "/text", .stream = true, .on_data = collect, .arg = &a};

    numbers_reset(50000, 50000, 90);
    assert_int_equal(call_of(c, &call), 200);
    assert_int_equal(a.len, 10 * 1 + 90 * 2 + 900 * 3 + 9000 * 4 + 40000 * 5 + 50000 * 91);
    gate_wait(&closed, 1);
    talloc_free(c);
}

static void a_peer_that_does_not_read_stops_the_source(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state), small = 65536, same = 0;
    size_t before = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    numbers_reset(100000, 100000, 100);
    raw_send(fd, REQUEST("/text"));
    gate_wait(&asleep, 1);
    /* it comes to rest: nothing more is taken from the source for a while */
    for (int i = 0; i < 1000 && same < 20; i++) {
        size_t now = atomic_load(&numbers.total);

        same = now && now == before ? same + 1 : 0;
        before = now;
        poll(NULL, 0, 5);
    }
    assert_int_equal(same, 20);
    assert_true(before < 50000);
    assert_true(raw_read(fd, NULL, &a)); /* and goes on when it reads */
    assert_true(str_ends(a.data, "\r\n0\r\n\r\n"));
    close(fd);
    gate_wait(&closed, 1);
}

static void silence_is_filled(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, REQUEST("/sse?keepalive=10"));
    gate_wait(&asleep, 1);
    assert_true(raw_read(fd, ": keep-alive\n\n", &a));
    numbers_add(1);
    assert_true(raw_read(fd, "data: 0\n\n", &a));
    buf_clear(&a);
    assert_true(raw_read(fd, ": keep-alive\n\n", &a));
    close(fd);
    gate_wait(&closed, 1);
}

static void sse_lines_are_framed(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;

    (void)state;
    http_sse_add(&out, 5, "e", "a\nb\r\nc\rd", 8);
    assert_string_equal(out.data, "id: 5\nevent: e\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
    buf_clear(&out);
    http_sse_add(&out, -1, NULL, "", 0);
    assert_string_equal(out.data, "data: \n\n");
}

typedef struct Follower {
    atomic_int given;
    HttpStream *stream;
} Follower;

static atomic_int lines, read_total;

static int follower_read(void *state, Buf *out, size_t max) {
    Follower *f = state;

    (void)max;
    for (int n = atomic_load(&lines); f->given < n; f->given++) {
        buf_adds(out, "x\n");
        atomic_fetch_add(&read_total, 1);
    }
    return 0;
}

static pthread_mutex_t followers_lock = PTHREAD_MUTEX_INITIALIZER;
static Follower *followers[300];
static size_t follower_count;

static void follower_close(void *state) {
    pthread_mutex_lock(&followers_lock);
    for (size_t i = 0; i < follower_count; i++)
        if (followers[i] == state)
            followers[i] = followers[--follower_count];
    pthread_mutex_unlock(&followers_lock);
    free(state);
    gate_add(&closed);
}

static void follower_attach(void *state, HttpStream *stream) {
    Follower *f = state;

    f->stream = stream;
    pthread_mutex_lock(&followers_lock);
    followers[follower_count++] = f;
    pthread_mutex_unlock(&followers_lock);
    gate_add(&asleep);
}

static int follow_handle(HttpRequest *req, Err *err) {
    static const HttpSource source = {follower_read, follower_close};

    (void)err;
    http_reply_stream(req, "text/plain", &source, calloc(1, sizeof(Follower)), follower_attach, 0);
    return 0;
}

static const HttpRoute follow_table[] = {{.method = HTTP_GET, .path = "/follow", .handle = follow_handle},
                                         {0}};

/* Every follower gets every line though wakes run together and peers come and go. */
static void many_followers_get_every_line(void **state) {
    HttpServer *s = server_new_for(follow_table);
    int fds[200];

    (void)state;
    gate_reset(&asleep);
    gate_reset(&closed);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        fds[i] = raw_connect(s);
        raw_send(fds[i], REQUEST("/follow"));
    }
    gate_wait(&asleep, ELEMENTS(fds));
    for (int n = 0; n < 500; n++) {
        atomic_fetch_add(&lines, 1);
        pthread_mutex_lock(&followers_lock);
        for (size_t i = 0; i < follower_count; i++)
            http_stream_wake(followers[i]->stream);
        pthread_mutex_unlock(&followers_lock);
        if (n % 50 == 0) {
            close(fds[n / 50]);
            fds[n / 50] = -1;
        }
    }
    for (size_t i = 10; i < ELEMENTS(fds); i++) {
        _cleanup_buf_ Buf a = BUF_INIT;
        size_t count = 0;

        assert_true(raw_read(fds[i], "\r\n\r\n", &a));
        buf_drop(&a, (size_t)(strstr(a.data, "\r\n\r\n") + 4 - a.data));
        while (count < 500) {
            assert_true(raw_read(fds[i], "x", &a));
            for (char *p = a.data; p < a.data + a.len; p++)
                count += *p == 'x';
            buf_clear(&a);
        }
        assert_int_equal(count, 500);
        close(fds[i]);
    }
    gate_wait(&closed, ELEMENTS(fds));
    http_server_stop(s, US_PER_S);
}

/* ---- the tests of WebSockets ---- */

#define WS_REQUEST                                                                                           \
    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"               \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static int ws_open(HttpServer *s, Buf *a) {
    int fd = raw_connect(s);
    char *end;

    raw_send(fd, WS_REQUEST);
    assert_true(raw_read(fd, "\r\n\r\n", a));
    assert_contains(a, "HTTP/1.1 101 ");
    /* the example of RFC 6455, section 1.3 */
    assert_contains(a, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    end = strstr(a->data, "\r\n\r\n") + 4;
    buf_drop(a, (size_t)(end - a->data));
    return fd;
}

/* One frame of a server, short enough for one length byte; into text. Gives the opcode. */
static int ws_frame(int fd, Buf *a, char *text) {
    int opcode;
    size_t len;

    while (a->len < 2 || a->len < 2 + (size_t)a->data[1]) {
        size_t before = a->len;
        char byte;

        if (recv(fd, &byte, 1, 0) != 1)
            return -1;
        buf_add(a, &byte, 1);
        assert_int_equal(a->len, before + 1);
    }
    opcode = a->data[0] & 15;
    assert_int_equal(a->data[0] & 0xf0, 0x80);
    len = (size_t)a->data[1];
    assert_true(len < 126);
    memcpy(text, a->data + 2, len);
    text[len] = '\0';
    buf_drop(a, 2 + len);
    return opcode;
}

static void ws_put(int fd, int opcode, const char *text) {
    char frame[140] = {(char)(0x80 | opcode), (char)(0x80 | strlen(text)), 1, 2, 3, 4};
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        frame[6 + i] = (char)(text[i] ^ frame[2 + i % 4]);
    assert_int_equal(send(fd, frame, 6 + len, MSG_NOSIGNAL), (ssize_t)(6 + len));
}

static void a_websocket_gives_messages(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    char text[128];
    int fd = ws_open(*state, &a);

    gate_wait(&asleep, 1);
    for (int i = 0; i < 3; i++) {
        char expected[16];

        numbers_add(1);
        snprintf(expected, sizeof(expected), "%d\n", i);
        assert_int_equal(ws_frame(fd, &a, text), 1);
        assert_string_equal(text, expected);
    }
    ws_put(fd, 1, "what a peer says is dropped");
    ws_put(fd, 9, "ping");
    assert_int_equal(ws_frame(fd, &a, text), 10);
    assert_string_equal(text, "ping");
    ws_put(fd, 8, "\x03\xe8");
    assert_int_equal(ws_frame(fd, &a, text), 8);
    assert_int_equal(ws_frame(fd, &a, text), -1);
    close(fd);
    gate_wait(&closed, 1);
}

static void a_websocket_ends_with_its_source(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    char text[128];
    int fd;

    numbers_reset(2, 2, 0);
    fd = ws_open(*state, &a);
    assert_int_equal(ws_frame(fd, &a, text), 1);
    assert_string_equal(text, "0\n1\n");
    assert_int_equal(ws_frame(fd, &a, text), 8);
    assert_memory_equal(text, "\x03\xe8", 2);
    assert_int_equal(ws_frame(fd, &a, text), -1);
    close(fd);
    gate_wait(&closed, 1);
}

static void a_websocket_is_pinged(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    char text[128];
    int fd = raw_connect(*state);

    raw_send(fd, "GET /ws?keepalive=10 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_true(raw_read(fd, "\r\n\r\n", &a));
    buf_drop(&a, (size_t)(strstr(a.data, "\r\n\r\n") + 4 - a.data));
    assert_int_equal(ws_frame(fd, &a, text), 9);
    close(fd);
    gate_wait(&closed, 1);
}

static void a_bad_frame_ends_a_websocket(void **state) {
    static const char *const bad[] = {"\x81\x05hello", "\xf1\x80\x01\x02\x03\x04",
                                      "\x83\x80\x01\x02\x03\x04"};

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        _cleanup_buf_ Buf a = BUF_INIT;
        char text[128];
        int fd = ws_open(*state, &a);

        raw_send(fd, bad[i]);
        while (ws_frame(fd, &a, text) >= 0) {
        }
        close(fd);
        gate_wait(&closed, (int)i + 1);
    }
}

static void a_plain_request_is_told_to_upgrade(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 426 ");
    assert_contains(&a, "Upgrade: websocket\r\n");
    gate_wait(&closed, 1);
}

/* ---- stopping ---- */

static void stopping_ends_everything_politely(void **state) {
    HttpServer *s = server_new_for(table);
    _cleanup_buf_ Buf a = BUF_INIT, b = BUF_INIT, d = BUF_INIT;
    int poll_fd = raw_connect(s), stream = raw_connect(s), idle = raw_connect(s);

    (void)state;
    raw_send(poll_fd, REQUEST("/poll"));
    gate_wait(&asleep, 1);
    raw_send(stream, REQUEST("/text"));
    gate_wait(&asleep, 2);
    http_server_stop(s, 10 * US_PER_S);
    assert_true(raw_read(poll_fd, NULL, &a));
    assert_contains(&a, "\r\n\r\ntimeout");
    assert_contains(&a, "Connection: close");
    assert_true(raw_read(stream, NULL, &b));
    assert_true(str_ends(b.data, "\r\n0\r\n\r\n"));
    assert_true(raw_read(idle, NULL, &d));
    assert_int_equal(d.len, 0);
    assert_int_equal(closed.count, 1);
    close(poll_fd);
    close(stream);
    close(idle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_long_poll_wakes),
        TEST(a_long_poll_ends_at_its_deadline),
        TEST(a_peer_that_left_is_noticed_before_it_is_given_something),
        TEST(wakes_and_deadlines_may_cross),
        TEST(events_come_as_they_are_made),
        TEST(a_stream_goes_on_behind_the_last_event),
        TEST(a_stream_of_http_1_0_has_no_chunks),
        TEST(head_of_a_stream_has_no_body),
        TEST(a_large_stream_comes_whole_to_our_client),
        TEST(a_peer_that_does_not_read_stops_the_source),
        TEST(silence_is_filled),
        TEST(sse_lines_are_framed),
        TEST(many_followers_get_every_line),
        TEST(a_websocket_gives_messages),
        TEST(a_websocket_ends_with_its_source),
        TEST(a_websocket_is_pinged),
        TEST(a_bad_frame_ends_a_websocket),
        TEST(a_plain_request_is_told_to_upgrade),
        TEST(stopping_ends_everything_politely),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
