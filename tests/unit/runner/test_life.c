#include "world.h"

#include "runner/job.h"
#include "runner/jobfile.h"

#define ONE(script) "[{\"name\":\"one\",\"run\":\"" script "\"}]"

/* Waits for a file that the test's steps make or look for: <dir>/gate. */
static const char *gate(void) {
    static char path[128];

    snprintf(path, sizeof(path), "%s/gate", world.dir);
    return path;
}

static void open_gate(void) {
    int fd = open(gate(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    close(fd);
}

static int gated_job(const char *before, const char *after) {
    char steps[1024];

    snprintf(steps, sizeof(steps),
             "[{\"name\":\"one\",\"run\":\"%s; echo ready; while [ ! -e %s ]; do sleep 0.01; done; %s\"}]",
             before, gate(), after);
    return world_job("shell", steps, "");
}

static bool listed(int id) {
    char word[32];

    snprintf(word, sizeof(word), "\"job\":%d,", id);
    return strstr(world.running, word) != NULL;
}

/* The process that holds the lock of the first slot's file. */
static pid_t process_of(void) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/jobs/slot-0.job", world.dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    assert_int_equal(fcntl(fd, F_GETLK, &l), 0);
    close(fd);
    return l.l_type == F_UNLCK ? 0 : l.l_pid;
}

/* Whether the job's file holds its final report. */
static bool has_result(void) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[128];
    Err err;

    snprintf(path, sizeof(path), "%s/jobs/slot-0.job", world.dir);
    return file_read(path, 1 << 20, &text, &err) == 0 && strstr(buf_str(&text), "\"log_size\"");
}

static void a_job_outlives_its_runner_and_the_next_one_adopts_it(void **state) {
    int id;
    pid_t pid;
    FakeJob *job;

    world_start_runner();
    id = gated_job("true", "echo after");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    pid = process_of();
    assert_true(pid > 0);
    world_end_runner(SIGKILL);
    assert_int_equal(kill(pid, 0), 0);
    pthread_mutex_lock(&world.lock);
    world.running[0] = '\0';
    pthread_mutex_unlock(&world.lock);
    world_start_runner();
    world_wait(listed(id));
    open_gate();
    job = world_finish(id);
    assert_string_equal(buf_str(&job->log), "==> step 1/1: one\nready\nafter\n");
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
    world_wait(!listed(id));
    assert_int_equal(job->finals, 1);
}

static void an_adopted_job_can_be_cancelled(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = gated_job("true", "true");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    world_end_runner(SIGKILL);
    pthread_mutex_lock(&world.lock);
    world.running[0] = '\0';
    pthread_mutex_unlock(&world.lock);
    world_start_runner();
    world_wait(listed(id));
    world_stop_job(id, "superseded");
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"cancelled\",\"reason\":\"superseded\""));
    world_clean();
}

/* Port 1 is nobody's. */
static void a_checkout_waits_for_a_server_that_is_out_of_reach_and_can_be_cancelled(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = world_checkout_job("http://127.0.0.1:1/git/hello.git");
    world_wait(fake_job(id)->log.len > 0 &&
               strstr(strstr(buf_str(&fake_job(id)->log), "trying again") ?: "", "unable to access") != NULL);
    assert_int_equal(fake_job(id)->finals, 0);
    world_stop_job(id, "user");
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"cancelled\",\"reason\":\"user\""));
    world_clean();
}

/* Half of each pause at least: 10, 20, 40, 80, 160, 320 ms. */
static void a_server_without_room_for_a_result_is_asked_less_and_less_often(void **state) {
    int64_t begin = clock_mono();
    FakeJob *job;

    world.no_room = 6;
    world_start_runner();
    job = world_finish(world_job("shell", "[{\"name\":\"one\",\"run\":\"echo hi\"}]", ""));
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    assert_true(clock_mono() - begin >= 630 * US_PER_MS);
    world_clean();
}

static void a_result_reaches_a_server_that_was_away(void **state) {
    char address[64];
    int id;
    FakeJob *job;

    world_start_runner();
    id = gated_job("true", "echo while you were away; exit 4");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    snprintf(address, sizeof(address), "%s", world.address);
    world_close_server();
    open_gate();
    world_until(has_result());
    world_serve(address);
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->log), "ready\nwhile you were away\n==> step 1/1: exit status 4"));
    assert_non_null(strstr(buf_str(&job->report), "\"exit_code\":4"));
    world_clean();
}

static void set_down(bool down) {
    pthread_mutex_lock(&world.lock);
    world.down = down;
    pthread_mutex_unlock(&world.lock);
}

/* A job that has ended while the server is down, and keeps its result. */
static int job_with_result(const char *before, const char *after) {
    int id;

    world_start_runner();
    id = gated_job(before, after);
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    set_down(true);
    open_gate();
    world_until(has_result());
    return id;
}

/* Until another one has its slot. */
static void kill_process(void) {
    pid_t pid = process_of();

    kill(pid, SIGKILL);
    world_until(process_of() > 0 && process_of() != pid);
}

static void a_result_whose_process_was_killed_is_delivered_by_another(void **state) {
    int id = job_with_result("true", "echo late");
    FakeJob *job;

    kill_process();
    set_down(false);
    job = world_finish(id);
    assert_string_equal(buf_str(&job->log), "==> step 1/1: one\nready\nlate\n");
    assert_non_null(strstr(buf_str(&job->report), "\"state\":\"success\""));
    world_clean();
}

/* Nothing of it is there for the slot's next job: not what a step wrote and nobody took, either. */
static void one_that_is_killed_while_it_delivers_is_followed_by_another(void **state) {
    int id = job_with_result("echo jobs: >$PELTON_PIPELINE; touch file", "exit 4");
    FakeJob *job;

    kill_process();
    kill_process();
    set_down(false);
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->report), "\"exit_code\":4"));
    world_clean();
    job = world_finish(world_job("shell", ONE("ls -A . $(dirname $PELTON_PIPELINE)"), ""));
    assert_null(strstr(buf_str(&job->log), "file"));
    assert_null(strstr(buf_str(&job->log), "pipeline"));
}

static void a_result_that_another_delivers_tells_that_its_log_was_refused(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = gated_job("true", "echo more; sleep 1000"); /* which the refusal ends */
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    pthread_mutex_lock(&world.lock);
    world.full = true;
    world.no_room = 1000;
    pthread_mutex_unlock(&world.lock);
    open_gate();
    world_until(has_result());
    pthread_mutex_lock(&world.lock);
    world.full = false;
    pthread_mutex_unlock(&world.lock);
    kill_process();
    pthread_mutex_lock(&world.lock);
    world.no_room = 0;
    pthread_mutex_unlock(&world.lock);
    job = world_finish(id);
    assert_non_null(strstr(buf_str(&job->report), "the log is cut: the disk is full"));
    world_clean();
}

/* The runner's next call tells it. */
static void wait_unlisted(int id) {
    pthread_mutex_lock(&world.lock);
    wake_lease();
    pthread_mutex_unlock(&world.lock);
    world_wait(!listed(id));
}

static void a_killed_job_process_takes_its_steps_along_and_its_attempt_is_told_lost(void **state) {
    int id;

    world_start_runner();
    id = gated_job("setsid sleep 82828 & setsid sh -c '(sleep 82828 &)'", "true");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    world_until(runs("sleep 82828"));
    kill(process_of(), SIGKILL);
    world_until(!runs("sleep 82828"));
    assert_non_null(
        strstr(buf_str(&world_finish(id)->report),
               "\"attempt\":1,\"state\":\"lost\",\"message\":\"its job process was killed by SIGKILL\""));
    world_clean();
    wait_unlisted(id);
}

static void what_is_left_of_jobs_that_died_without_a_runner_is_removed(void **state) {
    int id;
    pid_t pid;

    world_start_runner();
    id = gated_job("echo x > file", "true");
    world_wait(strstr(buf_str(&fake_job(id)->log), "ready") != NULL);
    pid = process_of();
    world_end_runner(SIGKILL);
    kill(pid, SIGKILL);
    world_until(process_of() == 0);
    pthread_mutex_lock(&world.lock);
    world.running[0] = '\0';
    pthread_mutex_unlock(&world.lock);
    world_start_runner();
    assert_non_null(
        strstr(buf_str(&world_finish(id)->report),
               "\"state\":\"lost\",\"message\":\"its job process had ended when its runner started\""));
    world_clean();
    wait_unlisted(id);
}

static int64_t memory_of(pid_t pid) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[64];
    const char *line;
    Err err;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    must(file_read(path, 65536, &text, &err), &err);
    line = strstr(buf_str(&text), "RssAnon:");
    return line ? strtoll(line + 8, NULL, 10) : 0;
}

/* KiB; a sanitizer's own comes on top of it, the more of it the more bytes pass through ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__)
#define MEMORY_MAX INT64_MAX
#elif defined(__SANITIZE_ADDRESS__)
#define MEMORY_MAX (64 * 1024)
#else
#define MEMORY_MAX (8 * 1024)
#endif

static void a_long_log_arrives_whole_in_flat_memory(void **state) {
    const int64_t size = INT64_C(200000000);
    int id;
    FakeJob *job;

    world_start_runner();
    id = gated_job("yes a line of a log that is rather long | head -c 200000000", "true");
    job = fake_job(id);
    world_wait(strstr(buf_str(&job->log), "==> ") && job->next > size);
    assert_true(memory_of(process_of()) < MEMORY_MAX);
    open_gate();
    world_finish(id);
    assert_int_equal(job->next, size + 18 + 6);
    world_clean();
}

static void lines_come_one_by_one_to_a_server_that_keeps_up(void **state) {
    int id;

    world_start_runner();
    id = gated_job("echo first", "echo second");
    world_wait(strstr(buf_str(&fake_job(id)->log), "first\nready\n") != NULL);
    assert_null(strstr(buf_str(&fake_job(id)->log), "second"));
    open_gate();
    world_finish(id);
}

static void a_server_that_lost_the_end_of_a_log_gets_it_again(void **state) {
    int id;
    FakeJob *job;

    world_start_runner();
    id = gated_job("echo first", "echo second");
    job = fake_job(id);
    world_wait(strstr(buf_str(&job->log), "ready\n") != NULL);
    pthread_mutex_lock(&world.lock);
    job->next = 10;
    job->log.len = 10;
    job->log.data[10] = '\0';
    pthread_mutex_unlock(&world.lock);
    open_gate();
    world_finish(id);
    assert_string_equal(buf_str(&job->log), "==> step 1/1: one\nfirst\nready\nsecond\n");
}

static void one_that_runs_longer_reports_its_steps(void **state) {
    int id;

    world_start_runner();
    id = gated_job("true", "true");
    world_wait(fake_job(id)->reports > 0);
    open_gate();
    world_finish(id);
}

/* Whose parent is somebody else than the runner that it was made by. */
static void a_job_whose_runner_died_before_it_had_its_slot_does_not_begin(void **state) {
    const char job[] = "{\"id\":7,\"attempt\":1,\"build\":1,\"name\":\"t\",\"spec\":{\"executor\":\"shell\","
                       "\"checkout\":false,\"steps\":[{\"name\":\"a\",\"run\":\"touch begun\"}]}}";
    RunnerHost host = {
        .o = {.server = "http://127.0.0.1:1", .dir = world.dir, .allow_shell = true, .slots = 1},
        .token = mem_strdup(NULL, TOKEN),
        .pid = getpid() - 1};
    char path[PATH_MAX];
    struct stat st;
    int status;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/jobs", world.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    pid = fork();
    if (pid == 0)
        _exit(job_main(&host, 7, 1, 0, job, sizeof(job) - 1, NULL));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_not_equal(status, 0);
    jobfile_path(world.dir, 0, ".job", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    snprintf(path, sizeof(path), "%s/work/slot-0", world.dir);
    assert_int_not_equal(stat(path, &st), 0);
    talloc_free(host.token);
}

int main(int argc, char **argv) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_job_outlives_its_runner_and_the_next_one_adopts_it),
        TEST(an_adopted_job_can_be_cancelled),
        TEST(a_job_whose_runner_died_before_it_had_its_slot_does_not_begin),
        TEST(a_server_without_room_for_a_result_is_asked_less_and_less_often),
        TEST(a_checkout_waits_for_a_server_that_is_out_of_reach_and_can_be_cancelled),
        TEST(a_result_reaches_a_server_that_was_away),
        TEST(a_result_whose_process_was_killed_is_delivered_by_another),
        TEST(one_that_is_killed_while_it_delivers_is_followed_by_another),
        TEST(a_result_that_another_delivers_tells_that_its_log_was_refused),
        TEST(a_killed_job_process_takes_its_steps_along_and_its_attempt_is_told_lost),
        TEST(what_is_left_of_jobs_that_died_without_a_runner_is_removed),
        TEST(a_long_log_arrives_whole_in_flat_memory),
        TEST(lines_come_one_by_one_to_a_server_that_keeps_up),
        TEST(a_server_that_lost_the_end_of_a_log_gets_it_again),
        TEST(one_that_runs_longer_reports_its_steps),
    };

    if (argc > 1 && str_eq(argv[1], "runner"))
        return runner_program(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
