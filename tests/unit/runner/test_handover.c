/* The lines of $PELTON_OUTPUT. */
#include "base/str.h"
#include "runner/handover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Parsed {
    void *mem;
    PlanOutput *outputs;
    size_t count;
    Err err;
    int result;
} Parsed;

static void done(Parsed *p) {
    talloc_free(p->mem);
}

static Parsed parse_bytes(const char *text, size_t len) {
    Parsed p = {.mem = talloc_new(NULL)};

    p.result = handover_parse(text, len, p.mem, &p.outputs, &p.count, &p.err);
    return p;
}

static Parsed parse(const char *text) {
    return parse_bytes(text, strlen(text));
}

static void expect_output(const Parsed *p, const char *name, const char *value) {
    assert_int_equal(p->result, 0);
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->outputs[i].name, name)) {
            assert_string_equal(p->outputs[i].value, value);
            return;
        }
    fail_msg("no %s", name);
}

static void expect_refusal(const char *text, const char *message) {
    Parsed p = parse(text);

    assert_int_equal(p.result, -ERR_INVALID);
    assert_string_equal(p.err.msg, message);
    done(&p);
}

static void lines_are_names_and_values(void **state) {
    _cleanup_(done) Parsed p = parse("version=1.2=3\n\nempty=\n_a-b= x \nversion=2\nlast=no line break");

    assert_int_equal(p.count, 4);
    expect_output(&p, "version", "2");
    expect_output(&p, "empty", "");
    expect_output(&p, "_a-b", " x ");
    expect_output(&p, "last", "no line break");
}

static void a_value_may_have_lines(void **state) {
    _cleanup_(done) Parsed p = parse("a<<END\none\n\n ENDE\nx=y\nEND\nb<<END\nEND\nc=1\n");

    assert_int_equal(p.count, 3);
    expect_output(&p, "a", "one\n\n ENDE\nx=y");
    expect_output(&p, "b", "");
    expect_output(&p, "c", "1");
}

static void mistakes_have_their_line(void **state) {
#define EXPECTED "expected NAME=VALUE, or NAME<<WORD and lines up to WORD, got "
    expect_refusal("a=1\nb\n", "line 2: " EXPECTED "\"b\"");
    expect_refusal("1a=1\n", "line 1: " EXPECTED "\"1a=1\"");
    expect_refusal("=1\n", "line 1: " EXPECTED "\"=1\"");
    expect_refusal("a b=1\n", "line 1: " EXPECTED "\"a b=1\"");
    expect_refusal("a<<\nx\n", "line 1: " EXPECTED "\"a<<\"");
    expect_refusal("\na<<END\nx\n", "line 2: no line \"END\" ends the value that begins here");
}

static void bytes_that_are_no_text_are_refused(void **state) {
    _cleanup_(done) Parsed zero = parse_bytes("a=\0b", 4), other = parse("a=\xff\n");

    assert_int_equal(zero.result, -ERR_INVALID);
    assert_int_equal(other.result, -ERR_INVALID);
}

static void there_are_limits(void **state) {
    _cleanup_buf_ Buf many = BUF_INIT, big = BUF_INIT, all = BUF_INIT;

    for (int i = 0; i <= HANDOVER_MAX_OUTPUTS; i++)
        buf_addf(&many, "v%d=x\n", i);
    expect_refusal(buf_str(&many), "line 101: more than 100 values of one job");
    buf_adds(&big, "v=");
    for (size_t i = 0; i <= HANDOVER_MAX_VALUE; i++)
        buf_addc(&big, 'x');
    expect_refusal(buf_str(&big), "line 1: \"v\" has 65537 bytes; at most 65536");
    for (int i = 0; i < 5; i++) {
        buf_addf(&all, "v%d=", i);
        buf_add(&all, buf_str(&big) + 2, HANDOVER_MAX_VALUE);
        buf_addc(&all, '\n');
    }
    expect_refusal(buf_str(&all), "line 4: all values of the job together have at most 262144 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_names_and_values), cmocka_unit_test(a_value_may_have_lines),
        cmocka_unit_test(mistakes_have_their_line),   cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(there_are_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
