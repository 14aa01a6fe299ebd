#include "pipeline/matrix.h"

#include "base/str.h"
#include "pipeline/graph.h"

#define NAME_VALUE_MAX 40 /* bytes of a value in a job's name */

typedef struct Row {
    const YamlNode **cells; /* for each column; NULL: no value */
    bool included;          /* by `include` alone: no combination of the axes */
} Row;

/* The axes are the first columns; names that only `include` has come behind them. */
typedef struct Table {
    LangReader *r;
    void *mem;
    const YamlNode **names;
    size_t columns, axes;
    Row *rows;
    size_t count;
    bool bad;
} Table;

static const LangKey matrix_key = {.name = "matrix"};

static _printf_(3, 4) void refuse(Table *t, const YamlNode *at, const char *fmt, ...) {
    va_list ap;
    char text[300];

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problems_at(t->r->problems, at, "\"matrix\" of %s: %s", lang_place(t->r), text);
    t->bad = true;
}

static const char *shown(Table *t, const YamlNode *node) {
    return problems_show(t->r->problems, node->text);
}

static bool is_special(const YamlNode *name) {
    return str_eq(name->text, "include") || str_eq(name->text, "exclude");
}

static size_t column_of(const Table *t, const char *name) {
    size_t i = 0;

    while (i < t->columns && !str_eq(t->names[i]->text, name))
        i++;
    return i;
}

static bool good_name(const YamlNode *name) {
    return str_is_name(name->text, LANG_MAX_NAME) && !strchr(name->text, '.');
}

/* A value, filled in; NULL: refused. */
static const YamlNode *value_of(Table *t, const YamlNode *name, const YamlNode *node) {
    const YamlNode *value = lang_fill(t->r, &matrix_key, node);

    if (value && value->kind == YAML_SCALAR && value->len <= LANG_MAX_MATRIX_VALUE)
        return value;
    if (value && value->kind == YAML_SCALAR)
        refuse(t, node, "a value of \"%s\" has more than %d bytes", shown(t, name), LANG_MAX_MATRIX_VALUE);
    else if (value)
        refuse(t, node, "\"%s\": expected texts or numbers, got %s", shown(t, name), lang_got(t->r, value));
    t->bad = true;
    return NULL;
}

/* ---- axes ---- */

/* A column for it, also when its name is bad: what else says that name is not wrong as well. */
static void add_name(Table *t, const YamlNode *name) {
    if (t->columns == LANG_MAX_MATRIX_NAMES) {
        refuse(t, name, "more than %d names", LANG_MAX_MATRIX_NAMES);
        return;
    }
    if (!good_name(name))
        refuse(t, name, "bad name \"%s\"; expected letters, digits, _ and -", shown(t, name));
    mem_append(t->mem, t->names, t->columns, name);
}

static bool has_values(Table *t, const YamlNode *name, const YamlNode *node) {
    bool fine =
        node->kind == YAML_SEQUENCE ? node->count > 0 : node->kind == YAML_SCALAR && !yaml_is_null(node);

    if (!fine)
        refuse(t, node, "\"%s\": expected a list of values, got %s", shown(t, name), lang_got(t->r, node));
    return fine;
}

static size_t axis_values(const YamlNode *node, const YamlNode *const **ret, const YamlNode *const *one) {
    *ret = node->kind == YAML_SEQUENCE ? (const YamlNode *const *)node->items : one;
    return node->kind == YAML_SEQUENCE ? node->count : 1;
}

static void add_row(Table *t, const Row *row) {
    if (t->count < LANG_MAX_MATRIX)
        mem_append(t->mem, t->rows, t->count, *row);
    else if (!t->bad)
        refuse(t, NULL, "more than %d combinations", LANG_MAX_MATRIX);
}

/* Each row so far, with each value of one more axis. false: they are too many. */
static bool multiply(Table *t, size_t column, const YamlNode *node) {
    const YamlNode *const *values, *const *one = &node;
    size_t count = axis_values(node, &values, one), before = t->count;
    Row *rows = t->rows;
    const YamlNode **filled;

    if (before * count > LANG_MAX_MATRIX) {
        refuse(t, node, "more than %d combinations", LANG_MAX_MATRIX);
        return false;
    }
    filled = mem_array(t->mem, const YamlNode *, count);
    for (size_t i = 0; i < count; i++)
        filled[i] = value_of(t, t->names[column], values[i]);
    t->rows = NULL;
    t->count = 0;
    for (size_t i = 0; i < before; i++)
        for (size_t k = 0; k < count; k++) {
            Row row = {.cells = mem_array(t->mem, const YamlNode *, LANG_MAX_MATRIX_NAMES)};

            memcpy(row.cells, rows[i].cells, column * sizeof(*row.cells));
            row.cells[column] = filled[k];
            add_row(t, &row);
        }
    return true;
}

static void read_axes(Table *t, const YamlNode *node) {
    Row empty = {.cells = mem_array(t->mem, const YamlNode *, LANG_MAX_MATRIX_NAMES)};

    bool few = true;

    for (size_t i = 0; i < node->count; i++)
        if (!is_special(node->pairs[i].key))
            add_name(t, node->pairs[i].key);
    t->axes = t->columns;
    if (t->axes == 0)
        return;
    add_row(t, &empty);
    for (size_t i = 0; i < t->axes && few; i++) {
        const YamlNode *values = yaml_get(node, t->names[i]->text);

        if (has_values(t, t->names[i], values))
            few = multiply(t, i, values);
    }
}

/* ---- exclude and include ---- */

static bool same(const YamlNode *a, const YamlNode *b) {
    Value x, y;

    if (!a || !b)
        return false;
    x = value_scalar(a);
    y = value_scalar(b);
    return value_equal(&x, &y);
}

/* An entry of one of the lists: its values by column, from its mapping. */
typedef struct Entry {
    const YamlNode *cells[LANG_MAX_MATRIX_NAMES];
} Entry;

static bool read_entry(Table *t, const YamlNode *node, bool may_add, Entry *entry) {
    bool was_bad = t->bad, fine;

    *entry = (Entry){0};
    t->bad = false;
    if (node->kind != YAML_MAPPING || node->count == 0)
        refuse(t, node, "expected a mapping of names to values, got %s", lang_got(t->r, node));
    for (size_t i = 0; i < node->count && node->kind == YAML_MAPPING; i++) {
        const YamlPair *pair = &node->pairs[i];
        size_t column = column_of(t, pair->key->text);

        if (column == t->columns && !may_add)
            refuse(t, pair->key, "excludes by \"%s\", which is none of its names", shown(t, pair->key));
        else if (column == t->columns)
            add_name(t, pair->key);
        if (column < t->columns)
            entry->cells[column] = value_of(t, pair->key, pair->value);
    }
    fine = !t->bad;
    t->bad |= was_bad;
    return fine;
}

static bool fits(const Table *t, const Row *row, const Entry *entry) {
    for (size_t c = 0; c < t->axes; c++)
        if (entry->cells[c] && !same(row->cells[c], entry->cells[c]))
            return false;
    return true;
}

static void exclude(Table *t, const YamlNode *node) {
    Entry entry;
    size_t kept = 0;

    if (!read_entry(t, node, false, &entry))
        return;
    for (size_t i = 0; i < t->count; i++)
        if (!fits(t, &t->rows[i], &entry))
            t->rows[kept++] = t->rows[i];
    t->count = kept;
}

static void put(const Table *t, Row *row, const Entry *entry) {
    for (size_t c = 0; c < t->columns; c++)
        if (entry->cells[c])
            row->cells[c] = entry->cells[c];
}

/* Adds to the combinations that have the entry's values of the axes; or else is a combination of its own. */
static void include(Table *t, const YamlNode *node) {
    Row row = {.cells = mem_array(t->mem, const YamlNode *, LANG_MAX_MATRIX_NAMES), .included = true};
    bool any = false;
    Entry entry;

    if (!read_entry(t, node, true, &entry))
        return;
    for (size_t i = 0; i < t->count; i++)
        if (!t->rows[i].included && fits(t, &t->rows[i], &entry)) {
            put(t, &t->rows[i], &entry);
            any = true;
        }
    if (any)
        return;
    put(t, &row, &entry);
    add_row(t, &row);
}

static void each_entry(Table *t, const YamlNode *node, const char *key,
                       void (*take)(Table *, const YamlNode *)) {
    const YamlNode *list = yaml_get(node, key);

    if (!list)
        return;
    if (list->kind != YAML_SEQUENCE || list->count > LANG_MAX_MATRIX) {
        refuse(t, list, "\"%s\": expected a list of at most %d mappings, got %s", key, LANG_MAX_MATRIX,
               lang_got(t->r, list));
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        take(t, list->items[i]);
}

/* ---- what comes of it ---- */

static YamlNode *values_of(const Table *t, const Row *row) {
    static const YamlNode none = {.kind = YAML_SCALAR, .quoted = true, .text = ""};
    YamlNode *values = mem_new(t->r->mem, YamlNode);

    *values = (YamlNode){.kind = YAML_MAPPING, .count = t->columns};
    values->pairs = mem_array(t->r->mem, YamlPair, t->columns);
    for (size_t c = 0; c < t->columns; c++)
        values->pairs[c] =
            (YamlPair){(YamlNode *)t->names[c], (YamlNode *)(row->cells[c] ? row->cells[c] : &none)};
    return values;
}

static const char *name_of(const Table *t, const Row *row) {
    _cleanup_buf_ Buf out = BUF_INIT;

    for (size_t c = 0; c < (row->included ? t->columns : t->axes); c++) {
        const char *text = row->cells[c] ? row->cells[c]->text : NULL;
        size_t len = text ? strlen(text) : 0, cut = len;

        if (!text)
            continue;
        if (cut > NAME_VALUE_MAX)
            for (cut = NAME_VALUE_MAX; cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80;)
                cut--;
        buf_adds(&out, out.len ? ", " : "(");
        buf_add(&out, text, cut);
        buf_adds(&out, cut < len ? "…" : "");
    }
    buf_adds(&out, out.len ? ")" : "()");
    return buf_dup(&out, t->r->mem);
}

static int by_name(const void *a, const void *b) {
    const NameEntry *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : (x->index > y->index) - (x->index < y->index);
}

/* Two values may be written the same (18 and "18"), or be cut. */
static void tell_apart(const Table *t, Matrix *m) {
    NameEntry *names = mem_array(t->mem, NameEntry, m->count);

    for (size_t i = 0; i < m->count; i++)
        names[i] = (NameEntry){.name = m->rows[i].name, .index = i};
    qsort(names, m->count, sizeof(*names), by_name);
    for (size_t i = 1; i < m->count; i++)
        if (str_eq(names[i].name, names[i - 1].name))
            m->rows[names[i].index].name =
                mem_printf(t->r->mem, "%s #%zu", names[i].name, names[i].index + 1);
}

bool matrix_read(LangReader *r, const YamlNode *node, Matrix *ret) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Table t = {.r = r, .mem = mem};

    if (node->kind != YAML_MAPPING || node->count == 0) {
        refuse(&t, node, "expected a mapping of names to lists of values, got %s", lang_got(r, node));
        return false;
    }
    read_axes(&t, node);
    each_entry(&t, node, "exclude", exclude);
    each_entry(&t, node, "include", include);
    if (!t.bad && t.count == 0)
        refuse(&t, node, "no combination is left");
    if (t.bad)
        return false;
    ret->count = t.count;
    ret->rows = mem_array(r->mem, MatrixRow, t.count);
    for (size_t i = 0; i < t.count; i++)
        ret->rows[i] = (MatrixRow){values_of(&t, &t.rows[i]), name_of(&t, &t.rows[i])};
    tell_apart(&t, ret);
    return true;
}
