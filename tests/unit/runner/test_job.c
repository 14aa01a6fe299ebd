#include "world.h"

#define ONE(script) "[{\"name\":\"one\",\"run\":\"" script "\"}]"

static void a_job_runs_and_says_what_it_did(void **state) {
    FakeJob *job;

    world_start_runner();
    job =
        world_finish(world_job("shell", ONE("echo hi; echo $FROM_JOB $PELTON_BUILD $PELTON_BRANCH $CI"), ""));
    assert_string_equal(buf_str(&job->log), "==> step 1/1: one\nhi\nyes 3 main true\n");
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    assert_non_null(strstr(buf_str(&job->report), "\"log_size\":37"));
    assert_non_null(strstr(buf_str(&job->report), "\"log_start\":18,\"log_end\":37"));
    world_clean();
}

static void a_sandboxed_job_runs(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("sandbox", ONE("pwd; id -u; touch here"), ""));
    assert_string_equal(buf_str(&job->log), "==> step 1/1: one\n/workspace\n1000\n");
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

static void a_failing_step_ends_the_job_but_for_those_that_always_run(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(
        world_job("shell",
                  "[{\"name\":\"a\",\"run\":\"echo -n a; exit 3\"},{\"name\":\"b\",\"run\":\"echo b\"},"
                  "{\"name\":\"c\",\"run\":\"echo c\",\"if\":\"always()\"},"
                  "{\"name\":\"d\",\"run\":\"echo d\",\"if\":\"failure()\"}]",
                  ""));
    assert_non_null(str_after(buf_str(&job->log), "==> step 1/4: a\na\n==> step 1/4: exit status 3 after "));
    assert_non_null(strstr(buf_str(&job->log), "\n==> step 3/4: c\nc\n==> step 4/4: d\nd\n"));
    assert_null(strstr(buf_str(&job->log), "2/4"));
    assert_non_null(strstr(buf_str(&job->report),
                           "\"state\":\"failed\",\"reason\":\"exit\","
                           "\"message\":\"step 1 (a): exit status 3\",\"exit_code\":3"));
    assert_non_null(strstr(buf_str(&job->report), "\"name\":\"b\",\"state\":\"skipped\""));
    world_clean();
}

static void a_step_that_may_fail_does_not_fail_its_job(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("shell",
                                 "[{\"name\":\"a\",\"run\":\"exit 3\",\"continue_on_error\":true},"
                                 "{\"name\":\"b\",\"run\":\"sleep 71718\",\"timeout\":100000,"
                                 "\"continue_on_error\":true},"
                                 "{\"name\":\"c\",\"run\":\"echo c\"}]",
                                 ""));
    assert_non_null(strstr(buf_str(&job->log), "\n==> step 3/3: c\nc\n"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    assert_non_null(strstr(buf_str(&job->report), "\"name\":\"a\",\"state\":\"failed\",\"exit_code\":3"));
    world_clean();
}

static void a_step_that_takes_too_long_is_ended(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("shell",
                                 "[{\"name\":\"slow\",\"run\":\"trap '' TERM; setsid sleep 71717 & sleep "
                                 "71717; sleep 71717\",\"timeout\":100000}]",
                                 ""));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"failed\",\"reason\":\"timeout\""));
    assert_non_null(strstr(buf_str(&job->log), "timed out after"));
    assert_false(runs("sleep 71717"));
    world_clean();
}

static void a_jobs_own_time_counts_for_all_its_steps(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(
        world_job("shell",
                  "[{\"name\":\"slow\",\"run\":\"sleep 60\"},{\"name\":\"after\",\"run\":\"echo after\"},"
                  "{\"name\":\"clean\",\"run\":\"echo clean\",\"if\":\"always()\"}]",
                  ",\"timeout\":200000"));
    assert_non_null(strstr(buf_str(&job->report), "\"reason\":\"timeout\""));
    assert_null(strstr(buf_str(&job->log), "\nafter\n"));
    assert_non_null(strstr(buf_str(&job->log), "\nclean\n"));
}

static void need_memory_limits(void) {
    CgroupHost host;

    cgroup_host_init(&host, "pelton-test-probe");
    cgroup_host_done(&host);
    if (!host.v2[CGROUP_MEMORY] && !host.limits[CGROUP_MEMORY][0])
        skip();
}

static void memory_over_the_limit_is_reported_as_such(void **state) {
    FakeJob *job;

    need_memory_limits();
    world_start_runner();
    job = world_finish(world_job("sandbox", ONE("python3 -c 'print(len(bytearray(300 << 20)))'"),
                                 ",\"resources\":{\"memory\":67108864,\"cpu\":0,\"processes\":0}"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"failed\",\"reason\":\"oom\""));
    world_clean();
}

static void a_kill_that_a_step_got_over_is_not_the_next_ones(void **state) {
    FakeJob *job;

    need_memory_limits();
    world_start_runner();
    job = world_finish(world_job("sandbox",
                                 "[{\"name\":\"a\",\"run\":\"tail /dev/zero || echo survived\"},"
                                 "{\"name\":\"b\",\"run\":\"exit 3\"}]",
                                 ",\"resources\":{\"memory\":67108864,\"cpu\":0,\"processes\":0}"));
    assert_non_null(strstr(buf_str(&job->log), "\nsurvived\n"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"failed\",\"reason\":\"exit\""));
    world_clean();
}

static void an_executor_that_is_not_there_is_invalid(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("none-such", ONE("true"), ""));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"failed\",\"reason\":\"invalid\""));
    world_clean();
}

static void cancel_asks_waits_kills_and_cleans_up(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = world_job("shell",
                   "[{\"name\":\"deaf\",\"run\":\"trap '' TERM; setsid sleep 61616 & echo ready; while :; do "
                   "sleep 1; done\"},"
                   "{\"name\":\"next\",\"run\":\"echo next\"},{\"name\":\"clean\",\"run\":\"echo "
                   "clean\",\"if\":\"always()\"}]",
                   "");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    world_stop_job(id, "superseded");
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"cancelled\",\"reason\":\"superseded\""));
    assert_null(strstr(buf_str(&job->log), "\nnext\n"));
    assert_non_null(strstr(buf_str(&job->log), "\nclean\n"));
    assert_false(runs("sleep 61616"));
    world_clean();
}

static void a_step_that_listens_ends_by_itself_when_cancelled(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = world_job(
        "sandbox",
        "[{\"name\":\"good\",\"run\":\"trap 'echo bye; exit 0' TERM; echo ready; while :; do "
        "sleep 0.01 || :; done\"}]", /* sleep is told to end as well, which must not end the shell */
        "");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    world_stop_job(id, "user");
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->log), "\nbye\n"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"cancelled\",\"reason\":\"user\""));
    world_clean();
}

static void a_stale_attempt_ends_without_a_word(void **state) {
    int id;

    world_start_runner();
    id = world_job("shell", ONE("echo ready; while :; do sleep 0.01; echo line; done; sleep 51515"), "");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    pthread_mutex_lock(&world.lock);
    fake_job(id)->stale = true;
    pthread_mutex_unlock(&world.lock);
    world_clean();
    assert_int_equal(fake_job(id)->finals, 0);
}

static void artifacts_are_stored_and_links_are_not(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job(
        "shell",
        ONE("mkdir -p dist/sub .git; echo 12345 > dist/a; echo x > 'dist/sub/b c'; echo no > other;"
            "ln -s /etc/passwd dist/link; ln -s /etc dist/folder; mkfifo dist/pipe; echo g > .git/x"),
        ",\"artifacts\":[\"dist/**\",\".git/**\"]"));
    assert_string_equal(buf_str(&job->artifacts), "dist/a 6\ndist/sub/b c 2\n");
    assert_non_null(strstr(buf_str(&job->log), "dist/link is a symbolic link: left out"));
    assert_non_null(strstr(buf_str(&job->log), "dist/pipe is not a regular file: left out"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

static void a_file_of_a_name_that_cannot_be_kept_is_left_out(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("shell",
                                 ONE("mkdir d; echo 1 > d/a; echo 2 > \\\"d/$(printf 'b\\\\377')\\\"; "
                                     "echo 3 > \\\"$(printf 'd/c\\\\nd')\\\"; echo 4 > d/ü"),
                                 ",\"artifacts\":[\"d/**\"]"));
    assert_string_equal(buf_str(&job->artifacts), "d/a 2\nd/ü 2\n");
    assert_non_null(strstr(buf_str(&job->log), "d/b\xff is named in a way that cannot be kept"));
    assert_non_null(strstr(buf_str(&job->log), "d/c d is named in a way that cannot be kept"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

/* More fields of the specification, of a job that has a secret: the JOB has it beside its specification. */
#define WITH_SECRET(more) more "},\"secrets\":{\"TOKEN\":\"super%secret-9x\""

static void what_a_file_is_called_shows_no_secret(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job(
        "shell",
        ONE("mkdir -p d/$TOKEN; echo 1 > d/a; echo 2 > d/$TOKEN/b; echo 3 > d/super%25secret-9x.txt"),
        WITH_SECRET(",\"artifacts\":[\"d/**\"]")));
    assert_string_equal(buf_str(&job->artifacts), "d/a 2\n");
    assert_non_null(strstr(buf_str(&job->log), "d/***/b is named after a secret of the job: left out"));
    assert_non_null(strstr(buf_str(&job->log), "d/***.txt is named after a secret of the job: left out"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

static void a_secret_is_in_no_jobs_that_a_job_makes(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job(
        "shell", ONE("echo \\\"jobs: {x: {steps: [echo $TOKEN]}}\\\" > $PELTON_PIPELINE"), WITH_SECRET("")));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"failed\",\"reason\":\"invalid\""));
    assert_non_null(strstr(buf_str(&job->report), "$PELTON_PIPELINE: it holds a secret of the job"));
    assert_null(strstr(buf_str(&job->report), "secret-9x"));
    assert_null(strstr(buf_str(&job->log), "secret-9x"));
    world_clean();
}

static void nothing_of_a_job_is_taken_for_what_we_keep_ourselves(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(
        world_job("shell", ONE("mkdir -p .pelton/workspace; echo 1 > .pelton/workspace/0.tar; echo 2 > a"),
                  ",\"artifacts\":[\"**\",{\"name\":\"n\",\"paths\":[\".pelton/**\"]}]"));
    assert_string_equal(buf_str(&job->artifacts), "a 2\n");
    assert_non_null(strstr(buf_str(&job->log), ".pelton/workspace/0.tar is below .pelton/"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

static void the_build_servers_rule_leaves_sources_out(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job(
        "shell", ONE("mkdir s; echo > a.c; echo > s/a.h; echo > Makefile; echo > s/prog; echo > README"),
        ",\"artifacts_rule\":\"build-server\""));
    assert_string_equal(buf_str(&job->artifacts), "README 1\ns/prog 1\n");
}

static void a_release_is_packed(void **state) {
    FakeJob *job;

    world_start_runner();
    job = world_finish(world_job("sandbox",
                                 ONE("mkdir bin; echo hi > bin/app; chmod 755 bin/app; ln -s bin/app app"),
                                 ",\"release\":[\"**\"]"));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    assert_non_null(str_after(buf_str(&job->artifacts), ".pelton/release.tar.zst "));
    assert_memory_equal(job->release.data, "\x28\xb5\x2f\xfd", 4);
    world_clean();
}

static void jobs_run_beside_each_other(void **state) {
    int ids[12];

    world_start_runner();
    for (int i = 0; i < 12; i++)
        ids[i] = world_job(i % 2 ? "shell" : "sandbox", ONE("echo hi; echo > f"), "");
    for (int i = 0; i < 12; i++)
        assert_string_equal(buf_str(&world_finish(ids[i])->log), "==> step 1/1: one\nhi\n");
    world_clean();
}

int main(int argc, char **argv) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_job_runs_and_says_what_it_did),
        TEST(a_sandboxed_job_runs),
        TEST(a_failing_step_ends_the_job_but_for_those_that_always_run),
        TEST(a_step_that_may_fail_does_not_fail_its_job),
        TEST(a_step_that_takes_too_long_is_ended),
        TEST(a_jobs_own_time_counts_for_all_its_steps),
        TEST(memory_over_the_limit_is_reported_as_such),
        TEST(a_kill_that_a_step_got_over_is_not_the_next_ones),
        TEST(an_executor_that_is_not_there_is_invalid),
        TEST(cancel_asks_waits_kills_and_cleans_up),
        TEST(a_step_that_listens_ends_by_itself_when_cancelled),
        TEST(a_stale_attempt_ends_without_a_word),
        TEST(artifacts_are_stored_and_links_are_not),
        TEST(a_file_of_a_name_that_cannot_be_kept_is_left_out),
        TEST(what_a_file_is_called_shows_no_secret),
        TEST(a_secret_is_in_no_jobs_that_a_job_makes),
        TEST(nothing_of_a_job_is_taken_for_what_we_keep_ourselves),
        TEST(the_build_servers_rule_leaves_sources_out),
        TEST(a_release_is_packed),
        TEST(jobs_run_beside_each_other),
    };

    if (argc > 1 && str_eq(argv[1], "runner"))
        return runner_program(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
