/* The needles as one automaton (Aho and Corasick 1975): after each byte its node is the longest end of what
 * was read that a needle begins with. */
#pragma once

#include "secret/needles.h"
#include <stdint.h>
#include <string.h>

typedef struct TrieNode {
    uint32_t fail;     /* the node of the longest end of this one that is a node too */
    uint32_t child;    /* the first; they follow each other */
    uint32_t depth;    /* bytes */
    uint32_t found;    /* length of the longest needle that ends here; 0: none does */
    uint32_t shortest; /* of the needles that begin with this node, the shortest's length */
    uint32_t children;
} TrieNode;

/* Node 0 is the root: nothing read that a needle begins with. */
typedef struct Trie {
    TrieNode *nodes;
    unsigned char *labels; /* a node's last byte */
    uint32_t count;
    uint32_t first[256]; /* the root's child for each byte, or 0 */
} Trie;

/* n is sorted (needles_sort). Freed with mem. */
Trie *trie_new(const void *mem, const Needles *n);

static inline uint32_t trie_child(const Trie *t, uint32_t node, unsigned char byte) {
    const TrieNode *at = &t->nodes[node];
    const unsigned char *labels = t->labels + at->child, *label;

    if (node == 0)
        return t->first[byte];
    if (at->children <= 1)
        return at->children && *labels == byte ? at->child : 0;
    label = memchr(labels, byte, at->children);
    return label ? at->child + (uint32_t)(label - labels) : 0;
}

static inline uint32_t trie_step(const Trie *t, uint32_t node, unsigned char byte) {
    for (;;) {
        uint32_t next = trie_child(t, node, byte);

        if (next || node == 0)
            return next;
        node = t->nodes[node].fail;
    }
}
