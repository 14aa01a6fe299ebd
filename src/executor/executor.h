/* How a step runs: a table an executor, chosen by the job's `executor`. */
#pragma once

#include "base/err.h"
#include "executor/cgroup.h"
#include <stdbool.h>
#include <sys/types.h>

#define EXECUTOR_PROCESSES 4096 /* of a sandboxed job that sets no limit */
#define EXECUTOR_SERVICES 50    /* of one job, at most */

/* Where a step sees ExecutorJob.handover, when it does not see the machine's own paths. */
#define EXECUTOR_HANDOVER "/run/pelton"

/* What runs beside a containerised job, found by its name on the job's own network. */
typedef struct ExecutorService {
    const char *name, *image;
    const char *const *env;     /* NULL-terminated */
    const char *const *command; /* NULL-terminated; NULL: the image's */
    const char *ready;          /* a script that is run in it until it exits with 0; "": none */
    int64_t timeout_us;         /* to be ready in; 0: EXECUTOR_READY_US */
} ExecutorService;

/* The variable of a job that credentials of registries come in; steps do not get it. */
#define EXECUTOR_LOGIN "DOCKER_AUTH_CONFIG"
/* A file in `scratch` that a step may leave: a summary, JSON, kept as an artifact of this path beneath
 * .pelton. */
#define EXECUTOR_SUMMARY "nix-summary.json"
#define EXECUTOR_SUMMARY_MAX ((size_t)8 * 1024 * 1024) /* bytes; the server reads no more */
#define EXECUTOR_READY_US (60 * INT64_C(1000000))

/* What a containerised job's steps run in. */
typedef struct ExecutorContainer {
    const char *image; /* "": none */
    const char *pull;  /* "missing", "always", "never" */
    const char *user;  /* "": the image's, or the runner's own; see docker_user.c */
    const ExecutorService *services;
    size_t service_count;   /* at most EXECUTOR_SERVICES */
    const char *const *env; /* of all steps, NULL-terminated */
    const char
        *registry_login; /* the text of EXECUTOR_LOGIN: a Docker config.json with `auths`; NULL: none */
} ExecutorContainer;

/* `uses: docker`: an image is built from a folder of the workspace, or pushed, or both. */
typedef struct ExecutorBuild {
    const char *context;     /* "": nothing is built */
    const char *file;        /* in the context */
    const char *target;      /* a stage of it; "": the last */
    const char *const *tags; /* NULL-terminated, never empty */
    const char *const *args; /* "K=V", NULL-terminated */
    bool push, pull;
} ExecutorBuild;

/* `uses: nix`: one of them. */
typedef struct ExecutorNix {
    const char *check;        /* a flake whose checks are run; "": none */
    const char *const *build; /* what is built, NULL-terminated; or NULL */
} ExecutorNix;

/* What comes up in the child that speaks for a step with a service, kept where both it and the job process
 * see it. */
typedef struct ExecutorShared {
    Err err; /* code 0: none; else the child exits 1 with it */
    bool oom;
    bool running;                 /* the container may be */
    bool shown;                   /* the services' logs were */
    bool told[EXECUTOR_SERVICES]; /* of services whose end was */
    int above;                    /* processes above a step's own ones that a signal to it shall not reach */
    uid_t uid;                    /* of the container's processes */
    gid_t gid;
} ExecutorShared;

/* A job, as its steps need it; the runner fills it in. */
typedef struct ExecutorJob {
    int64_t id, attempt;
    const char *workspace;        /* absolute */
    const char *handover;         /* a folder that steps write to as well; absolute */
    const char *etc;              /* for the sandbox; see sandbox_etc_make */
    const char *const *read_only; /* further folders that steps may read, NULL-terminated, or NULL */
    bool network;
    bool drop_user; /* a sandbox is started as this user, who owns the workspace */
    uid_t uid;
    gid_t gid;
    Cgroup cgroup;
    CgroupLimits limits; /* for executors whose containers have groups of their own */
    const char *scratch; /* a folder beside the workspace that the executor may make and removes */
    ExecutorContainer container;
    ExecutorShared *shared; /* of executors that say `shares`; NULL for others */
} ExecutorJob;

typedef struct ExecutorStep {
    const char *run;            /* the script */
    const char *shell;          /* runs it as `SHELL -e -c RUN`, looked up in PATH; "": /bin/sh */
    const char *const *env;     /* all of it, NULL-terminated */
    const char *cwd;            /* beneath the workspace, relative; "" */
    int out;                    /* standard output and error */
    const ExecutorBuild *build; /* instead of a script; NULL: none */
    const ExecutorNix *nix;     /* the same */
} ExecutorStep;

typedef struct ExecutorOps {
    const char *name, *help;
    const char *workspace_inside; /* what PELTON_WORKSPACE says; NULL: the workspace's own path */
    bool sandboxed;               /* needs an /etc and a user of the slot's own */
    bool shares;                  /* uses ExecutorJob.shared */
    bool own_system;              /* PATH, HOME and LANG are what the image says */
    /* ERR_UNSUPPORTED: not on this host; what is missing. */
    int (*available)(Err *err);
    /* Optional: begins what is needed before the first step (images, services) in a child, like `start`; its
     * words go to `out`. */
    int (*prepare)(ExecutorJob *job, int out, pid_t *ret_pid, Err *err);
    /* Optional: after the last step, before `finish`: says, a line each, what of that which ran beside the
     * steps has ended before them. Bounded in time. */
    void (*look_back)(ExecutorJob *job, void (*say)(void *arg, const char *line), void *arg);
    /* Optional: after the last step: removes what `prepare` and the steps have made. */
    void (*finish)(ExecutorJob *job);
    /* Optional: removes what dead job processes of the runner (CgroupHost.name) have left behind in the slots
     * that `keep` denies; never anything that another runner, or somebody else, made. Bounded in time. */
    void (*sweep)(const char *runner, bool (*keep)(void *arg, int slot), void *arg);
    /* Starts `SHELL -e -c RUN`. The caller is a child subreaper, and has no other children; it reaps
     * *ret_pid. */
    int (*start)(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err);
    /* Sends sig to all that the step started, so that it can end by itself. */
    void (*ask)(ExecutorJob *job, pid_t pid, int sig);
    /* Kills what is left of the step, reaps it, and returns when nothing is left. */
    void (*stop)(ExecutorJob *job);
} ExecutorOps;

extern const ExecutorOps executor_sandbox;
extern const ExecutorOps executor_shell;
extern const ExecutorOps executor_docker;
extern const ExecutorOps executor_nix;
/* NULL-terminated. */
extern const ExecutorOps *const executors[];
/* NULL: there is none of that name. */
const ExecutorOps *executor_find(const char *name);

/* "exit status 137 (Killed)": of a process, or of a shell or a container whose process it was. */
void executor_name_status(int status, char *out, size_t size);

/* For executors: runs fn in a child that dies with its parent, as `start` must; what fn gives is its exit
 * status, and a negative one leaves the error in job->shared. */
_must_check_ int executor_fork(ExecutorJob *job, int (*fn)(ExecutorJob *job, void *arg, Err *err), void *arg,
                               pid_t *ret_pid, Err *err);
/* The cgroup and rlimits of the job; ProcOptions.before_exec with the ExecutorJob. */
int executor_before_exec(void *job);
/* SandboxOptions.processes: where neither a group nor a user of the slot's own can limit them. */
int64_t executor_processes_inside(const ExecutorJob *job);
void executor_stop_tree(ExecutorJob *job);
