/* The stages dialect: every key, accepted and refused; the graph that comes of stages. */
#include "support.h"

typedef struct Stages {
    void *mem;
    Plan *plan;
    StagesInfo *info;
    PlanProblems *problems;
    Err err;
    int result;
} Stages;

static Stages stages_in(const char *text, const PlanContext *context) {
    Stages s = {.mem = talloc_new(NULL)};

    s.result = stages_plan(text, strlen(text), context, s.mem, &s.plan, &s.info, &s.problems, &s.err);
    return s;
}

static void done(Stages *s) {
    talloc_free(s->mem);
}

#define _cleanup_stages_ _cleanup_(done)

static Stages fine_in(const char *text, const PlanContext *context) {
    Stages s = stages_in(text, context);

    if (s.result < 0)
        print_error("%s\n%s\n", text, s.err.msg);
    assert_int_equal(s.result, 0);
    return s;
}

static Stages fine(const char *text) {
    return fine_in(text, &on_main);
}

static json_t *job_spec(const Stages *s, size_t job) {
    Case c = {.plan = s->plan};

    return spec_of(&c, job);
}

/* What the answer says; NULL: nothing is wrong. */
static void refused(const char *text, int code, const char *message) {
    _cleanup_stages_ Stages s = stages_in(text, &on_main);

    assert_int_equal(s.result, -code);
    assert_non_null(s.problems);
    if (!strstr(s.err.msg, message))
        fail_msg("%s\nexpected: %s\ngot: %s", text, message, s.err.msg);
}

/* All problems, a line each: "3:5 message". */
static void problems_are(const char *text, const char *expected) {
    _cleanup_stages_ Stages s = stages_in(text, &on_main);
    _cleanup_buf_ Buf out = BUF_INIT;

    assert_non_null(s.problems);
    for (size_t i = 0; i < s.problems->count; i++)
        buf_addf(&out, "%d:%d %s\n", s.problems->items[i].line, s.problems->items[i].column,
                 s.problems->items[i].message);
    assert_string_equal(buf_str(&out), expected);
}

#define INVALID(text, message) refused((text), ERR_INVALID, (message))

#define ONE                                                                                                  \
    "name: P\nstages:\n- name: S\n  steps:\n  - name: a\n    step_type: shell\n    config: {command: "       \
    "make}\n"

static void a_sequential_stage_is_one_job(void **state) {
    _cleanup_stages_ Stages s = fine("name: P\n"
                                     "description: about it\n"
                                     "stages:\n"
                                     "- name: Build\n"
                                     "  steps:\n"
                                     "  - {name: a, step_type: shell, config: {command: make}}\n"
                                     "  - {name: b, step_type: shell, config: {script: make check}}\n"
                                     "- name: Ship\n"
                                     "  steps: [{name: c, config: {command: ./ship}}]\n");
    json_t *spec = job_spec(&s, 0);

    assert_string_equal(s.info->name, "P");
    assert_string_equal(s.info->description, "about it");
    assert_int_equal(s.plan->count, 2);
    assert_string_equal(s.plan->planner, "stages");
    assert_string_equal(s.plan->jobs[0].name, "Build");
    assert_int_equal(s.plan->jobs[0].need_count, 0);
    assert_int_equal(s.plan->jobs[1].need_count, 1);
    assert_int_equal(s.plan->jobs[1].needs[0], 0);
    expect_json(spec, "steps/0/run", "\"make\"");
    expect_json(spec, "steps/1/run", "\"make check\"");
    expect_json(spec, "checkout", "true");
    expect_json(spec, "stage", "{\"index\":0,\"name\":\"Build\",\"parallel\":false}");
    json_decref(spec);
}

static void a_parallel_stage_is_a_job_a_step_and_a_barrier(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nstages:\n"
             "- {name: A, steps: [{name: x, config: {command: one}}]}\n"
             "- name: B\n  parallel: true\n"
             "  steps: [{name: x, config: {command: two}}, {name: y, config: {command: "
             "three}}]\n"
             "- {name: C, steps: [{name: x, config: {command: four}}]}\n");

    assert_int_equal(s.plan->count, 4);
    assert_string_equal(s.plan->jobs[1].name, "B / x");
    assert_string_equal(s.plan->jobs[2].name, "B / y");
    assert_int_equal(s.plan->jobs[1].need_count, 1);
    assert_int_equal(s.plan->jobs[2].needs[0], 0);
    assert_int_equal(s.plan->jobs[3].need_count, 2);
}

static void a_workspace_goes_from_stage_to_stage(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nstages:\n"
             "- {name: A, steps: [{name: x, config: {command: one}}]}\n"
             "- name: B\n  parallel: true\n"
             "  steps: [{name: x, config: {command: two}}, {name: y, config: {command: "
             "three}}]\n"
             "- {name: C, steps: [{name: x, config: {command: four}}]}\n"
             "- {name: D, steps: [{name: x, config: {command: five}}]}\n");
    json_t *first = job_spec(&s, 0), *parallel = job_spec(&s, 2), *third = job_spec(&s, 3),
           *last = job_spec(&s, 4);

    expect_json(first, "workspace", "{\"take\":[],\"keep\":\".pelton/workspace/0.tar\",\"changes\":false}");
    expect_json(parallel, "workspace",
                "{\"take\":[{\"path\":\".pelton/workspace/0.tar\",\"changes\":false,\"required\":true}],"
                "\"keep\":\".pelton/workspace/2.tar\",\"changes\":true}");
    expect_json(third, "workspace/take",
                "[{\"path\":\".pelton/workspace/0.tar\",\"changes\":false,\"required\":true},"
                "{\"path\":\".pelton/workspace/1.tar\",\"changes\":true,\"required\":true},"
                "{\"path\":\".pelton/workspace/2.tar\",\"changes\":true,\"required\":true}]");
    expect_json(last, "workspace",
                "{\"take\":[{\"path\":\".pelton/workspace/"
                "3.tar\",\"changes\":false,\"required\":true}],\"changes\":false}");
    json_decref(first);
    json_decref(parallel);
    json_decref(third);
    json_decref(last);
}

static void behind_a_stage_that_runs_after_a_failure_the_earlier_ones_still_count(void **state) {
    _cleanup_stages_ Stages s = fine("name: P\nstages:\n"
                                     "- {name: A, steps: [{name: x, config: {command: one}}]}\n"
                                     "- {name: B, condition: always(), steps: [{name: x, config: {command: "
                                     "two}}]}\n"
                                     "- {name: C, steps: [{name: x, config: {command: three}}]}\n");

    assert_string_equal(s.plan->jobs[1].condition, "always()");
    assert_int_equal(s.plan->jobs[2].need_count, 2);
    assert_int_equal(s.plan->jobs[2].needs[0], 1);
    assert_int_equal(s.plan->jobs[2].needs[1], 0);
}

static void names_of_jobs_are_unique(void **state) {
    _cleanup_stages_ Stages s = fine("name: P\nstages:\n"
                                     "- {name: A, steps: [{name: x, config: {command: one}}]}\n"
                                     "- {name: A, steps: [{name: x, config: {command: two}}]}\n");

    assert_string_not_equal(s.plan->jobs[0].name, s.plan->jobs[1].name);
}

static void timeouts_and_retries_go_to_build_job_and_step(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\ntimeout: 1800\nretry_count: 2\nstages:\n"
             "- name: A\n  timeout: 60\n  retry_count: 0\n"
             "  steps: [{name: x, timeout: 5, continue_on_error: true, config: {command: "
             "one}}]\n"
             "- {name: B, steps: [{name: x, config: {command: two}}]}\n");
    json_t *spec = job_spec(&s, 0);

    assert_int_equal(s.plan->timeout_us, 1800000000);
    assert_null(s.plan->jobs[0].retry);
    assert_string_equal(
        s.plan->jobs[1].retry,
        "{\"times\":2,\"on\":[\"exit\",\"timeout\",\"oom\",\"infrastructure\"],\"backoff\":0}");
    expect_json(spec, "timeout", "60000000");
    expect_json(spec, "steps/0/timeout", "5000000");
    expect_json(spec, "steps/0/continue_on_error", "true");
    json_decref(spec);
}

static void environments_lie_over_each_other(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nenvironment: {A: one, B: two, N: 3}\nstages:\n"
             "- name: S\n  environment: {B: \"${A}-${CI_BRANCH}\"}\n"
             "  steps: [{name: x, config: {command: env, environment: {C: \"${B}!\", A: own}}}]\n");
    json_t *spec = job_spec(&s, 0);

    expect_json(spec, "env/A", "\"one\"");
    expect_json(spec, "env/B", "\"one-main\"");
    expect_json(spec, "env/N", "\"3\"");
    expect_json(spec, "env/CI_COMMIT_SHORT_SHA", "\"01234567\"");
    expect_json(spec, "steps/0/env", "{\"C\":\"one-main!\",\"A\":\"own\"}");
    json_decref(spec);
}

static void what_was_given_by_hand_wins_everywhere(void **state) {
    PlanContext context = on_main;

    context.env = "{\"A\":\"hand\",\"X\":\"new\"}";
    _cleanup_stages_ Stages s =
        fine_in("name: P\nenvironment: {A: one, B: \"${A} ${X}\"}\nstages:\n"
                "- name: S\n  condition: ${A} == 'hand'\n"
                "  steps: [{name: x, config: {command: env, environment: {A: own}}}]\n",
                &context);
    json_t *spec = job_spec(&s, 0);

    expect_json(spec, "env/A", "\"hand\"");
    expect_json(spec, "env/B", "\"hand new\"");
    expect_json(spec, "env/X", "\"new\"");
    expect_json(spec, "steps/0/env/A", "\"hand\"");
    assert_false(s.plan->jobs[0].skip);
    json_decref(spec);
}

static void a_variable_that_is_only_an_unknown_name_is_left_to_others(void **state) {
    _cleanup_stages_ Stages s = fine("name: P\nenvironment: {TOKEN: \"${TOKEN}\", T: \"x${NOPE}\", D: "
                                     "\"${NOPE:-v1}\"}\n"
                                     "stages: [{name: S, steps: [{name: x, config: {command: env}}]}]\n");
    json_t *spec = job_spec(&s, 0);

    assert_null(json_object_get(json_object_get(spec, "env"), "TOKEN"));
    expect_json(spec, "env/T", "\"x${NOPE}\"");
    expect_json(spec, "env/D", "\"v1\"");
    json_decref(spec);
}

static void values_that_grow_without_end_are_left_alone(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;
    json_t *spec;

    buf_adds(&text, "name: P\nenvironment:\n  V0: 0123456789\n");
    for (int i = 1; i < 100; i++)
        buf_addf(&text, "  V%d: \"${V%d}${V%d}\"\n", i, i - 1, i - 1);
    buf_adds(&text, "stages: [{name: S, steps: [{name: x, config: {command: env}}]}]\n");
    _cleanup_stages_ Stages s = fine(buf_str(&text));
    assert_true(strlen(s.plan->jobs[0].spec) < 4 * 1024 * 1024);
    spec = job_spec(&s, 0);
    expect_json(spec, "env/V1", "\"01234567890123456789\"");
    json_decref(spec);
}

static void folders_may_be_written_as_people_do(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nstages:\n- name: S\n  steps:\n"
             "  - {name: a, config: {command: one, working_directory: .}}\n"
             "  - {name: b, config: {command: two, working_directory: ./sub//deep/./}}\n"
             "- {name: T, steps: [{name: c, step_type: docker, config: {dockerfile: ./Dockerfile, "
             "build_context: ./, image: x}}]}\n");
    json_t *spec = job_spec(&s, 0), *image = job_spec(&s, 1);

    expect_json(spec, "steps/0/working_directory", "\"\"");
    expect_json(spec, "steps/1/working_directory", "\"sub/deep\"");
    expect_json(image, "steps/0/with/build", "\".\"");
    expect_json(image, "steps/0/with/file", "\"Dockerfile\"");
    json_decref(spec);
    json_decref(image);
}

static void steps_of_another_container_are_another_job_of_the_stage(void **state) {
    _cleanup_stages_ Stages s = fine(
        "name: P\nenvironment: {V: \"18\"}\nstages:\n- name: S\n  steps:\n"
        "  - {name: a, config: {command: one}}\n"
        "  - {name: b, step_type: docker, config: {image: \"node:${V}\", command: two, working_directory: "
        "/workspace/sub}}\n"
        "  - {name: c, config: {image: \"node:${V}\", script: three, working_directory: /app}}\n"
        "  - {name: d, step_type: docker, config: {command: four}}\n"
        "- {name: T, steps: [{name: e, config: {command: five}}]}\n");
    json_t *first = job_spec(&s, 0), *second = job_spec(&s, 1), *third = job_spec(&s, 2),
           *last = job_spec(&s, 3);

    assert_int_equal(s.plan->count, 4);
    expect_json(first, "executor", "\"sandbox\"");
    expect_json(second, "executor", "\"docker\"");
    expect_json(second, "image", "\"node:18\"");
    expect_json(second, "steps/0/working_directory", "\"sub\"");
    expect_json(second, "steps/1/env", "{\"STEP_FOLDER\":\"/app\"}");
    expect_json(third, "image", "\"ubuntu:latest\"");
    assert_string_equal(s.plan->jobs[1].fit.executor, "docker");
    assert_int_equal(s.plan->jobs[1].needs[0], 0);
    assert_int_equal(s.plan->jobs[3].need_count, 1);
    assert_int_equal(s.plan->jobs[3].needs[0], 2);
    expect_json(second, "workspace/take",
                "[{\"path\":\".pelton/workspace/0.tar\",\"changes\":false,\"required\":true}]");
    expect_json(third, "workspace/keep", "\".pelton/workspace/2.tar\"");
    expect_json(last, "workspace/take",
                "[{\"path\":\".pelton/workspace/2.tar\",\"changes\":false,\"required\":true}]");
    json_decref(first);
    json_decref(second);
    json_decref(third);
    json_decref(last);
}

static void an_image_is_built_and_run(void **state) {
    _cleanup_stages_ Stages s = fine(
        "name: P\nstages:\n- name: S\n  steps:\n"
        "  - {name: a, step_type: docker, config: {dockerfile: ./api/Dockerfile, build_context: api/, image: "
        "\"app:${CI_COMMIT_SHORT_SHA}\", tags: [\"app:latest\"], registry: r.example.com}}\n"
        "  - {name: b, step_type: docker, config: {dockerfile: Dockerfile, command: test, image: tested}}\n");
    json_t *build = job_spec(&s, 0), *run = job_spec(&s, 1);

    assert_int_equal(s.plan->count, 2);
    expect_json(build, "executor", "\"docker\"");
    assert_null(json_object_get(build, "image"));
    expect_json(build, "steps/0/uses", "\"docker\"");
    expect_json(build, "steps/0/with",
                "{\"build\":\"api\",\"file\":\"Dockerfile\",\"tag\":[\"r.example.com/app:01234567\","
                "\"r.example.com/app:latest\"],\"push\":true}");
    expect_json(build, "steps/1/name", "\"b (image)\"");
    expect_json(build, "steps/1/with/push", "false");
    expect_json(run, "image", "\"tested\"");
    expect_json(run, "steps/0/run", "\"test\"");
    json_decref(build);
    json_decref(run);
}

static void what_containers_cannot_do_is_told(void **state) {
    INVALID("name: P\nstages:\n- name: S\n  parallel: true\n  steps:\n"
            "  - {name: a, step_type: docker, config: {dockerfile: Dockerfile, command: x}}\n",
            "in a parallel stage a step builds an image or runs in one");
    INVALID("name: P\nstages:\n- {name: A, steps: [{name: a, config: {command: x}}]}\n"
            "- name: S\n  condition: failure()\n  steps:\n"
            "  - {name: a, config: {command: x}}\n  - {name: b, config: {image: i, command: x}}\n",
            "runs only after a failure");
}

static void conditions_speak_of_variables(void **state) {
    static const struct {
        const char *condition;
        bool skip;
    } cases[] = {
        {"${BRANCH} == 'main'", false},
        {"$BRANCH == 'dev'", true},
        {"'${BRANCH}' == \"main\"", false},
        {"branch == 'main' && event == 'push'", false},
        {"${NOPE} == ''", false},
        {"${CI_BRANCH} == 'main' || ${CI_BRANCH} == 'develop'", false},
        {"${BRANCH} == 'main' && ${PASSED} == 'true'", true},
        {"always", false},
        {"success", false},
        {"on_failure", true},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL,
                       "name: P\nenvironment: {PASSED: \"false\"}\nstages:\n- name: S\n  condition: \"%s\"\n"
                       "  steps: [{name: x, config: {command: env}}]\n",
                       strchr(cases[i].condition, '"') ? "'${BRANCH}' == 'main'" : cases[i].condition);
        _cleanup_stages_ Stages s = fine(text);

        if (s.plan->jobs[0].skip != cases[i].skip)
            fail_msg("%s: skip is %d", cases[i].condition, s.plan->jobs[0].skip);
        assert_int_equal(s.plan->nothing, cases[i].skip);
    }
}

static void a_value_cannot_break_out_of_a_condition(void **state) {
    PlanContext context = on_main;

    context.env = "{\"A\":\"x' || true || '\"}";
    _cleanup_stages_ Stages s = fine_in("name: P\nstages:\n- name: S\n  condition: ${A} == 'x'\n"
                                        "  steps: [{name: x, config: {command: env}}]\n",
                                        &context);
    assert_true(s.plan->jobs[0].skip);
    context.env = "{\"A\":\"x'\\\"\"}";
    _cleanup_stages_ Stages both = stages_in("name: P\nstages:\n- name: S\n  condition: ${A} == 'x'\n"
                                             "  steps: [{name: x, config: {command: env}}]\n",
                                             &context);
    assert_int_equal(both.result, -ERR_INVALID);
}

static void a_condition_of_a_step_goes_to_the_runner(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nstages: [{name: S, steps: [{name: x, condition: \"${BRANCH} == "
             "'dev'\", config: {command: env}}]}]\n");
    json_t *spec = job_spec(&s, 0);

    expect_json(spec, "steps/0/if", "\"'main' == 'dev'\"");
    json_decref(spec);
}

static void a_step_with_a_repository_clones(void **state) {
    static const char *const steps[] = {
        "{name: clone, step_type: shell, config: {command: x, repository_url: \"https://x/y\", branch: b}}",
        "{name: get, step_type: github, config: {repository_url: \"https://x/y\", branch: b}}",
        "{name: get, step_type: git_hub, config: {repository_url: \"https://x/y\", branch: b}}",
        "{name: get, step_type: gitlab, config: {repository_url: \"https://x/y\", branch: b, action: clone}}",
    };

    for (size_t i = 0; i < ELEMENTS(steps); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL, "name: P\nstages: [{name: S, steps: [%s]}]\n", steps[i]);
        _cleanup_stages_ Stages s = fine(text);
        json_t *spec = job_spec(&s, 0);

        expect_json(spec, "steps/0/env", "{\"CLONE_URL\":\"https://x/y\",\"CLONE_BRANCH\":\"b\"}");
        assert_null(strstr(
            json_string_value(json_object_get(json_array_get(json_object_get(spec, "steps"), 0), "run")),
            "https://x"));
        json_decref(spec);
    }
}

#define STEP(more) "{name: x, config: {command: x}" more "}"

static void secrets_reach_what_names_them(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nsecrets: ALL\nstages:\n"
             "- {name: A, secrets: [STAGE, ALL], steps: [" STEP(", secrets: [OWN, STAGE]") ", " STEP(
                 "") "]}\n"
                     "- {name: B, steps: [{name: x, config: {command: x, secrets: CONFIG}}]}\n"
                     "- {name: C, parallel: true, steps: [" STEP(", secrets: OTHER") ", " STEP("") "]}\n");
    json_t *a = job_spec(&s, 0), *b = job_spec(&s, 1), *c = job_spec(&s, 2), *d = job_spec(&s, 3);

    expect_json(a, "secrets", "[\"ALL\",\"STAGE\",\"OWN\"]");
    expect_json(a, "steps/0/secrets", "[\"OWN\"]");
    assert_null(json_object_get(json_array_get(json_object_get(a, "steps"), 1), "secrets"));
    expect_json(b, "secrets", "[\"ALL\",\"CONFIG\"]");
    expect_json(c, "secrets", "[\"ALL\",\"OTHER\"]");
    expect_json(d, "secrets", "[\"ALL\"]");
    json_decref(a);
    json_decref(b);
    json_decref(c);
    json_decref(d);
}

static void who_names_no_secret_gets_none(void **state) {
    _cleanup_stages_ Stages s = fine(ONE);
    json_t *spec = job_spec(&s, 0);

    assert_null(json_object_get(spec, "secrets"));
    json_decref(spec);
}

static void bad_secrets_are_refused(void **state) {
    INVALID(ONE "secrets: {A: b}\n", "\"secrets\": expected names of secrets, got a mapping");
    INVALID(ONE "secrets: [A, [B]]\n", "\"secrets\": expected names of secrets, got a list");
    INVALID(ONE "secrets: [my-token]\n", "\"secrets\": \"my-token\" is not a secret's name");
    INVALID("name: P\nstages: [{name: S, secrets: \"${TOKEN}\", steps: [" STEP("") "]}]\n",
            "\"secrets\": \"${TOKEN}\" is not a secret's name");
    INVALID("name: P\nstages: [{name: S, steps: [" STEP(", secrets: 1A") "]}]\n",
            "\"1A\" is not a secret's name");
}

static void many_secrets_of_one_job_are_refused(void **state) {
    _cleanup_buf_ Buf text = BUF_INIT;

    buf_adds(&text, "name: P\nstages:\n- name: S\n  steps:\n");
    for (int i = 0; i < 201; i++)
        buf_addf(&text, "  - {name: s%d, config: {command: x}, secrets: [A%d]}\n", i, i);
    INVALID(buf_str(&text), "Stage 'S' names more than 200 secrets for one job");
}

static void credentials_of_a_clone_are_a_secret(void **state) {
#define CLONE(credentials)                                                                                   \
    "name: P\nstages: [{name: S, steps: [{name: get, step_type: github, config: {repository_url: u, "        \
    "credentials: " credentials "}}]}]\n"
    _cleanup_stages_ Stages s = fine(CLONE("DEPLOY_KEY")), v = fine(CLONE("\"${TOKEN}\""));
    json_t *spec = job_spec(&s, 0), *variable = job_spec(&v, 0);
    const char *run =
        json_string_value(json_object_get(json_array_get(json_object_get(spec, "steps"), 0), "run"));

    expect_json(spec, "secrets", "[\"DEPLOY_KEY\"]");
    expect_json(spec, "steps/0/secrets", "[\"DEPLOY_KEY\"]");
    assert_non_null(str_after(run, "CLONE_LOGIN=\"${DEPLOY_KEY-}\"\n"));
    assert_null(json_object_get(variable, "secrets"));
    INVALID(CLONE("\"a b; reboot\""), "\"credentials\": expected the name of a secret or ${VARIABLE}");
    json_decref(spec);
    json_decref(variable);
}

static void the_magic_can_be_turned_off(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nstages: [{name: S, steps: [{name: clone, config: {command: mine, "
             "repository_url: u, disable_deployment_detection: true}}]}]\n");
    json_t *spec = job_spec(&s, 0);

    expect_json(spec, "steps/0/run", "\"mine\"");
    json_decref(spec);
}

static void steps_of_later_versions_are_refused_with_that_reason(void **state) {
    static const char *const steps[] = {
        "{name: a, step_type: aws, config: {service: ecs, action: update-service, parameters: {cluster: c, "
        "service: s}}}",
        "{name: a, step_type: a_w_s, config: {}}",
        "{name: a, step_type: azure, config: {parameters: {azure_service: aci}}}",
        "{name: a, step_type: gcp, config: {service: gke, action: upgrade}}",
        "{name: a, step_type: g_c_p}",
        "{name: a, step_type: github, config: {action: create-release, repository: u/x, tag: v1}}",
        "{name: a, step_type: git_lab, config: {action: mirror, source_repo: a, target_repo: b, branch: "
        "main, force_push: false}}",
        "{name: a, step_type: kubernetes, config: {image: i, command: c, namespace: production}}",
        "{name: a, step_type: custom, config: {plugin_name: p}}",
        "{name: a, step_type: custom, config: {plugin_name: p, plugin_config: {x: y}}}",
    };

    for (size_t i = 0; i < ELEMENTS(steps); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL, "name: P\nstages: [{name: S, steps: [%s]}]\n", steps[i]);

        refused(text, ERR_UNSUPPORTED, "Step 'a' in stage 'S': ");
        refused(text, ERR_UNSUPPORTED, "by a later version");
    }
}

static void connectors_are_checked_already(void **state) {
    static const char *const cases[][2] = {
        {"step_type: aws, config: {parameters: {aws_service: s3}}", "\"aws_service\": expected one of"},
        {"step_type: azure, config: {parameters: {azure_subscription_id: 12}}", "36 characters"},
        {"step_type: gcp, config: {parameters: {gcp_project_id: A}}", "6 to 30"},
        {"step_type: github, config: {parameters: {github_repository: x}}", "OWNER/NAME"},
        {"step_type: github, config: {parameters: {github_workflow: x.txt}}", ".yml"},
        {"step_type: gitlab, config: {parameters: {gitlab_url: ftp}}", "http://"},
        {"step_type: gitlab, config: {parameters: {gitlab_project: a}}", "GROUP/NAME"},
        {"step_type: kubernetes, config: {image: i, namespace: -x, command: c}", "\"namespace\""},
        {"step_type: kubernetes, config: {image: x}", "nothing to do"},
        {"step_type: kubernetes, config: {command: c}", "missing \"image\""},
        {"step_type: kubernetes, config: {image: x y, command: c}",
         "\"image\": expected a name without spaces"},
        {"step_type: custom", "nothing to do; expected \"plugin_name\""},
        {"step_type: custom, config: {plugin_name: [p]}", "\"plugin_name\": expected a text, got a list"},
        {"step_type: custom, config: {plugin_name: p, plugin_config: x}",
         "\"plugin_config\": expected a mapping"},
        {"step_type: docker, config: {image: a b, command: c}", "no spaces"},
        {"step_type: docker, config: {image: a}", "nothing to do"},
        {"step_type: docker, config: {dockerfile: Dockerfile}", "a name for the image"},
        {"step_type: docker, config: {image: a, dockerfile: x, tags: b}", "\"tags\": expected a list"},
        {"step_type: docker, config: {image: a, dockerfile: x, tags: [[b]]}",
         "\"tags\": expected names of images"},
        {"step_type: docker, config: {image: a, dockerfile: ../x}", "inside the workspace"},
        {"step_type: docker, config: {image: a, dockerfile: b/x, build_context: c}",
         "below \"build_context\""},
        {"step_type: dokcer", "unknown step type \"dokcer\"; did you mean \"docker\"?"},
        {"step_type: shell", "nothing to run"},
        {"step_type: shell, config: {command: {a: b}}", "\"command\": expected"},
        {"step_type: shell, config: {command: x, working_directory: ../y}", "working_directory"},
        {"step_type: shell, config: {command: x, working_directory: /etc}", "working_directory"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL, "name: P\nstages: [{name: S, steps: [{name: a, %s}]}]\n", cases[i][0]);

        INVALID(text, cases[i][1]);
    }
}

static void mistakes_of_connectors_have_their_places_beside_the_reason(void **state) {
#define LATER " are run by a later version; until then, use a shell step with the command line tool\n"
    problems_are("name: P\nstages:\n- name: S\n  steps:\n"
                 "  - name: a\n    step_type: aws\n    config:\n"
                 "      service: ecs\n      action: update-service\n"
                 "      parameters: {cluster: [c], aws_regoin: x}\n",
                 "6:16 Step 'a' in stage 'S': steps on AWS" LATER
                 "10:19 Step 'a' in stage 'S': missing \"service\" for update-service\n"
                 "10:29 Step 'a' in stage 'S': \"cluster\": expected a text, got a list\n"
                 "10:34 Step 'a' in stage 'S': unknown key \"aws_regoin\"; did you mean \"aws_region\"?\n");
    problems_are(
        "name: P\nstages:\n- name: S\n  steps:\n"
        "  - name: a\n    step_type: kubernetes\n    config:\n"
        "      image: i\n      command: c\n      parameters:\n"
        "        use_pvc: maybe\n        use_pcv: true\n        storage_size: much\n"
        "        resource_limits: {cpu: lots, memory: 1Zi}\n        resource_requests: 3\n"
        "        mine: own\n",
        "6:16 Step 'a' in stage 'S': steps on Kubernetes" LATER
        "11:18 Step 'a' in stage 'S': \"use_pvc\": expected true or false, got a string\n"
        "12:9 Step 'a' in stage 'S': unknown key \"use_pcv\"; did you mean \"use_pvc\"?\n"
        "13:23 Step 'a' in stage 'S': \"storage_size\": expected an amount like 10Gi, got \"much\"\n"
        "14:32 Step 'a' in stage 'S': \"resource_limits.cpu\": expected an amount like 100m or 0.5, got "
        "\"lots\"\n"
        "14:46 Step 'a' in stage 'S': \"resource_limits.memory\": expected an amount like 128Mi or 1G, "
        "got \"1Zi\"\n"
        "15:28 Step 'a' in stage 'S': \"resource_requests\": expected a mapping, got a number\n");
    problems_are(
        "name: P\nstages:\n- name: S\n  steps:\n"
        "  - {name: a, step_type: gitlab, config: {action: miror, parameters: {gitlab_variables: {A: "
        "[b]}}}}\n"
        "  - {name: b, step_type: github, config: {action: create-release, github_token: \"\"}}\n"
        "  - {name: c, step_type: azure, config: {service: aci}}\n"
        "  - {name: d, step_type: gcp, config: {parameters: [x]}}\n",
        "5:26 Step 'a' in stage 'S': steps on GitLab that do more than clone" LATER
        "5:51 Step 'a' in stage 'S': \"action\": expected one of mirror update-merge-request "
        "trigger_pipeline create_release upload_package create_mr clone push, got \"miror\"\n"
        "5:93 Step 'a' in stage 'S': \"gitlab_variables.A\": expected a text, got a list\n"
        "6:26 Step 'b' in stage 'S': steps on GitHub that do more than clone" LATER
        "6:42 Step 'b' in stage 'S': missing \"repository\" for create-release\n"
        "6:42 Step 'b' in stage 'S': missing \"tag\" for create-release\n"
        "6:81 Step 'b' in stage 'S': \"github_token\": expected a text, got an empty one\n"
        "7:26 Step 'c' in stage 'S': steps on Azure" LATER
        "7:51 Step 'c' in stage 'S': missing \"action\" beside \"service\"\n"
        "8:26 Step 'd' in stage 'S': steps on Google Cloud" LATER
        "8:52 \"parameters\": expected a mapping, got a list\n");
}

static void an_image_that_is_only_run_needs_no_name(void **state) {
    const char *text =
        "name: P\nstages: [{name: S, steps: [{name: a, step_type: docker, config: {dockerfile: "
        "Dockerfile.build, command: make}}]}]\n";
    _cleanup_stages_ Stages first = fine(text), second = fine(text);
    json_t *build = job_spec(&first, 0), *run = job_spec(&first, 1), *other = job_spec(&second, 1);
    const char *image = json_string_value(json_object_get(run, "image"));
    json_t *step = json_array_get(json_object_get(build, "steps"), 0);

    assert_non_null(str_after(image, "pelton-step-"));
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(json_object_get(step, "with"), "tag"), 0)), image);
    assert_string_not_equal(image, json_string_value(json_object_get(other, "image")));
    json_decref(build);
    json_decref(run);
    json_decref(other);
}

static void mistakes_are_told_in_the_words_of_the_contract(void **state) {
    INVALID("stages: [{name: S, steps: [{name: x, config: {command: c}}]}]", "Pipeline name cannot be empty");
    INVALID("name: ''\nstages: [{name: S, steps: [{name: x, config: {command: c}}]}]",
            "Pipeline name cannot be empty");
    INVALID("name: P", "Pipeline must have at least one stage");
    INVALID("name: P\nstages: []", "Pipeline must have at least one stage");
    INVALID("name: P\nstages: [{name: '', steps: [{name: x, config: {command: c}}]}]",
            "Stage 1 name cannot be empty");
    INVALID("name: P\nstages: [{name: S}]", "Stage 'S' must have at least one step");
    INVALID("name: P\nstages: [{name: S, steps: []}]", "Stage 'S' must have at least one step");
    INVALID("name: P\nstages: [{name: S, steps: [{config: {command: c}}]}]",
            "Step 1 in stage 'S' name cannot be empty");
    INVALID("name: [", "Invalid YAML configuration: ");
    INVALID("---\nname: a\n---\nname: b\n", "Invalid YAML configuration: ");
    INVALID("", "Invalid YAML configuration: ");
    INVALID("[a]", "expected a mapping");
}

static void values_of_the_wrong_kind_are_refused(void **state) {
    static const char *const cases[][2] = {
        {"timeout: soon", "\"timeout\""},
        {"timeout: 0", "\"timeout\""},
        {"retry_count: -1", "\"retry_count\""},
        {"retry_count: many", "\"retry_count\""},
        {"environment: [a]", "\"environment\": expected a mapping"},
        {"environment: {1A: x}", "is not a variable's name"},
        {"environment: {A: [x]}", "\"environment.A\": expected a text"},
        {"environment: {PELTON_JOB: x}", "Pelton sets PELTON_JOB in every step"},
        {"triggers: {a: b}", "\"triggers\": expected a list"},
        {"triggers: [{trigger_type: moon}]", "unknown trigger type \"moon\""},
        {"triggers: [{trigger_type: schedule, config: {cron_expression: x}}]", "\"cron_expression\""},
        {"triggers: [{trigger_type: schedule}]", "\"cron_expression\""},
        {"triggers: [{trigger_type: git_push, config: {branch_patterns: main}}]", "\"branch_patterns\""},
        {"triggers: [{trigger_type: git_push, config: {branch_patterns: [[main]]}}]",
         "\"branch_patterns\": expected a text, got a list"},
        {"notifications: [x]", "\"notifications\": expected a mapping"},
        {"notifications: {on_start: {a: b}}", "\"on_start\": expected a list"},
        {"notifications: {on_start: [{target_type: pigeon}]}", "unknown target type \"pigeon\""},
        {"notifications: {on_start: [{target_type: email, config: {}}]}", "missing \"email\""},
        {"notifications: {on_start: [{target_type: webhook}]}", "missing \"webhook_url\""},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _cleanup_talloc_ char *text = mem_printf(NULL, ONE "%s\n", cases[i][0]);

        INVALID(text, cases[i][1]);
    }
    INVALID(
        "name: P\nstages: [{name: S, condition: \"branch = x\", steps: [{name: x, config: {command: c}}]}]",
        "condition of stage 'S'");
    INVALID("name: P\nstages: [{name: S, parallel: maybe, steps: [{name: x, config: {command: c}}]}]",
            "\"parallel\"");
}

static void all_mistakes_are_found_at_once(void **state) {
    problems_are(
        "notifications:\n"
        "  on_failure: [{target_type: pigeon}, x, {target_type: email, config: {email: nobody}}]\n"
        "timeout: x\n"
        "stages:\n"
        "- steps:\n"
        "  - {step_type: moon}\n"
        "  name: ''\n"
        "- name: T\n"
        "triggers: [{trigger_type: schedule, config: {cron_expression: \"61 * * * *\", timezone: Moon}}]\n"
        "name: [x]\n",
        "2:30 unknown target type \"pigeon\"; expected email, slack, webhook or git_hub\n"
        "2:39 a notification: expected a mapping with \"target_type\"\n"
        "2:79 \"email\": expected an address for mail, or several with commas between them, got "
        "\"nobody\"\n"
        "3:10 \"timeout\": expected seconds, more than 0 and at most 30 days\n"
        "6:5 Step 1 in stage '' name cannot be empty\n"
        "6:17 Step '' in stage '': unknown step type \"moon\"; expected shell, docker, kubernetes, aws, "
        "azure, gcp, github, gitlab or custom\n"
        "7:9 Stage 1 name cannot be empty\n"
        "8:3 Stage 'T' must have at least one step\n"
        "9:63 \"cron_expression\": \"61\" is no minute; expected 0 to 59, ranges (1-5), lists (1,5), steps "
        "(*/5) or *\n"
        "9:87 \"timezone\": time zone \"Moon\" is not known here; expected a name such as Europe/Berlin, or "
        "UTC\n"
        "10:7 Pipeline name: expected a text, got a list\n");
}

static void whom_a_notification_reaches_is_checked(void **state) {
    static const char *const cases[][2] = {
        {"email, config: {email: a@b@c}", "\"email\": expected an address for mail"},
        {"email, config: {email: \"a@b.c, nobody\"}", "\"email\": expected an address for mail"},
        {"email, config: {email: \", \"}", "\"email\": expected an address for mail"},
        {"email, config: {email: [a@b.c]}", "\"email\": expected a text, got a list"},
        {"webhook, config: {webhook_url: hooks.example.com}", "\"webhook_url\": expected an http://"},
        {"webhook, config: {webhook_url: \"ftp://x/\"}", "\"webhook_url\": expected an http://"},
        {"webhook, config: {webhook_url: \"https:///x\"}", "\"webhook_url\": expected an http://"},
        {"webhook, config: {webhook_url: \"https://a b/\"}", "\"webhook_url\": expected an http://"},
        {"slack, config: {webhook_url: x}", "\"webhook_url\": expected an http://"},
        {"slack, config: {slack_channel: x}", "missing \"webhook_url\""},
        {"slack, config: {slack_token: x}", "missing \"slack_channel\""},
        {"slack, config: x", "\"config\": expected a mapping"},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        _cleanup_talloc_ char *text =
            mem_printf(NULL, ONE "notifications: {on_success: [{target_type: %s}]}\n", cases[i][0]);

        INVALID(text, cases[i][1]);
    }
    _cleanup_stages_ Stages s =
        fine(ONE "notifications:\n  on_start:\n"
                 "  - {target_type: email, config: {email: \"a@b.c, d@e.f\"}}\n"
                 "  - {target_type: email, config: {email: \"${MAIL}\"}}\n"
                 "  - {target_type: webhook, config: {webhook_url: \"http://[::1]:8080/x?y#z\"}}\n"
                 "  - {target_type: webhook, config: {webhook_url: \"${HOOK}\"}}\n"
                 "  - {target_type: slack, config: {slack_token: x, slack_channel: y}}\n"
                 "  - {target_type: git_hub}\n");
    assert_int_equal(s.plan->notice_count, 6);
}

static void triggers_are_read(void **state) {
    _cleanup_stages_ Stages s = fine(
        ONE
        "triggers:\n"
        "- trigger_type: manual\n"
        "- {trigger_type: git_push, config: {branch_patterns: [main, \"release/*\"], repository: u/x}}\n"
        "- {trigger_type: schedule, config: {cron_expression: \"0 2 * * *\"}}\n"
        "- {trigger_type: schedule, config: {cron_expression: \"0 0 2 * * *\", timezone: Europe/Berlin}}\n"
        "- {trigger_type: webhook, config: {webhook_url: /webhook/x}}\n"
        "- {trigger_type: git_tag, config: {tag_patterns: [\"v*\"]}}\n"
        "- {trigger_type: pull_request, config: {events: [opened]}}\n");
    const StagesTrigger *t = s.info->triggers;

    assert_int_equal(s.info->trigger_count, 7);
    assert_string_equal(t[0].type, "manual");
    assert_string_equal(t[1].branches[1], "release/*");
    assert_null(t[1].branches[2]);
    assert_string_equal(t[1].repository, "u/x");
    assert_string_equal(t[2].cron, "0 2 * * *");
    assert_string_equal(t[3].timezone, "Europe/Berlin");
    assert_string_equal(t[5].tags[0], "v*");
    assert_string_equal(t[6].events[0], "opened");
    assert_int_equal(s.plan->schedule_count, 2);
    assert_string_equal(s.plan->schedules[0].name, "trigger-3");
    assert_string_equal(s.plan->schedules[1].name, "trigger-4");
    assert_string_equal(s.plan->schedules[1].cron, "0 0 2 * * *");
    assert_string_equal(s.plan->schedules[1].timezone, "Europe/Berlin");
}

static void notifications_are_planned(void **state) {
    _cleanup_stages_ Stages s = fine(
        ONE "environment: {T: secret}\nnotifications:\n"
            "  on_start: [{target_type: git_hub, config: {github_status: true}}]\n"
            "  on_success: [{target_type: slack, config: {slack_channel: \"#x\", slack_token: \"${T}\"}}]\n"
            "  on_failure: [{target_type: email, config: {email: a@b.c}}, {target_type: webhook, config: "
            "{webhook_url: \"https://x/\"}}]\n");

    assert_int_equal(s.plan->notice_count, 4);
    assert_string_equal(s.plan->notices[0].kind, "status");
    assert_string_equal(s.plan->notices[0].moment, "start");
    assert_string_equal(s.plan->notices[1].config, "{\"slack_channel\":\"#x\",\"slack_token\":\"secret\"}");
    assert_string_equal(s.plan->notices[2].config, "{\"email\":\"a@b.c\"}");
    assert_string_equal(s.plan->notices[3].moment, "failure");
}

static void keys_that_are_not_ours_are_left_alone(void **state) {
    _cleanup_stages_ Stages s =
        fine("name: P\nversion: 2\ntriggers: null\nnotifications: null\nenvironment: {}\nstages:\n"
             "- {name: S, runs_on: x, steps: [{name: a, retries: 2, config: {command: c, deployment_type: "
             "custom, body: x}}]}\n");

    assert_int_equal(s.plan->count, 1);
}

static void without_a_repository_nothing_is_checked_out(void **state) {
    PlanContext context = {
        .project = "p", .branch = "", .ref = "", .commit = "", .event = "manual", .bare = true};
    _cleanup_stages_ Stages s = fine_in(ONE, &context);
    json_t *spec = job_spec(&s, 0);

    expect_json(spec, "checkout", "false");
    json_decref(spec);
}

static void a_repository_may_hold_the_same_file(void **state) {
    const char *text = ONE;
    Case c = plan_bytes("pelton-stages.yml", text, strlen(text), &on_main);

    assert_int_equal(c.result, 0);
    assert_string_equal(c.plan->planner, "stages");
    mem_case_done(&c);
    c = plan_bytes("pelton-stages.yml", "name: P", 7, &on_main);
    assert_int_equal(c.result, -ERR_INVALID);
    mem_case_done(&c);
}

static void ten_mebibytes_are_read_and_more_are_not(void **state) {
    size_t size = STAGES_MAX_BYTES;
    _cleanup_free_ char *text = malloc(size + 2);
    void *mem = talloc_new(NULL);
    PlanProblems *problems = NULL;
    Plan *plan = NULL;
    Err err;

    memset(text, '#', size + 1);
    memcpy(text, ONE, strlen(ONE));
    assert_int_equal(stages_plan(text, size, &on_main, mem, &plan, NULL, &problems, &err), 0);
    assert_int_equal(stages_plan(text, size + 1, &on_main, mem, &plan, NULL, &problems, &err), -ERR_INVALID);
    talloc_free(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequential_stage_is_one_job),
        cmocka_unit_test(a_parallel_stage_is_a_job_a_step_and_a_barrier),
        cmocka_unit_test(a_workspace_goes_from_stage_to_stage),
        cmocka_unit_test(behind_a_stage_that_runs_after_a_failure_the_earlier_ones_still_count),
        cmocka_unit_test(names_of_jobs_are_unique),
        cmocka_unit_test(timeouts_and_retries_go_to_build_job_and_step),
        cmocka_unit_test(environments_lie_over_each_other),
        cmocka_unit_test(what_was_given_by_hand_wins_everywhere),
        cmocka_unit_test(a_variable_that_is_only_an_unknown_name_is_left_to_others),
        cmocka_unit_test(values_that_grow_without_end_are_left_alone),
        cmocka_unit_test(folders_may_be_written_as_people_do),
        cmocka_unit_test(steps_of_another_container_are_another_job_of_the_stage),
        cmocka_unit_test(an_image_is_built_and_run),
        cmocka_unit_test(what_containers_cannot_do_is_told),
        cmocka_unit_test(conditions_speak_of_variables),
        cmocka_unit_test(a_value_cannot_break_out_of_a_condition),
        cmocka_unit_test(a_condition_of_a_step_goes_to_the_runner),
        cmocka_unit_test(a_step_with_a_repository_clones),
        cmocka_unit_test(secrets_reach_what_names_them),
        cmocka_unit_test(who_names_no_secret_gets_none),
        cmocka_unit_test(bad_secrets_are_refused),
        cmocka_unit_test(many_secrets_of_one_job_are_refused),
        cmocka_unit_test(credentials_of_a_clone_are_a_secret),
        cmocka_unit_test(the_magic_can_be_turned_off),
        cmocka_unit_test(steps_of_later_versions_are_refused_with_that_reason),
        cmocka_unit_test(connectors_are_checked_already),
        cmocka_unit_test(mistakes_of_connectors_have_their_places_beside_the_reason),
        cmocka_unit_test(an_image_that_is_only_run_needs_no_name),
        cmocka_unit_test(mistakes_are_told_in_the_words_of_the_contract),
        cmocka_unit_test(values_of_the_wrong_kind_are_refused),
        cmocka_unit_test(all_mistakes_are_found_at_once),
        cmocka_unit_test(whom_a_notification_reaches_is_checked),
        cmocka_unit_test(triggers_are_read),
        cmocka_unit_test(notifications_are_planned),
        cmocka_unit_test(keys_that_are_not_ours_are_left_alone),
        cmocka_unit_test(without_a_repository_nothing_is_checked_out),
        cmocka_unit_test(a_repository_may_hold_the_same_file),
        cmocka_unit_test(ten_mebibytes_are_read_and_more_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
