#include "base/buf.h"
#include "base_test.h"

static void what_is_added_is_there_however_much_room_there_was(void **state) {
    for (int before = 0; before < 600; before++) {
        _cleanup_buf_ Buf b = BUF_INIT;

        for (int i = 0; i < before; i++)
            buf_addc(&b, '.');
        assert_int_equal(strlen(buf_str(&b)), before);
        buf_addf(&b, "%d-%s", before, "text");
        assert_int_equal(strspn(buf_str(&b), "."), before);
        assert_int_equal(atoi(buf_str(&b) + before), before);
        assert_string_equal(buf_str(&b) + b.len - 5, "-text");
        buf_addf(&b, "%*s|", 1000, "x");
        assert_string_equal(buf_str(&b) + b.len - 3, " x|");
        assert_int_equal(strlen(buf_str(&b)), b.len);
    }
}

static void what_is_dropped_is_gone_from_the_front(void **state) {
    _cleanup_buf_ Buf b = BUF_INIT;

    assert_string_equal(buf_str(&b), "");
    buf_adds(&b, "abcdef");
    buf_drop(&b, 2);
    assert_string_equal(buf_str(&b), "cdef");
    buf_drop(&b, 9);
    assert_string_equal(buf_str(&b), "");
    buf_addc(&b, 'g');
    assert_string_equal(buf_str(&b), "g");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_there_however_much_room_there_was),
        cmocka_unit_test(what_is_dropped_is_gone_from_the_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
