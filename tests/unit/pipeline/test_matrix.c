/* matrix: one job for each combination. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines

/* The names of the plan's jobs, one behind the other. */
static void expect_jobs(const Case *c, const char *expected) {
    _cleanup_buf_ Buf all = BUF_INIT;

    for (size_t i = 0; i < c->plan->count; i++)
        buf_addf(&all, "%s%s", i ? "; " : "", c->plan->jobs[i].name);
    assert_string_equal(buf_str(&all), expected);
}

static void expect_names(const char *matrix, const char *expected) {
    _cleanup_talloc_ char *text = mem_printf(NULL, JOB("    matrix: %s\n"), matrix);
    _cleanup_case_ Case c = plan_fine(text);

    expect_jobs(&c, expected);
}

static void each_combination_is_a_job(void **state) {
    expect_names("{node: [18, 20], db: [pg, lite]}",
                 "test (18, pg); test (18, lite); test (20, pg); test (20, lite)");
    expect_names("{os: linux}", "test (linux)");
    expect_names("{v: [1, \"1\", 1]}", "test (1); test (1) #2; test (1) #3");
    expect_names("{v: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}",
                 "test (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…)");
}

static void exclude_takes_away(void **state) {
    expect_names("{node: [18, 20], db: [pg, lite], exclude: [{node: 18, db: lite}]}",
                 "test (18, pg); test (20, pg); test (20, lite)");
    expect_names("{node: [18, 20], db: [pg, lite], exclude: [{node: \"18\"}]}",
                 "test (20, pg); test (20, lite)");
}

static void include_adds_combinations_and_values(void **state) {
    expect_names("{node: [18], db: [pg, lite], include: [{node: 22, db: pg}]}",
                 "test (18, pg); test (18, lite); test (22, pg)");
    expect_names("{include: [{os: a, cc: gcc}, {os: b}]}", "test (a, gcc); test (b)");
    expect_names("{node: [18, 20], include: [{node: 20, extra: yes}]}", "test (18); test (20)");

    _cleanup_case_ Case c =
        plan_fine(JOB("    matrix: {node: [18, 20], include: [{node: 20, x: a}, {y: b}]}\n"
                      "    env: {V: \"${{ matrix.node }}/${{ matrix.x }}/${{ matrix.y }}\"}\n"));
    _cleanup_json_ json_t *first = spec_of(&c, 0), *second = spec_of(&c, 1);

    expect_json(first, "env", "{\"V\":\"18//b\"}");
    expect_json(second, "env", "{\"V\":\"20/a/b\"}");
}

static void values_keep_their_kind(void **state) {
    _cleanup_case_ Case c =
        plan_fine(JOB("    matrix: {t: [10, 9], slow: [true]}\n    timeout: \"${{ matrix.t }}m\"\n"
                      "    checkout: \"${{ matrix.slow }}\"\n"
                      "    allow-failure: \"${{ matrix.t < 10 }}\"\n"
                      "    if: matrix.t < 10 && !failure()\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "timeout", "600000000");
    expect_json(spec, "checkout", "true");
    assert_true(c.plan->jobs[0].skip);
    assert_false(c.plan->jobs[1].skip);
    assert_string_equal(c.plan->jobs[1].condition, "9 < 10 && !failure()");
    assert_false(c.plan->jobs[0].allow_failure);
    assert_true(c.plan->jobs[1].allow_failure);
}

static void needs_of_a_matrix_are_all_of_it(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}}\n"
                                      "  b: {steps: [x], needs: a}\n"
                                      "  c: {steps: [x], needs: [\"a (2)\"]}\n"
                                      "  d: {steps: [x], matrix: {n: [1, 2]}, needs: [a, b]}\n");
    const PlanJob *jobs = c.plan->jobs;

    assert_int_equal(jobs[2].need_count, 2);
    assert_int_equal(jobs[2].needs[1], 1);
    assert_int_equal(jobs[3].need_count, 1);
    assert_int_equal(jobs[3].needs[0], 1);
    assert_int_equal(jobs[5].need_count, 3);
}

static void a_need_may_be_optional(void **state) {
    _cleanup_case_ Case c =
        plan_fine("jobs:\n  a: {steps: [x]}\n  b: {steps: [x], needs: [{job: a, optional: true}, "
                  "{job: no, optional: true}]}\n  c: {steps: [x], needs: {job: a}}\n");

    assert_int_equal(c.plan->jobs[1].need_count, 1);
    assert_int_equal(c.plan->jobs[2].need_count, 1);
    expect_problems("jobs:\n  a: {steps: [x], needs: [{job: no}]}\n",
                    "2:33: job \"a\" needs \"no\", which is not there");
}

static void mistakes_are_told_once(void **state) {
    expect_problems(
        JOB("    matrix: {a: [1, 2, 3]}\n    timeout: soon\n    env: {A: \"${{ matrix.b }}\"}\n"),
        "5:14: \"timeout\" of job \"test\": expected a duration such as 90 (seconds), 30s, 10m or 1h30m, "
        "at most 30d, got \"soon\"",
        "6:19: \"env\" of job \"test\": unknown name \"matrix.b\"; the first of 1 is \"matrix.a\"");
    expect_problems(
        JOB("    matrix: {t: [1m, soon]}\n    timeout: \"${{ matrix.t }}\"\n"),
        "5:14: \"timeout\" of job \"test\": expected a duration such as 90 (seconds), 30s, 10m or 1h30m, "
        "at most 30d, got \"soon\"");
    expect_problems("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}, needs: a}\n",
                    "2:47: job \"a\" needs itself");
}

static void bad_matrices_are_refused(void **state) {
    expect_problems(JOB("    matrix: [1]\n"),
                    "4:13: \"matrix\" of job \"test\": expected a mapping of names to lists of "
                    "values, got a list");
    expect_problems(JOB("    matrix: {a: []}\n"),
                    "4:17: \"matrix\" of job \"test\": \"a\": expected a list of values, got an empty list");
    expect_problems(JOB("    matrix: {}\n"),
                    "4:13: \"matrix\" of job \"test\": expected a mapping of names to lists of "
                    "values, got an empty mapping");
    expect_problems(JOB("    matrix: {a: {b: c}}\n"),
                    "4:17: \"matrix\" of job \"test\": \"a\": expected a list of values, got a mapping");
    expect_problems(JOB("    matrix: {a: [[1]]}\n"),
                    "4:18: \"matrix\" of job \"test\": \"a\": expected texts or numbers, got a list");
    expect_problems(JOB("    matrix: {a.b: [1]}\n"),
                    "4:14: \"matrix\" of job \"test\": bad name \"a.b\"; expected letters, digits, _ and -");
    expect_problems(JOB("    matrix: {a: [1], exclude: [{b: 1}]}\n"),
                    "4:33: \"matrix\" of job \"test\": excludes by \"b\", which is none of its names");
    expect_problems(JOB("    matrix: {a: [1], exclude: [{a: 1}]}\n"),
                    "4:13: \"matrix\" of job \"test\": no combination is left");
    expect_problems(JOB("    matrix: {a: [1], include: {a: 1}}\n"),
                    "4:31: \"matrix\" of job \"test\": \"include\": expected a list of at most 1000 "
                    "mappings, got a mapping");
    expect_problems(JOB("    matrix: {a: [1], include: [2]}\n"),
                    "4:32: \"matrix\" of job \"test\": expected a mapping of names to values, got \"2\"");
    expect_problems("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}}\ndeploy: {start: x, job: a (3)}\n",
                    "3:25: \"job\" of deploy: there is no job \"a (3)\"");
    expect_problems("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}}\ndeploy: {start: x, job: a}\n",
                    "3:25: \"job\" of deploy: \"a\" is 2 jobs; the release is made by one: \"a (1)\"");
}

static void a_bad_matrix_hides_nothing(void **state) {
    expect_problems(
        "jobs:\n"
        "  a: {imag: x, matrix: {n: []}, needs: [zz], steps: [{timeot: 3, run: \"x ${{ matrix.n }}\"}]}\n"
        "  b: {needs: a, steps: [x]}\n"
        "  c: {needs: [\"a (1)\"], download: [out], steps: [\"x ${{ needs.a.outputs.v }}\"]}\n"
        "deploy: {start: x, job: \"a (2)\"}\n",
        "2:7: unknown key \"imag\" in job \"a\"; did you mean \"image\"?",
        "2:28: \"matrix\" of job \"a\": \"n\": expected a list of values, got an empty list",
        "2:41: job \"a\" needs \"zz\", which is not there",
        "2:55: unknown key \"timeot\" in step 1 of job \"a\"; did you mean \"timeout\"?");
    expect_problems(JOB("    matrix: {n: []}\n    env: {A: \"${{ inputs.i }} ${{ matrix.n }}\"}\n"),
                    "4:17: \"matrix\" of job \"test\": \"n\": expected a list of values, got an empty list",
                    "5:19: \"env\" of job \"test\": unknown name \"inputs.i\": the file has no "
                    "inputs");
}

static void all_mistakes_of_a_matrix_are_told(void **state) {
    expect_problems(
        JOB("    matrix: {a: [], b.c: [1], d: [[x]], e: [{}],\n"
            "             exclude: [5, {a: 1, z: 2}], include: [{b.c: 1}, {d: []}]}\n"),
        "4:17: \"matrix\" of job \"test\": \"a\": expected a list of values, got an empty list",
        "4:21: \"matrix\" of job \"test\": bad name \"b.c\"; expected letters, digits, _ and -",
        "4:35: \"matrix\" of job \"test\": \"d\": expected texts or numbers, got a list",
        "4:45: \"matrix\" of job \"test\": \"e\": expected texts or numbers, got an empty mapping",
        "5:24: \"matrix\" of job \"test\": expected a mapping of names to values, got \"5\"",
        "5:34: \"matrix\" of job \"test\": excludes by \"z\", which is none of its names",
        "5:66: \"matrix\" of job \"test\": \"d\": expected texts or numbers, got an empty list");
}

static void a_mistake_hides_no_job_from_those_that_need_it(void **state) {
    expect_problems(
        "jobs:\n  a: {matrix: {n: [1, 2]}, timeot: 3, artifacts: [{nam: x, paths: [y]}], steps: [x]}\n"
        "  b: {needs: [\"a (2)\"], download: [x], steps: [x]}\n"
        "  e:\n  f: {needs: e, steps: [x]}\n"
        "  \"g h\": {steps: [x], timeot: 3}\n  i: {needs: \"g h\", steps: [x]}\n",
        "2:28: unknown key \"timeot\" in job \"a\"; did you mean \"timeout\"?",
        "2:52: unknown key \"nam\" in artifact 1 of job \"a\"; did you mean \"name\"?",
        "4:3: job \"e\" is empty; expected a mapping with \"steps\"",
        "6:3: bad name \"g h\" of a job; expected letters, digits, _, - and dots, at most 100",
        "6:23: unknown key \"timeot\" in job \"g h\"; did you mean \"timeout\"?");
}

/* Of one combination that it needs alone, a job reads the results by the name of all. */
static void a_job_reads_the_outputs_of_the_one_combination_that_it_needs(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}}\n"
                                      "  b: {needs: [\"a (1)\"], if: needs.a.result == 'success',"
                                      " steps: [\"x ${{ needs.a.outputs.v }}\"]}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 2);

    expect_json(spec, "steps/0/computed", "{\"PELTON_VALUE_1\":\"${{ needs.a.outputs.v }}\"}");
    expect_problems(
        "jobs:\n  a: {steps: [x]}\n  ab: {steps: [x]}\n"
        "  b: {needs: [ab], steps: [\"x ${{ needs.a.outputs.v }}\"]}\n",
        "4:35: \"run\" of step 1 of job \"b\": \"a\" is not among the job's \"needs\": name it there");
}

static void a_release_is_made_by_one_combination(void **state) {
    _cleanup_case_ Case c =
        plan_fine("jobs:\n  a: {steps: [x], matrix: {n: [1, 2]}}\ndeploy: {start: x, job: a (2)}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 2);

    expect_json(spec, "deploy/job", "\"a (2)\"");
}

static void a_matrix_has_at_most_1000_combinations(void **state) {
    const char *ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    _cleanup_talloc_ char *text = mem_printf(NULL, JOB("    matrix: {a: %s, b: %s, c: %s}\n"), ten, ten, ten);
    _cleanup_talloc_ char *more =
        mem_printf(NULL, JOB("    matrix: {a: %s, b: %s, c: %s, d: [1, 2]}\n"), ten, ten, ten);
    _cleanup_case_ Case c = plan_fine(text);

    assert_int_equal(c.plan->count, 1000);
    assert_string_equal(c.plan->jobs[999].name, "test (9, 9, 9)");
    expect_problems(more, "4:122: \"matrix\" of job \"test\": more than 1000 combinations");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_combination_is_a_job),
        cmocka_unit_test(exclude_takes_away),
        cmocka_unit_test(include_adds_combinations_and_values),
        cmocka_unit_test(values_keep_their_kind),
        cmocka_unit_test(needs_of_a_matrix_are_all_of_it),
        cmocka_unit_test(a_need_may_be_optional),
        cmocka_unit_test(mistakes_are_told_once),
        cmocka_unit_test(bad_matrices_are_refused),
        cmocka_unit_test(a_bad_matrix_hides_nothing),
        cmocka_unit_test(all_mistakes_of_a_matrix_are_told),
        cmocka_unit_test(a_mistake_hides_no_job_from_those_that_need_it),
        cmocka_unit_test(a_job_reads_the_outputs_of_the_one_combination_that_it_needs),
        cmocka_unit_test(a_release_is_made_by_one_combination),
        cmocka_unit_test(a_matrix_has_at_most_1000_combinations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
