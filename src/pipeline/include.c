#include "pipeline/include.h"

#include "base/file.h"
#include "base/str.h"

/* A file that is being read, and how it came in. */
typedef struct Including {
    const struct Including *by; /* NULL: the pipeline file itself */
    const char *path;
    int depth;
} Including;

static const YamlNode *with_includes(LangReader *r, const YamlNode *root, const Including *of);

/* Aliases are shared nodes: each is seen as often as it is used, at most YAML_MAX_NODES in all. */
static void mark(YamlNode *node, uint16_t source) {
    node->source = source;
    for (size_t i = 0; node->kind == YAML_SEQUENCE && i < node->count; i++)
        mark(node->items[i], source);
    for (size_t i = 0; node->kind == YAML_MAPPING && i < node->count; i++) {
        node->pairs[i].key->source = source;
        mark(node->pairs[i].value, source);
    }
}

static const YamlNode *path_of(LangReader *r, const YamlNode *entry) {
    const YamlNode *path = entry;

    if (entry->kind == YAML_MAPPING)
        path = yaml_get(entry, "file");
    if (!path || path->kind != YAML_SCALAR || yaml_is_null(path) || path->len == 0 ||
        (entry->kind == YAML_MAPPING && entry->count > 1)) {
        problems_at(r->problems, entry, "\"include\": expected a file or a mapping with \"file\" alone");
        return NULL;
    }
    if (file_check_path(path->text, NULL) < 0) {
        problems_at(
            r->problems, path,
            "\"include\": \"%s\" is no file of the commit; expected its path from the root, as ci/common.yml",
            problems_show(r->problems, path->text));
        return NULL;
    }
    return path;
}

/* What is in the file; NULL: it cannot be read. */
static const char *content_of(LangReader *r, const YamlNode *path, size_t *ret_len) {
    const PlanSource *source = r->context->source;
    const char *text, *shown = problems_show(r->problems, path->text);
    Err err;

    if (r->included++ >= LANG_MAX_INCLUDES) {
        problems_at(r->problems, path, "\"include\": more than %d files", LANG_MAX_INCLUDES);
        return NULL;
    }
    if (!source || !source->file) {
        problems_at(r->problems, path, "\"include\": \"%s\" cannot be read here", shown);
        return NULL;
    }
    if (source->file(source->data, path->text, r->mem, &text, ret_len, &err) < 0) {
        problems_at(r->problems, path, "\"include\": %s",
                    err.code == ERR_NOT_FOUND
                        ? mem_printf(r->mem, "there is no file \"%s\" in the commit", shown)
                        : problems_show(r->problems, err.msg));
        return NULL;
    }
    return text;
}

static bool is_open(const Including *of, const char *path) {
    for (; of->by; of = of->by)
        if (str_eq(of->path, path))
            return true;
    return false;
}

/* named: where the file is asked for; NULL: nowhere. */
static const YamlNode *read_text(LangReader *r, const ProblemSource *source, const YamlNode *named,
                                 const Including *of) {
    uint16_t number = (uint16_t)r->problems->source_count;
    size_t work, before = r->problems->count;
    YamlNode *root;

    mem_append(r->mem, r->problems->sources, r->problems->source_count, *source);
    root = problems_yaml(r->problems, source->text, source->len, YAML_MAX_BYTES, number, "");
    if (!root && r->problems->count > before)
        return NULL;
    if (!root || root->kind != YAML_MAPPING) {
        problems_at(r->problems, named, "\"include\": \"%s\": expected a mapping, got %s",
                    problems_show(r->problems, source->file), yaml_kind_word(root));
        return NULL;
    }
    work = r->work + root->weight;
    r->work = MIN(work, (size_t)LANG_MAX_WORK);
    mark(root, number);
    return with_includes(r, root, of);
}

static const YamlNode *read_file(LangReader *r, const YamlNode *path, const Including *by) {
    Including of = {.by = by, .path = path->text, .depth = by->depth + 1};
    ProblemSource source = {.file = path->text};

    if (is_open(by, path->text)) {
        problems_at(r->problems, path, "\"include\": \"%s\" includes itself",
                    problems_show(r->problems, path->text));
        return NULL;
    }
    source.text = content_of(r, path, &source.len);
    return source.text ? read_text(r, &source, path, &of) : NULL;
}

/* A file that cannot be had is told; what the others have is read all the same. */
static const YamlNode *with_includes(LangReader *r, const YamlNode *root, const Including *of) {
    const YamlNode *list = yaml_get(root, "include"), *under = NULL, *const *items = &list;
    size_t count = 1;

    if (!list)
        return root;
    if (list->kind == YAML_SEQUENCE) {
        items = (const YamlNode *const *)list->items;
        count = list->count;
    }
    if (of->depth > LANG_MAX_INCLUDE_DEPTH) {
        problems_at(r->problems, list, "files include each other deeper than %d levels",
                    LANG_MAX_INCLUDE_DEPTH);
        r->problems->lacking = true;
        return root;
    }
    for (size_t i = 0; i < MIN(count, LANG_MAX_INCLUDES + 1); i++) {
        const YamlNode *path = path_of(r, items[i]), *file = path ? read_file(r, path, of) : NULL;

        if (!file)
            r->problems->lacking = true;
        else
            under = under ? templates_join(r, under, file) : file;
    }
    return under ? templates_join(r, under, root) : root;
}

const YamlNode *include_all(LangReader *r, const YamlNode *root) {
    return root->kind == YAML_MAPPING ? with_includes(r, root, &(Including){0}) : root;
}

/* What a file says of all its jobs; the rest is of the whole build, which is there. */
static const YamlNode *said_of_jobs(LangReader *r, const YamlNode *file) {
    static const char *const keys[] = {"env", "templates", "inputs", "queue-timeout"};
    YamlNode *node = mem_new(r->mem, YamlNode);

    *node = *file;
    node->count = 0;
    node->pairs = mem_array(r->mem, YamlPair, ELEMENTS(keys));
    for (size_t i = 0; i < file->count; i++)
        for (size_t k = 0; k < ELEMENTS(keys); k++)
            if (str_eq(file->pairs[i].key->text, keys[k]))
                node->pairs[node->count++] = file->pairs[i];
    return node;
}

const YamlNode *include_beneath(LangReader *r, const YamlNode *root, const PlanFile *whole) {
    ProblemSource source = {.file = whole->name, .text = whole->text, .len = whole->len};
    const YamlNode *under =
        whole->text && root->kind == YAML_MAPPING ? read_text(r, &source, NULL, &(Including){0}) : NULL;

    return under ? templates_join(r, said_of_jobs(r, under), root) : root;
}
