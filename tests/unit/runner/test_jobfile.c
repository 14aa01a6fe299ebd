#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "runner/jobfile.h"
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[64], path[PATH_MAX];

static int setup(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/pelton-jobfile-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/jobs", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    jobfile_path(dir, 3, ".job", path);
    return 0;
}

static int teardown(void **state) {
    Err err;

    return file_remove_tree(dir, &err);
}

static void good(int r, const Err *err) {
    if (r < 0)
        fail_msg("%s", err->msg);
}

static void what_is_written_is_read(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    JobFile f;
    int fd = -1;
    Err err;

    good(jobfile_create(dir, 3, 7, 2, "{\"a\":1}", 7, &fd, &err), &err);
    good(jobfile_read(path, mem, &f, &err), &err);
    assert_int_equal(f.id, 7);
    assert_int_equal(f.attempt, 2);
    assert_int_equal(f.slot, 3);
    assert_string_equal(f.job, "{\"a\":1}");
    assert_null(f.result);
    good(jobfile_finish(fd, "{}", 2, "x\ny\0z", 5, &err), &err);
    good(jobfile_read(path, mem, &f, &err), &err);
    assert_string_equal(f.result, "{}");
    assert_int_equal(f.log_len, 5);
    assert_memory_equal(f.log, "x\ny\0z", 5);
    jobfile_clear(fd);
    assert_int_equal(jobfile_read(path, mem, &f, &err), -ERR_NOT_FOUND);
    close(fd);
}

static void half_a_result_is_none_and_half_a_job_is_an_error(void **state) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    static const char half[] = "{\"job\":1,\"attempt\":1}\n{}\n{\"state\":",
                      start[] = "{\"job\":1,\"attempt\":1}\n{";
    JobFile f = {0};
    Err err;

    good(file_write_atomic(path, half, sizeof(half) - 1, 0600, &err), &err);
    good(jobfile_read(path, mem, &f, &err), &err);
    assert_null(f.result);
    good(file_write_atomic(path, start, sizeof(start) - 1, 0600, &err), &err);
    assert_int_equal(jobfile_read(path, mem, &f, &err), -ERR_INVALID);
}

/* In a process of its own: a lock does not keep its own holder out. */
static void the_kernel_knows_whether_its_process_lives(void **state) {
    int ready[2], fd = -1, status;
    char byte;
    pid_t pid;
    Err err;

    assert_int_equal(jobfile_holder(path), 0);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (jobfile_create(dir, 3, 1, 1, "{}", 2, &fd, &err) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(jobfile_holder(path), pid);
    assert_int_equal(jobfile_take(path, &fd, &err), -ERR_CONFLICT);
    assert_int_equal(jobfile_create(dir, 3, 2, 1, "{}", 2, &fd, &err), -ERR_CONFLICT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(jobfile_holder(path), 0);
    good(jobfile_take(path, &fd, &err), &err);
    close(fd);
}

static void names(void **state) {
    int slot = -1;

    assert_true(jobfile_name("slot-12.job", &slot));
    assert_int_equal(slot, 12);
    assert_true(jobfile_name("slot-0", &slot));
    assert_int_equal(slot, 0);
    assert_false(jobfile_name("slot-", &slot));
    assert_false(jobfile_name("slot--1", &slot));
    assert_false(jobfile_name("slot-1x.log", &slot));
    assert_false(jobfile_name("slot-99999999999999999999.job", &slot));
    assert_false(jobfile_name("..", &slot));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(half_a_result_is_none_and_half_a_job_is_an_error),
        TEST(the_kernel_knows_whether_its_process_lives),
        TEST(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
