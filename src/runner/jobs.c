#include "runner/jobs.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/executor.h"
#include "runner/jobfile.h"
#include "runner/report.h"
#include "runner/spec.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SLACK_US (10 * US_PER_S)
#define OVERDUE "its job process hung and was killed"

typedef struct Running {
    int64_t id, attempt;
    int slot;
    pid_t pid;
    int pidfd;        /* of an adopted one; -1: a child of ours */
    const char *told; /* the order that it was given last, a constant; NULL: none */
    bool delivering;  /* only brings a result; still listed, for the lease has to last until the server has it
                       */
    int64_t due;      /* when it must have ended, monotonic; INT64_MAX: when it likes */
    bool overdue;     /* it had no result by then, and was killed */
} Running;

struct Jobs {
    const RunnerHost *host;
    pthread_mutex_t lock; /* the lease thread lists what the main thread changes */
    Running *items;
    size_t count;
};

Jobs *jobs_new(const void *mem, const RunnerHost *host) {
    Jobs *j = mem_new(mem, Jobs);

    j->host = host;
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

static void add(Jobs *j, Running r) {
    pthread_mutex_lock(&j->lock);
    mem_append(j, j->items, j->count, r);
    pthread_mutex_unlock(&j->lock);
}

static void drop(Jobs *j, size_t i) {
    pthread_mutex_lock(&j->lock);
    if (j->items[i].pidfd >= 0)
        mem_close(j->items[i].pidfd);
    j->items[i] = j->items[--j->count];
    pthread_mutex_unlock(&j->lock);
}

/* A slot is a user and a control group of its own. More than the runner's `slots` can be in use for a moment:
 * the server gives the next job when it has the result, before the process is gone. */
static int free_slot(const Jobs *j) {
    int slot = 0;

    for (size_t i = 0; i < j->count; i++)
        if (j->items[i].slot == slot) {
            slot++;
            i = (size_t)-1;
        }
    return slot;
}

static Running *find(Jobs *j, int64_t id, int64_t attempt) {
    for (size_t i = 0; i < j->count; i++)
        if (j->items[i].id == id && j->items[i].attempt == attempt)
            return &j->items[i];
    return NULL;
}

/* What a job process may take, from when its job is to stop or its time is over, until it has a result: it
 * keeps the times itself, and only one that hangs, or was stopped by somebody, needs us for it. */
static int64_t allowance(const Jobs *j) {
    return 2 * j->host->o.cancel_grace_us + j->host->o.cleanup_us + SLACK_US;
}

static int64_t due_of(const Jobs *j, const json_t *job) {
    int64_t timeout;
    Err err;

    if (spec_timeout(job, &timeout, &err) < 0 || timeout <= 0)
        return INT64_MAX; /* a mistake in it is the job process's to tell */
    return clock_mono() + timeout + allowance(j);
}

/* As fork: true in the child. */
static bool start_process(Jobs *j, Running r) {
    r.pid = fork();
    r.pidfd = -1;
    if (r.pid < 0)
        log_error("runner", "job %lld: fork: errno %d", (long long)r.id, errno);
    else if (r.pid > 0)
        add(j, r);
    return r.pid == 0;
}

/* What may stand in a file. */
static char *without_secrets(const json_t *job) {
    _cleanup_json_ json_t *copy = json_copy((json_t *)job);

    json_object_del(copy, "secrets");
    return json_dumps(copy, JSON_COMPACT);
}

void jobs_start(Jobs *j, const json_t *job) {
    _cleanup_free_ char *text = without_secrets(job);
    Running r = {0};
    Err err;

    if (!text || json_get_i64(job, "id", &r.id, &err) < 0 ||
        json_get_i64(job, "attempt", &r.attempt, &err) < 0) {
        log_error("runner", "a job without id or attempt");
        return;
    }
    if (find(j, r.id, r.attempt))
        return;
    r.slot = free_slot(j);
    r.due = due_of(j, job);
    if (start_process(j, r))
        _exit(
            job_main(j->host, r.id, r.attempt, r.slot, text, strlen(text), json_object_get(job, "secrets")));
}

static void send_signal(const Running *r, int sig, JobStop reason) {
    siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = (int)reason;
    if (r->pidfd >= 0)
        pidfd_send_signal(r->pidfd, sig, &info, 0);
    else
        sigqueue(r->pid, sig, info.si_value);
}

static void kill_process(const Running *r) {
    if (r->pidfd >= 0)
        pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
    else
        kill(r->pid, SIGKILL);
}

void jobs_stop(Jobs *j, const json_t *stop) {
    static const char *const reasons[] = {
        [JOB_STOP_USER] = "user", [JOB_STOP_SUPERSEDED] = "superseded", [JOB_STOP_TIMEOUT] = "timeout"};
    int64_t id = 0, attempt = 0;
    const char *reason = "user", *told = "stale";
    JobStop number = JOB_STOP_USER;
    Running *r;
    Err err;

    if (json_get_i64(stop, "job", &id, &err) < 0 || json_get_i64(stop, "attempt", &attempt, &err) < 0 ||
        json_opt_str(stop, "reason", &reason, &err) < 0) {
        log_err("runner", "a stop order", &err);
        return;
    }
    r = find(j, id, attempt);
    if (!r)
        return;
    for (size_t i = 0; i < ELEMENTS(reasons); i++) {
        if (str_eq(reason, reasons[i])) {
            number = (JobStop)i;
            told = reasons[i];
        }
    }
    pthread_mutex_lock(&j->lock);
    r->told = told;
    pthread_mutex_unlock(&j->lock);
    if (!r->delivering)
        r->due = MIN(r->due, clock_mono() + allowance(j));
    send_signal(r, str_eq(reason, "stale") ? JOB_SIGNAL_STALE : JOB_SIGNAL_STOP, number);
}

static bool is_not(void *arg, int slot) {
    return slot != *(const int *)arg;
}

static void sweep(const Jobs *j, bool (*keep)(void *arg, int slot), void *arg) {
    for (size_t i = 0; executors[i]; i++)
        if (executors[i]->sweep)
            executors[i]->sweep(j->host->cgroups.name, keep, arg);
}

/* A power loss may have taken a part of the log from behind a result that was kept. */
static bool is_whole(const Jobs *j, const JobFile *file) {
    char path[PATH_MAX];
    struct stat st;

    jobfile_path(j->host->o.dir, file->slot, ".log", path);
    return file->result &&
           report_log_size(file->result) == (stat(path, &st) == 0 ? st.st_size : (int64_t)file->log_len);
}

/* What a dead process has left: its steps are killed; a process delivers its result, or without one that the
 * attempt is lost, and why. What has not even begun is lost as soon as the server sees that it is not listed.
 */
static void clear_left(Jobs *j, int slot, const JobLoss *loss) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char path[PATH_MAX];
    JobFile file;
    Err err;

    jobfile_path(j->host->o.dir, slot, ".job", path);
    cgroup_sweep(&j->host->cgroups, slot);
    sweep(j, is_not, &slot);
    if (jobfile_read(path, mem, &file, &err) < 0)
        job_remove(j->host, slot);
    else if (start_process(j, (Running){.id = file.id,
                                        .attempt = file.attempt,
                                        .slot = slot,
                                        .delivering = true,
                                        .due = clock_mono() + 2 * allowance(j)}))
        _exit(job_deliver_main(j->host, slot, is_whole(j, &file) ? NULL : loss));
}

static const char *name_end(int status, char *out, size_t size) {
    if (status > 128 && sigabbrev_np(status - 128))
        snprintf(out, size, "its job process was killed by SIG%s", sigabbrev_np(status - 128));
    else
        snprintf(out, size, "its job process ended without a result");
    return out;
}

/* Listed until then: an attempt that is missing once is lost. A process that could not deliver has said why.
 */
static void ended(Jobs *j, size_t i, int status) {
    const Running r = j->items[i];
    bool child = r.pidfd < 0;
    char why[64];

    if (child && status)
        log_warn("runner", "job %lld attempt %lld: its process ended with status %d", (long long)r.id,
                 (long long)r.attempt, status);
    if (r.delivering && status == 1)
        job_remove(j->host, r.slot);
    else if (r.overdue && !r.told)
        clear_left(j, r.slot, &(JobLoss){"failed", "timeout", OVERDUE});
    else if (!child || status)
        clear_left(j, r.slot,
                   &(JobLoss){"lost", NULL, r.overdue ? OVERDUE : name_end(status, why, sizeof(why))});
    drop(j, i);
}

void jobs_reap(Jobs *j) {
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < j->count; i++)
            if (j->items[i].pidfd < 0 && j->items[i].pid == pid) {
                ended(j, i, proc_status(status));
                break;
            }
}

/* Or nothing left to do but to clear away. */
static bool has_result(const Jobs *j, const Running *r) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char path[PATH_MAX];
    JobFile file;
    Err ignored;

    jobfile_path(j->host->o.dir, r->slot, ".job", path);
    return jobfile_read(path, mem, &file, &ignored) < 0 || file.result;
}

/* A result is not lost with its process, another one delivers it; but that needs a server. */
static void look_after(Jobs *j, Running *r, bool reachable) {
    bool result = has_result(j, r);

    if (result && !reachable) {
        r->due = clock_mono() + allowance(j);
        return;
    }
    log_warn("runner", "job %lld attempt %lld: its process (%d) hangs, and is killed", (long long)r->id,
             (long long)r->attempt, (int)r->pid);
    r->due = INT64_MAX;
    r->overdue = !result;
    kill_process(r);
}

int64_t jobs_kill_overdue(Jobs *j, bool reachable) {
    int64_t now = clock_mono(), next = INT64_MAX;

    for (size_t i = 0; i < j->count; i++) {
        if (j->items[i].due <= now)
            look_after(j, &j->items[i], reachable);
        next = MIN(next, j->items[i].due);
    }
    return next;
}

size_t jobs_poll(const Jobs *j, struct pollfd *fds, size_t max) {
    size_t count = 0;

    for (size_t i = 0; i < j->count && count < max; i++)
        if (j->items[i].pidfd >= 0)
            fds[count++] = (struct pollfd){.fd = j->items[i].pidfd, .events = POLLIN};
    return count;
}

void jobs_ended(Jobs *j, int pidfd) {
    for (size_t i = 0; i < j->count; i++)
        if (j->items[i].pidfd == pidfd) {
            ended(j, i, 0);
            return;
        }
}

/* Of one that has begun under another runner: its time anew, for it is only to be bounded. */
static int64_t due_again(const Jobs *j, const JobFile *file) {
    _cleanup_json_ json_t *job = NULL;
    Err err;

    if (!file->job || json_read(file->job, strlen(file->job), &job, &err) < 0)
        return INT64_MAX;
    return due_of(j, job);
}

/* The lock's holder is looked for again when its pidfd is open: only then is it known to be that process. One
 * that has only just been born and has not written yet stays unknown, and the server takes it for lost; it
 * hears so. */
static bool adopt(Jobs *j, const char *path, int slot) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    pid_t pid = jobfile_holder(path);
    _cleanup_close_ int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    JobFile file = {0};
    Err err;

    if (pidfd < 0 || jobfile_holder(path) != pid)
        return false;
    if (jobfile_read(path, mem, &file, &err) < 0)
        log_err("runner", "adopt a job", &err);
    log_info("runner", "job %lld attempt %lld goes on in process %d", (long long)file.id,
             (long long)file.attempt, (int)pid);
    add(j, (Running){.id = file.id,
                     .attempt = file.attempt,
                     .slot = slot,
                     .pid = pid,
                     .pidfd = TAKE_FD(pidfd),
                     .due = due_again(j, &file)});
    return true;
}

static bool slot_in_use(const Jobs *j, int slot) {
    for (size_t i = 0; i < j->count; i++)
        if (j->items[i].slot == slot)
            return true;
    return false;
}

static int each_slot(Jobs *j, const char *folder, Err *err) {
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *dir;
    int slot;

    snprintf(path, sizeof(path), "%s/%s", j->host->o.dir, folder);
    dir = opendir(path);
    if (!dir)
        return err_errno(err, "open %s", path);
    while ((entry = readdir(dir))) {
        if (!jobfile_name(entry->d_name, &slot) || slot_in_use(j, slot))
            continue;
        jobfile_path(j->host->o.dir, slot, ".job", path);
        if (!adopt(j, path, slot))
            clear_left(j, slot,
                       &(JobLoss){"lost", NULL, "its job process had ended when its runner started"});
    }
    closedir(dir);
    return 0;
}

static bool in_use(void *arg, int slot) {
    return slot_in_use(arg, slot);
}

/* At last what no file tells of any more. */
int jobs_adopt(Jobs *j, Err *err) {
    int r = each_slot(j, "jobs", err);

    if (r == 0)
        r = each_slot(j, "work", err);
    sweep(j, in_use, j);
    return r;
}

void jobs_write(Jobs *j, JsonWriter *w) {
    pthread_mutex_lock(&j->lock);
    jw_array(w, "running");
    for (size_t i = 0; i < j->count; i++) {
        if (j->items[i].id == 0)
            continue;
        jw_object(w, NULL);
        jw_int(w, "job", j->items[i].id);
        jw_int(w, "attempt", j->items[i].attempt);
        if (j->items[i].told)
            jw_str(w, "told", j->items[i].told);
        jw_end_object(w);
    }
    jw_end_array(w);
    pthread_mutex_unlock(&j->lock);
}

size_t jobs_count(const Jobs *j) {
    return j->count;
}

bool jobs_finishing(const Jobs *j) {
    for (size_t i = 0; i < j->count; i++)
        if (has_result(j, &j->items[i]))
            return true;
    return false;
}
