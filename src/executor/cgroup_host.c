#include "executor/cgroup.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAIN_GROUP "pelton-main"
#define LEAF_TRIES 8 /* somebody may fork meanwhile */

/* A line of /proc/self/mountinfo that mounts control groups (proc(5)). */
typedef struct Mount {
    char root[PATH_MAX], at[PATH_MAX];
    bool v2;
    char options[512]; /* v1: ",memory," among others */
} Mount;

static bool mount_parse(const char *line, Mount *m) {
    char type[64] = "", options[256] = "";
    const char *rest = strstr(line, " - ");

    if (!rest || sscanf(rest, " - %63s %*s %255s", type, options) != 2)
        return false;
    m->v2 = str_eq(type, "cgroup2");
    if (!m->v2 && !str_eq(type, "cgroup"))
        return false;
    snprintf(m->options, sizeof(m->options), ",%s,", options);
    return sscanf(line, "%*s %*s %*s %4095s %4095s", m->root, m->at) == 2;
}

static bool mount_find(const char *mountinfo, const char *controller, Mount *m) {
    char word[32];

    snprintf(word, sizeof(word), ",%s,", controller);
    for (const char *line = mountinfo; line && *line;
         line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (mount_parse(line, m) && (*controller ? !m->v2 && strstr(m->options, word) : m->v2))
            return true;
    return false;
}

/* Our own group in the hierarchy of the controller ("" for v2) out of /proc/self/cgroup: "4:memory:/a/b". */
static bool own_find(const char *groups, const char *controller, char *out, size_t size) {
    char list[256], word[64], path[PATH_MAX], spaced[300];

    snprintf(word, sizeof(word), ",%s,", controller);
    for (const char *line = groups; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        list[0] = '\0';
        if (sscanf(line, "%*[0-9]:%255[^:]:%4095[^\n]", list, path) != 2 &&
            sscanf(line, "%*[0-9]::%4095[^\n]", path) != 1)
            continue;
        snprintf(spaced, sizeof(spaced), ",%s,", list);
        if (*controller ? strstr(spaced, word) != NULL : list[0] == '\0') {
            snprintf(out, size, "%s", path);
            return true;
        }
    }
    return false;
}

/* The folder in which our own group of that hierarchy can be seen. */
static bool own_folder(const char *mountinfo, const char *groups, const char *controller, char *out,
                       size_t size) {
    char own[PATH_MAX];
    const char *below = own;
    Mount m;

    if (!mount_find(mountinfo, controller, &m) || !own_find(groups, controller, own, sizeof(own)))
        return false;
    if (!str_eq(m.root, "/"))
        below = str_after(own, m.root);
    if (!below || snprintf(out, size, "%s%s", m.at, str_eq(below, "/") ? "" : below) >= (int)size)
        return false;
    return access(out, W_OK) == 0;
}

static bool write_text(const char *folder, const char *file, const char *text) {
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
        return false;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static const char *const controllers[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};

/* Which of the controllers a file names: "cpuset cpu io memory pids". */
static void read_controllers(const char *folder, const char *file, bool ret[CGROUP_CONTROLLERS]) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[PATH_MAX], *rest, *word;
    Err ignored;

    memset(ret, 0, CGROUP_CONTROLLERS * sizeof(*ret));
    if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path) ||
        file_read(path, 4096, &text, &ignored) < 0)
        return;
    rest = text.data;
    while ((word = strsep(&rest, " \n")))
        for (int i = 0; i < CGROUP_CONTROLLERS; i++)
            ret[i] = ret[i] || str_eq(word, controllers[i]);
}

/* A group that gives controllers to its children may have no process itself (cgroup-v2.rst, "no internal
 * processes"): all of ours go to a leaf beside the slots. */
static void move_to_leaf(const char *own) {
    _cleanup_buf_ Buf pids = BUF_INIT;
    char leaf[PATH_MAX], procs[PATH_MAX];
    char *rest, *pid;
    Err ignored;

    if (snprintf(leaf, sizeof(leaf), "%s/" MAIN_GROUP, own) >= (int)sizeof(leaf) ||
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", own) >= (int)sizeof(procs) ||
        (mkdir(leaf, 0755) < 0 && errno != EEXIST) || file_read(procs, 1 << 20, &pids, &ignored) < 0 ||
        !pids.data)
        return;
    rest = pids.data;
    while ((pid = strsep(&rest, "\n")))
        if (*pid && !write_text(leaf, "cgroup.procs", pid))
            log_debug("executor", "process %s stays in %s", pid, own);
}

/* Whether the folder's children get all that it has. */
static bool gives_all(const char *folder, bool ret_given[CGROUP_CONTROLLERS]) {
    bool has[CGROUP_CONTROLLERS];

    read_controllers(folder, "cgroup.controllers", has);
    read_controllers(folder, "cgroup.subtree_control", ret_given);
    return memcmp(has, ret_given, sizeof(has)) == 0;
}

/* All at once: pids and cpu alone can be given in spite of processes, but then the children must be threads'
 * groups (cgroup-v2.rst, "Threads"). */
static void give_all(const char *folder) {
    bool has[CGROUP_CONTROLLERS];
    char text[64] = "";

    read_controllers(folder, "cgroup.controllers", has);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (has[i])
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "+%s ", controllers[i]);
    write_text(folder, "cgroup.subtree_control", text);
}

/* Only the root of the hierarchy may have both processes and children with controllers; it has no type. */
static bool is_root(const char *folder) {
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/cgroup.type", folder) < (int)sizeof(path) &&
           access(path, F_OK) < 0;
}

static void find_tree(CgroupHost *h, const char *mountinfo, const char *groups) {
    char own[PATH_MAX], *end;

    if (!own_folder(mountinfo, groups, "", own, sizeof(own)))
        return;
    end = strstr(own, "/" MAIN_GROUP);
    if (end && str_eq(end, "/" MAIN_GROUP))
        *end = '\0';
    if (snprintf(h->tree, sizeof(h->tree), "%s/%s", own, h->name) >= (int)sizeof(h->tree) ||
        (mkdir(h->tree, 0755) < 0 && errno != EEXIST)) {
        h->tree[0] = '\0';
        return;
    }
    for (int i = 0; i < LEAF_TRIES && !gives_all(own, h->v2); i++) {
        if (!is_root(own))
            move_to_leaf(own);
        give_all(own);
    }
    give_all(h->tree);
    gives_all(h->tree, h->v2);
}

/* Says what cannot be as it should, and what to do about it. */
static void warn(const CgroupHost *h) {
    static const char *const instead[CGROUP_CONTROLLERS] = {
        [CGROUP_MEMORY] = "memory is limited by setrlimit, each process by itself",
        [CGROUP_PIDS] = "processes are limited by setrlimit, in sandboxes only",
        [CGROUP_CPU] = "cpu is not limited"};
    _cleanup_buf_ Buf text = BUF_INIT;

    if (!h->tree[0])
        buf_adds(&text, "; steps are killed process by process");
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (!h->v2[i] && !h->limits[i][0])
            buf_addf(&text, "; %s", instead[i]);
    if (text.len > 0)
        log_warn("executor",
                 "%s%s; to have them from systemd: Delegate=yes in the service's unit, or by hand: "
                 "systemd-run %s--scope -p Delegate=yes pelton ...",
                 h->tree[0] ? "not all control groups are ours to use" : "no control groups of our own",
                 buf_str(&text), geteuid() == 0 ? "" : "--user ");
}

void cgroup_host_init(CgroupHost *h, const char *name) {
    _cleanup_buf_ Buf mountinfo = BUF_INIT, groups = BUF_INIT;
    Err err;

    *h = (CgroupHost){0};
    snprintf(h->name, sizeof(h->name), "%s", name);
    if (file_read("/proc/self/mountinfo", 4 << 20, &mountinfo, &err) < 0 ||
        file_read("/proc/self/cgroup", 1 << 20, &groups, &err) < 0) {
        log_err("executor", "look for control groups", &err);
        return;
    }
    find_tree(h, buf_str(&mountinfo), buf_str(&groups));
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (h->v2[i] || !own_folder(buf_str(&mountinfo), buf_str(&groups), controllers[i], h->limits[i],
                                    sizeof(h->limits[i])))
            h->limits[i][0] = '\0';
    warn(h);
}

void cgroup_host_done(const CgroupHost *h) {
    if (h->tree[0])
        cgroup_remove(h->tree);
}
