/* proc_run: a process to its end, its output caught. */
#include "base/proc.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define ERR_TAIL ((size_t)4096)
#define READ_SIZE ((size_t)65536)

typedef struct Run {
    pid_t pid;
    int pidfd, out, err; /* -1: at its end */
    Buf *output;
    size_t max_out, before;
    Buf tail;
    int64_t deadline; /* 0: none */
} Run;

static void run_done(Run *run) {
    mem_close_p(&run->pidfd);
    mem_close_p(&run->out);
    mem_close_p(&run->err);
    buf_done(&run->tail);
}

/* The input as a file of its own in memory: nobody has to feed a pipe, and no SIGPIPE can come. */
static int input_file(const void *in, size_t len, int *ret_fd, Err *err) {
    _cleanup_close_ int fd = memfd_create("stdin", MFD_CLOEXEC);
    int r;

    if (fd < 0)
        return err_errno(err, "make input");
    r = file_write_all(fd, in, len, err);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, "make input");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int output_pipe(int *ret_read, int *ret_write, Err *err) {
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "make pipe");
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

static int run_start(Run *run, const ProcOptions *options, const void *in, size_t in_len, bool want_err,
                     Err *err) {
    _cleanup_close_ int input = -1, out = -1, errors = -1;
    ProcOptions o = *options;
    int r;

    o.new_session = true;
    if (in) {
        r = input_file(in, in_len, &input, err);
        if (r < 0)
            return r;
        o.in = input;
    }
    if (run->output) {
        r = output_pipe(&run->out, &out, err);
        if (r < 0)
            return r;
        o.out = out;
    }
    if (want_err) {
        r = output_pipe(&run->err, &errors, err);
        if (r < 0)
            return r;
        o.err = errors;
    }
    return proc_start(&o, &run->pid, &run->pidfd, err);
}

/* Reads once; at the end closes *fd. 0, or -errno. */
static int read_some(int *fd, Buf *into) {
    ssize_t n = read(*fd, buf_reserve(into, READ_SIZE), READ_SIZE);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    into->len += (size_t)n;
    into->data[into->len] = '\0';
    if (n == 0) {
        close(*fd);
        *fd = -1;
    }
    return 0;
}

static int take_output(Run *run, Err *err) {
    int r = read_some(&run->out, run->output);

    if (r < 0) {
        errno = -r;
        return err_errno(err, "read output");
    }
    if (run->output->len - run->before <= run->max_out)
        return 0;
    run->output->len = run->before + run->max_out;
    run->output->data[run->output->len] = '\0';
    return err_set(err, ERR_TOO_LARGE, "output is over %zu bytes", run->max_out);
}

static int take_errors(Run *run, Err *err) {
    int r = read_some(&run->err, &run->tail);

    if (r < 0) {
        errno = -r;
        return err_errno(err, "read errors");
    }
    if (run->tail.len > ERR_TAIL)
        buf_drop(&run->tail, run->tail.len - ERR_TAIL);
    return 0;
}

/* Waits for the next thing and takes it. */
static int run_step(Run *run, Err *err) {
    struct pollfd fds[3] = {{.fd = run->out, .events = POLLIN},
                            {.fd = run->err, .events = POLLIN},
                            {.fd = run->pidfd, .events = POLLIN}};
    struct timespec ts, *timeout = NULL;
    int n, r = 0;

    if (run->deadline) {
        int64_t left = MAX(run->deadline - clock_mono(), INT64_C(0));

        ts = (struct timespec){.tv_sec = left / US_PER_S, .tv_nsec = left % US_PER_S * 1000};
        timeout = &ts;
    }
    n = ppoll(fds, 3, timeout, NULL);
    if (n < 0)
        return errno == EINTR ? 0 : err_errno(err, "poll");
    if (n == 0)
        return err_set(err, ERR_TIMEOUT, "did not end in time");
    if (fds[0].revents)
        r = take_output(run, err);
    if (r >= 0 && fds[1].revents)
        r = take_errors(run, err);
    if (r >= 0 && fds[2].revents) /* it is reaped last, so that its group's number stays its own */
        mem_close(TAKE_FD(run->pidfd));
    return r;
}

int proc_run(const ProcOptions *options, const void *in, size_t in_len, size_t max_out, Buf *out,
             const void *mem, char **ret_err, int64_t timeout_us, int *ret_status, Err *err) {
    _cleanup_(run_done) Run run = {
        .pidfd = -1, .out = -1, .err = -1, .output = out, .max_out = max_out, .before = out ? out->len : 0};
    int r, status, reaped;

    if (timeout_us > 0)
        run.deadline = clock_mono() + timeout_us;
    r = run_start(&run, options, in, in_len, ret_err != NULL, err);
    if (r < 0)
        return r;
    while (r >= 0 && (run.pidfd >= 0 || run.out >= 0 || run.err >= 0))
        r = run_step(&run, err);
    if (r < 0)
        kill(-run.pid, SIGKILL);
    reaped = proc_wait(run.pid, &status, r < 0 ? NULL : err);
    r = r < 0 ? r : reaped;
    if (ret_err)
        *ret_err = str_utf8_clean(mem, buf_str(&run.tail), run.tail.len);
    if (r < 0)
        return err_wrap(err, "%s", options->argv[0]);
    if (ret_status)
        *ret_status = status;
    return 0;
}
