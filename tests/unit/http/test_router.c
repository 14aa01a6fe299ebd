#include "support.h"

#include "http/router.h"

static int handle(HttpRequest *req, Err *err) {
    (void)err;
    http_reply_empty(req, 204);
    return 0;
}

#define ROUTE(m, p)                                                                                          \
    { .method = HTTP_##m, .path = (p), .handle = handle }

static const HttpRoute table[] = {
    ROUTE(GET, "/"),
    ROUTE(GET, "/a"),
    ROUTE(POST, "/a"),
    ROUTE(GET, "/a/{id}"),
    ROUTE(DELETE, "/a/{id}"),
    ROUTE(POST, "/a/list"),
    ROUTE(GET, "/a/{id}/logs"),
    ROUTE(GET, "/a/list/deep/{x}/{y}"),
    ROUTE(GET, "/files/{path*}"),
    ROUTE(GET, "/files/index"),
    ROUTE(PUT, "/r/{owner}/{name}"),
    {0},
};

static Router *make(void) {
    const HttpRoute *tables[] = {table, NULL};
    Router *r = NULL;
    Err err;

    assert_int_equal(router_new(NULL, tables, &r, &err), 0);
    return r;
}

static const char *path_of(const Router *r, HttpMethod m, const char *path, RouterMatch *out) {
    return router_find(r, m, path, out) ? router_entry_route(out->entry)->path : NULL;
}

static void value_is(const RouterMatch *m, unsigned i, const char *text) {
    assert_int_equal(m->values[i].len, strlen(text));
    assert_memory_equal(m->values[i].at, text, strlen(text));
}

static void plain_segments_win_over_parameters(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    assert_string_equal(path_of(r, HTTP_GET, "/", &m), "/");
    assert_string_equal(path_of(r, HTTP_GET, "/a", &m), "/a");
    assert_string_equal(path_of(r, HTTP_POST, "/a/list", &m), "/a/list");
    assert_string_equal(path_of(r, HTTP_GET, "/a/7", &m), "/a/{id}");
    value_is(&m, 0, "7");
    assert_string_equal(path_of(r, HTTP_GET, "/files/index", &m), "/files/index");
    talloc_free(r);
}

static void the_search_goes_back_when_the_plain_way_ends(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    /* /a/list has no GET and no /logs, but {id} does */
    assert_string_equal(path_of(r, HTTP_GET, "/a/list", &m), "/a/{id}");
    value_is(&m, 0, "list");
    assert_string_equal(path_of(r, HTTP_GET, "/a/list/logs", &m), "/a/{id}/logs");
    assert_string_equal(path_of(r, HTTP_GET, "/a/list/deep/1/2", &m), "/a/list/deep/{x}/{y}");
    value_is(&m, 0, "1");
    value_is(&m, 1, "2");
    talloc_free(r);
}

static void the_rest_takes_everything(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    assert_string_equal(path_of(r, HTTP_GET, "/files/a/b/c.txt", &m), "/files/{path*}");
    value_is(&m, 0, "a/b/c.txt");
    assert_string_equal(path_of(r, HTTP_GET, "/files/index/x", &m), "/files/{path*}");
    assert_null(path_of(r, HTTP_GET, "/files", &m));
    talloc_free(r);
}

static void what_is_not_there_is_not_found(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    assert_null(path_of(r, HTTP_GET, "/b", &m));
    assert_int_equal(m.allowed, 0);
    assert_null(path_of(r, HTTP_GET, "/a/", &m));
    assert_null(path_of(r, HTTP_GET, "//a", &m));
    assert_null(path_of(r, HTTP_GET, "/a/1/logs/x", &m));
    assert_null(path_of(r, HTTP_GET, "*", &m));
    assert_null(path_of(r, HTTP_GET, "/a/1/logs/", &m));
    talloc_free(r);
}

static void other_methods_of_the_path_are_told(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    assert_null(path_of(r, HTTP_PUT, "/a/list", &m));
    assert_int_equal(m.allowed, 1u << HTTP_POST | 1u << HTTP_GET | 1u << HTTP_DELETE);
    talloc_free(r);
}

static void encoded_segments_mean_what_they_say(void **state) {
    Router *r = make();
    RouterMatch m;

    (void)state;
    assert_string_equal(path_of(r, HTTP_POST, "/a/%6cist", &m), "/a/list");
    assert_string_equal(path_of(r, HTTP_PUT, "/r/x%2Fy/z", &m), "/r/{owner}/{name}");
    value_is(&m, 0, "x%2Fy");
    assert_null(path_of(r, HTTP_POST, "/%6", &m));
    talloc_free(r);
}

static void refuses(const HttpRoute *bad) {
    const HttpRoute *tables[] = {table, bad, NULL};
    Router *r = NULL;
    Err err;

    assert_int_equal(router_new(NULL, tables, &r, &err), -ERR_INVALID);
    assert_null(r);
    assert_non_null(strstr(err.msg, bad->path));
}

static void bad_tables_are_refused(void **state) {
    (void)state;
    refuses((HttpRoute[]){ROUTE(GET, "/a"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/a/{other}"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "a"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/x//y"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/x/"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/x/{p*}/y"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/x/{p-q}"), {0}});
    refuses((HttpRoute[]){ROUTE(GET, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), {0}});
    refuses((HttpRoute[]){{.method = HTTP_GET, .path = "/nohandler"}, {0}});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_segments_win_over_parameters),
        cmocka_unit_test(the_search_goes_back_when_the_plain_way_ends),
        cmocka_unit_test(the_rest_takes_everything),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(other_methods_of_the_path_are_told),
        cmocka_unit_test(encoded_segments_mean_what_they_say),
        cmocka_unit_test(bad_tables_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
