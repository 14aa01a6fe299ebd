/* `jobs`: each is read with what it extends, and once for each combination of its matrix. */
#include "pipeline/extend.h"
#include "pipeline/matrix.h"

#include "base/str.h"

static YamlNode *named(LangReader *r, const YamlNode *key, const char *suffix) {
    YamlNode *name = mem_new(r->mem, YamlNode);

    *name = *key;
    name->text = mem_printf(r->mem, "%s %s", key->text, suffix);
    name->len = strlen(name->text);
    return name;
}

static PipeJob *add(LangReader *r, const LangKey *key, const YamlNode *at, LangItems *jobs) {
    PipeJob *items = jobs->items;

    if (jobs->count >= (size_t)key->max) {
        if (jobs->count == (size_t)key->max)
            problems_at(r->problems, at, "more than %lld jobs", (long long)key->max);
        return NULL;
    }
    mem_append(r->mem, items, jobs->count, (PipeJob){0});
    jobs->items = items;
    return &items[jobs->count - 1];
}

/* One job; row NULL: it has no matrix. Gives whether it was without mistakes. */
static bool read_one(LangReader *r, const LangKey *key, const YamlNode *name, const YamlNode *node,
                     const MatrixRow *row, LangItems *jobs) {
    size_t problems = r->problems->count;
    PipeJob *job = add(r, key, name, jobs);

    if (!job)
        return false;
    job->base = name;
    job->name = row ? named(r, name, row->name) : name;
    job->of_matrix = row != NULL;
    r->work += node->weight;
    if (r->work > LANG_MAX_WORK) {
        problems_at(r->problems, NULL, "the file, with its templates and matrices written out, is too large");
        return false;
    }
    r->scope.matrix = row ? row->values : NULL;
    lang_read(r, key->level, node, job);
    r->scope.matrix = NULL;
    job->lacking = r->scope.lacking & EXPR_LACKS_MATRIX;
    job->wrong = r->problems->count != problems;
    return !job->wrong;
}

/* Without its combinations: what is wrong with the job itself is told all the same. */
static void read_without_matrix(LangReader *r, const LangKey *key, const YamlNode *name, const YamlNode *node,
                                LangItems *jobs) {
    unsigned lacking = r->scope.lacking;

    r->scope.lacking |= EXPR_LACKS_MATRIX;
    (void)read_one(r, key, name, node, NULL, jobs);
    r->scope.lacking = lacking;
}

/* A mistake of the job is one of all its combinations: told once. */
static void read_matrix(LangReader *r, const LangKey *key, const YamlNode *name, const YamlNode *node,
                        const YamlNode *matrix, LangItems *jobs) {
    Matrix m;

    if (!matrix_read(r, matrix, &m)) {
        read_without_matrix(r, key, name, node, jobs);
        return;
    }
    for (size_t i = 0; i < m.count; i++)
        if (!read_one(r, key, name, node, &m.rows[i], jobs))
            break;
}

static void read_whole(LangReader *r, const LangKey *key, const YamlPair *pair, const YamlNode *node,
                       LangItems *jobs) {
    const YamlNode *matrix = yaml_get(node, "matrix");

    r->scope.needs = yaml_get(node, "needs");
    if (matrix)
        read_matrix(r, key, pair->key, node, matrix, jobs);
    else
        (void)read_one(r, key, pair->key, node, NULL, jobs);
    r->scope.needs = NULL;
}

static void read_pair(LangReader *r, const LangKey *key, const YamlPair *pair, LangItems *jobs) {
    bool file_lacks = r->problems->lacking, lacking = false;
    unsigned names_lack = r->scope.lacking;
    const YamlNode *node = pair->value;

    if (node->kind == YAML_MAPPING)
        node = templates_extend(r, node, &lacking);
    if (lacking) {
        r->problems->lacking = true;
        r->scope.lacking |= EXPR_LACKS_MATRIX | EXPR_LACKS_NEEDS;
    }
    read_whole(r, key, pair, node, jobs);
    r->problems->lacking = file_lacks;
    r->scope.lacking = names_lack;
}

/* Other jobs may need it all the same. */
static void read_empty(LangReader *r, const LangKey *key, const YamlNode *name, LangItems *jobs) {
    PipeJob *job = add(r, key, name, jobs);

    problems_at(r->problems, name, "%s is empty; expected %s", lang_place(r), key->level->expected);
    if (job)
        *job = (PipeJob){.base = name, .name = name, .lacking = true};
}

static void read_job(LangReader *r, const LangKey *key, const YamlPair *pair, LangItems *jobs) {
    LangPlace place = {.up = r->place, .level = key->level};

    if (!str_is_name(pair->key->text, LANG_MAX_NAME))
        problems_at(r->problems, pair->key,
                    "bad name \"%s\" of a %s; expected letters, digits, _, - and dots, at most %d",
                    problems_show(r->problems, pair->key->text), key->level->noun, LANG_MAX_NAME);
    place.name = pair->key->text;
    r->place = &place;
    if (yaml_is_null(pair->value))
        read_empty(r, key, pair->key, jobs);
    else
        read_pair(r, key, pair, jobs);
    r->place = place.up;
}

void lang_jobs(LangReader *r, const LangKey *key, const YamlNode *node, void *field) {
    LangItems *jobs = field;

    *jobs = (LangItems){0};
    if (node->kind != YAML_MAPPING) {
        lang_expected(r, key, node);
        return;
    }
    if (node->count == 0)
        problems_at(r->problems, node, "\"%s\" is empty; expected %s", key->name, key->expected);
    if (node->count > (size_t)key->max) {
        problems_at(r->problems, node, "more than %lld %ss", (long long)key->max, key->level->noun);
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        read_job(r, key, &node->pairs[i], jobs);
}
