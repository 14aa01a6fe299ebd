/* The YAML reader: whatever comes in, a tree within its limits or a mistake with a place. */
#include "base/yaml.h"
#include "fuzz.h"

#include <assert.h>
#include <string.h>

static size_t walk(const YamlNode *node, int depth) {
    size_t nodes = 1;
    bool yes;
    int64_t number;

    assert(depth <= YAML_MAX_DEPTH);
    assert(node->line >= 1 && node->column >= 1);
    if (node->kind == YAML_SCALAR)
        assert(strlen(node->text) == node->len);
    if (yaml_as_bool(node, &yes) || yaml_as_int(node, &number) || yaml_is_float(node))
        assert(node->kind == YAML_SCALAR && !yaml_is_null(node));
    assert(yaml_kind_word(node));
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_SEQUENCE) {
            nodes += walk(node->items[i], depth + 1);
        } else {
            nodes += walk(node->pairs[i].key, depth + 1) + walk(node->pairs[i].value, depth + 1);
            assert(yaml_get(node, node->pairs[i].key->text) == node->pairs[i].value);
        }
        if (i > 200)
            break; /* yaml_get walks from the front */
    }
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *mem = talloc_new(NULL);
    YamlNode *root = NULL;
    int line = 0, column = 0;
    Err err = {0};
    int r = yaml_read((const char *)data, size, mem, &root, &line, &column, &err);

    if (r < 0)
        assert(root == NULL && line >= 1 && column >= 1 && err.msg[0]);
    else if (root)
        assert(walk(root, 1) <= root->weight && root->weight <= YAML_MAX_NODES);
    talloc_free(mem);
    return 0;
}
