/* Types of scalars by the core schema (YAML 1.2.2, section 10.3.2). */
#include "base/yaml.h"

#include "base/str.h"

YamlNode *yaml_get(const YamlNode *mapping, const char *key) {
    if (!mapping || mapping->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count; i++)
        if (str_eq(mapping->pairs[i].key->text, key))
            return mapping->pairs[i].value;
    return NULL;
}

/* The scalar's text when it may be of that type: plain and without a tag, or with that very tag. */
static const char *text_as(const YamlNode *node, const char *tag) {
    if (!node || node->kind != YAML_SCALAR)
        return NULL;
    if (node->tag)
        return str_eq(node->tag, tag) ? node->text : NULL;
    return node->quoted ? NULL : node->text;
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; text && *words; words++)
        if (str_eq(text, *words))
            return true;
    return false;
}

bool yaml_is_null(const YamlNode *node) {
    return is_one_of(text_as(node, "!!null"), (const char *const[]){"", "~", "null", "Null", "NULL", NULL});
}

bool yaml_as_bool(const YamlNode *node, bool *ret) {
    const char *text = text_as(node, "!!bool");
    bool yes = is_one_of(text, (const char *const[]){"true", "True", "TRUE", NULL});

    if (!yes && !is_one_of(text, (const char *const[]){"false", "False", "FALSE", NULL}))
        return false;
    *ret = yes;
    return true;
}

static const char *skip_sign(const char *s) {
    return *s == '-' || *s == '+' ? s + 1 : s;
}

#define DIGITS "0123456789"

static bool is_run(const char *s, const char *of) {
    return *s && !s[strspn(s, of)];
}

static bool looks_int(const char *s) {
    if (s[0] == '0' && s[1] == 'o')
        return is_run(s + 2, "01234567");
    if (s[0] == '0' && s[1] == 'x')
        return is_run(s + 2, "0123456789abcdefABCDEF");
    return is_run(skip_sign(s), DIGITS);
}

static bool of_base(const char *s, int bits, int64_t *ret) {
    uint64_t value = 0;

    for (; *s; s++) {
        if (value >> (63 - bits))
            return false;
        value = value << bits | (uint64_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
    }
    *ret = (int64_t)value;
    return true;
}

bool yaml_as_int(const YamlNode *node, int64_t *ret) {
    const char *text = text_as(node, "!!int");

    if (!text || !looks_int(text))
        return false;
    if (text[0] == '0' && text[1] == 'o')
        return of_base(text + 2, 3, ret);
    if (text[0] == '0' && text[1] == 'x')
        return of_base(text + 2, 4, ret);
    return str_to_i64(*text == '+' ? text + 1 : text, INT64_MIN, INT64_MAX, ret);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_float(const char *s) {
    size_t whole, fraction = 0;

    s = skip_sign(s);
    if (is_one_of(s, (const char *const[]){".inf", ".Inf", ".INF", NULL}))
        return true;
    whole = strspn(s, DIGITS);
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, DIGITS);
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E')
        return is_run(skip_sign(s + 1), DIGITS);
    return !*s;
}

bool yaml_is_float(const YamlNode *node) {
    const char *text = text_as(node, "!!float");

    if (is_one_of(text, (const char *const[]){".nan", ".NaN", ".NAN", NULL}))
        return true;
    return text && !looks_int(text) && looks_float(text);
}

const char *yaml_kind_word(const YamlNode *node) {
    const char *number;
    bool yes;

    if (!node || yaml_is_null(node))
        return "nothing";
    if (node->kind == YAML_SEQUENCE)
        return "a list";
    if (node->kind == YAML_MAPPING)
        return "a mapping";
    if (yaml_as_bool(node, &yes))
        return "true or false";
    number = text_as(node, "!!int");
    return yaml_is_float(node) || (number && looks_int(number)) ? "a number" : "a string";
}
