#include "base/yaml.h"

#include "base/str.h"
#include "base/yaml_strict.h"
#include <assert.h>
#include <stdarg.h>
#include <yaml.h>

#define TAG_DIRECTIVES_MAX 64
#define FEW_KEYS 12 /* of a mapping: compared with each other */

typedef struct Anchor {
    const char *name;
    YamlNode *node;
    bool open; /* its node is being read: an alias to it would contain itself */
} Anchor;

typedef struct Reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    const void *mem;
    char *chunk; /* what is left of the current piece of memory */
    size_t chunk_left, chunk_size;
    Anchor *anchors; /* in scratch */
    size_t anchor_count;
    YamlNode **stack; /* children of the collections that are open, in scratch */
    size_t stacked;
    void *scratch;
    int nodes, aliases, depth;
    int line, column; /* of the mistake */
    YamlStrict strict;
    YamlMistakes *all; /* NULL: the first mistake ends the reading */
    Err *err;
} Reader;

static void tell(const Reader *r, const char *text) {
    YamlMistake mistake = {.line = r->line, .column = r->column, .text = mem_strdup(r->mem, text)};

    mem_append(r->mem, r->all->items, r->all->count, mistake);
}

static _printf_(4, 5) int mistake_(Reader *r, size_t line, size_t column, const char *fmt, ...) {
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->line = (int)line + 1;
    r->column = (int)column + 1;
    if (r->all)
        tell(r, text);
    return err_set(r->err, ERR_INVALID, "line %d, column %d: %s", r->line, r->column, text);
}

#define mistake(...) err_negative(mistake_(__VA_ARGS__))
#define mistake_at(r, mark, ...) mistake((r), (mark).line, (mark).column, __VA_ARGS__)

/* Nodes and texts are small, many, and go together: pieces of growing size instead of an allocation each. */
static void *take(Reader *r, size_t size) {
    void *p;

    size = (size + 7) & ~(size_t)7;
    if (size > r->chunk_left) {
        r->chunk_size = MIN(MAX(r->chunk_size * 2, (size_t)1024), (size_t)65536);
        r->chunk_left = MAX(r->chunk_size, size);
        r->chunk = mem_zalloc(r->mem, r->chunk_left, "YamlNode");
    }
    p = r->chunk;
    r->chunk += size;
    r->chunk_left -= size;
    return p;
}

static const char *take_text(Reader *r, const void *text, size_t len) {
    char *copy = take(r, len + 1);

    memcpy(copy, text, len);
    return copy;
}

/* Lines and columns (from 0) of a byte, for mistakes that libyaml only gives an offset of. */
static void place_of(const Reader *r, size_t offset, size_t *line, size_t *column) {
    *line = *column = 0;
    for (size_t i = 0; i < MIN(offset, r->len); i++) {
        if (r->text[i] == '\n') {
            ++*line;
            *column = 0;
        } else if (((unsigned char)r->text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

static bool is_tab_at(const Reader *r, const yaml_mark_t *mark) {
    const char *at = r->text, *end = r->text + r->len;

    for (size_t line = 0; line < mark->line && at; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    return at && mark->column < (size_t)(end - at) && at[mark->column] == '\t';
}

static int parser_mistake(Reader *r) {
    const yaml_parser_t *p = &r->parser;
    size_t line, column;

    switch (p->error) {
    case YAML_MEMORY_ERROR:
        return err_set(r->err, ERR_INTERNAL, "out of memory");
    case YAML_READER_ERROR:
        place_of(r, p->problem_offset, &line, &column);
        return mistake(r, line, column, "%s", p->problem);
    default:
        if (is_tab_at(r, &p->problem_mark))
            return mistake_at(r, p->problem_mark, "a tab is not allowed here; indent with spaces");
        if (p->context)
            return mistake_at(r, p->problem_mark, "%s: %s", p->context, p->problem);
        return mistake_at(r, p->problem_mark, "%s", p->problem);
    }
}

static int next_event(Reader *r, yaml_event_t *event) {
    size_t at = 0, line, column;
    const char *wrong;

    if (!yaml_parser_parse(&r->parser, event))
        return parser_mistake(r);
    wrong = yaml_strict_event(&r->strict, event, &at);
    if (!wrong)
        return 0;
    place_of(r, at, &line, &column);
    return mistake(r, line, column, "%s", wrong);
}

static const char *tag_as_written(Reader *r, const yaml_char_t *tag) {
    const char *rest;

    if (!tag)
        return NULL;
    rest = str_after((const char *)tag, "tag:yaml.org,2002:");
    if (!rest)
        return take_text(r, tag, strlen((const char *)tag));
    char *own = take(r, strlen(rest) + 3);

    snprintf(own, strlen(rest) + 3, "!!%s", rest);
    return own;
}

static int new_node(Reader *r, YamlKind kind, const yaml_mark_t *at, const yaml_char_t *tag, YamlNode **ret) {
    YamlNode *node;

    if (++r->nodes > YAML_MAX_NODES)
        return mistake_at(r, *at, "more than %d values", YAML_MAX_NODES);
    node = take(r, sizeof(*node));
    node->kind = kind;
    node->line = (int)at->line + 1;
    node->column = (int)at->column + 1;
    node->tag = tag_as_written(r, tag);
    node->height = 1;
    node->weight = 1;
    *ret = node;
    return 0;
}

/* Gives the anchor's number behind 0, or 0 when there is none. */
static size_t anchor_open(Reader *r, const yaml_char_t *name, YamlNode *node) {
    Anchor anchor = {.node = node, .open = true};

    if (!name)
        return 0;
    anchor.name = take_text(r, name, strlen((const char *)name));
    mem_append(r->scratch, r->anchors, r->anchor_count, anchor);
    return r->anchor_count;
}

static void anchor_close(Reader *r, size_t number) {
    if (number)
        r->anchors[number - 1].open = false;
}

static int read_alias(Reader *r, const yaml_event_t *event, YamlNode **ret) {
    const char *name = (const char *)event->data.alias.anchor;

    if (++r->aliases > YAML_MAX_ALIASES)
        return mistake_at(r, event->start_mark, "more than %d aliases", YAML_MAX_ALIASES);
    for (size_t i = r->anchor_count; i-- > 0;) { /* the last one of a name holds */
        if (!str_eq(r->anchors[i].name, name))
            continue;
        if (r->anchors[i].open)
            return mistake_at(r, event->start_mark, "alias \"%.64s\" would contain itself", name);
        *ret = r->anchors[i].node;
        return 0;
    }
    return mistake_at(r, event->start_mark, "no anchor \"%.64s\" before this alias", name);
}

static int read_scalar(Reader *r, const yaml_event_t *event, YamlNode **ret) {
    YamlNode *node = NULL;
    int res = new_node(r, YAML_SCALAR, &event->start_mark, event->data.scalar.tag, &node);

    if (res < 0)
        return res;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): new_node has not failed */
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->len = event->data.scalar.length;
    if (memchr(event->data.scalar.value, '\0', node->len))
        return mistake_at(r, event->start_mark, "a text must not hold a zero byte");
    node->text = take_text(r, event->data.scalar.value, node->len);
    anchor_close(r, anchor_open(r, event->data.scalar.anchor, node));
    *ret = node;
    return 0;
}

/* A child of a collection that is being read: counts it in, as seen through aliases. */
static int add_child(Reader *r, YamlNode *parent, YamlNode *child, const yaml_mark_t *at) {
    parent->height = MAX(parent->height, child->height + 1);
    parent->weight += child->weight;
    if (r->depth + child->height > YAML_MAX_DEPTH)
        return mistake_at(r, *at, "nested deeper than %d levels", YAML_MAX_DEPTH);
    if (parent->weight > YAML_MAX_NODES)
        return mistake_at(r, *at, "more than %d values, aliases counted as what they stand for",
                          YAML_MAX_NODES);
    mem_append(r->scratch, r->stack, r->stacked, child);
    return 0;
}

static int read_node(Reader *r, const yaml_event_t *event, YamlNode **ret);

/* Reads up to the collection's end; the children are left on the stack. */
static int read_children(Reader *r, YamlNode *parent, yaml_event_type_t end) {
    for (size_t n = 0;; n++) {
        _cleanup_(yaml_event_delete) yaml_event_t event = {0};
        YamlNode *child;
        int res = next_event(r, &event);

        if (res < 0 || event.type == end)
            return res;
        res = read_node(r, &event, &child);
        if (res < 0)
            return res;
        if (parent->kind == YAML_MAPPING && n % 2 == 0 && child->kind != YAML_SCALAR)
            return mistake_at(r, event.start_mark, "expected a text as key, got %s", yaml_kind_word(child));
        res = add_child(r, parent, child, &event.start_mark);
        if (res < 0)
            return res;
    }
}

static int read_sequence(Reader *r, YamlNode *node, size_t from) {
    int res = read_children(r, node, YAML_SEQUENCE_END_EVENT);

    if (res < 0)
        return res;
    node->count = r->stacked - from;
    node->items = take(r, node->count * sizeof(YamlNode *));
    if (node->count)
        memcpy(node->items, r->stack + from, node->count * sizeof(YamlNode *));
    return 0;
}

/* A pair of a mapping on its way in: own ones have rank 0, those of merge keys 1 and up. */
typedef struct Entry {
    YamlPair pair;
    size_t rank, place;
} Entry;

static int compare_places(const void *a, const void *b) {
    const Entry *x = a, *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

static int compare_keys(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    int r = strcmp(x->pair.key->text, y->pair.key->text);

    if (r == 0)
        r = (x->rank > y->rank) - (x->rank < y->rank);
    return r ? r : compare_places(a, b);
}

static bool is_merge_key(const YamlNode *key) {
    return !key->quoted && str_eq(key->text, "<<") && !key->tag;
}

typedef struct Entries {
    void *ctx;
    Entry *list;
    size_t count, rank;
} Entries;

static void entries_add(Entries *e, YamlPair pair, size_t rank) {
    Entry entry = {.pair = pair, .rank = rank, .place = e->count};

    mem_append(e->ctx, e->list, e->count, entry);
}

/* https://yaml.org/type/merge.html: a mapping or a list of mappings; the earlier one wins. */
static int merge(Reader *r, Entries *e, const YamlPair *pair) {
    YamlNode *const *sources = pair->value->kind == YAML_SEQUENCE ? pair->value->items : &pair->value;
    size_t count = pair->value->kind == YAML_SEQUENCE ? pair->value->count : 1;

    for (size_t i = 0; i < count; i++) {
        if (sources[i]->kind != YAML_MAPPING)
            return mistake(r, (size_t)pair->key->line - 1, (size_t)pair->key->column - 1,
                           "\"<<\": expected a mapping or a list of mappings to merge, got %s",
                           yaml_kind_word(sources[i]));
        e->rank++;
        for (size_t j = 0; j < sources[i]->count; j++)
            entries_add(e, sources[i]->pairs[j], e->rank);
    }
    return 0;
}

/* A key that the mapping has already: the one mistake behind which the rest can be read all the same. */
static int repeated(Reader *r, const YamlNode *key, int first) {
    int res = mistake(r, (size_t)key->line - 1, (size_t)key->column - 1,
                      "key \"%.100s\" is here twice (first on line %d)", key->text, first);

    return r->all ? 0 : res;
}

/* Sorted by key, equal ones are neighbours: no input makes this quadratic. Keeps the first of each key. */
static int drop_doubles(Reader *r, Entries *e) {
    size_t kept = 0;

    qsort(e->list, e->count, sizeof(Entry), compare_keys);
    for (size_t i = 0; i < e->count; i++) {
        const YamlNode *key = e->list[i].pair.key;

        if (kept > 0 && str_eq(e->list[kept - 1].pair.key->text, key->text)) {
            if (e->list[i].rank == 0 && repeated(r, key, e->list[kept - 1].pair.key->line) < 0)
                return -ERR_INVALID;
            continue;
        }
        e->list[kept++] = e->list[i];
    }
    e->count = kept;
    qsort(e->list, e->count, sizeof(Entry), compare_places);
    return 0;
}

/* Whether the keys on the stack are few, all different, and merge nothing: so they nearly always are. */
static bool is_plain(const Reader *r, size_t from) {
    if (r->stacked - from > 2 * FEW_KEYS)
        return false;
    for (size_t i = from; i < r->stacked; i += 2) {
        if (is_merge_key(r->stack[i]))
            return false;
        for (size_t k = from; k < i; k += 2)
            if (r->stack[k]->len == r->stack[i]->len && str_eq(r->stack[k]->text, r->stack[i]->text))
                return false;
    }
    return true;
}

static void take_plain(Reader *r, YamlNode *node, size_t from) {
    node->count = (r->stacked - from) / 2;
    node->pairs = take(r, node->count * sizeof(YamlPair));
    for (size_t i = 0; i < node->count; i++)
        node->pairs[i] = (YamlPair){r->stack[from + 2 * i], r->stack[from + 2 * i + 1]};
}

static int take_merged(Reader *r, YamlNode *node, size_t from) {
    _cleanup_talloc_ void *ctx = talloc_new(r->scratch);
    Entries e = {.ctx = ctx};
    int merged = 0, res = 0; /* the line of the merge key */

    for (size_t i = from; res >= 0 && i + 1 < r->stacked; i += 2) {
        YamlPair pair = {r->stack[i], r->stack[i + 1]};

        if (is_merge_key(pair.key) && merged) {
            res = repeated(r, pair.key, merged);
        } else if (is_merge_key(pair.key)) {
            merged = pair.key->line;
            res = merge(r, &e, &pair);
        } else {
            entries_add(&e, pair, 0);
        }
    }
    if (res >= 0 && e.count > 1)
        res = drop_doubles(r, &e);
    if (res < 0)
        return res;
    node->count = e.count;
    node->pairs = take(r, e.count * sizeof(YamlPair));
    for (size_t i = 0; i < e.count; i++)
        node->pairs[i] = e.list[i].pair;
    return 0;
}

static int read_mapping(Reader *r, YamlNode *node, size_t from) {
    int res = read_children(r, node, YAML_MAPPING_END_EVENT);

    if (res < 0)
        return res;
    if (!is_plain(r, from))
        return take_merged(r, node, from);
    take_plain(r, node, from);
    return 0;
}

static int read_collection(Reader *r, const yaml_event_t *event, YamlKind kind, YamlNode **ret) {
    bool list = kind == YAML_SEQUENCE;
    const yaml_char_t *tag = list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    const yaml_char_t *name = list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    size_t from = r->stacked, anchor;
    YamlNode *node = NULL;
    int res = new_node(r, kind, &event->start_mark, tag, &node);

    if (res < 0)
        return res;
    if (r->depth >= YAML_MAX_DEPTH)
        return mistake_at(r, event->start_mark, "nested deeper than %d levels", YAML_MAX_DEPTH);
    anchor = anchor_open(r, name, node);
    r->depth++;
    res = list ? read_sequence(r, node, from) : read_mapping(r, node, from);
    r->depth--;
    r->stacked = from;
    anchor_close(r, anchor);
    if (res >= 0)
        *ret = node;
    return res;
}

static int read_node(Reader *r, const yaml_event_t *event, YamlNode **ret) {
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, event, ret);
    case YAML_SCALAR_EVENT:
        return read_scalar(r, event, ret);
    case YAML_SEQUENCE_START_EVENT:
        return read_collection(r, event, YAML_SEQUENCE, ret);
    case YAML_MAPPING_START_EVENT:
        return read_collection(r, event, YAML_MAPPING, ret);
    default:
        return mistake_at(r, event->start_mark, "expected a value");
    }
}

/* The next event when it is of the type; else leaves *ret false. */
static int expect(Reader *r, yaml_event_type_t type, bool *ret, yaml_mark_t *at) {
    _cleanup_(yaml_event_delete) yaml_event_t event = {0};
    int res = next_event(r, &event);

    if (res < 0)
        return res;
    *ret = event.type == type;
    *at = event.start_mark;
    return 0;
}

static int read_document(Reader *r, YamlNode **ret) {
    _cleanup_(yaml_event_delete) yaml_event_t event = {0};
    yaml_mark_t at;
    bool fits;
    int res = expect(r, YAML_STREAM_START_EVENT, &fits, &at);

    if (res >= 0)
        res = expect(r, YAML_DOCUMENT_START_EVENT, &fits, &at);
    if (res < 0 || !fits)
        return res;
    res = next_event(r, &event);
    if (res >= 0)
        res = read_node(r, &event, ret);
    if (res >= 0)
        res = expect(r, YAML_DOCUMENT_END_EVENT, &fits, &at);
    if (res >= 0)
        res = expect(r, YAML_STREAM_END_EVENT, &fits, &at);
    if (res >= 0 && !fits)
        return mistake_at(r, at, "a second document begins; only one is read");
    return res;
}

/* libyaml compares each %TAG with all before it: a megabyte of them takes minutes. */
static int check_directives(Reader *r) {
    const char *end = r->text + r->len;
    size_t line = 0;
    int count = 0;

    for (const char *at = r->text; at; line++) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((nl ? nl : end) - at);
        const char *hash = len > 5 && memcmp(at, "%YAML", 5) == 0 ? memchr(at, '#', len) : NULL;

        if (hash && hash[-1] != ' ' && hash[-1] != '\t')
            return mistake(r, line, (size_t)(hash - at),
                           "a comment begins behind a blank: put one before the #");
        if (end - at > 4 && memcmp(at, "%TAG", 4) == 0 && ++count > TAG_DIRECTIVES_MAX)
            return mistake(r, line, 0, "more than %d %%TAG directives", TAG_DIRECTIVES_MAX);
        at = memchr(at, '\n', (size_t)(end - at));
        at = at && at + 1 < end ? at + 1 : NULL;
    }
    return 0;
}

static int read_all(Reader *r, YamlNode **ret_root) {
    YamlNode *root = NULL;
    int res = check_directives(r);

    if (res < 0)
        return res;
    if (!yaml_parser_initialize(&r->parser))
        return err_set(r->err, ERR_INTERNAL, "out of memory");
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_strict_init(&r->strict, r->text, r->len);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->len);
    res = read_document(r, &root);
    yaml_parser_delete(&r->parser);
    if (res >= 0)
        *ret_root = root;
    return res;
}

int yaml_read(const char *text, size_t len, const void *mem, YamlNode **ret_root, int *ret_line,
              int *ret_column, Err *err) {
    return yaml_read_large(text, len, YAML_MAX_BYTES, mem, ret_root, ret_line, ret_column, err);
}

/* libyaml takes a last line of spaces alone, without a line break, for text. */
static void end_last_line(Reader *r) {
    size_t from = r->len;
    char *copy;

    while (from > 0 && r->text[from - 1] == ' ')
        from--;
    if (from == r->len || from == 0 || r->text[from - 1] != '\n')
        return;
    copy = mem_array(r->scratch, char, r->len + 2);
    memcpy(copy, r->text, r->len);
    copy[r->len++] = '\n';
    r->text = copy;
}

static int read_text(Reader *r, size_t max, YamlNode **ret_root) {
    int res;

    if (r->len > max)
        return err_set(r->err, ERR_TOO_LARGE, "over %zu bytes", max);
    if (r->len >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0) {
        r->text += 3;
        r->len -= 3;
    }
    r->scratch = talloc_new(NULL);
    end_last_line(r);
    res = read_all(r, ret_root);
    talloc_free(r->scratch);
    return res;
}

void yaml_read_on(const char *text, size_t len, size_t max, const void *mem, YamlNode **ret_root,
                  YamlMistakes *ret) {
    Err err;
    Reader r = {
        .text = len ? text : "", .len = len, .mem = mem, .line = 1, .column = 1, .all = ret, .err = &err};

    *ret_root = NULL;
    *ret = (YamlMistakes){0};
    if (read_text(&r, max, ret_root) < 0 && ret->count == 0)
        tell(&r, err.msg);
}

int yaml_read_large(const char *text, size_t len, size_t max, const void *mem, YamlNode **ret_root,
                    int *ret_line, int *ret_column, Err *err) {
    Reader r = {.text = len ? text : "", .len = len, .mem = mem, .line = 1, .column = 1};
    Err own;
    int res;

    r.err = err ? err : &own;
    res = read_text(&r, max, ret_root);
    if (res < 0 && ret_line)
        *ret_line = r.line;
    if (res < 0 && ret_column)
        *ret_column = r.column;
    return res;
}
