#include "pipeline/template.h"

#include "base/str.h"
#include "pipeline/shell.h"

#define SCRIPT_MAX_VALUES 200

/* Where the expression that begins at s ends, at its "}}"; texts in it may hold braces. NULL: nowhere. */
static const char *end_of(const char *s) {
    char quote = '\0';

    for (; *s; s++) {
        if (quote)
            quote = *s == quote ? '\0' : quote;
        else if (*s == '\'' || *s == '"')
            quote = *s;
        else if (s[0] == '}' && s[1] == '}')
            return s;
    }
    return NULL;
}

/* The next expression of the text. */
typedef struct Part {
    const char *before, *open, *behind; /* what is before it, where it opens, what is behind it */
    ExprResult result;
} Part;

/* 0: none is left. */
static int next_part(const char *text, const char *from, const ExprScope *scope, const void *mem, Part *ret,
                     size_t *ret_at, Err *err) {
    const char *open = strstr(from, "${{"), *end = open ? end_of(open + 3) : NULL;
    size_t at;
    int r;

    if (!open)
        return 0;
    *ret_at = at = (size_t)(open - text);
    if (!end)
        return err_set(err, ERR_INVALID, "the ${{ that begins here has no }}");
    *ret = (Part){.before = from, .open = open, .behind = end + 2};
    r = expr_eval(text, at + 3, (size_t)(end - open) - 3, scope, mem, &ret->result, ret_at, err);
    if (r < 0)
        return r;
    if (ret->result.value.kind == VALUE_LIST) {
        *ret_at = at;
        return err_set(err, ERR_INVALID, "expected a text or a number, got a list");
    }
    return 1;
}

/* Whether somebody fills in the rest later. */
static bool goes_on(const ExprScope *scope) {
    return !scope->late && (scope->uses & EXPR_LATE);
}

/* For who does: text that is known now, which must not look like an expression. */
static void add_plain(const char *text, size_t len, Buf *out) {
    Value v = value_text(text, len);

    if (!memmem(text, len, "${{", 3)) {
        buf_add(out, text, len);
        return;
    }
    buf_adds(out, "${{");
    value_write(&v, out);
    buf_adds(out, "}}");
}

/* An expression again, or its value. */
static void add_late(const ExprResult *result, Buf *out) {
    if (result->late)
        buf_addf(out, "${{%s}}", result->folded);
    else
        add_plain(result->value.text, result->value.len, out);
}

/* What is known now is looked at together, however many pieces it is of: "$" and a value that begins with
 * "{{" are one piece to who reads it. */
static void end_plain(Buf *plain, Buf *out) {
    add_plain(buf_str(plain), plain->len, out);
    buf_clear(plain);
}

int template_fill(const char *text, const ExprScope *scope, const void *mem, Template *ret, size_t *ret_at,
                  Err *err) {
    _cleanup_buf_ Buf now = BUF_INIT, later = BUF_INIT, plain = BUF_INIT;
    const char *from = text;
    Template filled = {0};
    Part part;
    int r;

    while ((r = next_part(text, from, scope, mem, &part, ret_at, err)) > 0) {
        const Value *v = &part.result.value;

        filled.whole = part.open == text && !*part.behind;
        filled.kind = v->kind;
        buf_add(&now, from, (size_t)(part.open - from));
        buf_add(&now, v->text, v->len);
        buf_add(&plain, from, (size_t)(part.open - from));
        if (part.result.late) {
            end_plain(&plain, &later);
            add_late(&part.result, &later);
        } else {
            buf_add(&plain, v->text, v->len);
        }
        from = part.behind;
    }
    if (r < 0)
        return r;
    buf_adds(&now, from);
    buf_adds(&plain, from);
    end_plain(&plain, &later);
    if (now.len > EXPR_MAX_FOLDED || later.len > EXPR_MAX_FOLDED)
        return err_set(err, ERR_INVALID, "the text with its values is longer than %d bytes", EXPR_MAX_FOLDED);
    filled.text = buf_dup(goes_on(scope) ? &later : &now, mem);
    *ret = filled;
    return 0;
}

static void add_value(Script *script, const ExprScope *scope, const void *mem, const ExprResult *result,
                      Buf *out) {
    ScriptValue value = {.name = mem_printf(mem, "PELTON_VALUE_%zu", script->count + 1)};
    _cleanup_buf_ Buf later = BUF_INIT;

    add_late(result, &later);
    value.text =
        goes_on(scope) ? buf_dup(&later, mem) : mem_strndup(mem, result->value.text, result->value.len);
    mem_append(mem, script->values, script->count, value);
    buf_addf(out, "${%s}", value.name);
}

int template_script(const char *text, const ExprScope *scope, const void *mem, Script *ret, size_t *ret_at,
                    Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *from = text;
    Script script = {0};
    Shell shell = {0};
    Part part;
    int r;

    while ((r = next_part(text, from, scope, mem, &part, ret_at, err)) > 0) {
        shell_feed(&shell, from, (size_t)(part.open - from));
        *ret_at = (size_t)(part.open - text);
        if (shell_quoted(&shell))
            return err_set(
                err, ERR_INVALID,
                "the shell leaves ${{ … }} as it is in %s; its value comes as a variable: use double "
                "quotes",
                shell_quoted(&shell));
        if (shell_spoilt(&shell))
            return err_set(err, ERR_INVALID,
                           "behind %s the shell does not read the variable that ${{ … }} becomes; for a ${{ "
                           "of your own write ${{ '${{' }}",
                           shell_spoilt(&shell));
        if (script.count == SCRIPT_MAX_VALUES)
            return err_set(err, ERR_INVALID, "more than %d ${{ }} in one command", SCRIPT_MAX_VALUES);
        buf_add(&out, from, (size_t)(part.open - from));
        add_value(&script, scope, mem, &part.result, &out);
        from = part.behind;
    }
    if (r < 0)
        return r;
    buf_adds(&out, from);
    script.text = buf_dup(&out, mem);
    *ret = script;
    return 0;
}

int template_run(const char *text, const PlanContext *context, const void *mem, const char **ret, Err *err) {
    ExprScope scope = {.context = context, .uses = expr_late_uses(context), .late = true};
    Template filled;
    size_t at = 0;
    int r = template_fill(text, &scope, mem, &filled, &at, err);

    if (r < 0)
        return err_wrap(err, "column %zu", at + 1);
    *ret = filled.text;
    return 0;
}
