/* Workspaces that go from job to job, for pipelines whose stages work on one: what a job leaves is an
 * artifact, a tar that tar(1) makes and unpacks as the job's own user. */
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/tree.h"
#include "runner/process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- tar ---- */

static void ask_tree(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(getpid(), 1, sig);
}

static void stop_tree(ExecutorJob *job) {
    tree_reap_all();
}

static int end_of_tar(WatchEnd end, const Watch *w, Err *err) {
    if (end == WATCH_EXITED && w->status == 0)
        return 0;
    if (end == WATCH_EXITED)
        return err_set(err, ERR_IO, "tar ended with status %d", w->status);
    if (end == WATCH_BROKEN) {
        *err = w->err;
        return -(int)err->code;
    }
    return err_set(err, end == WATCH_TIMEOUT ? ERR_TIMEOUT : ERR_CANCELLED, "%s",
                   end == WATCH_TIMEOUT ? "the job's time is over" : "cancelled");
}

/* tar in the workspace; what it complains of is in the job's log. in, out: 0 none. */
static int run_tar(JobProcess *j, const char *const *argv, int in, int out, Err *err) {
    static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    Watch w = {.ask = ask_tree, .stop = stop_tree};
    _cleanup_close_ int log_in = -1, log_out = -1;
    ProcOptions options = {.argv = argv,
                           .envp = env,
                           .cwd = j->workspace,
                           .in = in,
                           .out = out ? out : -1,
                           .drop_user = j->run.drop_user,
                           .uid = j->run.uid,
                           .gid = j->run.gid};
    int r = watch_pipe(&log_in, &log_out, err);

    options.err = log_out;
    if (r >= 0)
        r = proc_start(&options, &w.pid, NULL, err);
    if (r < 0)
        return r;
    mem_close(TAKE_FD(log_out));
    w.out = log_in;
    return end_of_tar(watch_process(j, &w), &w, err);
}

/* ---- taking ---- */

typedef struct Fetch {
    JobProcess *j;
    int *fds; /* of each that was there; -1 */
    void *mem;
    Err err;
    int result;
} Fetch;

/* *ret -1: a stage that did not run has left nothing. */
static int fetch(Fetch *f, const char *path, int *ret, Err *err) {
    const FetchFile file = {.path = mem_printf(f->mem, "/api/runner/jobs/%lld/artifacts/%s?attempt=%lld",
                                               (long long)f->j->id, path, (long long)f->j->attempt)};
    _cleanup_close_ int fd = -1;
    int r = send_temporary(f->j, &fd, err);

    if (r == 0)
        r = fetch_file(f->j->uploader, &file, fd, err);
    if (r == 0)
        *ret = TAKE_FD(fd);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

/* From the last one back to the first that is whole: what is before that does not count. */
static void fetch_main(void *arg) {
    Fetch *f = arg;
    const JobWorkspace *w = &f->j->spec->workspace;
    bool whole = false;

    for (size_t i = w->take_count; i > 0 && !whole && f->result == 0; i--) {
        const JobTake *take = &w->take[i - 1];

        f->result = fetch(f, take->path, &f->fds[i - 1], &f->err);
        whole = f->fds[i - 1] >= 0 && !take->changes;
        if (f->result == 0 && f->fds[i - 1] < 0 && take->required)
            f->result =
                err_set(&f->err, ERR_NOT_FOUND,
                        "the workspace of an earlier stage is not kept any more: run all of it again");
    }
}

/* A whole workspace takes the place of what is there; git's own folder is the checkout's. */
static int clear(const JobProcess *j, Err *err) {
    DIR *dir = opendir(j->workspace);
    struct dirent *entry;
    int r = 0;

    if (!dir)
        return err_errno(err, "open the workspace");
    while (r == 0 && (entry = readdir(dir))) {
        char path[PATH_MAX];
        bool keep = str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
                    (j->spec->checkout && str_eq(entry->d_name, ".git"));

        snprintf(path, sizeof(path), "%s/%s", j->workspace, entry->d_name);
        if (!keep)
            r = file_remove_tree(path, err);
    }
    closedir(dir);
    return r;
}

static int unpack(JobProcess *j, int fd, bool changes, Err *err) {
    static const char *const argv[] = {"tar", "-x", "-p", "-f", "-", NULL};
    int r = changes ? 0 : clear(j, err);

    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, "read a workspace");
    return run_tar(j, argv, fd, 0, err);
}

static bool is_later(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Files are dated by a clock that goes in ticks of some milliseconds, and may come late; those that somebody
 * has looked at by the exact one. So what was unpacked is no younger than the exact time now, and what
 * changes once the ticks are past it is no older. */
static void note_time(JobProcess *j) {
    const struct timespec little = {.tv_nsec = 500000};
    struct timespec unpacked, now;

    clock_gettime(CLOCK_REALTIME, &unpacked);
    do {
        nanosleep(&little, NULL);
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    } while (!is_later(&now, &unpacked));
    j->taken_at = mem_printf(j->mem, "--newer=@%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
}

int workspace_take(JobProcess *j, Err *err) {
    const JobWorkspace *w = &j->spec->workspace;
    Fetch f = {.j = j, .mem = talloc_new(NULL)};

    f.fds = mem_array(f.mem, int, w->take_count + 1);
    for (size_t i = 0; i < w->take_count; i++)
        f.fds[i] = -1;
    if (w->take_count)
        send_run(j, fetch_main, &f);
    for (size_t i = 0; i < w->take_count; i++) {
        if (f.fds[i] < 0)
            continue;
        if (f.result == 0)
            f.result = unpack(j, f.fds[i], w->take[i].changes, &f.err);
        mem_close(f.fds[i]);
    }
    if (f.result < 0)
        *err = f.err;
    if (w->changes && w->keep)
        note_time(j);
    talloc_free(f.mem);
    return f.result;
}

/* ---- leaving ---- */

int workspace_pack(JobProcess *j, int *ret, Err *err) {
    /* the label: no two workspaces are the same bytes, so that one can be removed without a look at others */
    const char *argv[12] = {"tar", "-c", "-f", "-", "--warning=no-file-unchanged", "--label"};
    size_t count = 6;
    _cleanup_close_ int fd = -1;
    int r = send_temporary(j, &fd, err);

    argv[count++] = mem_printf(j->mem, "%lld-%lld", (long long)j->id, (long long)j->attempt);
    if (j->spec->workspace.changes)
        argv[count++] = j->taken_at;
    if (j->spec->checkout)
        argv[count++] = "--exclude=./.git";
    argv[count++] = ".";
    if (r >= 0)
        r = run_tar(j, argv, 0, fd, err);
    if (r >= 0)
        *ret = TAKE_FD(fd);
    return r;
}
