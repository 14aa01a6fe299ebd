/* Big and hostile files: read, or refused in words, and without a cost that grows with the square. */
#include "support.h"

static Case plan_buf(const Buf *text) {
    return plan_bytes(".pelton.yml", buf_str(text), text->len, &on_main);
}

static void expect_refused(const Buf *text, const char *expected) {
    _cleanup_case_ Case c = plan_buf(text);

    assert_int_equal(c.result, -ERR_INVALID);
    if (!strstr(c.err.msg, expected))
        fail_msg("%s", c.err.msg);
}

static void ten_thousand_jobs_in_a_chain_are_planned(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "env: {A: b}\njobs:\n  j0: {steps: [make]}\n");
    for (int i = 1; i < 10000; i++)
        buf_addf(&text, "  j%d:\n    needs: j%d\n    steps:\n      - make %d\n    if: always()\n", i, i - 1,
                 i);
    _cleanup_case_ Case c = plan_buf(&text);
    assert_int_equal(c.result, 0);
    assert_int_equal(c.plan->count, 10000);
    assert_int_equal(c.plan->jobs[9999].needs[0], 9998);
    _cleanup_json_ json_t *spec = spec_of(&c, 9999);
    expect_json(spec, "steps/0/run", "\"make 9999\"");
    expect_json(spec, "env/A", "\"b\"");
}

static void a_deploy_needs_all_of_ten_thousand(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "deploy: {start: x, job: j5}\njobs:\n");
    for (int i = 0; i < 10000; i++)
        buf_addf(&text, "  j%d: {steps: [x]}\n", i);
    _cleanup_case_ Case c = plan_buf(&text);
    assert_int_equal(c.result, 0);
    assert_int_equal(c.plan->jobs[10000].need_count, 10000);
    assert_int_equal(c.plan->jobs[10000].needs[9999], 9999);
}

static void more_jobs_are_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs:\n");
    for (int i = 0; i < 10001; i++)
        buf_addf(&text, "  j%d: {steps: [x]}\n", i);
    expect_refused(&text, ".pelton.yml:2:3: more than 10000 jobs");
}

static void a_circle_of_ten_thousand_is_one_problem(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs:\n");
    for (int i = 0; i < 10000; i++)
        buf_addf(&text, "  j%d: {steps: [x], needs: j%d}\n", i, (i + 1) % 10000);
    _cleanup_case_ Case c = plan_buf(&text);
    assert_int_equal(c.result, -ERR_INVALID);
    assert_int_equal(c.problems->count, 1);
    assert_string_equal(c.problems->items[0].message,
                        "jobs need each other in a circle: j0 → j1 → j2 → j3 → (9992 "
                        "more) → j9996 → j9997 → j9998 → j9999 → j0");
}

static void add_jobs_of_steps(Buf *text, int jobs, int steps) {
    buf_adds(text, "jobs:\n");
    for (int i = 0; i < jobs; i++) {
        buf_addf(text, "  j%d:\n    steps: [x", i);
        for (int k = 1; k < steps; k++)
            buf_adds(text, ",x");
        buf_adds(text, "]\n");
    }
}

static void many_steps_are_planned(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    add_jobs_of_steps(&text, 9, 10000);
    _cleanup_case_ Case c = plan_buf(&text);
    assert_int_equal(c.result, 0);
    buf_clear(&text);
    add_jobs_of_steps(&text, 11, 10000);
    expect_refused(&text, "more than 100000");
    buf_clear(&text);
    add_jobs_of_steps(&text, 1, 10001);
    expect_refused(&text, "more than 10000 steps in one job");
}

static void one_job_has_no_more_of_anything_than_a_runner_takes(void **state) {
    static const struct {
        const char *key, *item, *problem;
        int count;
    } lists[] = {
        {"artifacts", "{paths: a}", "more than 10000 artifacts of one job", 10001},
        {"cache", "{key: k, paths: a}", "more than 100 caches of one job", 101},
    };

    for (size_t i = 0; i < ELEMENTS(lists); i++) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_addf(&text, "jobs:\n  a:\n    steps: [x]\n    %s: [%s", lists[i].key, lists[i].item);
        for (int k = 1; k < lists[i].count; k++)
            buf_addf(&text, ", %s", lists[i].item);
        buf_adds(&text, "]\n");
        expect_refused(&text, lists[i].problem);
    }
}

static void a_plan_that_the_env_makes_large_is_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "env: {BIG: \"");
    for (int i = 0; i < 20000; i++)
        buf_addc(&text, 'x');
    buf_adds(&text, "\"}\njobs:\n");
    for (int i = 0; i < 5000; i++)
        buf_addf(&text, "  j%d: {steps: [x]}\n", i);
    expect_refused(&text,
                   ".pelton.yml: the plan of all jobs, with the file's env in each, is larger than 64 MiB");
}

static void a_file_of_more_than_a_mebibyte_is_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs: {a: {steps: [x]}} #");
    while (text.len <= 1024 * 1024)
        buf_addc(&text, 'x');
    expect_refused(&text, ".pelton.yml: the file has 1048577 bytes; at most 1048576 are read");
}

static void a_hundred_kilobytes_of_brackets_are_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    for (int i = 0; i < 100000; i++)
        buf_addc(&text, '[');
    expect_refused(&text, ".pelton.yml:1:");
}

static void a_thousand_problems_are_kept(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs:\n");
    for (int i = 0; i < 5000; i++)
        buf_addf(&text,
                 "  job-with-quite-a-long-name-%d: {steps: [x], needs: jov-with-quite-a-long-name-%d}\n", i,
                 i);
    _cleanup_case_ Case c = plan_buf(&text);
    assert_int_equal(c.result, -ERR_INVALID);
    assert_int_equal(c.problems->count, 1000);
    assert_string_equal(
        c.problems->items[0].message,
        "job \"job-with-quite-a-long-name-0\" needs \"jov-with-quite-a-long-name-0\", which is not there; "
        "did you mean \"job-with-quite-a-long-name-0\"?");
}

static void too_many_variables_are_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "jobs: {a: {steps: [x]}}\nenv:\n");
    for (int i = 0; i < 1001; i++)
        buf_addf(&text, "  V%d: x\n", i);
    expect_refused(&text, ".pelton.yml:3:3: \"env\" has more than 1000 variables");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_jobs_in_a_chain_are_planned),
        cmocka_unit_test(a_deploy_needs_all_of_ten_thousand),
        cmocka_unit_test(more_jobs_are_refused),
        cmocka_unit_test(a_circle_of_ten_thousand_is_one_problem),
        cmocka_unit_test(many_steps_are_planned),
        cmocka_unit_test(one_job_has_no_more_of_anything_than_a_runner_takes),
        cmocka_unit_test(a_plan_that_the_env_makes_large_is_refused),
        cmocka_unit_test(a_file_of_more_than_a_mebibyte_is_refused),
        cmocka_unit_test(a_hundred_kilobytes_of_brackets_are_refused),
        cmocka_unit_test(a_thousand_problems_are_kept),
        cmocka_unit_test(too_many_variables_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
