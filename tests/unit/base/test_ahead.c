#include "base/ahead.h"
#include "base_test.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct Source {
    size_t left;
    bool breaks;
    atomic_int calls;
} Source;

/* Each byte by its place from the end. */
static ssize_t fill(void *arg, void *buf, size_t size) {
    Source *s = arg;
    size_t most = 1000 + 70000 * (size_t)(atomic_fetch_add(&s->calls, 1) % 5);
    size_t len = MIN(MIN(size, s->left), most);

    for (size_t i = 0; i < len; i++)
        ((unsigned char *)buf)[i] = (unsigned char)((s->left - i) % 251);
    s->left -= len;
    return len == 0 && s->breaks ? -ERR_IO : (ssize_t)len;
}

static void read_all(Source *source, size_t total, ssize_t end) {
    const void *piece;
    Ahead *a;
    Err err;
    ssize_t len;

    source->left = total;
    assert_done(ahead_start(fill, source, &a, &err), &err);
    while ((len = ahead_next(a, &piece)) > 0)
        for (ssize_t i = 0; i < len; i++, total--)
            if (((const unsigned char *)piece)[i] != total % 251)
                fail_msg("%zu bytes before the end", total);
    assert_int_equal(total, 0);
    assert_int_equal(len, end);
    assert_int_equal(ahead_next(a, &piece), end);
    ahead_stop(a);
}

static void all_comes_in_order_and_then_the_end(void **state) {
    for (size_t total = 0; total < 20000000; total = total * 3 + 1)
        read_all(&(Source){0}, total, 0);
}

static void an_error_comes_behind_what_was_before_it(void **state) {
    read_all(&(Source){.breaks = true}, 3000000, -ERR_IO);
}

static void one_that_is_not_read_to_its_end_stops(void **state) {
    Source source = {.left = SIZE_MAX};
    const void *piece;
    Ahead *a;
    Err err;

    assert_done(ahead_start(fill, &source, &a, &err), &err);
    assert_true(ahead_next(a, &piece) > 0);
    ahead_stop(a);
    assert_true(atomic_load(&source.calls) <= 6);
    ahead_stop(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_in_order_and_then_the_end),
        cmocka_unit_test(an_error_comes_behind_what_was_before_it),
        cmocka_unit_test(one_that_is_not_read_to_its_end_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
