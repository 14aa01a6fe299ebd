/* Inside the room: the transitions. A Tx is one transaction and whom to wake when it is through. */
#pragma once

#include "build/build.h"
#include "pipeline/pipeline.h"

typedef struct Tx {
    Builds *b;
    TALLOC_CTX *mem;
    int64_t now;
    bool casual;   /* nobody is promised anything: see db_commit_casually */
    int64_t *fits; /* of each job that became claimable for a runner */
    size_t fit_count;
    bool deploy;       /* one for the deployer did */
    int64_t *unqueued; /* jobs that cannot be claimed any more */
    size_t unqueued_count;
    bool events;     /* the event table has grown */
    int64_t *builds; /* that changed */
    size_t build_count;
    int64_t *runners; /* that should look: a job to stop, a slot free */
    size_t runner_count;
    Attempt *ended; /* whose logs are whole */
    size_t ended_count;
    int64_t due;            /* the earliest timer that was set; INT64_MAX: none */
    int64_t clock_distance; /* that what is stored goes by from its commit on; 0: as before */
    bool notices;           /* the outbox has grown */
    struct Group {
        int64_t project_id;
        const char *name;
    } * groups; /* that may have room now */
    size_t group_count;
} Tx;

_must_check_ int tx_begin(Builds *b, Tx *tx, Err *err);
/* Starts what groups have room for, commits and wakes; on an error rolls back. Always ends the Tx. r: what
 * happened so far (negative: only roll back). */
_must_check_ int tx_end(Tx *tx, int r, Err *err);
/* The job can be claimed now. */
void tx_queued(Tx *tx, const Job *job);
/* The job cannot be claimed any more, if it could: a runner may have kept something for it. */
void tx_unqueued(Tx *tx, int64_t job_id);
void tx_touch_build(Tx *tx, int64_t build_id);
void tx_wake_runner(Tx *tx, int64_t runner_id);
_must_check_ int tx_event(Tx *tx, const char *kind, int64_t build_id, const char *state, Err *err);

typedef struct JobEnd {
    const char *state, *reason, *message;
    int64_t exit_code;
} JobEnd;

/* Ends a job and everything that follows: jobs that needed it are queued or skipped, its deployment ends, its
 * build perhaps too. attempt < 0: it does not run. ERR_CONFLICT when the guard does not hold. A failed
 * attempt that the job's rule wants followed by another ends alone: the job waits for the next. */
_must_check_ int state_job_end(Tx *tx, const Job *job, int64_t attempt, const JobEnd *end, Err *err);
/* What the end of the job makes of its deployment: none for other jobs, none for one that is live. */
_must_check_ int state_deployment_end(Tx *tx, const Job *job, const JobEnd *end, Err *err);
/* A lost lease: queued again, or ended as `lost` after too many. Of lease only id and attempt are looked at.
 * why: what has become of the attempt. */
_must_check_ int state_job_lost(Tx *tx, const Job *lease, const char *why, Err *err);
#define STATE_RUNNER_LOST "its runner was lost"
/* A lease that is given back: queued again, nothing counts. One that was to stop is lost. */
_must_check_ int state_job_handed_back(Tx *tx, const Job *job, Err *err);
/* blocked → queued, whatever its condition: it was decided before. */
_must_check_ int state_job_queue(Tx *tx, const Job *job, Err *err);
/* A job whose needs have all ended (or that has none): queued, or skipped by its condition; then what
 * follows. */
_must_check_ int state_job_ready(Tx *tx, const Job *job, const Build *build, Err *err);
/* The jobs of a build that wait for nothing but this: all blocked still, and never tried. */
_must_check_ int state_build_begin(Tx *tx, const Build *build, Err *err);
/* Ends the build when no job is left. */
_must_check_ int state_build_settle(Tx *tx, int64_t build_id, Err *err);
/* The end of a job that was asked to stop: by whose reason, and with which words. */
_must_check_ int state_stop_words(Tx *tx, const Job *job, JobEnd *end, Err *err);
/* Makes the build end: what waits is cancelled, what runs is asked to stop; the first reason stands. */
_must_check_ int state_build_stop(Tx *tx, const Build *build, const char *reason, const char *message,
                                  Err *err);

/* Of a text with expressions in it that asks for it (the condition or the specification of a job): how the
 * jobs that it needs have ended, with the outputs of those whose outputs it names. *ret_count 0: it does not.
 * In mem. */
_must_check_ int needs_read(Builds *b, int64_t job_id, const char *text, const void *mem, PlanNeed **ret,
                            size_t *ret_count, Err *err);

/* ---- groups: so many builds of a project at a time ---- */
/* The build, which is held, is the newest of its group: what it does to older ones when that is full.
 * cancel: as in PlanConcurrency. It is started with the others, at the end of the Tx. */
_must_check_ int group_enter(Tx *tx, const Build *build, const char *cancel, Err *err);
/* A build of the group has ended. */
void group_left(Tx *tx, const Build *build);
/* Starts the oldest held builds of the groups that were entered or left, as far as their limits go. */
_must_check_ int group_start_held(Tx *tx, Err *err);

/* ERR_CONFLICT: the project's repository was deleted: no build comes of it any more. */
_must_check_ int repo_check(Tx *tx, int64_t project_id, Err *err);

/* How a job comes into its build. */
typedef struct JobOrigin {
    int64_t needs_left; /* how many of what it needs have not ended */
    int64_t made_by;    /* the job that handed it over; 0: the build began with it */
} JobOrigin;
/* Its row; blocked when it waits for anything. Fills in *job. */
_must_check_ int create_job(Tx *tx, const Build *build, const PlanJob *planned, int64_t position,
                            JobOrigin origin, Job *job, Err *err);
/* Mistakes as the message of what has them: a line each with its place. first: when there are none. In mem.
 */
const char *create_problems(const PlanProblems *problems, const char *file, const Err *first,
                            const void *mem);
/* The deployment of a job that deploys, pending. */
_must_check_ int create_deployment(Tx *tx, const Build *build, const Job *job, Err *err);

/* ---- the clock is set ---- */
/* First of all in a Tx: when the wall clock was set since the last one, what is stored follows it. */
_must_check_ int jump_follow(Tx *tx, Err *err);
/* The Tx that followed it is through. */
void jump_followed(const Tx *tx);
/* So that it is noticed while nothing else is written: a Tx for it alone. */
_must_check_ int jump_look(Builds *b, Err *err);
/* At the start of a server, when nobody knows whether it was set meanwhile: nothing is further ahead than if
 * it began now, and nothing behind us has yet to come. */
_must_check_ int jump_at_start(Tx *tx, Err *err);
/* Every lease begins anew: runners could not renew, or what is left of their time is not known. */
_must_check_ int leases_anew(Tx *tx, Err *err);

/* ---- timers: kinds as in store.h ---- */
_must_check_ int timer_set(Tx *tx, const char *kind, int64_t subject_id, int64_t due, Err *err);
/* The next of a cron's times after the Tx's now; none when there is none. */
_must_check_ int timer_set_cron(Tx *tx, const char *kind, int64_t subject_id, const char *cron,
                                const char *timezone, Err *err);
/* Before what is due is done: whether it still is; then it is no more. */
_must_check_ int timer_take(Tx *tx, const Timer *timer, bool *ret, Err *err);
/* What a job's timers have to do with it ends as it leaves the state that it is in. */
_must_check_ int timer_leave(Tx *tx, const Job *job, Err *err);
/* The clock was set by so much: what lasts for a while still lasts as long. */
_must_check_ int timers_shift(Tx *tx, int64_t by, Err *err);
/* Does what is due, each in a transaction of its own. */
_must_check_ int timer_fire_due(Builds *b, Err *err);

/* Due: the time of a build, of a job that waits for a runner. */
_must_check_ int timeout_build_due(Tx *tx, int64_t build_id, Err *err);
_must_check_ int timeout_queue_due(Tx *tx, int64_t job_id, Err *err);

/* ---- retries: a job's own rule, apart from lost attempts ---- */
#define RETRY_PAUSE_MAX (3600 * US_PER_S)
/* Whether the end is to be followed by another attempt by the job's rule, and the pause before it. */
_must_check_ int retry_applies(const Job *job, const JobEnd *end, bool *ret, int64_t *ret_pause, Err *err);
/* How often at most, by the job's rule. */
_must_check_ int retry_times(const Job *job, int64_t *ret, Err *err);
/* The job, which is new in its build, with what was tried of it elsewhere: counted there. */
_must_check_ int retry_counts(Tx *tx, const Job *job, Err *err);
/* The attempt has failed, the job goes on: blocked until its pause is over. */
_must_check_ int retry_begin(Tx *tx, const Job *job, const JobEnd *end, int64_t pause, Err *err);
/* The pause is over. */
_must_check_ int retry_due(Tx *tx, int64_t job_id, Err *err);

/* The job, which the attempt holds at this runner; else ERR_CONFLICT ("stale"). In tx->mem. */
_must_check_ int attempt_holds(Tx *tx, Attempt attempt, int64_t runner_id, Job **ret, Err *err);

/* ---- artifacts: their time, and what they leave ---- */
/* The job's attempt counts for nothing. */
_must_check_ int artifacts_drop(Tx *tx, const Job *job, Err *err);
/* The build has ended. */
_must_check_ int artifacts_ended(Tx *tx, int64_t build_id, Err *err);
/* Rows have become garbage. */
_must_check_ int artifacts_left(Tx *tx, Err *err);
/* Due: the time of some of the build is over. */
_must_check_ int artifacts_due(Tx *tx, int64_t build_id, Err *err);
/* Due: files that no row is of any more. */
_must_check_ int artifacts_sweep(Builds *b, const Timer *timer, Err *err);

/* build_create within a transaction that goes on: for what does not read a repository. In tx->mem. */
_must_check_ int create_in(Tx *tx, const BuildRequest *request, BuildOutcome *ret, Err *err);

/* ---- stored pipelines (pipelines.h) ---- */
/* A schedule's time has come: runs it and sets the next one. */
_must_check_ int pipelines_cron_due(Tx *tx, int64_t trigger_id, Err *err);
/* A ref of a repository of ours changed: runs the pipelines that wait for that. Failures are logged. */
void pipelines_of_push(Builds *b, const BuildRequest *push);

/* ---- schedules of repositories: when builds of the default branch start by themselves ---- */
typedef struct ScheduleDue {
    const Schedule *schedule;
    const Timer *timer;
} ScheduleDue;

/* Whether the ref is the repository's default branch. */
_must_check_ int schedules_default(const Project *project, const char *ref, bool *ret, Err *err);
/* The project has these from now on; plan NULL: none. */
_must_check_ int schedules_set(Tx *tx, int64_t project_id, const Plan *plan, Err *err);
/* Its time has come: builds, and sets the next one. What fails is tried again later. */
_must_check_ int schedule_due(Builds *b, const Timer *timer, Err *err);
/* In the transaction that stores the build: whether it is to be. Then its next time is set. plan: of the
 * request's commit; broken: that has none, for its file has mistakes. */
_must_check_ int schedule_take(Tx *tx, const BuildRequest *request, const Plan *plan, bool broken, bool *ret,
                               Err *err);

/* ---- notices: what is to be said of a build ---- */
_must_check_ int notice_insert_all(Tx *tx, const Plan *plan, const Build *build, Err *err);
_must_check_ int notice_begun(Tx *tx, int64_t build_id, Err *err);
_must_check_ int notice_ended(Tx *tx, int64_t build_id, const char *state, Err *err);

/* ---- approval ---- */
/* What the job, of a build that nobody has approved, does that it must not; NULL: nothing. A constant that
 * goes on from "it". */
const char *approval_lacks(const Build *build, const Job *job);

/* ---- triggers ---- */
typedef struct Compare Compare;
/* Builds what has changed in a hosted repository since we looked, or were told. Adds the number of changed
 * refs. An error with one of them is given when all have been looked at. */
_must_check_ int refs_compare(Builds *b, const Project *project, size_t *count, Err *err);

typedef struct PushState {
    bool seen;     /* it was told before, or … */
    bool found;    /* … found, by comparing refs */
    int64_t build; /* of the time before; 0: none came of it */
    bool late;     /* the ref is elsewhere by now: its next push was told first, or is about to be */
    int64_t times; /* that the ref went the same way before, as far as it was told */
} PushState;

_must_check_ int trigger_look(Builds *b, const BuildRequest *push, const void *mem, PushState *ret, Err *err);
/* The commit that the ref is at in the repository, NULL when it is gone. Starts git for a tag. */
_must_check_ int trigger_ref_now(const Project *project, const char *ref, const void *mem, const char **ret,
                                 Err *err);
/* Of the request's trigger: what happened; "pipeline" for what a stored pipeline makes of it, "manual" for
 * what was asked for. */
const char *trigger_kind(const BuildRequest *request);
_must_check_ int trigger_insert(Tx *tx, const BuildRequest *request, int64_t build_id, const char *outcome,
                                Err *err);
