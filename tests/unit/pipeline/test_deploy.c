#include "support.h"

#define BUILD "jobs:\n  build: {steps: [make]}\n"

static void a_deploy_needs_all_jobs_and_marks_the_release(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  lint: {steps: [l]}\n  build: {steps: [make], needs: lint}\n"
                                      "deploy:\n  start: python3 app.py\n");
    _cleanup_json_ json_t *lint = spec_of(&c, 0), *build = spec_of(&c, 1);
    const PlanJob *deploy = &c.plan->jobs[2];

    assert_int_equal(c.plan->count, 3);
    assert_string_equal(deploy->name, "deploy");
    assert_string_equal(deploy->kind, "deploy");
    assert_string_equal(deploy->fit.executor, "deploy");
    assert_string_equal(deploy->fit.arch, "");
    assert_string_equal(deploy->condition, "");
    assert_int_equal(deploy->need_count, 2);
    assert_int_equal(deploy->needs[0], 0);
    assert_int_equal(deploy->needs[1], 1);
    expect_json(lint, "release", "null");
    expect_json(build, "release", "[\"**\"]");
    assert_string_equal(
        deploy->spec,
        "{\"kind\":\"deploy\",\"executor\":\"deploy\",\"timeout\":0,\"deploy\":{\"start\":\"python3 app.py\","
        "\"health\":{\"path\":\"/\",\"timeout\":30000000},\"env\":{},"
        "\"resources\":{\"memory\":0,\"cpu\":0,\"processes\":0},\"job\":\"build\"}}");
}

static void every_key_is_written(void **state) {
    _cleanup_case_ Case c =
        plan_fine("env: {CI: x}\njobs:\n  a: {steps: [x]}\n  b: {steps: [x]}\n"
                  "deploy:\n  branch: main\n  start: |\n    ./a\n  health: {path: /up?x=1, timeout: 90}\n"
                  "  env: {K: v, N: 1}\n  job: a\n  files: [dist/, ./app.py]\n"
                  "  resources: {memory: 64M, cpu: 0.25, processes: 9}\n");
    _cleanup_json_ json_t *a = spec_of(&c, 0), *b = spec_of(&c, 1), *deploy = spec_of(&c, 2);

    expect_json(a, "release", "[\"dist/**\",\"app.py\"]");
    expect_json(b, "release", "null");
    expect_json(deploy, "deploy",
                "{\"start\":\"./a\\n\",\"health\":{\"path\":\"/up?x=1\",\"timeout\":90000000},"
                "\"env\":{\"K\":\"v\",\"N\":\"1\"},"
                "\"resources\":{\"memory\":67108864,\"cpu\":250,\"processes\":9},\"job\":\"a\"}");
}

static void short_forms(void **state) {
    _cleanup_case_ Case c = plan_fine(BUILD "deploy: {start: x, health: /up, files: \"*.py\"}\n");
    _cleanup_json_ json_t *build = spec_of(&c, 0), *deploy = spec_of(&c, 1);

    expect_json(build, "release", "[\"*.py\"]");
    expect_json(deploy, "deploy/health", "{\"path\":\"/up\",\"timeout\":30000000}");
}

static void half_a_health_keeps_the_other_default(void **state) {
    _cleanup_case_ Case c = plan_fine(BUILD "deploy: {start: x, health: {timeout: 5s}}\n");
    _cleanup_json_ json_t *deploy = spec_of(&c, 1);

    expect_json(deploy, "deploy/health", "{\"path\":\"/\",\"timeout\":5000000}");
}

static void a_file_with_only_a_deploy_is_a_static_site(void **state) {
    _cleanup_case_ Case c = plan_fine("deploy: {start: serve, files: site}\n");
    _cleanup_json_ json_t *release = spec_of(&c, 0), *deploy = spec_of(&c, 1);

    assert_int_equal(c.plan->count, 2);
    assert_string_equal(c.plan->jobs[0].name, "release");
    assert_string_equal(c.plan->jobs[0].kind, "steps");
    assert_string_equal(c.plan->jobs[0].fit.executor, "sandbox");
    assert_int_equal(c.plan->jobs[1].need_count, 1);
    expect_json(release, "steps", "[]");
    expect_json(release, "checkout", "true");
    expect_json(release, "release", "[\"site\"]");
    expect_json(deploy, "deploy/job", "\"release\"");
}

static size_t jobs_for(const char *text, const char *event, const char *branch, bool *ret_nothing) {
    PlanContext context = on_main;

    context.event = event;
    context.branch = branch;
    _cleanup_case_ Case c = plan_in(text, &context);
    assert_int_equal(c.result, 0);
    *ret_nothing = c.plan->nothing;
    return c.plan->count;
}

static void only_a_push_or_a_hand_on_its_branch_deploys(void **state) {
    static const char site[] = "deploy: {start: x}\n",
                      both[] = BUILD "deploy: {start: x, branch: release/1}\n",
                      nightly[] = "on: {schedule: {nightly: \"@daily\"}}\n" BUILD
                                  "deploy: {start: x, branch: release/1}\n";
    bool nothing;

    assert_int_equal(jobs_for(site, "push", "main", &nothing), 2);
    assert_false(nothing);
    assert_int_equal(jobs_for(site, "manual", "main", &nothing), 2);
    assert_int_equal(jobs_for(site, "pull_request", "main", &nothing), 0);
    assert_true(nothing);
    assert_int_equal(jobs_for(site, "push", "dev", &nothing), 0);
    assert_int_equal(jobs_for(both, "push", "release/1", &nothing), 2);
    assert_int_equal(jobs_for(both, "push", "main", &nothing), 1);
    assert_false(nothing);
    assert_int_equal(jobs_for(both, "tag", "release/1", &nothing), 1);
    assert_int_equal(jobs_for(nightly, "schedule", "release/1", &nothing), 1);
    assert_false(nothing);
}

static void elsewhere_no_job_is_marked(void **state) {
    PlanContext context = on_main;

    context.branch = "dev";
    _cleanup_case_ Case c = plan_in(BUILD "deploy: {start: x}\n", &context);
    _cleanup_json_ json_t *build = spec_of(&c, 0);

    expect_json(build, "release", "null");
}

static void without_its_job_there_is_nothing_to_deploy(void **state) {
    _cleanup_case_ Case c =
        plan_fine("jobs:\n  build: {steps: [make], if: event == 'tag'}\ndeploy: {start: x}\n");

    assert_true(c.plan->jobs[1].skip);
    assert_string_equal(c.plan->jobs[1].condition, "false");
    assert_true(c.plan->nothing);
}

static void the_job_must_be_clear(void **state) {
    expect_problems(
        "jobs:\n  a: {steps: [x]}\n  b: {steps: [x]}\ndeploy:\n  start: x\n",
        "5:3: deploy needs a \"job\": the one whose workspace becomes the release; no other job needs these: "
        "a, b");
    expect_problems("jobs:\n  build: {steps: [x]}\ndeploy:\n  start: x\n  job: biuld\n",
                    "5:8: \"job\" of deploy: there is no job \"biuld\"; did you mean \"build\"?");
    expect_problems("deploy:\n  start: x\n  job: build\n",
                    "3:8: \"job\" of deploy: there is no job \"build\"");
    expect_problems(
        "jobs:\n  deploy: {steps: [x]}\ndeploy: {start: x}\n",
        "2:3: a job cannot be called \"deploy\" beside a \"deploy\" part, which becomes a job of that name");
}

static void a_job_called_deploy_alone_is_fine(void **state) {
    _cleanup_case_ Case c = plan_fine("jobs:\n  deploy: {steps: [x]}\n");

    assert_string_equal(c.plan->jobs[0].kind, "steps");
}

static void mistakes_are_found_on_every_branch(void **state) {
    PlanContext context = on_main;
    const char *const expected[] = {"1:9: missing key \"start\" in deploy", NULL};

    context.branch = "dev";
    expect_problems_in("deploy: {health: /}\n", &context, expected);
}

static void values_are_checked(void **state) {
    expect_problems("deploy: {start: x, health: up}\n",
                    "1:28: \"path\" of health of deploy: expected a path of a URL "
                    "such as /health, got \"up\"");
    expect_problems("deploy: {start: x, health: \"/a b\"}\n",
                    "1:28: \"path\" of health of deploy: expected a path of a URL "
                    "such as /health, got \"/a b\"");
    expect_problems("deploy: {start: x, health: [a]}\n",
                    "1:28: health of deploy: expected a path or a mapping, got a list");
    expect_problems("deploy: {start: x, branch: [a]}\n",
                    "1:28: \"branch\" of deploy: expected a branch's name, got a list");
    expect_problems("deploy: {start: [a, b]}\n", "1:17: \"start\" of deploy: expected a command, got a list");
    expect_problems("deploy: {start: x, job: [a]}\n",
                    "1:25: \"job\" of deploy: expected a job's name, got a list");
    expect_problems("deploy: {start: x, files: []}\n", "1:27: \"files\" of deploy is empty; leave it out");
    expect_problems("deploy:\n",
                    "1:1: \"deploy\" at the top level is empty; expected a mapping with \"start\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deploy_needs_all_jobs_and_marks_the_release),
        cmocka_unit_test(every_key_is_written),
        cmocka_unit_test(short_forms),
        cmocka_unit_test(half_a_health_keeps_the_other_default),
        cmocka_unit_test(a_file_with_only_a_deploy_is_a_static_site),
        cmocka_unit_test(only_a_push_or_a_hand_on_its_branch_deploys),
        cmocka_unit_test(elsewhere_no_job_is_marked),
        cmocka_unit_test(without_its_job_there_is_nothing_to_deploy),
        cmocka_unit_test(the_job_must_be_clear),
        cmocka_unit_test(a_job_called_deploy_alone_is_fine),
        cmocka_unit_test(mistakes_are_found_on_every_branch),
        cmocka_unit_test(values_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
