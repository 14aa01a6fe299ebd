/* `pelton release --dir DIR`: one thread, the only child is the sandbox. */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "deploy/release_file.h"
#include "deploy/spec.h"
#include "executor/env.h"
#include "executor/executor.h"
#include "executor/sandbox.h"
#include "executor/way.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BACKOFF_MIN (100 * US_PER_MS)
#define BACKOFF_MAX (10 * US_PER_S)
#define STEADY (60 * US_PER_S) /* an application that ran so long starts with the shortest pause again */
#define PORT_TRIES 5

typedef struct Supervisor {
    const char *dir;
    int dirfd;
    ReleaseSpec *spec;
    CgroupHost cgroups;
    ExecutorJob job;
    AppLog log;
    ReleaseState state;
    bool healthy, stopping, done;
    int port_tries;
    int pipe; /* the application's output; -1: at its end */
    int signal_fd;
    int64_t backoff;
    int64_t started;
    int64_t due; /* monotonic: start again (backoff) or kill (stopping); 0: nothing */
} Supervisor;

static void set_phase(Supervisor *s, ReleasePhase phase) {
    Err err;

    s->state.phase = phase;
    if (release_state_write(s->dir, &s->state, &err) < 0)
        app_log_note(&s->log, "state: %s", err.msg);
}

/* ---- the port ---- */

static bool port_free(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

/* Below the kernel's range for outgoing connections (ip_local_port_range), so that none of these takes the
 * port while the application starts again. */
static int choose_port(int wanted) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int fd = -1;
    socklen_t len = sizeof(a);

    if (wanted > 0 && port_free(wanted))
        return wanted;
    for (int i = 0; i < 200; i++) {
        uint16_t random = 0;
        int port;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            break;
        port = 20000 + random % 10000;
        if (port_free(port))
            return port;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    return ntohs(a.sin_port);
}

/* ---- the application ---- */

static const char *const *make_env(Supervisor *s, const void *mem) {
    Env env = {.mem = mem};
    char port[8];

    snprintf(port, sizeof(port), "%d", s->state.port);
    env_set(&env, "PATH", SANDBOX_PATH);
    env_set(&env, "HOME", SANDBOX_HOME);
    env_set(&env, "LANG", "C.UTF-8");
    for (const char *const *item = s->spec->env; *item; item++) {
        char *key = mem_strndup(mem, *item, strcspn(*item, "="));

        env_set(&env, key, *item + strlen(key) + 1);
    }
    env_set(&env, "PORT", port);
    env_set(&env, "PELTON_COMMIT", s->spec->commit);
    env_set(&env, "PELTON_PROJECT", s->spec->slug);
    env_set(&env, "PELTON_DEPLOYMENT", s->spec->uuid);
    return env_list(&env);
}

static int spawn(Supervisor *s, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int in = -1, out = -1;
    ExecutorStep step = {.run = s->spec->start, .cwd = "", .env = make_env(s, mem)};
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    in = fds[0];
    out = fds[1];
    fcntl(in, F_SETFL, O_NONBLOCK);
    step.out = out;
    if (executor_sandbox.start(&s->job, &step, &s->state.pid, err) < 0)
        return -(int)err->code;
    s->pipe = TAKE_FD(in);
    s->started = clock_mono();
    return 0;
}

static void end_with(Supervisor *s, ReleasePhase phase, const char *message) {
    snprintf(s->state.message, sizeof(s->state.message), "%s", message);
    s->done = true;
    set_phase(s, phase);
}

static void wait_to_start(Supervisor *s) {
    s->backoff = MIN(MAX(s->backoff * 2, BACKOFF_MIN), BACKOFF_MAX);
    s->due = clock_mono() + s->backoff;
    s->state.restarts++;
    set_phase(s, RELEASE_BACKOFF);
}

static void start_app(Supervisor *s) {
    Err err;

    s->due = 0;
    s->state.message[0] = '\0';
    if (!s->healthy || s->state.port == 0)
        s->state.port = choose_port(s->state.port);
    if (s->state.port == 0) {
        end_with(s, RELEASE_FAILED, "no free port");
        return;
    }
    if (spawn(s, &err) == 0) {
        app_log_note(&s->log, "started on port %d", s->state.port);
        set_phase(s, s->healthy ? RELEASE_RUNNING : RELEASE_STARTING);
        return;
    }
    app_log_note(&s->log, "start: %s", err.msg);
    if (s->healthy)
        wait_to_start(s);
    else
        end_with(s, RELEASE_FAILED, err.msg);
}

/* To the end of what is there; the pipe is closed at its end. */
static void read_output(Supervisor *s) {
    char data[16384];
    ssize_t n;

    while (s->pipe >= 0 && (n = read(s->pipe, data, sizeof(data))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        app_log_write(&s->log, data, (size_t)n);
    }
    if (s->pipe >= 0)
        close(s->pipe);
    s->pipe = -1;
}

static void describe_end(int status, char *out, size_t size) {
    if (status > 128 && status < 128 + 65)
        snprintf(out, size, "ended by signal %d", status - 128);
    else
        snprintf(out, size, "ended with exit status %d", status);
}

/* The application has been reaped. An end before it was healthy, with its port in another's hands: it lost a
 * race for it. */
static void app_ended(Supervisor *s, int wait_status) {
    char text[100];

    executor_sandbox.stop(&s->job);
    read_output(s);
    if (s->pipe >= 0)
        close(s->pipe);
    s->pipe = -1;
    s->state.pid = 0;
    s->state.exit_status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    describe_end(s->state.exit_status, text, sizeof(text));
    app_log_note(&s->log, "the application %s", text);
    if (s->stopping) {
        end_with(s, RELEASE_STOPPED, text);
    } else if (s->healthy) {
        if (clock_mono() - s->started >= STEADY)
            s->backoff = 0;
        wait_to_start(s);
    } else if (!port_free(s->state.port) && ++s->port_tries < PORT_TRIES) {
        app_log_note(&s->log, "port %d was taken by another; once more on a new one", s->state.port);
        start_app(s);
    } else {
        end_with(s, RELEASE_FAILED, text);
    }
}

static void reap(Supervisor *s) {
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->state.pid) {
            app_ended(s, status);
            return;
        }
}

static void stop(Supervisor *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    if (s->state.pid == 0) {
        end_with(s, RELEASE_STOPPED, "stopped");
        return;
    }
    executor_sandbox.ask(&s->job, s->state.pid, SIGTERM);
    s->due = clock_mono() + s->spec->stop_us;
}

static void look_healthy(Supervisor *s) {
    bool healthy = faccessat(s->dirfd, "healthy", F_OK, 0) == 0;

    if (healthy && !s->healthy && s->state.pid != 0)
        set_phase(s, RELEASE_RUNNING);
    s->healthy = healthy;
}

/* ---- the loop ---- */

static void on_signal(Supervisor *s) {
    struct signalfd_siginfo info;

    while (!s->done && read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(s);
        else if (info.ssi_signo == SIGUSR1)
            look_healthy(s);
        else
            stop(s);
    }
}

/* stop() of the executor reaps everything, the application too: its status is that of a kill. */
static void on_due(Supervisor *s) {
    if (!s->stopping) {
        start_app(s);
        return;
    }
    app_log_note(&s->log, "the application does not end, killed");
    app_ended(s, SIGKILL);
}

static void run(Supervisor *s) {
    while (!s->done) {
        struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN}, {.fd = s->pipe, .events = POLLIN}};
        int64_t left = s->due ? MAX(s->due - clock_mono(), 0) : -1;

        poll(fds, ELEMENTS(fds), left < 0 ? -1 : (int)(left / US_PER_MS + 1));
        if (fds[1].revents)
            read_output(s);
        if (fds[0].revents)
            on_signal(s);
        if (!s->done && s->due && clock_mono() >= s->due)
            on_due(s);
    }
}

/* ---- getting there ---- */

static int open_sandbox(Supervisor *s, Err *err) {
    const char *ways[] = {s->dir, NULL};
    char name[RELEASE_CGROUP_SIZE];

    s->job.workspace = mem_printf(s->spec, "%s/files", s->dir);
    s->job.etc = mem_printf(s->spec, "%s/etc", s->dir);
    s->job.network = true;
    s->job.drop_user = geteuid() == 0;
    s->job.uid = s->spec->uid;
    s->job.gid = SANDBOX_GID;
    if (sandbox_etc_make(s->job.etc, err) < 0)
        return -(int)err->code;
    if (s->job.drop_user && way_open(ways, s->job.uid, s->job.gid, err) < 0)
        return -(int)err->code;
    release_cgroup_name(s->spec->uuid, name);
    cgroup_host_init(&s->cgroups, name);
    cgroup_sweep(&s->cgroups, 0);
    return cgroup_open(&s->cgroups, 0, &s->spec->limits, &s->job.cgroup, err);
}

static int block_signals(Supervisor *s, Err *err) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return err_errno(err, "signals");
    return 0;
}

/* 1: another supervisor has the lock. The lock belongs to the process and goes with it. */
static int take_lock(Supervisor *s, Err *err) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(s->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(err, "%s/lock", s->dir);
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return 0;
    close(fd);
    return errno == EAGAIN || errno == EACCES ? 1 : err_errno(err, "%s/lock", s->dir);
}

static int prepare(Supervisor *s, Err *err) {
    ReleaseState before;
    int r;

    s->dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dirfd < 0)
        return err_errno(err, "%s", s->dir);
    r = take_lock(s, err);
    if (r != 0)
        return r;
    if (release_spec_read(s->dir, NULL, &s->spec, err) < 0 || block_signals(s, err) < 0 ||
        open_sandbox(s, err) < 0)
        return -(int)err->code;
    if (release_state_read(s->dir, &before, &(Err){0}) == 0)
        s->state.port = before.port;
    s->state.port = choose_port(s->state.port);
    s->state.exit_status = -1;
    s->healthy = faccessat(s->dirfd, "healthy", F_OK, 0) == 0;
    app_log_open(&s->log, s->dirfd);
    return 0;
}

/* What the waiting parent is told: a text for its standard error, or nothing. */
static void tell(int fd, const char *text) {
    if (write(fd, text, strlen(text)) < 0)
        _exit(1);
    close(fd);
}

static void supervise(const char *dir, int tell_fd) {
    Supervisor s = {.dir = dir, .pipe = -1, .signal_fd = -1};
    Err err;
    int r = prepare(&s, &err), null;

    if (r != 0) {
        tell(tell_fd, r < 0 ? err.msg : "");
        _exit(0);
    }
    start_app(&s);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    tell(tell_fd, "");
    run(&s);
    cgroup_close(&s.job.cgroup);
    cgroup_host_done(&s.cgroups);
    _exit(0);
}

/* The caller is gone when the application runs; the supervisor is then nobody's child. */
int release_main(const char *dir) {
    char text[600];
    size_t len = 0;
    ssize_t n;
    int fds[2];
    pid_t pid;

    if (dir[0] != '/' || pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        fprintf(stderr, "release: --dir wants an absolute path: %s\n", dir[0] == '/' ? strerror(errno) : dir);
        return 2;
    }
    if (pid == 0) {
        close(fds[0]);
        setsid();
        supervise(dir, fds[1]);
    }
    close(fds[1]);
    while (len < sizeof(text) - 1 && (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    if (len > 0)
        fprintf(stderr, "%s\n", text);
    return len > 0 ? 1 : 0;
}
