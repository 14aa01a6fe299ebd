/* The stages dialect: the YAML of a stored pipeline, or of `pelton-stages.yml` in a repository. A stage is a
 * barrier; a sequential stage becomes one job, a parallel one a job a step. docs/stages.md has the language.
 * Within the room; stages_read and stages_plan (pipeline.h) are for others. */
#pragma once

#include "base/json.h"
#include "base/yaml.h"
#include "pipeline/pipeline.h"
#include "pipeline/problems.h"

#define STAGES_MAX 1000
#define STAGES_FILE "pelton-stages.yml"
#define STAGES_MAX_STEPS 5000 /* of all stages together */
#define STAGES_MAX_NAME 200
#define STAGES_MAX_RETRIES 100
#define STAGES_MAX_ENV 1000
#define STAGES_MAX_SECRETS 100     /* of one list */
#define STAGES_MAX_JOB_SECRETS 200 /* of one job */

/* ---- variables (stages_env.c) ---- */
typedef struct StagesVar {
    const char *name, *value;
} StagesVar;

/* A list that goes on with the one below it: a step's variables, its stage's, the pipeline's, the server's.
 */
typedef struct StagesEnv {
    const struct StagesEnv *below;
    StagesVar *vars;
    size_t count;
    const struct StagesEnv *hand; /* what is there wins over a value of the file; or NULL */
    size_t *budget;               /* of the lowest: bytes that may still be put together */
} StagesEnv;

/* The value, or NULL. */
const char *stages_env_get(const StagesEnv *env, const char *name);
/* Adds a mapping's variables, ${NAME} and ${NAME:-text} in their values replaced where NAME is known. One
 * that is nothing but an unknown name is left out: it is to come from elsewhere. */
void stages_env_add(StagesEnv *env, const YamlNode *mapping, const void *mem);
/* Sets or replaces one. */
void stages_env_set(StagesEnv *env, const char *name, const char *value, const void *mem);
/* The text with what is known put in: in mem, or the text itself. *ret_whole (may be NULL): it is one unknown
 * name and nothing else. */
const char *stages_expand(const StagesEnv *env, const char *text, const void *mem, bool *ret_whole);
/* Whether a part of it is known only when it runs: `${…}`. */
bool stages_is_open(const char *text);
/* ${NAME} of a condition becomes a text of our own expressions. ERR_INVALID. */
_must_check_ int stages_condition(const StagesEnv *env, const char *text, const void *mem, const char **ret,
                                  Err *err);

/* Names of stored secrets, each once. */
typedef struct StagesSecrets {
    const char **names;
    size_t count;
} StagesSecrets;

/* ---- steps (stages_step.c) ---- */
typedef struct StagesStep StagesStep;

typedef struct StagesReader {
    const void *mem;
    Problems problems;
    size_t steps; /* so far */
} StagesReader;

typedef struct StagesKind {
    const char *names;                                /* all spellings: "aws a_w_s" */
    void (*check)(StagesReader *r, StagesStep *step); /* finds run, folder and vars, or problems */
    bool of_server; /* a shell runs it: what is wrong with it is a mistake like any other */
} StagesKind;

struct StagesStep {
    const YamlNode *node, *config; /* config NULL: none */
    const char *name, *stage;
    const YamlNode *condition;
    bool continue_on_error;
    int64_t timeout; /* µs; 0: none */
    const YamlNode *env;
    StagesSecrets secrets;
    /* made by the kind's check: */
    const char *image; /* the container that run is of; NULL: the sandbox */
    bool builds;       /* an image from context and file, called by tags */
    const char *context, *file;
    const char **tags; /* NULL-terminated */
    bool push;
    const char *run, *folder; /* folder NULL: the workspace */
    StagesVar *vars;          /* for the script, over env */
    size_t var_count;
};

/* The kind by step_type, or what the config lets guess; NULL after a problem. */
const StagesKind *stages_kind(StagesReader *r, const YamlNode *type, const StagesStep *step);

/* ---- steps of later versions (stages_connector.c) ---- */
/* Of a cloud, a cluster or a forge: checks what the step says, and tells that it is not run yet. */
void stages_connector_check(StagesReader *r, const StagesStep *step);
/* Whether a step of a forge asks for nothing but a clone. */
bool stages_connector_clones(const StagesStep *step);
/* `steps on AWS` are run by a later version: the reason, not a mistake. */
void stages_later(StagesReader *r, const StagesStep *step, const char *what);
/* Whether text is one of the words, in any case: "ec2 ecs lambda". */
bool stages_in_words(const char *words, const char *text);

/* ---- the file (stages_read.c) ---- */
typedef struct Stage {
    const char *name;
    StagesStep *steps;
    size_t count;
    const YamlNode *condition, *env;
    StagesSecrets secrets;
    bool parallel;
    int64_t timeout; /* µs; 0: none */
    int64_t retries; /* -1: the pipeline's */
} Stage;

/* What is to be told, to whom and when. */
typedef struct StagesNotice {
    const char *moment, *kind; /* as of a PlanNotice */
    const YamlNode *config;    /* NULL: none */
} StagesNotice;

typedef struct StagesFile {
    const YamlNode *env;
    StagesSecrets secrets;
    Stage *stages;
    size_t count;
    StagesNotice *notices;
    size_t notice_count;
    int64_t timeout, retries;
    StagesInfo *info;
} StagesFile;

void stages_read_file(StagesReader *r, const YamlNode *root, StagesFile *ret);
/* A problem of a place: `Step 'x' in stage 'y': …`. */
void stages_step_problem(StagesReader *r, const StagesStep *step, const YamlNode *at, const char *fmt, ...)
    _printf_(4, 5);
/* Whether the text may be the name of an environment's variable, and so of a secret. */
bool stages_is_variable(const char *name);
void stages_secrets_add(StagesSecrets *secrets, const char *name, const void *mem);
bool stages_secrets_hold(const StagesSecrets *secrets, const char *name);
/* Those of the pipeline, the stage and the steps given, together: at most one more than a job may have. */
StagesSecrets stages_secrets_of(const StagesFile *file, const Stage *stage, const StagesStep *steps,
                                size_t count, const void *mem);
/* Whether its steps are jobs beside each other. */
bool stages_in_parallel(const Stage *stage);
/* How many of its steps from `first` on are one job: one when they are beside each other, else those of one
 * container. */
size_t stages_job_length(const Stage *stage, size_t first);

/* ---- reading a mapping (stages_read.c): of a key that is there and not null; NULL: it is not ---- */
const YamlNode *stages_value(const YamlNode *mapping, const char *key);
/* NULL after a problem as well. */
const YamlNode *stages_list(StagesReader *r, const YamlNode *mapping, const char *key, size_t max);
const YamlNode *stages_mapping(StagesReader *r, const YamlNode *mapping, const char *key);
/* The text of a scalar, "" without one or when it is no scalar; foreign letters stay. */
const char *stages_text(const YamlNode *mapping, const char *key);

/* ---- notifications (stages_notice.c) ---- */
void stages_notices_read(StagesReader *r, const YamlNode *root, StagesFile *file);
/* What is stored of one, a JSON object: its texts, filled in from the pipeline's variables. */
const char *stages_notice_config(const StagesNotice *notice, const StagesEnv *env, const void *mem);
