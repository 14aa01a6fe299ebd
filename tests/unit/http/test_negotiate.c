#include "support.h"

#include "http/request.h"

static void liked(const char *accept, const char *expected) {
    static const char *const types[] = {"application/json", "text/event-stream", "text/plain", NULL};
    const char *found = negotiate(accept, types);

    if (!str_eq(found, expected))
        fail_msg("\"%s\": %s", accept ? accept : "(null)", found ? found : "none");
}

static void the_heaviest_weight_wins(void **state) {
    (void)state;
    liked("text/event-stream;q=0.1, text/plain", "text/plain");
    liked("text/plain;q=0.1, text/event-stream", "text/event-stream");
    liked("text/plain;q=0.899,text/event-stream;q=0.9", "text/event-stream");
    liked("text/plain ; charset=utf-8 ; q=0.4, application/json;Q=0.5", "application/json");
    liked("text/*;q=0.5, text/plain;q=0.1", "text/event-stream");
    liked("text/plain;q=1.000, */*;q=1", "text/plain");
}

static void a_weight_of_zero_is_none(void **state) {
    (void)state;
    liked("application/json;q=0, */*", "text/event-stream");
    liked("application/json;q=0.000, text/*;q=0", NULL);
    liked("*/*;q=0", NULL);
}

static void of_the_same_weight_the_exact_one_wins_then_the_first(void **state) {
    (void)state;
    liked("*/*, text/plain", "text/plain");
    liked("*/*, text/*", "text/event-stream");
    liked("application/json, text/plain, */*", "application/json");
    liked("TEXT/Plain, application/json", "text/plain");
    liked("*/*", "application/json");
}

static void what_is_not_a_header_of_types_likes_nothing(void **state) {
    (void)state;
    liked(NULL, NULL);
    liked("", NULL);
    liked(" , ,", NULL);
    liked("text/html", NULL);
    liked("text", NULL);
    liked("text/plainer, text/plai, */, /*, ;q=1", NULL);
}

static void a_weight_that_is_none_counts_for_nothing(void **state) {
    (void)state;
    liked("text/plain;q=, application/json;q=0.9", "text/plain");
    liked("text/plain;q=x, application/json;q=0.9", "text/plain");
    liked("text/plain;q=99999999999999999999, application/json", "text/plain");
    liked("text/plain;q=0.99999999999999999999, application/json", "application/json");
    liked("text/plain;quality=0, application/json;q=0.9", "text/plain");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heaviest_weight_wins),
        cmocka_unit_test(a_weight_of_zero_is_none),
        cmocka_unit_test(of_the_same_weight_the_exact_one_wins_then_the_first),
        cmocka_unit_test(what_is_not_a_header_of_types_likes_nothing),
        cmocka_unit_test(a_weight_that_is_none_counts_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
