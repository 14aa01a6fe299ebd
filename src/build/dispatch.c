#include "build/dispatch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include <pthread.h>

/* A runner looks for work when a job of it ends: one that has not looked for so long keeps nothing. */
#define KEEP_US (60 * US_PER_S)
#define MAX_KEPT 64
#define AWAY_US (30 * US_PER_S)

typedef struct Kept {
    int64_t job, runner;
    int64_t until; /* by clock_mono */
} Kept;

struct Dispatch {
    pthread_rwlock_t lock;
    FitFacts **fits; /* by id; NULL: not read yet */
    size_t fit_count;
    Kept kept[MAX_KEPT];
};

static int dispatch_destroy(Dispatch *d) {
    pthread_rwlock_destroy(&d->lock);
    return 0;
}

Dispatch *dispatch_new(const void *mem) {
    Dispatch *d = mem_new(mem, Dispatch);

    pthread_rwlock_init(&d->lock, NULL);
    talloc_set_destructor(d, dispatch_destroy);
    return d;
}

/* ---- fits ---- */

static const FitFacts *known(Dispatch *d, int64_t id) {
    const FitFacts *fit;

    pthread_rwlock_rdlock(&d->lock);
    fit = id > 0 && (size_t)id < d->fit_count ? d->fits[id] : NULL;
    pthread_rwlock_unlock(&d->lock);
    return fit;
}

int labels_read(const char *json, const void *mem, const char *const **ret, Err *err) {
    _cleanup_json_ json_t *labels = NULL;
    const char **list, *key;
    size_t count = 0;
    json_t *value;
    int r = json_read(json, strlen(json), &labels, err);

    if (r < 0)
        return r;
    list = mem_array(mem, const char *, json_object_size(labels) + 1);
    json_object_foreach (labels, key, value)
        list[count++] = mem_printf(list, "%s=%s", key, json_string_value(value));
    *ret = list;
    return 0;
}

/* Another thread may have been quicker: then this one's copy is for nothing. */
static const FitFacts *remember(Dispatch *d, FitFacts *fit) {
    size_t id = (size_t)fit->fit.id;

    pthread_rwlock_wrlock(&d->lock);
    if (id >= d->fit_count) {
        size_t count = MAX(id + 1, d->fit_count * 2);

        d->fits = talloc_realloc(d, d->fits, FitFacts *, count);
        memset(d->fits + d->fit_count, 0, (count - d->fit_count) * sizeof(*d->fits));
        d->fit_count = count;
    }
    if (d->fits[id])
        talloc_free(fit);
    else
        d->fits[id] = talloc_steal(d, fit);
    fit = d->fits[id];
    pthread_rwlock_unlock(&d->lock);
    return fit;
}

int dispatch_fit(Builds *b, int64_t id, const FitFacts **ret, Err *err) {
    const FitFacts *fit = known(b->dispatch, id);
    FitFacts *fresh;
    Fit *row;
    int r;

    if (!fit) {
        fresh = mem_new(NULL, FitFacts);
        r = store_fit_load(b->db, id, fresh, &row, err);
        if (r >= 0)
            r = labels_read(row->labels, fresh, &fresh->labels, err);
        if (r < 0) {
            talloc_free(fresh);
            return r;
        }
        fresh->fit = *row;
        fit = remember(b->dispatch, fresh);
    }
    *ret = fit;
    return 0;
}

/* 0 is "unknown", so that nothing left is less than that. */
static int64_t left(int64_t there, int64_t held) {
    return there == 0 ? 0 : there > held ? there - held : -1;
}

RunnerOffer offer_less(const RunnerOffer *offer, const RunnerHeld *held) {
    RunnerOffer rest = *offer;

    rest.cpu = left(offer->cpu, held->cpu);
    rest.memory = left(offer->memory, held->memory);
    rest.disk = left(offer->disk, held->disk);
    return rest;
}

static const char *const *copy_list(const char *const *list, const void *mem) {
    size_t count = 0;
    const char **copy;

    while (list && list[count])
        count++;
    copy = mem_array(mem, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_strdup(copy, list[i]);
    return copy;
}

RunnerOffer *build_offer_copy(const RunnerOffer *offer, const void *mem) {
    RunnerOffer *copy = mem_new(mem, RunnerOffer);

    *copy = *offer;
    copy->executors = copy_list(offer->executors, copy);
    copy->labels = copy_list(offer->labels, copy);
    copy->arch = mem_strdup(copy, offer->arch);
    return copy;
}

bool build_fits(Builds *b, int64_t fit_id, const RunnerOffer *offer) {
    const FitFacts *fit;
    Err err;

    return dispatch_fit(b, fit_id, &fit, &err) >= 0 && fit_match(fit, offer);
}

/* The server's own, which deploys, is there as long as the server is: it does not call. */
bool build_runner_away(const Runner *runner, int64_t now) {
    return !str_eq(runner->name, SERVER_RUNNER) && now - runner->last_seen > AWAY_US;
}

/* ---- slots that are kept for a big job ---- */

bool dispatch_keep(Dispatch *d, int64_t job, int64_t runner) {
    int64_t now = clock_mono();
    Kept *place = &d->kept[0];
    bool mine = true;

    pthread_rwlock_wrlock(&d->lock);
    for (size_t i = 0; i < MAX_KEPT; i++) {
        Kept *k = &d->kept[i];

        if (k->job == job && k->until > now) {
            mine = k->runner == runner;
            place = k;
            break;
        }
        if (k->until < place->until)
            place = k;
    }
    if (mine)
        *place = (Kept){.job = job, .runner = runner, .until = now + KEEP_US};
    pthread_rwlock_unlock(&d->lock);
    return mine;
}

int64_t dispatch_kept(Dispatch *d, int64_t runner) {
    int64_t now = clock_mono(), until = 0, job = 0;

    pthread_rwlock_rdlock(&d->lock);
    for (size_t i = 0; i < MAX_KEPT; i++) {
        const Kept *k = &d->kept[i];

        if (k->runner != runner || k->until <= MAX(now, until))
            continue;
        job = k->job;
        until = k->until;
    }
    pthread_rwlock_unlock(&d->lock);
    return job;
}

int64_t dispatch_unkeep(Dispatch *d, int64_t job) {
    int64_t runner = 0;

    pthread_rwlock_wrlock(&d->lock);
    for (size_t i = 0; i < MAX_KEPT; i++)
        if (d->kept[i].job == job) {
            runner = d->kept[i].runner;
            d->kept[i] = (Kept){0};
        }
    pthread_rwlock_unlock(&d->lock);
    return runner;
}
