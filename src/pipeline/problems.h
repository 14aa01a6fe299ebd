/* What is wrong with a pipeline file, collected: all of it, in the file's order. */
#pragma once

#include "base/yaml.h"
#include "pipeline/pipeline.h"

#define PROBLEMS_MAX 1000 /* kept; what comes after is dropped */

/* A file whose nodes have its number as their source. */
typedef struct ProblemSource {
    const char *file, *text;
    size_t len;
} ProblemSource;

typedef struct Problems {
    const void *mem;
    PlanProblem *items;
    size_t count;
    bool lacking;           /* a part could not be read: what may stand in it is not missed */
    ProblemSource *sources; /* the first one is the pipeline file */
    size_t source_count;
    size_t nearest_left; /* how much may still be spent on looking for near words (bytes × bytes) */
} Problems;

#define PROBLEMS(context) ((Problems){.mem = (context), .nearest_left = 20 * 1000 * 1000})

void problems_add(Problems *p, int line, int column, const char *fmt, ...) _printf_(4, 5);
/* At a column of the node's line. */
void problems_in(Problems *p, const YamlNode *node, int column, const char *fmt, ...) _printf_(4, 5);
/* At the node's place; of the whole file when node is NULL. */
void problems_at(Problems *p, const YamlNode *node, const char *fmt, ...) _printf_(3, 4);
/* Those from the number on that are mistakes like any other become this kind. */
void problems_set_kind(Problems *p, size_t from, PlanProblemKind kind);
/* Reads the text of a source (its number), and adds each of YAML's mistakes, `before` before it. NULL:
 * nothing can be made of it, or it is empty, which is no problem yet. */
YamlNode *problems_yaml(Problems *p, const char *text, size_t len, size_t max, uint16_t source,
                        const char *before);
/* In the order of the file, as the caller gets them. */
PlanProblems *problems_take(Problems *p);

/* The text as a message may show it: control characters escaped, cut to some 60 bytes; without the quotes. */
const char *problems_show(Problems *p, const char *text);
/* `; did you mean "word"?`, or "" when word is NULL. */
const char *problems_meant(Problems *p, const char *word);
/* str_nearest among many words (count of them), of foreign origin: gives up when it has cost too much. */
const char *problems_nearest(Problems *p, const char *s, const char *const *words, size_t count);

/* The text's line (from 1) without its line break; false when there is none. A line ends as YAML's do. */
bool problems_line(const char *text, size_t len, int line, const char **ret, size_t *ret_len);
