/* Runs a script by an executor as a job process would, and keeps what it said. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "executor/executor.h"
#include "executor/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct Place {
    char *dir, *workspace, *etc;
    CgroupHost host;
    ExecutorJob job;
} Place;

typedef struct Ran {
    char out[65536];
    int status;
} Ran;

static inline void must(int r, const Err *err) {
    if (r < 0)
        fail_msg("%s (%s)", err->msg, err->where);
}

static inline int place_setup(void **state) {
    static unsigned number;
    Place *p = mem_new(NULL, Place);
    char template[] = "/tmp/pelton-executor-XXXXXX", name[64];
    Err err;

    assert_non_null(mkdtemp(template));
    assert_int_equal(chmod(template, 0711), 0);
    p->dir = mem_strdup(p, template);
    p->workspace = mem_printf(p, "%s/workspace", template);
    p->etc = mem_printf(p, "%s/etc", template);
    assert_int_equal(mkdir(p->workspace, 0755), 0);
    snprintf(name, sizeof(name), "pelton-test-%d-%u", (int)getpid(), number++);
    cgroup_host_init(&p->host, name);
    p->job = (ExecutorJob){
        .workspace = p->workspace,
        .etc = p->etc,
        .network = true,
        .drop_user = geteuid() == 0,
        .uid = SANDBOX_UID_BASE + 900,
        .gid = SANDBOX_GID,
    };
    if (p->job.drop_user)
        assert_int_equal(chown(p->workspace, p->job.uid, p->job.gid), 0);
    must(sandbox_etc_make(p->etc, &err), &err);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    *state = p;
    return 0;
}

static inline int place_teardown(void **state) {
    Place *p = *state;
    Err err;

    must(file_remove_tree(p->dir, &err), &err);
    if (p->job.cgroup.host)
        cgroup_close(&p->job.cgroup);
    cgroup_host_done(&p->host);
    talloc_free(p);
    return 0;
}

/* Sandboxes cannot be made on every host that builds us. */
static inline void need_sandbox(void) {
    Err err;

    if (sandbox_available(&err) < 0)
        skip();
}

static inline pid_t place_start(Place *p, const ExecutorOps *ops, const char *script,
                                const CgroupLimits *limits, int *ret_out) {
    static const char *const env[] = {"PATH=" SANDBOX_PATH, "HOME=" SANDBOX_HOME, "GREETING=hello", NULL};
    const CgroupLimits none = {0};
    ExecutorStep step = {.run = script, .env = env, .cwd = ""};
    int pipe_fds[2];
    pid_t pid;
    Err err;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    step.out = pipe_fds[1];
    if (p->job.cgroup.host)
        cgroup_close(&p->job.cgroup);
    must(cgroup_open(&p->host, 0, limits ? limits : &none, &p->job.cgroup, &err), &err);
    must(ops->start(&p->job, &step, &pid, &err), &err);
    close(pipe_fds[1]);
    *ret_out = pipe_fds[0];
    return pid;
}

/* Reads until end of file; -1 status: not waited for. */
static inline void read_all(int fd, char *out, size_t size) {
    size_t len = 0;
    ssize_t got;

    while (len + 1 < size && (got = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
}

static inline Ran *place_run(Place *p, const ExecutorOps *ops, const char *script,
                             const CgroupLimits *limits) {
    Ran *ran = mem_new(p, Ran);
    int out, status;
    pid_t pid = place_start(p, ops, script, limits, &out);

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ran->status = proc_status(status);
    ops->stop(&p->job);
    read_all(out, ran->out, sizeof(ran->out));
    close(out);
    return ran;
}

/* Whether a process runs that has the word in its arguments. */
static inline bool runs(const char *word) {
    const char *argv[] = {"pgrep", "-f", word, NULL};
    ProcOptions options = {.argv = argv};
    int status;
    Err err;

    must(proc_run(&options, NULL, 0, 4096, NULL, NULL, NULL, 0, &status, &err), &err);
    return status == 0;
}
