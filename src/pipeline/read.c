#include "pipeline/read.h"

#include "base/str.h"
#include "pipeline/elsewhere.h"

static void add_place(LangReader *r, const LangPlace *at, Buf *out) {
    for (; at && at->up; at = at->up) {
        if (out->len)
            buf_adds(out, " of ");
        if (at->number)
            buf_addf(out, "%s %zu", at->level->noun, at->number);
        else if (at->level->noun && at->name)
            buf_addf(out, "%s \"%s\"", at->level->noun, problems_show(r->problems, at->name));
        else
            buf_adds(out, at->level->noun ? at->level->noun : at->name);
    }
}

const char *lang_place(LangReader *r) {
    _cleanup_buf_ Buf out = BUF_INIT;

    add_place(r, r->place, &out);
    return buf_dup(&out, r->mem);
}

static const char *in_place(LangReader *r) {
    const char *place = lang_place(r);

    return *place ? mem_printf(r->mem, " in %s", place) : " at the top level";
}

const char *lang_got(LangReader *r, const YamlNode *node) {
    if (node->kind != YAML_SCALAR && node->count == 0)
        return node->kind == YAML_MAPPING ? "an empty mapping" : "an empty list";
    if (node->kind != YAML_SCALAR || yaml_is_null(node))
        return yaml_kind_word(node);
    if (node->len == 0)
        return "an empty string";
    return mem_printf(r->mem, "\"%s\"", problems_show(r->problems, node->text));
}

void lang_expected(LangReader *r, const LangKey *key, const YamlNode *node) {
    const char *place = lang_place(r);
    const char *expected = key->expected ? key->expected : lang_types[key->type].expected;

    problems_at(r->problems, node, "\"%s\"%s%s: expected %s, got %s", key->name, *place ? " of " : "", place,
                expected, lang_got(r, node));
}

static void read_defaults(LangReader *r, const LangLevel *level, void *target) {
    for (size_t i = 0; i < level->count; i++) {
        const LangKey *key = &level->keys[i];
        void *field = (char *)target + key->offset;

        if (key->type == LANG_MAPPING) {
            read_defaults(r, key->level, field);
        } else if (key->fallback) {
            YamlNode *node = mem_new(r->mem, YamlNode);

            *node = (YamlNode){.kind = YAML_SCALAR, .text = key->fallback, .len = strlen(key->fallback)};
            lang_types[key->type].read(r, key, node, field);
        }
    }
}

static const char *all_keys(LangReader *r, const LangLevel *level) {
    _cleanup_buf_ Buf all = BUF_INIT;

    for (size_t i = 0; i < level->count; i++)
        buf_addf(&all, "%s%s",
                 i == 0                 ? "; expected "
                 : i + 1 < level->count ? ", "
                                        : " or ",
                 level->keys[i].name);
    return buf_dup(&all, r->mem);
}

void lang_unknown(LangReader *r, const LangLevel *level, const YamlPair *pair) {
    const char *advice = elsewhere_key(level, pair), *name = pair->key->text;
    const char *nearest = advice ? NULL : lang_nearest(level, name);
    const char *hint = advice    ? mem_printf(r->mem, "; %s", advice)
                       : nearest ? problems_meant(r->problems, nearest)
                                 : all_keys(r, level);

    problems_at(r->problems, pair->key, "unknown key \"%s\"%s%s", problems_show(r->problems, name),
                in_place(r), hint);
}

bool lang_is_tagged(const YamlNode *node) {
    return node->kind == YAML_SCALAR && node->tag && node->tag[0] == '!' && node->tag[1] != '!';
}

static bool is_empty(const YamlNode *node) {
    return node->kind == YAML_SCALAR && (yaml_is_null(node) || node->len == 0);
}

static void read_pair(LangReader *r, const LangLevel *level, const YamlPair *pair, bool early, void *target) {
    const LangKey *key = lang_key(level, pair->key->text);

    if (!key && !early)
        lang_unknown(r, level, pair);
    if (!key || key->early != early)
        return;
    if (lang_is_tagged(pair->value))
        problems_at(r->problems, pair->value, "\"%s\"%s: " LANG_TAGGED, key->name, in_place(r));
    else if (is_empty(pair->value) && key->type != LANG_EXTENDS) /* which extend.c has told */
        problems_at(r->problems, pair->key, "\"%s\"%s is empty; expected %s", key->name, in_place(r),
                    key->expected ? key->expected : lang_types[key->type].expected);
    else
        lang_value(r, key, pair->value, (char *)target + key->offset);
}

static bool has_early(const LangLevel *level) {
    for (size_t i = 0; i < level->count; i++)
        if (level->keys[i].early)
            return true;
    return false;
}

void lang_missing(LangReader *r, const YamlNode *node, const char *key) {
    const LangLevel *level = r->place->level;

    if (r->problems->lacking)
        return;
    for (size_t i = 0; i < node->count; i++) {
        const char *name = node->pairs[i].key->text;

        if (!lang_key(level, name) && (str_eq(lang_nearest(level, name), key) || strchr(name, ' ')))
            return;
    }
    problems_at(r->problems, node, "missing key \"%s\"%s", key, in_place(r));
}

void lang_refuse(LangReader *r, const YamlNode *node, const char *what) {
    problems_at(r->problems, node, "%s: %s", lang_place(r), what);
}

static void check_required(LangReader *r, const LangLevel *level, const YamlNode *node) {
    for (size_t i = 0; i < level->count; i++)
        if (level->keys[i].required && !yaml_get(node, level->keys[i].name))
            lang_missing(r, node, level->keys[i].name);
}

/* Whether the node may stand for the level's short key: `- make`, `artifacts: [a, b]`. */
static bool is_short(const LangLevel *level, const YamlNode *node) {
    const LangKey *key = level->short_key ? lang_key(level, level->short_key) : NULL;

    if (!key)
        return false;
    return node->kind == YAML_SCALAR ||
           (node->kind == YAML_SEQUENCE && (key->type == LANG_PATTERNS || key->type == LANG_GLOBS));
}

void lang_read(LangReader *r, const LangLevel *level, const YamlNode *node, void *target) {
    const char *place;

    read_defaults(r, level, target);
    if (is_short(level, node)) {
        const LangKey *key = lang_key(level, level->short_key);

        lang_value(r, key, node, (char *)target + key->offset);
        return;
    }
    if (node->kind != YAML_MAPPING) {
        place = lang_place(r);
        problems_at(r->problems, node, "%s%sexpected %s, got %s", place, *place ? ": " : "", level->expected,
                    lang_got(r, node));
        return;
    }
    for (size_t i = 0; has_early(level) && i < node->count; i++)
        read_pair(r, level, &node->pairs[i], true, target);
    for (size_t i = 0; i < node->count; i++)
        read_pair(r, level, &node->pairs[i], false, target);
    check_required(r, level, node);
    if (level->check)
        level->check(r, node, target);
}
