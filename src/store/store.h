/* The rows and what is done to them; all SQL is in this room, a file an entity. A function that changes
 * something must be called between db_begin and db_commit of the caller, so that what belongs together is one
 * transaction; readers may be called anywhere. Loaded rows live in the given talloc context. */
#pragma once

#include "db/db.h"
#include <stdbool.h>
#include <stdint.h>

/* Opens the database and brings its tables up to date. */
_must_check_ int store_open(const void *mem, const DbOptions *options, Db **ret, Err *err);

/* ---- project ---- */
typedef struct Project {
    int64_t id;
    const char *uuid, *name, *slug, *source, *path, *url;
    int64_t builds_count, last_build_id, created_at;
    int64_t deleted_at; /* its repository is gone, its builds are not; 0: it is there */
} Project;
/* Fills in id and slug (in mem): the name made a label of a host name (lower case, '-' for what is not a
 * letter or digit, at most 50), with four random characters more when another project has that. ERR_EXISTS:
 * the name is taken. */
_must_check_ int store_project_insert(Db *db, Project *p, const void *mem, Err *err);
_must_check_ int store_project_by_name(Db *db, const char *name, const void *mem, Project **ret, Err *err);
_must_check_ int store_project_by_id(Db *db, int64_t id, const void *mem, Project **ret, Err *err);
_must_check_ int store_project_by_uuid(Db *db, const char *uuid, const void *mem, Project **ret, Err *err);
/* The repository is deleted: the name is free, and what is only of use beside it (refs, secrets, schedules,
 * caches, what is known of pull requests) goes; what is live is superseded. Builds stay, under `name`. */
_must_check_ int store_project_delete(Db *db, int64_t id, const char *name, int64_t now, Err *err);
/* Of a deleted one nothing is live any more: its host name is free. */
_must_check_ int store_project_free_slug(Db *db, int64_t id, Err *err);
/* Deleted ones whose host name is not free yet. */
_must_check_ int store_projects_leaving(Db *db, const void *mem, Project **ret, size_t *ret_count, Err *err);
_must_check_ int store_projects(Db *db, const void *mem, Project **ret, size_t *ret_count,
                                Err *err); /* by name */
_must_check_ int store_builds_total(Db *db, int64_t project_id, int64_t *ret,
                                    Err *err); /* 0: of all projects */

/* ---- ref, trigger ---- */
_must_check_ int store_ref_get(Db *db, int64_t project_id, const char *name, const void *mem,
                               const char **ret_commit, Err *err); /* NULL when unknown */
_must_check_ int store_ref_set(Db *db, int64_t project_id, const char *name, const char *commit, Err *err);
_must_check_ int store_ref_delete(Db *db, int64_t project_id, const char *name, Err *err);
typedef struct RefRow {
    const char *name, *commit;
} RefRow;
_must_check_ int store_refs(Db *db, int64_t project_id, const void *mem, RefRow **ret, size_t *ret_count,
                            Err *err);

/* What is known of a pull request, as JSON (build/pull.h); NULL: nothing. */
_must_check_ int store_pull_get(Db *db, int64_t project_id, int64_t number, const void *mem,
                                const char **ret_facts, Err *err);
_must_check_ int store_pull_put(Db *db, int64_t project_id, int64_t number, const char *facts, Err *err);
_must_check_ int store_pull_delete(Db *db, int64_t project_id, int64_t number, Err *err);

/* What the project's flake offers, as JSON; NULL: not known. Of builds the newest says it. */
_must_check_ int store_flake_get(Db *db, int64_t project_id, const void *mem, const char **ret_offers,
                                 Err *err);
_must_check_ int store_flake_put(Db *db, int64_t project_id, int64_t build_id, const char *offers, Err *err);

typedef struct Trigger {
    int64_t project_id, build_id;
    const char *delivery; /* NULL: none */
    const char *kind;     /* "push", "tag", "pull_request", "found" (by comparing refs), "delete", "manual",
                           * "schedule", "rerun" */
    const char *ref, *old_rev, *new_rev, *pusher, *outcome;
} Trigger;
/* The trigger of that delivery: its build_id (0: none), kind, old_rev and outcome. ERR_NOT_FOUND. */
_must_check_ int store_trigger_by_delivery(Db *db, int64_t project_id, const char *delivery, const void *mem,
                                           Trigger **ret, Err *err);
_must_check_ int store_trigger_insert(Db *db, const Trigger *t, int64_t *ret_id, Err *err);
/* The newest push that brought the ref to new_rev (old_rev: from there; NULL: from anywhere): its build_id
 * (0: none), kind and old_rev. ERR_NOT_FOUND. */
_must_check_ int store_trigger_last(Db *db, int64_t project_id, const char *ref, const char *old_rev,
                                    const char *new_rev, const void *mem, Trigger **ret, Err *err);
/* How often pushes, deletions too, took the ref … */
typedef struct TriggerWay {
    int64_t times;         /* … from old_rev to new_rev */
    int64_t reached, left; /* … to old_rev, where it may have been from the first; and away from there */
} TriggerWay;
_must_check_ int store_trigger_way(Db *db, int64_t project_id, const char *ref, const char *old_rev,
                                   const char *new_rev, const void *mem, TriggerWay *ret, Err *err);

/* ---- build ---- */
typedef struct Build {
    int64_t id, project_id;
    const char *project; /* its name */
    const char *uuid, *commit, *ref, *branch, *event, *planner, *author, *email, *subject, *pusher, *env;
    const char *state, *reason, *message;
    int64_t jobs_left, created_at, started_at, finished_at;
    const char *concurrency_group; /* of its project's builds, so many run at a time; "" none */
    int64_t concurrency_limit;
    bool held;                              /* its group is full: its jobs wait as blocked */
    const char *stop_reason, *stop_message; /* why it was made to end: "user", "superseded", "timeout" */
    int64_t timeout;                        /* µs from its start; 0: none */
    int64_t rerun_of;                       /* the build that it repeats; 0: none */
    int64_t retries, max_retries;           /* of its jobs together, by their rules; kept as jobs come */
    const char *schedule;                   /* of event "schedule": which one; NULL or "": none */
    const char *pull;        /* of a pull request: what was known of it, as JSON (build/pull.h); "" */
    bool untrusted;          /* it comes from somebody else's fork, and nobody has approved it */
    const char *approved_by; /* who has; "" */
    const char *inputs;      /* given to it, as JSON; "" none */
    const char *old_rev;     /* of a push: what the ref was before; "" */
} Build;
_must_check_ int store_build_insert(Db *db, Build *b, Err *err); /* fills in id; counts it in its project */
/* Its jobs have been tried again so often more, and may be. */
_must_check_ int store_build_count_retries(Db *db, int64_t id, int64_t retries, int64_t max_retries,
                                           Err *err);
/* When it finished; 0: it has not. ERR_NOT_FOUND. */
_must_check_ int store_build_finished_at(Db *db, int64_t id, int64_t *ret, Err *err);
_must_check_ int store_build_load(Db *db, int64_t id, const void *mem, Build **ret, Err *err);
/* Newest first; project_id 0: all; before 0: from the newest. */
_must_check_ int store_builds(Db *db, int64_t project_id, int64_t before, int64_t limit, const void *mem,
                              Build **ret, size_t *ret_count, Err *err);
/* The project's that have not ended, oldest first, at most limit. */
_must_check_ int store_builds_active(Db *db, int64_t project_id, int64_t limit, const void *mem,
                                     int64_t **ret, size_t *ret_count, Err *err);
/* queued → running, once; *ret_changed tells. */
_must_check_ int store_build_start(Db *db, int64_t id, int64_t now, bool *ret_changed, Err *err);
_must_check_ int store_build_unhold(Db *db, int64_t id, Err *err);
/* Trusted from now on. */
_must_check_ int store_build_approve(Db *db, int64_t id, const char *by, Err *err);
/* Why it is made to end; the first time stands. */
_must_check_ int store_build_request_stop(Db *db, int64_t id, const char *reason, const char *message,
                                          Err *err);
/* Of the builds of a project's group that have not ended: all, oldest first; how many are held, or are not;
 * the held one that is next (NULL: none). */
_must_check_ int store_group_builds(Db *db, int64_t project_id, const char *group, const void *mem,
                                    Build **ret, size_t *ret_count, Err *err);
_must_check_ int store_group_count(Db *db, int64_t project_id, const char *group, bool held, int64_t *ret,
                                   Err *err);
/* The builds of its group that are before it: how many, and the last of them. */
typedef struct GroupAhead {
    int64_t count, last;
} GroupAhead;
_must_check_ int store_group_ahead(Db *db, const Build *build, GroupAhead *ret, Err *err);
_must_check_ int store_group_next(Db *db, int64_t project_id, const char *group, const void *mem, Build **ret,
                                  Err *err);
_must_check_ int store_build_jobs_ended(Db *db, int64_t id, int64_t count, int64_t *ret_left, Err *err);
_must_check_ int store_build_jobs_added(Db *db, int64_t id, int64_t count, Err *err);
/* How the jobs of a build stand. */
typedef struct BuildTally {
    int64_t failed, cancelled;
    int64_t allowed; /* failed, and may; not counted in failed */
} BuildTally;
_must_check_ int store_build_tally(Db *db, int64_t id, BuildTally *ret, Err *err);
_must_check_ int store_build_finish(Db *db, int64_t id, const char *state, const char *reason,
                                    const char *message, int64_t now, Err *err);

/* ---- signature: of the commit that was pushed ---- */
typedef struct Signature {
    const char *status; /* git's letter: G good, U good and not trusted, X, Y expired, R revoked, B bad, E not
                         * to be checked, N none */
    const char *key, *signer; /* "": not known */
} Signature;
_must_check_ int store_signature_put(Db *db, int64_t build_id, const Signature *s, Err *err);
/* Of a build that repeats another one. */
_must_check_ int store_signature_copy(Db *db, int64_t from_build, int64_t to_build, Err *err);
_must_check_ int store_signature_load(Db *db, int64_t build_id, const void *mem, Signature **ret,
                                      Err *err); /* NULL: nobody has looked */

/* ---- fit: what jobs ask of a runner; a row never changes ---- */
typedef struct Fit {
    int64_t id;
    const char *executor, *arch; /* arch "": any */
    const char *labels;          /* JSON object of texts, keys sorted, compact: "{}" none */
    int64_t cpu, memory, disk;   /* thousandths, bytes, bytes; 0: none */
} Fit;
/* Finds or makes the row; fills in id. */
_must_check_ int store_fit_put(Db *db, Fit *fit, Err *err);
_must_check_ int store_fit_load(Db *db, int64_t id, const void *mem, Fit **ret, Err *err);

/* ---- lane: the queued jobs of one fit, priority and project; there is a row while there is a job ---- */
typedef struct LaneHead {
    int64_t fit_id, priority, project_id;
    int64_t served_at; /* when a job of the project was claimed last, as a place in the order of turns */
    int64_t job_id;    /* the oldest */
} LaneHead;
/* The next fit that a queued job asks, by number; 0: none. */
_must_check_ int store_lane_next_fit(Db *db, int64_t after, int64_t *ret, Err *err);
/* The fit's next lane: by priority, then the project that was served longest ago. ERR_NOT_FOUND. */
_must_check_ int store_lane_head(Db *db, int64_t fit_id, LaneHead *ret, Err *err);

/* How many queued jobs will be claimed before this one, as things stand, of those that ask the same; `limit`
 * stands for that many or more, and bounds the cost. */
_must_check_ int store_lane_ahead(Db *db, int64_t job_id, int64_t limit, int64_t *ret, Err *err);

/* What is queued, counted: of each fit, or of each project, the most first. Reads a whole index. */
typedef struct QueueCount {
    int64_t id, jobs; /* of the fit or the project */
    const char *project;
} QueueCount;
_must_check_ int store_queue_by_fit(Db *db, int64_t limit, const void *mem, QueueCount **ret,
                                    size_t *ret_count, Err *err);
_must_check_ int store_queue_by_project(Db *db, int64_t limit, const void *mem, QueueCount **ret,
                                        size_t *ret_count, Err *err);
_must_check_ int store_queue_total(Db *db, int64_t *ret_queued, int64_t *ret_running, Err *err);

/* ---- pause: nothing new starts ---- */
typedef struct Pause {
    const char *by, *reason; /* reason "": none given */
    int64_t since;
} Pause;
_must_check_ int store_pause_load(Db *db, const void *mem, Pause **ret, Err *err); /* NULL: it is not */
/* Again: by whom and why are new, since when stays. */
_must_check_ int store_pause_set(Db *db, const Pause *pause, Err *err);
_must_check_ int store_pause_clear(Db *db, bool *ret_changed, Err *err);

/* ---- job ---- */
typedef struct Job {
    int64_t id, build_id;
    int64_t position;
    const char *uuid, *name, *kind, *executor, *arch, *condition, *spec, *state, *reason, *message,
        *stop_reason;
    int64_t attempt, needs_left, priority, runner_id, lease_until, exit_code;
    int64_t created_at, queued_at, started_at, finished_at;
    int64_t project_id, fit_id;
    int64_t copied_from;     /* the job of another build whose result this is; 0: none */
    const char *retry;       /* its own rule as JSON {"times","on":[reasons],"backoff":µs}; "" none */
    int64_t retries, losses; /* by that rule; lost attempts since the last of them */
    int64_t allow_failure;   /* 1: when it fails, all goes on as if it had gone well */
    int64_t queue_timeout;   /* µs that it may wait when nothing but a runner is missing; 0: for ever */
    int64_t outputs;         /* how many it has handed over; see store_outputs */
    int64_t made_by;         /* the job of its build that handed it over; 0: the build began with it */
} Job;
/* Fills in id; and fit_id where it is 0: what its executor and architecture alone ask. */
_must_check_ int store_job_insert(Db *db, Job *j, Err *err);
/* A new row like job `id`, which has ended, in another build (where made_by is another job): copied from it,
 * or from what it was copied from. */
_must_check_ int store_job_copy(Db *db, int64_t id, const char *uuid, int64_t build_id, int64_t made_by,
                                int64_t *ret_id, Err *err);
/* It needs so many more that have not ended; it is blocked. */
_must_check_ int store_job_needs_more(Db *db, int64_t id, int64_t count, Err *err);
_must_check_ int store_job_need_insert(Db *db, int64_t job_id, int64_t need_id, Err *err);
_must_check_ int store_job_load(Db *db, int64_t id, const void *mem, Job **ret, Err *err);
_must_check_ int store_jobs_of_build(Db *db, int64_t build_id, const void *mem, Job **ret, size_t *ret_count,
                                     Err *err);
/* The same in the order in which they came to be: by id. */
_must_check_ int store_jobs_as_made(Db *db, int64_t build_id, const void *mem, Job **ret, size_t *ret_count,
                                    Err *err);
/* The first job of the build that came to this state; one that may fail only when there is no other. */
_must_check_ int store_job_first_in_state(Db *db, int64_t build_id, const char *state, const void *mem,
                                          Job **ret, Err *err);
_must_check_ int store_job_by_name(Db *db, int64_t build_id, const char *name, const void *mem, Job **ret,
                                   Err *err);
/* The first at or behind the position: jobs may be missing in between, and get another one (store_job_move).
 */
_must_check_ int store_job_at(Db *db, int64_t build_id, int64_t position, const void *mem, Job **ret,
                              Err *err);
_must_check_ int store_job_move(Db *db, int64_t id, int64_t position, Err *err);
/* Their names, by id. */
_must_check_ int store_job_names(Db *db, int64_t build_id, const void *mem, const char ***ret,
                                 size_t *ret_count, Err *err);
_must_check_ int store_job_count(Db *db, int64_t build_id, int64_t *ret, Err *err);
/* Names of the jobs that this one still waits for, by position, at most limit. */
_must_check_ int store_job_open_needs(Db *db, int64_t job_id, int64_t limit, const void *mem,
                                      const char ***ret, size_t *ret_count, Err *err);
/* The first job of the build that is queued, else blocked; NULL: none. */
_must_check_ int store_job_first_waiting(Db *db, int64_t build_id, const void *mem, Job **ret, Err *err);
/* Pairs (job, need) of a build, by job. */
typedef struct JobNeed {
    int64_t job_id, need_id;
} JobNeed;
_must_check_ int store_job_needs_of_build(Db *db, int64_t build_id, const void *mem, JobNeed **ret,
                                          size_t *ret_count, Err *err);
/* The jobs that one needs, by name: how they have ended. */
typedef struct NeedState {
    const char *name, *state;
    int64_t log_job, attempt, outputs; /* what it has handed over, and under which job and attempt */
} NeedState;
_must_check_ int store_job_need_states(Db *db, int64_t job_id, const void *mem, NeedState **ret,
                                       size_t *ret_count, Err *err);
/* Takes one off the needs_left of the blocked jobs that need this one; gives the ids of those that have none
 * left. */
_must_check_ int store_job_unblock(Db *db, int64_t need_id, const void *mem, int64_t **ret, size_t *ret_count,
                                   Err *err);
/* How a job's needs ended: whether one failed that may not (or was skipped for it), whether one was
 * cancelled. */
_must_check_ int store_job_needs_outcome(Db *db, int64_t job_id, bool *ret_failed, bool *ret_cancelled,
                                         Err *err);
/* Why such an outcome: the first of the jobs that it needs and that did not go well, one that failed before
 * others; how many there are. ERR_NOT_FOUND: none. */
typedef struct NeedMissed {
    const char *name, *state;
    int64_t count;
} NeedMissed;
_must_check_ int store_job_need_missed(Db *db, int64_t job_id, const void *mem, NeedMissed **ret, Err *err);

/* queued → running as the next attempt, leased; its project has had its turn. ERR_CONFLICT when it was not
 * queued. */
_must_check_ int store_job_lease(Db *db, int64_t id, int64_t runner_id, int64_t until, int64_t now,
                                 int64_t *ret_attempt, Err *err);
/* Renews what this runner holds at this attempt; *ret_stop (in mem): NULL not held any more, "" goes on, else
 * why to stop. */
_must_check_ int store_job_renew(Db *db, int64_t id, int64_t attempt, int64_t runner_id, int64_t until,
                                 const void *mem, const char **ret_stop, Err *err);
_must_check_ int store_job_leases(Db *db, int64_t runner_id, const void *mem, Job **ret, size_t *ret_count,
                                  Err *err);
/* What a runner holds: how many jobs, and what they ask together. */
typedef struct RunnerHeld {
    int64_t runner_id, jobs, cpu, memory, disk;
    int64_t newest; /* when the newest of them was leased; 0: it holds none */
} RunnerHeld;
_must_check_ int store_runner_held(Db *db, int64_t runner_id, RunnerHeld *ret, Err *err);
/* Of every runner that holds something. */
_must_check_ int store_runners_held(Db *db, const void *mem, RunnerHeld **ret, size_t *ret_count, Err *err);
/* What keeps the runner from being given anything. */
typedef struct ClaimBar {
    bool paused, drained;
} ClaimBar;
_must_check_ int store_claim_bar(Db *db, int64_t runner_id, ClaimBar *ret, Err *err);
/* Running jobs whose lease ended before `now`, at most limit. */
_must_check_ int store_job_expired(Db *db, int64_t now, int64_t limit, const void *mem, Job **ret,
                                   size_t *ret_count, Err *err);
/* Every running job's lease ends then. */
_must_check_ int store_job_leases_anew(Db *db, int64_t until, Err *err);
_must_check_ int store_job_next_expiry(Db *db, int64_t *ret, Err *err); /* 0: nothing runs */
/* Any state but an ended one → an ended one; attempt < 0: whatever it is. ERR_CONFLICT when the guard does
 * not hold. */
_must_check_ int store_job_end(Db *db, int64_t id, int64_t attempt, const char *state, const char *reason,
                               const char *message, int64_t exit_code, int64_t now, Err *err);
_must_check_ int store_job_queue(Db *db, int64_t id, int64_t now, Err *err); /* blocked → queued */
/* The clock was set by so much: since when queued jobs are. */
_must_check_ int store_jobs_queued_shift(Db *db, int64_t by, Err *err);
/* running at this attempt → queued again; the reason "lost" counts as one of its losses. */
_must_check_ int store_job_requeue(Db *db, int64_t id, int64_t attempt, const char *reason,
                                   const char *message, int64_t now, Err *err);
/* running at this attempt, which has failed → blocked, one retry more and no losses. */
_must_check_ int store_job_retry(Db *db, int64_t id, int64_t attempt, const char *reason, const char *message,
                                 int64_t exit_code, int64_t now, Err *err);
_must_check_ int store_job_request_stop(Db *db, int64_t id, const char *reason, Err *err);

typedef struct Step {
    int64_t position;
    const char *name, *state;
    int64_t exit_code, started_at, finished_at, log_start, log_end;
    const char *reason; /* of one that failed: a job's, "exit", "timeout" …; "": its job's own */
} Step;
_must_check_ int store_step_put(Db *db, int64_t job_id, int64_t attempt, const Step *s, Err *err);
_must_check_ int store_steps(Db *db, int64_t job_id, int64_t attempt, const void *mem, Step **ret,
                             size_t *ret_count, Err *err);

typedef struct AttemptRow {
    int64_t job_id, number, runner_id;
    const char *runner;                   /* its name */
    const char *state, *reason, *message; /* "running", or how it ended; a lost one: "failed", "lost" */
    int64_t exit_code, started_at, finished_at;
} AttemptRow;
_must_check_ int store_attempt_load(Db *db, int64_t job_id, int64_t number, const void *mem, AttemptRow **ret,
                                    Err *err);
_must_check_ int store_attempts(Db *db, int64_t job_id, const void *mem, AttemptRow **ret, size_t *ret_count,
                                Err *err); /* the first one first */

/* ---- output: what a job's steps hand over ---- */
typedef struct Output {
    const char *name, *value;
} Output;
/* Of an attempt that has ended; once a name. */
_must_check_ int store_output_put(Db *db, int64_t job_id, int64_t attempt, const Output *output, Err *err);
/* The attempt that counts has so many. */
_must_check_ int store_job_has_outputs(Db *db, int64_t id, int64_t count, Err *err);
_must_check_ int store_outputs(Db *db, int64_t job_id, int64_t attempt, const void *mem, Output **ret,
                               size_t *ret_count, Err *err); /* by name */

/* ---- timer ---- */
/* Something that is to happen at a time; one a kind and subject. */
typedef struct Timer {
    const char *kind;   /* "build": its time is over; "queue": a job has waited too long for a runner;
                         * "retry": the pause before a job's next attempt is over; "cron": a stored
                         * pipeline's trigger; "schedule": a project's; "artifacts": the time of some of a
                         * build is over; "garbage": there is some */
    int64_t subject_id; /* of the build, the job, the trigger, the schedule; of garbage 0 */
    int64_t due_at;
} Timer;
_must_check_ int store_timer_set(Db *db, const Timer *timer, Err *err); /* instead of the one before */
/* *ret_was (may be NULL): there was one. */
_must_check_ int store_timer_drop(Db *db, const char *kind, int64_t subject_id, bool *ret_was, Err *err);
/* Drops it if it is due at just this time still. */
_must_check_ int store_timer_take(Db *db, const Timer *timer, bool *ret_was, Err *err);
_must_check_ int store_timer_due(Db *db, const char *kind, int64_t subject_id, int64_t *ret,
                                 Err *err);                        /* 0: none */
_must_check_ int store_timer_next(Db *db, int64_t *ret, Err *err); /* when the first is due; 0: none */
_must_check_ int store_timers_before(Db *db, int64_t time, int64_t limit, const void *mem, Timer **ret,
                                     size_t *ret_count, Err *err);

/* The clock was set by so much: all of the kind. */
_must_check_ int store_timers_shift(Db *db, const char *kind, int64_t by, Err *err);
/* What lasts for a while: none lasts longer from now on than it is to; retry_most: the pause before a retry.
 */
_must_check_ int store_timers_cap(Db *db, int64_t now, int64_t retry_most, Err *err);

/* ---- schedule: a time that builds of a project start at, with its timer; by name one a project ---- */
typedef struct Schedule {
    int64_t id, project_id;
    const char *name, *cron, *timezone;
    const char *message;            /* why nothing was built the last time, or cannot be; "" */
    int64_t last_at, last_build_id; /* 0: not yet; no build */
    int64_t next_at;                /* filled in by reading; 0: none */
} Schedule;
_must_check_ int store_schedule_insert(Db *db, Schedule *s, Err *err); /* fills in id */
/* And its timer. */
_must_check_ int store_schedule_drop(Db *db, int64_t id, Err *err);
_must_check_ int store_schedule_load(Db *db, int64_t id, const void *mem, Schedule **ret, Err *err);
_must_check_ int store_schedules(Db *db, int64_t project_id, const void *mem, Schedule **ret,
                                 size_t *ret_count, Err *err); /* by name */
/* Its time came: what became of it. */
_must_check_ int store_schedule_note(Db *db, int64_t id, int64_t at, int64_t build_id, const char *message,
                                     Err *err);
/* Only the message. */
_must_check_ int store_schedule_excuse(Db *db, int64_t id, const char *message, Err *err);

/* ---- artifact: a file that a job of a build keeps ---- */
typedef struct Artifact {
    int64_t id, build_id, job_id;
    const char *name; /* of the artifact that it is a file of; "" (or NULL, when it is put): none */
    const char *path, *sha256, *job;
    int64_t size, mode;
    int64_t keep; /* µs after the build's end; 0: for ever */
    int64_t created_at, expires_at;
} Artifact;
/* Instead of what the job had at that name and path. */
_must_check_ int store_artifact_put(Db *db, const Artifact *a, bool *ret_replaced, Err *err);
_must_check_ int store_artifacts(Db *db, int64_t build_id, const void *mem, Artifact **ret, size_t *ret_count,
                                 Err *err); /* by path, then by the jobs' order in the file */
/* That of the newest of the commit's builds that has one of that path. */
_must_check_ int store_artifact_of_commit(Db *db, const char *commit, const char *path, const void *mem,
                                          Artifact **ret, Err *err);
typedef struct ArtifactWish {
    int64_t build_id;
    const char *path, *name, *job; /* name, job NULL: any */
} ArtifactWish;
/* Of several that of the last job in the file. */
_must_check_ int store_artifact_load(Db *db, const ArtifactWish *wish, const void *mem, Artifact **ret,
                                     Err *err);
/* Those of the jobs that the job needs, also through others: name and job of the wish "": any; a job is also
 * all of its matrix. At most limit, in the order of store_artifacts; without what Pelton itself keeps. */
_must_check_ int store_artifacts_needed(Db *db, const ArtifactWish *wish, int64_t job_id, int64_t limit,
                                        const void *mem, Artifact **ret, size_t *ret_count, Err *err);
_must_check_ int store_artifact_by_id(Db *db, int64_t id, const void *mem, Artifact **ret, Err *err);
_must_check_ int store_artifact_count(Db *db, int64_t build_id, int64_t *ret, Err *err);
/* What the job has brought, as another job's in another build: the same bytes. */
_must_check_ int store_artifacts_copy(Db *db, const Job *from, int64_t build_id, int64_t job_id, Err *err);
/* Those that the job has brought: its attempt counts for nothing. */
_must_check_ int store_artifacts_drop(Db *db, int64_t job_id, int64_t *ret_count, Err *err);
/* What the build's jobs left for each other, paths below `.pelton/workspace/`. */
_must_check_ int store_artifacts_drop_workspaces(Db *db, int64_t build_id, int64_t *ret_count, Err *err);

/* The build has ended: from now on the time of its artifacts runs. *ret_first: when the first one's is over;
 * 0: never. */
_must_check_ int store_artifacts_ended(Db *db, int64_t build_id, int64_t now, int64_t *ret_first, Err *err);
_must_check_ int store_artifacts_first(Db *db, int64_t build_id, int64_t *ret, Err *err);
/* Those whose time is over, at most limit, go. */
_must_check_ int store_artifacts_expire(Db *db, int64_t build_id, int64_t now, int64_t limit, Err *err);
/* What has gone so, by job and name. */
typedef struct ArtifactExpired {
    int64_t build_id;
    const char *job, *name;
    int64_t keep, files, size, removed_at;
} ArtifactExpired;
_must_check_ int store_artifacts_expired(Db *db, int64_t build_id, const void *mem, ArtifactExpired **ret,
                                         size_t *ret_count, Err *err);
_must_check_ int store_artifacts_needed_expired(Db *db, const ArtifactWish *wish, int64_t job_id,
                                                const void *mem, ArtifactExpired **ret, size_t *ret_count,
                                                Err *err); /* as store_artifacts_needed */
_must_check_ int store_artifacts_expired_of_commit(Db *db, const char *commit, const void *mem,
                                                   ArtifactExpired **ret, size_t *ret_count,
                                                   Err *err); /* the newest first */

/* Bytes, and their name among the files of a commit (or of a build's UUID), that a row which is gone was of.
 */
typedef struct ArtifactGarbage {
    int64_t id;
    const char *sha256, *folder, *path;
} ArtifactGarbage;
_must_check_ int store_garbage(Db *db, int64_t limit, const void *mem, ArtifactGarbage **ret,
                               size_t *ret_count, Err *err); /* the oldest first */
/* Whether a row, what is live, or newer garbage is of the same bytes. */
_must_check_ int store_garbage_bytes_used(Db *db, const ArtifactGarbage *g, int64_t *ret, Err *err);
/* Whether newer garbage has the same name. */
_must_check_ int store_garbage_name_used(Db *db, const ArtifactGarbage *g, int64_t *ret, Err *err);
/* The sha256 of the newest row of the same name; NULL: there is none. */
_must_check_ int store_garbage_name_bytes(Db *db, const ArtifactGarbage *g, const void *mem, const char **ret,
                                          Err *err);
_must_check_ int store_garbage_done(Db *db, int64_t id, Err *err);

/* ---- token ---- */
typedef struct Token {
    int64_t id, runner_id;
    int64_t parent_id; /* of a session: the token that opened it */
    const char *name, *role, *kind;
    int64_t created_at, expires_at, revoked_at;
} Token;
_must_check_ int store_token_insert(Db *db, Token *t, const char *hash, Err *err); /* fills in id */
_must_check_ int store_token_by_hash(Db *db, const char *hash, const void *mem, Token **ret, Err *err);
_must_check_ int store_tokens(Db *db, const void *mem, Token **ret, size_t *ret_count,
                              Err *err); /* sessions left out */
/* Whether it is an admin's token that holds, and no other is. */
_must_check_ int store_token_is_last_admin(Db *db, int64_t id, int64_t now, bool *ret, Err *err);
/* And the sessions that it opened. ERR_NOT_FOUND. */
_must_check_ int store_token_revoke(Db *db, int64_t id, int64_t now, Err *err);
/* All that the runner has. */
_must_check_ int store_tokens_revoke_runner(Db *db, int64_t runner_id, int64_t now, Err *err);
/* Forgets sessions that have expired. */
_must_check_ int store_sessions_prune(Db *db, int64_t now, Err *err);

/* ---- runner ---- */
#define SERVER_RUNNER "server" /* the name of the server's own, which deploys */
typedef struct Runner {
    int64_t id;
    const char *uuid, *name, *arch, *labels, *executors, *version; /* labels, executors: JSON */
    int64_t slots, created_at, last_seen;
    int64_t cpu, memory, disk; /* thousandths, bytes, bytes; 0: unknown */
    const char *drained_by;    /* "": it takes work */
    int64_t drained_at;
} Runner;
/* By name: a new row, or the old one with the new facts; fills in id and uuid. */
_must_check_ int store_runner_put(Db *db, Runner *r, const void *mem, Err *err);
_must_check_ int store_runner_by_id(Db *db, int64_t id, const void *mem, Runner **ret, Err *err);
_must_check_ int store_runner_by_name(Db *db, const char *name, const void *mem, Runner **ret, Err *err);
/* Drained from now on, or (by NULL) not any more; *ret_changed tells whether it was otherwise. */
_must_check_ int store_runner_drain(Db *db, int64_t id, const char *by, int64_t now, bool *ret_changed,
                                    Err *err);
/* Without those that were removed. */
_must_check_ int store_runners(Db *db, const void *mem, Runner **ret, size_t *ret_count, Err *err);
/* It keeps its row for the jobs that it has run, under another name. */
_must_check_ int store_runner_remove(Db *db, int64_t id, const char *name, int64_t now, Err *err);
_must_check_ int store_runner_seen(Db *db, int64_t id, int64_t now, Err *err);
/* The clock was set by so much. */
_must_check_ int store_runners_seen_shift(Db *db, int64_t by, Err *err);
/* None was seen after now. */
_must_check_ int store_runners_seen_cap(Db *db, int64_t now, Err *err);

/* ---- deployment ---- */
typedef struct Deployment {
    int64_t id, project_id, build_id, job_id;
    const char *uuid, *project, *slug, *commit, *branch, *status, *sha256, *spec, *message;
    const char *url;              /* where it went live; "": it never did */
    const char *subject, *author; /* of its build's commit */
    int64_t size, created_at, started_at, completed_at;
} Deployment;
_must_check_ int store_deployment_insert(Db *db, Deployment *d, Err *err); /* fills in id */
_must_check_ int store_deployment_by_job(Db *db, int64_t job_id, const void *mem, Deployment **ret, Err *err);
_must_check_ int store_deployment_by_uuid(Db *db, const char *uuid, const void *mem, Deployment **ret,
                                          Err *err);
_must_check_ int store_deployment_live(Db *db, int64_t project_id, const void *mem, Deployment **ret,
                                       Err *err); /* NULL */
_must_check_ int store_deployments(Db *db, int64_t project_id, int64_t limit, const void *mem,
                                   Deployment **ret, size_t *ret_count, Err *err); /* newest first; 0: all */
/* Of every project the one that is live; however many there were. */
_must_check_ int store_deployments_live(Db *db, const void *mem, Deployment **ret, size_t *ret_count,
                                        Err *err);
/* From one of the states before the end to `status`; fills what is not NULL. ERR_CONFLICT when it has ended.
 */
_must_check_ int store_deployment_set(Db *db, int64_t id, const char *status, const char *sha256,
                                      int64_t size, const char *url, const char *message, int64_t now,
                                      Err *err);
/* pending → building: the build of it has begun. Fine when it deploys nothing. */
_must_check_ int store_deployment_building(Db *db, int64_t build_id, int64_t now, Err *err);
/* live → superseded by nothing; ERR_CONFLICT: it is not live. */
_must_check_ int store_deployment_stop(Db *db, int64_t id, const char *message, Err *err);
_must_check_ int store_deployment_supersede(Db *db, int64_t project_id, Err *err); /* live → superseded */

/* ---- event ---- */
typedef struct EventRow {
    int64_t id, build_id;
    const char *kind, *state;
} EventRow;
_must_check_ int store_event_insert(Db *db, const char *kind, int64_t build_id, const char *state,
                                    int64_t now, Err *err);
_must_check_ int store_events_after(Db *db, int64_t after, int64_t limit, const void *mem, EventRow **ret,
                                    size_t *ret_count, Err *err);
_must_check_ int store_event_last(Db *db, int64_t *ret, Err *err); /* 0: none */

/* ---- secret: of a project, or (project_id 0) of its whole organisation; sealed (secret/ring.h) ---- */
#define STORE_DEFAULT_ORG INT64_C(1)
typedef struct Secret {
    int64_t id, org_id, project_id;
    const char *name, *sealed, *updated_by;
    int64_t created_at, updated_at;
} Secret;
/* Makes it, or replaces its value. */
_must_check_ int store_secret_put(Db *db, const Secret *s, Err *err);
_must_check_ int store_secret_load(Db *db, int64_t org_id, int64_t project_id, const char *name,
                                   const void *mem, Secret **ret, Err *err);
_must_check_ int store_secrets(Db *db, int64_t org_id, int64_t project_id, const void *mem, Secret **ret,
                               size_t *ret_count, Err *err); /* by name */
_must_check_ int store_secrets_all(Db *db, const void *mem, Secret **ret, size_t *ret_count, Err *err);
_must_check_ int store_secret_reseal(Db *db, int64_t id, const char *sealed, Err *err);
_must_check_ int store_secret_delete(Db *db, int64_t org_id, int64_t project_id, const char *name,
                                     Err *err); /* ERR_NOT_FOUND */
/* ---- cache: what jobs of a project keep for later ones; scope: the full ref that it was made on, " at " and
 * the commit for one from a fork ---- */
typedef struct Cache {
    int64_t id, project_id, size, created_at, used_at;
    const char *uuid, *scope, *key, *xxh64;
} Cache;
/* Fills in id. ERR_EXISTS: the first one stays. */
_must_check_ int store_cache_insert(Db *db, Cache *c, Err *err);
/* ERR_NOT_FOUND: none. By prefix: the newest. */
_must_check_ int store_cache_by_key(Db *db, int64_t project_id, const char *scope, const char *key,
                                    const void *mem, Cache **ret, Err *err);
_must_check_ int store_cache_by_prefix(Db *db, int64_t project_id, const char *scope, const char *prefix,
                                       const void *mem, Cache **ret, Err *err);
_must_check_ int store_cache_load(Db *db, int64_t id, const void *mem, Cache **ret, Err *err);
_must_check_ int store_cache_by_uuid(Db *db, const char *uuid, const void *mem, Cache **ret, Err *err);
_must_check_ int store_caches(Db *db, int64_t project_id, const void *mem, Cache **ret, size_t *ret_count,
                              Err *err); /* used last first */
/* project_id 0: of all projects. */
_must_check_ int store_cache_oldest(Db *db, int64_t project_id, const void *mem, Cache **ret, Err *err);
_must_check_ int store_cache_total(Db *db, int64_t project_id, int64_t *ret, Err *err);
_must_check_ int store_cache_used(Db *db, int64_t id, int64_t now, Err *err);
_must_check_ int store_cache_delete(Db *db, int64_t id, Err *err);
