#include "secret/mask.h"

#include "secret/filter.h"
#include "secret/trie.h"

#define HIDDEN "***"

/* Bytes [from, to) of the stream that are part of a form. */
typedef struct Run {
    uint64_t from, to;
} Run;

struct Masker {
    const void *mem;
    const Trie *trie;
    const Filter *filter;
    uint32_t node;  /* of the trie, after all that came */
    uint64_t given; /* bytes of the stream that were given out, or hidden */
    Buf held;       /* those after them */
    Run *runs;      /* in order, apart from each other; none before `given` */
    size_t run_count;
    size_t run_next; /* those before it are done with */
    bool hiding;     /* the byte before `given` is part of a run, whose "***" is out */
    Buf out;
};

static int masker_free(Masker *m) {
    buf_done(&m->held);
    buf_done(&m->out);
    return 0;
}

Masker *mask_new(const void *mem, const char *const *values, size_t count) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    Needles needles = {.mem = scratch};
    Masker *m;

    for (size_t i = 0; i < count; i++)
        needles_add(&needles, values[i], strlen(values[i]));
    if (needles.count == 0)
        return NULL;
    needles_sort(&needles);
    m = mem_new(mem, Masker);
    m->mem = m;
    m->trie = trie_new(m, &needles);
    m->filter = filter_new(m, &needles);
    talloc_set_destructor(m, masker_free);
    return m;
}

/* ---- what is to be hidden ---- */

/* Forms are found by their ends, in order, so only runs at the end can touch. */
static void hide(Masker *m, uint64_t from, uint64_t to) {
    Run run = {MAX(from, m->given), to};

    while (m->run_count > m->run_next && m->runs[m->run_count - 1].to >= run.from) {
        m->run_count--;
        run.from = MIN(run.from, m->runs[m->run_count].from);
        run.to = MAX(run.to, m->runs[m->run_count].to);
    }
    if (run.from < run.to)
        mem_append(m->mem, m->runs, m->run_count, run);
}

/* Reads on until `least`, and then for as long as what was read last may be the beginning of a form that the
 * filter would not find from its first byte on: one of GRAM bytes, or one that began before this data. */
static size_t read_on(Masker *m, const unsigned char *data, size_t at, size_t least, size_t len,
                      uint64_t start) {
    const TrieNode *nodes = m->trie->nodes;
    uint32_t node = m->node;

    while (at < len && (at < least || nodes[node].depth >= FILTER_GRAM || nodes[node].depth > at)) {
        node = trie_step(m->trie, node, data[at++]);
        if (nodes[node].found)
            hide(m, start + at - nodes[node].found, start + at);
    }
    m->node = node;
    return at;
}

/* start: where data begins in the stream. */
static void search(Masker *m, const unsigned char *data, size_t len, uint64_t start) {
    size_t at = read_on(m, data, 0, 0, len, start);

    while (at < len) {
        at = filter_next(m->filter, data, at - m->trie->nodes[m->node].depth, len);
        m->node = 0;
        at = read_on(m, data, at, MIN(at + m->filter->reach, len), len, start);
    }
}

/* ---- giving out ---- */

/* Bytes of the stream from `given` on, which stand at `data`. */
static void give(Masker *m, const unsigned char *data, uint64_t until) {
    while (m->given < until) {
        const Run *run = m->run_next < m->run_count ? &m->runs[m->run_next] : NULL;
        uint64_t to;

        if (run && run->from <= m->given) {
            to = MIN(run->to, until);
            if (!m->hiding)
                buf_adds(&m->out, HIDDEN);
            m->hiding = true;
            if (to == run->to)
                m->run_next++;
        } else {
            to = run ? MIN(run->from, until) : until;
            buf_add(&m->out, data, to - m->given);
            m->hiding = false;
        }
        data += to - m->given;
        m->given = to;
    }
    if (m->run_next == m->run_count)
        m->run_next = m->run_count = 0;
}

/* Nothing to hide, nothing from before: the data itself, without a copy. */
static bool is_clear(const Masker *m) {
    return m->held.len == 0 && m->run_count == 0;
}

static MaskText give_clear(Masker *m, const unsigned char *data, size_t len, size_t keep) {
    buf_add(&m->held, data + len - keep, keep);
    m->given += len - keep;
    m->hiding = m->hiding && len == keep;
    return (MaskText){(const char *)data, len - keep};
}

MaskText mask_feed(Masker *m, const void *data, size_t len) {
    const unsigned char *bytes = data;
    uint64_t start = m->given + m->held.len, sure;
    size_t open, held;

    search(m, bytes, len, start);
    /* of what is held by now the pause may have given out a part */
    open = MIN(m->trie->nodes[m->node].depth, m->held.len + len);
    if (is_clear(m) && open <= len)
        return give_clear(m, bytes, len, open);
    buf_clear(&m->out);
    sure = start + len - open;
    held = (size_t)MIN((uint64_t)m->held.len, sure - m->given);
    give(m, (const unsigned char *)m->held.data, m->given + held);
    buf_drop(&m->held, held);
    if (sure > start) {
        give(m, bytes, sure);
        bytes += sure - start;
        len -= sure - start;
    }
    buf_add(&m->held, bytes, len);
    return (MaskText){buf_str(&m->out), m->out.len};
}

size_t mask_held(const Masker *m) {
    return m->held.len;
}

/* The length of the longest end of what came that is so much of a form's beginning that it is hidden; 0: none
 * is. The longest beginning of all may be little of a long form, and end in nearly all of a short one. */
static uint32_t begun_form(const Trie *trie, uint32_t at) {
    for (; at; at = trie->nodes[at].fail) {
        const TrieNode *node = &trie->nodes[at];

        if (node->depth >= MASK_BEGUN || node->depth * 2 >= node->shortest)
            return node->depth;
    }
    return 0;
}

MaskText mask_pause(Masker *m) {
    uint64_t end = m->given + m->held.len;
    uint32_t begun = begun_form(m->trie, m->node);

    buf_clear(&m->out);
    if (begun)
        hide(m, end - begun, end);
    give(m, (const unsigned char *)m->held.data, end);
    buf_clear(&m->held);
    return (MaskText){buf_str(&m->out), m->out.len};
}

MaskText mask_end(Masker *m) {
    MaskText last = mask_pause(m);

    m->node = 0;
    m->given = 0;
    m->hiding = false;
    return last;
}

bool mask_finds(const Masker *m, const char *text) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    Masker one;

    if (!m)
        return false;
    one = (Masker){.mem = scratch, .trie = m->trie, .filter = m->filter};
    search(&one, (const unsigned char *)text, strlen(text), 0);
    return one.run_count > 0;
}

char *mask_text(const Masker *m, const void *mem, const char *text) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    _cleanup_buf_ Buf all = BUF_INIT;
    Masker one;
    MaskText part;

    if (!m)
        return mem_strdup(mem, text);
    one = (Masker){.mem = scratch, .trie = m->trie, .filter = m->filter};
    part = mask_feed(&one, text, strlen(text));
    buf_add(&all, part.data, part.len);
    part = mask_end(&one);
    buf_add(&all, part.data, part.len);
    masker_free(&one);
    return buf_dup(&all, mem);
}
