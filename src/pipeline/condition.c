#include "pipeline/condition.h"

#include "base/str.h"
#include <ctype.h>
#include <stdarg.h>

#define DEPTH_MAX 50
#define ITEMS_MAX 100 /* of all lists of an expression */

typedef enum ValueKind { VALUE_BOOL, VALUE_NUMBER, VALUE_TEXT, VALUE_LIST } ValueKind;

typedef struct Value {
    ValueKind kind;
    bool truth;
    double number;
    const char *text; /* of all but lists: how it is written, for comparisons between kinds */
    size_t len;       /* of text; of a list: its items */
    size_t first;     /* of a list, in Parser.items */
} Value;

typedef struct Parser {
    const char *text;
    size_t at, end;
    const PlanContext *context;
    CondStatus status;
    bool asked; /* a status function was used */
    int depth;
    Value items[ITEMS_MAX];
    size_t item_count;
    size_t mistake_at;
    Err *err;
} Parser;

const ConditionWord condition_operators[] = {
    {"a && b", "both"},
    {"a || b", "at least one; `&&` binds closer"},
    {"!a", "not"},
    {"( )", "grouping"},
    {"a == b", "the same; numbers by their value, everything else as text"},
    {"a != b", "not the same"},
    {"a < b", "less: numbers by their value, everything else as text in byte order"},
    {"a in [b, c]", "one of the list"},
    {"a matches b", "the whole text fits the pattern: `*` any characters but `/`, `**` any, `?` one"},
    {"'text', \"text\"", "text; a `'` goes into \"…\" and the other way round"},
    {"12, 1.5, true, false", "numbers and truth values; a text is true when it is not empty"},
    {NULL, NULL},
};

const ConditionWord condition_words[] = {
    {"branch", "the branch, `main`; empty for a tag"},
    {"ref", "the whole ref, `refs/heads/main`"},
    {"tag", "the tag, `v1.0`; empty for a branch"},
    {"commit", "the commit's full hash"},
    {"event", "`push`, `tag`, `manual`, `pull_request` or `schedule`"},
    {"project", "the project's name"},
    {"repo", "the same"},
    {"success()", "everything before went well"},
    {"failure()", "something before failed"},
    {"cancelled()", "the build was cancelled"},
    {"always()", "whatever came before"},
    {"contains(a, b)", "the text a holds the text b; or the list a holds the value b"},
    {NULL, NULL},
};

static const char *const names[] = {"branch", "ref", "tag", "commit", "event", "project", "repo", NULL};
static const char *const functions[] = {"success", "failure", "cancelled", "always", "contains", NULL};
static const char *const words[] = {"branch",   "ref",     "tag",     "commit",    "event",
                                    "project",  "success", "failure", "cancelled", "always",
                                    "contains", "true",    "false",   "repo",      NULL};

static _printf_(3, 4) void mistake_(Parser *p, size_t at, const char *fmt, ...) {
    char msg[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    p->mistake_at = at;
    (void)err_set(p->err, ERR_INVALID, "%s", msg);
}

#define mistake(...) (mistake_(__VA_ARGS__), false)

/* ---- letters ---- */

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static void skip_blanks(Parser *p) {
    while (p->at < p->end && memchr(" \t\r\n", p->text[p->at], 4))
        p->at++;
}

/* Whether the symbol comes next; steps over it. */
static bool take(Parser *p, const char *symbol) {
    size_t len = strlen(symbol);

    skip_blanks(p);
    if (p->end - p->at < len || memcmp(p->text + p->at, symbol, len) != 0)
        return false;
    if (is_word(symbol[0]) && p->end - p->at > len && is_word(p->text[p->at + len]))
        return false;
    p->at += len;
    return true;
}

/* The length of what comes next, for a message: a word, a known pair of symbols or one character. */
static size_t next_length(const Parser *p) {
    const char *s = p->text + p->at;
    size_t left = p->end - p->at, n = 0;

    while (n < left && n < 30 && is_word(s[n]))
        n++;
    if (n)
        return n;
    if (left >= 2 && (s[0] == s[1] || s[1] == '=') && ispunct((unsigned char)s[0]))
        return 2;
    for (n = 1; n < left && ((unsigned char)s[n] & 0xC0) == 0x80;)
        n++;
    return n;
}

static const char *hint(const char *s, size_t len) {
    static const char *const hints[][2] = {
        {"=", "; write =="},        {"&", "; write &&"},
        {"|", "; write ||"},        {"and", "; write &&"},
        {"or", "; write ||"},       {"not", "; write !"},
        {">", "; write b < a"},     {">=", "; write !(a < b)"},
        {"=~", "; write matches"},  {"$", "; names are written without $"},
        {"<=", "; write !(b < a)"},
    };

    for (size_t i = 0; i < ELEMENTS(hints); i++)
        if (strlen(hints[i][0]) == len && memcmp(hints[i][0], s, len) == 0)
            return hints[i][1];
    return "";
}

static bool unexpected(Parser *p, const char *expected) {
    size_t len;

    skip_blanks(p);
    if (p->at >= p->end)
        return mistake(p, p->end, "expected %s, got the end", expected);
    if (iscntrl((unsigned char)p->text[p->at]))
        return mistake(p, p->at, "expected %s, got a control character", expected);
    len = next_length(p);
    return mistake(p, p->at, "expected %s, got \"%.*s\"%s", expected, (int)len, p->text + p->at,
                   hint(p->text + p->at, len));
}

/* ---- values ---- */

static Value value_bool(bool truth) {
    return (Value){
        .kind = VALUE_BOOL, .truth = truth, .text = truth ? "true" : "false", .len = truth ? 4 : 5};
}

static Value value_text(const char *text, size_t len) {
    return (Value){.kind = VALUE_TEXT, .truth = len > 0, .text = text, .len = len};
}

static bool to_number(const Value *v, double *ret) {
    char digits[40], *end;

    if (v->kind == VALUE_NUMBER) {
        *ret = v->number;
        return true;
    }
    if (v->kind != VALUE_TEXT || v->len == 0 || v->len >= sizeof(digits))
        return false;
    if (strspn(v->text, "-.0123456789") < v->len)
        return false;
    memcpy(digits, v->text, v->len);
    digits[v->len] = '\0';
    *ret = strtod(digits, &end);
    return *end == '\0';
}

static bool values_equal(const Value *a, const Value *b) {
    double x, y;

    if ((a->kind == VALUE_NUMBER || b->kind == VALUE_NUMBER) && to_number(a, &x) && to_number(b, &y))
        return !(x < y) && !(x > y);
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool value_less(const Value *a, const Value *b) {
    double x, y;
    int order;

    if (to_number(a, &x) && to_number(b, &y))
        return x < y;
    order = memcmp(a->text, b->text, MIN(a->len, b->len));
    return order < 0 || (order == 0 && a->len < b->len);
}

static bool list_holds(const Parser *p, const Value *list, const Value *v) {
    for (size_t i = 0; i < list->len; i++)
        if (values_equal(&p->items[list->first + i], v))
            return true;
    return false;
}

static bool text_fits(const Value *v, const Value *pattern) {
    _cleanup_talloc_ char *text = mem_strndup(NULL, v->text, v->len);
    _cleanup_talloc_ char *glob = mem_strndup(NULL, pattern->text, pattern->len);

    return str_glob(glob, text);
}

static const char *name_value(const PlanContext *c, const char *name) {
    const char *value = NULL;

    if (!c)
        return "";
    if (str_eq(name, "branch"))
        value = c->branch;
    else if (str_eq(name, "ref"))
        value = c->ref;
    else if (str_eq(name, "tag"))
        value = c->ref ? str_after(c->ref, "refs/tags/") : NULL;
    else if (str_eq(name, "commit"))
        value = c->commit;
    else if (str_eq(name, "event"))
        value = c->event;
    else if (str_eq(name, "project") || str_eq(name, "repo"))
        value = c->project;
    return value ? value : "";
}

/* ---- the grammar: or = and {"||" and}; and = compare {"&&" compare}; compare = unary [operator unary];
 *      unary = "!" unary | value ---- */

static bool parse_or(Parser *p, Value *ret);

/* The items go onto a stack: what lists within an item left there is dropped when the item has its value. */
static bool parse_list(Parser *p, Value *ret) {
    size_t first = p->item_count, count = 0;

    for (bool more = !take(p, "]"); more;) {
        Value v;

        if (!parse_or(p, &v))
            return false;
        if (v.kind == VALUE_LIST)
            return mistake(p, p->at - 1, "expected a text or a number in a list, got a list");
        if (first + count >= ITEMS_MAX)
            return mistake(p, p->at - 1, "more than %d list items", ITEMS_MAX);
        p->items[first + count++] = v;
        p->item_count = first + count;
        more = !take(p, "]");
        if (more && !take(p, ","))
            return unexpected(p, "\",\" or \"]\"");
    }
    *ret = (Value){.kind = VALUE_LIST, .truth = count > 0, .first = first, .len = count};
    return true;
}

static bool parse_contains(Parser *p, Value *ret) {
    size_t second;
    Value in, what;

    if (!parse_or(p, &in))
        return false;
    if (!take(p, ","))
        return unexpected(p, "\",\" and what to look for");
    skip_blanks(p);
    second = p->at;
    if (!parse_or(p, &what))
        return false;
    if (what.kind == VALUE_LIST)
        return mistake(p, second, "contains() looks for a text or a number, not for a list");
    if (!take(p, ")"))
        return unexpected(p, "\")\"");
    *ret = value_bool(in.kind == VALUE_LIST ? list_holds(p, &in, &what)
                                            : memmem(in.text, in.len, what.text, what.len) != NULL);
    return true;
}

static bool parse_status(Parser *p, const char *name, Value *ret) {
    if (!take(p, ")"))
        return unexpected(p, "\")\": the function takes nothing");
    p->asked = true;
    if (str_eq(name, "always"))
        *ret = value_bool(true);
    else if (str_eq(name, "success"))
        *ret = value_bool(p->status == COND_SUCCESS);
    else if (str_eq(name, "failure"))
        *ret = value_bool(p->status == COND_FAILURE);
    else
        *ret = value_bool(p->status == COND_CANCELLED);
    return true;
}

static const char *find(const char *const *list, const char *word) {
    for (; *list; list++)
        if (strcmp(*list, word) == 0)
            return *list;
    return NULL;
}

static bool parse_word(Parser *p, Value *ret) {
    size_t start = p->at, len = 0;
    char word[32];
    const char *nearest;

    while (p->at + len < p->end && is_word(p->text[p->at + len]))
        len++;
    snprintf(word, sizeof(word), "%.*s", (int)len, p->text + start);
    p->at += len;
    if (str_eq(word, "true") || str_eq(word, "false")) {
        *ret = value_bool(word[0] == 't');
        return true;
    }
    if (find(names, word)) {
        const char *value = name_value(p->context, word);

        *ret = value_text(value, strlen(value));
        return true;
    }
    if (find(functions, word)) {
        if (!take(p, "("))
            return mistake(p, start, "\"%s\" is a function: write %s(%s)", word, word,
                           str_eq(word, "contains") ? "a, b" : "");
        return str_eq(word, "contains") ? parse_contains(p, ret) : parse_status(p, word, ret);
    }
    p->at = start;
    if (*hint(word, strlen(word)))
        return unexpected(p, "a value");
    nearest = str_nearest(word, words);
    return mistake(p, start, "unknown %s \"%s\"%s%s%s", take(p, word) && take(p, "(") ? "function" : "name",
                   word, nearest ? "; did you mean \"" : "; a text is written in quotes",
                   nearest ? nearest : "", nearest ? "\"?" : "");
}

static bool parse_quoted(Parser *p, Value *ret) {
    char quote = p->text[p->at];
    const char *start = p->text + p->at + 1;
    const char *end = memchr(start, quote, p->end - p->at - 1);

    if (!end)
        return mistake(p, p->at, "the text that begins here has no end: expected %c", quote);
    *ret = value_text(start, (size_t)(end - start));
    p->at = (size_t)(end + 1 - p->text);
    return true;
}

static bool parse_number(Parser *p, Value *ret) {
    size_t start = p->at, len = p->text[p->at] == '-';
    Value v;

    while (p->at + len < p->end && (is_word(p->text[p->at + len]) || p->text[p->at + len] == '.'))
        len++;
    v = value_text(p->text + start, len);
    if (!to_number(&v, &v.number))
        return mistake(p, start, "\"%.*s\" is no number; a text is written in quotes",
                       (int)MIN(len, (size_t)30), p->text + start);
    v.kind = VALUE_NUMBER;
    v.truth = v.number < 0 || v.number > 0;
    p->at += len;
    *ret = v;
    return true;
}

static bool parse_value(Parser *p, Value *ret) {
    char c;

    skip_blanks(p);
    c = p->at < p->end ? p->text[p->at] : '\0';
    if (c == '\'' || c == '"')
        return parse_quoted(p, ret);
    if (isdigit((unsigned char)c) || c == '-')
        return parse_number(p, ret);
    if (is_word(c))
        return parse_word(p, ret);
    if (take(p, "["))
        return parse_list(p, ret);
    if (!take(p, "("))
        return unexpected(p, "a value");
    if (!parse_or(p, ret))
        return false;
    return take(p, ")") || unexpected(p, "\")\"");
}

static bool parse_unary(Parser *p, Value *ret) {
    bool negate = false, any = false;

    for (; take(p, "!"); any = true)
        negate = !negate;
    if (!parse_value(p, ret))
        return false;
    if (any)
        *ret = value_bool(ret->truth != negate);
    return true;
}

typedef enum Compare {
    COMPARE_NONE,
    COMPARE_EQ,
    COMPARE_NE,
    COMPARE_LESS,
    COMPARE_IN,
    COMPARE_MATCHES
} Compare;

static Compare take_compare(Parser *p) {
    static const char *const symbols[] = {NULL, "==", "!=", "<", "in", "matches"};

    skip_blanks(p);
    if (p->end - p->at >= 2 && memcmp(p->text + p->at, "<=", 2) == 0)
        return COMPARE_NONE;
    for (Compare c = COMPARE_EQ; c <= COMPARE_MATCHES; c++)
        if (take(p, symbols[c]))
            return c;
    return COMPARE_NONE;
}

static bool compare(Parser *p, Compare how, const Value *a, const Value *b) {
    switch (how) {
    case COMPARE_EQ:
        return values_equal(a, b);
    case COMPARE_NE:
        return !values_equal(a, b);
    case COMPARE_LESS:
        return value_less(a, b);
    case COMPARE_IN:
        return list_holds(p, b, a);
    default:
        return text_fits(a, b);
    }
}

static bool parse_compare(Parser *p, Value *ret) {
    Value left, right;
    size_t start;
    Compare how;

    skip_blanks(p);
    start = p->at;
    if (!parse_unary(p, &left))
        return false;
    how = take_compare(p);
    if (how == COMPARE_NONE) {
        *ret = left;
        return true;
    }
    if (left.kind == VALUE_LIST)
        return mistake(p, start, "a list cannot be compared: write value in [\"a\", \"b\"]");
    skip_blanks(p);
    start = p->at;
    if (!parse_unary(p, &right))
        return false;
    if (how == COMPARE_IN && right.kind != VALUE_LIST)
        return mistake(p, start, "expected a list behind \"in\": [\"a\", \"b\"]");
    if (how != COMPARE_IN && right.kind == VALUE_LIST)
        return mistake(p, start, "a list cannot be compared: write value in [\"a\", \"b\"]");
    *ret = value_bool(compare(p, how, &left, &right));
    skip_blanks(p);
    start = p->at;
    if (take_compare(p) != COMPARE_NONE)
        return mistake(p, start, "comparisons do not follow each other: use && or ( )");
    return true;
}

static bool parse_and(Parser *p, Value *ret) {
    if (!parse_compare(p, ret))
        return false;
    while (take(p, "&&")) {
        Value right;

        if (!parse_compare(p, &right))
            return false;
        *ret = value_bool(ret->truth && right.truth);
    }
    return true;
}

static bool parse_or(Parser *p, Value *ret) {
    if (p->depth >= DEPTH_MAX)
        return mistake(p, p->at, "nested deeper than %d", DEPTH_MAX);
    p->depth++;
    if (!parse_and(p, ret))
        return false;
    while (take(p, "||")) {
        Value right;

        if (!parse_and(p, &right))
            return false;
        *ret = value_bool(ret->truth || right.truth);
    }
    p->depth--;
    return true;
}

const char *condition_inner(const char *text, size_t *ret_len) {
    size_t len = strlen(text), lead = strspn(text, " \t\r\n");

    while (len > lead && memchr(" \t\r\n", text[len - 1], 4))
        len--;
    if (len - lead >= 5 && memcmp(text + lead, "${{", 3) == 0 && memcmp(text + len - 2, "}}", 2) == 0) {
        lead += 3;
        len -= 2;
        lead += strspn(text + lead, " \t\r\n");
        while (len > lead && memchr(" \t\r\n", text[len - 1], 4))
            len--;
    }
    *ret_len = len > lead ? len - lead : 0;
    return text + lead;
}

/* The whole of text[at] … text[end - 1] as one expression. */
static int run(Parser *p, Value *ret, size_t *ret_at) {
    size_t len = p->end - p->at;
    bool fine =
        len > CONDITION_MAX ? mistake(p, p->at, "longer than %d bytes", CONDITION_MAX) : parse_or(p, ret);

    if (fine) {
        skip_blanks(p);
        fine = p->at >= p->end || unexpected(p, "an operator or the end");
    }
    if (!fine)
        *ret_at = p->mistake_at;
    return fine ? 0 : -ERR_INVALID;
}

int condition_run(const char *text, const PlanContext *context, CondStatus status, bool *ret, size_t *ret_at,
                  Err *err) {
    size_t len;
    const char *inner = condition_inner(text, &len);
    Parser p = {.text = text, .at = (size_t)(inner - text), .context = context, .status = status, .err = err};
    Value v;
    int r;

    p.end = p.at + len;
    if (!*text) {
        *ret = status == COND_SUCCESS;
        return 0;
    }
    r = run(&p, &v, ret_at);
    if (r >= 0)
        *ret = v.truth && (p.asked || status == COND_SUCCESS);
    return r;
}

int condition_text(const char *text, size_t at, size_t len, const PlanContext *context, const void *mem,
                   const char **ret, size_t *ret_at, Err *err) {
    Parser p = {.text = text, .at = at, .end = at + len, .context = context, .err = err};
    Value v;
    int r = run(&p, &v, ret_at);

    if (r < 0)
        return r;
    if (v.kind == VALUE_LIST) {
        *ret_at = at;
        return err_set(err, ERR_INVALID, "expected a text or a number, got a list");
    }
    *ret = mem_strndup(mem, v.text, v.len);
    return 0;
}

int condition_eval(const char *text, const PlanContext *context, CondStatus status, bool *ret, Err *err) {
    size_t at = 0;
    int r = condition_run(text, context, status, ret, &at, err);

    if (r < 0)
        return err_wrap(err, "column %zu", at + 1);
    return 0;
}
