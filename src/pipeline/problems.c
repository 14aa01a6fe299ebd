#include "pipeline/problems.h"

#include "base/str.h"
#include <stdarg.h>

#define SHOWN_MAX 60

static _printf_(5, 0) void add(Problems *p, size_t source, int line, int column, const char *fmt,
                               va_list ap) {
    PlanProblem problem = {.line = line, .column = column};

    if (p->count >= PROBLEMS_MAX)
        return;
    if (source > 0 && source < p->source_count) {
        problem.file = p->sources[source].file;
        problem.text = p->sources[source].text;
        problem.len = p->sources[source].len;
    }
    problem.message = talloc_vasprintf(p->mem, fmt, ap);
    if (!problem.message)
        abort();
    mem_append(p->mem, p->items, p->count, problem);
}

void problems_add(Problems *p, int line, int column, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    add(p, 0, line, column, fmt, ap);
    va_end(ap);
}

void problems_in(Problems *p, const YamlNode *node, int column, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    add(p, node->source, node->line, column, fmt, ap);
    va_end(ap);
}

void problems_at(Problems *p, const YamlNode *node, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    add(p, node ? node->source : 0, node ? node->line : 0, node ? node->column : 0, fmt, ap);
    va_end(ap);
}

YamlNode *problems_yaml(Problems *p, const char *text, size_t len, size_t max, uint16_t source,
                        const char *before) {
    size_t already = p->count;
    YamlMistakes mistakes;
    YamlNode *root;

    yaml_read_on(text, len, max, p->mem, &root, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++) {
        const YamlMistake *m = &mistakes.items[i];

        problems_at(p, &(YamlNode){.source = source, .line = m->line, .column = m->column}, "%s%s", before,
                    m->text);
    }
    problems_set_kind(p, already, PLAN_PROBLEM_FORM);
    return root;
}

static int by_place(const void *left, const void *right) {
    const PlanProblem *a = left, *b = right;
    int files = strcmp(a->file ? a->file : "", b->file ? b->file : "");

    if (files)
        return files;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return strcmp(a->message, b->message);
}

PlanProblems *problems_take(Problems *p) {
    PlanProblems *all = mem_new(p->mem, PlanProblems);

    if (p->count)
        qsort(p->items, p->count, sizeof(*p->items), by_place);
    /* what stands in a template, or in a matrix, is read more than once */
    for (size_t i = 0; i < p->count; i++)
        if (i == 0 || by_place(&p->items[i], &p->items[i - 1]) != 0)
            p->items[all->count++] = p->items[i];
    all->items = p->items;
    return all;
}

const PlanProblem *plan_problems_first(const PlanProblems *problems) {
    const PlanProblem *first = &problems->items[0];

    for (size_t i = 1; i < problems->count; i++)
        if (problems->items[i].kind < first->kind)
            first = &problems->items[i];
    return first;
}

void problems_set_kind(Problems *p, size_t from, PlanProblemKind kind) {
    for (size_t i = from; i < p->count; i++)
        if (p->items[i].kind == PLAN_PROBLEM_MISTAKE)
            p->items[i].kind = kind;
}

const char *problems_show(Problems *p, const char *text) {
    size_t len = strlen(text), cut = len;
    _cleanup_buf_ Buf out = BUF_INIT;

    if (len > SHOWN_MAX)
        for (cut = SHOWN_MAX; cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80;)
            cut--;
    for (size_t i = 0; i < cut; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\n')
            buf_adds(&out, "\\n");
        else if (c < 0x20 || c == 0x7F)
            buf_addf(&out, "\\x%02x", c);
        else if (c == 0xC2 && i + 1 < cut && (unsigned char)text[i + 1] < 0xA0)
            buf_addf(&out, "\\x%02x", (unsigned char)text[++i]); /* C1 controls, U+0080 to U+009F */
        else
            buf_addc(&out, (char)c);
    }
    if (cut < len)
        buf_adds(&out, "…");
    return buf_dup(&out, p->mem);
}

const char *problems_meant(Problems *p, const char *word) {
    return word ? mem_printf(p->mem, "; did you mean \"%s\"?", word) : "";
}

const char *problems_nearest(Problems *p, const char *s, const char *const *words, size_t count) {
    size_t len = strlen(s), near_count = 0;
    _cleanup_talloc_ const char **near = mem_array(NULL, const char *, count + 1);

    for (size_t i = 0; i < count; i++) {
        size_t word = strlen(words[i]);
        size_t cost = len * word + 1;

        if (word > len + 2 || len > word + 2)
            continue;
        if (cost > p->nearest_left)
            return NULL;
        p->nearest_left -= cost;
        near[near_count++] = words[i];
    }
    return str_nearest(s, near);
}
