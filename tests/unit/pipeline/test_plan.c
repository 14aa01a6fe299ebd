#include "support.h"

/* One job around the lines, which are indented by four. */
#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines

static void expect_spec(const char *text, const char *path, const char *expected) {
    _cleanup_case_ Case c = plan_fine(text);
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, path, expected);
}

static void one_step_has_every_field_of_the_protocol(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs: {test: {steps: [make]}}");

    assert_string_equal(c.plan->jobs[0].spec,
                        "{\"kind\":\"steps\",\"executor\":\"sandbox\",\"checkout\":true,\"network\":true,"
                        "\"env\":{},\"timeout\":0,"
                        "\"steps\":[{\"name\":\"make\",\"run\":\"make\",\"env\":{},\"timeout\":0,\"working_"
                        "directory\":\"\",\"if\":\"\"}],"
                        "\"artifacts\":[],\"artifacts_rule\":\"patterns\",\"release\":null,"
                        "\"resources\":{\"memory\":0,\"cpu\":0,\"processes\":0}}");
    assert_string_equal(c.plan->planner, "pelton");
    assert_string_equal(c.plan->file, ".pelton.yml");
    assert_int_equal(c.plan->count, 1);
    assert_false(c.plan->nothing);
    assert_string_equal(c.plan->jobs[0].name, "test");
    assert_string_equal(c.plan->jobs[0].kind, "steps");
    assert_string_equal(c.plan->jobs[0].fit.executor, "sandbox");
    assert_string_equal(c.plan->jobs[0].fit.arch, "");
    assert_string_equal(c.plan->jobs[0].condition, "");
    assert_int_equal(c.plan->jobs[0].need_count, 0);
    assert_false(c.plan->jobs[0].skip);
}

static void jobs_keep_the_order_of_the_file(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  z: {steps: [a]}\n  a: {steps: [a], needs: z}\n"
                                      "  m: {steps: [a], needs: [x.y, z, a]}\n  x.y: {steps: [a]}\n");
    const PlanJob *jobs = c.plan->jobs;

    assert_string_equal(jobs[0].name, "z");
    assert_string_equal(jobs[1].name, "a");
    assert_string_equal(jobs[3].name, "x.y");
    assert_int_equal(jobs[1].need_count, 1);
    assert_int_equal(jobs[1].needs[0], 0);
    assert_int_equal(jobs[2].need_count, 3);
    assert_int_equal(jobs[2].needs[0], 3);
    assert_int_equal(jobs[2].needs[1], 0);
    assert_int_equal(jobs[2].needs[2], 1);
}

static void a_jobs_env_is_over_the_files(void **state) {
    const char *text = "env: {A: 1, B: two, C: true, E: }\n"
                       "jobs:\n  x: {steps: [a], env: {B: over, D: \"\"}}\n  y: {steps: [a]}\n";
    _cleanup_case_ Case c = plan_fine(text);
    _cleanup_json_ json_t *x = spec_of(&c, 0), *y = spec_of(&c, 1);

    expect_json(x, "env", "{\"A\":\"1\",\"C\":\"true\",\"E\":\"\",\"B\":\"over\",\"D\":\"\"}");
    expect_json(y, "env", "{\"A\":\"1\",\"B\":\"two\",\"C\":\"true\",\"E\":\"\"}");
}

static void every_key_of_a_step_is_written(void **state) {
    const char *text =
        "jobs:\n  test:\n    steps:\n      - name: unit\n        run: |\n          make\n          make "
        "check\n"
        "        env: {N: 20, V: \"a \\\"b\\\"\\n\"}\n        timeout: 1h30m\n"
        "        working-directory: ./src/app/\n        if: ${{ failure() || branch == 'main' }}\n";

    expect_spec(text, "steps",
                "[{\"name\":\"unit\",\"run\":\"make\\nmake check\\n\",\"env\":{\"N\":\"20\",\"V\":\"a "
                "\\\"b\\\"\\n\"},"
                "\"timeout\":5400000000,\"working_directory\":\"src/app\",\"if\":\"failure() || branch == "
                "'main'\"}]");
}

static void a_step_is_called_by_its_first_line(void **state) {
    expect_spec("jobs: {a: {steps: [\"\\n  make all\\nmake x\"]}}", "steps/0/name", "\"make all\"");
    expect_spec("jobs: {a: {steps: [true]}}", "steps/0/run", "\"true\"");
    expect_spec("jobs: {a: {steps: [\"éééééééééééééééééééééééééééééééééééééééééééé\"]}}", "steps/0/name",
                "\"éééééééééééééééééééééééééééééééééééééééé…\"");
    expect_spec("jobs: {a: {steps: [\"xéééééééééééééééééééééééééééééééééééééééééééé\"]}}", "steps/0/name",
                "\"xééééééééééééééééééééééééééééééééééééééé…\"");
}

static void every_key_of_a_job_is_written(void **state) {
    expect_spec(JOB("    timeout: 90\n"), "timeout", "90000000");
    expect_spec(JOB("    timeout: 10m\n"), "timeout", "600000000");
    expect_spec(JOB("    checkout: false\n"), "checkout", "false");
    expect_spec(JOB("    network: false\n"), "network", "false");
    expect_spec(JOB("    artifacts: dist/**\n"), "artifacts", "[\"dist/**\"]");
    expect_spec(JOB("    artifacts: [a.txt, ./b/, \"*.o\", .]\n"), "artifacts",
                "[\"a.txt\",\"b/**\",\"*.o\",\"**\"]");
    expect_spec(JOB("    artifacts: {paths: [a, b]}\n"), "artifacts", "[\"a\",\"b\"]");
    expect_spec(JOB("    artifacts: {paths: a}\n"), "artifacts", "[\"a\"]");
    expect_spec(JOB("    runs-on: {executor: shell}\n"), "executor", "\"shell\"");
    expect_spec(JOB("    resources: {memory: 512M, cpu: 1.5, processes: 100}\n"), "resources",
                "{\"memory\":536870912,\"cpu\":1500,\"processes\":100}");
    expect_spec(JOB("    resources: {memory: 4G, cpu: 2}\n"), "resources",
                "{\"memory\":4294967296,\"cpu\":2000,\"processes\":0}");
}

static void arch_and_executor_are_the_jobs(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    runs-on: {executor: shell, arch: arm64}\n"));
    _cleanup_case_ Case d = plan_fine(JOB("    runs-on: {arch: riscv64}\n"));

    assert_string_equal(c.plan->jobs[0].fit.executor, "shell");
    assert_string_equal(c.plan->jobs[0].fit.arch, "aarch64");
    assert_string_equal(d.plan->jobs[0].fit.executor, "sandbox");
    assert_string_equal(d.plan->jobs[0].fit.arch, "riscv64");
}

static void yaml_anchors_and_merges_make_jobs_alike(void **state) {
    const char *text = "jobs:\n  a: &base\n    steps: &steps [x, y]\n    timeout: 5\n"
                       "  b:\n    <<: *base\n    timeout: 6\n  c: {steps: *steps}\n";
    _cleanup_case_ Case c = plan_fine(text);
    _cleanup_json_ json_t *a = spec_of(&c, 0), *b = spec_of(&c, 1), *d = spec_of(&c, 2);

    expect_json(a, "timeout", "5000000");
    expect_json(b, "timeout", "6000000");
    expect_json(b, "steps/1/run", "\"y\"");
    expect_json(d, "steps/0/run", "\"x\"");
}

static void what_can_never_run_is_skipped(void **state) {
    static const struct {
        const char *condition;
        bool skip;
    } cases[] = {
        {"branch == 'main'", false},
        {"branch == 'dev'", true},
        {"always()", false},
        {"always() && event == 'tag'", true},
        {"false", true},
        {"failure()", false},
        {"failure() && success()", true},
        {"cancelled()", false},
        {"failure() && tag", true},
        {"failure() || branch == 'dev'", false},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL, "jobs:\n  a: {steps: [x]}\n  b:\n    needs: a\n    if: %s\n    steps: [x]\n",
                       cases[i].condition);
        _cleanup_case_ Case c = plan_fine(text);

        assert_string_equal(c.plan->jobs[1].condition, cases[i].condition);
        assert_int_equal(c.plan->jobs[1].skip, cases[i].skip);
        assert_false(c.plan->nothing);
    }
}

static void a_job_without_needs_comes_after_no_failure(void **state) {
    _cleanup_case_ Case c =
        plan_fine("jobs:\n  a: {steps: [x], if: failure()}\n  b: {steps: [x], if: always()}\n");

    assert_true(c.plan->jobs[0].skip);
    assert_false(c.plan->jobs[1].skip);
}

static void nothing_is_left_when_all_is_skipped(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  a: {steps: [x], if: event == 'tag'}\n");
    _cleanup_case_ Case d =
        plan_fine("jobs:\n  a: {steps: [x], if: \"${{ branch == 'dev' }}\"}\n  b: {steps: [x]}\n");

    assert_true(c.plan->nothing);
    assert_int_equal(c.plan->count, 1);
    assert_false(d.plan->nothing);
    assert_true(d.plan->jobs[0].skip);
    assert_string_equal(d.plan->jobs[0].condition, "branch == 'dev'");
}

static void a_missing_context_is_no_trouble(void **state) {
    static const PlanContext empty = {0};
    _cleanup_case_ Case c =
        plan_in("jobs:\n  a: {steps: [x], if: branch == 'main' || tag}\ndeploy: {start: x}\n", &empty);

    assert_int_equal(c.result, 0);
    assert_true(c.plan->nothing);
    assert_int_equal(c.plan->count, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_has_every_field_of_the_protocol),
        cmocka_unit_test(jobs_keep_the_order_of_the_file),
        cmocka_unit_test(a_jobs_env_is_over_the_files),
        cmocka_unit_test(every_key_of_a_step_is_written),
        cmocka_unit_test(a_step_is_called_by_its_first_line),
        cmocka_unit_test(every_key_of_a_job_is_written),
        cmocka_unit_test(arch_and_executor_are_the_jobs),
        cmocka_unit_test(yaml_anchors_and_merges_make_jobs_alike),
        cmocka_unit_test(what_can_never_run_is_skipped),
        cmocka_unit_test(a_job_without_needs_comes_after_no_failure),
        cmocka_unit_test(nothing_is_left_when_all_is_skipped),
        cmocka_unit_test(a_missing_context_is_no_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
