#include "pipeline/extend.h"

#include "base/str.h"
#include "pipeline/graph.h"

typedef struct TemplateState {
    const YamlNode *node, *whole; /* whole: with what it extends; NULL: not yet */
    bool open;                    /* it is being put together: who extends it now is in a circle */
    bool lacking;                 /* the whole lacks something that it extends, which was told */
} TemplateState;

struct Templates {
    NameEntry *names;
    const char **words;
    TemplateState *all;
    size_t count;
};

static void check_keys(LangReader *r, const YamlPair *pair) {
    LangPlace place = {.up = r->place, .level = &lang_template, .name = pair->key->text};

    r->place = &place;
    if (pair->value->kind != YAML_MAPPING)
        problems_at(r->problems, pair->value, "%s: expected a mapping of keys of a job, got %s",
                    lang_place(r), yaml_kind_word(pair->value));
    for (size_t i = 0; pair->value->kind == YAML_MAPPING && i < pair->value->count; i++)
        if (!lang_key(&lang_job, pair->value->pairs[i].key->text))
            lang_unknown(r, &lang_job, &pair->value->pairs[i]);
    r->place = place.up;
}

Templates *templates_read(LangReader *r, const YamlNode *node) {
    Templates *t = mem_new(r->mem, Templates);

    t->names = mem_array(t, NameEntry, node->count);
    t->words = mem_array(t, const char *, node->count);
    t->all = mem_array(t, TemplateState, node->count);
    for (size_t i = 0; i < node->count; i++) {
        check_keys(r, &node->pairs[i]);
        t->words[i] = node->pairs[i].key->text;
        t->names[i] = (NameEntry){.name = t->words[i], .index = i};
        t->all[i].node = node->pairs[i].value;
    }
    t->count = node->count;
    names_sort(t->names, t->count);
    return t;
}

/* ---- joining ---- */

static bool spend(LangReader *r, const YamlNode *at, size_t work) {
    if (r->work + work > LANG_MAX_WORK) {
        if (r->work <= LANG_MAX_WORK)
            problems_at(r->problems, at,
                        "the file, with its templates and matrices written out, is too large");
        r->work = LANG_MAX_WORK + 1;
        return false;
    }
    r->work += work;
    return true;
}

static size_t index_of(const YamlNode *mapping, const char *key) {
    size_t i = 0;

    while (i < mapping->count && !str_eq(mapping->pairs[i].key->text, key))
        i++;
    return i;
}

YamlNode *templates_join(LangReader *r, const YamlNode *under, const YamlNode *over) {
    YamlNode *joined = mem_new(r->mem, YamlNode);

    *joined = *over;
    if (!spend(r, over, 1 + under->count * over->count / 16 + under->count))
        return joined;
    joined->pairs = mem_array(r->mem, YamlPair, under->count + over->count);
    memcpy(joined->pairs, under->pairs, under->count * sizeof(YamlPair));
    joined->count = under->count;
    joined->weight = under->weight + over->weight;
    for (size_t i = 0; i < over->count; i++) {
        const YamlPair *pair = &over->pairs[i];
        size_t at = index_of(under, pair->key->text);
        YamlNode *value = pair->value;

        if (at < under->count && value->kind == YAML_MAPPING && under->pairs[at].value->kind == YAML_MAPPING)
            value = templates_join(r, under->pairs[at].value, value);
        joined->pairs[at < under->count ? at : joined->count++] = (YamlPair){pair->key, value};
    }
    return joined;
}

/* ---- extending ---- */

static void extend_once(LangReader *r, TemplateState *state) {
    if (state->whole || state->node->kind != YAML_MAPPING)
        return;
    state->open = true;
    state->whole = templates_extend(r, state->node, &state->lacking);
    state->open = false;
}

/* NULL: it cannot be had, which is told, or may be in a file that is not there. */
static const YamlNode *whole_of(LangReader *r, const YamlNode *name, bool *lacking) {
    Templates *t = r->templates;
    const NameEntry *found = t ? names_find(t->names, t->count, name->text) : NULL;
    const char *nearest = found || !t ? NULL : problems_nearest(r->problems, name->text, t->words, t->count);
    TemplateState *state = found ? &t->all[found->index] : NULL;

    if (!state && r->problems->lacking)
        return NULL;
    if (!state) {
        problems_at(r->problems, name, "\"extends\" of %s: there is no template \"%s\"%s", lang_place(r),
                    problems_show(r->problems, name->text),
                    problems_meant(r->problems, nearest ? problems_show(r->problems, nearest) : NULL));
        return NULL;
    }
    if (state->open) {
        problems_at(r->problems, name, "template \"%s\" extends itself",
                    problems_show(r->problems, name->text));
        return NULL;
    }
    extend_once(r, state);
    *lacking |= state->lacking;
    return state->whole;
}

static bool is_name(const YamlNode *node) {
    return node->kind == YAML_SCALAR && !yaml_is_null(node) && node->len > 0;
}

const YamlNode *templates_extend(LangReader *r, const YamlNode *node, bool *lacking) {
    const YamlNode *names = yaml_get(node, "extends"), *under = NULL, *const *items = &names;
    size_t count = 1;

    if (!names)
        return node;
    if (names->kind == YAML_SEQUENCE) {
        items = (const YamlNode *const *)names->items;
        count = names->count;
    }
    for (size_t i = 0; i < count; i++) {
        bool fine = is_name(items[i]) && count <= LANG_MAX_EXTENDS;
        const YamlNode *whole = fine ? whole_of(r, items[i], lacking) : NULL;

        if (!fine)
            problems_at(r->problems, items[i],
                        "\"extends\" of %s: expected a template's name or a list of at most %d",
                        lang_place(r), LANG_MAX_EXTENDS);
        if (!whole)
            *lacking = true;
        else
            under = under ? templates_join(r, under, whole) : whole;
        if (count > LANG_MAX_EXTENDS)
            break;
    }
    return under ? templates_join(r, under, node) : node;
}

/* Those that no job extends: their mistakes would be found with the first that does. */
void templates_check(LangReader *r) {
    Templates *t = r->templates;
    bool lacking = r->problems->lacking;
    unsigned unknown = r->scope.lacking;

    /* A template alone has no need to be a whole job, and may speak of its jobs' matrix. */
    r->problems->lacking = true;
    r->scope.lacking = EXPR_LACKS_ALL;
    for (size_t i = t ? t->count : 0; i > 0; i--) {
        const TemplateState *state = &t->all[i - 1];
        LangPlace place = {.up = r->place, .level = &lang_template, .name = t->words[i - 1]};
        PipeJob unused = {0};

        if (state->whole || state->node->kind != YAML_MAPPING)
            continue;
        r->place = &place;
        r->scope.needs = yaml_get(state->node, "needs");
        lang_read(r, &lang_job, state->node, &unused);
        r->scope.needs = NULL;
        r->place = place.up;
    }
    r->problems->lacking = lacking;
    r->scope.lacking = unknown;
    for (size_t i = 0; t && i < t->count; i++) {
        LangPlace place = {.up = r->place, .level = &lang_template, .name = t->words[i]};

        r->place = &place;
        extend_once(r, &t->all[i]);
        r->place = place.up;
    }
}
