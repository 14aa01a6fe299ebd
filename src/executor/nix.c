/* Nix in the sandbox. Where its daemon runs the store is the host's: the daemon builds, isolated, as users of
 * its own. Without it each job has a store of its own, for whoever can write a store can change what others
 * build. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/env.h"
#include "executor/executor.h"
#include "executor/nix_flake.h"
#include "executor/nix_log.h"
#include "executor/sandbox.h"
#include "executor/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define STORE "/nix"
#define DAEMON "/nix/var/nix/daemon-socket/socket"
#define LINE_MAX_BYTES ((size_t)1024 * 1024)
#define SHOWN_MAX ((size_t)4 * 1024 * 1024)

/* ---- finding it ---- */

static bool has_daemon(void) {
    struct stat st;

    return stat(DAEMON, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Whether a sandbox can see it: one that lies in the store needs the host's, which jobs may only have where
 * the daemon guards it. */
static bool can_be_seen(const char *path) {
    bool root = geteuid() == 0;
    Err closed;

    if (access(path, X_OK) < 0)
        return false;
    if (str_after(path, STORE "/"))
        return has_daemon();
    return str_after(path, "/usr/") || sandbox_reachable(path, root ? SANDBOX_UID_BASE : geteuid(),
                                                         root ? SANDBOX_GID : getegid(), &closed) == 0;
}

/* What a sandbox must be given for it, read-only; NULL: it has it. All of its package in /opt (Filesystem
 * Hierarchy Standard 3.13); of other folders, which may be somebody's home, only the file. */
static const char *seen_by(const void *mem, const char *nix) {
    const char *package = str_after(nix, "/opt/"), *end = package ? strchr(package, '/') : NULL;

    if (str_after(nix, "/usr/") || str_after(nix, STORE "/"))
        return NULL;
    return end ? mem_strndup(mem, nix, (size_t)(end - nix)) : nix;
}

/* The first on PATH that a sandbox can see, where it really is; NULL: none. */
static const char *nix_path(const void *mem) {
    const char *path = getenv("PATH");
    char *rest = mem_printf(mem, "%s:/nix/var/nix/profiles/default/bin", path ? path : SANDBOX_PATH), *folder;
    char real[PATH_MAX];

    while ((folder = strsep(&rest, ":")))
        if (*folder == '/' && realpath(mem_printf(mem, "%s/nix", folder), real) && can_be_seen(real))
            return mem_strdup(mem, real);
    return NULL;
}

static int nix_available(Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    if (!nix_path(mem))
        return err_set(err, ERR_UNSUPPORTED,
                       "no nix that jobs can use; install nix-bin, or nix with its daemon running");
    return sandbox_available(err);
}

/* ---- a process of it ---- */

static char *own_store(const void *mem, const ExecutorJob *job) {
    return mem_printf(mem, "%s" STORE, job->scratch);
}

static int make_store(const ExecutorJob *job, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char *store = own_store(mem, job);
    int r;

    if (has_daemon() || access(store, F_OK) == 0)
        return 0;
    r = file_mkdirs(job->scratch, 0711, err);
    if (r == 0 && chmod(job->scratch, 0711) < 0)
        return err_errno(err, "chmod %s", job->scratch);
    if (r == 0)
        r = file_mkdirs(store, 0755, err);
    if (r == 0 && job->drop_user && chown(store, job->uid, job->gid) < 0)
        return err_errno(err, "chown %s", store);
    return r;
}

/* Ours first: the job's own lines may say otherwise. In a store of its own builds are isolated by the sandbox
 * that they are in already. */
static void fill_env(Env *env, const ExecutorStep *step) {
    const char *given, *nix = nix_path(env->mem), *path;

    for (const char *const *item = step->env; item && *item; item++)
        mem_append(env->mem, env->items, env->count, *item);
    given = env_get(env, "NIX_CONFIG");
    env_set(env, "NIX_CONFIG",
            mem_printf(env->mem, "experimental-features = nix-command flakes\n%s%s",
                       has_daemon() ? "" : "build-users-group =\nsandbox = false\n", given ? given : ""));
    if (has_daemon())
        env_set(env, "NIX_REMOTE", "daemon");
    env_set(env, "USER", "build");
    path = env_get(env, "PATH");
    if (nix && !str_after(nix, "/usr/"))
        env_set(env, "PATH",
                mem_printf(env->mem, "%.*s:%s", (int)(strrchr(nix, '/') - nix), nix, path ? path : ""));
}

static int start_sandboxed(ExecutorJob *job, const ExecutorStep *step, const char *const *command, int out,
                           int errors, pid_t *ret_pid, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_close_ int filter = -1;
    int keep[2] = {-1, -1};
    Env env = {.mem = mem};
    const char *nix = nix_path(mem), *seen = nix ? seen_by(mem, nix) : NULL;
    SandboxBind binds[] = {{has_daemon() ? STORE : own_store(mem, job), STORE, has_daemon()},
                           {job->handover, EXECUTOR_HANDOVER, false},
                           {seen, seen, true},
                           {NULL, NULL, false}};
    SandboxOptions sandbox = {
        .folder = job->workspace,
        .cwd = step->cwd,
        .etc = job->etc,
        .read_only = job->read_only,
        .binds = binds,
        .network = job->network,
        .processes = executor_processes_inside(job),
    };
    ProcOptions options = {
        .out = out,
        .err = errors,
        .keep = keep,
        .die_with_parent = true,
        .drop_user = job->drop_user,
        .uid = job->uid,
        .gid = job->gid,
        .cgroup_fd = MAX(job->cgroup.tree_fd, 0),
        .before_exec = executor_before_exec,
        .arg = job,
    };
    int r = make_store(job, err);

    if (r == 0)
        r = sandbox_seccomp_open(&filter, err);
    if (r < 0)
        return r;
    fill_env(&env, step);
    options.envp = env_list(&env);
    sandbox.seccomp_fd = keep[0] = filter;
    r = sandbox_argv(&sandbox, command, mem, (const char ***)&options.argv, err);
    return r < 0 ? r : proc_start(&options, ret_pid, NULL, err);
}

/* ---- `uses: nix` ---- */

static const char *const *nix_command(const void *mem, const ExecutorNix *nix) {
    const char **words = NULL;
    size_t count = 0;

    mem_append(mem, words, count, nix_path(mem));
    if (*nix->check) {
        mem_append(mem, words, count, "flake");
        mem_append(mem, words, count, "check");
        mem_append(mem, words, count, nix->check);
    } else {
        mem_append(mem, words, count, "build");
        for (const char *const *what = nix->build; what && *what; what++)
            mem_append(mem, words, count, *what);
    }
    mem_append(mem, words, count, "--log-format");
    mem_append(mem, words, count, "internal-json");
    mem_append(mem, words, count, NULL);
    return words;
}

static void say_command(const char *const *command, int out) {
    dprintf(out, "$ nix");
    for (command++; *command && !str_eq(*command, "--log-format"); command++)
        dprintf(out, " %s", *command);
    dprintf(out, "\n");
}

/* Whole lines; a longer one than is sensible is cut in two. */
static void take_lines(NixLog *l, Buf *in, bool all, Buf *out) {
    size_t from = 0;
    char *end;

    while ((end = in->len > from ? memchr(in->data + from, '\n', in->len - from) : NULL)) {
        nix_log_line(l, in->data + from, (size_t)(end - in->data) - from, clock_now(), out);
        from = (size_t)(end - in->data) + 1;
    }
    buf_drop(in, from);
    if (in->len && (all || in->len > LINE_MAX_BYTES)) {
        nix_log_line(l, in->data, in->len, clock_now(), out);
        buf_clear(in);
    }
}

static int follow(NixLog *l, int from, int to, Err *err) {
    _cleanup_buf_ Buf in = BUF_INIT, out = BUF_INIT;
    ssize_t len;
    int r = 0;

    do {
        len = read(from, buf_reserve(&in, 65536), 65536);
        if (len < 0 && errno == EINTR)
            continue;
        in.len += (size_t)MAX(len, 0);
        take_lines(l, &in, len <= 0, &out);
        r = file_write_all(to, buf_str(&out), out.len, err);
        buf_clear(&out);
    } while (r == 0 && len > 0);
    return r;
}

static void read_answer(int fd, json_t **ret) {
    _cleanup_buf_ Buf text = BUF_INIT;
    ssize_t len;
    Err ignored;

    do {
        len = read(fd, buf_reserve(&text, 65536), 65536);
        text.len += (size_t)MAX(len, 0);
    } while ((len > 0 || (len < 0 && errno == EINTR)) && text.len <= SHOWN_MAX);
    if (text.len > 0 && text.len <= SHOWN_MAX && json_read(text.data, text.len, ret, &ignored) < 0)
        *ret = NULL;
}

/* `nix flake WHAT --json` of the flake that was checked; *ret stays NULL when it has no answer. */
static void ask_nix(ExecutorJob *job, const ExecutorStep *step, const char *what, json_t **ret) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *command[] = {nix_path(mem), "flake", what, "--json", step->nix->check, NULL};
    int fds[2], status;
    pid_t pid;
    Err err;
    int r;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    r = start_sandboxed(job, step, command, fds[1], -1, &pid, &err);
    mem_close(fds[1]);
    if (r == 0)
        read_answer(fds[0], ret);
    mem_close(fds[0]);
    if (r == 0 && proc_wait(pid, &status, &err) < 0)
        log_err("executor", "nix flake", &err);
}

/* Of a summary that an earlier step of the job has kept: it is before this one. */
static void join(json_t *earlier, json_t *summary) {
    static const char *const lists[] = {"timeline", "steps", "important_messages", "packages_checked",
                                        "checks_run"};
    json_int_t steps = json_integer_value(json_object_get(earlier, "total_steps"));

    for (size_t i = 0; i < ELEMENTS(lists); i++) {
        json_t *list = json_object_get(earlier, lists[i]);

        json_array_extend(list, json_object_get(summary, lists[i]));
        while (json_array_size(list) > NIX_LOG_KEPT)
            json_array_remove(list, json_array_size(list) - 1);
        json_object_set(summary, lists[i], list);
    }
    steps += json_integer_value(json_object_get(summary, "total_steps"));
    json_object_set_new(summary, "total_steps", json_integer(steps));
    json_object_set(summary, "started_at", json_object_get(earlier, "started_at"));
    json_object_update_missing(summary, earlier);
}

static void join_kept(const char *path, Buf *out) {
    _cleanup_json_ json_t *earlier = NULL, *summary = NULL;
    _cleanup_free_ char *joined = NULL;
    _cleanup_buf_ Buf kept = BUF_INIT;
    Err none;

    if (file_read(path, EXECUTOR_SUMMARY_MAX, &kept, &none) < 0 ||
        json_read(kept.data, kept.len, &earlier, &none) < 0 ||
        json_read(out->data, out->len, &summary, &none) < 0)
        return;
    join(earlier, summary);
    joined = json_dumps(summary, JSON_COMPACT);
    if (!joined)
        return;
    buf_clear(out);
    buf_adds(out, joined);
}

static int keep_summary(ExecutorJob *job, const ExecutorStep *step, NixLog *l, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *metadata = NULL, *shown = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    const char *path = mem_printf(mem, "%s/%s", job->scratch, EXECUTOR_SUMMARY);
    int r = file_mkdirs(job->scratch, 0711, err);

    if (l->check) {
        ask_nix(job, step, "metadata", &metadata);
        ask_nix(job, step, "show", &shown);
        nix_log_shown(l, shown);
    }
    jw_object(&w, NULL);
    nix_log_summary(l, &w);
    if (l->check)
        nix_flake_write(&w, "flake", metadata, shown);
    jw_end_object(&w);
    join_kept(path, &out);
    return r < 0 ? r : file_write_atomic(path, out.data, out.len, 0600, err);
}

static int nix_in_child(ExecutorJob *job, void *arg, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const ExecutorStep *step = arg;
    const char *const *command = nix_command(mem, step->nix);
    NixLog l = {.mem = mem, .check = *step->nix->check != '\0'};
    _cleanup_close_ int in = -1, out = -1;
    int fds[2], r, status = 0;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    in = fds[0];
    out = fds[1];
    say_command(command, step->out);
    r = start_sandboxed(job, step, command, out, out, &pid, err);
    mem_close(TAKE_FD(out));
    if (r < 0)
        return r;
    r = follow(&l, in, step->out, err);
    if (r == 0)
        r = proc_wait(pid, &status, err);
    if (r == 0)
        r = keep_summary(job, step, &l, err);
    return r < 0 ? r : status;
}

/* ---- the executor ---- */

static int nix_start(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err) {
    const char *command[] = {str_empty(step->shell) ? "/bin/sh" : step->shell, "-e", "-c", step->run, NULL};

    /* bubblewrap and its init; and the child of ours that reads what nix says */
    job->shared->above = step->nix ? 3 : 2;
    if (step->nix)
        return executor_fork(job, nix_in_child, (void *)step, ret_pid, err);
    return start_sandboxed(job, step, command, step->out, step->out, ret_pid, err);
}

static void nix_ask(ExecutorJob *job, pid_t pid, int sig) {
    tree_signal(pid, job->shared->above, sig);
}

static void nix_stop(ExecutorJob *job) {
    tree_reap_all();
}

static void nix_finish(ExecutorJob *job) {
    Err err;

    if (file_remove_tree(job->scratch, &err) < 0)
        log_err("executor", "remove a job's store", &err);
}

const ExecutorOps executor_nix = {
    .name = "nix",
    .help = "nix in the sandbox, with the host's daemon or a store of the job's own",
    .workspace_inside = SANDBOX_FOLDER,
    .shares = true,
    .sandboxed = true,
    .available = nix_available,
    .finish = nix_finish,
    .start = nix_start,
    .ask = nix_ask,
    .stop = nix_stop,
};
