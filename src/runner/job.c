#include "runner/job.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "executor/sandbox.h"
#include "executor/way.h"
#include "runner/jobfile.h"
#include "runner/process.h"
#include "runner/report.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* ---- becoming a job process ---- */

/* Everything but the filter: the runner's connection above all, for the server must see it end with the
 * runner. */
static void close_inherited(void) {
    int kept = sandbox_seccomp_kept();

    if (kept < 3) {
        close_range(3, ~0u, 0);
        return;
    }
    if (kept > 3)
        close_range(3, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, ~0u, 0);
}

static int become(int *ret_signal_fd, Err *err) {
    sigset_t set;
    int fd;

    prctl(PR_SET_NAME, "pelton job");
    mallopt(M_ARENA_MAX, 1); /* the uploader's thread is not worth an arena of its own */
    setsid();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return err_errno(err, "become a subreaper");
    close_inherited();
    sigemptyset(&set);
    sigaddset(&set, JOB_SIGNAL_STOP);
    sigaddset(&set, JOB_SIGNAL_STALE);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, "signalfd");
    *ret_signal_fd = fd;
    return 0;
}

/* log: of a job whose process died, when it is short. */
static int start_uploader(JobProcess *j, const char *log, int64_t size, Err *err) {
    char *spool = mem_array(j->mem, char, PATH_MAX);
    UploaderOptions o = {
        .server = j->host->o.server,
        .server_file = j->host->o.server_file,
        .token = j->host->token,
        .job = j->id,
        .attempt = j->attempt,
        .disk = &j->host->disk,
        .spool = spool,
        .spooled = size > 0 && !log,
        .log = log,
        .size = size,
        /* the server says how much of an old log it has: nothing is sent twice that it need not */
        .sent = size,
        .most = (int64_t)j->host->o.spool_bytes,
    };

    jobfile_path(j->host->o.dir, j->slot, ".log", spool);
    return uploader_start(&o, &j->uploader, err);
}

/* ---- the workspace ---- */

static bool is_empty(const char *path) {
    struct dirent *entry;
    bool empty = true;
    DIR *dir = opendir(path);

    if (!dir)
        return false;
    while (empty && (entry = readdir(dir)))
        empty = str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..");
    closedir(dir);
    return empty;
}

/* A folder that a job left empty serves the slot's next one, unless something about it was changed. */
static bool folder_is_good(const char *path, uid_t uid, gid_t gid) {
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0755 && st.st_uid == uid &&
           st.st_gid == gid && listxattr(path, NULL, 0) == 0 && is_empty(path);
}

/* A container's root is the machine's as far as files go: what it makes in the workspace (a program that is
 * set-uid, say) is in a folder that no other user enters. */
static int make_parent(const JobProcess *j, const char *path, Err *err) {
    if (!str_after(path, j->run.scratch))
        return 0;
    if ((mkdir(j->run.scratch, 0700) < 0 && errno != EEXIST) || chmod(j->run.scratch, 0700) < 0)
        return err_errno(err, "create %s", j->run.scratch);
    return 0;
}

static int make_folder(const JobProcess *j, const char *path, Err *err) {
    int r = file_remove_tree(path, err);

    if (r >= 0)
        r = make_parent(j, path, err);
    if (r < 0)
        return r;
    if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0)
        return err_errno(err, "create %s", path);
    if (j->run.drop_user && chown(path, j->run.uid, j->run.gid) < 0)
        return err_errno(err, "chown %s", path);
    return 0;
}

int job_empty_workspace(JobProcess *j, Err *err) {
    return make_folder(j, j->workspace, err);
}

static int make_folders(JobProcess *j, Err *err) {
    uid_t uid = j->run.drop_user ? j->run.uid : geteuid();
    gid_t gid = j->run.drop_user ? j->run.gid : getegid();
    int r = folder_is_good(j->workspace, uid, gid) ? 0 : make_folder(j, j->workspace, err);

    return r < 0 || folder_is_good(j->run.handover, uid, gid) ? r : make_folder(j, j->run.handover, err);
}

/* kind: "" the workspace, ".scratch", ".handover". */
static void slot_path(const RunnerHost *host, int slot, const char *kind, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/work/slot-%d%s", host->o.dir, slot, kind);
}

/* After a job of our own: what is left is an empty folder, an empty file. */
static void clear_files(JobProcess *j) {
    char path[PATH_MAX];
    Err err;

    if (!is_empty(j->workspace) && file_remove_tree(j->workspace, &err) < 0)
        log_err("runner", "remove a workspace", &err);
    if (j->run.handover && !is_empty(j->run.handover) && file_remove_tree(j->run.handover, &err) < 0)
        log_err("runner", "remove what was handed over", &err);
    if (j->uploader && !uploader_short_log(j->uploader)) {
        jobfile_path(j->host->o.dir, j->slot, ".log", path);
        unlink(path);
    }
    jobfile_clear(j->file_fd);
}

void job_remove(const RunnerHost *host, int slot) {
    static const char *const kinds[] = {"", ".scratch", ".handover"};
    char path[PATH_MAX];
    Err err;

    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        slot_path(host, slot, kinds[i], path);
        if (file_remove_tree(path, &err) < 0)
            log_err("runner", "remove a job's files", &err);
    }
    jobfile_path(host->o.dir, slot, ".log", path);
    unlink(path);
    /* last, for it is what is looked for when the runner starts */
    jobfile_path(host->o.dir, slot, ".job", path);
    unlink(path);
}

/* ---- one job ---- */

/* The state may be below a folder that only root enters. */
static int open_way(const JobProcess *j, Err *err) {
    const char *repository = j->spec->repository_path;
    const char *paths[] = {j->host->o.dir, repository && access(repository, X_OK) == 0 ? repository : NULL,
                           NULL};

    return j->run.drop_user ? way_open(paths, j->run.uid, j->run.gid, err) : 0;
}

static int share(JobProcess *j, Err *err) {
    void *shared;

    if (!j->ops->shares)
        return 0;
    shared = mmap(NULL, sizeof(ExecutorShared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return err_errno(err, "mmap");
    j->run.shared = shared;
    return 0;
}

/* What an engine has is from everybody's jobs, and from registries with everybody's logins: who may not push
 * here has of it what a registry gives to anybody. */
static void ask_registries(JobProcess *j) {
    if (!j->spec->untrusted || !*j->run.container.image)
        return;
    if (!str_eq(j->run.container.pull, "always"))
        job_say(j, "a build from a fork that is not approved has its images from their registries: pull is "
                   "\"always\"");
    j->run.container.pull = "always";
}

/* Scripts of a containerised job without an image are sandboxed. */
static void fill_run(JobProcess *j) {
    const RunnerOptions *o = &j->host->o;
    char scratch[PATH_MAX], handover[PATH_MAX];
    bool contained;

    slot_path(j->host, j->slot, ".scratch", scratch);
    slot_path(j->host, j->slot, ".handover", handover);
    j->sandboxed = j->ops->sandboxed || (j->ops == &executor_docker && !*j->spec->container.image);
    contained = !j->sandboxed && j->ops->prepare;
    if (contained)
        j->workspace = mem_printf(j->mem, "%s/workspace", scratch);
    j->run = (ExecutorJob){
        .id = j->id,
        .attempt = j->attempt,
        .workspace = j->workspace,
        .handover = contained ? mem_printf(j->mem, "%s/handover", scratch) : mem_strdup(j->mem, handover),
        .network = j->spec->network,
        .drop_user = geteuid() == 0 && j->sandboxed,
        .uid = o->job_uid_base + (uid_t)j->slot,
        .gid = o->job_gid,
        .cgroup = j->run.cgroup,
        .limits = j->spec->limits,
        .scratch = mem_strdup(j->mem, scratch),
        .container = j->spec->container,
    };
    j->run.container.registry_login = spec_variable(j->spec, EXECUTOR_LOGIN);
    ask_registries(j);
}

static int prepare_executor(JobProcess *j, Err *err) {
    const CgroupLimits none = {0};
    const RunnerOptions *o = &j->host->o;
    int r;

    j->ops = executor_find(j->spec->executor);
    if (!j->ops || (!o->allow_shell && j->ops == &executor_shell))
        return err_set(err, ERR_INVALID, "this runner has no executor \"%s\"%s", j->spec->executor,
                       j->ops ? " (it must be allowed)" : "");
    fill_run(j);
    r = share(j, err);
    if (r == 0)
        r = open_way(j, err);
    if (r < 0)
        return r;
    if (j->sandboxed) {
        j->run.etc = mem_printf(j->mem, "%s/etc", o->dir);
        r = sandbox_etc_make(j->run.etc, err);
        if (r < 0)
            return r;
    }
    /* a container has groups that the engine makes */
    return cgroup_open(&j->host->cgroups, j->slot, *j->spec->container.image ? &none : &j->spec->limits,
                       &j->run.cgroup, err);
}

static int prepare(JobProcess *j, const char *job, size_t len, const json_t *secrets, Err *err) {
    int r = spec_read(job, len, j->mem, &j->spec, err);

    if (r == 0)
        r = spec_add_secrets(j->spec, secrets, err);
    if (r < 0)
        return r;
    j->masker = mask_new(j->mem, j->spec->secrets, j->spec->secret_count);
    j->steps = mem_array(j->mem, StepResult, MAX(j->spec->step_count, 1));
    if (j->spec->timeout_us > 0)
        j->deadline = clock_mono() + j->spec->timeout_us;
    r = prepare_executor(j, err);
    if (r == 0)
        r = make_folders(j, err);
    return r;
}

static void run(JobProcess *j, const char *job, size_t len, const json_t *secrets) {
    Err err;
    int r = prepare(j, job, len, secrets, &err);

    if (r < 0) {
        job_say(j, "%s", err.msg);
        job_fail(j, r == -ERR_INVALID ? "invalid" : "infrastructure", 0, "%s", err.msg);
        return;
    }
    if (j->spec->checkout) {
        r = checkout_run(j, &err);
        if (r < 0 && !j->stale && !j->cancelled) {
            job_say(j, "checkout: %s", err.msg);
            job_fail(j, j->timed_out ? "timeout" : "infrastructure", 0, "checkout: %s", err.msg);
            return;
        }
    }
    if (workspace_take(j, &err) < 0 && !j->stale && !j->cancelled) {
        job_say(j, "workspace: %s", err.msg);
        job_fail(j, j->timed_out ? "timeout" : "infrastructure", 0, "workspace: %s", err.msg);
        return;
    }
    cache_restore(j);
    download_run(j);
    if (j->timed_out)
        job_fail(j, "timeout", 0, "the job's time was over before its steps");
    steps_run(j);
    if (!j->stale && !j->cancelled && artifacts_run(j, &err) < 0 && !j->stale && !j->cancelled) {
        job_say(j, "artifacts: %s", err.msg);
        job_fail(j, j->timed_out ? "timeout" : "infrastructure", 0, "artifacts: %s", err.msg);
    }
    cache_save(j);
}

/* A failure before the cancel stands. */
static void conclude(JobProcess *j) {
    static const char *const reasons[] = {
        [JOB_STOP_USER] = "user", [JOB_STOP_SUPERSEDED] = "superseded", [JOB_STOP_TIMEOUT] = "timeout"};

    if (j->state)
        return;
    j->state = j->cancelled ? "cancelled" : "success";
    j->reason = j->cancelled ? reasons[j->stop] : NULL;
}

/* Whoever delivers it does not know that the server has refused a part of the log. */
static void tell_cut(const JobProcess *j, Buf *report) {
    const char *why = uploader_refusal(j->uploader);
    _cleanup_free_ char *text = NULL;

    if (!*why)
        return;
    text = strdup(buf_str(report));
    if (!text)
        abort();
    text = report_cut(text, uploader_size(j->uploader), why);
    buf_clear(report);
    buf_adds(report, text);
}

/* Keeps the result first: from now on it is delivered even if this process dies. */
static void deliver(JobProcess *j) {
    _cleanup_buf_ Buf report = BUF_INIT;
    Err err;

    conclude(j);
    report_write(j, true, &report);
    tell_cut(j, &report);
    if (jobfile_finish(j->file_fd, report.data, report.len, uploader_short_log(j->uploader),
                       (size_t)uploader_size(j->uploader), &err) < 0)
        log_err("runner", "keep a result", &err);
    uploader_finish(j->uploader, report.data, report.len);
    watch_uploader(j, &j->delivered);
}

/* The runner's folder tells whose job it is. */
static void name_process(const JobProcess *j) {
    title_set("pelton job %lld --dir %s", (long long)j->id, j->host->o.dir);
}

/* The job and its slot as they are known before anything is read. */
static void init(JobProcess *j, const RunnerHost *host, int slot) {
    char path[PATH_MAX];

    *j = (JobProcess){
        .host = host, .slot = slot, .deadline = INT64_MAX, .mem = talloc_new(NULL), .file_fd = -1};
    j->run.cgroup = (Cgroup){.host = &host->cgroups, .tree_fd = -1, .join = {-1, -1, -1}};
    slot_path(host, slot, "", path);
    j->workspace = mem_strdup(j->mem, path);
}

/* A runner that died before we had the slot has left it to the next one, who may have cleared it, or given it
 * away. Who has it when his runner dies is adopted. */
static int take_slot(JobProcess *j, const char *job, size_t len, Err *err) {
    int r = jobfile_create(j->host->o.dir, j->slot, j->id, j->attempt, job, len, &j->file_fd, err);

    if (r == 0 && getppid() != j->host->pid)
        r = err_set(err, ERR_CANCELLED, "job %lld: its runner is gone before it began", (long long)j->id);
    return r;
}

/* The uploader's thread ends with the process. What cannot even be begun is left to the server: the attempt
 * is lost, and our log says why. */
int job_main(const RunnerHost *host, int64_t id, int64_t attempt, int slot, const char *job, size_t len,
             const json_t *secrets) {
    JobProcess j;
    Err err;
    int r;

    init(&j, host, slot);
    j.id = id;
    j.attempt = attempt;
    name_process(&j);
    r = become(&j.signal_fd, &err);
    if (r == 0)
        r = take_slot(&j, job, len, &err);
    if (r == 0)
        r = start_uploader(&j, NULL, 0, &err);
    if (r < 0) {
        log_err("runner", "start a job", &err);
        if (j.file_fd >= 0)
            jobfile_clear(j.file_fd);
        return 1;
    }
    run(&j, job, len, secrets);
    if (j.ops && j.ops->finish)
        j.ops->finish(&j.run);
    if (!j.stale)
        deliver(&j);
    cgroup_close(&j.run.cgroup);
    clear_files(&j);
    return 0;
}

/* A result in the place of the one that there is not. */
static char *write_loss(const JobProcess *j, const JobLoss *loss) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    jw_object(&w, NULL);
    jw_int(&w, "attempt", j->attempt);
    jw_str(&w, "state", loss->state);
    if (loss->reason)
        jw_str(&w, "reason", loss->reason);
    jw_str(&w, "message", loss->message);
    jw_end_object(&w);
    return buf_dup(&out, j->mem);
}

static int deliver_left(JobProcess *j, const JobLoss *loss, Err *err) {
    char path[PATH_MAX];
    struct stat st;
    JobFile file = {0};
    bool spooled;
    int r;

    jobfile_path(j->host->o.dir, j->slot, ".log", path);
    spooled = stat(path, &st) == 0;
    jobfile_path(j->host->o.dir, j->slot, ".job", path);
    /* in this order: closing the file once more would drop the lock */
    r = jobfile_read(path, j->mem, &file, err);
    if (r == 0)
        r = jobfile_take(path, &j->file_fd, err);
    if (r == 0 && !file.result && !loss)
        r = err_set(err, ERR_INVALID, "%s: has no result", path);
    if (r < 0)
        return r;
    j->id = file.id;
    j->attempt = file.attempt;
    name_process(j);
    if (loss) {
        file.result = write_loss(j, loss);
        r = start_uploader(j, NULL, 0, err);
    } else {
        r = spooled ? start_uploader(j, NULL, st.st_size, err)
                    : start_uploader(j, file.log, (int64_t)file.log_len, err);
    }
    if (r < 0)
        return r;
    uploader_finish(j->uploader, file.result, strlen(file.result));
    watch_uploader(j, &j->delivered);
    return 0;
}

int job_deliver_main(const RunnerHost *host, int slot, const JobLoss *loss) {
    JobProcess j;
    Err err;
    int r;

    init(&j, host, slot);
    r = become(&j.signal_fd, &err);
    if (r == 0)
        r = deliver_left(&j, loss, &err);
    if (r < 0) {
        log_err("runner", "deliver a result", &err);
        return 1;
    }
    job_remove(host, slot);
    return 0;
}
