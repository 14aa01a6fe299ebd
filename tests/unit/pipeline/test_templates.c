/* templates, inputs, and keys of steps and jobs that came with them. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines

static void a_job_is_over_what_it_extends(void **state) {
    _cleanup_case_ Case c = plan_fine("templates:\n  base: {timeout: 5, env: {A: 1, B: 2}, steps: [a, b]}\n"
                                      "  slow: {extends: base, timeout: 9, env: {C: 3}}\n"
                                      "jobs:\n  x: {extends: base, env: {B: x}}\n"
                                      "  y: {extends: [base, slow], steps: [c]}\n");
    _cleanup_json_ json_t *x = spec_of(&c, 0), *y = spec_of(&c, 1);

    expect_json(x, "env", "{\"A\":\"1\",\"B\":\"x\"}");
    expect_json(x, "timeout", "5000000");
    expect_json(x, "steps/1/run", "\"b\"");
    expect_json(y, "env", "{\"A\":\"1\",\"B\":\"2\",\"C\":\"3\"}");
    expect_json(y, "timeout", "9000000");
    expect_json(y, "steps/0/run", "\"c\"");
    assert_null(json_array_get(json_object_get(y, "steps"), 1));
}

static void a_template_may_be_a_matrix_and_stand_behind(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  x: {extends: m, steps: [\"echo ${{ matrix.n }}\"]}\n"
                                      "templates: {m: {matrix: {n: [1, 2]}}}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 1);

    assert_int_equal(c.plan->count, 2);
    expect_json(spec, "steps/0/env", "{\"PELTON_VALUE_1\":\"2\"}");
}

static void bad_templates_are_refused(void **state) {
    expect_problems(
        "templates: {base: {}}\n" JOB("    extends: bsae\n"),
        "5:14: \"extends\" of job \"test\": there is no template \"bsae\"; did you mean \"base\"?");
    expect_problems(JOB("    extends: x\n"), "4:14: \"extends\" of job \"test\": there is no template \"x\"");
    expect_problems("templates: {a: {extends: b}, b: {extends: a}}\n" JOB("    extends: a\n"),
                    "1:43: template \"a\" extends itself");
    expect_problems("templates: {a: {stesp: [x]}}\n" JOB(""),
                    "1:17: unknown key \"stesp\" in template \"a\"; did you mean \"steps\"?");
    expect_problems("templates: {a: [x]}\n" JOB(""),
                    "1:16: template \"a\": expected a mapping of keys of a job, got a list");
    expect_problems("templates: [x]\n" JOB(""),
                    "1:12: \"templates\": expected a mapping of names to parts of jobs, got a list");
    expect_problems(JOB("    extends: {a: b}\n"),
                    "4:14: \"extends\" of job \"test\": expected a template's name or a list of at most 20");
    expect_problems(JOB("    extends: ''\n"),
                    "4:14: \"extends\" of job \"test\": expected a template's name or a list of at most 20");
    expect_problems(JOB("    extends: [null]\n"),
                    "4:15: \"extends\" of job \"test\": expected a template's name or a list of at most 20");
    expect_problems("templates: {t: {timeout: soon, env: {A: \"${{ matrix.x }}\"}}}\n" JOB(""),
                    "1:26: \"timeout\" of template \"t\": expected a duration such as 90 (seconds), 30s, 10m "
                    "or 1h30m, at "
                    "most 30d, got \"soon\"");
}

static void a_bad_template_hides_nothing(void **state) {
    expect_problems(
        "templates: {t: {extends: u}, u: {extends: t}, v: {extends: gone}}\n"
        "jobs:\n  k: {extends: [t, nope], timeout: zz, env: {A: \"${{ matrix.n }}\"}, steps: [{timeot: 3}]}\n"
        "  l: {extends: t, if: needs.k.result == 'failed'}\n  m: {needs: [\"k (1)\"], steps: [x]}\n"
        "deploy: {start: x}\n",
        "1:43: template \"t\" extends itself",
        "1:60: \"extends\" of template \"v\": there is no template \"gone\"",
        "3:20: \"extends\" of job \"k\": there is no template \"nope\"",
        "3:36: \"timeout\" of job \"k\": expected a duration such as 90 (seconds), 30s, 10m or 1h30m, at "
        "most 30d, got \"zz\"",
        "3:78: unknown key \"timeot\" in step 1 of job \"k\"; did you mean \"timeout\"?");
}

static void templates_do_not_multiply_without_end(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "templates:\n  t:\n    steps: [");
    for (int i = 0; i < 2000; i++)
        buf_adds(&text, "a,");
    buf_adds(&text, "]\njobs:\n");
    for (int i = 0; i < 9000; i++)
        buf_addf(&text, "  j%d: {extends: t}\n", i);
    _cleanup_case_ Case c = plan_in(buf_str(&text), &on_main);
    assert_int_equal(c.result, -ERR_INVALID);
    assert_non_null(strstr(c.err.msg, "the file, with its templates and matrices written out, is too large"));
    assert_int_equal(c.problems->count, 2); /* and too many steps */
}

/* ---- inputs ---- */

#define INPUTS                                                                                               \
    "inputs:\n  level: {type: choice, options: [quick, full], default: quick}\n  n: {type: number, "         \
    "default: 3}\n"                                                                                          \
    "  dry: {type: boolean, default: false}\n  text:\n" JOB(                                                 \
        "    if: inputs.n < 4 && !inputs.dry\n"                                                              \
        "    env: {V: \"${{ inputs.level }}-${{ inputs.text }}\"}\n")

static Case plan_given(const char *text, const char *event, const char *given) {
    PlanContext context = on_main;

    context.event = event;
    context.inputs = given;
    return plan_in(text, &context);
}

static void inputs_have_defaults_and_what_is_given(void **state) {
    _cleanup_case_ Case c = plan_given(INPUTS, "push", NULL);
    _cleanup_case_ Case d = plan_given(INPUTS, "manual", "{\"level\":\"full\",\"n\":4,\"text\":\"$(x)\"}");
    _cleanup_case_ Case e = plan_given(INPUTS, "manual", "{\"n\":\"1\",\"dry\":true}");
    _cleanup_json_ json_t *c0 = spec_of(&c, 0), *d0 = spec_of(&d, 0);

    expect_json(c0, "env", "{\"V\":\"quick-\"}");
    expect_json(d0, "env", "{\"V\":\"full-$(x)\"}");
    assert_string_equal(c.plan->jobs[0].condition, "3 < 4 && !false");
    assert_false(c.plan->jobs[0].skip);
    assert_true(d.plan->jobs[0].skip);
    assert_true(e.plan->jobs[0].skip);
}

static void expect_given(const char *given, const char *expected) {
    _cleanup_case_ Case c = plan_given(INPUTS, "manual", given);

    assert_int_equal(c.result, -ERR_INVALID);
    assert_null(c.problems);
    assert_string_equal(c.err.msg, expected);
}

static void expect_given_to_end(const char *given, const char *end) {
    _cleanup_case_ Case c = plan_given(INPUTS, "manual", given);

    assert_int_equal(c.result, -ERR_INVALID);
    assert_true(str_ends(c.err.msg, end));
}

static void wrong_inputs_are_no_fault_of_the_file(void **state) {
    expect_given("{\"level\":\"ful\"}", "input \"level\": expected one of quick, full, got \"ful\"");
    expect_given("{\"n\":\"x\"}", "input \"n\": expected a number, got \"x\"");
    expect_given("{\"dry\":\"yes\"}", "input \"dry\": expected true or false, got \"yes\"");
    expect_given("{\"text\":[1]}", "input \"text\": expected a text, a number, true or false");
    expect_given("{\"lvl\":1}", "there is no input \"lvl\" (the first is level)");
    expect_given("[]", "inputs: expected a mapping of names to values");
}

static void all_wrong_inputs_are_told_at_once(void **state) {
    _cleanup_buf_ Buf many = BUF_INIT;

    expect_given("{\"level\":\"ful\",\"dry\":\"yes\",\"lvl\":1}",
                 "input \"dry\": expected true or false, got \"yes\"; "
                 "input \"level\": expected one of quick, full, got \"ful\"; "
                 "there is no input \"lvl\" (the first is level)");
    for (int i = 10; i < 30; i++)
        buf_addf(&many, "%c\"wrong%d\":1", i == 10 ? '{' : ',', i);
    buf_addc(&many, '}');
    expect_given_to_end(buf_str(&many), "\"wrong17\" (the first is level); and 12 more");
}

static void a_mistake_of_the_file_does_not_hide_what_was_given(void **state) {
    _cleanup_case_ Case c =
        plan_given("inputs: {a: {type: number}, b: {type: number}}\n" JOB("    timeout: ${{ inputs.a }}m\n"),
                   "manual", "{\"a\":\"x\",\"b\":\"y\"}");

    assert_int_equal(c.result, -ERR_INVALID);
    assert_null(c.problems);
    assert_string_equal(c.err.msg, "input \"a\": expected a number, got \"x\"; "
                                   "input \"b\": expected a number, got \"y\"");
}

static void a_pipeline_without_inputs_takes_none(void **state) {
    _cleanup_case_ Case c = plan_given(JOB(""), "manual", "{\"lvl\":1}"),
                        d = plan_given(JOB(""), "manual", "{}");

    assert_int_equal(c.result, -ERR_INVALID);
    assert_string_equal(c.err.msg, "there is no input \"lvl\" in this pipeline");
    assert_int_equal(d.result, 0);
}

static void a_required_input_must_be_given_by_hand(void **state) {
    const char *text = "inputs: {v: {required: true}}\n" JOB("");
    _cleanup_case_ Case c = plan_given(text, "push", NULL);
    _cleanup_case_ Case d = plan_given(text, "manual", NULL);

    assert_int_equal(c.result, 0);
    assert_int_equal(d.result, -ERR_INVALID);
    assert_string_equal(d.err.msg, "input \"v\" is required");
}

static void bad_inputs_of_a_file_are_refused(void **state) {
    expect_problems("inputs: {a: {type: choice}}\n" JOB(""),
                    "1:10: input \"a\" is a choice of nothing; expected \"options\"");
    expect_problems("inputs: {a: {type: number, default: x}}\n" JOB(""),
                    "1:37: \"default\" of input \"a\": expected a number, got \"x\"");
    expect_problems("inputs: {a: {options: [x, y], default: z}}\n" JOB(""),
                    "1:40: \"default\" of input \"a\": expected one of x, y, got \"z\"");
    expect_problems("inputs: {a.b: {}}\n" JOB(""),
                    "1:10: bad name \"a.b\" of an input; expected letters, digits, _ and -");
    expect_problems("inputs: {a: {tipe: x}}\n" JOB(""),
                    "1:14: unknown key \"tipe\" in input \"a\"; did you mean \"type\"?");
    expect_problems("inputs: [a]\n" JOB(""),
                    "1:9: \"inputs\": expected a mapping of names to inputs, got a list");
}

static int asked(const char *text, void *mem, PlanInput **ret, size_t *ret_count, Err *err) {
    const char *contents[16] = {text};
    size_t lens[16] = {strlen(text)};

    return plan_inputs(contents, lens, &on_main, mem, ret, ret_count, err);
}

static void inputs_are_known_before_they_are_given(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    PlanInput *all;
    size_t count;
    Err err;

    /* without a value for `n` the file cannot be planned */
    assert_int_equal(
        asked("inputs:\n  level: {options: [quick, full], default: quick, description: how much}\n"
              "  n: {type: number, required: true}\n" JOB("    timeout: ${{ inputs.n }}\n"),
              mem, &all, &count, &err),
        0);
    assert_int_equal(count, 2);
    assert_string_equal(all[0].name, "level");
    assert_string_equal(all[0].type, "choice");
    assert_string_equal(all[0].options[1], "full");
    assert_null(all[0].options[2]);
    assert_string_equal(all[0].fallback, "quick");
    assert_string_equal(all[0].description, "how much");
    assert_false(all[0].required);
    assert_string_equal(all[1].type, "number");
    assert_null(all[1].options[0]);
    assert_null(all[1].fallback);
    assert_true(all[1].required);
    assert_int_equal(asked(JOB(""), mem, &all, &count, &err), 0);
    assert_int_equal(count, 0);
}

static void inputs_of_a_file_with_mistakes_are_not_known(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    PlanInput *all;
    size_t count;
    Err err;

    assert_int_equal(asked("inputs: {a: {type: choice}}\n" JOB(""), mem, &all, &count, &err), -ERR_INVALID);
    assert_string_equal(err.msg,
                        ".pelton.yml:1:10: input \"a\" is a choice of nothing; expected \"options\"");
    assert_int_equal(asked("inputs: [\n", mem, &all, &count, &err), -ERR_INVALID);
    assert_int_equal(asked("", mem, &all, &count, &err), -ERR_INVALID);
}

/* ---- smaller keys ---- */

static void steps_say_their_shell_and_whether_to_go_on(void **state) {
    _cleanup_case_ Case c = plan_fine(
        "jobs: {a: {allow-failure: true, steps: [{run: x, shell: bash, continue-on-error: true}, y]}}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "steps/0/shell", "\"bash\"");
    expect_json(spec, "steps/0/continue_on_error", "true");
    assert_null(json_object_get(json_array_get(json_object_get(spec, "steps"), 1), "shell"));
    assert_true(c.plan->jobs[0].allow_failure);
    expect_problems("jobs: {a: {steps: [{run: x, shell: python}]}}\n",
                    "1:36: \"shell\" of step 1 of job \"a\": expected \"sh\", \"bash\", \"dash\", \"zsh\" or "
                    "\"ksh\", got "
                    "\"python\"");
    expect_problems("jobs: {a: {allow-failure: maybe, steps: [{run: x, continue-on-error: 1}]}}\n",
                    "1:27: \"allow-failure\" of job \"a\": expected true or false, got \"maybe\"",
                    "1:70: \"continue-on-error\" of step 1 of job \"a\": expected true or false, got \"1\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_over_what_it_extends),
        cmocka_unit_test(a_template_may_be_a_matrix_and_stand_behind),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(a_bad_template_hides_nothing),
        cmocka_unit_test(templates_do_not_multiply_without_end),
        cmocka_unit_test(inputs_have_defaults_and_what_is_given),
        cmocka_unit_test(wrong_inputs_are_no_fault_of_the_file),
        cmocka_unit_test(all_wrong_inputs_are_told_at_once),
        cmocka_unit_test(a_mistake_of_the_file_does_not_hide_what_was_given),
        cmocka_unit_test(a_pipeline_without_inputs_takes_none),
        cmocka_unit_test(a_required_input_must_be_given_by_hand),
        cmocka_unit_test(bad_inputs_of_a_file_are_refused),
        cmocka_unit_test(inputs_are_known_before_they_are_given),
        cmocka_unit_test(inputs_of_a_file_with_mistakes_are_not_known),
        cmocka_unit_test(steps_say_their_shell_and_whether_to_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
