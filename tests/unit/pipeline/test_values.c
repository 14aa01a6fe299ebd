/* ${{ }} in values: filled in when the build is planned; in a command a variable. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines
#define STEP(step) "jobs:\n  test:\n    steps:\n      - " step "\n"

static void expect_step(const char *step, const char *path, const char *expected) {
    _cleanup_talloc_ char *text = mem_printf(NULL, STEP("%s"), step);
    _cleanup_case_ Case c = plan_fine(text);
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(json_array_get(json_object_get(spec, "steps"), 0), path, expected);
}

static void values_are_filled_in(void **state) {
    expect_step("{run: x, env: {A: \"${{ branch }}-${{ commit.short }}\", B: \"${{ 1 < 2 }}\", C: $x}}",
                "env", "{\"A\":\"main-01234567\",\"B\":\"true\",\"C\":\"$x\"}");
    expect_step("{run: x, timeout: \"${{ 5 }}m\"}", "timeout", "300000000");
    expect_step("{run: x, timeout: \"${{ 90 }}\"}", "timeout", "90000000");
    expect_step("{run: x, working-directory: \"${{ repo }}/src\"}", "working_directory", "\"hello/src\"");
    expect_step("{run: x, name: \"${{ 'a ''quoted'' }} text' }}\"}", "name", "\"a 'quoted' }} text\"");
}

static void lists_and_labels_are_filled_in(void **state) {
    _cleanup_case_ Case c =
        plan_fine(JOB("    artifacts: [\"${{ repo }}.tar\", b]\n"
                      "    runs-on: {arch: \"${{ 'arm64' }}\", labels: {tier: \"${{ branch }}\"}}\n"
                      "    resources: {cpu: \"${{ 2 }}\"}\n    priority: \"${{ 3 }}\"\n"
                      "    checkout: \"${{ branch == 'x' }}\"\nenv: {R: \"${{ ref }}\"}\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "artifacts", "[\"hello.tar\",\"b\"]");
    expect_json(spec, "env", "{\"R\":\"refs/heads/main\"}");
    expect_json(spec, "checkout", "false");
    assert_string_equal(c.plan->jobs[0].fit.arch, "aarch64");
    assert_string_equal(c.plan->jobs[0].fit.labels, "{\"tier\":\"main\"}");
    assert_int_equal(c.plan->jobs[0].fit.cpu, 2000);
    assert_int_equal(c.plan->jobs[0].priority, 3);
}

static void a_value_reaches_a_command_as_a_variable(void **state) {
    expect_step("echo \"${{ branch }}\" ${{ commit.short }}", "run",
                "\"echo \\\"${PELTON_VALUE_1}\\\" ${PELTON_VALUE_2}\"");
    expect_step("echo \"${{ branch }}\" ${{ commit.short }}", "env",
                "{\"PELTON_VALUE_1\":\"main\",\"PELTON_VALUE_2\":\"01234567\"}");
    expect_step("echo \"${{ branch }}\"", "name", "\"echo \\\"main\\\"\"");
    expect_step("|\n          echo \"$(echo 'a' ${{ branch }})\" # it's ${{ ref }}", "env",
                "{\"PELTON_VALUE_1\":\"main\",\"PELTON_VALUE_2\":\"refs/heads/main\"}");
}

static void a_value_is_chosen_by_and_and_or(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    env:\n"
                                          "      A: ${{ branch == 'main' && 'live' || 'try' }}\n"
                                          "      B: ${{ branch == 'dev' && 'live' || 'try' }}\n"
                                          "      C: ${{ tag || branch }}\n"
                                          "      D: ${{ branch == 'dev' && 'live' }}\n"
                                          "      E: ${{ tag && 'x' }}\n"));
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "env", "{\"A\":\"live\",\"B\":\"try\",\"C\":\"main\",\"D\":\"false\",\"E\":\"\"}");
    expect_problems(JOB("    env: {A: \"${{ branch && ['a'] }}\"}\n"),
                    "4:15: \"env\" of job \"test\": expected a text or a number, got a list");
}

static void nothing_is_no(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    matrix: {n: [1, 2], include: [{n: 2, new: true}]}\n"
                                          "    allow-failure: ${{ matrix.new }}\n"));

    assert_false(c.plan->jobs[0].allow_failure);
    assert_true(c.plan->jobs[1].allow_failure);
    expect_problems(JOB("    allow-failure: \"\"\n"),
                    "4:5: \"allow-failure\" in job \"test\" is empty; expected true or false");
}

static void no_value_is_text_that_a_shell_reads(void **state) {
    static const PlanContext evil = {
        .project = "p", .branch = "$(reboot)`x`\";'", .ref = "", .commit = "", .event = "push"};
    _cleanup_case_ Case c = plan_in(STEP("echo ${{ branch }} \"${{ branch }}\""), &evil);
    _cleanup_json_ json_t *spec = spec_of(&c, 0);

    expect_json(spec, "steps/0/run", "\"echo ${PELTON_VALUE_1} \\\"${PELTON_VALUE_2}\\\"\"");
    expect_json(spec, "steps/0/env/PELTON_VALUE_1", "\"$(reboot)`x`\\\";'\"");
    expect_json(spec, "steps/0/name", "\"echo $(reboot)`x`\\\";' \\\"$(reboot)`x`\\\";'\\\"\"");
}

static void where_the_shell_expands_nothing_it_is_refused(void **state) {
#define SAYS(place)                                                                                          \
    "the shell leaves ${{ … }} as it is in " place "; its value comes as a variable: use double quotes"
    expect_problems(STEP("echo '${{ branch }}'"),
                    "4:15: \"run\" of step 1 of job \"test\": " SAYS("single quotes"));
    expect_problems(STEP("echo \"$(echo '${{ branch }}')\""),
                    "4:23: \"run\" of step 1 of job \"test\": " SAYS("single quotes"));
    expect_problems(STEP("|\n          cat <<'E'\n          it's ${{ branch }}\n          E"),
                    "4:9: \"run\" of step 1 of job \"test\": " SAYS("a here-document with a quoted word"));
}

static void where_the_shell_would_lose_the_variable_it_is_refused(void **state) {
#define LOST(what)                                                                                           \
    "4:9: \"run\" of step 1 of job \"test\": behind " what                                                   \
    " the shell does not read the variable that ${{ … }} "                                                 \
    "becomes; for a ${{ of your own write ${{ '${{' }}"
#define SCRIPT(line) STEP("|\n          " line)
    expect_problems(SCRIPT("echo \\${{ branch }}"), LOST("a backslash"));
    expect_problems(SCRIPT("echo \"\\${{ branch }}\""), LOST("a backslash"));
    expect_problems(SCRIPT("cat <<E\n          \\${{ branch }}\n          E"), LOST("a backslash"));
    expect_problems(SCRIPT("echo $${{ branch }}"), LOST("another $"));
    expect_problems(SCRIPT("echo \\$$${{ branch }}"), LOST("another $"));
    expect_step("|\n          echo \\\\${{ branch }} \\$${{ branch }} $$${{ branch }} # \\${{ branch }}",
                "run",
                "\"echo \\\\\\\\${PELTON_VALUE_1} \\\\$${PELTON_VALUE_2} $$${PELTON_VALUE_3} # "
                "\\\\${PELTON_VALUE_4}\\n\"");
}

static void an_opening_of_ones_own_is_a_text_in_an_expression(void **state) {
    expect_step("echo \"${{ '${{' }} x }}\"", "run", "\"echo \\\"${PELTON_VALUE_1} x }}\\\"\"");
    expect_step("echo \"${{ '${{' }} x }}\"", "computed", "{\"PELTON_VALUE_1\":\"${{'${{'}}\"}");
    expect_step("{run: x, env: {A: \"${{ '${{' }} x }}\"}}", "computed", "{\"A\":\"${{'${{ x }}'}}\"}");
}

static void here_documents_and_comments_are_known(void **state) {
    expect_step("|\n          cat <<E\n          it's ${{ branch }}\n          E\n          echo ${{ ref }}",
                "env", "{\"PELTON_VALUE_1\":\"main\",\"PELTON_VALUE_2\":\"refs/heads/main\"}");
    expect_step("|\n          cat <<-'E'\n          '\n          E\n          echo ${{ ref }}", "env",
                "{\"PELTON_VALUE_1\":\"refs/heads/main\"}");
    expect_step("|\n          # don't\n          echo a#'b' \\' ${{ ref }}", "env",
                "{\"PELTON_VALUE_1\":\"refs/heads/main\"}");
}

static void mistakes_in_values_have_their_place(void **state) {
    expect_problems(JOB("    env: {A: \"x ${{ brnch }}\"}\n"),
                    "4:21: \"env\" of job \"test\": unknown name \"brnch\"; did you mean \"branch\"?");
    expect_problems(STEP("echo ${{ github.sha }}"), "4:18: \"run\" of step 1 of job \"test\": unknown name "
                                                    "\"github.sha\"; write commit");
    expect_problems(
        STEP("echo ${{ secrets.TOKEN }}"),
        "4:18: \"run\" of step 1 of job \"test\": secrets arrive in the environment: name it in the "
        "job's \"secrets\" and use $TOKEN");
    expect_problems(STEP("echo ${{ env.HOME }}"),
                    "4:18: \"run\" of step 1 of job \"test\": the environment is the "
                    "shell's: write $HOME");
    expect_problems(
        STEP("{run: x, timeout: \"${{ branch }}\"}"),
        "4:27: \"timeout\" of step 1 of job \"test\": expected a duration such as 90 (seconds), 30s, 10m "
        "or 1h30m, at most 30d, got \"main\"");
    expect_problems(JOB("    env: {A: \"${{ success() }}\"}\n"),
                    "4:19: \"env\" of job \"test\": success() is for \"if\"");
    expect_problems(JOB("    env: {A: \"${{ ['a'] }}\"}\n"),
                    "4:15: \"env\" of job \"test\": expected a text or a number, got a list");
    expect_problems(JOB("    env: {A: \"${{ matrix.x }}\", B: \"${{ inputs.y }}\"}\n"),
                    "4:19: \"env\" of job \"test\": unknown name \"matrix.x\": the job has no matrix",
                    "4:41: \"env\" of job \"test\": unknown name \"inputs.y\": the file has no inputs");
}

static void what_only_the_plan_knows_is_folded_into_conditions(void **state) {
    PlanContext context = on_main;
    context.message = "it's done";
    context.author = "Ann";
    _cleanup_case_ Case c =
        plan_in(JOB("    if: contains(commit.message, 'done') && branch == 'main' || commit.author=='x'\n"),
                &context);

    assert_int_equal(c.result, 0);
    assert_string_equal(c.plan->jobs[0].condition,
                        "contains('it''s done', 'done') && branch == 'main' || 'Ann'=='x'");
    assert_false(c.plan->jobs[0].skip);
}

static void needs_are_known_once_they_have_ended(void **state) {
    static const PlanOutput first[] = {{"v", "1"}, {"w", "first"}}, second[] = {{"v", "2"}},
                            dotted[] = {{"v", "3"}};
    static const PlanNeed needs[] = {{"a (1)", "success", first, ELEMENTS(first)},
                                     {"a (2)", "cancelled", second, ELEMENTS(second)},
                                     {"b", "skipped"},
                                     {"ab", "failed"},
                                     {"c.outputs.d", "success", dotted, ELEMENTS(dotted)}};
    PlanContext context = on_main;
    bool result = false;
    Err err;

    context.needs = needs;
    context.need_count = ELEMENTS(needs);
    assert_int_equal(
        condition_eval(
            "needs.a.result == 'cancelled' && needs.b.result == 'skipped' && needs.x.result == '' && "
            "needs.a.outputs.v == 2 && needs.a.outputs.w == 'first' && needs.a.outputs.x == '' && "
            "needs.c.outputs.d.outputs.v == 3",
            &context, COND_SUCCESS, &result, &err),
        0);
    assert_true(result);
}

#define NEEDY(condition) JOB("    needs: b\n    if: " condition "\n  b: {steps: [x]}\n")

static void a_word_that_a_name_never_has_is_a_mistake(void **state) {
    expect_problems(NEEDY("always() && needs.b.result == 'failure'"),
                    "5:39: condition of job \"test\": it is never \"failure\"; expected \"success\", "
                    "\"failed\", \"skipped\" or \"cancelled\"");
    expect_problems(NEEDY("event in ['push', 'pr']"),
                    "5:18: condition of job \"test\": it is never \"pr\"; expected \"push\", \"tag\", "
                    "\"manual\", \"pull_request\" or \"schedule\"");
    expect_problems(NEEDY("(('cron') != event)"),
                    "5:10: condition of job \"test\": it is never \"cron\"; expected \"push\", \"tag\", "
                    "\"manual\", \"pull_request\" or \"schedule\"");
    {
        _cleanup_case_ Case c = plan_fine(
            NEEDY("needs.b.result != '' && (schedule || event) == 'nightly' && "
                  "event in ['push', branch] && event matches 'pull*' && needs.b.outputs.x == 'y'"));
        assert_int_equal(c.plan->count, 2);
    }
}

static void needs_are_for_conditions_and_steps(void **state) {
    _cleanup_case_ Case c =
        plan_fine("jobs:\n  a-b: {steps: [x]}\n  b: {steps: [x], needs: a-b, if: needs.a-b.result "
                  "== 'failed' && failure()}\n");
    assert_string_equal(c.plan->jobs[1].condition, "needs.a-b.result == 'failed' && failure()");
    assert_false(c.plan->jobs[1].skip);
    expect_problems(JOB("    if: needs.a.result == 'x'\n    needs: b\n  b: {steps: [x]}\n"),
                    "4:9: condition of job \"test\": \"a\" is not among the job's \"needs\": name it there");
    expect_problems(JOB("    if: needs.a.result == 'x'\n"),
                    "4:9: condition of job \"test\": \"a\" is not among the job's \"needs\": name it there");
    expect_problems(JOB("    runs-on: {arch: \"${{ needs.a.result }}\"}\n"),
                    "4:26: \"arch\" of runs-on of job \"test\": \"needs\" is for a job's \"if\" and \"env\" "
                    "and for its steps: nothing is known of them before");
    expect_problems(
        JOB("    env: {A: \"${{ outputs.a }}\"}\n"),
        "4:19: \"env\" of job \"test\": \"outputs\" is what a step wrote for those behind it in the "
        "same job; another job's is needs.JOB.outputs.a");
    expect_problems(JOB("    needs: b\n    env: {A: \"${{ needs.b.output }}\"}\n  b: {steps: [x]}\n"),
                    "5:19: \"env\" of job \"test\": expected needs.JOB.result or needs.JOB.outputs.NAME");
    expect_problems(
        JOB("    if: hash('a') == ''\n"),
        "4:9: condition of job \"test\": hash() needs the workspace's files: it is for cache keys, a "
        "job's \"env\" and its steps");
}

static void what_only_the_job_knows_is_left_to_it(void **state) {
    _cleanup_case_ Case c = plan_fine(
        "jobs:\n  a: {steps: [x]}\n  b:\n    needs: a\n    matrix: {n: [1]}\n"
        "    env: {A: \"${{ matrix.n }}-${{ needs.a.outputs.v }}\", B: \"${{ branch }}\", H: \"${{ hash('x') "
        "}}\"}\n"
        "    steps:\n"
        "      - {run: 'echo \"${{ outputs.o }}\" \"${{ branch }}\"', env: {S: \"${{ needs.a.result }}\"}, "
        "if: outputs.o != hash('y')}\n");
    _cleanup_json_ json_t *spec = spec_of(&c, 1);

    expect_json(spec, "env", "{\"B\":\"main\"}");
    expect_json(spec, "computed", "{\"A\":\"1-${{ needs.a.outputs.v }}\",\"H\":\"${{ hash('x') }}\"}");
    expect_json(spec, "steps/0/run", "\"echo \\\"${PELTON_VALUE_1}\\\" \\\"${PELTON_VALUE_2}\\\"\"");
    expect_json(spec, "steps/0/env", "{\"PELTON_VALUE_2\":\"main\"}");
    expect_json(spec, "steps/0/computed",
                "{\"S\":\"${{ needs.a.result }}\",\"PELTON_VALUE_1\":\"${{ outputs.o }}\"}");
    expect_json(spec, "steps/0/if", "\"outputs.o != hash('y')\"");
}

/* A branch may be called like an expression: the runner must not take it for one. */
static void a_value_is_never_taken_for_an_expression(void **state) {
    PlanContext context = on_main;
    _cleanup_json_ json_t *spec = NULL;
    const char *value;
    Err err;
    Case c;

    context.branch = "${{ needs.a.result }}";
    c = plan_in(JOB("    env: {A: \"${{ branch }}\"}\n"), &context);
    assert_int_equal(c.result, 0);
    spec = spec_of(&c, 0);
    assert_int_equal(template_run(json_string_value(json_object_get(json_object_get(spec, "computed"), "A")),
                                  &context, c.mem, &value, &err),
                     0);
    assert_string_equal(value, context.branch);
    mem_case_done(&c);
}

/* Nor what comes of a value and the text around it. */
static void pieces_never_join_to_an_expression(void **state) {
    PlanContext context = on_main;
    _cleanup_json_ json_t *spec = NULL;
    const char *value;
    Err err;
    Case c;

    context.branch = "{{ needs.a.result }}";
    c = plan_in("jobs:\n  a: {steps: [x]}\n  b: {needs: a, steps: [x], env: {A: \"$${{ branch }}-${{ "
                "needs.a.outputs.v }}\"}}\n",
                &context);
    assert_int_equal(c.result, 0);
    spec = spec_of(&c, 1);
    assert_int_equal(template_run(json_string_value(json_object_get(json_object_get(spec, "computed"), "A")),
                                  &context, c.mem, &value, &err),
                     0);
    assert_string_equal(value, "${{ needs.a.result }}-");
    mem_case_done(&c);
}

static void a_long_condition_is_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, JOB("    if: true"));
    for (int i = 0; i < 300; i++)
        buf_adds(&text, " && true");
    expect_problems(buf_str(&text), "4:9: condition of job \"test\": longer than 2000 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_filled_in),
        cmocka_unit_test(lists_and_labels_are_filled_in),
        cmocka_unit_test(a_value_reaches_a_command_as_a_variable),
        cmocka_unit_test(a_value_is_chosen_by_and_and_or),
        cmocka_unit_test(nothing_is_no),
        cmocka_unit_test(no_value_is_text_that_a_shell_reads),
        cmocka_unit_test(where_the_shell_expands_nothing_it_is_refused),
        cmocka_unit_test(where_the_shell_would_lose_the_variable_it_is_refused),
        cmocka_unit_test(an_opening_of_ones_own_is_a_text_in_an_expression),
        cmocka_unit_test(here_documents_and_comments_are_known),
        cmocka_unit_test(mistakes_in_values_have_their_place),
        cmocka_unit_test(what_only_the_plan_knows_is_folded_into_conditions),
        cmocka_unit_test(needs_are_known_once_they_have_ended),
        cmocka_unit_test(a_word_that_a_name_never_has_is_a_mistake),
        cmocka_unit_test(needs_are_for_conditions_and_steps),
        cmocka_unit_test(what_only_the_job_knows_is_left_to_it),
        cmocka_unit_test(a_value_is_never_taken_for_an_expression),
        cmocka_unit_test(pieces_never_join_to_an_expression),
        cmocka_unit_test(a_long_condition_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
