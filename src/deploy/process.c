/* The runtime `process`: a release is a supervisor of its own on this machine. */
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "deploy/release_file.h"
#include "deploy/runtime.h"
#include "deploy/spec.h"
#include "executor/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

static const char *const own_env[] = {"PATH=" SANDBOX_PATH, "LANG=C.UTF-8", NULL};

static int process_check(const char *text, Err *err) {
    ReleaseSpec *spec;

    if (release_spec_parse(text, NULL, &spec, err) < 0)
        return -(int)err->code;
    talloc_free(spec);
    return 0;
}

/* ---- files ---- */

static int make_folders(const Release *r, uid_t uid, Err *err) {
    _cleanup_talloc_ char *files = mem_printf(NULL, "%s/files", r->dir);

    if (file_remove_tree(r->dir, err) < 0 || file_mkdirs(r->dir, 0711, err) < 0 ||
        file_mkdirs(files, 0700, err) < 0)
        return -(int)err->code;
    if (geteuid() == 0 && chown(files, uid, SANDBOX_GID) < 0)
        return err_errno(err, "%s", files);
    return 0;
}

/* Ends when the child does, or kills it when somebody cancels. */
static int await_unpack(pid_t pid, int pidfd, int cancel_fd, int *ret_status, Err *err) {
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    int status = 0;

    while (poll(fds, ELEMENTS(fds), -1) < 0 && errno == EINTR)
        continue;
    if (!fds[0].revents)
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    if (proc_wait(pid, &status, err) < 0)
        return -(int)err->code;
    if (fds[1].revents)
        return err_set(err, ERR_CANCELLED, "cancelled");
    *ret_status = status;
    return 0;
}

/* A descriptor of its own: the caller's keeps its place. */
static int unpack(const Release *r, int artifact_fd, int cancel_fd, Err *err) {
    const char *argv[] = {r->program, "release", "--dir", r->dir, "--unpack", NULL};
    _cleanup_close_ int in = -1, said = -1, pidfd = -1;
    char path[64], complaint[400];
    /* it becomes the release's user itself: that one may not get to this program, nor to the folder */
    ProcOptions options = {.argv = argv, .envp = own_env};
    ssize_t n;
    pid_t pid;
    int ret, status = 0;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", artifact_fd);
    in = open(path, O_RDONLY | O_CLOEXEC);
    said = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (in < 0 || said < 0)
        return err_errno(err, in < 0 ? "the release's archive" : "/tmp");
    options.in = in;
    options.err = options.out = said;
    if (proc_start(&options, &pid, &pidfd, err) < 0)
        return -(int)err->code;
    ret = await_unpack(pid, pidfd, cancel_fd, &status, err);
    if (ret < 0 || status == 0)
        return ret;
    n = pread(said, complaint, sizeof(complaint) - 1, 0);
    complaint[MAX(n, 0)] = '\0';
    complaint[strcspn(complaint, "\n")] = '\0';
    return err_set(err, status == RELEASE_NO_ROOM ? ERR_NO_SPACE : ERR_INVALID, "%s",
                   *complaint ? complaint : "no reason given");
}

/* However many there are: after a power loss they are started as they are. */
static int sync_files(const Release *r, Err *err) {
    _cleanup_close_ int fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || syncfs(fd) < 0 ? err_errno(err, "bring %s to the disk", r->dir) : 0;
}

/* spec.json comes last: with it the release is whole. */
static int process_prepare(const Release *r, int artifact_fd, int cancel_fd, Err *err) {
    _cleanup_talloc_ ReleaseSpec *spec = NULL, *kept = NULL;

    if (release_spec_parse(r->spec, NULL, &spec, err) < 0)
        return -(int)err->code;
    spec->uuid = r->uuid;
    spec->slug = r->slug;
    spec->commit = r->commit ? r->commit : "";
    spec->uid = release_uid(r->uuid);
    if (r->stop_us > 0)
        spec->stop_us = r->stop_us;
    release_spec_add_env(spec, r->env, spec);
    if (release_spec_read(r->dir, NULL, &kept, &(Err){0}) == 0 && str_eq(kept->uuid, r->uuid))
        return 0;
    if (artifact_fd < 0)
        return err_set(err, ERR_NOT_FOUND, "the release's files are gone and there is no archive of them");
    if (make_folders(r, spec->uid, err) < 0 || unpack(r, artifact_fd, cancel_fd, err) < 0 ||
        sync_files(r, err) < 0)
        return err_wrap(err, "unpack the release");
    return release_spec_write(spec, r->dir, err);
}

/* A supervisor that was killed could not remove its control groups. */
static void remove_cgroups(const Release *r) {
    char name[RELEASE_CGROUP_SIZE];
    CgroupHost host;

    release_cgroup_name(r->uuid, name);
    cgroup_host_init(&host, name);
    cgroup_sweep(&host, 0);
    cgroup_host_done(&host);
}

static int process_remove(const Release *r, Err *err) {
    remove_cgroups(r);
    return file_remove_tree(r->dir, err);
}

/* ---- the supervisor ---- */

static int mark_healthy(const Release *r, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/healthy", r->dir);

    return file_write_atomic(path, "", 0, 0600, err);
}

static int process_start(const Release *r, bool healthy, Err *err) {
    const char *argv[] = {r->program, "release", "--dir", r->dir, NULL};
    ProcOptions options = {.argv = argv, .envp = own_env, .cwd = "/", .new_session = true};
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char *said = NULL;
    int status = 0;

    if (healthy && mark_healthy(r, err) < 0)
        return -(int)err->code;
    if (proc_run(&options, NULL, 0, 4096, NULL, mem, &said, 30 * US_PER_S, &status, err) < 0)
        return err_wrap(err, "start the supervisor");
    if (status != 0)
        return err_set(err, ERR_UNAVAILABLE, "start the supervisor: %s",
                       str_empty(said) ? "no reason given" : said);
    return 0;
}

static int process_status(const Release *r, RuntimeStatus *ret, Err *err) {
    bool held = release_supervisor(r->dir, &(pid_t){0}, NULL, &(Err){0}) == 0;
    RuntimeStatus status = {0};
    ReleaseState state;

    if (release_state_read(r->dir, &state, err) < 0)
        return -(int)err->code;
    status.failed = state.phase == RELEASE_FAILED || state.phase == RELEASE_STOPPED || !held;
    status.running = !status.failed;
    snprintf(status.address, sizeof(status.address), "127.0.0.1:%d", state.port);
    if (state.phase == RELEASE_FAILED || state.phase == RELEASE_STOPPED)
        snprintf(status.message, sizeof(status.message), "the application %s", state.message);
    else if (!held)
        snprintf(status.message, sizeof(status.message), "its supervisor does not run");
    *ret = status;
    return 0;
}

/* A new state.json is moved into place; when the supervisor dies, the kernel closes its lock file. */
static int process_watch(const Release *r, int *ret_fd, Err *err) {
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0 || inotify_add_watch(fd, r->dir, IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        return err_errno(err, "watch %s", r->dir);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int process_confirm(const Release *r, Err *err) {
    _cleanup_close_ int pidfd = -1;
    pid_t pid;

    if (mark_healthy(r, err) < 0 || release_supervisor(r->dir, &pid, &pidfd, err) < 0)
        return -(int)err->code;
    if (pidfd_send_signal(pidfd, SIGUSR1, NULL, 0) < 0)
        return err_errno(err, "the release's supervisor");
    return 0;
}

static void process_tail(const Release *r, char *out, size_t size) {
    app_log_tail(r->dir, out, size);
}

/* The supervisor has the grace itself; were it stuck, its own end is that of the sandbox. */
static int process_stop(const Release *r, Err *err) {
    _cleanup_close_ int pidfd = -1;
    struct pollfd ended = {.events = POLLIN};
    int64_t grace = (r->stop_us > 0 ? r->stop_us : 10 * US_PER_S) + 5 * US_PER_S;
    pid_t pid;

    if (release_supervisor(r->dir, &pid, &pidfd, &(Err){0}) < 0)
        return 0;
    ended.fd = pidfd;
    if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
        return err_errno(err, "stop the release");
    if (poll(&ended, 1, (int)(grace / US_PER_MS)) > 0)
        return 0;
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    if (poll(&ended, 1, 5000) > 0)
        return 0;
    return err_set(err, ERR_TIMEOUT, "the supervisor %d of the release does not end", (int)pid);
}

const RuntimeOps runtime_process = {
    .name = "process",
    .check = process_check,
    .prepare = process_prepare,
    .start = process_start,
    .status = process_status,
    .watch = process_watch,
    .confirm = process_confirm,
    .tail = process_tail,
    .stop = process_stop,
    .remove = process_remove,
};

const RuntimeOps *runtime_find(const char *name) {
    static const RuntimeOps *const runtimes[] = {&runtime_process};

    for (size_t i = 0; i < ELEMENTS(runtimes); i++)
        if (str_eq(runtimes[i]->name, name))
            return runtimes[i];
    return NULL;
}
