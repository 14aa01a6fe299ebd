/* Inside of the job process. */
#pragma once

#include "base/checksum.h"
#include "executor/executor.h"
#include "pipeline/pipeline.h"
#include "runner/job.h"
#include "runner/spec.h"
#include "runner/uploader.h"
#include "secret/mask.h"

typedef enum StepState {
    STEP_WAITING,
    STEP_RUNNING,
    STEP_SUCCESS,
    STEP_FAILED,
    STEP_SKIPPED,
    STEP_CANCELLED
} StepState;

typedef struct StepResult {
    StepState state;
    const char *reason; /* of one that failed: as a job's */
    int exit_code;
    int64_t started_at, finished_at; /* µs; 0: not yet */
    int64_t log_start, log_end;      /* exactly what the step wrote */
} StepResult;

typedef struct JobProcess {
    void *mem;
    const RunnerHost *host;
    int64_t id, attempt;
    int slot;
    JobSpec *spec;
    const ExecutorOps *ops;
    ExecutorJob run;
    bool sandboxed; /* its scripts run in the sandbox */
    char *workspace;
    int file_fd, signal_fd;
    Uploader *uploader;
    Masker *masker; /* of all that is said; NULL: the job has no secrets */
    StepResult *steps;
    Env values;          /* what the job's environment has that is known only now */
    PlanOutput *outputs; /* what its steps have handed over */
    size_t output_count;
    const char *pipeline; /* jobs that its build shall have as well, as text; NULL: none */
    /* what has come up: */
    bool stale;     /* the attempt is not ours any more */
    bool cancelled; /* asked to stop */
    JobStop stop;
    bool timed_out;      /* the job's own time is over */
    bool cleaning;       /* what runs now comes after a cancel, or after that time */
    bool refused;        /* the server takes no more of the log */
    bool delivered, ran; /* heard from the uploader */
    int64_t deadline;    /* monotonic; of the job, or of its cleaning steps; INT64_MAX: none */
    /* the result so far: */
    const char *state, *reason;
    int exit_code;
    char message[512];
    const char *taken_at; /* when the workspace was made: tar's flag for what is newer */
    char last;            /* last byte of the log */
} JobProcess;

/* ---- watch.c ---- */
typedef enum WatchEnd {
    WATCH_EXITED,
    WATCH_TIMEOUT, /* its own or the job's time was over, and it was made to end */
    WATCH_CANCELLED,
    WATCH_STALE,
    WATCH_BROKEN, /* its output could not be kept: a disk is full, here or at the server */
} WatchEnd;

typedef struct Watch {
    pid_t pid;
    int out;            /* read end of its output, non-blocking */
    int64_t timeout_us; /* 0: none */
    bool cleaning;      /* it runs whether the job is cancelled or not: a cancel does not end it */
    int status;         /* filled in: exit status or 128 + signal */
    Err err;            /* filled in: WATCH_BROKEN */
    const char *over;   /* filled in: WATCH_TIMEOUT; which time it was, in words */
    void (*ask)(ExecutorJob *job, pid_t pid, int sig);
    void (*stop)(ExecutorJob *job);
} Watch;

/* Follows a started process to its end, and that of all it started, keeping its output. */
WatchEnd watch_process(JobProcess *j, Watch *w);
/* From now on the job has the time for cleaning up, once, whatever else comes. */
void watch_begin_cleaning(JobProcess *j);
/* Waits for an event of the uploader that makes `done` (delivered, ran) true; false: stale. */
bool watch_uploader(JobProcess *j, const bool *done);
/* Sleeps; false: the job shall stop, or its time is over. */
bool watch_pause(JobProcess *j, int64_t us);
/* A pipe for a step's output. */
_must_check_ int watch_pipe(int *ret_read, int *ret_write, Err *err);

/* ---- log.c ---- */
/* A line of our own in the job's log: "==> …". */
void job_say(JobProcess *j, const char *fmt, ...) _printf_(2, 3);
/* The job has failed; the first reason stands, and a cancel before it. */
void job_fail(JobProcess *j, const char *reason, int exit_code, const char *fmt, ...) _printf_(4, 5);

/* ---- report.c ---- */
void report_write(const JobProcess *j, bool final, Buf *out);
void report_send(JobProcess *j);

/* ---- child.c ---- */
/* Runs fn in a child of this process, what it writes to `out` in the log. A cancel and the end of the job's
 * time end it, and it. what: "checkout", for the messages. */
_must_check_ int child_run(JobProcess *j, const char *what, int (*fn)(void *arg, int out, Err *err),
                           void *arg, Err *err);

/* ---- send.c ---- */
/* On the uploader's thread: PUTs the file with its sha256, again until it is answered. A status that is not
 * 2xx is an error. */
_must_check_ int send_file(Uploader *u, const char *path, int fd, int64_t *ret_size, int *ret_status,
                           Err *err);

/* What is to come, and how it is known to be whole. */
typedef struct FetchFile {
    const char *path; /* of the request */
    ChecksumKind kind;
    const char *checksum; /* NULL: not known, nor is its size */
    int64_t size;
} FetchFile;
/* On the uploader's thread: GETs it into fd, from its beginning, again until it is answered. ERR_INVALID:
 * what came is damaged. What cannot be kept (a full disk) is an error: another try would not mend it. */
_must_check_ int fetch_file(Uploader *u, const FetchFile *file, int fd, Err *err);

/* A file without a name in the runner's folder; the caller closes. */
_must_check_ int send_temporary(const JobProcess *j, int *ret, Err *err);
/* Runs fn on the uploader's thread and waits for its end; false: it was made to end. */
bool send_run(JobProcess *j, void (*fn)(void *arg), void *arg);

/* ---- hash.c ---- */
/* PlanContext.hash, hash_data being the JobProcess. */
_must_check_ int hash_files(void *job_process, const char *const *patterns, const void *mem, const char **ret,
                            Err *err);

/* ---- values.c ---- */
/* What expressions that the planner left to us may use. */
PlanContext values_context(const JobProcess *j);
/* Sets all of `computed` (texts with ${{ }}) in `into`. ERR_INVALID names the variable. */
_must_check_ int values_env(const JobProcess *j, const Env *computed, Env *into, Err *err);
/* The build's tags and arguments with theirs filled in. In mem. */
_must_check_ int values_build(const JobProcess *j, const ExecutorBuild *build, const void *mem,
                              const ExecutorBuild **ret, Err *err);

/* ---- handover.c ---- */
/* After a step: what it has handed over is among the job's outputs, and gone from the folder. A mistake in it
 * is said and fails the job. */
void handover_outputs(JobProcess *j, size_t step);
/* After the last one. */
void handover_pipeline(JobProcess *j);

/* ---- the parts ---- */
/* A fresh folder instead of whatever is there. */
_must_check_ int job_empty_workspace(JobProcess *j, Err *err);
_must_check_ int checkout_run(JobProcess *j, Err *err);
/* What the job downloads, into its workspace. One that is not there fails it, unless it is optional. */
void download_run(JobProcess *j);
/* What earlier jobs left in their workspaces becomes this one's. */
_must_check_ int workspace_take(JobProcess *j, Err *err);
/* What this one leaves, as a file that the caller closes. */
_must_check_ int workspace_pack(JobProcess *j, int *ret, Err *err);
void steps_run(JobProcess *j);
/* Artifacts and the release, by the uploader's thread. */
_must_check_ int artifacts_run(JobProcess *j, Err *err);
/* Before the steps, and after them when all went well. What goes wrong with a cache is said and is no
 * failure. */
void cache_restore(JobProcess *j);
void cache_save(JobProcess *j);
