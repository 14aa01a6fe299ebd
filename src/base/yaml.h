/* YAML 1.2 read into a tree with places, over libyaml's events, with limits on every dimension.
 * Scalars stay text with their style; yaml_as_* give them a type (core schema). Aliases are resolved
 * (shared nodes), `<<` merge keys too (what they bring stands where they stood, own keys win); keys are
 * scalars; duplicate keys are refused; one document only. Who walks the tree is safe from alias bombs: depth
 * and number of nodes are limited as they are seen through aliases. Merged pairs add to the weight too. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define YAML_MAX_BYTES (1024 * 1024)
#define YAML_MAX_DEPTH 64
#define YAML_MAX_ALIASES 100
#define YAML_MAX_NODES 100000

typedef enum YamlKind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING } YamlKind;

typedef struct YamlNode YamlNode;
typedef struct YamlPair {
    YamlNode *key;
    YamlNode *value;
} YamlPair;

struct YamlNode {
    YamlKind kind;
    int line, column; /* from 1, of the node's first character */
    uint16_t source;  /* 0; free for who reads several files, to tell their nodes apart */
    bool quoted;      /* a scalar in quotes or a block: always a string */
    const char *tag;  /* as written ("!!str", "!x"), or NULL */
    const char *text; /* scalar; zero-terminated, holds no zero byte */
    size_t len;
    YamlNode **items; /* sequence */
    YamlPair *pairs;  /* mapping, in the order of the file */
    size_t count;     /* of items or pairs */
    int height;       /* levels of the tree from here down, aliases followed; at most YAML_MAX_DEPTH */
    size_t weight; /* nodes of that tree, each alias counted as what it stands for; at most YAML_MAX_NODES */
};

/* Reads text (UTF-8, a byte order mark is skipped) as one document into mem. An empty text, or one of
 * comments only, gives *ret_root == NULL. Over YAML_MAX_BYTES: ERR_TOO_LARGE. On a mistake: ERR_INVALID,
 * "line 3, column 5: …"; ret_line and ret_column (may be NULL) hold the place. */
_must_check_ int yaml_read(const char *text, size_t len, const void *mem, YamlNode **ret_root, int *ret_line,
                           int *ret_column, Err *err);

/* The same with another limit on the bytes. */
_must_check_ int yaml_read_large(const char *text, size_t len, size_t max, const void *mem,
                                 YamlNode **ret_root, int *ret_line, int *ret_column, Err *err);

typedef struct YamlMistake {
    int line, column;
    const char *text; /* without the place */
} YamlMistake;

typedef struct YamlMistakes {
    YamlMistake *items;
    size_t count;
} YamlMistakes;

/* The same for who tells a person all mistakes at once: a key that is there twice is told, and what follows
 * is read all the same, with its first value. *ret_root stays NULL when nothing can be made of the text. ret:
 * every mistake, in mem; none: the text is what yaml_read_large takes. */
void yaml_read_on(const char *text, size_t len, size_t max, const void *mem, YamlNode **ret_root,
                  YamlMistakes *ret);

/* The value of a mapping's key, or NULL. */
YamlNode *yaml_get(const YamlNode *mapping, const char *key);
/* Core schema of YAML 1.2: a plain null, ~ or empty scalar. */
bool yaml_is_null(const YamlNode *node);
_must_check_ bool yaml_as_bool(const YamlNode *node,
                               bool *ret); /* plain true, True, TRUE, false, False, FALSE */
_must_check_ bool yaml_as_int(const YamlNode *node, int64_t *ret); /* plain -1, +1, 0x1f, 0o17 that fits */
bool yaml_is_float(const YamlNode *node);                          /* plain 1.5, 1e3, .inf, .nan; not 1 */
/* "a list", "a mapping", "a string", "a number", "true or false", "nothing": for messages. */
const char *yaml_kind_word(const YamlNode *node);
