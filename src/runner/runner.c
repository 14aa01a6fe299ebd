#include "runner/runner.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "executor/executor.h"
#include "executor/sandbox.h"
#include "runner/jobs.h"
#include "runner/lease.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#define SPOOL_BYTES (UINT64_C(1) << 30)
#define GRACE_US (10 * US_PER_S)
#define CLEANUP_US (60 * US_PER_S)
#define POLL_MAX 1024
#define REACHABLE_US (3 * LEASE_WAIT_S * US_PER_S)
#define SETTLE_US (3 * US_PER_S)
#define GIB (INT64_C(1) << 30)

typedef struct Runner {
    RunnerHost host;
    const char *request; /* the part of a lease's body that stays the same */
    Jobs *jobs;
    Lease *lease;
    int signal_fd;
    int64_t heard; /* when the server has answered last, monotonic */
    bool drained;  /* the server has nothing for us any more: we end with our last job process */
    bool low;      /* the disk, when it was looked at last */
} Runner;

/* ---- what this host can do ---- */

static bool in_list(const char *const *list, const char *word) {
    for (; *list; list++)
        if (str_eq(*list, word))
            return true;
    return false;
}

static void write_executors(const RunnerOptions *o, JsonWriter *w) {
    Err err;

    jw_array(w, "executors");
    for (size_t i = 0; executors[i]; i++) {
        if (o->executors && !in_list(o->executors, executors[i]->name))
            continue;
        if (executors[i] == &executor_shell && !o->allow_shell)
            continue;
        if (executors[i]->available(&err) < 0)
            log_warn("runner", "no executor %s: %s", executors[i]->name, err.msg);
        else
            jw_str(w, NULL, executors[i]->name);
    }
    jw_end_array(w);
}

static void write_labels(const RunnerOptions *o, JsonWriter *w) {
    char key[256];
    const char *equals;

    jw_object(w, "labels");
    for (const char *const *label = o->labels; label && *label; label++) {
        equals = strchr(*label, '=');
        snprintf(key, sizeof(key), "%.*s", (int)strcspn(*label, "="), *label);
        jw_str(w, key, equals ? equals + 1 : "true");
    }
    jw_end_object(w);
}

/* What is there when the runner starts; the disk in whole GiB, for it is never twice the same. */
static void detect_capacity(RunnerOptions *o) {
    struct sysinfo info;
    struct statvfs disk;
    cpu_set_t cpus;

    if (o->cpu == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        o->cpu = CPU_COUNT(&cpus) * INT64_C(1000);
    if (o->memory == 0 && sysinfo(&info) == 0)
        o->memory = (int64_t)info.totalram * info.mem_unit;
    if (o->disk == 0 && statvfs(o->dir, &disk) == 0)
        o->disk = (int64_t)(disk.f_bavail * disk.f_frsize) / GIB * GIB;
}

static const char *make_request(const RunnerOptions *o, const void *mem) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    struct utsname host;

    uname(&host);
    jw_object(&w, NULL);
    jw_str(&w, "arch", host.machine);
    write_labels(o, &w);
    write_executors(o, &w);
    jw_int(&w, "cpu", o->cpu);
    jw_int(&w, "memory", o->memory);
    jw_int(&w, "disk", o->disk);
    jw_str(&w, "version", o->version ? o->version : "");
    return buf_dup(&out, mem);
}

/* A runner without room takes nothing new, and looks again with each call. */
static int64_t slots_now(Runner *r) {
    _cleanup_talloc_ const char *reason = disk_reason(&r->host.disk, NULL);

    if (reason && !r->low)
        log_warn("runner", "%s: no job is taken until there is room again", reason);
    r->low = reason != NULL;
    return reason ? 0 : r->host.o.slots;
}

/* On the lease thread. */
static void lease_body(void *arg, int64_t wait_s, Buf *out) {
    Runner *r = arg;
    JsonWriter w = {.out = out, .depth = 1}; /* within the object that `request` has begun */

    buf_adds(out, r->request);
    buf_addc(out, ',');
    jw_int(&w, "wait", wait_s);
    jw_int(&w, "slots", slots_now(r));
    jobs_write(r->jobs, &w);
    jw_end_object(&w);
}

/* ---- start ---- */

static int read_token(RunnerHost *host, const void *mem, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    int r;

    if (host->o.token) {
        host->token = mem_strdup(mem, host->o.token);
        return 0;
    }
    if (!host->o.token_file)
        return err_set(err, ERR_INVALID, "a runner needs a token or a token file");
    r = file_read(host->o.token_file, 4096, &text, err);
    if (r < 0)
        return err_wrap(err, "read the token");
    host->token = mem_strndup(mem, buf_str(&text), strcspn(buf_str(&text), "\r\n"));
    return 0;
}

static int make_folders(const RunnerOptions *o, Err *err) {
    const struct {
        const char *name;
        mode_t mode;
    } folders[] = {{"", 0711}, {"/jobs", 0700}, {"/work", 0711}, {"/mirrors", 0711}};
    char path[PATH_MAX];
    int r = 0;

    for (size_t i = 0; r == 0 && i < ELEMENTS(folders); i++) {
        snprintf(path, sizeof(path), "%s%s", o->dir, folders[i].name);
        r = file_mkdirs(path, folders[i].mode, err);
        if (r == 0 && chmod(path, folders[i].mode) < 0)
            r = err_errno(err, "chmod %s", path);
    }
    return r;
}

/* What sandboxes need; a host that cannot have them still runs other executors. */
static void prepare_sandbox(const RunnerOptions *o) {
    char etc[PATH_MAX];
    Err err;
    int fd = -1;

    snprintf(etc, sizeof(etc), "%s/etc", o->dir);
    if (sandbox_etc_make(etc, &err) < 0 || sandbox_seccomp_open(&fd, &err) < 0)
        log_err("runner", "prepare sandboxes", &err);
    if (fd >= 0)
        mem_close(fd);
}

/* For when we have left the folder that it is told from. */
static const char *absolute(const char *path, const void *mem) {
    char here[PATH_MAX];

    return path && *path != '/' && getcwd(here, sizeof(here)) ? mem_printf(mem, "%s/%s", here, path) : path;
}

static int fill_host(RunnerHost *host, const RunnerOptions *options, const void *mem, Err *err) {
    char real[PATH_MAX], name[64];
    struct stat st;
    int r;

    host->o = *options;
    host->o.server_file = absolute(options->server_file, mem);
    host->pid = getpid();
    if (host->o.spool_bytes == 0)
        host->o.spool_bytes = SPOOL_BYTES;
    if (host->o.cancel_grace_us == 0)
        host->o.cancel_grace_us = GRACE_US;
    if (host->o.cleanup_us == 0)
        host->o.cleanup_us = CLEANUP_US;
    if (host->o.job_uid_base == 0)
        host->o.job_uid_base = SANDBOX_UID_BASE;
    if (host->o.job_gid == 0)
        host->o.job_gid = SANDBOX_GID;
    r = read_token(host, mem, err);
    if (r == 0)
        r = make_folders(&host->o, err);
    if (r < 0)
        return r;
    /* git is started where we are, and the folder that we were started in may be removed */
    if (!realpath(host->o.dir, real) || stat(real, &st) < 0 || chdir(real) < 0)
        return err_errno(err, "%s", host->o.dir);
    host->o.dir = mem_strdup(mem, real);
    detect_capacity(&host->o);
    host->disk =
        (Disk){.whose = mem_printf(mem, "the disk of runner %s", host->o.name ? host->o.name : "here"),
               .path = host->o.dir,
               .keep_bytes = host->o.keep_free_bytes};
    /* the same name after a restart, another for another runner */
    snprintf(name, sizeof(name), "pelton-%llx-%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    cgroup_host_init(&host->cgroups, name);
    return 0;
}

/* Blocked from here on in this process, its thread and its job processes; each reads them from a descriptor.
 */
static int block_signals(int *ret_fd, Err *err) {
    sigset_t blocked, heard;
    int fd;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGCHLD);
    heard = blocked;
    sigaddset(&blocked, JOB_SIGNAL_STALE); /* of job processes, from their birth */
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, "signalfd");
    *ret_fd = fd;
    return 0;
}

static int start(Runner *r, const RunnerOptions *options, const void *mem, Err *err) {
    int e = block_signals(&r->signal_fd, err);

    umask(022); /* a step's files are the same whoever started us */
    if (e == 0)
        e = fill_host(&r->host, options, mem, err);
    if (e < 0)
        return e;
    r->request = make_request(&r->host.o, mem);
    if (strstr(r->request, "\"sandbox\""))
        prepare_sandbox(&r->host.o);
    r->jobs = jobs_new(mem, &r->host);
    e = jobs_adopt(r->jobs, err);
    if (e == 0)
        e = lease_start(&r->host, lease_body, r, &r->lease, err);
    return e;
}

/* ---- work ---- */

/* A job process begins with where the server is now, not with where it was when the runner started. */
static void note_server(Runner *r) {
    const char *server = lease_server(r->lease);

    if (!str_eq(server, r->host.o.server))
        r->host.o.server = mem_strdup(r, server);
}

static void take_answer(Runner *r) {
    const Buf *answer = lease_answer(r->lease);
    _cleanup_json_ json_t *root = NULL;
    json_t *stops = NULL, *jobs = NULL, *item;
    size_t i;
    Err err;

    if (!answer)
        return;
    r->heard = clock_mono();
    note_server(r);
    if (json_read(buf_str(answer), answer->len, &root, &err) < 0 ||
        json_opt_array(root, "stop", &stops, &err) < 0 || json_opt_array(root, "jobs", &jobs, &err) < 0 ||
        json_opt_bool(root, "drain", &r->drained, &err) < 0)
        log_err("runner", "an answer to a lease", &err);
    json_array_foreach (stops, i, item)
        jobs_stop(r->jobs, item);
    json_array_foreach (jobs, i, item)
        jobs_start(r->jobs, item);
    if (!r->drained)
        lease_go_on(r->lease);
}

/* False: to end. */
static bool take_signals(Runner *r) {
    struct signalfd_siginfo info[8];
    ssize_t len = read(r->signal_fd, info, sizeof(info));
    bool go_on = true;

    for (ssize_t i = 0; i * (ssize_t)sizeof(info[0]) < len; i++)
        if (info[i].ssi_signo == SIGTERM || info[i].ssi_signo == SIGINT)
            go_on = false;
    jobs_reap(r->jobs);
    return go_on;
}

static void work(Runner *r) {
    static struct pollfd fds[POLL_MAX];
    bool go_on = true;
    size_t adopted;

    while (go_on) {
        fds[0] = (struct pollfd){.fd = lease_fd(r->lease), .events = POLLIN};
        fds[1] = (struct pollfd){.fd = r->signal_fd, .events = POLLIN};
        adopted = jobs_poll(r->jobs, fds + 2, POLL_MAX - 2);
        if (poll(fds, adopted + 2,
                 clock_poll_ms(jobs_kill_overdue(r->jobs, clock_mono() - r->heard < REACHABLE_US))) < 0)
            continue;
        for (size_t i = 0; i < adopted; i++)
            if (fds[i + 2].revents)
                jobs_ended(r->jobs, fds[i + 2].fd);
        if (fds[1].revents)
            go_on = take_signals(r);
        if (go_on && fds[0].revents)
            take_answer(r);
        go_on = go_on && !(r->drained && jobs_count(r->jobs) == 0);
    }
}

/* What is as good as done is waited for, so that nothing of it stays behind: no group, no files. */
static void settle(Runner *r) {
    static struct pollfd fds[POLL_MAX];
    int64_t until = clock_mono() + SETTLE_US;
    size_t adopted;

    while (jobs_finishing(r->jobs) && clock_mono() < until) {
        fds[0] = (struct pollfd){.fd = r->signal_fd, .events = POLLIN};
        adopted = jobs_poll(r->jobs, fds + 1, POLL_MAX - 1);
        if (poll(fds, adopted + 1, clock_poll_ms(until)) <= 0)
            continue;
        for (size_t i = 0; i < adopted; i++)
            if (fds[i + 1].revents)
                jobs_ended(r->jobs, fds[i + 1].fd);
        if (fds[0].revents)
            take_signals(r);
    }
}

static void say_drained(const RunnerOptions *o) {
    struct utsname host;

    uname(&host);
    log_info("runner",
             "ends: it is drained, takes no more jobs and has none left; to let it work again: pelton runner "
             "resume %s, and start it",
             o->name ? o->name : host.nodename);
}

int runner_main(const RunnerOptions *options, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Runner *r = mem_new(mem, Runner);
    int e;

    prctl(PR_SET_NAME, "pelton runner");
    e = start(r, options, mem, err);
    if (e < 0)
        return err_wrap(err, "start the runner");
    log_info("runner", "%s takes jobs from %s, %d at a time", options->name ? options->name : "this runner",
             options->server, options->slots);
    work(r);
    settle(r);
    lease_stop(r->lease);
    if (r->drained && jobs_count(r->jobs) == 0)
        say_drained(options);
    if (jobs_count(r->jobs) > 0)
        log_info("runner", "ends; %zu jobs go on without it", jobs_count(r->jobs));
    else
        cgroup_host_done(&r->host.cgroups);
    mem_close(r->signal_fd);
    return 0;
}
