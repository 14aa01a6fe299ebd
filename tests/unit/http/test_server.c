#include "support.h"

#include <sys/resource.h>

static int fixed(HttpRequest *req, Err *err) {
    (void)err;
    http_reply(req, 200, "application/json", "{\"ok\":true}", 11);
    return 0;
}

static int echo(HttpRequest *req, Err *err) {
    size_t len;
    const char *body = http_body(req, &len);

    (void)err;
    http_reply(req, 200, "application/octet-stream", body, len);
    return 0;
}

static int params(HttpRequest *req, Err *err) {
    Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    int64_t n = -1;
    bool b = false;
    int r = http_query_i64(req, "n", 0, 100, &n, err);

    if (r >= 0)
        r = http_query_bool(req, "b", &b, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_str(&w, "id", http_param(req, "id"));
    jw_str(&w, "rest", http_param(req, "rest"));
    jw_str(&w, "none", http_param(req, "none"));
    jw_str(&w, "q", http_query(req, "q"));
    jw_int(&w, "n", n);
    jw_bool(&w, "b", b);
    jw_str(&w, "url", http_url(req));
    jw_str(&w, "query", http_query_string(req));
    jw_str(&w, "peer", http_peer(req));
    jw_str(&w, "cookie", http_cookie(req, "session"));
    jw_str(&w, "credential", http_credential(req));
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int number(HttpRequest *req, Err *err) {
    int64_t id;
    int r = http_param_id(req, "id", &id, err);

    if (r >= 0)
        http_reply_text(req, 200, "number");
    return r;
}

static int json(HttpRequest *req, Err *err) {
    json_t *body;
    const char *name;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_get_str(body, "name", &name, err);
    if (r >= 0)
        http_reply_text(req, 201, name);
    return r;
}

static int failing(HttpRequest *req, Err *err) {
    (void)req;
    return err_set(err, ERR_CONFLICT, "the build is \"finished\"");
}

static int silent(HttpRequest *req, Err *err) {
    (void)req;
    (void)err;
    return 0;
}

static int hop(HttpRequest *req, Err *err) {
    (void)err;
    http_add_header(req, "X-Evil", "a\r\nSet-Cookie: b");
    http_reply_redirect(req, 302, "/fixed");
    return 0;
}

static int principal(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_text(req, 200, http_principal(req));
    return 0;
}

static int file(HttpRequest *req, Err *err) {
    FILE *f = tmpfile();

    (void)err;
    for (int i = 0; i < 10; i++)
        fputs("0123456789", f);
    fflush(f);
    http_reply_file(req, dup(fileno(f)), 100, "text/plain", "tag1");
    fclose(f);
    return 0;
}

static int empty_file(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_file(req, open("/dev/null", O_RDONLY | O_CLOEXEC), 0, "text/plain", NULL);
    return 0;
}

static const char *own_error(HttpRequest *req, int status, const Err *err, Buf *out) {
    (void)req;
    buf_addf(out, "%d!%s", status, err->msg);
    return "text/plain";
}

static const HttpFamily own_family = {.name = "own", .error_body = own_error};

/* STREAMED: counts, and refuses an 'x' */
typedef struct Count {
    size_t bytes, pieces, largest;
} Count;

static int count_begin(HttpRequest *req, Err *err) {
    if (http_query(req, "refuse"))
        return err_set(err, ERR_CONFLICT, "refused at the beginning");
    http_set_data(req, mem_new(http_mem(req), Count));
    return 0;
}

static int count_body(HttpRequest *req, const void *data, size_t len, Err *err) {
    Count *c = http_data(req);

    if (memchr(data, 'x', len))
        return err_set(err, ERR_INVALID, "an x");
    c->bytes += len;
    c->pieces++;
    c->largest = MAX(c->largest, len);
    return 0;
}

static int count_end(HttpRequest *req, Err *err) {
    Count *c = http_data(req);
    Buf out = BUF_INIT;

    (void)err;
    buf_addf(&out, "%zu", c->bytes);
    http_reply_buf(req, 200, "text/plain", &out);
    return 0;
}

static const HttpRoute table[] = {
    {.method = HTTP_GET, .path = "/fixed", .handle = fixed},
    {.method = HTTP_POST, .path = "/echo", .handle = echo},
    {.method = HTTP_PUT, .path = "/echo", .handle = echo, .max_body = 10},
    {.method = HTTP_GET, .path = "/params/{id}/{rest*}", .handle = params},
    {.method = HTTP_GET, .path = "/number/{id}", .handle = number},
    {.method = HTTP_POST, .path = "/json", .handle = json, .accept = "application/json"},
    {.method = HTTP_GET, .path = "/failing", .handle = failing},
    {.method = HTTP_GET, .path = "/own", .handle = failing, .family = &own_family},
    {.method = HTTP_GET, .path = "/silent", .handle = silent},
    {.method = HTTP_GET, .path = "/hop", .handle = hop},
    {.method = HTTP_GET, .path = "/secret", .handle = principal, .roles = 1},
    {.method = HTTP_GET, .path = "/file", .handle = file},
    {.method = HTTP_GET, .path = "/empty-file", .handle = empty_file},
    {.method = HTTP_POST,
     .path = "/count",
     .handle = count_end,
     .mode = HTTP_STREAMED,
     .begin = count_begin,
     .body = count_body,
     .max_body = UINT64_MAX},
    {0},
};

static int authorize(void *arg, HttpRequest *req, const HttpRoute *route, Err *err) {
    const char *token = http_credential(req);

    (void)arg;
    (void)route;
    if (!token)
        return err_set(err, ERR_UNAUTHORIZED, "no token");
    if (!str_eq(token, "good"))
        return err_set(err, ERR_FORBIDDEN, "a bad token");
    http_set_principal(req, "alice");
    return 0;
}

static int setup(void **state) {
    *state = server_of((HttpServerOptions){.authorize = authorize}, table);
    return 0;
}

static int teardown(void **state) {
    http_server_stop(*state, US_PER_S);
    return 0;
}

static void a_call_is_answered_and_the_connection_kept(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;

    for (int i = 0; i < 5; i++) {
        assert_int_equal(get(c, "/fixed", &a), 200);
        assert_string_equal(a.data, "{\"ok\":true}");
    }
    talloc_free(c);
}

static void every_answer_has_an_id_and_is_not_sniffed(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "GET /fixed HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: my-id.1\r\n\r\n",
             &a);
    assert_contains(&a, "X-Request-Id: my-id.1\r\n");
    assert_contains(&a, "X-Content-Type-Options: nosniff\r\n");
    assert_contains(&a, "Content-Type: application/json\r\n");
    raw_talk(*state, "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: a b\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 404 ");
    assert_contains(&a, "X-Request-Id: ");
    assert_null(strstr(a.data, "a b"));
}

static void paths_queries_cookies_and_credentials_are_read(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state,
             "GET /params/a%20b%2Fc/d/e%3Ff?q=1+2%263&n=42&b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Cookie: other=1; session=abc ; z=2\r\nAuthorization: Basic dXNlcjpwYTpzcw==\r\n\r\n",
             &a);
    assert_contains(&a, "\"id\":\"a b/c\"");
    assert_contains(&a, "\"rest\":\"d/e?f\"");
    assert_contains(&a, "\"none\":\"\"");
    assert_contains(&a, "\"q\":\"1 2&3\"");
    assert_contains(&a, "\"n\":42,\"b\":true");
    assert_contains(&a, "\"url\":\"/params/a%20b%2Fc/d/e%3Ff\"");
    assert_contains(&a, "\"query\":\"q=1+2%263&n=42&b\"");
    assert_contains(&a, "\"peer\":\"127.0.0.1\"");
    assert_contains(&a, "\"cookie\":\"abc\"");
    assert_contains(&a, "\"credential\":\"pa:ss\"");
    raw_talk(*state, "GET http://host/params/1/2 HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "\"url\":\"/params/1/2\"");
    assert_contains(&a, "\"q\":null");
}

static void bad_values_are_refused(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;

    assert_int_equal(get(c, "/params/1/2?n=101", &a), 400);
    assert_contains(&a, "expected a number from 0 to 100");
    assert_int_equal(get(c, "/params/1/2?b=perhaps", &a), 400);
    assert_int_equal(get(c, "/params/%00/2", &a), 400);
    assert_int_equal(get(c, "/params/%zz/2", &a), 400);
    assert_int_equal(get(c, "/number/12", &a), 200);
    assert_int_equal(get(c, "/number/0", &a), 404);
    assert_int_equal(get(c, "/number/99999999999999999999", &a), 404);
    assert_int_equal(get(c, "/number/1x", &a), 404);
    talloc_free(c);
}

static void errors_are_json_of_the_family(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT;
    _cleanup_json_ json_t *body = NULL;
    Err err;

    assert_int_equal(get(c, "/failing", &a), 409);
    assert_int_equal(json_read(a.data, a.len, &body, &err), 0);
    assert_string_equal(json_string_value(json_object_get(body, "error")), "Conflict");
    assert_string_equal(json_string_value(json_object_get(body, "message")), "the build is \"finished\"");
    assert_true(json_is_object(json_object_get(body, "details")));
    assert_true(json_is_array(json_object_get(body, "suggestions")));
    assert_true(json_is_string(json_object_get(body, "timestamp")));
    assert_int_equal(get(c, "/own", &a), 409);
    assert_string_equal(a.data, "409!the build is \"finished\"");
    assert_int_equal(get(c, "/silent", &a), 500);
    assert_int_equal(get(c, "/none", &a), 404);
    assert_contains(&a, "\"error\":\"NotFound\"");
    talloc_free(c);
}

static void methods_are_told(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "DELETE /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 405 ");
    assert_contains(&a, "Allow: POST, PUT, OPTIONS\r\n");
    assert_contains(&a, "MethodNotAllowed");
    raw_talk(*state, "OPTIONS /fixed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 204 ");
    assert_contains(&a, "Allow: GET, HEAD, OPTIONS\r\n");
    raw_talk(*state, "BREW /fixed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 405 ");
    raw_talk(*state, "OPTIONS /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 404 ");
}

static void head_is_answered_from_get(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "HEAD /fixed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 200 ");
    assert_contains(&a, "Content-Length: 11\r\n");
    assert_string_equal(strstr(a.data, "\r\n\r\n"), "\r\n\r\n");
}

static void header_values_cannot_begin_a_line(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "GET /hop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 302 ");
    assert_contains(&a, "Location: /fixed\r\n");
    assert_null(strstr(a.data, "\nSet-Cookie"));
}

static void roles_need_a_credential(void **state) {
    HttpClient *c = client_of(*state);
    HttpCall call = {.method = "GET", .path = "/secret"};
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state, "GET /secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 401 ");
    assert_contains(&a, "WWW-Authenticate: Bearer");
    assert_contains(&a, "\"error\":\"Unauthorized\"");
    call.headers = (const char *[]){"Authorization: Bearer bad", NULL};
    assert_int_equal(call_of(c, &call), 403);
    call.headers = (const char *[]){"Authorization: Bearer good", NULL};
    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "alice");
    buf_done(&call.answer);
    talloc_free(c);
}

/* ---- bodies ---- */

static char *bytes_of(size_t len) {
    char *data = malloc(len);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + i % 23);
    return data;
}

static void a_body_comes_whole(void **state) {
    HttpClient *c = client_of(*state);
    size_t sizes[] = {0, 1, 1000, 16384, 16385, 100000, 1024 * 1024};

    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        _cleanup_free_ char *data = bytes_of(sizes[i]);
        HttpCall call = {.method = "POST", .path = "/echo", .body = data, .body_len = sizes[i]};

        assert_int_equal(call_of(c, &call), 200);
        assert_int_equal(call.answer.len, sizes[i]);
        if (sizes[i])
            assert_memory_equal(call.answer.data, data, sizes[i]);
        buf_done(&call.answer);
    }
    talloc_free(c);
}

static void a_chunked_body_comes_whole(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;

    raw_talk(*state,
             "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
             "4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\nTrailer: 1\r\n\r\n",
             &a);
    assert_contains(&a, "\r\n\r\nWikipedia ");
}

static void a_body_over_the_limit_is_refused(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    HttpClient *c = client_of(*state);
    _cleanup_free_ char *data = bytes_of(1024 * 1024 + 1);
    HttpCall call = {.method = "POST", .path = "/echo", .body = data, .body_len = 1024 * 1024 + 1};

    /* declared: at once, though not a byte of it was sent */
    raw_talk(*state, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", &a);
    assert_contains(&a, "HTTP/1.1 413 ");
    assert_contains(&a, "PayloadTooLarge");
    assert_contains(&a, "X-Request-Id");
    raw_talk(*state,
             "PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n\r\nhello world",
             &a);
    assert_contains(&a, "HTTP/1.1 413 ");
    /* not declared: while it is read */
    raw_talk(*state,
             "PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n", &a);
    assert_contains(&a, "HTTP/1.1 413 ");
    /* a client that sends it all the same gets the answer and not a reset */
    assert_int_equal(call_of(c, &call), 413);
    assert_contains(&call.answer, "larger than 1048576 bytes");
    buf_done(&call.answer);
    talloc_free(c);
}

/* One that only reads when it has sent everything can send everything, and then finds the answer. */
static void a_refused_sender_is_not_reset(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    size_t len = 8 * 1024 * 1024;
    _cleanup_free_ char *data = bytes_of(len);
    int fd = raw_connect(*state);

    raw_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
    assert_true(raw_read(fd, "HTTP/1.1 413 ", &a));
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, data + at, len - at, MSG_NOSIGNAL);

        if (n < 0)
            fail_msg("%zu of %zu: %s", at, len, strerror(errno));
        at += (size_t)n;
    }
    assert_true(raw_read(fd, NULL, &a));
    close(fd);
}

static void expect_is_answered_before_the_body(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_true(raw_read(fd, "100 Continue\r\n\r\n", &a));
    raw_send(fd, "hello");
    assert_true(raw_read(fd, "\r\n\r\nhello", &a));
    close(fd);
    raw_talk(*state, "POST /none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
             &a);
    assert_contains(&a, "HTTP/1.1 404 ");
    assert_null(strstr(a.data, "100 Continue"));
}

static void the_media_type_must_fit(void **state) {
    HttpClient *c = client_of(*state);
    HttpCall call = {.method = "POST", .path = "/json", .body = "{\"name\":\"n\"}", .body_len = 12};
    static const char *const good[] = {"application/json", "Application/JSON; charset=utf-8",
                                       "application/vnd.github+json"};
    static const char *const bad[] = {"text/plain", "application/jsonx", "application/x-www-form-urlencoded"};

    for (size_t i = 0; i < ELEMENTS(good); i++) {
        call.content_type = good[i];
        assert_int_equal(call_of(c, &call), 201);
        assert_string_equal(call.answer.data, "n");
    }
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        call.content_type = bad[i];
        assert_int_equal(call_of(c, &call), 415);
        assert_contains(&call.answer, "UnsupportedMediaType");
    }
    call.content_type = "application/json";
    call.body = "[1]";
    call.body_len = 3;
    assert_int_equal(call_of(c, &call), 400);
    call.body = "{\"name\":";
    call.body_len = 8;
    assert_int_equal(call_of(c, &call), 400);
    call.body_len = 0;
    assert_int_equal(call_of(c, &call), 400);
    buf_done(&call.answer);
    talloc_free(c);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    const char *one, *two, *three;

    raw_talk(
        *state,
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET /none HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree",
        &a);
    one = strstr(a.data, "\r\n\r\none");
    two = strstr(a.data, "HTTP/1.1 404");
    three = strstr(a.data, "\r\n\r\nthree");
    assert_non_null(one);
    assert_true(two > one);
    assert_true(three > two);
}

static void a_small_unwanted_body_does_not_end_the_connection(void **state) {
    _cleanup_buf_ Buf a = BUF_INIT;
    int fd = raw_connect(*state);

    raw_send(fd, "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /fixed "
                 "HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(raw_read(fd, "{\"ok\":true}", &a));
    assert_contains(&a, "HTTP/1.1 404 ");
    close(fd);
}

static void what_is_ambiguous_is_refused(void **state) {
    static const char *const bad[] = {
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        "GET /fixed HTTP/1.1\r\n\r\n",
    };
    _cleanup_buf_ Buf a = BUF_INIT;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        raw_talk(*state, bad[i], &a);
        if (!strstr(buf_str(&a), "HTTP/1.1 400 "))
            fail_msg("request %zu: %s", i, buf_str(&a));
    }
}

static void garbage_ends_the_connection_only(void **state) {
    HttpClient *c = client_of(*state);
    static const char *const junk[] = {"\x16\x03\x01\x02\x00\x01", "GET\r\n\r\n",
                                       "\r\n\r\n\r\n\r\nxx\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                                       "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n"};

    for (size_t i = 0; i < ELEMENTS(junk); i++) {
        int fd = raw_connect(*state);

        raw_send(fd, junk[i]);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    assert_int_equal(get(c, "/fixed", NULL), 200);
    talloc_free(c);
}

static void a_huge_header_is_refused(void **state) {
    HttpClient *c = client_of(*state);
    _cleanup_buf_ Buf a = BUF_INIT, request = BUF_INIT;
    size_t sizes[] = {17 * 1024, 200 * 1024};

    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        int fd = raw_connect(*state);

        buf_clear(&request);
        buf_clear(&a);
        buf_adds(&request, "GET /fixed HTTP/1.1\r\nHost: x\r\nX-Long: ");
        while (request.len < sizes[i])
            buf_addc(&request, 'a');
        buf_adds(&request, "\r\nConnection: close\r\n\r\n");
        (void)!send(fd, request.data, request.len, MSG_NOSIGNAL);
        (void)raw_read(fd, NULL, &a);
        assert_contains(&a, "HTTP/1.1 431 ");
        close(fd);
    }
    assert_int_equal(get(c, "/fixed", NULL), 200);
    talloc_free(c);
}

/* ---- STREAMED ---- */

static void a_streamed_body_may_be_large(void **state) {
    HttpClient *c = client_of(*state);
    size_t len = 20 * 1024 * 1024;
    _cleanup_free_ char *data = bytes_of(len);
    HttpCall call = {.method = "POST", .path = "/count", .body = data, .body_len = len};

    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "20971520");
    call.body_len = 0;
    assert_int_equal(call_of(c, &call), 200);
    assert_string_equal(call.answer.data, "0");
    buf_done(&call.answer);
    talloc_free(c);
}

static void a_streamed_body_can_be_refused_at_any_point(void **state) {
    HttpClient *c = client_of(*state);
    size_t len = 8 * 1024 * 1024;
    _cleanup_free_ char *data = bytes_of(len);
    HttpCall call = {.method = "POST", .path = "/count?refuse", .body = data, .body_len = len};

    assert_int_equal(call_of(c, &call), 409);
    assert_contains(&call.answer, "refused at the beginning");
    call.path = "/count";
    data[len / 4] = 'x';
    assert_int_equal(call_of(c, &call), 400);
    assert_contains(&call.answer, "an x");
    buf_done(&call.answer);
    talloc_free(c);
}

/* ---- files ---- */

typedef struct FileCase {
    const char *header, *status, *has, *body;
} FileCase;

static void files_have_ranges_and_tags(void **state) {
    static const FileCase cases[] = {
        {"X: y", "200", "ETag: \"tag1\"\r\n", NULL},
        {"Range: bytes=0-3", "206", "Content-Range: bytes 0-3/100\r\n", "0123"},
        {"Range: bytes=95-", "206", "Content-Range: bytes 95-99/100\r\n", "56789"},
        {"Range: bytes=-3", "206", "Content-Range: bytes 97-99/100\r\n", "789"},
        {"Range: bytes=98-1000", "206", "Content-Range: bytes 98-99/100\r\n", "89"},
        {"Range: bytes=-1000", "206", "Content-Range: bytes 0-99/100\r\n", NULL},
        {"Range: bytes=100-", "416", "Content-Range: bytes */100\r\n", ""},
        {"Range: bytes=-0", "416", "Content-Range: bytes */100\r\n", ""},
        {"Range: bytes=5-2", "200", "Content-Length: 100\r\n", NULL},
        {"Range: bytes=0-1,4-5", "200", "Content-Length: 100\r\n", NULL},
        {"Range: lines=0-1", "200", "Content-Length: 100\r\n", NULL},
        {"Range: bytes=0-3\r\nIf-Range: \"tag1\"", "206", "Content-Length: 4\r\n", "0123"},
        {"Range: bytes=0-3\r\nIf-Range: \"tag2\"", "200", "Content-Length: 100\r\n", NULL},
        {"If-None-Match: \"tag1\"", "304", "ETag: \"tag1\"\r\n", ""},
        {"If-None-Match: \"a\", W/\"tag1\"", "304", "ETag: \"tag1\"\r\n", ""},
        {"If-None-Match: *", "304", "ETag", ""},
        {"If-None-Match: \"tag12\"", "200", "Content-Length: 100\r\n", NULL},
    };
    _cleanup_buf_ Buf a = BUF_INIT;

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char request[256], status[32];

        snprintf(request, sizeof(request), "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n\r\n",
                 cases[i].header);
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", cases[i].status);
        raw_talk(*state, request, &a);
        assert_contains(&a, status);
        assert_contains(&a, cases[i].has);
        if (cases[i].body)
            assert_string_equal(strstr(a.data, "\r\n\r\n") + 4, cases[i].body);
    }
    raw_talk(*state, "HEAD /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "Content-Length: 100\r\n");
    raw_talk(*state, "GET /empty-file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a);
    assert_contains(&a, "Content-Length: 0\r\n");
}

/* ---- the slow, the many, the silent ---- */

static void slow_requests_are_ended(void **state) {
    HttpServerOptions o = {.idle_timeout_us = 60 * US_PER_S, .request_timeout_us = 200 * US_PER_MS};
    HttpServer *s = server_of(o, table);
    HttpClient *c = client_of(s);
    static const char *const begun[] = {
        "GET /fixed HTTP/1.1\r\nHo",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS(begun); i++) {
        int fd = raw_connect(s);
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

        raw_send(fd, begun[i]);
        /* a byte now and then keeps nothing open */
        for (int k = 0; k < DEADLINE_MS / 20 && poll(&p, 1, 20) == 0; k++)
            if (send(fd, "a", 1, MSG_NOSIGNAL) < 0)
                break;
        assert_true(poll(&p, 1, 0) > 0);
        close(fd);
    }
    assert_int_equal(get(c, "/fixed", NULL), 200);
    talloc_free(c);
    http_server_stop(s, US_PER_S);
}

static void idle_connections_are_ended(void **state) {
    HttpServerOptions o = {.idle_timeout_us = 100 * US_PER_MS, .request_timeout_us = 60 * US_PER_S};
    HttpServer *s = server_of(o, table);
    _cleanup_buf_ Buf a = BUF_INIT;
    int silent_fd = raw_connect(s), kept = raw_connect(s);

    (void)state;
    raw_send(kept, "GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(raw_read(kept, "{\"ok\":true}", &a));
    assert_true(raw_read(kept, NULL, &a));
    assert_true(raw_read(silent_fd, NULL, &a));
    close(kept);
    close(silent_fd);
    http_server_stop(s, US_PER_S);
}

static void many_silent_connections_disturb_nobody(void **state) {
    HttpServerOptions o = {.max_connections = 2000};
    HttpServer *s = server_of(o, table);
    HttpClient *c = client_of(s);
    static int fds[600];

    (void)state;
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        fds[i] = raw_connect(s);
    for (int i = 0; i < 20; i++)
        assert_int_equal(get(c, "/fixed", NULL), 200);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        close(fds[i]);
    talloc_free(c);
    http_server_stop(s, US_PER_S);
}

static void over_the_limit_a_connection_is_told(void **state) {
    HttpServerOptions o = {.max_connections = 4};
    HttpServer *s = server_of(o, table);
    _cleanup_buf_ Buf a = BUF_INIT;
    int fds[4], more;

    (void)state;
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        fds[i] = raw_connect(s);
        raw_send(fds[i], "GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n");
        buf_clear(&a);
        assert_true(raw_read(fds[i], "{\"ok\":true}", &a));
    }
    more = raw_connect(s);
    buf_clear(&a);
    assert_true(raw_read(more, "503", &a));
    close(more);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        close(fds[i]);
    http_server_stop(s, US_PER_S);
}

static void descriptors_that_run_out_do_not_end_it(void **state) {
    HttpServer *s = server_new_for(table);
    HttpClient *c = client_of(s);
    struct rlimit old, low;
    static int fds[64];
    struct timespec before, after;

    (void)state;
    assert_int_equal(get(c, "/fixed", NULL), 200);
    getrlimit(RLIMIT_NOFILE, &old);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
    }
    low = old;
    low.rlim_cur = (rlim_t)fds[ELEMENTS(fds) - 1] + 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        addr.sin_port = htons(port_of(s));
        assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
    }
    /* the kept connection still works, and nothing spins */
    for (int i = 0; i < 50; i++)
        assert_int_equal(get(c, "/fixed", NULL), 200);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    setrlimit(RLIMIT_NOFILE, &old);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        close(fds[i]);
    assert_true(after.tv_sec - before.tv_sec < 5);
    talloc_free(c);
    c = client_of(s);
    assert_int_equal(get(c, "/fixed", NULL), 200);
    talloc_free(c);
    http_server_stop(s, US_PER_S);
}

static int odd(HttpRequest *req, Err *err) {
    (void)err_set(err, ERR_UNSUPPORTED, "no such connector");
    http_reply_err_as(req, 422, err);
    return 0;
}

static const HttpRoute odd_table[] = {{.method = HTTP_GET, .path = "/odd", .handle = odd}, {0}};

static void a_line_of_the_log_says_what_was_answered(void **state) {
    HttpServer *s = server_of((HttpServerOptions){.access_log = true}, odd_table);
    FILE *log = tmpfile();
    int old = dup(STDERR_FILENO);
    _cleanup_buf_ Buf a = BUF_INIT;
    char text[512] = "";

    (void)state;
    dup2(fileno(log), STDERR_FILENO);
    raw_talk(s, "GET /odd?token=secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: rid\r\n\r\n",
             &a);
    http_server_stop(s, US_PER_S);
    dup2(old, STDERR_FILENO);
    close(old);
    rewind(log);
    assert_true(fread(text, 1, sizeof(text) - 1, log) > 0);
    fclose(log);
    assert_contains(&a, "HTTP/1.1 422 ");
    assert_contains(&a, "UnprocessableEntity");
    assert_non_null(strstr(text, "http: GET /odd 422 "));
    assert_non_null(strstr(text, " rid 127.0.0.1\n"));
    assert_null(strstr(text, "secret"));
}

static void a_bad_address_is_an_error(void **state) {
    static const char *const bad[] = {"127.0.0.1", "127.0.0.1:70000", "256.1.1.1:0", "127.0.0.1:http", ""};
    const HttpRoute *tables[] = {table, NULL};

    (void)state;
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        HttpServerOptions o = {.listen = bad[i], .threads = 1, .tables = tables};
        HttpServer *s = NULL;
        Err err;

        assert_int_equal(http_server_start(&o, &s, &err), -ERR_INVALID);
        assert_null(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_is_answered_and_the_connection_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(every_answer_has_an_id_and_is_not_sniffed, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_queries_cookies_and_credentials_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_values_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_json_of_the_family, setup, teardown),
        cmocka_unit_test_setup_teardown(methods_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(head_is_answered_from_get, setup, teardown),
        cmocka_unit_test_setup_teardown(header_values_cannot_begin_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(roles_need_a_credential, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_comes_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chunked_body_comes_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_over_the_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_sender_is_not_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(expect_is_answered_before_the_body, setup, teardown),
        cmocka_unit_test_setup_teardown(the_media_type_must_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_small_unwanted_body_does_not_end_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_ambiguous_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_ends_the_connection_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_huge_header_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_streamed_body_may_be_large, setup, teardown),
        cmocka_unit_test_setup_teardown(a_streamed_body_can_be_refused_at_any_point, setup, teardown),
        cmocka_unit_test_setup_teardown(files_have_ranges_and_tags, setup, teardown),
        cmocka_unit_test(slow_requests_are_ended),
        cmocka_unit_test(idle_connections_are_ended),
        cmocka_unit_test(many_silent_connections_disturb_nobody),
        cmocka_unit_test(over_the_limit_a_connection_is_told),
        cmocka_unit_test(descriptors_that_run_out_do_not_end_it),
        cmocka_unit_test(a_line_of_the_log_says_what_was_answered),
        cmocka_unit_test(a_bad_address_is_an_error),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
