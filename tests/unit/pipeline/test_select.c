#include "support.h"

static const char diamond[] = "jobs:\n"
                              "  a: {steps: [x]}\n"
                              "  b: {needs: a, steps: [x]}\n"
                              "  c: {steps: [x]}\n"
                              "  d: {needs: [b, c], steps: [x]}\n"
                              "deploy: {start: x}\n";

static void a_job_comes_with_what_it_needs(void **state) {
    static const char *const names[] = {"b", NULL};
    _cleanup_case_ Case c = plan_fine(diamond);
    Err err = {0};

    assert_int_equal(plan_select(c.plan, names, &err), 0);
    assert_int_equal(c.plan->count, 2);
    assert_string_equal(c.plan->jobs[0].name, "a");
    assert_string_equal(c.plan->jobs[1].name, "b");
    assert_int_equal(c.plan->jobs[1].need_count, 1);
    assert_int_equal(c.plan->jobs[1].needs[0], 0);
}

static void needs_are_counted_anew(void **state) {
    static const char *const names[] = {"c", "d", "c", NULL};
    _cleanup_case_ Case c = plan_fine(diamond);
    Err err = {0};

    assert_int_equal(plan_select(c.plan, names, &err), 0);
    assert_int_equal(c.plan->count, 4);
    for (size_t i = 0; i < c.plan->count; i++)
        for (size_t k = 0; k < c.plan->jobs[i].need_count; k++)
            assert_true(c.plan->jobs[i].needs[k] < i);
}

static void a_deploy_is_left_out_unless_it_is_named(void **state) {
    static const char *const without[] = {"d", NULL}, *const with[] = {"deploy", NULL};
    _cleanup_case_ Case c = plan_fine(diamond), d = plan_fine(diamond);
    Err err = {0};

    assert_int_equal(c.plan->count, 5);
    assert_int_equal(plan_select(c.plan, without, &err), 0);
    assert_int_equal(c.plan->count, 4);
    assert_int_equal(plan_select(d.plan, with, &err), 0);
    assert_int_equal(d.plan->count, 5);
}

static void a_matrix_is_all_of_it(void **state) {
    static const char *const all[] = {"m", NULL}, *const one[] = {"m (2)", NULL};
    static const char file[] = "jobs:\n"
                               "  m: {matrix: {n: [1, 2]}, needs: mm, steps: [x]}\n"
                               "  mm: {steps: [x]}\n"
                               "  b: {needs: m, steps: [x]}\n";
    _cleanup_case_ Case c = plan_fine(file), d = plan_fine(file);
    Err err = {0};

    assert_int_equal(plan_select(c.plan, all, &err), 0);
    assert_int_equal(c.plan->count, 3);
    assert_int_equal(plan_select(d.plan, one, &err), 0);
    assert_int_equal(d.plan->count, 2);
}

static void a_wrong_name_is_told_with_the_right_ones(void **state) {
    static const char *const names[] = {"e", NULL};
    _cleanup_case_ Case c = plan_fine(diamond);
    Err err = {0};

    assert_int_equal(plan_select(c.plan, names, &err), -ERR_INVALID);
    assert_string_equal(err.msg, ".pelton.yml has no job \"e\"; its jobs are: a, b, c, d, deploy");
    assert_int_equal(c.plan->count, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_with_what_it_needs),
        cmocka_unit_test(needs_are_counted_anew),
        cmocka_unit_test(a_matrix_is_all_of_it),
        cmocka_unit_test(a_deploy_is_left_out_unless_it_is_named),
        cmocka_unit_test(a_wrong_name_is_told_with_the_right_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
