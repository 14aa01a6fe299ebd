/* Jobs in containers, by a real runner and a real engine. */
#include "world.h"

#include "runner/jobfile.h"

#include "../engine.h"

#define IMAGE ",\"image\":\"" ENGINE_IMAGE "\""

static bool nothing_left(void) {
    return !*engine_sh(DOCKER "ps -aq --filter label=pelton.runner", NULL) &&
           !*engine_sh(DOCKER "volume ls -q", NULL) &&
           !*engine_sh(DOCKER "network ls -q --filter label=pelton.runner", NULL);
}

static int setup(void **state) {
    return world_setup(state);
}

static int teardown(void **state) {
    if (engine.pid > 0)
        engine_until(nothing_left());
    return world_teardown(state);
}

static FakeJob *run(const char *steps, const char *more) {
    world_start_runner();
    return world_finish(world_job("docker", steps, more));
}

static void reported(const FakeJob *job, const char *words) {
    if (!strstr(buf_str(&job->report), words))
        fail_msg("no %s in %s\n%s", words, buf_str(&job->report), buf_str(&job->log));
}

static void logged(const FakeJob *job, const char *words) {
    if (!strstr(buf_str(&job->log), words))
        fail_msg("no \"%s\" in the log:\n%s\n%s", words, buf_str(&job->log), buf_str(&job->report));
}

static void steps_share_the_container_s_files_and_the_workspace(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"run\":\"echo $FROM_IMAGE $FROM_JOB $PELTON_WORKSPACE; pwd; id -u; echo "
              "kept > /made; mkdir sub; echo "
              "too > sub/file; sleep 600 &\"},"
              "{\"name\":\"two\",\"working_directory\":\"sub\",\"run\":\"cat /made file; pwd; ps | grep -c "
              "'sleep [6]00' || "
              "true\"}]",
              IMAGE);
    reported(job, "\"state\":\"success\"");
    assert_string_equal(buf_str(&job->log), "==> step 1/2: one\nyes yes /workspace\n/workspace\n0\n"
                                            "==> step 2/2: two\nkept\ntoo\n/workspace/sub\n0\n");
}

static void output_is_kept_byte_for_byte(void **state) {
    static const char said[] = "==> step 1/2: one\na\0b\r\nno end\n==> step 2/2: two\n";
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"run\":\"printf 'a\\\\000b\\\\r\\\\nno end'\"},"
              "{\"name\":\"two\",\"run\":\"dd if=/dev/zero bs=1000 count=30000 2>/dev/null\"}]",
              IMAGE);
    reported(job, "\"state\":\"success\"");
    assert_memory_equal(job->log.data, said, sizeof(said) - 1);
    assert_int_equal(job->next, sizeof(said) - 1 + 30000000);
}

static void variables_reach_a_step_as_they_are(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"env\":{\"A\":\"it's $HOME `id`\\nline "
              "2\\\\\",\"FROM_JOB\":\"no\"},\"run\":\"echo "
              "\\\"$A\\\"; echo $FROM_JOB; env | grep -c TINI || true\"}]",
              IMAGE ",\"env\":{\"B-C\":\"1\"}");
    reported(job, "\"state\":\"success\"");
    logged(job, "it's $HOME `id`\nline 2\\\nno\n0\n");
}

static void a_failing_step_is_a_failure_with_its_status(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"run\":\"false | true; exit 3\"},{\"name\":\"two\",\"run\":\"echo no\"},"
              "{\"name\":\"three\",\"run\":\"echo after\",\"if\":\"always()\"}]",
              IMAGE);
    reported(job, "\"state\":\"failed\",\"reason\":\"exit\"");
    reported(job, "\"exit_code\":3");
    logged(job, "after\n");
    assert_null(strstr(buf_str(&job->log), "no\n"));
}

static void the_shell_is_the_step_s_choice(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"shell\":\"ash\",\"run\":\"readlink /proc/$$/exe; echo $0\"},"
              "{\"name\":\"two\",\"shell\":\"zsh\",\"run\":\"echo no\"}]",
              IMAGE);
    logged(job, "/bin/busybox\nash\n");
    reported(job, "\"exit_code\":127");
}

static void limits_are_the_engine_s_and_oom_is_said(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"see\",\"run\":\"cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
              "/sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat "
              "/sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max\"},"
              "{\"name\":\"eat\",\"run\":\"tail /dev/zero\"}]",
              IMAGE ",\"resources\":{\"memory\":67108864,\"cpu\":500,\"processes\":77}");
    logged(job, "67108864\n77\n50000");
    reported(job, "\"reason\":\"oom\"");
    reported(job, "64 MiB");
}

static void a_cancel_asks_and_always_steps_see_the_same_container(void **state) {
    FakeJob *job;
    int id;

    engine_need();
    world_start_runner();
    id =
        world_job("docker",
                  "[{\"name\":\"one\",\"run\":\"trap 'echo asked; echo x > /asked; exit 1' TERM; echo ready; "
                  "while :; do sleep 0.05; done\"},"
                  "{\"name\":\"two\",\"if\":\"always()\",\"run\":\"cat /asked\"}]",
                  IMAGE);
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    world_stop_job(id, "user");
    job = world_finish(id);
    reported(job, "\"state\":\"cancelled\"");
    logged(job, "asked\n");
    logged(job, "two\nx\n");
}

static void a_step_over_its_time_is_killed(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"one\",\"timeout\":300000,\"run\":\"trap '' TERM; echo ready; while :; do sleep "
              "1; done\"},"
              "{\"name\":\"two\",\"if\":\"always()\",\"run\":\"echo after\"}]",
              IMAGE);
    reported(job, "\"reason\":\"timeout\"");
    logged(job, "after\n");
}

static void services_are_found_by_their_names(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"ask\",\"run\":\"echo hello | nc -w 2 db 5000\"}]",
              IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"" ENGINE_IMAGE
                    "\",\"env\":{\"WORD\":\"there\"},\"command\":[\"sh\",\"-c\",\"sleep 0.3; nc -ll -p 5000 "
                    "-e sh -c 'read x; "
                    "echo $x $WORD'\"],\"ready\":\"netstat -ltn | grep -q :5000\",\"timeout\":20000000}]");
    reported(job, "\"state\":\"success\"");
    logged(job, "hello there\n");
}

static void a_service_that_is_not_ready_fails_the_job_and_its_log_is_shown(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"ask\",\"run\":\"echo no\"}]",
              IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"" ENGINE_IMAGE
                    "\",\"command\":[\"sh\",\"-c\",\"echo will not; sleep 600\"],\"ready\":\"exit "
                    "4\",\"timeout\":300000}]");
    reported(job, "\"state\":\"failed\"");
    reported(job, "service db");
    reported(job, "`exit 4` exits with 4");
    logged(job, "==> service db said last:\nwill not\n");
    assert_null(strstr(buf_str(&job->log), "step 1/1"));
}

static void a_service_that_ends_fails_the_job_at_once(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"ask\",\"run\":\"echo no\"}]",
              IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"" ENGINE_IMAGE
                    "\",\"command\":[\"sh\",\"-c\",\"exit 9\"],\"ready\":\"false\",\"timeout\":600000000}]");
    reported(job, "exit status 9");
    logged(job, "==> service db has ended with exit status 9, and said last:\n");
}

static void a_service_that_was_never_there_has_said_nothing(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"ask\",\"run\":\"echo no\"}]",
              IMAGE ",\"pull\":\"never\",\"services\":[{\"name\":\"db\",\"image\":\"none:1\"}]");
    reported(job, "service db: image none:1 is not on this machine");
    assert_null(strstr(buf_str(&job->log), "said last"));
}

static void a_failing_step_shows_what_services_said(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"ask\",\"run\":\"exit 1\"}]",
              IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"" ENGINE_IMAGE
                    "\",\"command\":[\"sh\",\"-c\",\"echo db speaks; sleep 600\"]}]");
    logged(job, "==> service db said last:\ndb speaks\n");
}

static void an_image_s_own_health_check_is_waited_for(void **state) {
    FakeJob *job;

    engine_need();
    engine_do("mkdir -p $PWD >/dev/null; d=$(mktemp -d); cd $d; printf 'FROM " ENGINE_IMAGE
              "\\nVOLUME /data\\nHEALTHCHECK --interval=200ms --timeout=5s --retries=100 CMD test -e "
              "/healthy\\nCMD "
              "[\"sh\",\"-c\",\"sleep 0.5; "
              "touch /healthy; sleep 600\"]\\n' > Dockerfile; DOCKER_BUILDKIT=0 " DOCKER
              "build -q -t healthy:test . >/dev/null; rm -r $d");
    job = run("[{\"name\":\"ask\",\"run\":\"echo good\"}]",
              IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"healthy:test\"}]");
    reported(job, "\"state\":\"success\"");
}

static void a_job_without_a_network_has_none(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"see\",\"run\":\"ip -o link | wc -l\"}]", IMAGE ",\"network\":false");
    logged(job, "see\n1\n");
}

static void another_user_may_write_the_workspace(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"see\",\"run\":\"id -u; id -g; echo x > file; cat file\"}]",
              IMAGE ",\"user\":\"maker\"");
    reported(job, "\"state\":\"success\"");
    logged(job, "700\n701\nx\n");
}

/* A container's root can make programs that are set-uid: no user of the machine gets to them. */
static void nobody_else_enters_a_container_s_workspace(void **state) {
    char path[128];
    struct stat st;
    int id;

    engine_need();
    world_start_runner();
    id = world_job(
        "docker", "[{\"name\":\"one\",\"run\":\"echo ready; until [ -e go ]; do sleep 0.05; done\"}]", IMAGE);
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    snprintf(path, sizeof(path), "%s/work/slot-0.scratch", world.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    snprintf(path, sizeof(path), "%s/work/slot-0.scratch/workspace/go", world.dir);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    reported(world_finish(id), "\"state\":\"success\"");
}

static void an_image_that_is_not_there_is_the_pipeline_s_fault(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"see\",\"run\":\"true\"}]", ",\"image\":\"none:such\",\"pull\":\"never\"");
    reported(job, "\"reason\":\"invalid\"");
    reported(job, "none:such is not on this machine");
}

/* In the second slot while the process that delivered for the first is not reaped. */
static pid_t job_process(void) {
    char path[PATH_MAX];
    pid_t pid = 0;

    for (int slot = 0; slot < 2 && pid <= 0; slot++) {
        jobfile_path(world.dir, slot, ".job", path);
        pid = jobfile_holder(path);
    }
    assert_true(pid > 0); /* kill(2) takes 0 for all of us */
    return pid;
}

static void containers_of_a_killed_job_process_are_removed_and_no_others(void **state) {
    const char *steps = "[{\"name\":\"one\",\"run\":\"echo ready; sleep 600\"}]";
    const char *more = IMAGE ",\"services\":[{\"name\":\"db\",\"image\":\"" ENGINE_IMAGE
                             "\",\"command\":[\"sleep\",\"600\"]}]";
    int id;

    engine_need();
    engine_do(DOCKER
              "run -d --name bystander --label pelton.runner=another --label pelton.slot=0 " ENGINE_IMAGE
              " sleep 600");
    world_start_runner();
    id = world_job("docker", steps, more);
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    kill(job_process(), SIGKILL);
    engine_until(str_eq(engine_sh(DOCKER "ps -a --filter label=pelton.runner --format '{{.Names}}'", NULL),
                        "bystander\n"));
    world_clean();
    /* the same when the runner dies with it: the next one looks */
    id = world_job("docker", steps, more);
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    kill(world.runner, SIGSTOP);
    kill(job_process(), SIGKILL);
    world_end_runner(SIGKILL);
    world_start_runner();
    engine_until(str_eq(engine_sh(DOCKER "ps -a --filter label=pelton.runner --format '{{.Names}}'", NULL),
                        "bystander\n"));
    engine_until(!*engine_sh(DOCKER "network ls -q --filter label=pelton.runner", NULL));
    engine_do(DOCKER "rm -f bystander");
}

static void an_image_is_built_from_the_workspace(void **state) {
    FakeJob *job;

    engine_need();
    job =
        run("[{\"name\":\"write\",\"run\":\"mkdir app; cd app; echo FROM " ENGINE_IMAGE
            " > Dockerfile; echo ARG X >> Dockerfile; echo 'RUN echo building $X; mkdir /out' >> Dockerfile; "
            "echo COPY . /ctx >> Dockerfile; echo a > a; echo b > b.log; echo keep > keep.log; "
            "printf '*.log\\\\n!keep.log\\\\n' > .dockerignore\"},"
            "{\"name\":\"build\",\"uses\":\"docker\",\"with\":{\"build\":\"app\",\"tag\":[\"app:1\",\"app:"
            "two\"],\"args\":{\"X\":\"it\"}}}]",
            IMAGE ",\"network\":false");
    reported(job, "\"state\":\"success\"");
    logged(job, "building it\n");
    assert_string_equal(engine_do(DOCKER "run --rm app:two sh -c 'cd /ctx; ls -A'"),
                        ".dockerignore\nDockerfile\na\nkeep.log\n");
}

static void a_build_that_fails_is_a_failure(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"write\",\"run\":\"printf 'FROM " ENGINE_IMAGE
              "\\\\nRUN echo about to; exit 5\\\\n' > Dockerfile\"},"
              "{\"name\":\"build\",\"uses\":\"docker\",\"with\":{\"build\":\".\",\"tag\":[\"bad:1\"]}}]",
              ",\"network\":false");
    reported(job, "\"state\":\"failed\",\"reason\":\"exit\"");
    logged(job, "about to\n");
    logged(job, "5");
}

static void a_folder_outside_the_workspace_is_no_context(void **state) {
    FakeJob *job;

    engine_need();
    job = run("[{\"name\":\"write\",\"run\":\"ln -s /etc out\"},"
              "{\"name\":\"build\",\"uses\":\"docker\",\"with\":{\"build\":\"out\",\"tag\":[\"bad:1\"]}}]",
              "");
    reported(job, "\"reason\":\"invalid\"");
}

/* Pushed by one job, removed, pulled by the next one: with credentials, and not without. */
static void images_go_to_a_registry_and_come_from_it_with_credentials(void **state) {
    char steps[512], more[512], script[256];
    FakeJob *job;
    int port;

    engine_need();
    port = engine_registry();
    if (port == 0)
        skip();
    snprintf(script, sizeof(script), DOCKER "tag " ENGINE_IMAGE " 127.0.0.1:%d/team/app:1", port);
    engine_do(script);
    snprintf(steps, sizeof(steps),
             "[{\"name\":\"push\",\"uses\":\"docker\",\"with\":{\"build\":\"\",\"push\":true,\"tag\":[\"127."
             "0.0.1:%d/team/"
             "app:1\"]}}]",
             port);
    snprintf(more, sizeof(more),
             ",\"env\":{\"DOCKER_AUTH_CONFIG\":\"{\\\"auths\\\":{\\\"127.0.0.1:%d\\\":{\\\"auth\\\":"
             "\\\"dGVzdGVyOnNlY3JldA==\\\"}}}\"}",
             port);
    job = run(steps, more);
    reported(job, "\"state\":\"success\"");
    logged(job, "==> push 127.0.0.1:");
    logged(job, "Pushed");
    job = world_finish(world_job("docker", steps, ""));
    reported(job, "\"state\":\"failed\"");
    snprintf(script, sizeof(script), DOCKER "rmi 127.0.0.1:%d/team/app:1", port);
    engine_do(script);
    snprintf(more + strlen(more), sizeof(more) - strlen(more), ",\"image\":\"127.0.0.1:%d/team/app:1\"",
             port);
    job = world_finish(
        world_job("docker", "[{\"name\":\"see\",\"run\":\"echo ran; env | grep -c AUTH || true\"}]", more));
    reported(job, "\"state\":\"success\"");
    logged(job, "==> pull 127.0.0.1:");
    logged(job, "ran\n0\n");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_share_the_container_s_files_and_the_workspace, setup, teardown),
        cmocka_unit_test_setup_teardown(output_is_kept_byte_for_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(variables_reach_a_step_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_step_is_a_failure_with_its_status, setup, teardown),
        cmocka_unit_test_setup_teardown(the_shell_is_the_step_s_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_the_engine_s_and_oom_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancel_asks_and_always_steps_see_the_same_container, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_step_over_its_time_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(services_are_found_by_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_service_that_is_not_ready_fails_the_job_and_its_log_is_shown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_service_that_was_never_there_has_said_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_service_that_ends_fails_the_job_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_step_shows_what_services_said, setup, teardown),
        cmocka_unit_test_setup_teardown(an_image_s_own_health_check_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_without_a_network_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(another_user_may_write_the_workspace, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_else_enters_a_container_s_workspace, setup, teardown),
        cmocka_unit_test_setup_teardown(an_image_that_is_not_there_is_the_pipeline_s_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(containers_of_a_killed_job_process_are_removed_and_no_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_image_is_built_from_the_workspace, setup, teardown),
        cmocka_unit_test_setup_teardown(a_build_that_fails_is_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_outside_the_workspace_is_no_context, setup, teardown),
        cmocka_unit_test_setup_teardown(images_go_to_a_registry_and_come_from_it_with_credentials, setup,
                                        teardown),
    };

    if (argc > 1 && str_eq(argv[1], "runner"))
        return runner_program(argc, argv);
    return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
