/* The pipeline language: what `.pelton.yml` may say, as constant tables. A level is a mapping of the file
 * (the top, a job, a step …) with a table of its keys; a key has a type. The reader (read.h) checks a file
 * against the tables and fills the structs below; the reference in docs/pipeline.md is written from them
 * (reference.c). A new key is a line in a table and a field in a struct. */
#pragma once

#include "base/yaml.h"
#include "pipeline/pipeline.h"
#include "pipeline/template.h"
#include <stddef.h>

#define LANG_MAX_JOBS PLAN_MAX_JOBS
#define LANG_MAX_STEPS 100000   /* of all jobs together */
#define LANG_MAX_JOB_LIST 10000 /* steps, artifacts, downloads of one; a runner takes no more */
#define LANG_MAX_CACHES 100     /* of one job */
#define LANG_MAX_ENV 1000       /* variables of one `env` */
#define LANG_MAX_NAME 100
#define LANG_MAX_LABELS 50         /* of one `labels` */
#define LANG_MAX_LABEL 200         /* bytes of a label's text */
#define LANG_MAX_NEEDS 200000      /* of all jobs together */
#define LANG_MAX_MATRIX 1000       /* combinations of one */
#define LANG_MAX_MATRIX_NAMES 20   /* of one */
#define LANG_MAX_MATRIX_VALUE 1000 /* bytes */
#define LANG_MAX_EXTENDS 20        /* templates of one job */
#define LANG_MAX_SERVICES 50       /* of one job */
#define LANG_MAX_INCLUDES 20       /* files, all levels together */
#define LANG_MAX_INCLUDE_DEPTH 5
#define LANG_MAX_INPUTS 100
#define LANG_MAX_SCHEDULES 100
#define LANG_MAX_INPUT 4096 /* bytes of what is given for one */
/* values of the file with its templates and matrices written out */
#define LANG_MAX_WORK 1000000
#define LANG_MAX_TIMEOUT (INT64_C(30) * 24 * 3600 * 1000000)
#define LANG_MAX_KEEP (INT64_C(3650) * 24 * 3600 * 1000000)
#define LANG_FOREVER INT64_C(-1)
/* looks at jobs and artifacts, for the downloads of all jobs together */
#define LANG_MAX_DOWNLOAD_WORK 5000000

/* What may stand behind a key, and what the reader makes of it in the key's field. */
typedef enum LangType {
    LANG_TEXT,      /* const YamlNode *: any scalar but an empty one */
    LANG_NAME,      /* const YamlNode *: a plain name */
    LANG_WORD,      /* const YamlNode *: one of key->words */
    LANG_CONDITION, /* const YamlNode *: an expression that was checked, without its ${{ }}, folded */
    LANG_TEMPLATE,  /* const YamlNode *: text; NULL when its ${{ }} leave nothing of it */
    LANG_SCRIPT,    /* LangScript: a command for a shell */
    LANG_URL_PATH,  /* const YamlNode *: "/health" */
    LANG_BOOL,      /* bool */
    LANG_INT,       /* int64_t within key->min..max */
    LANG_DURATION,  /* int64_t µs, more than 0, at most key->max; LANG_FOREVER for key->words */
    LANG_SIZE,      /* int64_t bytes, at least key->min */
    LANG_CPU,       /* int64_t thousandths */
    LANG_FOLDER,    /* const char *: a path inside the workspace; "" the workspace */
    LANG_ENV,       /* const YamlNode *: a mapping of names to scalars */
    LANG_LABELS,    /* const YamlNode *: a mapping of names to scalars that say something */
    LANG_NODE,      /* const YamlNode *: anything; whoever uses it reads it */
    LANG_NEEDS,     /* LangItems: of PipeNeed */
    LANG_EVENTS,    /* like PART; also a name or a list of names, and names of nothing */
    LANG_TEMPLATES, /* const YamlNode *: a mapping; read first */
    LANG_INPUTS,    /* LangItems: structs of key->level by name; read first */
    LANG_ZONE,      /* const YamlNode *: a time zone's name */
    LANG_TIMES,     /* LangItems: of PipeSchedule */
    LANG_NAMES,     /* LangNodes: one name or a list of them */
    LANG_WORDS,     /* LangNodes: one of key->words or a list of them */
    LANG_GLOBS,     /* LangNodes: one pattern or a list of them, of branches or tags */
    LANG_PATTERNS,  /* LangPaths: one pattern or a list of them, each inside the workspace */
    LANG_MAPPING,   /* a struct of key->level, embedded */
    LANG_PART,    /* pointer to a struct of key->level that begins with const YamlNode * (the mapping); NULL:
                     absent */
    LANG_MAP,     /* LangItems: structs of key->level by name, each begins with const YamlNode * (the name) */
    LANG_LIST,    /* LangItems: a list of structs of key->level */
    LANG_JOBS,    /* LangItems: of PipeJob, by name */
    LANG_EXTENDS, /* these: like NODE */
    LANG_MATRIX,
    LANG_INCLUDE,
    LANG_TYPES
} LangType;

typedef struct LangLevel LangLevel;
struct LangReader;

typedef struct LangKey {
    const char *name;
    LangType type;
    size_t offset;            /* of the field in the level's struct */
    const LangLevel *level;   /* of MAPPING, PART, LIST and MAP */
    const char *const *words; /* of WORD and DURATION, NULL-terminated */
    int64_t min, max;         /* of INT and SIZE; of DURATION max (0: LANG_MAX_TIMEOUT) */
    bool required;
    bool single;          /* of LIST: one item (also in its short form) may stand without the list */
    bool of_steps;        /* of ENV: of steps, which have our own variables over it */
    bool early;           /* read before the other keys of its level */
    const char *expected; /* "a list of steps", for messages; NULL: the type's */
    const char *fallback; /* the default, read like a value of the file; NULL: zero */
    const char *unset;    /* what holds without the key, for the reference, when there is no fallback */
    const char *also;     /* other systems' words for it, "a b c": "did you mean" answers to them */
    const char *help;
    const char
        *pattern;  /* of TEXT and NAMES, for the schema: what the level's check asks of the text (ECMA 262) */
    unsigned uses; /* of ExprUse: what ${{ }} in it may use beside what the plan knows */
} LangKey;

struct LangLevel {
    const char *noun;      /* "job": in messages, with its name or number; a mapping's own key otherwise */
    const char *heading;   /* "jobs.NAME" */
    const char *help;      /* a sentence or two for the reference */
    const char *expected;  /* "a command or a mapping" */
    const char *short_key; /* the key that a plain value stands for: `- make` is `- run: make` */
    const LangKey *keys;
    size_t count;
    size_t size; /* of the level's struct */
    /* What no single key tells: looks at the filled target, reports problems at the mapping's place. */
    void (*check)(struct LangReader *r, const YamlNode *node, const void *target);
    /* The same for the schema (schema.c), as far as it can say it: JSON Schemas that the mapping must all
     * fit; NULL-terminated. */
    const char *const *rules;
};

typedef struct LangNodes {
    const YamlNode **items;
    size_t count;
} LangNodes;

typedef struct LangScript {
    const YamlNode *node; /* as it is written; NULL: none */
    Script script;
} LangScript;

typedef struct LangPaths {
    const char **items;
    size_t count;
} LangPaths;

typedef struct LangItems {
    void *items;
    size_t count;
} LangItems;

/* Of `uses: docker`, but for the last two: of `uses: nix`. */
typedef struct PipeWith {
    const YamlNode *node;
    const char *build, *file; /* NULL: not said */
    LangNodes tag;
    const YamlNode *args, *target;
    bool push, pull;
    const YamlNode *check;
    LangNodes packages;
} PipeWith;

typedef struct PipeStep {
    LangScript run;
    const YamlNode *name, *env, *condition, *shell;
    int64_t timeout;
    const char *folder;
    bool go_on;
    const YamlNode *uses;
    PipeWith *with;
} PipeStep;

typedef struct PipeCache {
    const YamlNode *key;
    LangNodes restore;
    LangPaths paths;
} PipeCache;

typedef struct PipeImage {
    const YamlNode *name, *pull, *user;
} PipeImage;

typedef struct PipeService {
    const YamlNode *name;
    const YamlNode *image, *env, *ready;
    LangNodes command;
    int64_t timeout;
} PipeService;

typedef struct PipeResources {
    int64_t memory, cpu, processes, disk;
} PipeResources;

typedef struct PipeConcurrency {
    const YamlNode *group, *cancel;
    int64_t limit;
} PipeConcurrency;

typedef struct PipeRetry {
    int64_t times, backoff;
    LangNodes on;
} PipeRetry;

typedef struct PipeArtifact {
    const YamlNode *name, *condition; /* NULL: not said */
    LangPaths paths;
    int64_t keep; /* 0: not said */
} PipeArtifact;

typedef struct PipeDownload {
    const YamlNode *name, *job;
    const char *path;
    bool optional;
} PipeDownload;

typedef struct PipeRunsOn {
    const YamlNode *executor, *arch, *labels;
} PipeRunsOn;

typedef struct PipeNeed {
    const YamlNode *job;
    bool optional;
} PipeNeed;

typedef struct PipeInput {
    const YamlNode *name;
    const YamlNode *type, *fallback, *description;
    LangNodes options;
    bool required;
} PipeInput;

typedef struct PipeJob {
    const YamlNode *name;
    const YamlNode *base; /* its key in the file: of a matrix, all have the same */
    const YamlNode *extends, *matrix;
    LangItems needs; /* of PipeNeed */
    LangItems steps; /* of PipeStep */
    PipeImage image;
    LangItems services; /* of PipeService */
    LangItems cache;    /* of PipeCache */
    LangNodes secrets;
    const YamlNode *env, *condition;
    int64_t timeout, queue_timeout, priority;
    LangItems artifacts; /* of PipeArtifact */
    LangItems download;  /* of PipeDownload */
    bool checkout, network;
    PipeRunsOn runs_on;
    PipeResources resources;
    PipeRetry retry;
    bool of_matrix, allow_failure;
    bool lacking; /* its matrix, or what it extends, could not be read */
    bool wrong;   /* it has mistakes: what it keeps, and its other combinations, may not be here */
    size_t *need; /* indices of the jobs that `needs` names (graph.c) */
    const YamlNode **need_at; /* for each of them: where it is named */
    size_t need_count, dependents;
    size_t *known; /* indices of PipeFile.known that it needs (graph.c) */
    size_t known_count;
} PipeJob;

typedef struct PipeHealth {
    const YamlNode *path;
    int64_t timeout;
} PipeHealth;

typedef struct PipeDeploy {
    const YamlNode *node;
    const YamlNode *branch, *start, *env, *job;
    PipeHealth health;
    LangPaths files;
    PipeResources resources;
    size_t job_index; /* whose workspace becomes the release (graph.c) */
} PipeDeploy;

typedef struct PipeFilter {
    const YamlNode *node;
    LangNodes branches;
    LangPaths paths, ignore;
} PipeFilter;

typedef struct PipeTags {
    const YamlNode *node;
    LangNodes names;
} PipeTags;

typedef struct PipeSchedule {
    const YamlNode *name, *time;
} PipeSchedule;

typedef struct PipeOn {
    const YamlNode *node;
    PipeFilter *push, *pull_request;
    PipeTags *tag;
    const YamlNode *manual;
    LangItems schedule; /* of PipeSchedule */
} PipeOn;

typedef struct PipeFile {
    const YamlNode *env, *timezone;
    PipeConcurrency concurrency;
    int64_t timeout, queue_timeout;
    const YamlNode *templates, *include;
    PipeOn *on;
    LangItems inputs; /* of PipeInput */
    LangItems jobs;   /* of PipeJob */
    PipeDeploy *deploy;
    const PlanFile *whole;    /* of a part: the build's file */
    const char *const *known; /* of a part: the names of the jobs that its build has */
    size_t known_count;
} PipeFile;

extern const LangLevel lang_file, lang_on, lang_filter, lang_tags, lang_input, lang_template, lang_need,
    lang_image, lang_service, lang_with, lang_cache, lang_job, lang_step, lang_artifacts, lang_download,
    lang_runs_on, lang_resources, lang_concurrency, lang_retry, lang_deploy, lang_health,
    lang_deploy_resources;

/* Every level, in the order of the reference; NULL-terminated. */
extern const LangLevel *const lang_levels[];

/* The key of the level, or NULL. */
const LangKey *lang_key(const LangLevel *level, const char *name);
/* The name that was probably meant: the nearest right word, or the one for another system's word; or NULL. */
const char *lang_nearest(const LangLevel *level, const char *name);

/* Whether the text may be the name of an environment's variable. */
bool lang_is_variable(const YamlNode *node);
/* Whether the text is an image's name as engines take it: NAME, NAME:TAG, REGISTRY/NAME:TAG, with a digest
 * unless it is to name a new one. */
bool lang_is_image(const char *text, bool is_new);
/* The same for the schema. */
#define LANG_IMAGE_COMPONENT "[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*"
#define LANG_IMAGE_NEW_PATTERN                                                                               \
    "^(?![^:@]{256})(?:(?:localhost|(?=[^/"                                                                  \
    "]*[.:A-Z])[A-Za-z0-9\\[\\]](?:[A-Za-z0-9.:\\[\\]-]*[A-Za-z0-9:\\[\\]])?)/"                              \
    ")?" LANG_IMAGE_COMPONENT "(?:/" LANG_IMAGE_COMPONENT ")*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
#define LANG_IMAGE_PATTERN LANG_IMAGE_NEW_PATTERN "(?:@[^:]+:[0-9a-fA-F]{32,})?$"
/* A service's name, as check_services of lang_check.c takes it, for the schema. */
#define LANG_HOST_PATTERN "^(?!localhost$)[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$"

static inline const char *lang_text(const YamlNode *node) {
    return node ? node->text : "";
}
