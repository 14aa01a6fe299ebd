#include "secret/trie.h"

/* The needles of a node that is not opened yet: those with its bytes at their front. */
typedef struct Range {
    size_t from, to;
} Range;

/* Of sorted needles each adds what it does not share with the one before. */
static uint32_t count_nodes(const Needles *n) {
    uint32_t count = 1;

    for (size_t i = 0; i < n->count; i++) {
        size_t same = 0;

        while (i > 0 && same < n->items[i - 1].len && n->items[i - 1].bytes[same] == n->items[i].bytes[same])
            same++;
        count += (uint32_t)(n->items[i].len - same);
    }
    return count;
}

/* Needles of the range that have the same byte there make a child. */
static void add_child(Trie *t, uint32_t parent, unsigned char byte, bool ends) {
    TrieNode *up = &t->nodes[parent], *node = &t->nodes[t->count];

    t->labels[t->count] = byte;
    node->depth = up->depth + 1;
    node->fail = parent ? trie_step(t, up->fail, byte) : 0;
    node->found = ends ? node->depth : t->nodes[node->fail].found;
    node->shortest = ends ? node->depth : UINT32_MAX;
    if (up->children++ == 0)
        up->child = t->count;
    if (parent == 0)
        t->first[byte] = t->count;
    t->count++;
}

static void open_node(Trie *t, const Needles *n, uint32_t node, Range *ranges) {
    size_t depth = t->nodes[node].depth, i = ranges[node].from, from;

    if (i < ranges[node].to && n->items[i].len == depth)
        i++;
    while (i < ranges[node].to) {
        unsigned char byte = n->items[i].bytes[depth];

        from = i;
        while (i < ranges[node].to && n->items[i].bytes[depth] == byte)
            i++;
        ranges[t->count] = (Range){from, i};
        add_child(t, node, byte, n->items[from].len == depth + 1);
    }
}

/* Children stand behind their parents: going back, they are known first. */
static void find_shortest(Trie *t) {
    for (uint32_t i = t->count; i-- > 0;)
        for (uint32_t k = 0; k < t->nodes[i].children; k++)
            t->nodes[i].shortest = MIN(t->nodes[i].shortest, t->nodes[t->nodes[i].child + k].shortest);
}

Trie *trie_new(const void *mem, const Needles *n) {
    Trie *t = mem_new(mem, Trie);
    uint32_t size = count_nodes(n);
    _cleanup_talloc_ Range *ranges = mem_array(NULL, Range, size);

    t->nodes = mem_array(t, TrieNode, size);
    t->labels = mem_array(t, unsigned char, size + 1);
    t->nodes[0].shortest = UINT32_MAX;
    t->count = 1;
    ranges[0] = (Range){0, n->count};
    for (uint32_t i = 0; i < t->count; i++)
        open_node(t, n, i, ranges);
    find_shortest(t);
    return t;
}
