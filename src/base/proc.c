#include "base/proc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_STACK ((size_t)64 * 1024)

/* The sanitizers must not follow the child: it leaves by exec, never by return. */
#define CHILD_CODE __attribute__((no_sanitize("address", "thread", "undefined")))

/* What the child is told and what it answers; it shares our memory until its exec. */
typedef struct Start {
    const ProcOptions *options;
    const char *const *envp;
    const char *path; /* PATH, for an argv[0] without a slash */
    const char *what; /* the step that failed, or NULL */
    int failed;       /* its errno */
} Start;

/* Bare system calls where a sanitizer's own would write down in the shared memory what only the child does.
 */
_noreturn_ CHILD_CODE static void child_exit(int status) {
    for (;;)
        syscall(SYS_exit_group, status);
}

_noreturn_ CHILD_CODE static void child_fail(Start *start, const char *what) {
    start->what = what;
    start->failed = errno;
    child_exit(127);
}

/* A handler would run on our memory, and an ignored signal stays so over exec. All is blocked meanwhile.
 * Zeros are SIG_DFL and the empty set in the kernel's own structures. */
CHILD_CODE static void child_signals(void) {
    static const uint64_t zeros[8];

    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            syscall(SYS_rt_sigaction, sig, zeros, NULL, sizeof(uint64_t));
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, zeros, NULL, sizeof(uint64_t));
}

/* The descriptor to put at 0, 1 or 2, moved out of the way of the other two; -1: leave it as it is. */
CHILD_CODE static int child_source(Start *start, int fd, bool inherit) {
    if (inherit)
        return -1;
    if (fd < 0) {
        fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
        if (fd < 0)
            child_fail(start, "open /dev/null");
    }
    if (fd < 3) {
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            child_fail(start, "duplicate descriptor");
    }
    return fd;
}

CHILD_CODE static void child_descriptors(Start *start) {
    const ProcOptions *o = start->options;
    int from[3] = {
        child_source(start, o->in > 0 ? o->in : -1, false),
        child_source(start, o->out, o->out == 0),
        child_source(start, o->err, o->err == 0),
    };

    for (int i = 0; i < 3; i++)
        if (from[i] >= 0 && syscall(SYS_dup3, from[i], i, 0) < 0)
            child_fail(start, "duplicate descriptor");
}

CHILD_CODE static bool child_keeps(const int *keep, unsigned from, unsigned *ret) {
    bool found = false;

    for (; keep && *keep >= 0; keep++)
        if ((unsigned)*keep >= from && (!found || (unsigned)*keep < *ret)) {
            *ret = (unsigned)*keep;
            found = true;
        }
    return found;
}

CHILD_CODE static void child_close(Start *start) {
    unsigned from = 3, kept = 0;

    while (child_keeps(start->options->keep, from, &kept)) {
        if (kept > from && syscall(SYS_close_range, from, kept - 1, 0) < 0)
            child_fail(start, "close descriptors");
        if (fcntl((int)kept, F_SETFD, 0) < 0)
            child_fail(start, "keep descriptor");
        from = kept + 1;
    }
    if (syscall(SYS_close_range, from, ~0u, 0) < 0)
        child_fail(start, "close descriptors");
}

/* Bare system calls: the library's would change all threads of the caller. */
CHILD_CODE static void child_user(Start *start) {
    const ProcOptions *o = start->options;

    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, o->gid, o->gid, o->gid) < 0 ||
        syscall(SYS_setresuid, o->uid, o->uid, o->uid) < 0)
        child_fail(start, "change user");
}

/* execvpe(3) would hand a file without "#!" to a shell. */
CHILD_CODE static void child_exec(Start *start) {
    char *const *argv = (char *const *)start->options->argv;
    char *const *envp = (char *const *)start->envp;
    size_t name_len = strlen(argv[0]), dir_len;
    char file[PATH_MAX];
    int why = ENOENT;

    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, envp);
        return;
    }
    for (const char *dir = start->path; *argv[0]; dir += dir_len + 1) {
        dir_len = strcspn(dir, ":");
        if (dir_len > 0 && dir_len + name_len + 2 <= sizeof(file)) {
            memcpy(file, dir, dir_len);
            file[dir_len] = '/';
            memcpy(file + dir_len + 1, argv[0], name_len + 1);
            execve(file, argv, envp);
            if (errno != ENOENT && errno != ENOTDIR)
                why = errno;
            if (why != ENOENT && why != EACCES)
                break;
        }
        if (!dir[dir_len])
            break;
    }
    errno = why;
}

CHILD_CODE static int child_main(void *arg) {
    Start *start = arg;
    const ProcOptions *o = start->options;

    child_signals();
    if (o->new_session && setsid() < 0)
        child_fail(start, "new session");
    if (o->cwd && chdir(o->cwd) < 0)
        child_fail(start, o->cwd);
    child_descriptors(start);
    if (o->before_exec && o->before_exec(o->arg) != 0)
        child_exit(126);
    if (o->drop_user)
        child_user(start);
    if (o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        child_fail(start, "die with parent");
    child_close(start);
    child_exec(start);
    child_fail(start, o->argv[0]);
}

/* clone(2) with a folder of cgroup v2 to be born in, which only clone3 knows, and which glibc does not wrap.
 * Moving the child there later would wait for all of RCU: 10 ms where this is free. */
static pid_t clone_into(Start *start, char *top, uint64_t flags, int *pidfd) {
    struct clone_args args = {
        .flags = flags | CLONE_INTO_CGROUP,
        .pidfd = (uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)top - CHILD_STACK / 2,
        .stack_size = CHILD_STACK / 2,
        .cgroup = (uint64_t)start->options->cgroup_fd,
    };
#ifdef __x86_64__
    register int (*entry)(void *) __asm__("r12") = child_main;
    register void *arg __asm__("r13") = start;
    long result;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n\t"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(&args), "S"(sizeof(args)), "r"(entry), "r"(arg)
                     : "rcx", "r11", "memory", "cc");
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return (pid_t)result;
#else
    /* no way to hand over a stack without assembly: a copy of the memory instead, an error is an exit status
     */
    args.flags &= ~(uint64_t)(CLONE_VM | CLONE_VFORK);
    args.stack = args.stack_size = 0;
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0)
        child_main(start);
    return pid;
#endif
}

/* clone(2) by glibc's other name for it. ThreadSanitizer wraps the usual one, and in the memory that the
 * child shares forgets to follow this thread's synchronisation. */
extern int __clone(int (*entry)(void *), void *top, int flags, void *arg, ...);

/* The child borrows our memory and we wait until it has let go of it (vfork with a stack of its own): no copy
 * of page tables, no pipe to hear of a failed exec. With drop_user the kernel makes the shared memory, and so
 * us, not dumpable; only root comes there, and it stays so: another start may be under way. */
static pid_t start_child(Start *start, int *pidfd) {
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD | (pidfd ? CLONE_PIDFD : 0);
    _cleanup_free_ char *stack = malloc(CHILD_STACK);
    sigset_t all, before;
    char *top;
    int saved;
    pid_t pid;

    if (!stack)
        abort();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    top = (char *)((uintptr_t)(stack + CHILD_STACK) & ~(uintptr_t)63);
    if (start->options->cgroup_fd > 0)
        pid = clone_into(start, top, (uint64_t)(flags & ~SIGCHLD), pidfd);
    else
        pid = __clone(child_main, top, flags, start, pidfd);
    saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

int proc_start(const ProcOptions *options, pid_t *ret_pid, int *ret_pidfd, Err *err) {
    const char *path = getenv("PATH");
    Start start = {
        .options = options,
        .envp = options->envp ? options->envp : (const char *const *)environ,
        .path = path ? path : "/usr/local/bin:/usr/bin:/bin",
    };
    _cleanup_close_ int pidfd = -1;
    pid_t pid;

    assert(options->argv && options->argv[0]);
    pid = start_child(&start, ret_pidfd ? &pidfd : NULL);
    if (pid < 0)
        return err_errno(err, "start %s", options->argv[0]);
    if (start.what) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        errno = start.failed;
        if (start.what == options->argv[0])
            return err_errno(err, "start %s", start.what);
        return err_errno(err, "start %s: %s", options->argv[0], start.what);
    }
    *ret_pid = pid;
    if (ret_pidfd)
        *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}

int proc_status(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int proc_wait(pid_t pid, int *ret_status, Err *err) {
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(err, "wait for process %d", (int)pid);
    *ret_status = proc_status(status);
    return 0;
}
