#include "support.h"

/* Lines of the job "test", which begin at line 4. */
#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines
/* One step with the key, at line 4. */
#define STEP(line) "jobs:\n  test:\n    steps:\n      - {run: make, " line "}\n"
#define DEPLOY(lines) "deploy:\n  start: ./app\n" lines

static void unknown_keys_get_the_nearest_right_word(void **state) {
    expect_problems("jobs:\n  test:\n    stesp: [make]\n    steps: [make]\n",
                    "3:5: unknown key \"stesp\" in job \"test\"; did you mean \"steps\"?");
    expect_problems(JOB("") "job: {}\n", "4:1: unknown key \"job\" at the top level; did you mean \"jobs\"?");
    expect_problems(JOB("    script: [make]\n"),
                    "4:5: unknown key \"script\" in job \"test\"; did you mean \"steps\"?");
    expect_problems(JOB("    depends_on: a\n"),
                    "4:5: unknown key \"depends_on\" in job \"test\"; did you mean \"needs\"?");
    expect_problems(
        STEP("cwd: x"),
        "4:21: unknown key \"cwd\" in step 1 of job \"test\"; did you mean \"working-directory\"?");
    expect_problems(JOB("    resources: {memroy: 1G}\n"),
                    "4:17: unknown key \"memroy\" in resources of job \"test\"; did you mean \"memory\"?");
    expect_problems(DEPLOY("  helth: /\n"), "3:3: unknown key \"helth\" in deploy; did you mean \"health\"?");
    expect_problems(DEPLOY("  health: {pth: /}\n"),
                    "3:12: unknown key \"pth\" in health of deploy; did you mean \"path\"?");
    expect_problems(JOB("    runs-on: {os: linux}\n"),
                    "4:15: unknown key \"os\" in runs-on of job \"test\"; expected executor, arch or labels");
    expect_problems(JOB("") "xyz: push\n", "4:1: unknown key \"xyz\" at the top level; expected on, "
                                           "timezone, include, env, concurrency, timeout, "
                                           "queue-timeout, inputs, templates, jobs or deploy");
    expect_problems(JOB("    ? [a]\n    : b\n"), "4:7: expected a text as key, got a list");
}

static void wrong_types_say_what_was_expected(void **state) {
    expect_problems("jobs:\n  test:\n    steps: 5\n",
                    "3:12: \"steps\" of job \"test\": expected a list of steps, got \"5\"");
    expect_problems("jobs:\n  test:\n    steps: {a: b}\n",
                    "3:12: \"steps\" of job \"test\": expected a list of steps, got a mapping");
    expect_problems("jobs: [a]\n", "1:7: \"jobs\": expected a mapping of names to jobs, got a list");
    expect_problems("jobs: {a: [make]}\n", "1:11: job \"a\": expected a mapping with \"steps\", got a list");
    expect_problems("jobs: {a: make}\n", "1:11: job \"a\": expected a mapping with \"steps\", got \"make\"");
    expect_problems("- a\n", "1:1: expected a mapping with \"jobs\" or \"deploy\", got a list");
    expect_problems("hello\n", "1:1: expected a mapping with \"jobs\" or \"deploy\", got \"hello\"");
    expect_problems("jobs: {a: {steps: [[make]]}}\n",
                    "1:20: step 1 of job \"a\": expected a command or a mapping with \"run\", got a list");
    expect_problems(JOB("    needs: {a: b}\n"), "4:12: missing key \"job\" in need 1 of job \"test\"",
                    "4:13: unknown key \"a\" in need 1 of job \"test\"; expected job or optional");
    expect_problems(JOB("    needs: [[a]]\n"),
                    "4:13: \"needs\" of job \"test\": expected a string as item 1, got a list");
    expect_problems(JOB("    env: [a]\n"),
                    "4:10: \"env\" of job \"test\": expected a mapping of names to strings, got a list");
    expect_problems(JOB("    env: {A: [x]}\n"),
                    "4:14: variable \"A\" in \"env\" of job \"test\": expected a string, got a list");
    expect_problems(JOB("") "env: 5\n", "4:6: \"env\": expected a mapping of names to strings, got \"5\"");
    expect_problems(JOB("    checkout: yes\n"),
                    "4:15: \"checkout\" of job \"test\": expected true or false, got \"yes\"");
    expect_problems(JOB("    network: \"false\"\n"),
                    "4:14: \"network\" of job \"test\": expected true or false, got \"false\"");
    expect_problems(JOB("    artifacts: {paths: {a: b}}\n"),
                    "4:24: \"paths\" of artifact 1 of job \"test\": expected a pattern or a list of "
                    "patterns, got a mapping");
    expect_problems(JOB("    runs-on: sandbox\n"),
                    "4:14: runs-on of job \"test\": expected a mapping "
                    "with \"executor\", \"arch\" or \"labels\" (left out: any runner), got \"sandbox\"");
    expect_problems(
        JOB("    if: [a]\n"),
        "4:9: \"if\" of job \"test\": expected a condition such as branch == \"main\", got a list");
    expect_problems(STEP("name: [a]"),
                    "4:27: \"name\" of step 1 of job \"test\": expected a string, got a list");
    expect_problems(
        STEP("env: a"),
        "4:26: \"env\" of step 1 of job \"test\": expected a mapping of names to strings, got \"a\"");
    expect_problems("deploy: x\n", "1:9: deploy: expected a mapping with \"start\", got \"x\"");
}

static void empty_things_are_refused(void **state) {
    expect_problems("", "0:0: the file is empty; expected \"jobs\" or \"deploy\"");
    expect_problems("# nothing\n", "0:0: the file is empty; expected \"jobs\" or \"deploy\"");
    expect_problems("env: {A: b}\n", "1:1: nothing to do; expected \"jobs\" or \"deploy\"");
    expect_problems("jobs:\n",
                    "1:1: \"jobs\" at the top level is empty; expected a mapping of names to jobs");
    expect_problems("jobs: {}\n", "1:7: \"jobs\" is empty; expected a mapping of names to jobs");
    expect_problems("jobs:\n  a:\n", "2:3: job \"a\" is empty; expected a mapping with \"steps\"");
    expect_problems("jobs: {a: {env: {A: b}}}\n", "1:11: missing key \"steps\" in job \"a\"");
    expect_problems("jobs: {a: {steps: }}\n",
                    "1:12: \"steps\" in job \"a\" is empty; expected a list of steps");
    expect_problems("jobs: {a: {steps: []}}\n",
                    "1:19: \"steps\" of job \"a\" is empty; expected a list of steps");
    expect_problems("jobs: {a: {steps: [make, \"\"]}}\n",
                    "1:26: step 2 of job \"a\" is empty; expected a command or a mapping with \"run\"");
    expect_problems("jobs:\n  a:\n    steps:\n      - make\n      -\n",
                    "5:8: step 2 of job \"a\" is empty; expected a command or a mapping with \"run\"");
    expect_problems("jobs: {a: {steps: [{name: x}]}}\n", "1:20: missing key \"run\" in step 1 of job \"a\"");
    expect_problems("jobs: {a: {steps: [{run: \" \"}]}}\n",
                    "1:26: \"run\" of step 1 of job \"a\": expected a command, got \" \"");
    expect_problems(JOB("    needs: []\n"), "4:12: \"needs\" of job \"test\" is empty; leave it out");
    expect_problems(JOB("    needs: [\"\"]\n"),
                    "4:13: \"needs\" of job \"test\": expected a string as item 1, got nothing");
    expect_problems(
        JOB("    artifacts: []\n"),
        "4:16: \"artifacts\" of job \"test\" is empty; expected a list of patterns, or of mappings "
        "with \"paths\"");
    expect_problems(JOB("    artifacts: {}\n"), "4:16: missing key \"paths\" in artifact 1 of job \"test\"");
    expect_problems(JOB("    if: \"\"\n"),
                    "4:5: \"if\" in job \"test\" is empty; expected a condition such as branch == \"main\"");
}

static void values_are_checked(void **state) {
#define DURATION "expected a duration such as 90 (seconds), 30s, 10m or 1h30m, at most 30d, got "
    expect_problems(JOB("    timeout: soon\n"), "4:14: \"timeout\" of job \"test\": " DURATION "\"soon\"");
    expect_problems(JOB("    timeout: 0\n"), "4:14: \"timeout\" of job \"test\": " DURATION "\"0\"");
    expect_problems(JOB("    timeout: -5\n"), "4:14: \"timeout\" of job \"test\": " DURATION "\"-5\"");
    expect_problems(JOB("    timeout: 31d\n"), "4:14: \"timeout\" of job \"test\": " DURATION "\"31d\"");
    expect_problems(STEP("timeout: 10 minutes"),
                    "4:30: \"timeout\" of step 1 of job \"test\": " DURATION "\"10 minutes\"");
    expect_problems(JOB("    resources: {memory: lots}\n"),
                    "4:25: \"memory\" of resources of job \"test\": expected a size such as 512M or 4G, "
                    "got \"lots\"");
    expect_problems(
        JOB("    resources: {memory: 512}\n"),
        "4:25: \"memory\" of resources of job \"test\": 512 bytes is less than 1048576; a unit makes it "
        "more: 512M");
    expect_problems(JOB("    resources: {cpu: 0}\n"),
                    "4:22: \"cpu\" of resources of job \"test\": expected a number of "
                    "processors such as 2 or 0.5, at most 1024, got \"0\"");
    expect_problems(JOB("    resources: {cpu: .inf}\n"),
                    "4:22: \"cpu\" of resources of job \"test\": expected a number "
                    "of processors such as 2 or 0.5, at most 1024, got \".inf\"");
    expect_problems(JOB("    resources: {processes: 1.5}\n"),
                    "4:28: \"processes\" of resources of job \"test\": expected a whole number, got \"1.5\"");
    expect_problems(JOB("    resources: {processes: 0}\n"),
                    "4:28: \"processes\" of resources of job \"test\": expected a whole number, got \"0\"");
    expect_problems(JOB("    runs-on: {executor: sandbx}\n"),
                    "4:25: \"executor\" of runs-on of job \"test\": expected \"sandbox\", \"shell\", "
                    "\"docker\" or \"nix\", "
                    "got \"sandbx\"; did "
                    "you mean \"sandbox\"?");
    expect_problems(JOB("    runs-on: {executor: [shell]}\n"),
                    "4:25: \"executor\" of runs-on of job \"test\": expected \"sandbox\", \"shell\", "
                    "\"docker\" or \"nix\", got a list");
    expect_problems(JOB("    runs-on: {arch: a/b}\n"),
                    "4:21: \"arch\" of runs-on of job \"test\": expected an architecture, got \"a/b\"");
    expect_problems("jobs: {\"a b\": {steps: [x]}}\n",
                    "1:8: bad name \"a b\" of a job; expected letters, digits, _, - and dots, at most 100");
    expect_problems("jobs: {../x: {steps: [x]}}\n",
                    "1:8: bad name \"../x\" of a job; expected letters, digits, _, - and dots, at most 100");
    expect_problems(
        "jobs: {\"\\e[31m\": {steps: [x]}}\n",
        "1:8: bad name \"\\x1b[31m\" of a job; expected letters, digits, _, - and dots, at most 100");
}

static void env_names_are_checked(void **state) {
    expect_problems(
        JOB("    env: {A-B: x, \"\": y, 1A: z, A1_: fine}\n"),
        "4:11: \"env\" of job \"test\": \"A-B\" is no variable's name; expected letters, digits and _, not a "
        "digit first",
        "4:19: \"env\" of job \"test\": \"\" is no variable's name; expected letters, digits and _, not a "
        "digit "
        "first",
        "4:26: \"env\" of job \"test\": \"1A\" is no variable's name; expected letters, digits and _, not a "
        "digit first");
    expect_problems(
        JOB("") "env: {\"A=\": x}\n",
        "4:7: \"env\": \"A=\" is no variable's name; expected letters, digits and _, not a digit first");
}

static void paths_stay_in_the_workspace(void **state) {
    expect_problems(STEP("working-directory: /tmp"),
                    "4:40: \"working-directory\" of step 1 of job \"test\": \"/tmp\" is "
                    "absolute; expected a path inside the workspace");
    expect_problems(STEP("working-directory: a/../.."),
                    "4:40: \"working-directory\" of step 1 of job \"test\": \"a/../..\" "
                    "leaves the workspace; expected a path without \"..\"");
    expect_problems(STEP("working-directory: a//b"),
                    "4:40: \"working-directory\" of step 1 of job \"test\": path "
                    "\"a//b\": has an empty segment");
    expect_problems(
        JOB("    artifacts: [ok, /etc/*, ../x]\n"),
        "4:21: \"paths\" of artifact 2 of job \"test\": \"/etc/*\" is absolute; expected a path inside "
        "the "
        "workspace",
        "4:29: \"paths\" of artifact 3 of job \"test\": \"../x\" leaves the workspace; expected a path "
        "without \"..\"");
    expect_problems(
        DEPLOY("  files: [\"./../x\"]\n"),
        "3:11: \"files\" of deploy: \"./../x\" leaves the workspace; expected a path without \"..\"");
    expect_problems(JOB("    artifacts: .//etc\n    needs: 5\n"),
                    "5:12: job \"test\" needs \"5\", which is not there"); /* .//etc is etc */
}

static void needs_are_checked(void **state) {
    expect_problems("jobs:\n  build: {steps: [x]}\n  test: {steps: [x], needs: [biuld, nothing]}\n",
                    "3:30: job \"test\" needs \"biuld\", which is not there; did you mean \"build\"?",
                    "3:37: job \"test\" needs \"nothing\", which is not there");
    expect_problems("jobs:\n  a: {steps: [x], needs: a}\n", "2:26: job \"a\" needs itself");
    expect_problems("jobs:\n  a: {steps: [x]}\n  b: {steps: [x], needs: [a, a]}\n",
                    "3:30: job \"b\" needs \"a\" twice");
}

static void circles_are_printed_once_each(void **state) {
    expect_problems(
        "jobs:\n  a: {steps: [x], needs: b}\n  b: {steps: [x], needs: c}\n  c: {steps: [x], needs: a}\n",
        "4:26: jobs need each other in a circle: a → b → c → a");
    expect_problems("jobs:\n  a: {steps: [x], needs: b}\n  b: {steps: [x], needs: a}\n"
                    "  c: {steps: [x], needs: [a, d]}\n  d: {steps: [x], needs: [b, c]}\n",
                    "3:26: jobs need each other in a circle: a → b → a",
                    "5:30: jobs need each other in a circle: c → d → c");
    expect_problems("jobs:\n"
                    "  a: {steps: [x], needs: b}\n  b: {steps: [x], needs: c}\n  c: {steps: [x], needs: d}\n"
                    "  d: {steps: [x], needs: e}\n  e: {steps: [x], needs: f}\n  f: {steps: [x], needs: g}\n"
                    "  g: {steps: [x], needs: h}\n  h: {steps: [x], needs: i}\n  i: {steps: [x], needs: a}\n",
                    "10:26: jobs need each other in a circle: a → b → c → d → (1 more) → f → g → h → i → a");
}

static void a_diamond_is_no_circle(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  d: {steps: [x], needs: [b, c]}\n  b: {steps: [x], needs: a}\n"
                                      "  c: {steps: [x], needs: a}\n  a: {steps: [x]}\n");

    assert_int_equal(c.plan->count, 4);
}

static void conditions_are_checked_in_their_place(void **state) {
    expect_problems(JOB("    if: brunch == 'main'\n"),
                    "4:9: condition of job \"test\": unknown name \"brunch\"; did you mean \"branch\"?");
    expect_problems(JOB("    if: branch = 'main'\n"),
                    "4:16: condition of job \"test\": expected an operator or the end, got \"=\"; write ==");
    expect_problems(JOB("    if: \"branch == 'é' && brunch\"\n"),
                    "4:27: condition of job \"test\": unknown name \"brunch\"; did you mean \"branch\"?");
    expect_problems(JOB("    if: |\n      true &&\n      brunch\n"),
                    "4:9: condition of job \"test\": unknown name \"brunch\"; did you mean \"branch\"?");
    expect_problems(
        JOB("    if: ${{ always }\n"),
        "4:9: condition of job \"test\": expected a value, got \"$\"; names are written without $");
    expect_problems(STEP("if: \"${{ always }}\""),
                    "4:30: condition of step 1 of job \"test\": \"always\" is a function: write always()");
}

static void the_shell_must_be_allowed(void **state) {
    PlanContext context = on_main;
    const char *const expected[] = {"4:25: executor \"shell\" of job \"test\" is not allowed by this server "
                                    "(--allow-executor shell); expected \"sandbox\"",
                                    NULL};

    context.allow_shell = false;
    expect_problems_in(JOB("    runs-on: {executor: shell}\n"), &context, expected);
}

static void yaml_mistakes_have_their_place(void **state) {
    _cleanup_case_ Case c = plan_in("jobs:\n  a: {steps: [x}\n", &on_main);
    _cleanup_case_ Case d = plan_in("jobs:\n  a: {steps: [x]}\n  a: {steps: [y]}\n", &on_main);
    _cleanup_case_ Case e = plan_bytes(".pelton.yml", "\xff\xfe\x00", 3, &on_main);

    assert_int_equal(c.result, -ERR_INVALID);
    assert_int_equal(c.problems->count, 1);
    assert_int_equal(c.problems->items[0].line, 2);
    assert_null(strstr(c.problems->items[0].message, "line "));
    assert_int_equal(d.problems->count, 1);
    assert_int_equal(d.problems->items[0].line, 3);
    assert_int_equal(d.problems->items[0].column, 3);
    assert_non_null(strstr(d.problems->items[0].message, "\"a\""));
    assert_int_equal(e.result, -ERR_INVALID);
}

static void a_key_that_is_there_twice_hides_nothing(void **state) {
    expect_problems("jobs:\n  a: {imag: x, steps: [x]}\n  a: {steps: [{run: x, run: y}]}\n"
                    "  c: {steps: [{run: x, run: y}], needs: nope}\njobs: {}\n",
                    "2:7: unknown key \"imag\" in job \"a\"; did you mean \"image\"?",
                    "3:3: key \"a\" is here twice (first on line 2)",
                    "3:24: key \"run\" is here twice (first on line 3)",
                    "4:24: key \"run\" is here twice (first on line 4)",
                    "4:41: job \"c\" needs \"nope\", which is not there",
                    "5:1: key \"jobs\" is here twice (first on line 1)");
}

static void all_are_found_at_once_in_the_files_order(void **state) {
    const char *text =
        "env: {1: x}\njobs:\n  a:\n    needs: [b, missing]\n    steps: [\"\"]\n    timeout: x\n"
        "  b:\n    needs: a\n    steps: [make]\n    if: x\n  deploy: {steps: [x]}\n"
        "deploy:\n  start: x\n  job: none\n";
    _cleanup_case_ Case c = plan_in(text, &on_main);

    assert_int_equal(c.result, -ERR_INVALID);
    for (size_t i = 0; i < c.problems->count; i++)
        print_message("%d:%d: %s\n", c.problems->items[i].line, c.problems->items[i].column,
                      c.problems->items[i].message);
    assert_int_equal(c.problems->count, 8);
    for (size_t i = 1; i < c.problems->count; i++)
        assert_true(c.problems->items[i - 1].line <= c.problems->items[i].line);
    assert_string_equal(
        c.err.msg, ".pelton.yml:1:7: \"env\": \"1\" is no variable's name; expected letters, digits and _, "
                   "not a digit first");
}

/* ---- how they are printed ---- */

static void expect_print(const char *text, int line, int column, bool colour, const char *expected) {
    PlanProblem one = {line, column, "bad"};
    PlanProblems problems = {&one, 1};
    _cleanup_buf_ Buf out = BUF_INIT;

    plan_problems_print(&problems, "f.yml", text, strlen(text), colour, &out);
    assert_string_equal(buf_str(&out), expected);
}

static void a_problem_is_printed_with_its_line_and_a_caret(void **state) {
    expect_print("a:\n  b: c\n", 2, 3, false, "f.yml:2:3: error: bad\n    2 |   b: c\n      |   ^\n");
    expect_print("a:\r\n  b: c\r\nd", 2, 3, false, "f.yml:2:3: error: bad\n    2 |   b: c\n      |   ^\n");
    expect_print("a\rb\rc", 3, 1, false, "f.yml:3:1: error: bad\n    3 | c\n      | ^\n");
    expect_print("\xEF\xBB\xBF"
                 "ab",
                 1, 2, false, "f.yml:1:2: error: bad\n    1 | ab\n      |  ^\n");
    expect_print("a:\tb\t\tc", 1, 4, false,
                 "f.yml:1:4: error: bad\n    1 | a:      b               c\n      |         ^\n");
    expect_print("é漢x", 1, 3, false, "f.yml:1:3: error: bad\n    1 | é漢x\n      |    ^\n");
    expect_print("a\033[31m\xff\xe2\x80\xae!", 1, 8, false,
                 "f.yml:1:8: error: bad\n    1 | a?[31m?\?!\n      |        ^\n");
    expect_print("ab", 1, 9, false, "f.yml:1:9: error: bad\n    1 | ab\n      |   ^\n");
    expect_print("ab", 7, 1, false, "f.yml:7:1: error: bad\n");
    expect_print("ab", 0, 0, false, "f.yml: error: bad\n");
    expect_print("ab", 1, 1, true,
                 "\033[1mf.yml:1:1: \033[1;31merror: \033[0m\033[1mbad\033[0m\n    1 | ab\n      | "
                 "\033[1;32m^\033[0m\n");
}

static void long_lines_are_cut_around_the_caret(void **state) {
    char text[301];
    _cleanup_buf_ Buf expected = BUF_INIT;

    for (int i = 0; i < 300; i++)
        text[i] = (char)('0' + i % 10);
    text[300] = '\0';
    buf_addf(&expected, "f.yml:1:205: error: bad\n    1 | …%.100s…\n      | %*s^\n", text + 154, 51, "");
    expect_print(text, 1, 205, false, buf_str(&expected));
    buf_clear(&expected);
    buf_addf(&expected, "f.yml:1:5: error: bad\n    1 | %.100s…\n      |     ^\n", text);
    expect_print(text, 1, 5, false, buf_str(&expected));
}

static void fifty_are_printed_at_most(void **state) {
    PlanProblem items[60];
    PlanProblems problems = {items, 60};
    _cleanup_buf_ Buf out = BUF_INIT;
    int lines = 0;

    for (size_t i = 0; i < 60; i++)
        items[i] = (PlanProblem){1, 1, "bad"};
    plan_problems_print(&problems, "f.yml", "a", 1, false, &out);
    for (const char *at = buf_str(&out); (at = strstr(at, "error: bad")); at++)
        lines++;
    assert_int_equal(lines, 50);
    assert_true(str_ends(buf_str(&out), "f.yml: and 10 more\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_keys_get_the_nearest_right_word),
        cmocka_unit_test(wrong_types_say_what_was_expected),
        cmocka_unit_test(empty_things_are_refused),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(env_names_are_checked),
        cmocka_unit_test(paths_stay_in_the_workspace),
        cmocka_unit_test(needs_are_checked),
        cmocka_unit_test(circles_are_printed_once_each),
        cmocka_unit_test(a_diamond_is_no_circle),
        cmocka_unit_test(conditions_are_checked_in_their_place),
        cmocka_unit_test(the_shell_must_be_allowed),
        cmocka_unit_test(yaml_mistakes_have_their_place),
        cmocka_unit_test(a_key_that_is_there_twice_hides_nothing),
        cmocka_unit_test(all_are_found_at_once_in_the_files_order),
        cmocka_unit_test(a_problem_is_printed_with_its_line_and_a_caret),
        cmocka_unit_test(long_lines_are_cut_around_the_caret),
        cmocka_unit_test(fifty_are_printed_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
