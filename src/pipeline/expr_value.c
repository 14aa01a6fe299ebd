/* Values of expressions: truth, numbers, text, and how they compare. */
#include "pipeline/expr.h"

#include "base/str.h"

Value value_bool(bool truth) {
    return (Value){
        .kind = VALUE_BOOL, .truth = truth, .text = truth ? "true" : "false", .len = truth ? 4 : 5};
}

Value value_text(const char *text, size_t len) {
    return (Value){.kind = VALUE_TEXT, .truth = len > 0, .text = text, .len = len};
}

bool value_number(const Value *v, double *ret) {
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

Value value_scalar(const YamlNode *node) {
    Value v = value_text(node->text, node->len);
    int64_t whole;
    bool truth;

    if (yaml_is_null(node))
        return value_text("", 0);
    if (yaml_as_bool(node, &truth))
        return value_bool(truth);
    if ((yaml_as_int(node, &whole) || yaml_is_float(node)) && value_number(&v, &v.number)) {
        v.kind = VALUE_NUMBER;
        v.truth = v.number < 0 || v.number > 0;
    }
    return v;
}

bool value_equal(const Value *a, const Value *b) {
    double x, y;

    if ((a->kind == VALUE_NUMBER || b->kind == VALUE_NUMBER) && value_number(a, &x) && value_number(b, &y))
        return !(x < y) && !(x > y);
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

bool value_less(const Value *a, const Value *b) {
    double x, y;
    int order;

    if (value_number(a, &x) && value_number(b, &y))
        return x < y;
    order = memcmp(a->text, b->text, MIN(a->len, b->len));
    return order < 0 || (order == 0 && a->len < b->len);
}

bool value_fits(const Value *v, const Value *pattern) {
    _cleanup_talloc_ char *text = mem_strndup(NULL, v->text, v->len);
    _cleanup_talloc_ char *glob = mem_strndup(NULL, pattern->text, pattern->len);

    return str_glob(glob, text);
}

void value_write(const Value *v, Buf *out) {
    if (v->kind != VALUE_TEXT) {
        buf_add(out, v->text, v->len);
        return;
    }
    buf_addc(out, '\'');
    for (size_t i = 0; i < v->len; i++) {
        if (v->text[i] == '\'')
            buf_addc(out, '\'');
        buf_addc(out, v->text[i]);
    }
    buf_addc(out, '\'');
}
