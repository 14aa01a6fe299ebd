#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "executor/env.h"
#include <string.h>

static void a_later_value_replaces_an_earlier_one(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Env e = {.mem = mem}, over = {.mem = mem};
    const char *const *list;

    env_set(&e, "A", "1");
    env_set(&e, "AB", "2");
    env_set(&e, "A", "3");
    env_set(&over, "AB", "x=y");
    env_set(&over, "C", "");
    env_set_all(&e, &over);
    assert_string_equal(env_get(&e, "A"), "3");
    assert_string_equal(env_get(&e, "AB"), "x=y");
    assert_string_equal(env_get(&e, "C"), "");
    assert_null(env_get(&e, "B"));
    list = env_list(&e);
    assert_int_equal(e.count, 3);
    assert_null(list[3]);
}

static void a_variable_can_be_taken_away(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Env e = {.mem = mem};

    env_set(&e, "A", "1");
    env_set(&e, "AB", "2");
    env_set(&e, "C", "3");
    env_unset(&e, "A");
    env_unset(&e, "B");
    assert_null(env_get(&e, "A"));
    assert_string_equal(env_get(&e, "AB"), "2");
    assert_string_equal(env_get(&e, "C"), "3");
    assert_int_equal(e.count, 2);
}

static void names_that_cannot_be_are_left_out(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Env e = {.mem = mem};

    env_set(&e, "", "1");
    env_set(&e, "A=B", "2");
    assert_int_equal(e.count, 0);
    assert_null(env_list(&e)[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_value_replaces_an_earlier_one),
        cmocka_unit_test(a_variable_can_be_taken_away),
        cmocka_unit_test(names_that_cannot_be_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
