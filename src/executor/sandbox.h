/* The argument vector of bubblewrap for a command that may touch nothing but its folder: own user, pid,
 * mount, ipc, uts and cgroup name spaces, the system read-only, no capability, no new privileges, a seccomp
 * filter. Used for the steps of a job and for a release's start command.
 *
 * Inside: uid and gid 1000 ("build"), hostname "pelton", HOME /home/build and /tmp as own tmpfs, /usr of the
 * host, an /etc made by sandbox_etc_make. With `network` the host's network is shared, its loopback too.
 *
 * Whoever starts it as root must become an unprivileged user before exec (ProcOptions.drop_user):
 * SANDBOX_UID_BASE + n, one n for each thing that runs, SANDBOX_GID. All of `folder`, `etc` and binds must be
 * reachable by that user. */
#pragma once

#include "base/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_UID_BASE 200000 /* runner slots take base..base+999, releases base+1000 and up */
#define SANDBOX_GID 200000
#define SANDBOX_INSIDE_ID 1000
#define SANDBOX_FOLDER "/workspace"
#define SANDBOX_HOME "/home/build"
#define SANDBOX_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A further folder, both paths absolute. */
typedef struct SandboxBind {
    const char *from, *to;
    bool read_only;
} SandboxBind;

typedef struct SandboxOptions {
    const char *folder; /* absolute; bound to SANDBOX_FOLDER, the current folder inside */
    bool folder_read_only;
    const char *cwd; /* beneath the folder, relative; NULL or "": the folder itself */
    const char *etc; /* from sandbox_etc_make */
    const char *const
        *read_only; /* further folders, absolute, seen at their own path, NULL-terminated; or NULL */
    const SandboxBind *binds; /* seen at another path, or writable; ended by a NULL from; or NULL */
    bool network;
    bool outlive_parent; /* false: the kernel kills it when the thread that started it dies */
    int64_t processes; /* at most so many inside, counted there alone (Linux 5.14); 0: as the caller has it */
    int seccomp_fd;    /* its number in the new process (from sandbox_seccomp_open); -1: no filter */
    uint64_t tmpfs_size; /* bytes of each tmpfs; 0: an eighth of the machine's memory, at least 64 MiB */
} SandboxOptions;

/* argv[0] is bubblewrap's path; the command (NULL-terminated) follows. All in mem. The environment is what
 * the caller gives the process (ProcOptions.envp); HOME and PATH are for it to set. ERR_INVALID for a path
 * that is not absolute. */
_must_check_ int sandbox_argv(const SandboxOptions *o, const char *const *command, const void *mem,
                              const char ***ret_argv, Err *err);

/* Whether sandboxes can be made here (found out once by running one as that user): ERR_UNSUPPORTED says what
 * is missing and what to do. */
_must_check_ int sandbox_available(Err *err);

/* A new descriptor (O_CLOEXEC) of the compiled filter, to be kept open in the new process (ProcOptions.keep):
 * each start needs its own, because bubblewrap reads it to its end. The filter is compiled once a process. */
_must_check_ int sandbox_seccomp_open(int *ret_fd, Err *err);
/* The descriptor that holds the compiled filter, -1 before the first open: for a forked child that closes the
 * rest. */
int sandbox_seccomp_kept(void);

/* Makes or refreshes the /etc that is seen inside, at `path` (0755): a made-up passwd and group, and copies
 * of the host's files from an allow list, never one that not everybody may read. Cheap when nothing has
 * changed. */
_must_check_ int sandbox_etc_make(const char *path, Err *err);

/* The first folder on the way to `path` that is closed to uid, gid; "": none. */
_must_check_ int sandbox_first_closed(const char *path, uid_t uid, gid_t gid, char closed[PATH_MAX],
                                      Err *err);
/* Whether uid, gid can get to the folder: ERR_FORBIDDEN names the first folder on the way that is closed to
 * it. */
_must_check_ int sandbox_reachable(const char *path, uid_t uid, gid_t gid, Err *err);
