/* Control groups, of whichever kind the host has. A *tree* group (cgroup v2) holds the processes of one
 * slot's step, so that they can be killed at once, whatever they forked; it is empty when a step is over, and
 * used again. A limit is the tree group's where v2 has its controller for us (pure v2, delegated), else that
 * of a group in the v1 hierarchy, made only for a job that has the limit: to join one costs 10 ms. What a
 * host does not allow is left out, with a warning. */
#pragma once

#include "base/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum CgroupController { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS } CgroupController;

/* What the host offers; found once by the runner. */
typedef struct CgroupHost {
    char name[64];                             /* of our groups: "pelton-<something stable>" */
    char tree[PATH_MAX];                       /* v2 folder that holds the slots' folders; "": none */
    bool v2[CGROUP_CONTROLLERS];               /* the slots' folders have this controller */
    char limits[CGROUP_CONTROLLERS][PATH_MAX]; /* else the v1 folder to make groups in; "": none */
} CgroupHost;

typedef struct CgroupLimits {
    uint64_t memory; /* bytes; 0: none. So with the others */
    int64_t cpu;     /* thousandths of a cpu; a group has at least 10 */
    int64_t processes;
} CgroupLimits;

/* A slot's groups, while a job uses them. */
typedef struct Cgroup {
    const CgroupHost *host;
    int slot;
    int tree_fd;                  /* the v2 folder; -1: none */
    int join[CGROUP_CONTROLLERS]; /* cgroup.procs of the v1 groups; -1: none */
    CgroupLimits limits;
    CgroupLimits rlimits; /* what no group can limit here, for rlimits instead */
    int64_t oom_kills;    /* as seen last */
} Cgroup;

/* Looks at /proc/self/cgroup and mountinfo and makes the folder for slots. Never fails: what is missing stays
 * empty, and is said once in the log. name: of letters, digits and dashes. */
void cgroup_host_init(CgroupHost *h, const char *name);
/* Removes the folders of slots that are empty. */
void cgroup_host_done(const CgroupHost *h);
/* Removes a group and those in it, but those that have processes. -1, errno: it is still there. */
int cgroup_remove(const char *path);

/* The groups of a slot with these limits. ERR_IO when a limit cannot be set although its group is there. */
_must_check_ int cgroup_open(const CgroupHost *h, int slot, const CgroupLimits *limits, Cgroup *ret,
                             Err *err);
/* Puts the calling process into them; async-signal-safe, for ProcOptions.before_exec (arg: the Cgroup); the
 * tree group is ProcOptions.cgroup_fd. 0, or -1. */
int cgroup_join(void *cgroup);
/* SIGKILL to everything in the tree group at once; false when there is none (or no cgroup.kill). */
bool cgroup_kill(const Cgroup *c);
/* Replaces the tree group, which must be empty, after a kill: some kernels (6.14 and up) kill whatever is
 * born into a group that was ever killed (cgroup_css_set_fork compares kill_seq with the parent's group). */
void cgroup_renew(Cgroup *c);
/* Renews it when a step has made groups in it: what it left there would keep the next step out. */
void cgroup_tidy(Cgroup *c);
/* Whether the kernel has killed for want of memory since the last call or open. */
bool cgroup_oom(Cgroup *c);
/* Removes the groups with limits, keeps the tree for the slot's next job. */
void cgroup_close(Cgroup *c);
/* For a job process that has died: kills what it left in its slot's groups, and removes them. */
void cgroup_sweep(const CgroupHost *h, int slot);
