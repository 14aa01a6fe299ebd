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
    const char **words; /* the names again, for near ones */
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

static void index_names(Graph *g) {
    g->names = mem_array(g->mem, NameEntry, g->count);
    g->words = mem_array(g->mem, const char *, g->count);
    for (size_t i = 0; i < g->count; i++)
        g->words[i] = g->names[i].name = g->jobs[i].name->text, g->names[i].index = i;
    names_sort(g->names, g->count);
}

static const char *meant(Graph *g, const char *name) {
    const char *nearest = problems_nearest(g->problems, name, g->words, g->count);

    return problems_meant(g->problems, nearest ? problems_show(g->problems, nearest) : NULL);
}

/* Keeps of `needs` what names another job, and its index beside it. `seen` holds for every job the last one
 * (plus 1) that needed it. */
static void link_needs(Graph *g, size_t index, size_t *seen) {
    PipeJob *job = &g->jobs[index];
    const char *name = problems_show(g->problems, job->name->text);

    job->need = mem_array(g->mem, size_t, job->needs.count);
    for (size_t i = 0; i < job->needs.count; i++) {
        const YamlNode *node = job->needs.items[i];
        const NameEntry *found = names_find(g->names, g->count, node->text);

        if (!found) {
            problems_at(g->problems, node, "job \"%s\" needs \"%s\", which is not there%s", name,
                        problems_show(g->problems, node->text), meant(g, node->text));
        } else if (found->index == index) {
            problems_at(g->problems, node, "job \"%s\" needs itself", name);
        } else if (seen[found->index] == index + 1) {
            problems_at(g->problems, node, "job \"%s\" needs \"%s\" twice", name,
                        problems_show(g->problems, node->text));
        } else {
            seen[found->index] = index + 1;
            g->jobs[found->index].dependents++;
            job->needs.items[job->need_count] = node;
            job->need[job->need_count++] = found->index;
        }
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
            report_circle(g, w, from - 1, job->needs.items[n]);
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
    size_t count = 0;

    for (size_t i = 0; i < g->count; i++) {
        if (g->jobs[i].dependents > 0)
            continue;
        if (count++ == 0)
            deploy->job_index = i;
        if (count <= 5)
            buf_addf(&all, "%s%s", count > 1 ? ", " : "", problems_show(g->problems, g->jobs[i].name->text));
    }
    if (count > 1)
        problems_at(g->problems, deploy->node,
                    "deploy needs a \"job\": the one whose workspace becomes the release; no other job needs "
                    "these: %s%s",
                    buf_str(&all), count > 5 ? ", …" : "");
}

static void link_deploy(Graph *g, PipeDeploy *deploy) {
    const NameEntry *found = names_find(g->names, g->count, "deploy");

    if (found)
        problems_at(
            g->problems, g->jobs[found->index].name,
            "a job cannot be called \"deploy\" beside a \"deploy\" part, which becomes a job of that name");
    if (!deploy->job) {
        find_last_job(g, deploy);
        return;
    }
    found = names_find(g->names, g->count, deploy->job->text);
    if (found)
        deploy->job_index = found->index;
    else if (g->count || !str_eq(deploy->job->text, "release"))
        problems_at(g->problems, deploy->job, "\"job\" of deploy: there is no job \"%s\"%s",
                    problems_show(g->problems, deploy->job->text), meant(g, deploy->job->text));
}

void graph_link(PipeFile *file, const void *mem, Problems *problems) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    Graph g = {.mem = mem, .problems = problems, .jobs = file->jobs.items, .count = file->jobs.count};
    size_t *seen = mem_array(scratch, size_t, g.count);

    index_names(&g);
    for (size_t i = 0; i < g.count; i++)
        if (g.jobs[i].needs.count)
            link_needs(&g, i, seen);
    find_circles(&g);
    if (file->deploy)
        link_deploy(&g, file->deploy);
}
