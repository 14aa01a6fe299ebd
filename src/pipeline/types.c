/* The types of values: how each is read and checked. A function leaves its field alone when the value is bad.
 */
#include "pipeline/elsewhere.h"
#include "pipeline/extend.h"
#include "pipeline/pattern.h"

#include "base/file.h"
#include "base/str.h"
#include <ctype.h>
#include <math.h>

#define CPU_MAX 1024
#define SIZE_MAX_BYTES (INT64_C(1) << 50)

/* A scalar that says something. */
static bool is_text(const YamlNode *node) {
    return node->kind == YAML_SCALAR && !yaml_is_null(node) && node->text[strspn(node->text, " \t\r\n")];
}

static void read_text(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (is_text(node))
        *(const YamlNode **)field = node;
    else
        lang_expected(r, key, node);
}

static void read_name(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (is_text(node) && str_is_name(node->text, LANG_MAX_NAME))
        *(const YamlNode **)field = node;
    else
        lang_expected(r, key, node);
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; words && *words; words++)
        if (str_eq(text, *words))
            return true;
    return false;
}

static void read_word(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    _cleanup_buf_ Buf all = BUF_INIT;
    const char *shown = "", *meant = "", *advice;

    for (size_t i = 0; key->words[i]; i++) {
        if (is_text(node) && str_eq(node->text, key->words[i])) {
            *(const YamlNode **)field = node;
            return;
        }
        buf_addf(&all, "%s\"%s\"", i == 0 ? "" : key->words[i + 1] ? ", " : " or ", key->words[i]);
    }
    if (is_text(node)) {
        shown = mem_printf(r->mem, "\"%s\"", problems_show(r->problems, node->text));
        advice = elsewhere_word(key, node->text);
        meant = advice ? mem_printf(r->mem, "; %s", advice)
                       : problems_meant(r->problems, str_nearest(node->text, key->words));
    } else {
        shown = node->kind == YAML_SCALAR ? "nothing" : yaml_kind_word(node);
    }
    problems_at(r->problems, node, "\"%s\" of %s: expected %s, got %s%s", key->name, lang_place(r),
                buf_str(&all), shown, meant);
}

int lang_column(const LangReader *r, const YamlNode *node, size_t at) {
    const char *line;
    size_t len, skip = 0;
    int column = 1;

    const ProblemSource *source = &r->problems->sources[node->source];

    if (!problems_line(source->text, source->len, node->line, &line, &len))
        return node->column;
    for (size_t i = 0; i < len && column < node->column; skip = ++i)
        if (i + 1 >= len || ((unsigned char)line[i + 1] & 0xC0) != 0x80)
            column++;
    if (node->quoted)
        skip++;
    if (skip + at > len || memcmp(line + skip, node->text, at) != 0)
        return node->column;
    column = node->column + (node->quoted ? 1 : 0);
    for (size_t i = 0; i < at; i++)
        if (((unsigned char)node->text[i] & 0xC0) != 0x80)
            column++;
    return column;
}

/* ---- ${{ }} ---- */

/* ERR_NOT_FOUND: a name that a part of the file may have which is not there. */
static void mistake_in(LangReader *r, const LangKey *key, const YamlNode *node, size_t at, const Err *err) {
    const char *place = lang_place(r);

    if (err->code == ERR_NOT_FOUND)
        return;
    problems_in(r->problems, node, lang_column(r, node, at), "\"%s\"%s%s: %s", key->name,
                *place ? " of " : "", place, err->msg);
}

const YamlNode *lang_fill(LangReader *r, const LangKey *key, const YamlNode *node) {
    YamlNode *filled;
    Template value;
    size_t at = 0;
    Err err;

    if (node->kind != YAML_SCALAR || !template_is(node->text))
        return node;
    r->scope.uses = key->uses;
    if (template_fill(node->text, &r->scope, r->mem, &value, &at, &err) < 0) {
        mistake_in(r, key, node, at, &err);
        return NULL;
    }
    filled = mem_new(r->mem, YamlNode);
    *filled = *node;
    filled->text = value.text;
    filled->len = strlen(value.text);
    filled->quoted = !value.whole || value.kind == VALUE_TEXT;
    return filled;
}

/* Their own readers do it, each in its way. */
static bool fills_itself(LangType type) {
    return type == LANG_CONDITION || type == LANG_SCRIPT || type == LANG_NODE || type == LANG_EVENTS ||
           type >= LANG_MAPPING;
}

void lang_value(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (!fills_itself(key->type))
        node = lang_fill(r, key, node);
    if (node)
        lang_types[key->type].read(r, key, node, field);
}

static void read_condition(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    const char *folded;
    YamlNode *condition;
    bool unused;
    size_t at;
    Err err;

    if (!is_text(node)) {
        lang_expected(r, key, node);
        return;
    }
    r->scope.uses = key->uses;
    if (expr_condition(node->text, &r->scope, r->mem, &unused, &folded, &at, &err) < 0) {
        if (err.code != ERR_NOT_FOUND)
            problems_in(r->problems, node, lang_column(r, node, at), "condition of %s: %s", lang_place(r),
                        err.msg);
        return;
    }
    condition = mem_new(r->mem, YamlNode);
    *condition = *node;
    condition->text = folded;
    condition->len = strlen(folded);
    *(const YamlNode **)field = condition;
}

static void read_template(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (is_text(node))
        *(const YamlNode **)field = node;
    else if (node->kind != YAML_SCALAR || !node->quoted)
        lang_expected(r, key, node);
}

static void read_script(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangScript *script = field;
    size_t at = 0;
    Err err;

    if (!is_text(node)) {
        lang_expected(r, key, node);
        return;
    }
    r->scope.uses = key->uses;
    *script = (LangScript){.node = node, .script = {.text = node->text}};
    if (template_is(node->text) &&
        template_script(node->text, &r->scope, r->mem, &script->script, &at, &err) < 0)
        mistake_in(r, key, node, at, &err);
}

static void read_url_path(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    bool fine = is_text(node) && node->text[0] == '/' && node->len <= 1024;

    for (size_t i = 0; fine && i < node->len; i++)
        fine = isgraph((unsigned char)node->text[i]) != 0;
    if (fine)
        *(const YamlNode **)field = node;
    else
        lang_expected(r, key, node);
}

/* Nothing is what an expression has left: `${{ matrix.slow }}` of a combination that does not say. */
static void read_bool(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (node->kind == YAML_SCALAR && node->len == 0)
        *(bool *)field = false;
    else if (node->kind != YAML_SCALAR || !yaml_as_bool(node, field))
        lang_expected(r, key, node);
}

static void read_int(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    int64_t value;

    if (node->kind == YAML_SCALAR && yaml_as_int(node, &value) && value >= key->min && value <= key->max)
        *(int64_t *)field = value;
    else
        lang_expected(r, key, node);
}

static void read_duration(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    int64_t us;

    if (is_text(node) && str_to_duration(node->text, &us) && us > 0 &&
        us <= (key->max ? key->max : LANG_MAX_TIMEOUT))
        *(int64_t *)field = us;
    else if (is_text(node) && is_one_of(node->text, key->words))
        *(int64_t *)field = LANG_FOREVER;
    else
        lang_expected(r, key, node);
}

static void read_size(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    uint64_t bytes;

    if (!is_text(node) || !str_to_size(node->text, &bytes) || bytes > SIZE_MAX_BYTES)
        lang_expected(r, key, node);
    else if ((int64_t)bytes < key->min)
        problems_at(r->problems, node, "\"%s\" of %s: %s bytes is less than %lld; a unit makes it more: 512M",
                    key->name, lang_place(r), problems_show(r->problems, node->text), (long long)key->min);
    else
        *(int64_t *)field = (int64_t)bytes;
}

static void read_cpu(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    int64_t whole;
    double cpus = 0;

    if (node->kind == YAML_SCALAR && yaml_as_int(node, &whole))
        cpus = (double)whole;
    else if (node->kind == YAML_SCALAR && yaml_is_float(node))
        cpus = strtod(node->text, NULL);
    if (isfinite(cpus) && cpus >= 0.001 && cpus <= CPU_MAX)
        *(int64_t *)field = (int64_t)(cpus * 1000 + 0.5);
    else
        lang_expected(r, key, node);
}

/* "./dist/" → "dist/": what people write and what means the same. */
static const char *plain_path(const char *path) {
    while (path[0] == '.' && path[1] == '/')
        for (path += 2; *path == '/';)
            path++;
    return path;
}

/* "~/x", "$HOME/x", "a/${B}": what only a shell would expand. A "$" further on may belong to a name. */
static bool for_a_shell(const char *path) {
    return (path[0] == '~' && (!path[1] || path[1] == '/')) ||
           (path[0] == '$' && (isalpha((unsigned char)path[1]) || path[1] == '_')) || strstr(path, "${");
}

static void refuse_unexpanded(LangReader *r, const LangKey *key, const YamlNode *node) {
    bool home = node->text[0] == '~' || str_after(node->text, "$HOME") || str_after(node->text, "${HOME}");

    problems_at(r->problems, node, "\"%s\" of %s: \"%s\" %s; expected a path inside the workspace", key->name,
                lang_place(r), problems_show(r->problems, node->text),
                home ? "is in the home folder, of which nothing is kept"
                     : "has a variable, which nothing fills in here (`${{ … }}` would be)");
}

/* text (of the node): a path or pattern inside the workspace, without a leading "./" and slashes at its end;
 * NULL and a problem otherwise. */
static const char *read_path(LangReader *r, const LangKey *key, const YamlNode *node, const char *text) {
    const char *path = plain_path(text), *place, *shown;
    size_t len = strlen(path);
    char *plain;
    Err err;

    while (len > 1 && path[len - 1] == '/')
        len--;
    if (for_a_shell(path)) {
        refuse_unexpanded(r, key, node);
        return NULL;
    }
    plain = mem_strndup(r->mem, path, len);
    if (len == 0 || str_eq(plain, "."))
        return "";
    if (file_check_path(plain, &err) >= 0)
        return plain;
    place = lang_place(r);
    shown = problems_show(r->problems, node->text);
    if (path[0] == '/')
        problems_at(r->problems, node,
                    "\"%s\" of %s: \"%s\" is absolute; expected a path inside the workspace", key->name,
                    place, shown);
    else if (strstr(plain, ".."))
        problems_at(r->problems, node,
                    "\"%s\" of %s: \"%s\" leaves the workspace; expected a path without \"..\"", key->name,
                    place, shown);
    else
        problems_at(r->problems, node, "\"%s\" of %s: %s", key->name, place, err.msg);
    return NULL;
}

static void read_folder(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    const char *path;

    if (!is_text(node)) {
        lang_expected(r, key, node);
        return;
    }
    path = read_path(r, key, node, node->text);
    if (path)
        *(const char **)field = path;
}

bool lang_is_variable(const YamlNode *node) {
    const char *s = node->text;

    if (node->len == 0 || node->len > 255 || isdigit((unsigned char)s[0]))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

/* Gives the variable's value, filled in; NULL: it was refused. */
static const YamlNode *read_variable(LangReader *r, const LangKey *key, const YamlPair *pair) {
    bool named = lang_is_variable(pair->key), ours = key->of_steps && plan_sets_variable(pair->key->text);
    const char *place, *of, *shown;

    if (named && !ours && pair->value->kind == YAML_SCALAR)
        return lang_fill(r, key, pair->value);
    place = lang_place(r);
    of = *place ? " of " : "";
    shown = problems_show(r->problems, pair->key->text);
    if (!named)
        problems_at(
            r->problems, pair->key,
            "\"%s\"%s%s: \"%s\" is no variable's name; expected letters, digits and _, not a digit first",
            key->name, of, place, shown);
    else if (ours)
        problems_at(
            r->problems, pair->key,
            "variable \"%s\" in \"%s\"%s%s: Pelton sets it in every step, over this; take another name",
            shown, key->name, of, place);
    else
        problems_at(r->problems, pair->value, "variable \"%s\" in \"%s\"%s%s: expected a string, got %s",
                    shown, key->name, of, place, yaml_kind_word(pair->value));
    return NULL;
}

/* The mapping with the value in the i-th pair; a copy of it, once one is another one. */
static YamlNode *put_value(LangReader *r, const YamlNode *node, YamlNode *changed, size_t i,
                           const YamlNode *value) {
    if (!changed) {
        changed = mem_new(r->mem, YamlNode);
        *changed = *node;
        changed->pairs = mem_array(r->mem, YamlPair, node->count);
        memcpy(changed->pairs, node->pairs, node->count * sizeof(YamlPair));
    }
    changed->pairs[i].value = (YamlNode *)value;
    return changed;
}

static void read_env(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    YamlNode *changed = NULL;

    if (node->kind != YAML_MAPPING) {
        lang_expected(r, key, node);
        return;
    }
    if (node->count > LANG_MAX_ENV) {
        problems_at(r->problems, node, "\"%s\" has more than %d variables", key->name, LANG_MAX_ENV);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const YamlNode *value = read_variable(r, key, &node->pairs[i]);

        if (value && value != node->pairs[i].value)
            changed = put_value(r, node, changed, i, value);
    }
    *(const YamlNode **)field = changed ? changed : node;
}

static const YamlNode *read_label(LangReader *r, const LangKey *key, const YamlPair *pair) {
    const YamlNode *value = lang_fill(r, key, pair->value);
    const char *shown = problems_show(r->problems, pair->key->text);

    if (!str_is_name(pair->key->text, LANG_MAX_NAME))
        problems_at(r->problems, pair->key,
                    "bad name \"%s\" of a label; expected letters, digits, _, - and dots, at most %d", shown,
                    LANG_MAX_NAME);
    else if (value && (!is_text(value) || value->len > LANG_MAX_LABEL))
        problems_at(r->problems, pair->value,
                    "label \"%s\" in \"%s\" of %s: expected a text of at most %d bytes, got %s", shown,
                    key->name, lang_place(r), LANG_MAX_LABEL, yaml_kind_word(value));
    return value;
}

static void read_labels(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    YamlNode *changed = NULL;

    if (node->kind != YAML_MAPPING || node->count > LANG_MAX_LABELS) {
        lang_expected(r, key, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const YamlNode *value = read_label(r, key, &node->pairs[i]);

        if (value && value != node->pairs[i].value)
            changed = put_value(r, node, changed, i, value);
    }
    *(const YamlNode **)field = changed ? changed : node;
}

/* One text or a list of them: calls `take` for each; the list must not be empty. */
static void each_text(LangReader *r, const LangKey *key, const YamlNode *node, void *field,
                      void (*take)(LangReader *, const LangKey *, const YamlNode *, void *)) {
    if (node->kind == YAML_SCALAR && is_text(node)) {
        take(r, key, node, field);
        return;
    }
    if (node->kind != YAML_SEQUENCE) {
        lang_expected(r, key, node);
        return;
    }
    if (node->count == 0)
        problems_at(r->problems, node, "\"%s\" of %s is empty; leave it out", key->name, lang_place(r));
    for (size_t i = 0; i < node->count; i++) {
        const YamlNode *item = lang_fill(r, key, node->items[i]);

        if (lang_is_tagged(node->items[i]))
            problems_at(r->problems, node->items[i], "\"%s\" of %s: " LANG_TAGGED, key->name, lang_place(r));
        else if (item && is_text(item))
            take(r, key, item, field);
        else if (item)
            problems_at(r->problems, node->items[i], "\"%s\" of %s: expected a string as item %zu, got %s",
                        key->name, lang_place(r), i + 1,
                        node->items[i]->kind == YAML_SCALAR ? "nothing" : yaml_kind_word(node->items[i]));
    }
}

static void take_name(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangNodes *nodes = field;

    mem_append(r->mem, nodes->items, nodes->count, node);
}

static void read_names(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(LangNodes *)field = (LangNodes){0};
    each_text(r, key, node, field, take_name);
}

static void take_word(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    const YamlNode *word = NULL;

    read_word(r, key, node, &word);
    if (word)
        take_name(r, key, word, field);
}

static void read_words(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(LangNodes *)field = (LangNodes){0};
    each_text(r, key, node, field, take_word);
}

static bool is_pattern(LangReader *r, const LangKey *key, const YamlNode *node, bool first) {
    const char *fault = pattern_fault(node->text, first);

    if (fault)
        problems_at(r->problems, node, "\"%s\" of %s: \"%s\" %s", key->name, lang_place(r),
                    problems_show(r->problems, node->text), fault);
    return !fault;
}

static void take_glob(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    const LangNodes *globs = field;
    bool truth;

    if (yaml_as_bool(node, &truth)) /* `push: true` is for no branch of that name */
        lang_expected(r, key, node);
    else if (is_pattern(r, key, node, globs->count == 0))
        take_name(r, key, node, field);
}

static void read_globs(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(LangNodes *)field = (LangNodes){0};
    each_text(r, key, node, field, take_glob);
}

static void take_pattern(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    bool except = node->text[0] == '!';
    LangPaths *paths = field;
    const char *path;

    if (!is_pattern(r, key, node, paths->count == 0))
        return;
    path = read_path(r, key, node, node->text + except);
    if (!path)
        return;
    path = mem_printf(r->mem, "%s%s%s", except ? "!" : "", path,
                      !*path                      ? "**"
                      : str_ends(node->text, "/") ? "/**"
                                                  : "");
    mem_append(r->mem, paths->items, paths->count, path);
}

static void read_patterns(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(LangPaths *)field = (LangPaths){0};
    each_text(r, key, node, field, take_pattern);
}

static void read_mapping(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangPlace place = {.up = r->place, .level = key->level, .name = key->level->noun ? NULL : key->name};

    memset(field, 0, key->level->size);
    r->place = &place;
    lang_read(r, key->level, node, field);
    r->place = place.up;
}

static void read_part(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    void *part = mem_zalloc(r->mem, key->level->size, key->name);

    read_mapping(r, key, node, part);
    *(const YamlNode **)part = node;
    *(void **)field = part;
}

static void read_list(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangPlace place = {.up = r->place, .level = key->level};
    bool single = key->single && (node->kind == YAML_MAPPING ||
                                  (node->kind == YAML_SCALAR && key->level->short_key != NULL));
    YamlNode *const *items = single ? (YamlNode *const *)&node : node->items;
    size_t count = single ? 1 : node->count;
    LangItems *list = field;

    if (node->kind != YAML_SEQUENCE && !single) {
        lang_expected(r, key, node);
        return;
    }
    if (count == 0)
        problems_at(r->problems, node, "\"%s\" of %s is empty; expected %s", key->name, lang_place(r),
                    key->expected);
    if (count > (size_t)key->max - r->listed) {
        problems_at(r->problems, node, "more than %lld %ss in the file", (long long)key->max,
                    key->level->noun);
        return;
    }
    r->listed += count;
    list->items = mem_zalloc(r->mem, count * key->level->size, key->name);
    r->place = &place;
    for (size_t i = 0; i < count; i++) {
        place.number = i + 1;
        if (items[i]->kind == YAML_SCALAR && !is_text(items[i]))
            problems_at(r->problems, items[i], "%s is empty; expected %s", lang_place(r),
                        key->level->expected);
        else
            lang_read(r, key->level, items[i], (char *)list->items + i * key->level->size);
    }
    r->place = place.up;
    list->count = count;
}

/* ---- needs, templates, inputs ---- */

static void read_node(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(const YamlNode **)field = node;
}

static void read_need(LangReader *r, const LangKey *key, const YamlNode *node, size_t number,
                      LangItems *needs) {
    LangPlace place = {.up = r->place, .level = key->level, .number = number};
    const YamlNode *filled = lang_fill(r, key, node);
    PipeNeed *items = needs->items, need = {0};

    if (filled && filled->kind == YAML_MAPPING) {
        r->place = &place;
        lang_read(r, key->level, filled, &need);
        r->place = place.up;
    } else if (filled && is_text(filled)) {
        need.job = filled;
    } else if (filled) {
        problems_at(r->problems, node, "\"%s\" of %s: expected a string as item %zu, got %s", key->name,
                    lang_place(r), number, node->kind == YAML_SCALAR ? "nothing" : yaml_kind_word(node));
    }
    if (!need.job)
        return;
    mem_append(r->mem, items, needs->count, need);
    needs->items = items;
}

static void read_needs(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    *(LangItems *)field = (LangItems){0};
    if (node->kind == YAML_SEQUENCE && node->count == 0)
        problems_at(r->problems, node, "\"%s\" of %s is empty; leave it out", key->name, lang_place(r));
    if (node->kind == YAML_SCALAR && !is_text(node))
        lang_expected(r, key, node);
    else if (node->kind != YAML_SEQUENCE)
        read_need(r, key, node, 1, field);
    for (size_t i = 0; node->kind == YAML_SEQUENCE && i < node->count; i++)
        read_need(r, key, node->items[i], i + 1, field);
}

static void read_templates(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    if (node->kind != YAML_MAPPING) {
        lang_expected(r, key, node);
        return;
    }
    r->templates = templates_read(r, node);
    *(const YamlNode **)field = node;
}

/* Enough for an event, but for one that has times. */
static YamlNode *nothing_at(LangReader *r, const YamlNode *key) {
    const LangKey *event = lang_key(&lang_on, key->text);
    YamlNode *nothing = mem_new(r->mem, YamlNode);

    *nothing = (YamlNode){.kind = event && event->type == LANG_TIMES ? YAML_SCALAR : YAML_MAPPING,
                          .text = "",
                          .line = key->line,
                          .column = key->column,
                          .source = key->source};
    return nothing;
}

/* `push`, `[push, tag]`, `{push: }`: as a mapping of events to mappings. */
static const YamlNode *events_of(LangReader *r, const LangKey *key, const YamlNode *node) {
    YamlNode *events = mem_new(r->mem, YamlNode), *const *items = (YamlNode *const *)&node;
    size_t count = 1;

    if (node->kind == YAML_SEQUENCE) {
        items = node->items;
        count = node->count;
    }
    *events = *node;
    events->kind = YAML_MAPPING;
    events->count = node->kind == YAML_MAPPING ? node->count : count;
    events->pairs = mem_array(r->mem, YamlPair, events->count);
    for (size_t i = 0; i < events->count; i++) {
        YamlPair pair = node->kind == YAML_MAPPING ? node->pairs[i] : (YamlPair){items[i], NULL};

        if (!is_text(pair.key)) {
            lang_expected(r, key, pair.key);
            return NULL;
        }
        if (!pair.value || yaml_is_null(pair.value))
            pair.value = nothing_at(r, pair.key);
        events->pairs[i] = pair;
    }
    return events;
}

static void read_events(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    const YamlNode *events = NULL;

    if (node->kind != YAML_SCALAR && node->count == 0)
        lang_expected(r, key, node);
    else
        events = events_of(r, key, node);
    if (events)
        read_part(r, key, events, field);
}

static void read_input(LangReader *r, const LangKey *key, const YamlPair *pair, PipeInput *input) {
    LangPlace place = {.up = r->place, .level = key->level, .name = pair->key->text};
    static const YamlNode nothing = {.kind = YAML_MAPPING};

    if (!str_is_name(pair->key->text, LANG_MAX_NAME) || strchr(pair->key->text, '.'))
        problems_at(r->problems, pair->key, "bad name \"%s\" of an input; expected letters, digits, _ and -",
                    problems_show(r->problems, pair->key->text));
    r->place = &place;
    lang_read(r, key->level, yaml_is_null(pair->value) ? &nothing : pair->value, input);
    r->place = place.up;
    input->name = pair->key;
}

static void read_inputs(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangItems *inputs = field;

    if (node->kind != YAML_MAPPING || node->count > (size_t)key->max) {
        lang_expected(r, key, node);
        return;
    }
    inputs->items = mem_zalloc(r->mem, node->count * key->level->size, key->name);
    inputs->count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_input(r, key, &node->pairs[i], &((PipeInput *)inputs->items)[i]);
    lang_inputs_take(r, inputs);
}

static void read_item(LangReader *r, const LangKey *key, const YamlPair *pair, void *item) {
    LangPlace place = {.up = r->place, .level = key->level};

    if (!str_is_name(pair->key->text, LANG_MAX_NAME)) {
        problems_at(r->problems, pair->key,
                    "bad name \"%s\" of a %s; expected letters, digits, _, - and dots, at most %d",
                    problems_show(r->problems, pair->key->text), key->level->noun, LANG_MAX_NAME);
        return;
    }
    place.name = pair->key->text;
    r->place = &place;
    if (yaml_is_null(pair->value))
        problems_at(r->problems, pair->key, "%s is empty; expected %s", lang_place(r), key->level->expected);
    else
        lang_read(r, key->level, pair->value, item);
    r->place = place.up;
}

static void read_map(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangItems *map = field;

    if (node->kind != YAML_MAPPING || node->count > (size_t)key->max) {
        lang_expected(r, key, node);
        return;
    }
    map->items = mem_zalloc(r->mem, node->count * key->level->size, key->name);
    for (size_t i = 0; i < node->count; i++) {
        void *item = (char *)map->items + i * key->level->size;

        read_item(r, key, &node->pairs[i], item);
        *(const YamlNode **)item = node->pairs[i].key;
    }
    map->count = node->count;
}

const LangTypeInfo lang_types[LANG_TYPES] = {
    [LANG_TEXT] = {"text", "a string", read_text},
    [LANG_NAME] = {"name", "a name (letters, digits, _, - and dots)", read_name},
    [LANG_WORD] = {"word", "a word", read_word},
    [LANG_CONDITION] = {"condition", "a condition such as branch == \"main\"", read_condition},
    [LANG_TEMPLATE] = {"text", "a text", read_template},
    [LANG_SCRIPT] = {"text", "a command", read_script},
    [LANG_URL_PATH] = {"URL path", "a path of a URL such as /health", read_url_path},
    [LANG_BOOL] = {"true or false", "true or false", read_bool},
    [LANG_INT] = {"number", "a whole number", read_int},
    [LANG_DURATION] = {"duration", "a duration such as 90 (seconds), 30s, 10m or 1h30m, at most 30d",
                       read_duration},
    [LANG_SIZE] = {"size", "a size such as 512M or 4G", read_size},
    [LANG_CPU] = {"number", "a number of processors such as 2 or 0.5, at most 1024", read_cpu},
    [LANG_FOLDER] = {"path", "a folder of the workspace", read_folder},
    [LANG_ENV] = {"mapping", "a mapping of names to strings", read_env},
    [LANG_LABELS] = {"mapping", "a mapping of names to texts", read_labels},
    [LANG_NODE] = {"anything", "a value", read_node},
    [LANG_NEEDS] = {"name or list", "a name or a list of names", read_needs},
    [LANG_EVENTS] = {"event, list or mapping", "a mapping", read_events},
    [LANG_TEMPLATES] = {"mapping", "a mapping", read_templates},
    [LANG_INPUTS] = {"mapping", "a mapping", read_inputs},
    [LANG_ZONE] = {"text", "a time zone", lang_zone},
    [LANG_TIMES] = {"mapping", "a mapping of names to times", lang_times},
    [LANG_NAMES] = {"name or list", "a name or a list of names", read_names},
    [LANG_WORDS] = {"word or list", "a word or a list of words", read_words},
    [LANG_GLOBS] = {"pattern or list", "a pattern or a list of patterns", read_globs},
    [LANG_PATTERNS] = {"pattern or list", "a pattern or a list of patterns", read_patterns},
    [LANG_MAPPING] = {"mapping", "a mapping", read_mapping},
    [LANG_PART] = {"mapping", "a mapping", read_part},
    [LANG_MAP] = {"mapping", "a mapping", read_map},
    [LANG_LIST] = {"list", "a list", read_list},
    [LANG_JOBS] = {"mapping", "a mapping", lang_jobs},
    [LANG_EXTENDS] = {"name or list", "a name or a list of names", read_node},
    [LANG_MATRIX] = {"mapping", "a mapping", read_node},
    [LANG_INCLUDE] = {"file or list", "a file or a list of files", read_node},
};
