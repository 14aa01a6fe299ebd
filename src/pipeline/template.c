#include "pipeline/template.h"

#include "base/str.h"
#include "pipeline/condition.h"

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

int template_fill(const char *text, const PlanContext *context, const void *mem, const char **ret,
                  size_t *ret_at, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *at = text;

    for (;;) {
        const char *open = strstr(at, "${{"), *end, *value;
        int r;

        if (!open)
            break;
        end = end_of(open + 3);
        *ret_at = (size_t)(open - text);
        if (!end)
            return err_set(err, ERR_INVALID, "the ${{ that begins here has no }}");
        r = condition_text(text, *ret_at + 3, (size_t)(end - open) - 3, context, mem, &value, ret_at, err);
        if (r < 0)
            return r;
        buf_add(&out, at, (size_t)(open - at));
        buf_adds(&out, value);
        at = end + 2;
    }
    buf_adds(&out, at);
    *ret = buf_dup(&out, mem);
    return 0;
}
