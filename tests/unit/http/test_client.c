#include "support.h"

#include "http/parser.h"
#include <sys/un.h>

/* ---- a server that says what it is told ---- */

typedef struct Script {
    int listener;
    const char *const *answers; /* one a connection, NULL-terminated; "!" closes without a word */
    Buf heard;
    pthread_t thread;
    char base[128];
} Script;

/* Whether a request is whole: the header, and a body as its Content-Length says. */
static bool request_whole(const Buf *b) {
    const char *end = b->data ? strstr(b->data, "\r\n\r\n") : NULL;
    const char *length = end ? strstr(b->data, "Content-Length: ") : NULL;
    size_t body = length && length < end ? (size_t)strtoul(length + 16, NULL, 10) : 0;

    return end && b->len >= (size_t)(end + 4 - b->data) + body;
}

static void *script_main(void *arg) {
    Script *s = arg;

    for (size_t i = 0; s->answers[i]; i++) {
        _cleanup_buf_ Buf request = BUF_INIT;
        int fd = accept(s->listener, NULL, NULL);
        const char *p = s->answers[i];

        while (!request_whole(&request)) {
            char bytes[4096];
            ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

            if (n <= 0)
                break;
            buf_add(&request, bytes, (size_t)n);
        }
        buf_add(&s->heard, buf_str(&request), request.len);
        if (*p != '!')
            raw_send(fd, p);
        if (str_after(p, "HANG"))
            (void)recv(fd, (char[1]){0}, 1, 0);
        close(fd);
    }
    return NULL;
}

static void script_start(Script *s, const char *const *answers) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);

    *s = (Script){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .answers = answers};
    assert_int_equal(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&addr, &len), 0);
    snprintf(s->base, sizeof(s->base), "http://127.0.0.1:%d", ntohs(addr.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

static void script_end(Script *s) {
    pthread_join(s->thread, NULL);
    close(s->listener);
    buf_done(&s->heard);
}

static HttpClient *client_at(const char *base, const char *token) {
    HttpClient *c = NULL;
    Err err;

    if (http_client_new(NULL, base, token, &c, &err) < 0)
        fail_msg("client: %s", err.msg);
    return c;
}

static int try_get(HttpClient *c, HttpCall *call, Err *err) {
    call->method = call->method ? call->method : "GET";
    call->path = call->path ? call->path : "/x";
    call->timeout_us = call->timeout_us ? call->timeout_us : 20 * US_PER_S;
    return http_client_call(c, call, err);
}

static void answers_of_every_framing_are_read(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 "
        "OK\r\nContent-Length: "
        "5\r\n\r\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        NULL,
    };
    Script s;
    HttpClient *c;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, "the-token");
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {0};
        Err err;

        if (try_get(c, &call, &err) < 0)
            fail_msg("%zu: %s", i, err.msg);
        assert_int_equal(call.status, 200);
        assert_string_equal(call.answer.data, "hello");
        if (i == 0)
            assert_string_equal(call.answer_type, "text/plain");
        buf_done(&call.answer);
    }
    assert_contains(&s.heard, "GET /x HTTP/1.1\r\nHost: 127.0.0.1:");
    assert_contains(&s.heard, "Authorization: Bearer the-token\r\n");
    talloc_free(c);
    script_end(&s);
}

/* A runner's lives for months. */
static void a_client_does_not_grow_with_its_calls(void **state) {
#define ONE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi"
    static const char *const answers[] = {ONE, ONE, ONE, ONE, NULL};
#undef ONE
    size_t size = 0;
    HttpClient *c;
    Script s;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, "");
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {0};
        Err err;

        assert_return_code(try_get(c, &call, &err), 0);
        buf_done(&call.answer);
        size = i ? size : talloc_total_size(c);
        assert_int_equal(talloc_total_size(c), size);
    }
    talloc_free(c);
    script_end(&s);
}

static void answers_without_a_body_end_at_the_header(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        NULL,
    };
    Script s;
    HttpClient *c;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {.method = i == 2 ? "HEAD" : "GET"};
        Err err;

        assert_int_equal(try_get(c, &call, &err), 0);
        assert_int_equal(call.answer.len, 0);
    }
    talloc_free(c);
    script_end(&s);
}

static void broken_answers_are_errors(void **state) {
    static const char *const answers[] = {
        "!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        NULL,
    };
    Script s;
    HttpClient *c;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {0};
        Err err;
        int r = try_get(c, &call, &err);

        if (r != -ERR_IO)
            fail_msg("%zu: %d", i, r);
        buf_done(&call.answer);
    }
    talloc_free(c);
    script_end(&s);
}

static void a_connection_closed_meanwhile_is_opened_anew(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
        NULL,
    };
    Script s;
    HttpClient *c;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {.method = "POST", .body = "body", .body_len = 4};
        Err err;

        if (try_get(c, &call, &err) < 0)
            fail_msg("%zu: %s", i, err.msg);
        assert_int_equal(call.answer.data[0], 'a' + (char)i);
        buf_done(&call.answer);
    }
    talloc_free(c);
    script_end(&s);
}

/* As what waits for TLS does. */
static void who_ends_without_a_word_may_want_tls(void **state) {
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx", "", NULL};
    Script s;
    HttpClient *c;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        HttpCall call = {0};
        Err err = {0};

        assert_int_equal(try_get(c, &call, &err), *answers[i] ? 0 : -ERR_IO);
        /* one that has answered before does not */
        assert_int_equal(i == 0, strstr(err.msg, "https://") != NULL);
        buf_done(&call.answer);
    }
    talloc_free(c);
    script_end(&s);
}

static void a_ca_file_must_have_a_certificate(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char path[] = "/tmp/pelton-ca-XXXXXX";
    int fd = mkstemp(path);
    const char *whole;
    Err err;

    (void)state;
    unsetenv("SSL_CERT_FILE"); /* the tester's own */
    assert_int_equal(http_trust_file(mem, "/nowhere/ca.crt", &whole, &err), -ERR_NOT_FOUND);
    assert_int_equal(http_trust_file(mem, path, &whole, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, path));
    assert_null(getenv("SSL_CERT_FILE"));
    assert_int_equal(write(fd, "x\n-----BEGIN CERTIFICATE-----\n", 30), 30);
    close(fd);
    assert_int_equal(http_trust_file(mem, path, &whole, &err), 0);
    assert_string_equal(whole, path);
    assert_string_equal(getenv("SSL_CERT_FILE"), path);
    unsetenv("SSL_CERT_FILE");
    unlink(path);
}

static void an_endless_header_is_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;
    const char *answers[2] = {NULL, NULL};
    HttpCall call = {0};
    Script s;
    HttpClient *c;
    Err err;

    (void)state;
    buf_adds(&text, "HTTP/1.1 200 OK\r\n");
    while (text.len < PARSER_HEADER_MAX)
        buf_adds(&text, "X-Filler: 0123456789012345678901234567890123456789\r\n");
    answers[0] = text.data;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    assert_int_equal(try_get(c, &call, &err), -ERR_IO);
    assert_non_null(strstr(err.msg, "header too large"));
    talloc_free(c);
    script_end(&s);
}

static void time_and_size_are_bounded(void **state) {
    static const char *const answers[] = {
        "HANG",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789",
        NULL,
    };
    HttpCall slow = {.timeout_us = 30 * US_PER_MS}, large = {.max_answer = 10};
    Script s;
    HttpClient *c;
    Err err;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    /* the script says no word of HTTP, and then hangs: "HANG" is the beginning of a status line */
    assert_int_equal(try_get(c, &slow, &err), -ERR_TIMEOUT);
    assert_int_equal(try_get(c, &large, &err), -ERR_TOO_LARGE);
    buf_done(&large.answer);
    talloc_free(c);
    script_end(&s);
}

static int stop_at_once(void *arg, const void *data, size_t len) {
    (void)data;
    (void)len;
    *(int *)arg += 1;
    return 1;
}

static void a_receiver_can_end_a_call(void **state) {
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
                                          "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", NULL};
    int calls = 0;
    HttpCall call = {.on_data = stop_at_once, .arg = &calls},
             missing = {.on_data = stop_at_once, .arg = &calls};
    Script s;
    HttpClient *c;
    Err err;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    assert_int_equal(try_get(c, &call, &err), -ERR_CANCELLED);
    assert_int_equal(calls, 1);
    /* what is not a 2xx is kept, not handed on */
    assert_int_equal(try_get(c, &missing, &err), 0);
    assert_int_equal(calls, 1);
    assert_string_equal(missing.answer.data, "abc");
    buf_done(&missing.answer);
    talloc_free(c);
    script_end(&s);
}

typedef struct Order {
    char seen[16];
    bool refuse;
} Order;

static int note_head(void *arg) {
    Order *o = arg;

    o->seen[strlen(o->seen)] = 'h';
    return o->refuse;
}

static int note_data(void *arg, const void *data, size_t len) {
    Order *o = arg;

    o->seen[strlen(o->seen)] = 'd';
    return 0;
}

static void the_head_of_an_answer_is_told_once_before_its_body(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabc",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        NULL,
    };
    static const char *const wanted[] = {"hd", "h", "", "h"};
    Script s;
    HttpClient *c;

    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        Order order = {.refuse = i == 3};
        HttpCall call = {.on_head = note_head, .on_data = note_data, .arg = &order};
        Err err;

        assert_int_equal(try_get(c, &call, &err), i == 3 ? -ERR_CANCELLED : 0);
        assert_string_equal(order.seen, wanted[i]);
        buf_done(&call.answer);
    }
    talloc_free(c);
    script_end(&s);
}

typedef struct Patience {
    HttpClient *client;
    int idle, last; /* interrupts at the last; 0: never */
} Patience;

static void note_idle(void *arg) {
    Patience *p = arg;

    if (++p->idle == p->last)
        http_client_interrupt(p->client);
}

static void silence_is_told_until_something_comes_or_the_time_is_over(void **state) {
    static const char *const answers[] = {"HANG", "HANG", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                                          NULL};
    static const int last[] = {3, 0, 1}, results[] = {-ERR_CANCELLED, -ERR_TIMEOUT, 0};
    Script s;
    HttpClient *c;
    Err err;

    script_start(&s, answers);
    c = client_at(s.base, NULL);
    for (size_t i = 0; answers[i]; i++) {
        Patience patience = {.client = c, .last = last[i]};
        HttpCall call = {.on_idle = note_idle,
                         .idle_us = i == 2 ? 60 * US_PER_S : US_PER_MS,
                         .timeout_us = i == 1 ? 50 * US_PER_MS : 60 * US_PER_S,
                         .arg = &patience};

        assert_int_equal(try_get(c, &call, &err), results[i]);
        assert_true(i == 1 ? patience.idle > 0 : patience.idle == (i == 0 ? 3 : 0));
        buf_done(&call.answer);
    }
    talloc_free(c);
    script_end(&s);
}

static void *interrupt(void *arg) {
    http_client_interrupt(arg);
    return NULL;
}

static void another_thread_can_interrupt(void **state) {
    static const char *const answers[] = {"HANG", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", NULL};
    HttpCall call = {0};
    pthread_t thread;
    Script s;
    HttpClient *c;
    Err err;

    (void)state;
    script_start(&s, answers);
    c = client_at(s.base, NULL);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, c), 0);
    assert_int_equal(try_get(c, &call, &err), -ERR_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(try_get(c, &call, &err), 0);
    assert_string_equal(call.answer.data, "ok");
    buf_done(&call.answer);
    talloc_free(c);
    script_end(&s);
}

static ssize_t letters_read(void *arg, void *buf, size_t size, Err *err) {
    size_t *left = arg;
    size_t n = MIN(MIN(size, *left), (size_t)1000);

    (void)err;
    memset(buf, 'z', n);
    *left -= n;
    return (ssize_t)n;
}

static int length_handle(HttpRequest *req, Err *err) {
    Buf out = BUF_INIT;
    size_t len;

    (void)err;
    (void)http_body(req, &len);
    buf_addf(&out, "%zu %s", len, http_header(req, "X-More"));
    http_reply_buf(req, 200, "text/plain", &out);
    return 0;
}

static atomic_int behind_bodies;

static int trailer_handle(HttpRequest *req, Err *err) {
    const char *trailer = http_trailer(req, "x-behind");
    Buf out = BUF_INIT;
    size_t len;

    (void)http_body(req, &len);
    buf_addf(&out, "%zu %s", len, trailer ? trailer : "none");
    http_reply_buf(req, 200, "text/plain", &out);
    atomic_fetch_add(&behind_bodies, 1);
    return 0;
}

static const HttpRoute table[] = {{.method = HTTP_POST, .path = "/length", .handle = length_handle},
                                  {.method = HTTP_POST, .path = "/trailer", .handle = trailer_handle},
                                  {0}};

static void a_body_can_be_streamed(void **state) {
    HttpServer *s = server_new_for(table);
    HttpClient *c = client_of(s);
    size_t left = 300000;
    HttpCall call = {.method = "POST",
                     .path = "/length",
                     .body_read = letters_read,
                     .arg = &left,
                     .body_len = left,
                     .headers = (const char *[]){"X-More: yes", NULL}};
    Err err;

    (void)state;
    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "300000 yes");
    left = 10;
    assert_int_equal(http_client_call(c, &call, &err), -ERR_INVALID);
    left = call.body_len = 10;
    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "10 yes");
    buf_done(&call.answer);
    talloc_free(c);
    http_server_stop(s, US_PER_S);
}

static const char *left_over(void *arg) {
    return *(size_t *)arg == 0 ? "X-Behind: all" : "X-Behind: too early";
}

static ssize_t letters_then_nothing(void *arg, void *buf, size_t size, Err *err) {
    size_t *left = arg;

    return *left ? letters_read(arg, buf, size, err) : err_set(err, ERR_UNSUPPORTED, "no more");
}

static void a_body_whose_length_shows_at_its_end_has_a_trailer(void **state) {
    HttpServer *s = server_new_for(table);
    HttpClient *c = client_of(s);
    size_t left = 300000;
    HttpCall call = {
        .method = "POST", .path = "/trailer", .body_read = letters_read, .trailer = left_over, .arg = &left};
    Err err;

    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "300000 all");
    assert_int_equal(call_of(c, &call), 200); /* nothing is left */
    assert_string_equal(call.answer.data, "0 all");
    left = 5000;
    call.body_read = letters_then_nothing;
    assert_int_equal(http_client_call(c, &call, &err), -ERR_UNSUPPORTED);
    buf_done(&call.answer);
    call = (HttpCall){.method = "POST", .path = "/trailer", .body = "ten bytes!", .body_len = 10};
    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "10 none");
    buf_done(&call.answer);
    talloc_free(c);
    http_server_stop(s, US_PER_S);
    assert_int_equal(behind_bodies, 3); /* the one that broke off was none */
}

static void a_unix_socket_serves_too(void **state) {
    char folder[] = "/tmp/http-test-XXXXXX", path[64], base[80];
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", NULL};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    HttpCall call = {0};
    HttpClient *c;
    Script s = {.answers = answers};
    Err err;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/sock", folder);
    snprintf(base, sizeof(base), "unix:%s", path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    s.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s.listener, 1), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, script_main, &s), 0);
    c = client_at(base, NULL);
    assert_int_equal(try_get(c, &call, &err), 0);
    assert_string_equal(call.answer.data, "ok");
    buf_done(&call.answer);
    script_end(&s);
    unlink(path);
    http_client_forget(c);
    assert_int_equal(try_get(c, &call, &err), -ERR_UNAVAILABLE);
    assert_non_null(strstr(err.msg, path));
    talloc_free(c);
    rmdir(folder);
}

static void addresses_are_checked(void **state) {
    static const char *const bad[] = {
        "",           "localhost:80", "ftp://x",       "http://", "http://h:0",  "http://h:99999",
        "http://h:x", "http://u@h",   "http://h/?q=1", "unix:",   "http://h /x", "http://h\r\nX: y"};
    static const char *const good[] = {"http://h", "http://h:80/prefix/", "http://[::1]:8080", "https://h/x",
                                       "unix:/s"};
    HttpClient *c = NULL;
    Err err;

    (void)state;
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (http_client_new(NULL, bad[i], NULL, &c, &err) != -ERR_INVALID)
            fail_msg("%s", bad[i]);
    for (size_t i = 0; i < ELEMENTS(good); i++)
        talloc_free(client_at(good[i], NULL));
    assert_int_equal(http_client_new(NULL, good[0], "a\r\nb", &c, &err), -ERR_INVALID);
    c = client_at(good[0], NULL);
    assert_int_equal(http_client_call(c, &(HttpCall){.method = "GET", .path = "/a b"}, &err), -ERR_INVALID);
    talloc_free(c);
}

static bool allow_none(const void *arg, const struct sockaddr *address) {
    (void)arg;
    (void)address;
    return false;
}

/* libcurl's way: nobody listens there, and it says so. */
static void https_is_tried(void **state) {
    HttpClient *c = client_at("https://127.0.0.1:1", "token");
    HttpCall call = {0};
    Err err;

    (void)state;
    assert_int_equal(try_get(c, &call, &err), -ERR_UNAVAILABLE);
    assert_false(call.untrusted);
    http_client_guard(c, (HttpGuard){allow_none, NULL});
    assert_int_equal(try_get(c, &call, &err), -ERR_FORBIDDEN);
    assert_non_null(strstr(err.msg, "not allowed"));
    http_client_interrupt(c);
    talloc_free(c);
}

static void statuses_are_errors(void **state) {
    static const struct {
        int status;
        const char *body, *message;
        int code;
    } cases[] = {
        {404, "{\"error\":\"NotFound\",\"message\":\"no such build\"}", "no such build", ERR_NOT_FOUND},
        {409, "{\"error\":\"stale\"}", "stale", ERR_CONFLICT},
        {400, "oops", "the server answered 400", ERR_INVALID},
        {400, "Client sent an HTTP request to an HTTPS server.\n",
         "the server answered 400: is its address https://?", ERR_INVALID},
        {401, "", "the server answered 401", ERR_UNAUTHORIZED},
        {403, "[]", "the server answered 403", ERR_FORBIDDEN},
        {413, "{}", "the server answered 413", ERR_TOO_LARGE},
        {503, "", "the server answered 503", ERR_UNAVAILABLE},
        {500, "", "the server answered 500", ERR_INTERNAL},
        {302, "", "the server answered 302: it is elsewhere; is its address https:// there?", ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        HttpCall call = {.status = cases[i].status};
        Err err;

        buf_adds(&call.answer, cases[i].body);
        assert_int_equal(http_call_check(&call, &err), -cases[i].code);
        assert_string_equal(err.msg, cases[i].message);
        buf_done(&call.answer);
    }
    assert_int_equal(http_call_check(&(HttpCall){.status = 201}, NULL), 0);
}

/* ---- the parser, with bytes that nobody chose ---- */

static int swallow(void *arg, const char *data, size_t len, Err *err) {
    (void)err;
    buf_add(arg, data, len);
    return 0;
}

/* Feeds in pieces of the given size; gives the final state, or -1 for an error. */
static int parse(const char *text, size_t len, size_t piece, Buf *body) {
    Parser p;
    Err err;
    int r = 0;

    parser_init(&p, false, swallow, body);
    for (size_t at = 0; at < len && r >= 0 && p.state != PARSER_DONE;) {
        size_t used = 0, n = MIN(piece, len - at);

        /* a copy of its own size, so that a byte too far is seen */
        _cleanup_free_ char *copy = malloc(n);

        memcpy(copy, text + at, n);
        r = parser_feed(&p, copy, n, &used, &err);
        assert_true(used <= n);
        at += used;
        assert_true(r < 0 || used == n || p.state == PARSER_DONE);
    }
    if (r >= 0)
        r = parser_end(&p, &err);
    r = r < 0 ? -1 : (int)p.state;
    parser_done(&p);
    return r;
}

static void pieces_do_not_matter(void **state) {
    static const char text[] =
        "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
        "5\r\nhello\r\n1;q\r\n \r\n00a\r\n0123456789\r\n0\r\nT: u\r\n\r\n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        _cleanup_buf_ Buf body = BUF_INIT;

        assert_int_equal(parse(text, sizeof(text) - 1, piece, &body), PARSER_DONE);
        assert_string_equal(body.data, "hello 0123456789");
    }
}

static uint32_t next_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Answers with bytes changed, left out and put twice: never a crash, and the pieces do not matter here
 * either. */
static void changed_bytes_do_no_harm(void **state) {
    static const char *const seeds[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhello, world",
        "HTTP/1.0 404 Not Found\r\nContent-Type: a/b; c=d\r\n\r\nuntil the end",
    };
    uint32_t seed = 2463534242u;

    (void)state;
    for (int round = 0; round < 30000; round++) {
        const char *from = seeds[round % 3];
        size_t len = strlen(from);
        char text[160];
        _cleanup_buf_ Buf one = BUF_INIT, two = BUF_INIT;

        memcpy(text, from, len);
        for (uint32_t k = next_random(&seed) % 4 + 1; k; k--) {
            size_t at = next_random(&seed) % len;
            uint32_t how = next_random(&seed) % 3;

            if (how == 0)
                text[at] = (char)next_random(&seed);
            else if (how == 1 && len > 2)
                memmove(text + at, text + at + 1, --len - at);
            else if (len + 1 < sizeof(text))
                memmove(text + at + 1, text + at, len++ - at);
        }
        assert_int_equal(parse(text, len, len, &one), parse(text, len, next_random(&seed) % 7 + 1, &two));
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(answers_of_every_framing_are_read),
        TEST(a_client_does_not_grow_with_its_calls),
        TEST(answers_without_a_body_end_at_the_header),
        TEST(broken_answers_are_errors),
        TEST(a_connection_closed_meanwhile_is_opened_anew),
        TEST(who_ends_without_a_word_may_want_tls),
        TEST(a_ca_file_must_have_a_certificate),
        TEST(an_endless_header_is_refused),
        TEST(time_and_size_are_bounded),
        TEST(a_receiver_can_end_a_call),
        TEST(the_head_of_an_answer_is_told_once_before_its_body),
        TEST(silence_is_told_until_something_comes_or_the_time_is_over),
        TEST(another_thread_can_interrupt),
        TEST(a_body_can_be_streamed),
        TEST(a_body_whose_length_shows_at_its_end_has_a_trailer),
        TEST(a_unix_socket_serves_too),
        TEST(addresses_are_checked),
        TEST(https_is_tried),
        TEST(statuses_are_errors),
        TEST(pieces_do_not_matter),
        TEST(changed_bytes_do_no_harm),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
