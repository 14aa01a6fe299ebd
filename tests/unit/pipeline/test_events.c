/* on, and include. */
#include "support.h"

#define JOB "jobs:\n  test:\n    steps: [make]\n"

typedef struct World {
    const char *files[16]; /* path, content, …, NULL */
    const char *changed[8];
    size_t asked; /* how often, what has changed */
} World;

static int file_of(void *data, const char *path, const void *mem, const char **ret, size_t *ret_len,
                   Err *err) {
    const World *world = data;

    for (size_t i = 0; world->files[i]; i += 2)
        if (str_eq(world->files[i], path)) {
            *ret = world->files[i + 1];
            *ret_len = strlen(*ret);
            return 0;
        }
    return err_set(err, ERR_NOT_FOUND, "no %s", path);
}

static int changed_of(void *data, const void *mem, const char ***ret, size_t *ret_count, Err *err) {
    World *world = data;
    size_t count = 0;

    world->asked++;
    while (world->changed[count])
        count++;
    if (count == 0)
        return err_set(err, ERR_NOT_FOUND, "unknown");
    *ret = world->changed;
    *ret_count = count;
    return 0;
}

/* A pull request is one from "topic" for ref's branch. */
static Case plan_world(const char *text, const World *world, const char *event, const char *branch,
                       const char *ref) {
    PlanSource source = {.data = (void *)world, .file = file_of, .changed = changed_of};
    PlanContext context = on_main;

    context.source = &source;
    context.event = event;
    context.branch = branch;
    context.ref = ref;
    if (str_eq(event, "pull_request")) {
        context.branch = "topic";
        context.target = branch;
        context.pull_number = "7";
        context.pull_title = "WIP: faster";
    }
    return plan_in(text, &context);
}

/* Whether a push to the branch that changed the files (NULL: unknown) builds it. */
static bool wants(const char *on, const char *event, const char *name, const char *first,
                  const char *second) {
    World world = {.changed = {first, second}};
    bool tag = strcmp(event, "tag") == 0;
    _cleanup_talloc_ char *text = mem_printf(NULL, "on: %s\n" JOB, on);
    _cleanup_talloc_ char *ref = mem_printf(NULL, "refs/%s/%s", tag ? "tags" : "heads", name);
    _cleanup_case_ Case c = plan_world(text, &world, event, tag ? ref : name, ref);

    if (c.result < 0)
        fail_msg("%s: %s", on, c.err.msg);
    assert_int_equal(c.plan->nothing, c.plan->why != NULL);
    return !c.plan->nothing;
}

static void events_are_chosen(void **state) {
    assert_true(wants("push", "push", "main", NULL, NULL));
    assert_false(wants("push", "tag", "v1", NULL, NULL));
    assert_true(wants("[push, tag]", "tag", "v1", NULL, NULL));
    assert_false(wants("[tag]", "push", "main", NULL, NULL));
    assert_false(wants("push", "pull_request", "main", NULL, NULL));
    assert_true(wants("{pull_request: }", "pull_request", "main", NULL, NULL));
    assert_true(wants("{push: , tag: {}}", "push", "main", NULL, NULL));
    assert_true(wants("tag", "manual", "main", NULL, NULL));
    assert_true(wants("[tag, manual]", "manual", "main", NULL, NULL));
}

static void branches_and_tags_are_patterns(void **state) {
    assert_true(wants("{push: {branches: [main, \"release/*\"]}}", "push", "release/1", NULL, NULL));
    assert_true(wants("{push: [main, \"release/*\"]}", "push", "main", NULL, NULL));
    assert_false(wants("{push: {branches: main}}", "push", "dev", NULL, NULL));
    assert_true(wants("{tag: [\"v*\"]}", "tag", "v1.0", NULL, NULL));
    assert_false(wants("{tag: [\"v*\"]}", "tag", "x1.0", NULL, NULL));
    assert_true(wants("{tag: {names: x*}}", "tag", "x1.0", NULL, NULL));
}

static void what_a_pattern_takes_away_a_later_one_brings_back(void **state) {
    static const char on[] = "{push: [\"**\", \"!wip/**\", wip/keep]}";

    assert_true(wants(on, "push", "main", NULL, NULL));
    assert_false(wants(on, "push", "wip/x", NULL, NULL));
    assert_true(wants(on, "push", "wip/keep", NULL, NULL));
    assert_true(wants("{tag: [\"v[0-9]+.[0-9]+\"]}", "tag", "v10.2", NULL, NULL));
    assert_false(wants("{tag: [\"v[0-9]+.[0-9]+\"]}", "tag", "v10.x", NULL, NULL));
    assert_false(
        wants("{push: {paths: [\"src/**\", \"!src/docs/\"]}}", "push", "main", "src/docs/a/b", NULL));
    assert_true(wants("{push: {paths: [\"src/**\", \"!src/docs/\"]}}", "push", "main", "src/a", NULL));
    assert_true(wants("{push: {ignore: [\"**\", \"!src/**\"]}}", "push", "main", "src/a", NULL));
}

static void on_says_something(void **state) {
#define EVENTS "1:5: \"on\": expected an event, a list of events or a mapping of them, got "
    expect_problems("on: []\n" JOB, EVENTS "an empty list");
    expect_problems("on: {}\n" JOB, EVENTS "an empty mapping");
    expect_problems(
        "on: {push: true}\n" JOB,
        "1:12: \"branches\" of push of on: expected a pattern or a list of patterns, got \"true\"");
    assert_true(wants("{push: \"true\"}", "push", "true", NULL, NULL));
}

static void patterns_that_say_nothing_here_are_refused(void **state) {
#define ALONE "takes away from the patterns before it, and there is none: begin with \"**\""
#define CHOICE                                                                                               \
    "has { , }, which means nothing in a pattern: name each in a list; for the character itself write \\{"
    expect_problems("on: {push: [\"!wip\", main]}\n" JOB,
                    "1:13: \"branches\" of push of on: \"!wip\" " ALONE);
    expect_problems("on:\n  push:\n  - main\n  - !wip\n" JOB,
                    "4:5: \"branches\" of push of on: to YAML \"!\" begins a tag: put the value in quotes");
    expect_problems("on: {tag: \"v{1,2}\"}\n" JOB, "1:11: \"names\" of tag of on: \"v{1,2}\" " CHOICE);
    expect_problems(
        "on: {push: {paths: [\"*.{c,h}\", \"a[b\", \"\\\\{a,b}\\\\[\"]}}\n" JOB,
        "1:21: \"paths\" of push of on: \"*.{c,h}\" " CHOICE,
        "1:32: \"paths\" of push of on: \"a[b\" has a [ without its ]; for the character itself write "
        "\\[");
    expect_problems("on: {push: {paths: [a, \"!../b\"]}}\n" JOB,
                    "1:24: \"paths\" of push of on: \"!../b\" leaves "
                    "the workspace; expected a path without \"..\"");
    expect_problems("jobs: {t: {if: \"changed('!a')\", steps: [x]}}\n",
                    "1:17: condition of job \"t\": changed(): \"!a\" " ALONE);
    expect_problems("jobs: {t: {if: \"tag matches 'v{1,2}' || branch matches '!x'\", steps: [x]}}\n",
                    "1:29: condition of job \"t\": \"v{1,2}\" " CHOICE);
    expect_problems(
        "jobs: {t: {if: \"branch matches '!x'\", steps: [x]}}\n",
        "1:32: condition of job \"t\": \"!\" stands before what it denies: !(branch matches \"wip/*\")");
}

static void a_pull_requests_branch_is_its_target(void **state) {
    assert_true(wants("{pull_request: [main]}", "pull_request", "main", NULL, NULL));
    assert_false(wants("{pull_request: [topic]}", "pull_request", "main", NULL, NULL));
    assert_false(wants("{push: [main]}", "pull_request", "main", NULL, NULL));
    assert_true(wants("{pull_request: {paths: [\"src/**\"]}}", "pull_request", "main", "src/a", NULL));
    assert_false(wants("{pull_request: {paths: [\"src/**\"]}}", "pull_request", "main", "docs/a", NULL));
}

static bool runs_in_pull(const char *condition) {
    World world = {0};
    _cleanup_talloc_ char *text =
        mem_printf(NULL, "jobs:\n  test:\n    if: %s\n    steps: [make]\n", condition);
    _cleanup_case_ Case c = plan_world(text, &world, "pull_request", "main", "refs/pull/7/head");

    if (c.result < 0)
        fail_msg("%s: %s", condition, c.err.msg);
    return !c.plan->jobs[0].skip;
}

static void expressions_know_the_pull_request(void **state) {
    assert_true(runs_in_pull("target == 'main' && branch == 'topic'"));
    assert_true(runs_in_pull("pull_request.number == 7 && ref == 'refs/pull/7/head'"));
    assert_false(runs_in_pull("\"!contains(pull_request.title, 'WIP')\""));
    assert_true(runs_in_pull("tag == ''"));
    expect_problems("jobs:\n  test:\n    if: github.base_ref == 'main'\n    steps: [make]\n",
                    "3:9: condition of job \"test\": unknown name \"github.base_ref\"; write target");
}

static void elsewhere_there_is_no_pull_request(void **state) {
    World world = {0};
    _cleanup_case_ Case c =
        plan_world("jobs:\n  test:\n    if: target == '' && pull_request.number == ''\n    steps: [make]\n",
                   &world, "push", "main", "refs/heads/main");

    assert_int_equal(c.result, 0);
    assert_false(c.plan->jobs[0].skip);
}

static void paths_ask_what_has_changed(void **state) {
    assert_true(wants("{push: {paths: [\"src/**\"]}}", "push", "main", "docs/a", "src/a/b.c"));
    assert_false(wants("{push: {paths: [\"src/**\"]}}", "push", "main", "docs/a", "b.c"));
    assert_false(wants("{push: {ignore: [\"docs/**\"]}}", "push", "main", "docs/a", NULL));
    assert_true(wants("{push: {ignore: [\"docs/**\"]}}", "push", "main", "docs/a", "b"));
    assert_false(
        wants("{push: {paths: [\"src/**\"], ignore: [\"**/*.md\"]}}", "push", "main", "src/a.md", "b"));
    assert_true(wants("{push: {paths: [\"src/**\"]}}", "push", "main", NULL, NULL)); /* unknown */
}

#define PARTS                                                                                                \
    "on: {push: {ignore: '*.md'}}\njobs:\n"                                                                  \
    "  api: {if: \"changed('api/**', 'lib/')\", steps: [x]}\n"                                               \
    "  part: {matrix: {of: [lib, web]}, if: branch == 'main' && changed(matrix.of) || tag, steps: [x]}\n"    \
    "  late: {needs: api, if: \"always() && !changed('web')\", steps: [x]}\n"

static void jobs_ask_what_has_changed(void **state) {
    World world = {.changed = {"lib", "lib/a"}}, nothing = {0};
    _cleanup_case_ Case c = plan_world(PARTS, &world, "push", "main", "refs/heads/main");
    _cleanup_case_ Case unknown = plan_world(PARTS, &nothing, "push", "main", "refs/heads/main");
    _cleanup_case_ Case linted = plan_in(PARTS, &on_main);

    assert_false(c.plan->jobs[0].skip);
    assert_string_equal(c.plan->jobs[0].condition, "true");
    assert_string_equal(c.plan->jobs[1].name, "part (lib)");
    assert_false(c.plan->jobs[1].skip);
    assert_true(c.plan->jobs[2].skip);
    assert_string_equal(c.plan->jobs[2].condition, "branch == 'main' && false || tag");
    assert_string_equal(c.plan->jobs[3].condition, "always() && !false");
    assert_int_equal(world.asked, 1);
    assert_false(unknown.plan->jobs[2].skip);
    assert_false(linted.plan->jobs[2].skip);
    expect_problems("jobs: {a: {if: changed(), steps: [x]}}\n",
                    "1:24: condition of job \"a\": expected a value, got \")\"");
    expect_problems("jobs: {a: {if: \"changed('')\", steps: [x]}}\n",
                    "1:17: condition of job \"a\": changed() takes patterns of files: changed('src/**')");
}

static void why_nothing_is_built_is_told(void **state) {
    World world = {.changed = {"docs/a"}};
    _cleanup_case_ Case a = plan_world("on: {push: main}\n" JOB, &world, "push", "dev", "refs/heads/dev");
    _cleanup_case_ Case b =
        plan_world("on: {push: {paths: src/**}}\n" JOB, &world, "push", "dev", "refs/heads/dev");
    _cleanup_case_ Case c = plan_world("on: push\n" JOB, &world, "tag", "", "refs/tags/v1");

    assert_string_equal(a.plan->why, "it is not for branch dev");
    assert_string_equal(b.plan->why, "no file that it is for has changed");
    assert_string_equal(c.plan->why, "it is not for a tag");
    assert_int_equal(a.plan->count, 0);
}

static void bad_events_are_refused(void **state) {
    expect_problems("on: psuh\n" JOB, "1:5: unknown key \"psuh\" in on; did you mean \"push\"?");
    expect_problems("on: [push, [tag]]\n" JOB,
                    "1:12: \"on\": expected an event, a list of events or a mapping of them, got a list");
    expect_problems("on: {push: {branch: x}}\n" JOB,
                    "1:13: unknown key \"branch\" in push of on; did you mean \"branches\"?");
    expect_problems(
        "on: {push: {paths: [/etc]}}\n" JOB,
        "1:21: \"paths\" of push of on: \"/etc\" is absolute; expected a path inside the workspace");
}

/* ---- include ---- */

static void a_file_is_over_what_it_includes(void **state) {
    World world = {
        .files = {"ci/a.yml",
                  "env: {A: a, B: a}\ntemplates: {t: {timeout: 5}}\njobs: {x: {steps: [x], env: {X: 1}}}\n",
                  "ci/b.yml", "include: ci/c.yml\nenv: {B: b}\n", "ci/c.yml", "env: {C: c, B: c}\n"}};
    _cleanup_case_ Case c = plan_world("include: [{file: ci/a.yml}, ci/b.yml]\nenv: {D: d}\n"
                                       "jobs: {y: {steps: [y], extends: t}, x: {env: {Y: 2}}}\n",
                                       &world, "push", "main", "refs/heads/main");

    assert_int_equal(c.result, 0);
    assert_string_equal(c.plan->jobs[0].name, "x");
    assert_string_equal(c.plan->jobs[1].name, "y");
    _cleanup_json_ json_t *x = spec_of(&c, 0), *y = spec_of(&c, 1);
    expect_json(x, "env", "{\"A\":\"a\",\"B\":\"b\",\"C\":\"c\",\"D\":\"d\",\"X\":\"1\",\"Y\":\"2\"}");
    expect_json(y, "timeout", "5000000");
}

static void expect_included(const char *included, const char *file, int line, int column,
                            const char *message) {
    World world = {.files = {"a.yml", included}};
    _cleanup_case_ Case c = plan_world("include: a.yml\n" JOB, &world, "push", "main", "refs/heads/main");

    assert_int_equal(c.result, -ERR_INVALID);
    assert_string_equal(c.problems->items[0].message, message);
    assert_int_equal(c.problems->items[0].line, line);
    assert_int_equal(c.problems->items[0].column, column);
    if (file)
        assert_string_equal(c.problems->items[0].file, file);
    else
        assert_null(c.problems->items[0].file);
}

static void a_mistake_is_in_the_file_that_has_it(void **state) {
    _cleanup_buf_ Buf out = BUF_INIT;
    World world = {.files = {"ci/a.yml", "env: {A: x}\njobs: {z: {stesp: [x]}}\n"}};
    _cleanup_case_ Case c = plan_world("include: ci/a.yml\n" JOB, &world, "push", "main", "refs/heads/main");

    expect_included("env: {A: \"${{ brnch }}\"}\n", "a.yml", 1, 15,
                    "\"env\": unknown name \"brnch\"; did you mean \"branch\"?");
    expect_included("a: [\n", "a.yml", 2, 1, "while parsing a flow node: did not find expected node content");
    expect_included("- a\n", NULL, 1, 10, "\"include\": \"a.yml\": expected a mapping, got a list");
    expect_included("include: b.yml\n", "a.yml", 1, 10,
                    "\"include\": there is no file \"b.yml\" in the commit");
    expect_included("env: {A: x}\nenv: {}\njobs: {z: {stesp: [x]}}\n", "a.yml", 2, 1,
                    "key \"env\" is here twice (first on line 1)");
    assert_string_equal(c.err.msg,
                        "ci/a.yml:2:12: unknown key \"stesp\" in job \"z\"; did you mean \"steps\"?");
    plan_problems_print(c.problems, ".pelton.yml", JOB, strlen(JOB), false, &out);
    assert_non_null(strstr(buf_str(&out),
                           "ci/a.yml:2:12: error: unknown key \"stesp\" in job \"z\"; did you mean "
                           "\"steps\"?\n    2 | jobs: {z: {stesp: [x]}}\n      |            ^\n"));
}

static void every_file_that_cannot_be_included_is_told(void **state) {
    World world = {.files = {"a.yml", "include: c.yml\n"}};
    _cleanup_case_ Case c =
        plan_world("include: [a.yml, b.yml, ../x]\n" JOB, &world, "push", "main", "refs/heads/main");

    assert_int_equal(c.problems->count, 3);
}

/* What may stand in the file that is not there is not missed. */
static void a_wrong_include_hides_no_other_mistake(void **state) {
    static const char file[] = "include: [gone.yml, a.yml]\n"
                               "deploy: {start: ./x, job: release, branhc: main}\n"
                               "jobs:\n"
                               "  test:\n"
                               "    extends: base\n"
                               "    needs: [lint]\n"
                               "    if: inputs.level == \"full\"\n"
                               "    timeout: ${{ inputs.time }}\n"
                               "    services: {db: {image: postgres}}\n"
                               "    stesp: [make]\n"
                               "  other:\n"
                               "    steps: [\"echo ${{ inputs.x }}\", {run: x, timeout: soon}]\n"
                               "    if: brnch == \"main\"\n";
    World world = {.files = {"a.yml", "jobs: {z: {needs: z, steps: [{name: x}]}}\n"}};
    _cleanup_case_ Case c = plan_world(file, &world, "push", "main", "refs/heads/main");
    static const char *const expected[] = {
        ":1:11: \"include\": there is no file \"gone.yml\" in the commit",
        ":2:36: unknown key \"branhc\" in deploy; did you mean \"branch\"?",
        ":10:5: unknown key \"stesp\" in job \"test\"; did you mean \"steps\"?",
        ":12:55: \"timeout\" of step 2 of job \"other\": expected a duration such as 90 (seconds), 30s, 10m "
        "or "
        "1h30m, at most 30d, got \"soon\"",
        ":13:9: condition of job \"other\": unknown name \"brnch\"; did you mean \"branch\"?",
        "a.yml:1:19: job \"z\" needs itself",
    };

    assert_int_equal(c.result, -ERR_INVALID);
    for (size_t i = 0; i < MIN(c.problems->count, ELEMENTS(expected)); i++) {
        const PlanProblem *p = &c.problems->items[i];

        assert_string_equal(
            mem_printf(c.mem, "%s:%d:%d: %s", p->file ? p->file : "", p->line, p->column, p->message),
            expected[i]);
    }
    assert_int_equal(c.problems->count, ELEMENTS(expected));
}

static void includes_end(void **state) {
    World deep = {.files = {"1", "include: 2\n", "2", "include: 3\n", "3", "include: 4\n", "4",
                            "include: 5\n", "5", "include: 6\n", "6", "include: 7\n"}};
    _cleanup_case_ Case c = plan_world("include: 1\n" JOB, &deep, "push", "main", "refs/heads/main");

    expect_included("include: a.yml\n", "a.yml", 1, 10, "\"include\": \"a.yml\" includes itself");
    assert_int_equal(c.result, -ERR_INVALID);
    assert_string_equal(c.problems->items[0].message, "files include each other deeper than 5 levels");
    expect_problems("include: a.yml\n" JOB, "1:10: \"include\": \"a.yml\" cannot be read here");
    expect_included("include: ../a.yml\n", "a.yml", 1, 10,
                    "\"include\": \"../a.yml\" is no file of the commit; expected its path from the root, as "
                    "ci/common.yml");
    expect_included("include: [null]\n", "a.yml", 1, 11,
                    "\"include\": expected a file or a mapping with \"file\" alone");
    expect_problems("include: {url: x}\n" JOB,
                    "1:10: \"include\": expected a file or a mapping with \"file\" alone");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_chosen),
        cmocka_unit_test(branches_and_tags_are_patterns),
        cmocka_unit_test(what_a_pattern_takes_away_a_later_one_brings_back),
        cmocka_unit_test(on_says_something),
        cmocka_unit_test(patterns_that_say_nothing_here_are_refused),
        cmocka_unit_test(a_pull_requests_branch_is_its_target),
        cmocka_unit_test(expressions_know_the_pull_request),
        cmocka_unit_test(elsewhere_there_is_no_pull_request),
        cmocka_unit_test(paths_ask_what_has_changed),
        cmocka_unit_test(jobs_ask_what_has_changed),
        cmocka_unit_test(why_nothing_is_built_is_told),
        cmocka_unit_test(bad_events_are_refused),
        cmocka_unit_test(a_file_is_over_what_it_includes),
        cmocka_unit_test(a_mistake_is_in_the_file_that_has_it),
        cmocka_unit_test(every_file_that_cannot_be_included_is_told),
        cmocka_unit_test(a_wrong_include_hides_no_other_mistake),
        cmocka_unit_test(includes_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
