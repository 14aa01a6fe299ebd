/* The heart: what becomes of a trigger, a build, a job, an attempt. Every change is one transaction that
 * names the state it comes from, with the events it causes in it; who waits is woken after the commit (see
 * src/build/README.md for the state machine). All functions are thread-safe. */
#pragma once

#include "base/disk.h"
#include "blob/blob.h"
#include "bus/bus.h"
#include "pipeline/pipeline.h"
#include "store/store.h"

typedef struct BuildOptions {
    int64_t lease_us;         /* how long a lease lasts without being renewed */
    int64_t lost_after_us;    /* a fresh lease that its runner does not know of is lost after this long */
    int64_t job_timeout_us;   /* of a job that sets none */
    int64_t max_attempts;     /* lost attempts until the job fails as `lost` */
    bool allow_shell;         /* pipelines may use the shell executor */
    bool no_deploy;           /* nothing is deployed here */
    int64_t cache_project;    /* bytes of one project's caches */
    int64_t cache_total;      /* bytes of all caches */
    int64_t artifact_keep_us; /* of an artifact that says nothing of it, after its build's end; 0: for ever */
    const char *url;          /* of this server, for links: "http://127.0.0.1:8080" */
} BuildOptions;

typedef struct Dispatch Dispatch;

/* What the room works with; filled in once by the server, then only read but for what says otherwise. */
typedef struct Builds {
    Db *db;
    Bus *bus;
    Blob *blob;
    BuildOptions options;
    Disk disk;               /* of all that is kept: while it is low nothing new is begun */
    Dispatch *dispatch;      /* dispatch_new */
    struct SecretRing *ring; /* what secrets are sealed with */
    struct Reaper *reaper;
    struct Compare *compare;
    _Atomic int64_t clock_distance; /* that what is stored goes by; 0: not known yet. Written by jump.c */
} Builds;

/* What dispatch keeps in memory; one of its own for each Builds. */
Dispatch *dispatch_new(const void *mem);

/* ---- how builds come to be ---- */
typedef enum PullOrigin {
    PULL_UNKNOWN, /* nothing was said: what was told before, else a fork */
    PULL_TOLD,    /* by who may push, without a word of a fork: what was told before, else our own */
    PULL_OWN,     /* a branch of the repository's own */
    PULL_FORK,    /* somebody else's repository: what it builds is not trusted */
} PullOrigin;

/* As far as it is told; see build/pull.h. */
typedef struct PullRequest {
    int64_t number;
    const char *source, *target, *title, *author; /* NULL: not told. Branches without refs/heads/ */
    PullOrigin origin;
} PullRequest;

typedef struct BuildRequest {
    const Project *project;
    const char *commit;   /* 40 hex */
    const char *ref;      /* "refs/heads/main", or "" for a bare commit */
    const char *event;    /* "push", "tag", "pull_request", "manual", "schedule" */
    const char *pusher;   /* "" when unknown */
    const char *env;      /* JSON object text of strings, or NULL */
    const char *inputs;   /* of the pipeline: JSON object text of texts, numbers and truths, or NULL */
    const char *old_rev;  /* push: what the ref was before; NULL otherwise */
    bool old_unknown;     /* push: old_rev was not told, and is what was known of the ref */
    bool found;           /* push: by comparing refs, not told by the hook */
    const char *delivery; /* the same one is the same request; NULL: none */
    bool untrusted;       /* of a stored pipeline: it works on a stranger's code; pull says it of others */
    bool no_deploy;
    const PullRequest *pull;       /* of a pull request; its ref is pull_ref() then */
    const char *const *jobs;       /* only these and what they need, NULL-terminated; NULL: all */
    const struct ScheduleDue *due; /* of event "schedule", but for stored pipelines; else NULL */
    const struct PipelineRun *run; /* of a stored pipeline; its project may have no repository */
    const char *yaml;              /* the pipeline's text then */
    size_t yaml_len;
    int64_t version;
    const Signature *signature; /* push: of the commit; NULL: nobody has looked */
} BuildRequest;

typedef struct BuildOutcome {
    int64_t id;          /* 0: no build came of it */
    const char *status;  /* the build's state, or "skipped" */
    const char *message; /* why it is skipped or failed at once; "" otherwise */
    const char *uuid;    /* of the build; NULL without one */
} BuildOutcome;

/* Reads the commit, plans, stores trigger, build and jobs together. A pipeline with mistakes becomes a build
 * that has failed (reason invalid). Nothing to build: id 0, "skipped". A push that was told
 * already gives the build that it had; one that the ref has left behind meanwhile is built, not deployed.
 * Strings in mem. Starts git when the commit is new to us: do not call on an epoll thread. */
_must_check_ int build_create(Builds *b, const BuildRequest *request, const void *mem, BuildOutcome *ret,
                              Err *err);
/* What may be given to a build of the request's project, commit and ref, in mem: of the pipeline file that
 * the build would have. ERR_INVALID, naming the place: it cannot be read. Starts git, as build_create does.
 */
_must_check_ int build_inputs(Builds *b, const BuildRequest *request, const void *mem, PlanInput **ret,
                              size_t *ret_count, Err *err);
/* Whether the project has had the request before, and what came of it, with the build's state of now. kind:
 * of the request, as in Trigger; ERR_CONFLICT when it was one of another kind. */
_must_check_ int build_delivered(Builds *b, int64_t project_id, const char *delivery, const char *kind,
                                 const void *mem, bool *ret, BuildOutcome *ret_outcome, Err *err);

typedef struct RerunRequest {
    int64_t build;
    const char *by, *delivery; /* as in BuildRequest */
    bool failed;               /* only what did not succeed */
    const char *const *jobs;   /* only these (NULL-terminated); NULL: all, or what failed */
} RerunRequest;

/* A new build that repeats a finished one from what is stored: the chosen jobs and all that depend on them
 * run, the others are copied with their results, artifacts and logs. A commit that its branch has left is not
 * deployed again. ERR_NOT_FOUND; ERR_CONFLICT: it has not finished, or has nothing to repeat; ERR_INVALID: no
 * such job. */
_must_check_ int build_rerun(Builds *b, const RerunRequest *request, const void *mem, BuildOutcome *ret,
                             Err *err);
/* Takes what is live off: nothing takes its place. The deployment, as it is then, in mem. ERR_NOT_FOUND;
 * ERR_CONFLICT: it is not live. */
_must_check_ int build_stop_deployment(Builds *b, const char *uuid, const char *by, const void *mem,
                                       Deployment **ret, Err *err);
/* A ref of a hosted repository went from old_rev to new_rev (40 zeros: was not, is no more; old_rev NULL: not
 * told). */
typedef struct RefChange {
    const char *ref, *old_rev, *new_rev;
    const char *pusher;         /* "" when unknown */
    const PullRequest *pull;    /* what was said with it, when it is a pull request's head; NULL: nothing */
    const Signature *signature; /* of the commit; NULL: not told */
} RefChange;
_must_check_ int build_ref_changed(Builds *b, const Project *project, const RefChange *change,
                                   const void *mem, BuildOutcome *ret, Err *err);
/* Several of them will be told, one by one, of one push: what they read of git is read together. */
void build_refs_ahead(const Project *project, const RefChange *changes, size_t count, const void *mem);
/* The thread that compares the refs of hosted repositories with what was seen, and builds what nobody told
 * us: all at the start and every every_us (0: never again), and those that it is asked to. */
typedef struct CompareOptions {
    int64_t every_us;
    void (*begin)(void *arg); /* called first, on the thread; may be NULL */
    void *arg;
} CompareOptions;
_must_check_ int build_compare_start(Builds *b, const CompareOptions *options, Err *err);
void build_compare_stop(Builds *b);
/* A push of the project may have been missed. This and the next two do nothing while the thread is not there.
 */
void build_compare_ask(Builds *b, int64_t project_id);
/* A hook has told of a push, and how many have: one that was served and not heard of is worth a look. */
void build_push_heard(Builds *b, int64_t project_id);
uint64_t build_pushes_heard(Builds *b, int64_t project_id);

/* ---- how jobs are run ---- */
/* What a runner has to give. */
typedef struct RunnerOffer {
    const char *const *executors; /* NULL-terminated */
    const char *arch;
    const char *const *labels; /* "key=value", NULL-terminated; NULL: none */
    int64_t cpu, memory, disk; /* thousandths, bytes, bytes; 0: unknown, taken for enough; -1: nothing left */
} RunnerOffer;

RunnerOffer *build_offer_copy(const RunnerOffer *offer, const void *mem);
/* Whether a job of this fit could run on what is offered. */
bool build_fits(Builds *b, int64_t fit_id, const RunnerOffer *offer);

typedef struct BuildClaim {
    int64_t runner_id;
    RunnerOffer offer; /* all that the runner has, what it holds included */
    int64_t slots;     /* likewise; 0: as many as there are jobs */
    size_t max;        /* jobs to give now */
} BuildClaim;

typedef struct JobSecret {
    const char *name, *value;
} JobSecret;

typedef struct ClaimedJob {
    Job job;
    Build *build;
    Project *project;
    JobSecret *secrets; /* those that it names */
    size_t secret_count;
    PlanNeed *needs; /* how the jobs that it needs have ended, if its specification asks */
    size_t need_count;
} ClaimedJob;

typedef struct Claimed {
    ClaimedJob *jobs;
    size_t count;
    RunnerOffer rest;   /* what the runner has left, for the next job */
    int64_t free_slots; /* 0: it can take nothing now: it is full or drained, or the queue is paused */
    bool paused;        /* the queue is, or the server's disk is nearly full */
    bool drained;       /* the runner is, and holds nothing any more */
} Claimed;

/* Leases the best queued jobs that fit: by priority, then of the project that was served longest ago, then
 * the oldest. A job that fits the runner, but not beside what it holds, and that has waited for long, makes
 * it keep what it has free. In mem. */
_must_check_ int build_claim(Builds *b, const BuildClaim *claim, const void *mem, Claimed *ret, Err *err);

typedef struct Attempt {
    int64_t job, attempt;
    const char *told; /* the order that its runner has for it already; NULL: none */
} Attempt;

typedef struct StopOrder {
    Attempt attempt;
    const char *reason; /* "user", "superseded", "timeout", "stale" */
} StopOrder;

/* Renews what the runner says it runs, tells what it must stop (once: an order that it has is not repeated),
 * queues again what it should run and does not.
 */
_must_check_ int build_renew(Builds *b, int64_t runner_id, const Attempt *running, size_t count,
                             const void *mem, StopOrder **ret, size_t *ret_count, Err *err);

/* The runner holds nothing any more: its leases are lost at once. */
_must_check_ int build_abandon(Builds *b, int64_t runner_id, Err *err);
/* The runner ends in order and gives back what it holds: queued again, and no attempt counts as lost. */
_must_check_ int build_hand_back(Builds *b, int64_t runner_id, Err *err);

typedef struct JobReport {
    Attempt attempt;
    int64_t runner_id;
    const char *state; /* "running", or an end: "success", "failed", "cancelled"; "lost": nobody knows */
    const char *reason, *message;
    int64_t exit_code;
    int64_t log_size; /* of an end: bytes that the log must have; -1: not told */
    const Step *steps;
    size_t step_count;
    const Output *outputs; /* of an end */
    size_t output_count;
    const char *pipeline; /* of a success: jobs that its build shall have as well; NULL: none */
} JobReport;

/* A pipeline with mistakes makes the success a failure (`invalid`). ERR_CONFLICT: the attempt does not hold
 * the job. A log that is shorter than log_size: ERR_CONFLICT too, with *ret_next its size (else UINT64_MAX).
 * The same end again is fine. *ret_stop: whether it should stop.
 */
_must_check_ int build_report(Builds *b, const JobReport *report, uint64_t *ret_next, bool *ret_stop,
                              Err *err);
/* Whether the attempt holds the job now, at this runner: ERR_CONFLICT ("stale") otherwise. Renews its lease.
 */
_must_check_ int build_check_attempt(Builds *b, Attempt attempt, int64_t runner_id, const void *mem,
                                     Job **ret, Err *err);

/* ---- artifacts ---- */
#define ARTIFACT_FOREVER INT64_C(-1)
/* What Pelton itself keeps has paths that begin so. */
#define ARTIFACTS_OWN ".pelton/"

/* Files the row of an artifact whose bytes are kept already, as long as the attempt holds its job:
 * ERR_CONFLICT ("stale") otherwise, and an artifact of that path stays what it was. keep 0: what the server's
 * setting says (nothing below ARTIFACTS_OWN ever goes by that), ARTIFACT_FOREVER: it stays. ERR_UNAVAILABLE:
 * the bytes were removed meanwhile with another's; they must come again. */
_must_check_ int build_keep_artifact(Builds *b, Attempt attempt, int64_t runner_id, const Artifact *artifact,
                                     Err *err);
/* Below which the blob store has the names of the build's artifacts: its commit, or its UUID without one. */
const char *build_artifact_folder(const Build *build);

/* ---- by hand: nothing new starts ---- */
/* Deploys as well. by: who does it, for whom it makes wait; reason may be NULL. Again: the new words hold. */
_must_check_ int build_pause(Builds *b, const char *by, const char *reason, Err *err);
_must_check_ int build_resume(Builds *b, bool *ret_changed, Err *err);
/* The runner takes nothing new, and ends when it has nothing left; by NULL: it works again. Stays so over its
 * restarts. *ret: its row, in mem. ERR_NOT_FOUND. */
_must_check_ int build_drain_runner(Builds *b, const char *name, const char *by, const void *mem,
                                    Runner **ret, Err *err);
/* One that is gone for ever: it is not listed any more, its name is free and its tokens are revoked; the jobs
 * that it has run stay under a name that says so. ERR_NOT_FOUND; ERR_CONFLICT: it has jobs, or calls; the
 * message says what to do. */
_must_check_ int build_remove_runner(Builds *b, const char *name, Err *err);

/* ---- why a job waits ---- */
/* Asked about some jobs at one moment: what they have in common is read once. In mem. */
typedef struct Why Why;
Why *why_new(Builds *b, const void *mem);
/* Why the job waits, in words that a person can act on; "" when it does not. In mem, and of bounded cost,
 * however many jobs are queued. */
_must_check_ int build_why(Why *w, const Job *job, const void *mem, const char **ret, Err *err);

/* The runner, which calls every 10 s, has not called for some time. Never the server's own. */
bool build_runner_away(const Runner *runner, int64_t now);

/* What jobs of the build left for each other, which has ended, is removed. */
_must_check_ int build_workspaces_remove(Builds *b, int64_t build_id, Err *err);

/* What notices' configurations are sealed for. */
#define NOTICE_PLACE "notice"

/* ---- cancel ---- */
/* Jobs that wait are cancelled at once; running ones are asked to stop and end when they have. by: who wants
 * it, for the build's message; "" nobody. Once more changes nothing. ERR_CONFLICT when finished. */
_must_check_ int build_cancel(Builds *b, int64_t build_id, const char *by, Err *err);

/* ---- approval ---- */
/* A build from a fork is trusted from now on: its jobs that waited for that go on, and what repeats it is
 * trusted too; for that one that has finished is approved. by: who says so. Once more changes nothing.
 * ERR_CONFLICT: it is not from a fork. */
_must_check_ int build_approve(Builds *b, int64_t build_id, const char *by, Err *err);

/* ---- leases that end, and what is due ---- */
/* The thread that ends leases and does what is to happen at a time; sleeps until the first of both. Gives
 * every running job a whole lease first, for the server was away; and again when it finds that the whole
 * process slept. */
_must_check_ int build_reaper_start(Builds *b, Err *err);
void build_reaper_stop(Builds *b);
/* Something new is due then (wall clock). */
void build_reaper_wake(Builds *b, int64_t due);
/* Somebody got nothing because the disk is low: once it is not, whoever waits for a job hears of it. */
void build_reaper_await_room(Builds *b);
