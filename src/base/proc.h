/* Processes: an argument vector, never a shell; a clean environment; pidfds; capture with limits. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <sys/types.h>

/* What becomes of the child before exec. Zero is a good default. */
typedef struct ProcOptions {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH unless it has a slash */
    const char *const *envp; /* NULL: the caller's own; else exactly these "K=V" */
    const char *cwd;         /* NULL: the caller's */
    int in, out, err;        /* descriptors for 0, 1, 2; 0 means /dev/null for in, -1 means /dev/null,
                              * and for out and err 0 means the caller's own */
    const int *keep;         /* further descriptors that stay open, same number; ended by -1; or NULL */
    bool new_session;        /* setsid() */
    bool die_with_parent;    /* PR_SET_PDEATHSIG SIGKILL; "parent" is the thread that calls proc_start */
    bool drop_user;          /* become uid/gid below, no supplementary groups */
    uid_t uid;
    gid_t gid;
    /* Runs in the child, async-signal-safe, with 48 KiB of stack; non-zero: the child exits 126. The memory
     * is still the caller's (as after vfork), who waits. It runs before the user is dropped and the other
     * descriptors are closed, and after 0, 1, 2, the session and the folder are set. */
    int cgroup_fd; /* > 0: a cgroup v2 folder to be born in; no slow migration afterwards */
    int (*before_exec)(void *arg);
    void *arg;
} ProcOptions;

/* Starts the process. *ret_pidfd (may be NULL) is for poll() and pidfd_send_signal; the caller closes it and
 * reaps with proc_wait. ERR_NOT_FOUND when the program is not there (found out before returning: the caller
 * is held until the exec, as by vfork). All other descriptors are closed in the child; signal mask and
 * handlers are reset, ignored signals too. */
_must_check_ int proc_start(const ProcOptions *options, pid_t *ret_pid, int *ret_pidfd, Err *err);
/* Reaps: *ret_status is the exit status, or 128 + signal. Blocks. */
_must_check_ int proc_wait(pid_t pid, int *ret_status, Err *err);
/* As a wait status of waitpid(2): exit status or 128 + signal. */
int proc_status(int wait_status);

/* Runs to the end with standard input `in` (may be NULL), capturing stdout up to max_out bytes into *out and
 * the last 4 KiB of stderr into *ret_err (talloc in mem; valid UTF-8; both may be NULL, then they go where
 * options says; *ret_err is set whenever the process ran, "" if it said nothing). More than max_out: the
 * process group is killed, ERR_TOO_LARGE. The process has a session of its own. timeout_us 0: none; over it
 * the process group is killed, ERR_TIMEOUT. *ret_status as proc_wait. A non-zero status is not an error here.
 */
_must_check_ int proc_run(const ProcOptions *options, const void *in, size_t in_len, size_t max_out, Buf *out,
                          const void *mem, char **ret_err, int64_t timeout_us, int *ret_status, Err *err);
