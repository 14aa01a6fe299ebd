/* Expressions: what `if` and ${{ … }} hold. Within the room; condition_eval and template_run (pipeline.h) are
 * for others. */
#pragma once

#include "base/yaml.h"
#include "pipeline/pipeline.h"

#define EXPR_MAX 2000          /* bytes of one in a file */
#define EXPR_MAX_FOLDED 262144 /* of one whose names were replaced by their values */
#define EXPR_MAX_NAME 300      /* of a name with its dots */

/* What an expression may use beside the names that hold for the whole build. */
typedef enum ExprUse {
    EXPR_STATUS = 1,  /* success() and its kin */
    EXPR_NEEDS = 2,   /* needs.JOB.result, needs.JOB.outputs.NAME */
    EXPR_FILES = 4,   /* hash(): files of the workspace */
    EXPR_OUTPUTS = 8, /* outputs.NAME */
} ExprUse;
/* What is known only when the job runs. */
#define EXPR_LATE (EXPR_NEEDS | EXPR_FILES | EXPR_OUTPUTS)

/* What may have names that are not there because something could not be read, which was told: such a name is
 * ERR_NOT_FOUND. */
typedef enum ExprLack {
    EXPR_LACKS_MATRIX = 1,
    EXPR_LACKS_INPUTS = 2,
    EXPR_LACKS_NEEDS = 4,
} ExprLack;
#define EXPR_LACKS_ALL (EXPR_LACKS_MATRIX | EXPR_LACKS_INPUTS | EXPR_LACKS_NEEDS)

struct Changes;

/* Where an expression stands. */
typedef struct ExprScope {
    const PlanContext *context; /* NULL: every name is "" */
    CondStatus status;
    const YamlNode *matrix, *inputs; /* mappings of names to scalars; NULL: none */
    const YamlNode *needs;           /* what the job's `needs` says; NULL: nothing */
    struct Changes *changes;         /* for changed(); NULL: not known */
    unsigned uses;                   /* of ExprUse */
    bool late;                       /* needs, files and outputs are there: what uses them has a value */
    unsigned lacking;                /* of ExprLack */
} ExprScope;

typedef enum ValueKind { VALUE_BOOL, VALUE_NUMBER, VALUE_TEXT, VALUE_LIST } ValueKind;

typedef struct Value {
    ValueKind kind;
    bool truth;
    double number;
    const char *text;         /* of all but lists: how it is written, for comparisons between kinds */
    size_t len;               /* of text; of a list: its items */
    size_t first;             /* of a list, in the parser's items */
    bool literal;             /* as it stands in the expression */
    const char *const *words; /* what it can be, "" apart; NULL: anything */
} Value;

typedef struct ExprResult {
    Value value;
    bool asked; /* a status function was used: without one, an `if` means success() && (…) */
    bool late;  /* it uses what is known only while the job runs */
    /* The expression again, with what only this plan knows (matrix, inputs, the commit's words) replaced by
     * its values: for who evaluates it later. */
    const char *folded;
} ExprResult;

/* text[at] … text[at + len - 1]. The result's texts are in mem. ERR_INVALID: *ret_at is the mistake's byte in
 * text. */
_must_check_ int expr_eval(const char *text, size_t at, size_t len, const ExprScope *scope, const void *mem,
                           ExprResult *ret, size_t *ret_at, Err *err);

/* What of EXPR_LATE there is for who evaluates when the job runs, or is about to. */
unsigned expr_late_uses(const PlanContext *context);

/* The expression of an `if` without the blanks and the ${{ }} around it; *ret_len its length. */
const char *expr_inner(const char *text, size_t *ret_len);
/* The whole text of an `if`: whether what it guards runs. "" is success(). ret_folded may be NULL. */
_must_check_ int expr_condition(const char *text, const ExprScope *scope, const void *mem, bool *ret,
                                const char **ret_folded, size_t *ret_at, Err *err);

/* What an expression may use: a line each for the reference. */
typedef struct ExprWord {
    const char *name; /* "branch", "contains(a, b)" */
    const char *help;
} ExprWord;

extern const ExprWord expr_operators[], expr_functions[]; /* the name NULL at the end */

/* ---- expr_value.c ---- */
Value value_bool(bool truth);
Value value_text(const char *text, size_t len);
/* As YAML's core schema has it: a number, true or false, else text. */
Value value_scalar(const YamlNode *node);
_must_check_ bool value_number(const Value *v, double *ret);
bool value_equal(const Value *a, const Value *b);
bool value_less(const Value *a, const Value *b);
bool value_fits(const Value *v, const Value *pattern);
/* As a literal of the language. */
void value_write(const Value *v, Buf *out);

/* ---- expr_name.c ---- */
typedef struct NameValue {
    Value value;
    bool fold; /* who evaluates the expression later does not know it */
    bool late;
} NameValue;

/* A name with its dots; the value is of the scope. ERR_INVALID with a message, without a place; call: a "("
 * is behind it. */
_must_check_ int expr_name(const char *name, bool call, const ExprScope *scope, NameValue *ret, Err *err);
/* The lines of the reference; false behind the last one. */
bool expr_name_word(size_t i, ExprWord *ret);
