#include "pipeline/caches.h"

#include "base/str.h"
#include <stdlib.h>
#include <string.h>

typedef struct CacheOf {
    const PipeCache *cache;
    const PipeJob *job;
    size_t number; /* in the order of the file */
} CacheOf;

static int by_key(const void *a, const void *b) {
    const CacheOf *x = a, *y = b;
    int order = strcmp(x->cache->key->text, y->cache->key->text);

    return order ? order : (x->number > y->number) - (x->number < y->number);
}

static bool same_paths(const LangPaths *a, const LangPaths *b) {
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    return a->count == b->count;
}

static void check_two(const CacheOf *first, const CacheOf *next, Problems *problems) {
    const char *key = problems_show(problems, next->cache->key->text);

    if (first->job == next->job)
        problems_at(problems, next->cache->key,
                    "the job has a cache \"%s\" already; expected another key, or the paths of both there",
                    key);
    else if (!same_paths(&first->cache->paths, &next->cache->paths))
        problems_at(problems, next->cache->key,
                    "cache \"%s\" has other paths in job \"%s\"; expected the same, or another key", key,
                    problems_show(problems, first->job->base->text));
}

void caches_check(const PipeFile *file, Problems *problems) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const PipeJob *jobs = file->jobs.items;
    CacheOf *all = NULL;
    size_t count = 0;

    for (size_t i = 0; i < file->jobs.count; i++) {
        const PipeCache *caches = jobs[i].cache.items;

        for (size_t k = 0; k < jobs[i].cache.count; k++) {
            CacheOf one = {.cache = &caches[k], .job = &jobs[i], .number = count};

            if (caches[k].key)
                mem_append(mem, all, count, one);
        }
    }
    if (count > 1)
        qsort(all, count, sizeof(*all), by_key);
    for (size_t i = 1; i < count; i++)
        if (str_eq(all[i - 1].cache->key->text, all[i].cache->key->text))
            check_two(&all[i - 1], &all[i], problems);
}
