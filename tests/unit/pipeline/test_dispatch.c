/* What a file says of waiting, dispatch and repetition. */
#include "support.h"

#define JOB(lines) "jobs:\n  test:\n    steps: [make]\n" lines

static void without_keys_a_plan_asks_for_nothing(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB(""));
    const PlanJob *job = &c.plan->jobs[0];

    assert_null(c.plan->concurrency.group);
    assert_int_equal(c.plan->timeout_us, 0);
    assert_null(job->retry);
    assert_null(job->fit.labels);
    assert_int_equal(job->priority, 0);
    assert_int_equal(job->queue_timeout_us, 0);
    assert_int_equal(job->fit.cpu + job->fit.memory + job->fit.disk, 0);
}

static void concurrency_is_a_group_with_a_limit(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("concurrency: deploy\n"));
    _cleanup_case_ Case d =
        plan_fine(JOB("concurrency: {group: \"${{ repo }}-${{ branch }}!\", limit: 3, cancel: running}\n"));
    _cleanup_case_ Case e = plan_fine(JOB("concurrency: {group: \"${{ tag }}\", cancel: none}\n"));

    assert_string_equal(c.plan->concurrency.group, "deploy");
    assert_int_equal(c.plan->concurrency.limit, 1);
    assert_string_equal(c.plan->concurrency.cancel, "queued");
    assert_string_equal(d.plan->concurrency.group, "hello-main!");
    assert_int_equal(d.plan->concurrency.limit, 3);
    assert_string_equal(d.plan->concurrency.cancel, "running");
    assert_null(e.plan->concurrency.group); /* on a branch there is no tag, and so no group */
}

static void timeouts_of_build_and_queue_reach_the_plan(void **state) {
    _cleanup_case_ Case c = plan_fine("timeout: 1h\nqueue-timeout: 10m\njobs:\n  a: {steps: [x]}\n"
                                      "  b: {steps: [x], queue-timeout: 30s}\n");

    assert_int_equal(c.plan->timeout_us, INT64_C(3600000000));
    assert_int_equal(c.plan->jobs[0].queue_timeout_us, 600000000);
    assert_int_equal(c.plan->jobs[1].queue_timeout_us, 30000000);
}

static void retry_is_a_number_or_a_rule(void **state) {
    _cleanup_case_ Case c = plan_fine(JOB("    retry: 2\n"));
    _cleanup_case_ Case d = plan_fine(JOB("    retry: {times: 10, on: [lost, exit], backoff: 10s}\n"));
    _cleanup_case_ Case e = plan_fine(JOB("    retry: {times: 1, on: oom}\n"));

    assert_string_equal(
        c.plan->jobs[0].retry,
        "{\"times\":2,\"on\":[\"exit\",\"timeout\",\"oom\",\"infrastructure\"],\"backoff\":0}");
    assert_string_equal(d.plan->jobs[0].retry,
                        "{\"times\":10,\"on\":[\"lost\",\"exit\"],\"backoff\":10000000}");
    assert_string_equal(e.plan->jobs[0].retry, "{\"times\":1,\"on\":[\"oom\"],\"backoff\":0}");
}

static void a_job_says_what_runner_it_needs(void **state) {
    _cleanup_case_ Case c =
        plan_fine(JOB("    priority: -100\n    runs-on: {labels: {tier: high-memory, gpu: 2, "
                      "a.b: \"x \\\"y\\\"\"}}\n"
                      "    resources: {cpu: 1.5, memory: 1G, disk: 10G}\n"));
    const PlanJob *job = &c.plan->jobs[0];

    assert_int_equal(job->priority, -100);
    assert_string_equal(job->fit.labels, "{\"a.b\":\"x \\\"y\\\"\",\"gpu\":\"2\",\"tier\":\"high-memory\"}");
    assert_int_equal(job->fit.cpu, 1500);
    assert_int_equal(job->fit.memory, INT64_C(1) << 30);
    assert_int_equal(job->fit.disk, INT64_C(10) << 30);
}

static void bad_values_are_refused(void **state) {
    expect_problems(
        JOB("    retry: 0\n"),
        "4:12: \"times\" of retry of job \"test\": expected a whole number from 1 to 10, got \"0\"");
    expect_problems(JOB("    retry: {on: [exit]}\n"), "4:12: missing key \"times\" in retry of job \"test\"");
    expect_problems(JOB("    retry: {times: 1, on: [exti]}\n"),
                    "4:28: \"on\" of retry of job \"test\": expected \"exit\", \"timeout\", \"oom\", "
                    "\"infrastructure\" or \"lost\", got \"exti\"; did you mean \"exit\"?");
    expect_problems(
        JOB("    priority: 101\n"),
        "4:15: \"priority\" of job \"test\": expected a whole number from -100 to 100, got \"101\"");
    expect_problems(
        JOB("    runs-on: {labels: [gpu]}\n"),
        "4:23: \"labels\" of runs-on of job \"test\": expected a mapping of labels to texts such as "
        "{tier: high-memory}, got a list");
    expect_problems(
        JOB("    runs-on: {labels: {\"a b\": c, d: }}\n"),
        "4:24: bad name \"a b\" of a label; expected letters, digits, _, - and dots, at most 100",
        "4:37: label \"d\" in \"labels\" of runs-on of job \"test\": expected a text of at most 200 "
        "bytes, got nothing");
    expect_problems(JOB("concurrency: {limit: 2}\n"), "4:14: missing key \"group\" in concurrency");
    expect_problems(
        JOB("concurrency: {group: a, limit: 0, cancel: all}\n"),
        "4:32: \"limit\" of concurrency: expected a whole number from 1 to 1000, got \"0\"",
        "4:43: \"cancel\" of concurrency: expected \"queued\", \"running\" or \"none\", got \"all\"");
    expect_problems(JOB("concurrency: \"a-${{ branhc }}\"\n"),
                    "4:21: \"group\" of concurrency: unknown name \"branhc\"; did you mean \"branch\"?");
    expect_problems(JOB("concurrency: a-${{ branch\n"),
                    "4:16: \"group\" of concurrency: the ${{ that begins here has no }}");
    expect_problems("deploy: {start: x, resources: {disk: 1G}}\n",
                    "1:32: unknown key \"disk\" in resources of deploy; expected memory, cpu or processes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_keys_a_plan_asks_for_nothing),
        cmocka_unit_test(concurrency_is_a_group_with_a_limit),
        cmocka_unit_test(timeouts_of_build_and_queue_reach_the_plan),
        cmocka_unit_test(retry_is_a_number_or_a_rule),
        cmocka_unit_test(a_job_says_what_runner_it_needs),
        cmocka_unit_test(bad_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
