#include "pipeline/expr.h"

#include "base/str.h"
#include "pipeline/changes.h"
#include "pipeline/pattern.h"
#include <ctype.h>
#include <stdarg.h>

#define DEPTH_MAX 50
#define ITEMS_MAX 100 /* of all lists of an expression */

typedef struct Parser {
    const char *text;
    size_t at, end;
    const ExprScope *scope;
    const void *mem;
    bool asked, late;
    int depth;
    Value items[ITEMS_MAX];
    size_t item_count;
    Buf folded;
    size_t folded_to; /* how far the text is in it already */
    size_t mistake_at;
    Err *err;
} Parser;

const ExprWord expr_operators[] = {
    {"a && b", "both; its value is that of `b`, or of `a` when that is not true"},
    {"a || b", "at least one; its value is that of `a` when that is true, else of `b`; `&&` binds closer, so "
               "`branch == \"main\" && \"live\" || \"try\"` chooses"},
    {"!a", "not"},
    {"( )", "grouping"},
    {"a == b", "the same; numbers by their value, everything else as text; a word that `event` or "
               "`needs.JOB.result` never is, as `'failure'`, is a mistake"},
    {"a != b", "not the same"},
    {"a < b", "less: numbers by their value, everything else as text in byte order"},
    {"a in [b, c]", "one of the list"},
    {"a matches b", "the whole text fits the [pattern](#patterns): `tag matches \"v[0-9]*\"`"},
    {"'text', \"text\"", "text; a quote in it is doubled, or of the other kind"},
    {"12, 1.5, true, false", "numbers and truth values; a text is true when it is not empty"},
    {NULL, NULL},
};

const ExprWord expr_functions[] = {
    {"success()", "everything before went well; only in `if`, as the next three"},
    {"failure()", "something before failed"},
    {"cancelled()", "the build was cancelled; in a job's `if`: a job that it needs was"},
    {"always()", "whatever came before. A cancel of the build ends the jobs that have not begun, whatever "
                 "their `if`: what has to be cleaned up even then is a step"},
    {"contains(a, b)", "the text a holds the text b; or the list a holds the value b"},
    {"changed(a, …)", "a file that fits one of the patterns (`'src/'`: all below it) differs from the commit "
                      "before the push, in a pull request from where it left its target; true where "
                      "that is not known: a new branch, a tag, a start by hand"},
    {"hash(a, …)",
     "the SHA-256 of the workspace's files that fit the patterns, names and contents; in cache keys, in a "
     "job's `env` and in its steps"},
    {NULL, NULL},
};

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
    if (left >= 2 && (s[0] == s[1] || s[1] == '=' || s[1] == '~') && ispunct((unsigned char)s[0]))
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

static bool list_holds(const Parser *p, const Value *list, const Value *v) {
    for (size_t i = 0; i < list->len; i++)
        if (value_equal(&p->items[list->first + i], v))
            return true;
    return false;
}

/* Puts the value where the name stood. */
static void fold(Parser *p, size_t start, size_t end, const Value *v) {
    buf_add(&p->folded, p->text + p->folded_to, start - p->folded_to);
    value_write(v, &p->folded);
    p->folded_to = end;
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

static bool parse_status(Parser *p, const char *name, size_t start, Value *ret) {
    CondStatus status = p->scope->status;

    if (!take(p, ")"))
        return unexpected(p, "\")\": the function takes nothing");
    if (!(p->scope->uses & EXPR_STATUS))
        return mistake(p, start, "%s() is for \"if\"", name);
    p->asked = true;
    if (str_eq(name, "always"))
        *ret = value_bool(true);
    else if (str_eq(name, "success"))
        *ret = value_bool(status == COND_SUCCESS);
    else if (str_eq(name, "failure"))
        *ret = value_bool(status == COND_FAILURE);
    else
        *ret = value_bool(status == COND_CANCELLED);
    return true;
}

/* What stands between the parentheses of name(); NULL behind the last. */
static bool parse_patterns(Parser *p, const char *name, size_t start, const char ***ret, size_t *ret_count) {
    const char **patterns = NULL, *pattern, *fault;
    size_t count = 0;

    do {
        Value v;

        if (!parse_or(p, &v))
            return false;
        if (v.kind == VALUE_LIST || v.len == 0)
            return mistake(p, start, "%s() takes patterns of files: %s('src/**')", name, name);
        pattern = mem_strndup(p->mem, v.text, v.len);
        fault = pattern_fault(pattern, count == 0);
        if (fault)
            return mistake(p, start, "%s(): \"%.40s\" %s", name, pattern, fault);
        mem_append(p->mem, patterns, count, pattern);
    } while (take(p, ","));
    if (!take(p, ")"))
        return unexpected(p, "\",\" or \")\"");
    *ret_count = count;
    mem_append(p->mem, patterns, count, NULL);
    *ret = patterns;
    return true;
}

/* Patterns are checked as they are read: they are the caller's business only where there are files. */
static bool parse_hash(Parser *p, const char *name, size_t start, Value *ret) {
    const char **patterns;
    size_t count;

    if (!(p->scope->uses & EXPR_FILES))
        return mistake(
            p, start,
            "hash() needs the workspace's files: it is for cache keys, a job's \"env\" and its steps");
    if (!parse_patterns(p, name, start, &patterns, &count))
        return false;
    p->late = true;
    *ret = value_text("", 0);
    if (p->scope->late) {
        const char *hash = "";
        int r = p->scope->context->hash(p->scope->context->hash_data, patterns, p->mem, &hash, p->err);

        if (r < 0) {
            p->mistake_at = start;
            return false;
        }
        *ret = value_text(hash, strlen(hash));
    }
    return true;
}

/* Only the planner knows it: the whole call is replaced by its value, whatever stood in it. */
static bool parse_changed(Parser *p, const char *name, size_t start, Value *ret) {
    static const LangPaths none = {0};
    size_t folded = p->folded.len, folded_to = p->folded_to;
    LangPaths wanted;

    if (!parse_patterns(p, name, start, &wanted.items, &wanted.count))
        return false;
    for (size_t i = 0; i < wanted.count; i++)
        if (str_ends(wanted.items[i], "/"))
            wanted.items[i] = mem_printf(p->mem, "%s**", wanted.items[i]);
    *ret = value_bool(changes_fit(p->scope->changes, &wanted, &none));
    p->folded.len = folded;
    p->folded_to = folded_to;
    fold(p, start, p->at, ret);
    return true;
}

static bool parse_contains_call(Parser *p, const char *name, size_t start, Value *ret) {
    return parse_contains(p, ret);
}

static const struct Function {
    const char *name, *takes;
    bool (*parse)(Parser *p, const char *name, size_t start, Value *ret);
} functions[] = {
    {"success", "", parse_status},
    {"failure", "", parse_status},
    {"cancelled", "", parse_status},
    {"always", "", parse_status},
    {"contains", "a, b", parse_contains_call},
    {"changed", "'folder/**'", parse_changed},
    {"hash", "'file'", parse_hash},
};

/* The length of a name with its dots; behind a dot a name of the file's may have dashes. */
static size_t name_length(const Parser *p) {
    const char *s = p->text + p->at;
    size_t left = p->end - p->at, len = 0;

    while (len < left && is_word(s[len]))
        len++;
    while (len + 1 < left && s[len] == '.' && is_word(s[len + 1]))
        for (len++; len < left && (is_word(s[len]) || s[len] == '-');)
            len++;
    return len;
}

static bool parse_name(Parser *p, const char *name, size_t start, size_t len, Value *ret) {
    NameValue value;
    size_t behind = p->at;
    bool call = take(p, "(");

    p->at = start;
    if (!call && *hint(name, strlen(name)))
        return unexpected(p, "a value");
    if (expr_name(name, call, p->scope, &value, p->err) < 0) {
        p->mistake_at = start;
        return false;
    }
    p->at = behind;
    p->late |= value.late;
    if (value.fold)
        fold(p, start, start + len, &value.value);
    *ret = value.value;
    return true;
}

static bool parse_word(Parser *p, Value *ret) {
    size_t start = p->at, len = name_length(p);
    char word[EXPR_MAX_NAME + 1];

    if (len > EXPR_MAX_NAME)
        return mistake(p, start, "a name of more than %d characters", EXPR_MAX_NAME);
    snprintf(word, sizeof(word), "%.*s", (int)len, p->text + start);
    p->at += len;
    if (str_eq(word, "true") || str_eq(word, "false")) {
        *ret = value_bool(word[0] == 't');
        return true;
    }
    for (size_t i = 0; i < ELEMENTS(functions); i++) {
        if (!str_eq(word, functions[i].name))
            continue;
        if (!take(p, "("))
            return mistake(p, start, "\"%s\" is a function: write %s(%s)", word, word, functions[i].takes);
        return functions[i].parse(p, word, start, ret);
    }
    return parse_name(p, word, start, len, ret);
}

/* A quote that is doubled stands for itself. */
static bool parse_quoted(Parser *p, Value *ret) {
    char quote = p->text[p->at];
    size_t start = p->at, doubled = 0;
    char *text;

    for (p->at++;; p->at++) {
        if (p->at >= p->end)
            return mistake(p, start, "the text that begins here has no end: expected %c", quote);
        if (p->text[p->at] != quote)
            continue;
        if (p->at + 1 >= p->end || p->text[p->at + 1] != quote)
            break;
        p->at++;
        doubled++;
    }
    *ret = value_text(p->text + start + 1, p->at - start - 1);
    ret->literal = true;
    p->at++;
    if (doubled == 0)
        return true;
    text = mem_strndup(p->mem, ret->text, ret->len);
    for (size_t from = 0, to = 0; from < ret->len; to++) {
        text[to] = ret->text[from];
        from += ret->text[from] == quote ? 2 : 1;
    }
    text[ret->len - doubled] = '\0';
    ret->text = text;
    ret->len -= doubled;
    return true;
}

static bool parse_number(Parser *p, Value *ret) {
    size_t start = p->at, len = p->text[p->at] == '-';
    Value v;

    while (p->at + len < p->end && (is_word(p->text[p->at + len]) || p->text[p->at + len] == '.'))
        len++;
    v = value_text(p->text + start, len);
    if (!value_number(&v, &v.number))
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
        return value_equal(a, b);
    case COMPARE_NE:
        return !value_equal(a, b);
    case COMPARE_LESS:
        return value_less(a, b);
    case COMPARE_IN:
        return list_holds(p, b, a);
    default:
        return value_fits(a, b);
    }
}

/* One that is known only later is judged then. */
static bool parse_pattern(Parser *p, size_t start, const Value *v) {
    const char *pattern = mem_strndup(p->mem, v->text, v->len), *fault = pattern_fault(pattern, false);

    if (*pattern == '!')
        return mistake(p, start, "\"!\" stands before what it denies: !(branch matches \"wip/*\")");
    return !fault || mistake(p, start, "\"%.40s\" %s", pattern, fault);
}

static bool has_word(const Value *v, const Value *text) {
    const char *const *word = v->words;

    while (*word && (strlen(*word) != text->len || memcmp(*word, text->text, text->len) != 0))
        word++;
    return *word || text->len == 0;
}

/* A word that a name never has makes a condition that never holds, or always: nobody means that. */
static bool check_word(Parser *p, size_t at, const Value *v, const Value *text) {
    _cleanup_buf_ Buf words = BUF_INIT;

    if (p->scope->late || !v->words || !text->literal || has_word(v, text))
        return true;
    for (const char *const *word = v->words; *word; word++)
        buf_addf(&words, "%s\"%s\"", word == v->words ? "" : word[1] ? ", " : " or ", *word);
    return mistake(p, at, "it is never \"%.*s\"; expected %s", (int)MIN(text->len, (size_t)40), text->text,
                   buf_str(&words));
}

static bool check_words(Parser *p, size_t left_at, const Value *left, size_t right_at, const Value *right) {
    bool fine = true;

    for (size_t i = 0; right->kind == VALUE_LIST && fine && i < right->len; i++)
        fine = check_word(p, right_at, left, &p->items[right->first + i]);
    return fine && check_word(p, right_at, left, right) && check_word(p, left_at, right, left);
}

static bool parse_compare(Parser *p, Value *ret) {
    Value left = {0}, right = {0};
    size_t left_at, start;
    Compare how;

    skip_blanks(p);
    start = left_at = p->at;
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
    if (how == COMPARE_MATCHES && !parse_pattern(p, start, &right))
        return false;
    if (how != COMPARE_MATCHES && how != COMPARE_LESS && !check_words(p, left_at, &left, start, &right))
        return false;
    *ret = value_bool(compare(p, how, &left, &right));
    skip_blanks(p);
    start = p->at;
    if (take_compare(p) != COMPARE_NONE)
        return mistake(p, start, "comparisons do not follow each other: use && or ( )");
    return true;
}

/* What && and || give may be either side: which words it can be is not known. */
static Value value_chosen(const Value *v) {
    Value chosen = *v;

    chosen.words = NULL;
    chosen.literal = false;
    return chosen;
}

static bool parse_and(Parser *p, Value *ret) {
    if (!parse_compare(p, ret))
        return false;
    while (take(p, "&&")) {
        Value right;

        if (!parse_compare(p, &right))
            return false;
        if (ret->truth)
            *ret = right;
        *ret = value_chosen(ret);
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
        if (!ret->truth)
            *ret = right;
        *ret = value_chosen(ret);
    }
    p->depth--;
    return true;
}

const char *expr_inner(const char *text, size_t *ret_len) {
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

static bool parse_all(Parser *p, Value *ret) {
    size_t max = p->scope->late ? EXPR_MAX_FOLDED : EXPR_MAX;

    if (p->end - p->at > max)
        return mistake(p, p->at, "longer than %zu bytes", max);
    if (!parse_or(p, ret))
        return false;
    skip_blanks(p);
    return p->at >= p->end || unexpected(p, "an operator or the end");
}

int expr_eval(const char *text, size_t at, size_t len, const ExprScope *scope, const void *mem,
              ExprResult *ret, size_t *ret_at, Err *err) {
    Parser p = {
        .text = text, .at = at, .end = at + len, .scope = scope, .mem = mem, .folded_to = at, .err = err};
    Value v;
    bool fine = parse_all(&p, &v);

    if (fine) {
        buf_add(&p.folded, text + p.folded_to, p.end - p.folded_to);
        *ret = (ExprResult){.value = v, .asked = p.asked, .late = p.late, .folded = buf_dup(&p.folded, mem)};
    } else {
        *ret_at = p.mistake_at;
    }
    buf_done(&p.folded);
    return fine ? 0 : err_negative(-(int)err->code);
}

int expr_condition(const char *text, const ExprScope *scope, const void *mem, bool *ret,
                   const char **ret_folded, size_t *ret_at, Err *err) {
    size_t len;
    const char *inner = expr_inner(text, &len);
    ExprResult result;
    int r;

    if (!*text) {
        *ret = scope->status == COND_SUCCESS;
        if (ret_folded)
            *ret_folded = "";
        return 0;
    }
    r = expr_eval(text, (size_t)(inner - text), len, scope, mem, &result, ret_at, err);
    if (r < 0)
        return r;
    *ret = result.value.truth && (result.asked || scope->status == COND_SUCCESS);
    if (ret_folded)
        *ret_folded = result.folded;
    return 0;
}

unsigned expr_late_uses(const PlanContext *context) {
    return EXPR_NEEDS | EXPR_OUTPUTS | (context->hash ? EXPR_FILES : 0u);
}

int condition_eval(const char *text, const PlanContext *context, CondStatus status, bool *ret, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    ExprScope scope = {
        .context = context, .status = status, .uses = EXPR_STATUS | expr_late_uses(context), .late = true};
    size_t at = 0;
    int r = expr_condition(text, &scope, mem, ret, NULL, &at, err);

    return r < 0 ? err_wrap(err, "column %zu", at + 1) : 0;
}
