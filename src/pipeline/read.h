/* A file read and checked against the tables of lang.h. */
#pragma once

#include "pipeline/lang.h"
#include "pipeline/problems.h"

/* Where the reader is: a chain up to the file, for messages. */
typedef struct LangPlace {
    const struct LangPlace *up;
    const LangLevel *level;
    const char *name; /* the job's, or the key of a mapping; NULL: none */
    size_t number;    /* of the step, from 1; 0: none */
} LangPlace;

typedef struct LangReader {
    const void *mem;
    const PlanContext *context;
    Problems *problems;
    const LangPlace *place;
    size_t included;             /* files so far */
    size_t listed;               /* items of lists so far */
    size_t work;                 /* values so far, with templates and matrices written out */
    struct Templates *templates; /* NULL: none */
    ExprScope scope;             /* of ${{ }} in values; `uses` is the key's */
} LangReader;

/* Fills target, a zeroed struct of the level, from the node; defaults first. Problems are collected, and what
 * could not be read is left at its default. */
void lang_read(LangReader *r, const LangLevel *level, const YamlNode *node, void *target);
/* `step 2 of job "test"`; "" at the top. In the problems' memory. */
const char *lang_place(LangReader *r);

/* `step 1 of job "test": what`, at the node. */
void lang_refuse(LangReader *r, const YamlNode *node, const char *what);
/* `missing key "run" in step 1 of job "test"`; nothing where a word for it is there, which is unknown. */
void lang_missing(LangReader *r, const YamlNode *node, const char *key);
/* A scalar such as "!cancelled()" without quotes. */
bool lang_is_tagged(const YamlNode *node);
#define LANG_TAGGED "to YAML \"!\" begins a tag: put the value in quotes"
/* A key that the level does not have. */
void lang_unknown(LangReader *r, const LangLevel *level, const YamlPair *pair);

/* ---- types with a file of their own ---- */
void lang_jobs(LangReader *r, const LangKey *key, const YamlNode *node, void *field);
void lang_zone(LangReader *r, const LangKey *key, const YamlNode *node, void *field);
void lang_times(LangReader *r, const LangKey *key, const YamlNode *node, void *field);
/* Checks inputs (of PipeInput) that were read, and what was given for them: from here on they have values. */
void lang_inputs_take(LangReader *r, const LangItems *inputs);
/* As who asks for them needs to know them; in mem. */
PlanInput *lang_inputs_plan(const LangItems *inputs, const void *mem);

typedef struct LangTypeInfo {
    const char *word;     /* for the reference: "duration" */
    const char *expected; /* for messages: "a duration such as 90 (seconds), 30s, 10m or 1h30m" */
    void (*read)(LangReader *r, const LangKey *key, const YamlNode *node, void *field);
} LangTypeInfo;

extern const LangTypeInfo lang_types[LANG_TYPES];

/* The column in the file of a value's byte; the value's own when it is not written as it is read (escapes,
 * lines). */
int lang_column(const LangReader *r, const YamlNode *node, size_t at);
/* Reads the key's value into its field; ${{ }} in it are filled in first. */
void lang_value(LangReader *r, const LangKey *key, const YamlNode *node, void *field);
/* A scalar with its ${{ }} filled in (the node itself when it has none); NULL: there was a mistake, which is
 * reported. */
const YamlNode *lang_fill(LangReader *r, const LangKey *key, const YamlNode *node);

/* What the file has instead, for "got …": `"5"`, `an empty list`. */
const char *lang_got(LangReader *r, const YamlNode *node);
/* `"steps" of job "test": expected a list of steps, got a number`, at the node. */
void lang_expected(LangReader *r, const LangKey *key, const YamlNode *node);
