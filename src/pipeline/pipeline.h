/* From what a commit holds to the plan of a build: jobs with needs edges. Planners: `.pelton.yml`; stages (a
 * stored pipeline, `pelton-stages.yml`); detection (a Makefile). Later ones (recipes, flakes) make the same
 * Plan. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* What a step wrote to $PELTON_OUTPUT. */
typedef struct PlanOutput {
    const char *name, *value;
} PlanOutput;

/* How a job that another one needs has ended; for expressions that are evaluated when it has. */
typedef struct PlanNeed {
    const char *job;
    const char *state; /* "success", "failed", "skipped", "cancelled" */
    const PlanOutput *outputs;
    size_t output_count;
} PlanNeed;

/* The rest of the commit, for what a pipeline file asks of it. */
typedef struct PlanSource {
    void *data;
    /* A file by its path from the root, in mem. ERR_NOT_FOUND; ERR_TOO_LARGE. */
    int (*file)(void *data, const char *path, const void *mem, const char **ret, size_t *ret_len, Err *err);
    /* The paths of the files that the event has changed, a pull request since it left its target; in mem. Any
     * error: it is not known. */
    int (*changed)(void *data, const void *mem, const char ***ret, size_t *ret_count, Err *err);
} PlanSource;

typedef struct PlanContext {
    const char *project, *branch, *ref, *commit;
    const char *event;    /* "push", "tag", "manual", "pull_request", "schedule" */
    const char *schedule; /* the one of that event, by its name; NULL: none, or not known */
    const char *target;   /* the branch that a pull request is for; NULL: it is none, or not known … */
    const char *pull_number, *pull_title; /* … as these */
    bool allow_shell;                     /* the server lets pipelines use the shell executor */
    bool no_deploy;                       /* nothing is deployed, whatever the file says */
    const PlanSource *source;             /* NULL: there is only the pipeline file */
    const char *message, *author;         /* of the commit; NULL: unknown */
    const char *inputs;    /* given by hand: JSON object of texts, numbers and truths; NULL: nothing */
    const PlanNeed *needs; /* later only: not known to the planner */
    size_t need_count;
    const PlanOutput *outputs; /* later only: of the job's own steps so far */
    size_t output_count;
    /* hash() of the workspace's files that fit the patterns (NULL-terminated), for who has a workspace */
    int (*hash)(void *data, const char *const *patterns, const void *mem, const char **ret, Err *err);
    void *hash_data;
    const char *env; /* given by hand, a JSON object of texts; NULL: none */
    bool bare;       /* no repository: builds begin in an empty workspace */
} PlanContext;

/* What a job asks of a runner. */
typedef struct PlanFit {
    const char *executor; /* "sandbox", "shell"; "deploy" for a deploy */
    const char *arch;     /* "" any */
    const char *labels;   /* JSON object of texts, keys sorted, compact; NULL: none */
    int64_t cpu;          /* thousandths; 0: whatever there is, as for the others */
    int64_t memory, disk; /* bytes */
} PlanFit;

typedef struct PlanJob {
    const char *name;
    const char *kind; /* "steps", "deploy" */
    PlanFit fit;
    int64_t priority;         /* higher first */
    int64_t queue_timeout_us; /* 0: may wait for ever */
    const char *retry;        /* as JSON {"times":2,"on":["exit","timeout"],"backoff":µs}; NULL: never */
    const char *condition;    /* evaluated when all needs have ended; "" = success() */
    const char *spec;         /* SPEC of docs/runner-protocol.md as JSON text; see there for a deploy's */
    size_t *needs;            /* indices into Plan.jobs, in any order; acyclic */
    size_t need_count;
    const size_t *known; /* of a part: what it needs of the jobs that are there */
    size_t known_count;
    bool allow_failure; /* it may fail, and all goes on as if it had gone well */
    bool skip;          /* its `if` is false whatever its needs do */
} PlanJob;

/* Of the builds of a project that name the same group, `limit` run at a time. */
typedef struct PlanConcurrency {
    const char *group;  /* NULL: none */
    int64_t limit;      /* from 1 */
    const char *cancel; /* what a newer build does to older ones: "queued" (those that have not begun are
                         * superseded), "running" (all), "none" */
} PlanConcurrency;

/* A time that a build of the default branch is to start at, again and again. */
typedef struct PlanSchedule {
    const char *name, *cron, *timezone; /* as cron_read takes them */
} PlanSchedule;

/* Whom to tell of a build. */
typedef struct PlanNotice {
    const char *moment; /* "start", "success", "failure" */
    const char *kind;   /* "email", "slack", "webhook", "status" */
    const char *config; /* JSON object: {"email"}, {"webhook_url"}, {"slack_token","slack_channel"}, {} */
} PlanNotice;

typedef struct Plan {
    const char *planner; /* "pelton", "stages", "make", "flake" */
    const char *file;    /* ".pelton.yml", "pelton-stages.yml", "Makefile", "flake.nix" */
    PlanConcurrency concurrency;
    int64_t timeout_us; /* of the whole build, from its start; 0: none */
    PlanJob *jobs;
    size_t count;
    PlanNotice *notices;
    size_t notice_count;
    PlanSchedule *schedules; /* whatever the event is, and also when there is nothing to do */
    size_t schedule_count;
    const char *why; /* there is nothing to do: NULL: no job is for this event or branch */
    bool nothing;    /* the pipeline is fine, and no job is for this event or branch: none, or all skip */
} Plan;

/* In the order in which they are told when one alone is told. */
typedef enum PlanProblemKind {
    PLAN_PROBLEM_GIVEN = -2, /* not of the file, but of what was given for its inputs */
    PLAN_PROBLEM_FORM,       /* YAML's form, which comes before what the file says */
    PLAN_PROBLEM_MISTAKE = 0,
    PLAN_PROBLEM_CONFIG, /* the config of a step that a connector or a container engine would run */
    PLAN_PROBLEM_LATER,  /* no mistake: a coming version runs what stands there */
} PlanProblemKind;

typedef struct PlanProblem {
    int line, column;    /* from 1; 0: of the whole file */
    const char *message; /* `unknown key "stesp" in job "test"; did you mean "steps"?` */
    const char *file;    /* NULL: the pipeline file itself, else one that it includes … */
    const char *text;    /* … and what is in that */
    size_t len;
    PlanProblemKind kind;
} PlanProblem;

typedef struct PlanProblems {
    PlanProblem *items;
    size_t count;
} PlanProblems;

/* The files that planners want to see of a commit, NULL-terminated: ".pelton.yml", ".pelton.yaml",
 * "Makefile", … */
extern const char *const plan_files[];
/* Whether plan_files[file] says what is to be done: of others it is guessed. */
bool plan_file_tells(size_t file);

/* What was given for inputs and is wrong is no fault of the file: ERR_INVALID without problems, err telling
 * all of it.
 * contents[i] (NULL: absent) belongs to plan_files[i]. All problems are found at once: ERR_INVALID, err
 * holding the first as "file:line:column: message" and *ret_problems all (both in mem). ERR_NOT_FOUND:
 * nothing to build, saying what would be looked for. */
_must_check_ int plan_make(const char *const *contents, const size_t *lens, const PlanContext *context,
                           const void *mem, Plan **ret, PlanProblems **ret_problems, Err *err);

/* What the files say that may be given to a build which somebody starts. */
typedef struct PlanInput {
    const char *name;
    const char *type;           /* "string", "number", "boolean", "choice" */
    const char *const *options; /* of a choice, in the file's order; NULL-terminated */
    const char *fallback;       /* NULL: none */
    const char *description;    /* NULL: none */
    bool required;
} PlanInput;

/* Those of the files of plan_make, in their order: none where nothing takes any. Only they are read: what
 * else the file says may hang on what is given for them. Errors as of plan_make, and a commit with nothing to
 * build is none. */
_must_check_ int plan_inputs(const char *const *contents, const size_t *lens, const PlanContext *context,
                             const void *mem, PlanInput **ret, size_t *ret_count, Err *err);

/* plan_make's ERR_NOT_FOUND, of files that are missing `where` ("here"); always -ERR_NOT_FOUND. */
int plan_nothing(const char *where, Err *err);

typedef struct PlanFile {
    const char *name, *text; /* text NULL: there is none */
    size_t len;
} PlanFile;

/* Jobs that a running build gets as well: what a step wrote to $PELTON_PIPELINE. whole: the build's pipeline
 * file, whose env, templates, inputs and queue-timeout the part goes on with. known: the names of the jobs
 * that the build has (of one with a matrix each), which may be needed and whose names are taken;
 * PlanJob.known holds indices of it. Errors as of plan_make. */
_must_check_ int plan_part(const char *text, size_t len, const PlanFile *whole, const PlanContext *context,
                           const char *const *known, size_t known_count, const void *mem, Plan **ret,
                           PlanProblems **ret_problems, Err *err);
#define PLAN_PART_FILE "$PELTON_PIPELINE"
#define PLAN_MAX_JOBS 10000 /* of a build */

/* ---- the stages dialect (docs/stages.md) ---- */
#define STAGES_MAX_BYTES (10 * 1024 * 1024)

typedef struct StagesTrigger {
    const char *type;       /* "webhook", "schedule", "manual", "git_push", "git_tag", "pull_request" */
    const char *cron;       /* of a schedule, else NULL */
    const char *timezone;   /* "UTC" when the file says none */
    const char *repository; /* NULL: any */
    const char *const *branches, *const *tags, *const *events; /* patterns, NULL-terminated; none: any */
} StagesTrigger;

/* What a pipeline says of itself. */
typedef struct StagesInfo {
    const char *name, *description; /* description NULL: none */
    StagesTrigger *triggers;
    size_t trigger_count;
} StagesInfo;

/* "owner/name" and "https://host/owner/name.git" → "name", as it is called here. In mem. */
const char *stages_repository_name(const char *repository, const void *mem);
/* Whether one of the triggers wants this: `event` "push", "tag", "pull_request" or "schedule"; `ref` the
 * branch (of a pull request: its target) or the tag; repository NULL: whatever they say of one counts as this
 * one. What has no triggers wants all. */
bool stages_wants(const StagesInfo *info, const char *event, const char *ref, const char *repository);

/* The one to tell when one alone is told. There is one. */
const PlanProblem *plan_problems_first(const PlanProblems *problems);

/* Reads, checks and plans. Problems as of plan_make; ERR_UNSUPPORTED when all of them are step types that
 * this version does not run yet. */
_must_check_ int stages_plan(const char *text, size_t len, const PlanContext *context, const void *mem,
                             Plan **ret, StagesInfo **ret_info, PlanProblems **ret_problems, Err *err);

/* Whether a name (of len bytes) means this job: it is its own, or that of the `matrix` that it is of, as
 * "test" is of "test (18, pg)". */
bool plan_name_means(const char *name, size_t len, const char *job);
/* Leaves the named jobs (NULL-terminated) and all that they need. ERR_INVALID: there is no such job. */
_must_check_ int plan_select(Plan *plan, const char *const *names, Err *err);
/* file:line:column, the message, the line itself and a caret, for a terminal. */
void plan_problems_print(const PlanProblems *problems, const char *file, const char *text, size_t len,
                         bool colour, Buf *out);

/* What every step finds in its environment; ended by a NULL name. For the documentation, too. */
typedef struct PlanVariable {
    const char *name, *help;
} PlanVariable;
extern const PlanVariable plan_variables[];
/* Whether a step has ours of that name, whatever its file says. */
bool plan_sets_variable(const char *name);

/* The language reference as Markdown tables: what docs/pipeline.md holds between its markers. */
void pipeline_reference(Buf *out);
/* The same as a JSON Schema, for editors. id: the URL that it is at, or NULL. */
void pipeline_schema(const char *id, Buf *out);

/* ---- conditions ---- */
typedef enum CondStatus { COND_SUCCESS, COND_FAILURE, COND_CANCELLED } CondStatus;
/* Evaluates an `if` ("" is success()). status: of what came before. ERR_INVALID with the column. */
_must_check_ int condition_eval(const char *text, const PlanContext *context, CondStatus status, bool *ret,
                                Err *err);
/* Fills in what a SPEC leaves to its runner: text with ${{ }} in it, whose values are known now. In mem. */
_must_check_ int template_run(const char *text, const PlanContext *context, const void *mem, const char **ret,
                              Err *err);
