/* Which addresses are of the world outside, and a client that speaks with no others. */
#include "http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static bool outside(const char *text) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return http_address_is_outside((struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return http_address_is_outside((struct sockaddr *)&six);
}

static void this_machine_and_its_link_are_not_outside(void **state) {
    static const char *const inside[] = {"127.0.0.1",
                                         "127.255.0.1",
                                         "0.0.0.0",
                                         "169.254.169.254",
                                         "224.0.0.1",
                                         "255.255.255.255",
                                         "::1",
                                         "::",
                                         "fe80::1",
                                         "ff02::1",
                                         "::ffff:127.0.0.1",
                                         "::127.0.0.1",
                                         "::ffff:169.254.169.254"};
    static const char *const far[] = {"192.0.2.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "::ffff:192.0.2.1"};

    for (size_t i = 0; i < ELEMENTS(inside); i++)
        if (outside(inside[i]))
            fail_msg("%s is outside", inside[i]);
    for (size_t i = 0; i < ELEMENTS(far); i++)
        if (!outside(far[i]))
            fail_msg("%s is not outside", far[i]);
}

static bool only_outside(const void *arg, const struct sockaddr *address) {
    return http_address_is_outside(address);
}

/* Whatever it is called: names are resolved first. */
static void a_guarded_client_does_not_connect(void **state) {
    static const char *const bases[] = {"http://127.0.0.1:1",  "http://localhost:1",  "http://[::1]:1",
                                        "http://2130706433:1", "https://127.0.0.1:1", "https://localhost:1"};

    for (size_t i = 0; i < ELEMENTS(bases); i++) {
        HttpCall call = {.method = "GET", .path = "/", .timeout_us = 5000000};
        HttpClient *client;
        Err err = {0};

        assert_int_equal(http_client_new(NULL, bases[i], NULL, &client, &err), 0);
        http_client_guard(client, (HttpGuard){.allow = only_outside});
        if (http_client_call(client, &call, &err) >= 0)
            fail_msg("%s: connected", bases[i]);
        if (bases[i][4] == ':' && err.code != ERR_FORBIDDEN)
            fail_msg("%s: %s", bases[i], err.msg);
        buf_done(&call.answer);
        talloc_free(client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_and_its_link_are_not_outside),
        cmocka_unit_test(a_guarded_client_does_not_connect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
