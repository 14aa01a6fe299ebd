#include "executor/sandbox.h"

#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define BWRAP "/usr/bin/bwrap"
#define PRLIMIT "/usr/bin/prlimit"
#define TMPFS_LEAST (UINT64_C(64) << 20)

/* The host's folders beside /usr that programs and their loader are looked for in: links on a merged system.
 */
static const char *const system_folders[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", NULL};

typedef struct Argv {
    const void *mem;
    const char **items;
    size_t count;
} Argv;

static void add(Argv *a, const char *first, const char *second, const char *third) {
    const char *words[] = {first, second, third};

    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (words[i])
            mem_append(a->mem, a->items, a->count, words[i]);
}

static void add_name_spaces(Argv *a, const SandboxOptions *o) {
    add(a, "--unshare-user", "--unshare-pid", "--unshare-ipc");
    add(a, "--unshare-uts", "--unshare-cgroup-try", o->network ? NULL : "--unshare-net");
    add(a, "--new-session", o->outlive_parent ? NULL : "--die-with-parent", NULL);
    add(a, "--cap-drop", "ALL", NULL);
    add(a, "--uid", "1000", NULL);
    add(a, "--gid", "1000", NULL);
    add(a, "--hostname", "pelton", NULL);
}

static void add_system(Argv *a) {
    char path[64], target[PATH_MAX];
    struct stat st;
    ssize_t len;

    add(a, "--ro-bind", "/usr", "/usr");
    for (const char *const *name = system_folders; *name; name++) {
        snprintf(path, sizeof(path), "/%s", *name);
        if (lstat(path, &st) < 0)
            continue;
        len = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof(target)) : -1;
        if (len > 0)
            add(a, "--symlink", mem_strndup(a->mem, target, (size_t)len), mem_strdup(a->mem, path));
        else if (S_ISDIR(st.st_mode))
            add(a, "--ro-bind", mem_strdup(a->mem, path), mem_strdup(a->mem, path));
    }
}

static void add_tmpfs(Argv *a, uint64_t size) {
    struct sysinfo info;
    const char *text;

    if (size == 0 && sysinfo(&info) == 0)
        size = (uint64_t)info.totalram * info.mem_unit / 8;
    text = mem_printf(a->mem, "%llu", (unsigned long long)MAX(size, TMPFS_LEAST));
    add(a, "--size", text, NULL);
    add(a, "--tmpfs", "/tmp", NULL);
    add(a, "--size", text, NULL);
    add(a, "--tmpfs", SANDBOX_HOME, NULL);
    add(a, "--dir", "/var", NULL);
    add(a, "--symlink", "/tmp", "/var/tmp");
    add(a, "--dir", "/run", NULL);
}

static int check_paths(const SandboxOptions *o, Err *err) {
    if (!o->folder || o->folder[0] != '/')
        return err_set(err, ERR_INVALID, "sandbox: the folder is not absolute");
    if (!o->etc || o->etc[0] != '/')
        return err_set(err, ERR_INVALID, "sandbox: the path of /etc is not absolute");
    for (const char *const *p = o->read_only; p && *p; p++)
        if ((*p)[0] != '/')
            return err_set(err, ERR_INVALID, "sandbox: \"%s\" is not absolute", *p);
    return str_empty(o->cwd) ? 0 : file_check_path(o->cwd, err);
}

int sandbox_argv(const SandboxOptions *o, const char *const *command, const void *mem, const char ***ret_argv,
                 Err *err) {
    Argv a = {.mem = mem};
    int r = check_paths(o, err);

    if (r < 0)
        return r;
    add(&a, BWRAP, NULL, NULL);
    add_name_spaces(&a, o);
    add_system(&a);
    add(&a, "--ro-bind", mem_strdup(mem, o->etc), "/etc");
    add(&a, "--proc", "/proc", NULL);
    add(&a, "--dev", "/dev", NULL);
    add_tmpfs(&a, o->tmpfs_size);
    add(&a, o->folder_read_only ? "--ro-bind" : "--bind", mem_strdup(mem, o->folder), SANDBOX_FOLDER);
    for (const char *const *p = o->read_only; p && *p; p++)
        add(&a, "--ro-bind", mem_strdup(mem, *p), mem_strdup(mem, *p));
    for (const SandboxBind *b = o->binds; b && b->from; b++)
        add(&a, b->read_only ? "--ro-bind" : "--bind", mem_strdup(mem, b->from), mem_strdup(mem, b->to));
    add(&a, "--remount-ro", "/", NULL);
    add(&a, "--chdir", str_empty(o->cwd) ? SANDBOX_FOLDER : mem_printf(mem, "%s/%s", SANDBOX_FOLDER, o->cwd),
        NULL);
    if (o->seccomp_fd >= 0)
        add(&a, "--seccomp", mem_printf(mem, "%d", o->seccomp_fd), NULL);
    add(&a, "--", NULL, NULL);
    if (o->processes > 0 && access(PRLIMIT, X_OK) == 0)
        add(&a, PRLIMIT, mem_printf(mem, "--nproc=%lld", (long long)o->processes), "--");
    for (; *command; command++)
        add(&a, mem_strdup(mem, *command), NULL, NULL);
    mem_append(mem, a.items, a.count, NULL);
    *ret_argv = a.items;
    return 0;
}

/* Tries the smallest sandbox as the user that jobs become: what is missing differs from host to host (the
 * package, user name spaces, a security module), so only trying tells. */
int sandbox_available(Err *err) {
    static const char *const argv[] = {
        BWRAP,       "--unshare-user", "--unshare-pid", "--uid",  "1000",  "--gid",         "1000",
        "--ro-bind", "/usr",           "/usr",          "--proc", "/proc", "--symlink",     "usr/lib",
        "/lib",      "--symlink",      "usr/lib64",     "/lib64", "--",    "/usr/bin/true", NULL};
    ProcOptions options = {
        .argv = argv, .drop_user = geteuid() == 0, .uid = SANDBOX_UID_BASE, .gid = SANDBOX_GID};
    _cleanup_talloc_ char *mem = talloc_strdup(NULL, "");
    char *said = NULL;
    int status, r;

    if (access(BWRAP, X_OK) < 0)
        return err_set(err, ERR_UNSUPPORTED, "%s is missing; install the package bubblewrap", BWRAP);
    r = proc_run(&options, NULL, 0, 4096, NULL, mem, &said, 10 * INT64_C(1000000), &status, err);
    if (r < 0)
        return err_wrap(err, "try a sandbox");
    if (status != 0)
        return err_set(
            err, ERR_UNSUPPORTED,
            "bubblewrap cannot make a sandbox here: %s (are unprivileged user name spaces allowed? see "
            "the settings user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns)",
            str_empty(said) ? "no message" : said);
    return 0;
}

static bool may_search(const struct stat *st, uid_t uid, gid_t gid) {
    if (uid == 0)
        return true;
    if (st->st_uid == uid)
        return st->st_mode & S_IXUSR;
    return st->st_mode & (st->st_gid == gid ? S_IXGRP : S_IXOTH);
}

int sandbox_first_closed(const char *path, uid_t uid, gid_t gid, char closed[PATH_MAX], Err *err) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    struct stat st;

    if (len >= sizeof(part) || path[0] != '/')
        return err_set(err, ERR_INVALID, "\"%s\" is not an absolute path", path);
    closed[0] = '\0';
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (stat(part, &st) < 0)
            return err_errno(err, "%s", part);
        if (!may_search(&st, uid, gid)) {
            memcpy(closed, part, i + 1);
            return 0;
        }
    }
    return 0;
}

int sandbox_reachable(const char *path, uid_t uid, gid_t gid, Err *err) {
    char closed[PATH_MAX];
    int r = sandbox_first_closed(path, uid, gid, closed, err);

    if (r < 0 || !closed[0])
        return r;
    return err_set(err, ERR_FORBIDDEN, "%s is closed to the jobs' user (%u)", closed, (unsigned)uid);
}
