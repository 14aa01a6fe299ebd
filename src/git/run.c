#include "git/run.h"

#include "base/file.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>

#define TAIL_SIZE ((size_t)4096)
#define READ_SIZE ((size_t)16384)

/* Without git nothing of this room works; "not found" would be taken for a missing commit. */
static int start_failed(Err *err) {
    if (err && err->code == ERR_NOT_FOUND)
        err->code = ERR_INTERNAL;
    return err_wrap(err, "git is needed");
}

/* git's last words from the first "error: " or "fatal: " on, on one line: an error is the reason of what is
 * fatal behind it. */
static int command_failed(const char *what, int status, const char *said, Err *err) {
    _cleanup_talloc_ char *line = mem_strdup(NULL, said);
    char *start = line, *nl, *fatal, *error;

    while ((nl = strrchr(start, '\n')) != NULL && !nl[1])
        *nl = '\0';
    fatal = strstr(start, "fatal: ");
    error = strstr(start, "error: ");
    if (error && (!fatal || error < fatal))
        start = error + strlen("error: ");
    else if (fatal)
        start = fatal + strlen("fatal: ");
    for (char *c = start; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return err_set(err, ERR_IO, "git %s: exit status %d%s%.300s", what, status, *start ? ": " : "", start);
}

int git_run(const char *const *argv, GitEnv *env, const void *in, size_t in_len, size_t max_out, Buf *out,
            Err *err) {
    ProcOptions options = {.argv = argv, .envp = git_env_vector(env), .out = -1};
    _cleanup_talloc_ char *said = NULL;
    int r, status = 0;

    r = proc_run(&options, in, in_len, max_out, out, NULL, &said, GIT_TIMEOUT, &status, err);
    if (r == -ERR_NOT_FOUND)
        return start_failed(err);
    if (r < 0)
        return r;
    return status == 0 ? 0 : command_failed(argv[1], status, said, err);
}

static int copy_output(int from, int log_fd, Buf *tail, Err *err) {
    for (;;) {
        char piece[READ_SIZE];
        ssize_t n = read(from, piece, sizeof(piece));

        if (n == 0)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read git's output");
        buf_add(tail, piece, (size_t)n);
        if (tail->len > TAIL_SIZE)
            buf_drop(tail, tail->len - TAIL_SIZE);
        if (log_fd >= 0 && file_write_all(log_fd, piece, (size_t)n, NULL) < 0)
            log_fd = -1; /* nobody reads any more: the work goes on */
    }
}

int git_run_logged(const ProcOptions *options, int log_fd, Buf *tail, Err *err) {
    _cleanup_close_ int from = -1, to = -1;
    ProcOptions o = *options;
    int r, reaped, status = 0, fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "make pipe");
    from = fds[0];
    to = fds[1];
    o.out = o.err = to;
    r = proc_start(&o, &pid, NULL, err);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? start_failed(err) : r;
    mem_close(TAKE_FD(to));
    r = copy_output(from, log_fd, tail, err);
    mem_close(TAKE_FD(from));
    reaped = proc_wait(pid, &status, r < 0 ? NULL : err);
    if (r < 0 || reaped < 0)
        return r < 0 ? r : reaped;
    if (status == 0)
        return 0;
    return command_failed(o.argv[1], status, buf_str(tail), err);
}
