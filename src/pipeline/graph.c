#include "pipeline/graph.h"

#include "base/str.h"

#define CIRCLES_MAX 20 /* reported */
#define CIRCLE_NAMES 8 /* of one, printed */

typedef struct Graph {
    const void *mem;
    Problems *problems;
    PipeJob *jobs;
    size_t count;
    NameEntry *names;
    size_t name_count;
    NameEntry *known; /* names of the jobs that the build has, and of those of a matrix together */
    size_t known_count;
    size_t *known_seen; /* like `seen` of link_need, of the jobs that the build has */
    const char **words; /* all names, for near ones */
    size_t word_count;
    size_t edges;
} Graph;

static int by_name(const void *a, const void *b) {
    return strcmp(((const NameEntry *)a)->name, ((const NameEntry *)b)->name);
}

void names_sort(NameEntry *names, size_t count) {
    if (count)
        qsort(names, count, sizeof(*names), by_name);
}

const NameEntry *names_find(const NameEntry *names, size_t count, const char *name) {
    NameEntry wanted = {.name = name};

    return count ? bsearch(&wanted, names, count, sizeof(*names), by_name) : NULL;
}

static void index_names(Graph *g, size_t known) {
    size_t names = 0, words = 0, group = 0;

    g->names = mem_array(g->mem, NameEntry, g->count * 2);
    g->words = mem_array(g->mem, const char *, g->count + known);
    for (size_t i = 0; i < g->count; i++) {
        const PipeJob *job = &g->jobs[i];

        if (i == 0 || job->base != g->jobs[i - 1].base) {
            g->words[words++] = job->base->text;
            g->names[names++] = (NameEntry){.name = job->base->text, .index = i};
            group = names - 1;
        }
        g->names[group].count++;
        if (job->of_matrix)
            g->names[names++] = (NameEntry){.name = job->name->text, .index = i, .count = 1};
    }
    g->name_count = names;
    g->word_count = words;
    names_sort(g->names, names);
}

/* "test" is also all of "test (18, pg)", "test (20, pg)": their common name comes with each of them. */
static void index_known(Graph *g, const PipeFile *file) {
    g->known = mem_array(g->mem, NameEntry, file->known_count * 2);
    g->known_seen = mem_array(g->mem, size_t, file->known_count);
    for (size_t i = 0; i < file->known_count; i++) {
        const char *name = file->known[i], *of = strstr(name, " (");

        g->known[g->known_count++] = (NameEntry){.name = name, .index = i};
        if (of)
            g->known[g->known_count++] =
                (NameEntry){.name = mem_strndup(g->mem, name, (size_t)(of - name)), .index = i};
        g->words[g->word_count++] = name;
    }
    names_sort(g->known, g->known_count);
}

/* The first of the entries of the name, which follow each other; NULL: none. */
static const NameEntry *first_known(const Graph *g, const char *name) {
    const NameEntry *found = names_find(g->known, g->known_count, name);

    while (found && found > g->known && str_eq(found[-1].name, name))
        found--;
    return found;
}

static void check_taken(Graph *g) {
    for (size_t i = 0; i < g->count; i++) {
        const PipeJob *job = &g->jobs[i];
        bool first = i == 0 || job->base != g->jobs[i - 1].base;

        if (first_known(g, job->name->text) || (first && first_known(g, job->base->text)))
            problems_at(g->problems, job->base, "the build has a job \"%s\" already",
                        problems_show(g->problems, job->name->text));
    }
}

/* False: there is none of that name. */
static bool link_known(Graph *g, size_t index, const YamlNode *at) {
    const NameEntry *found = first_known(g, at->text), *end = g->known + g->known_count;
    PipeJob *job = &g->jobs[index];

    for (const NameEntry *e = found; e && e < end && str_eq(e->name, at->text); e++) {
        if (g->known_seen[e->index] == index + 1)
            continue;
        g->known_seen[e->index] = index + 1;
        if (g->edges++ == LANG_MAX_NEEDS) {
            problems_at(g->problems, at, "more than %d needs of all jobs together", LANG_MAX_NEEDS);
            break;
        }
        mem_append(g->mem, job->known, job->known_count, e->index);
    }
    return found != NULL;
}

static const char *meant(Graph *g, const char *name) {
    const char *nearest = problems_nearest(g->problems, name, g->words, g->word_count);

    return problems_meant(g->problems, nearest ? problems_show(g->problems, nearest) : NULL);
}

/* The jobs of one name, as needs of another. `seen` holds for every job the last one (plus 1) that needed it.
 */
static void link_need(Graph *g, size_t index, const YamlNode *at, const NameEntry *found, size_t *seen) {
    PipeJob *job = &g->jobs[index];

    for (size_t i = found->index; i < found->index + found->count && g->edges < LANG_MAX_NEEDS; i++) {
        size_t count = job->need_count;

        if (seen[i] == index + 1)
            continue;
        seen[i] = index + 1;
        g->edges++;
        g->jobs[i].dependents++;
        mem_append(g->mem, job->need, count, i);
        mem_append(g->mem, job->need_at, job->need_count, at);
    }
    if (g->edges == LANG_MAX_NEEDS)
        problems_at(g->problems, at, "more than %d needs of all jobs together", LANG_MAX_NEEDS);
}

/* The job of which the name may be a combination that is not here, because of a mistake; NULL: none. */
static const NameEntry *find_uncertain(const Graph *g, const char *name) {
    const char *of = strstr(name, " (");
    _cleanup_talloc_ char *base = of ? mem_strndup(NULL, name, (size_t)(of - name)) : NULL;
    const NameEntry *found = base ? names_find(g->names, g->name_count, base) : NULL;

    return found && (g->jobs[found->index].lacking || g->jobs[found->index + found->count - 1].wrong) ? found
                                                                                                      : NULL;
}

/* What a job may find there is that of the combinations that are here. */
static bool link_uncertain(Graph *g, size_t index, const YamlNode *at, size_t *seen) {
    const NameEntry *found = find_uncertain(g, at->text);

    if (found && g->jobs[found->index].base != g->jobs[index].base)
        link_need(g, index, at, found, seen);
    return found != NULL;
}

static void link_needs(Graph *g, size_t index, size_t *seen) {
    PipeJob *job = &g->jobs[index];
    const char *name = problems_show(g->problems, job->base->text);
    const PipeNeed *needs = job->needs.items;

    for (size_t i = 0; i < job->needs.count && g->edges < LANG_MAX_NEEDS; i++) {
        const YamlNode *node = needs[i].job;
        const NameEntry *found = names_find(g->names, g->name_count, node->text);

        if (!found && link_known(g, index, node))
            continue;
        if (!found && link_uncertain(g, index, node, seen))
            continue;
        if (!found && (needs[i].optional || g->problems->lacking))
            continue;
        if (!found)
            problems_at(g->problems, node, "job \"%s\" needs \"%s\", which is not there%s", name,
                        problems_show(g->problems, node->text), meant(g, node->text));
        else if (found->index <= index && index < found->index + found->count)
            problems_at(g->problems, node, "job \"%s\" needs itself", name);
        else if (seen[found->index] == index + 1)
            problems_at(g->problems, node, "job \"%s\" needs \"%s\" twice", name,
                        problems_show(g->problems, node->text));
        else
            link_need(g, index, node, found, seen);
    }
}

/* ---- circles ---- */

typedef struct Walk {
    size_t *stack; /* the way from where it began; each needs the next */
    size_t *next;  /* for each job on it: which of its needs comes next */
    size_t depth;
    char *state; /* of every job: 0 not seen, 1 on the way, 2 done */
    int circles;
} Walk;

static void report_circle(Graph *g, const Walk *w, size_t from, const YamlNode *at) {
    size_t len = w->depth - from;
    _cleanup_buf_ Buf out = BUF_INIT;

    for (size_t i = 0; i < len; i++)
        if (len <= CIRCLE_NAMES || i < CIRCLE_NAMES / 2 || i >= len - CIRCLE_NAMES / 2)
            buf_addf(&out, "%s → ", problems_show(g->problems, g->jobs[w->stack[from + i]].name->text));
        else if (i == CIRCLE_NAMES / 2)
            buf_addf(&out, "(%zu more) → ", len - CIRCLE_NAMES / 2 * 2);
    problems_at(g->problems, at, "jobs need each other in a circle: %s%s", buf_str(&out),
                problems_show(g->problems, g->jobs[w->stack[from]].name->text));
}

static void enter(Walk *w, size_t job) {
    w->state[job] = 1;
    w->stack[w->depth] = job;
    w->next[w->depth++] = 0;
}

static void walk_from(Graph *g, Walk *w, size_t start) {
    enter(w, start);
    while (w->depth > 0) {
        const PipeJob *job = &g->jobs[w->stack[w->depth - 1]];
        size_t n = w->next[w->depth - 1]++, from = w->depth;

        if (n == job->need_count) {
            w->state[w->stack[--w->depth]] = 2;
        } else if (w->state[job->need[n]] == 0) {
            enter(w, job->need[n]);
        } else if (w->state[job->need[n]] == 1 && w->circles < CIRCLES_MAX) {
            while (w->stack[from - 1] != job->need[n])
                from--;
            w->circles++;
            report_circle(g, w, from - 1, job->need_at[n]);
        }
    }
}

static void find_circles(Graph *g) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Walk w = {
        .stack = mem_array(mem, size_t, g->count),
        .next = mem_array(mem, size_t, g->count),
        .state = mem_array(mem, char, g->count),
    };

    for (size_t i = 0; i < g->count; i++)
        if (w.state[i] == 0)
            walk_from(g, &w, i);
}

/* ---- the deploy ---- */

/* Without `job`: the only one that no other needs. */
static void find_last_job(Graph *g, PipeDeploy *deploy) {
    _cleanup_buf_ Buf all = BUF_INIT;
    bool lacking = g->problems->lacking;
    size_t count = 0;

    for (size_t i = 0; i < g->count; i++) {
        lacking |= g->jobs[i].lacking;
        if (g->jobs[i].dependents > 0)
            continue;
        if (count++ == 0)
            deploy->job_index = i;
        if (count <= 5)
            buf_addf(&all, "%s%s", count > 1 ? ", " : "", problems_show(g->problems, g->jobs[i].name->text));
    }
    if (count > 1 && !lacking)
        problems_at(g->problems, deploy->node,
                    "deploy needs a \"job\": the one whose workspace becomes the release; no other job needs "
                    "these: %s%s",
                    buf_str(&all), count > 5 ? ", …" : "");
}

static void link_deploy(Graph *g, PipeDeploy *deploy) {
    const NameEntry *found = names_find(g->names, g->name_count, "deploy");

    if (found)
        problems_at(
            g->problems, g->jobs[found->index].name,
            "a job cannot be called \"deploy\" beside a \"deploy\" part, which becomes a job of that name");
    if (!deploy->job) {
        find_last_job(g, deploy);
        return;
    }
    found = names_find(g->names, g->name_count, deploy->job->text);
    if (found && found->count > 1)
        problems_at(g->problems, deploy->job,
                    "\"job\" of deploy: \"%s\" is %zu jobs; the release is made by one: \"%s\"",
                    problems_show(g->problems, deploy->job->text), found->count,
                    problems_show(g->problems, g->jobs[found->index].name->text));
    else if (found)
        deploy->job_index = found->index;
    else if (!g->problems->lacking && !find_uncertain(g, deploy->job->text) &&
             (g->count || !str_eq(deploy->job->text, "release")))
        problems_at(g->problems, deploy->job, "\"job\" of deploy: there is no job \"%s\"%s",
                    problems_show(g->problems, deploy->job->text), meant(g, deploy->job->text));
}

void graph_link(PipeFile *file, const void *mem, Problems *problems) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    Graph g = {.mem = mem, .problems = problems, .jobs = file->jobs.items, .count = file->jobs.count};
    size_t *seen = mem_array(scratch, size_t, g.count);

    index_names(&g, file->known_count);
    index_known(&g, file);
    check_taken(&g);
    for (size_t i = 0; i < g.count; i++)
        if (g.jobs[i].needs.count)
            link_needs(&g, i, seen);
    find_circles(&g);
    if (file->deploy)
        link_deploy(&g, file->deploy);
}
