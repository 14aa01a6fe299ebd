#include "executor/cgroup.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CPU_PERIOD_US 100000
#define CPU_QUOTA_MIN_US 1000
#define REMOVE_FDS 16
#define SWEEP_WAIT_US (5 * US_PER_S)

static int slot_path(const char *base, const CgroupHost *h, int slot, bool tree, char *out, size_t size) {
    int len = tree ? snprintf(out, size, "%s/slot-%d", base, slot)
                   : snprintf(out, size, "%s/%s-slot-%d", base, h->name, slot);

    return len < (int)size ? 0 : -1;
}

static int put(int dirfd, const char *file, const char *text, Err *err) {
    _cleanup_close_ int fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_errno(err, "control group: write \"%s\" to %s", text, file);
    return 0;
}

/* The number behind "key " in a flat keyed file; 0 when it is not there. */
static int64_t get_keyed(int dirfd, const char *file, const char *key) {
    char text[512], *at = text;
    _cleanup_close_ int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    size_t key_len = strlen(key);

    if (len < 0)
        return 0;
    text[len] = '\0';
    for (; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (strncmp(at, key, key_len) == 0 && at[key_len] == ' ')
            return strtoll(at + key_len + 1, NULL, 10);
    return 0;
}

static const char *number(char out[32], int64_t value, const char *none) {
    if (value > 0)
        snprintf(out, 32, "%lld", (long long)value);
    else
        snprintf(out, 32, "%s", none);
    return out;
}

/* The kernel takes no quota below a millisecond (sched/core.c, min_cfs_quota_period). */
static int64_t cpu_quota(const CgroupLimits *l) {
    return l->cpu > 0 ? MAX(l->cpu * CPU_PERIOD_US / 1000, CPU_QUOTA_MIN_US) : 0;
}

/* The group is used again and again: what is not limited now may have been. */
static int set_v2(int fd, CgroupController which, const CgroupLimits *l, Err *err) {
    char text[64], quota[32];
    Err ignored;
    int r;

    if (which == CGROUP_PIDS)
        return put(fd, "pids.max", number(text, l->processes, "max"), err);
    if (which == CGROUP_CPU) {
        snprintf(text, sizeof(text), "%s %d", number(quota, cpu_quota(l), "max"), CPU_PERIOD_US);
        return put(fd, "cpu.max", text, err);
    }
    r = put(fd, "memory.max", number(text, (int64_t)l->memory, "max"), err);
    /* without swap the limit is what it says; a kernel without swap accounting has no such file */
    if (r == 0 && put(fd, "memory.swap.max", l->memory > 0 ? "0" : "max", &ignored) < 0)
        return 0;
    return r;
}

static int set_v1(int fd, CgroupController which, const CgroupLimits *l, Err *err) {
    char text[32];
    Err ignored;
    int r;

    if (which == CGROUP_PIDS)
        return put(fd, "pids.max", number(text, l->processes, "max"), err);
    if (which == CGROUP_CPU) {
        r = put(fd, "cpu.cfs_period_us", number(text, CPU_PERIOD_US, ""), err);
        return r < 0 ? r : put(fd, "cpu.cfs_quota_us", number(text, cpu_quota(l), "-1"), err);
    }
    r = put(fd, "memory.limit_in_bytes", number(text, (int64_t)l->memory, "-1"), err);
    if (r == 0 && put(fd, "memory.memsw.limit_in_bytes", text, &ignored) < 0)
        return 0; /* no swap accounting */
    return r;
}

static int64_t oom_count(const Cgroup *c) {
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (c->host->v2[CGROUP_MEMORY])
        return c->tree_fd < 0 ? 0 : get_keyed(c->tree_fd, "memory.events", "oom_kill");
    if (c->join[CGROUP_MEMORY] < 0 ||
        slot_path(c->host->limits[CGROUP_MEMORY], c->host, c->slot, false, path, sizeof(path)) < 0)
        return 0;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? 0 : get_keyed(fd, "memory.oom_control", "oom_kill");
}

static bool wants(const CgroupLimits *l, CgroupController which) {
    return which == CGROUP_MEMORY ? l->memory > 0 : which == CGROUP_PIDS ? l->processes > 0 : l->cpu > 0;
}

static int open_v1(Cgroup *c, CgroupController which, const CgroupLimits *l, Err *err) {
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;
    int r;

    if (!c->host->limits[which][0]) {
        if (which == CGROUP_MEMORY)
            c->rlimits.memory = l->memory;
        else if (which == CGROUP_PIDS)
            c->rlimits.processes = l->processes;
        return 0;
    }
    if (slot_path(c->host->limits[which], c->host, c->slot, false, path, sizeof(path)) < 0)
        return err_set(err, ERR_INVALID, "control group: the path is too long");
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_errno(err, "create %s", path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open %s", path);
    r = set_v1(fd, which, l, err);
    if (r < 0)
        return r;
    c->join[which] = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return c->join[which] < 0 ? err_errno(err, "open %s/cgroup.procs", path) : 0;
}

static int remove_folder(const char *path, const struct stat *st, int kind, struct FTW *at) {
    if (kind == FTW_DP)
        rmdir(path);
    return 0;
}

int cgroup_remove(const char *path) {
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    nftw(path, remove_folder, REMOVE_FDS, FTW_DEPTH | FTW_PHYS);
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* The slot's folder, made when it is not there yet; or anew, when nothing is in it. */
static int open_tree_folder(const CgroupHost *h, int slot, bool anew) {
    char path[PATH_MAX];
    int fd;

    if (!h->tree[0] || slot_path(h->tree, h, slot, true, path, sizeof(path)) < 0)
        return -1;
    if (anew)
        cgroup_remove(path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && (mkdir(path, 0755) == 0 || errno == EEXIST))
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd;
}

static int set_limit(Cgroup *c, CgroupController which, Err *err) {
    if (c->host->v2[which] && c->tree_fd >= 0)
        return set_v2(c->tree_fd, which, &c->limits, err);
    return wants(&c->limits, which) ? open_v1(c, which, &c->limits, err) : 0;
}

int cgroup_open(const CgroupHost *h, int slot, const CgroupLimits *limits, Cgroup *ret, Err *err) {
    Cgroup c = {.host = h, .slot = slot, .limits = *limits, .join = {-1, -1, -1}};
    int r = 0;

    /* files that an earlier job has left in memory count as the group's */
    c.tree_fd = open_tree_folder(h, slot, h->v2[CGROUP_MEMORY] && limits->memory > 0);
    for (int i = 0; r == 0 && i < CGROUP_CONTROLLERS; i++)
        r = set_limit(&c, (CgroupController)i, err);
    if (r < 0) {
        cgroup_close(&c);
        return r;
    }
    c.oom_kills = oom_count(&c);
    *ret = c;
    return 0;
}

int cgroup_join(void *cgroup) {
    const Cgroup *c = cgroup;

    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (c->join[i] >= 0 && write(c->join[i], "0", 1) != 1)
            return -1;
    return 0;
}

bool cgroup_kill(const Cgroup *c) {
    Err ignored;

    return c->tree_fd >= 0 && put(c->tree_fd, "cgroup.kill", "1", &ignored) == 0;
}

void cgroup_renew(Cgroup *c) {
    int64_t unseen = oom_count(c) - c->oom_kills;
    int r = 0;
    Err err;

    if (c->tree_fd < 0)
        return;
    mem_close(c->tree_fd);
    c->tree_fd = open_tree_folder(c->host, c->slot, true);
    for (int i = 0; r == 0 && c->tree_fd >= 0 && i < CGROUP_CONTROLLERS; i++)
        if (c->host->v2[i])
            r = set_v2(c->tree_fd, (CgroupController)i, &c->limits, &err);
    if (r < 0)
        log_err("executor", "renew a control group", &err);
    c->oom_kills = oom_count(c) - unseen;
}

/* A folder has a link for each folder in it, and two of its own. */
void cgroup_tidy(Cgroup *c) {
    struct stat st;

    if (c->tree_fd >= 0 && fstat(c->tree_fd, &st) == 0 && st.st_nlink > 2)
        cgroup_renew(c);
}

bool cgroup_oom(Cgroup *c) {
    int64_t count = oom_count(c), before = c->oom_kills;

    c->oom_kills = count;
    return count > before;
}

void cgroup_close(Cgroup *c) {
    char path[PATH_MAX];

    if (c->tree_fd >= 0)
        mem_close(c->tree_fd);
    c->tree_fd = -1;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (c->join[i] < 0)
            continue;
        mem_close(c->join[i]);
        c->join[i] = -1;
        if (slot_path(c->host->limits[i], c->host, c->slot, false, path, sizeof(path)) == 0)
            rmdir(path);
    }
}

/* A v1 group has no cgroup.kill: what is in it is killed one by one, until nothing is. */
static void sweep_procs(int dirfd) {
    char text[4096], *rest = text, *word;
    _cleanup_close_ int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    int64_t pid;

    text[MAX(len, 0)] = '\0';
    while ((word = strsep(&rest, "\n")))
        if (str_to_i64(word, 1, INT_MAX, &pid))
            kill((pid_t)pid, SIGKILL);
}

/* Kills until the folder can be removed; cgroup.events tells of the last exit (v2), else it is tried again.
 */
static void sweep_folder(const char *path) {
    int64_t deadline = clock_mono() + SWEEP_WAIT_US;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd events = {.fd = -1, .events = POLLPRI};
    Err ignored;

    if (fd < 0)
        return;
    while (cgroup_remove(path) < 0 && errno == EBUSY && clock_mono() < deadline) {
        events.fd = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (put(fd, "cgroup.kill", "1", &ignored) < 0)
            sweep_procs(fd);
        if (events.fd < 0 || get_keyed(fd, "cgroup.events", "populated"))
            poll(&events, events.fd >= 0, events.fd >= 0 ? 100 : 5);
        if (events.fd >= 0)
            mem_close(events.fd);
    }
}

void cgroup_sweep(const CgroupHost *h, int slot) {
    char path[PATH_MAX];

    if (h->tree[0] && slot_path(h->tree, h, slot, true, path, sizeof(path)) == 0)
        sweep_folder(path);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (h->limits[i][0] && slot_path(h->limits[i], h, slot, false, path, sizeof(path)) == 0)
            sweep_folder(path);
}
