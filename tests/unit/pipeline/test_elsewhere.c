/* What is said to those who write as they did elsewhere. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines
#define STEP(line) "jobs:\n  test:\n    steps:\n      - {run: make, " line "}\n"
#define IF(condition) JOB("    if: " condition "\n")
#define AT "4:9: condition of job \"test\": unknown "

static void keys_of_jobs_at_the_top_are_told_where_they_belong(void **state) {
    expect_problems(
        "image: debian:12\nbefore_script: [x]\n" JOB(""),
        "1:1: unknown key \"image\" at the top level; it belongs to a job, or to a template that jobs "
        "extend",
        "2:1: unknown key \"before_script\" at the top level; it belongs to a job, or to a template "
        "that jobs extend");
    expect_problems(
        "stages: [a]\nbuild: {stage: a, script: [make]}\n",
        "1:1: unknown key \"stages\" at the top level; a job starts when those have ended that its "
        "\"needs\" names: leave it out",
        "2:1: unknown key \"build\" at the top level; jobs are beneath \"jobs\"");
    expect_problems("name: CI\n" JOB(""),
                    "1:1: unknown key \"name\" at the top level; a pipeline has no name: leave it out");
}

static void a_word_that_is_not_ours_is_explained(void **state) {
    expect_problems(JOB("    stage: test\n"),
                    "4:5: unknown key \"stage\" in job \"test\"; a job starts when those "
                    "have ended that its \"needs\" names");
    expect_problems(
        JOB("    after_script: [x]\n"),
        "4:5: unknown key \"after_script\" in job \"test\"; write it as a step with `if: always()`");
    expect_problems(STEP("image: golang"),
                    "4:21: unknown key \"image\" in step 1 of job \"test\"; the steps of a "
                    "job share a container: write \"image\" beside \"steps\"");
    expect_problems(
        "on: {push: {tags: [v1]}}\n" JOB(""),
        "1:13: unknown key \"tags\" in push of on; tags are an event of their own: on: {tag: [\"v*\"]}");
    expect_problems("concurrency: {group: a, cancel-in-progress: true}\n" JOB(""),
                    "1:25: unknown key \"cancel-in-progress\" in concurrency; write `cancel: running`");
    expect_problems(
        JOB("    image: x\n    services: {db: {image: y, ports: [\"1:1\"]}}\n"),
        "5:31: unknown key \"ports\" in service \"db\" of job \"test\"; steps reach it by its name, on "
        "its own ports: leave it out");
}

static void where_a_release_listens_is_not_for_the_file_to_say(void **state) {
    expect_problems(
        "deploy:\n  start: ./app\n  port: 3000\n",
        "3:3: unknown key \"port\" in deploy; two releases run side by side for the switch, each on "
        "a port of its own: the program listens on \"$PORT\", say `start: ./app --port \"$PORT\"`");
    expect_problems(
        "deploy: {start: ./app, network: false}\n",
        "1:24: unknown key \"network\" in deploy; a release is reached over this machine's network, "
        "and has it: leave it out");
}

static void values_are_handed_over_in_another_way(void **state) {
    expect_problems(JOB("    outputs: {a: b}\n"),
                    "4:5: unknown key \"outputs\" in job \"test\"; its steps write lines "
                    "NAME=VALUE to \"$PELTON_OUTPUT\": leave it out");
    expect_problems(
        IF("steps.v.outputs.version == '1'"),
        AT "name \"steps.v.outputs.version\"; write outputs.NAME; in another job, needs.JOB.outputs.NAME");
}

static void files_are_handed_over_in_another_way(void **state) {
    expect_problems(JOB("    dependencies: [a]\n"),
                    "4:5: unknown key \"dependencies\" in job \"test\"; what it takes of "
                    "the jobs that it needs, \"download\" names");
    expect_problems(
        "jobs: {test: {steps: [{uses: actions/download-artifact@v4, with: {build: ., tag: x}}]}}\n",
        "1:30: \"uses\" of step 1 of job \"test\": expected \"docker\" or \"nix\", got "
        "\"actions/download-artifact@v4\"; write \"download\" in the job");
}

static void actions_and_plugins_are_told_what_does_it_here(void **state) {
#define USES(action) "jobs: {test: {steps: [{uses: " action ", with: {build: ., tag: x}}]}}\n"
#define WAS(action)                                                                                          \
    "1:30: \"uses\" of step 1 of job \"test\": expected \"docker\" or \"nix\", got \"" action "\"; "

    expect_problems(USES("actions/checkout@v4"),
                    WAS("actions/checkout@v4") "the workspace holds the commit already: leave it out");
    expect_problems(USES("docker/build-push-action@v6"),
                    WAS("docker/build-push-action@v6") "write `uses: docker`");
    expect_problems(
        USES("some/thing@v1"),
        WAS("some/thing@v1") "actions and plugins do not run here: write the commands as \"run\"");
    expect_problems(JOB("    retry: {times: 2, on: [script_failure]}\n"),
                    "4:28: \"on\" of retry of job \"test\": expected \"exit\", \"timeout\", \"oom\", "
                    "\"infrastructure\" or \"lost\", got \"script_failure\"; write \"exit\"");
}

static void names_and_functions_of_others_are_translated(void **state) {
    expect_problems(IF("github.sha == 'x'"), AT "name \"github.sha\"; write commit");
    expect_problems(IF("github.event.inputs.level == 'x'"),
                    AT "name \"github.event.inputs.level\"; write inputs.NAME");
    expect_problems(IF("CI_COMMIT_TAG"), AT "name \"CI_COMMIT_TAG\"; write tag");
    expect_problems(IF("startsWith(branch, 'x')"),
                    AT "function \"startsWith\"; write a pattern: tag matches \"v*\"");
    expect_problems(IF("branch =~ /^v/"),
                    "4:16: condition of job \"test\": expected an operator or the end, got "
                    "\"=~\"; write matches");
    expect_problems(IF("runner.os == 'Linux'"),
                    AT "name \"runner.os\"; which runner it is, \"runs-on\" says");
}

static void what_yaml_makes_of_a_line_is_told(void **state) {
    expect_problems(IF("!cancelled()"),
                    "4:9: \"if\" in job \"test\": to YAML \"!\" begins a tag: put the value in quotes");
    expect_problems(
        "jobs:\n  test:\n    steps:\n      - echo done: yes\n",
        "4:9: unknown key \"echo done\" in step 1 of job \"test\"; to YAML \": \" makes a mapping of a "
        "command: put it in quotes, or behind \"run: |\"");
}

static void a_key_that_is_there_under_another_name_is_not_said_to_be_missing(void **state) {
    expect_problems("jobs: {test: {script: [make]}}\n",
                    "1:15: unknown key \"script\" in job \"test\"; did you mean \"steps\"?");
    expect_problems("jobs: {test: {steps: [{commands: [make]}]}}\n",
                    "1:24: unknown key \"commands\" in step 1 of job \"test\"; did you mean \"run\"?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_jobs_at_the_top_are_told_where_they_belong),
        cmocka_unit_test(a_word_that_is_not_ours_is_explained),
        cmocka_unit_test(where_a_release_listens_is_not_for_the_file_to_say),
        cmocka_unit_test(values_are_handed_over_in_another_way),
        cmocka_unit_test(files_are_handed_over_in_another_way),
        cmocka_unit_test(actions_and_plugins_are_told_what_does_it_here),
        cmocka_unit_test(names_and_functions_of_others_are_translated),
        cmocka_unit_test(what_yaml_makes_of_a_line_is_told),
        cmocka_unit_test(a_key_that_is_there_under_another_name_is_not_said_to_be_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
