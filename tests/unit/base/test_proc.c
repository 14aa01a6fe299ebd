#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "base_test.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SECONDS(n) ((n)*US_PER_S)
#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Runs it and gives what it wrote; the caller frees. *ret_status may be NULL: then it must be 0. */
static char *output_of(const ProcOptions *options, int *ret_status) {
    _cleanup_buf_ Buf out = BUF_INIT;
    int status = -1;
    Err err;

    assert_done(proc_run(options, NULL, 0, 1 << 20, &out, NULL, NULL, SECONDS(60), &status, &err), &err);
    if (ret_status)
        *ret_status = status;
    else
        assert_int_equal(status, 0);
    return buf_dup(&out, NULL);
}

static void input_output_errors_and_status(void **state) {
    const ProcOptions o = {.argv = ARGV("sh", "-c", "cat; printf bad >&2; exit 3")};
    _cleanup_buf_ Buf out = BUF_INIT;
    char *errors = NULL;
    int status;
    Err err;

    buf_adds(&out, "before ");
    assert_done(proc_run(&o, "a\0b", 3, 3, &out, NULL, &errors, SECONDS(60), &status, &err), &err);
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.data, "before a\0b", 10);
    assert_string_equal(errors, "bad");
    assert_int_equal(status, 3);
    talloc_free(errors);
}

static void big_input_and_output_do_not_block(void **state) {
    const ProcOptions o = {.argv = ARGV("cat")};
    size_t len = 3 << 20;
    char *in = mem_array(NULL, char, len);
    _cleanup_buf_ Buf out = BUF_INIT;
    int status;
    Err err;

    memset(in, 'x', len);
    assert_done(proc_run(&o, in, len, len, &out, NULL, NULL, SECONDS(60), &status, &err), &err);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, in, len);
    /* one that reads nothing of it: no SIGPIPE */
    assert_done(
        proc_run(&(ProcOptions){.argv = ARGV("true")}, in, len, 0, NULL, NULL, NULL, 0, &status, &err), &err);
    assert_int_equal(status, 0);
    talloc_free(in);
}

static void of_the_errors_the_end_is_kept(void **state) {
    const ProcOptions o = {
        .argv = ARGV("sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2; printf '\\377end' >&2")};
    char *errors = NULL;
    int status;
    Err err;

    assert_done(proc_run(&o, NULL, 0, 0, NULL, NULL, &errors, SECONDS(60), &status, &err), &err);
    assert_int_equal(strlen(errors), 4096 + 2); /* the byte that is no UTF-8 became three */
    assert_true(str_ends(errors, "x\xef\xbf\xbd"
                                 "end"));
    talloc_free(errors);
}

static void output_has_a_limit(void **state) {
    const ProcOptions o = {.argv = ARGV("sh", "-c", "yes & yes")};
    _cleanup_buf_ Buf out = BUF_INIT;
    int status = 77;
    Err err;

    assert_fails(proc_run(&o, NULL, 0, 1000, &out, NULL, NULL, 0, &status, &err), &err, ERR_TOO_LARGE,
                 "over 1000");
    assert_int_equal(out.len, 1000);
    assert_int_equal(status, 77);
}

/* All of the group is gone: nobody holds the pipe's other end any more. */
static void in_time_the_whole_group_is_killed(void **state) {
    int fds[2], status = 77;
    ProcOptions o = {.argv = ARGV("sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000")};
    struct pollfd p;
    char *errors = NULL;
    Err err;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    o.out = fds[1];
    assert_fails(proc_run(&o, NULL, 0, 0, NULL, NULL, &errors, 50000, &status, &err), &err, ERR_TIMEOUT,
                 "in time");
    assert_int_equal(status, 77);
    assert_string_equal(errors, "");
    talloc_free(errors);
    close(fds[1]);
    p = (struct pollfd){.fd = fds[0]};
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(p.revents & POLLHUP);
    close(fds[0]);
}

/* Over is: reaped, and its pipes at their end. */
static void what_a_left_over_child_writes_is_caught(void **state) {
    _cleanup_talloc_ char *out =
        output_of(&(ProcOptions){.argv = ARGV("sh", "-c", "(read x; echo late) < /dev/null & exit 0")}, NULL);

    assert_string_equal(out, "late\n");
}

static void a_missing_program_is_not_found(void **state) {
    static const char *const names[] = {"no-such-program-here", "/no/such/program", "", "./none"};
    pid_t pid = 77;
    int fd = 77;
    Err err;

    for (size_t i = 0; i < ELEMENTS(names); i++)
        assert_fails(proc_start(&(ProcOptions){.argv = ARGV(names[i])}, &pid, &fd, &err), &err, ERR_NOT_FOUND,
                     names[i]);
    assert_fails(proc_start(&(ProcOptions){.argv = ARGV("/etc/passwd")}, &pid, &fd, &err), &err, ERR_IO,
                 "denied");
    assert_fails(proc_start(&(ProcOptions){.argv = ARGV("true"), .cwd = "/no/folder"}, &pid, NULL, &err),
                 &err, ERR_NOT_FOUND, "/no/folder");
    assert_int_equal(pid, 77);
    assert_int_equal(fd, 77);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to reap */
    assert_int_equal(errno, ECHILD);
}

/* execvpe() would give it to /bin/sh. */
static void a_file_without_a_format_does_not_reach_a_shell(void **state) {
    char path[] = "/tmp/pelton-proc-XXXXXX";
    int fd = mkstemp(path);
    pid_t pid;
    Err err;

    assert_int_equal(write(fd, "exit 0\n", 7), 7);
    fchmod(fd, 0755);
    close(fd);
    assert_fails(proc_start(&(ProcOptions){.argv = ARGV(path)}, &pid, NULL, &err), &err, ERR_IO,
                 "Exec format");
    unlink(path);
}

static void signals_become_128_and_more(void **state) {
    int status;

    talloc_free(output_of(&(ProcOptions){.argv = ARGV("sh", "-c", "kill -9 $$")}, &status));
    assert_int_equal(status, 137);
    assert_int_equal(proc_status(3 << 8), 3);
    assert_int_equal(proc_status(SIGTERM), 143);
}

static void on_signal(int sig) {
}

static void signals_of_the_child_are_reset(void **state) {
    struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, old_pipe, old_usr1;
    const ProcOptions o = {.argv = ARGV("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")};
    _cleanup_talloc_ char *out = NULL;
    sigset_t block, before, after;

    sigaction(SIGPIPE, &ignore, &old_pipe);
    sigaction(SIGUSR1, &action, &old_usr1);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &before);
    out = output_of(&o, NULL);
    sigprocmask(SIG_SETMASK, &before, &after);
    assert_true(sigismember(&after, SIGTERM) && !sigismember(&after, SIGINT)); /* ours is as it was */
    assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    sigaction(SIGUSR1, &old_usr1, &action);
    assert_ptr_equal(action.sa_handler, on_signal); /* the child's reset did not reach us */
    sigaction(SIGPIPE, &old_pipe, NULL);
}

static void other_descriptors_are_closed(void **state) {
    int leak = open("/dev/zero", O_RDONLY), keep = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int high = fcntl(leak, F_DUPFD, 200);
    _cleanup_talloc_ char *wanted = mem_printf(NULL, "0\n1\n2\n%d\n%d\n", keep, high);
    _cleanup_talloc_ char *out = NULL;
    ProcOptions o = {
        .argv = ARGV("sh", "-c",
                     "i=0; while [ $i -lt 300 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; :")};

    out = output_of(&o, NULL);
    assert_string_equal(out, "0\n1\n2\n");
    talloc_free(out);
    o.keep = (const int[]){high, keep, -1};
    out = output_of(&o, NULL);
    assert_string_equal(out, wanted);
    close(leak);
    close(keep);
    close(high);
}

static void standard_descriptors_may_be_crossed(void **state) {
    int fds[2], saved[2] = {fcntl(1, F_DUPFD_CLOEXEC, 100), fcntl(2, F_DUPFD_CLOEXEC, 100)}, status, other[2];
    const ProcOptions o = {.argv = ARGV("sh", "-c", "echo out; echo err >&2"), .out = 2, .err = 1};
    char text[16] = {0};
    pid_t pid;
    Err err = {0};
    int r;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe2(other, O_CLOEXEC), 0);
    dup2(fds[1], 1);
    dup2(other[1], 2);
    r = proc_start(&o, &pid, NULL, &err);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    assert_int_equal(r, 0);
    assert_done(proc_wait(pid, &status, &err), &err);
    assert_int_equal(read(fds[0], text, sizeof(text) - 1), 4);
    assert_string_equal(text, "err\n");
    memset(text, 0, sizeof(text));
    assert_int_equal(read(other[0], text, sizeof(text) - 1), 4);
    assert_string_equal(text, "out\n");
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(other[i]);
        close(saved[i]);
    }
}

static void input_is_empty_and_output_may_go_nowhere(void **state) {
    const ProcOptions o = {.argv = ARGV("sh", "-c", "readlink /proc/$$/fd/0 /proc/$$/fd/2"), .err = -1};
    _cleanup_talloc_ char *out = output_of(&o, NULL);

    assert_string_equal(out, "/dev/null\n/dev/null\n");
}

static void environment_and_folder_are_as_told(void **state) {
    _cleanup_talloc_ char *out = NULL;

    assert_int_equal(setenv("PELTON_PROC_TEST", "own", 1), 0);
    out = output_of(&(ProcOptions){.argv = ARGV("env"), .envp = ARGV("A=1", "B=x y")}, NULL);
    assert_string_equal(out, "A=1\nB=x y\n");
    talloc_free(out);
    out = output_of(&(ProcOptions){.argv = ARGV("sh", "-c", "echo $PELTON_PROC_TEST; pwd"), .cwd = "/usr"},
                    NULL);
    assert_string_equal(out, "own\n/usr\n");
}

static int before(void *arg) {
    int *fds = arg; /* still open here, and what happens here is the child's */

    return write(fds[1], "x", 1) == 1 && getpid() != fds[2] ? fds[3] : 9;
}

static void before_exec_runs_in_the_child(void **state) {
    int arg[4] = {-1, -1, getpid(), 0}, status;
    ProcOptions o = {.argv = ARGV("true"), .before_exec = before, .arg = arg};
    char c;

    assert_int_equal(pipe2(arg, O_CLOEXEC), 0);
    talloc_free(output_of(&o, &status));
    assert_int_equal(status, 0);
    assert_int_equal(read(arg[0], &c, 1), 1);
    arg[3] = 1;
    talloc_free(output_of(&o, &status));
    assert_int_equal(status, 126);
    close(arg[0]);
    close(arg[1]);
}

static void the_user_is_dropped_with_all_groups(void **state) {
    ProcOptions o = {.argv = ARGV("grep", "-E", "^(Uid|Gid|Groups)", "/proc/self/status"),
                     .drop_user = true,
                     .uid = 65534};
    _cleanup_talloc_ char *out = NULL;

    if (getuid() != 0)
        skip();
    o.gid = 65533;
    out = output_of(&o, NULL);
    assert_string_equal(out,
                        "Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\nGroups:\t \n");
    assert_int_equal(geteuid(), 0);
}

static void a_new_session_has_its_own_group(void **state) {
    int status;
    pid_t pid;
    Err err;

    assert_done(
        proc_start(&(ProcOptions){.argv = ARGV("sleep", "1000"), .new_session = true}, &pid, NULL, &err),
        &err);
    assert_int_equal(getsid(pid), pid);
    assert_int_equal(kill(-pid, SIGKILL), 0);
    assert_done(proc_wait(pid, &status, &err), &err);
    assert_int_equal(status, 137);
    assert_fails(proc_wait(pid, &status, &err), &err, ERR_IO, "wait");
}

static void the_pidfd_tells_the_end_and_takes_signals(void **state) {
    struct pollfd p = {.events = POLLIN};
    int status;
    pid_t pid;
    Err err;

    assert_done(proc_start(&(ProcOptions){.argv = ARGV("sleep", "1000")}, &pid, &p.fd, &err), &err);
    assert_int_equal(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0), 0);
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_done(proc_wait(pid, &status, &err), &err);
    assert_int_equal(status, 143);
    close(p.fd);
}

/* The child of a child that dies: its pipe ends only when it is gone too. */
static void a_child_dies_with_its_parent(void **state) {
    struct pollfd p = {.events = POLLIN};
    int fds[2];
    pid_t middle;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    middle = fork();
    if (middle == 0) {
        ProcOptions o = {.argv = ARGV("sleep", "1000"), .die_with_parent = true, .out = fds[1]};
        pid_t pid;

        _exit(proc_start(&o, &pid, NULL, NULL) < 0);
    }
    close(fds[1]);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    p.fd = fds[0];
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(p.revents & POLLHUP);
    close(fds[0]);
}

static void no_descriptor_is_left_behind(void **state) {
    int before_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), after_fd;
    _cleanup_buf_ Buf out = BUF_INIT;
    char *errors = NULL;
    int status;
    Err err;

    close(before_fd);
    talloc_free(output_of(&(ProcOptions){.argv = ARGV("true")}, NULL));
    (void)!proc_run(&(ProcOptions){.argv = ARGV("none-such")}, "x", 1, 1, &out, NULL, &errors, 0, &status,
                    &err);
    (void)!proc_run(&(ProcOptions){.argv = ARGV("yes")}, "x", 1, 1, &out, NULL, &errors, 0, &status, &err);
    talloc_free(errors);
    after_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(after_fd, before_fd);
    close(after_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_output_errors_and_status),
        cmocka_unit_test(big_input_and_output_do_not_block),
        cmocka_unit_test(of_the_errors_the_end_is_kept),
        cmocka_unit_test(output_has_a_limit),
        cmocka_unit_test(in_time_the_whole_group_is_killed),
        cmocka_unit_test(what_a_left_over_child_writes_is_caught),
        cmocka_unit_test(a_missing_program_is_not_found),
        cmocka_unit_test(a_file_without_a_format_does_not_reach_a_shell),
        cmocka_unit_test(signals_become_128_and_more),
        cmocka_unit_test(signals_of_the_child_are_reset),
        cmocka_unit_test(other_descriptors_are_closed),
        cmocka_unit_test(standard_descriptors_may_be_crossed),
        cmocka_unit_test(input_is_empty_and_output_may_go_nowhere),
        cmocka_unit_test(environment_and_folder_are_as_told),
        cmocka_unit_test(before_exec_runs_in_the_child),
        cmocka_unit_test(the_user_is_dropped_with_all_groups),
        cmocka_unit_test(a_new_session_has_its_own_group),
        cmocka_unit_test(the_pidfd_tells_the_end_and_takes_signals),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(no_descriptor_is_left_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
