#include "base/file.h"
#include "ingress/haconfig.h"
#include "ingress/routes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void hostile_names_are_refused(void **state) {
    static const char *const slugs[] = {"",    "-a", "a-",   "A",        "a.b", "a b", "a\nb", "../x",
                                        "a;b", "a%", "a\tb", "\xc3\xa9", "a/b", "a_b", NULL};
    static const char *const releases[] = {"", "a b", "a\nserver x", "a/b", "a;del", "a.b", NULL};
    static const char *const addresses[] = {"",
                                            "127.0.0.1",
                                            "127.0.0.1:0",
                                            "127.0.0.1:65536",
                                            "x:1",
                                            "127.0.0.1:1 check",
                                            "127.0.0.1:1\n",
                                            "1.2.3:4",
                                            "localhost:1",
                                            "127.0.0.1:+1",
                                            NULL};

    for (size_t i = 0; slugs[i]; i++)
        assert_false(route_slug_valid(slugs[i]));
    for (size_t i = 0; releases[i]; i++)
        assert_false(route_release_valid(releases[i]));
    for (size_t i = 0; addresses[i]; i++)
        assert_false(route_address_valid(addresses[i]));
    assert_false(route_slug_valid(NULL));
    assert_false(route_slug_valid("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234"));
    assert_true(route_slug_valid("my-app2"));
    assert_true(route_release_valid("0b4ff2a0-0000-4000-8000-000000000000"));
    assert_true(route_address_valid("127.0.0.1:8000"));
    assert_true(haconfig_domain_valid("apps.example.com"));
    assert_false(haconfig_domain_valid("apps..com"));
    assert_false(haconfig_domain_valid("apps.com\n"));
    assert_false(haconfig_domain_valid("Apps.com"));
    assert_false(haconfig_domain_valid("apps.com."));
}

static void networks_are_numbers_only(void **state) {
    static const char *const good[] = {"127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "2001:db8::/32"};
    static const char *const bad[] = {"",           "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8 }", "::/129",
                                      "proxy.home", "10.0.0",      "/8",        "127.0.0.1:80", "::1\n"};

    (void)state;
    for (size_t i = 0; i < ELEMENTS(good); i++)
        if (!haconfig_network_valid(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (haconfig_network_valid(bad[i]))
            fail_msg("%s", bad[i]);
}

static Routes *sample(void) {
    Routes *r = routes_new(NULL);
    RouteApp *app;

    r->listen = mem_strdup(r, "127.0.0.1:0");
    r->address = mem_strdup(r, "127.0.0.1:8081");
    r->slots = 4;
    r->generation = 7;
    routes_app_add(r, "one");
    app = routes_app_add(r, "two");
    routes_server_add(r, app, "r1", "127.0.0.1:1001")->state = ROUTE_DRAINING;
    routes_server_add(r, app, "r2", "127.0.0.1:1002")->state = ROUTE_LIVE;
    routes_server_add(r, app, "r3", "127.0.0.1:1003");
    return r;
}

static void routes_come_back_from_their_file(void **state) {
    char dir[] = "/tmp/pelton-routes-XXXXXX", path[64];
    _cleanup_talloc_ Routes *r = sample(), *again = routes_new(NULL);
    RouteOld old = {.pid = 12, .started = 345, .generation = 6};
    RouteApp *app;
    Err err;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/routes.json", dir);
    mem_append(r, r->old, r->old_count, old);
    assert_int_equal(routes_load(again, path, &err), 0);
    assert_int_equal(again->count, 0);
    assert_int_equal(routes_save(r, path, &err), 0);
    assert_int_equal(routes_load(again, path, &err), 0);
    assert_string_equal(again->address, "127.0.0.1:8081");
    assert_int_equal(again->slots, 4);
    assert_int_equal(again->generation, 7);
    assert_int_equal(again->count, 2);
    app = routes_app(again, "two");
    assert_int_equal(app->slot, 1);
    assert_int_equal(app->count, 3);
    assert_string_equal(routes_live(app)->release, "r2");
    assert_int_equal(routes_server(app, "r1")->state, ROUTE_DRAINING);
    assert_int_equal(routes_server(app, "r3")->state, ROUTE_ADDED);
    assert_int_equal(routes_server(app, "r3")->generation, 7);
    assert_int_equal(again->old_count, 1);
    assert_int_equal(again->old[0].started, 345);
    assert_int_equal(file_remove_tree(dir, &err), 0);
}

static void a_file_with_bad_names_is_refused(void **state) {
    static const char *const texts[] = {
        "{",
        "{\"apps\":[{\"slug\":\"../x\",\"slot\":0}]}",
        "{\"apps\":[{\"slug\":\"a\",\"slot\":-1}]}",
        "{\"apps\":[{\"slug\":\"a\",\"slot\":0},{\"slug\":\"b\",\"slot\":0}]}",
        "{\"apps\":[{\"slug\":\"a\",\"slot\":0,\"servers\":[{\"release\":\"x\\ny\",\"address\":\"127.0.0.1:"
        "1\","
        "\"state\":\"live\"}]}]}",
        NULL};
    char dir[] = "/tmp/pelton-routes-XXXXXX", path[64];
    Err err;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/routes.json", dir);
    for (size_t i = 0; texts[i]; i++) {
        _cleanup_talloc_ Routes *r = routes_new(NULL);

        assert_int_equal(file_write_atomic(path, texts[i], strlen(texts[i]), 0600, &err), 0);
        assert_true(routes_load(r, path, &err) < 0);
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_int_equal(file_remove_tree(dir, &err), 0);
}

static void a_slot_is_used_again(void **state) {
    _cleanup_talloc_ Routes *r = sample();

    assert_int_equal(routes_slots_needed(r), 2);
    routes_app_remove(r, "one");
    assert_null(routes_app(r, "one"));
    assert_int_equal(routes_slots_needed(r), 2);
    assert_int_equal(routes_app_add(r, "three")->slot, 0);
    assert_int_equal(routes_app_add(r, "four")->slot, 2);
}

static void the_configuration_has_live_servers_only(void **state) {
    HaConfig c = {.domain = "localhost", .threads = 1, .max_files = 1000};
    _cleanup_talloc_ Routes *r = sample();
    _cleanup_buf_ Buf text = BUF_INIT, map = BUF_INIT;

    haconfig_render(&c, r, &text);
    assert_non_null(strstr(text.data, "bind 127.0.0.1:8081\n"));
    assert_non_null(strstr(text.data, "admin.7.sock"));
    assert_non_null(
        strstr(text.data, "backend app1\n    balance roundrobin\n    server r2 127.0.0.1:1002\n"));
    assert_non_null(strstr(text.data, "backend app3\n"));
    assert_null(strstr(text.data, "backend app4\n"));
    assert_null(strstr(text.data, "server r1"));
    assert_null(strstr(text.data, "server r3"));
    assert_null(strstr(text.data, "uid "));
    haconfig_render_map(&c, r, &map);
    assert_string_equal(map.data, "one.localhost app0\ntwo.localhost app1\n");
}

static void the_digest_leaves_routes_and_generation_out(void **state) {
    HaConfig c = {.domain = "localhost", .threads = 1, .max_files = 1000};
    _cleanup_talloc_ Routes *r = sample();
    char *before = haconfig_digest(&c, r, r);

    routes_app_remove(r, "two");
    r->generation++;
    assert_string_equal(haconfig_digest(&c, r, r), before);
    c.domain = "example.com";
    assert_string_not_equal(haconfig_digest(&c, r, r), before);
    c.domain = "localhost";
    r->address = mem_strdup(r, "127.0.0.1:8082");
    assert_string_not_equal(haconfig_digest(&c, r, r), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(networks_are_numbers_only),
        cmocka_unit_test(routes_come_back_from_their_file),
        cmocka_unit_test(a_file_with_bad_names_is_refused),
        cmocka_unit_test(a_slot_is_used_again),
        cmocka_unit_test(the_configuration_has_live_servers_only),
        cmocka_unit_test(the_digest_leaves_routes_and_generation_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
