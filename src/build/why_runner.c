/* What the runners say to a queued job: none could run it, those that could are out of reach, or busy. */
#include "build/why.h"

#include "base/json.h"
#include "base/str.h"
#include <inttypes.h>

#define SHOWN_RUNNERS 5
#define MAX_AHEAD 100

static int read_executors(const char *json, const void *mem, const char *const **ret, Err *err) {
    _cleanup_json_ json_t *list = NULL;
    const char **names;
    json_t *item;
    size_t i;
    int r = json_read(json, strlen(json), &list, err);

    if (r < 0)
        return r;
    names = mem_array(mem, const char *, json_array_size(list) + 1);
    json_array_foreach (list, i, item)
        names[i] = mem_strdup(names, json_string_value(item));
    *ret = names;
    return 0;
}

static int fill_runner(Why *w, const Runner *row, const RunnerHeld *held, size_t held_count,
                       WhyRunner *runner, Err *err) {
    RunnerOffer *offer = &runner->offer;
    int r = read_executors(row->executors, w, &offer->executors, err);

    if (r >= 0)
        r = labels_read(row->labels, w, &offer->labels, err);
    if (r < 0)
        return err_wrap(err, "runner %s", row->name);
    runner->row = row;
    offer->arch = row->arch;
    offer->cpu = row->cpu;
    offer->memory = row->memory;
    offer->disk = row->disk;
    for (size_t i = 0; i < held_count; i++)
        if (held[i].runner_id == row->id)
            runner->held = held[i];
    runner->rest = offer_less(offer, &runner->held);
    runner->full = runner->held.jobs >= row->slots;
    runner->closed = row->slots == 0;
    runner->keeps_for = dispatch_kept(w->b->dispatch, row->id);
    runner->drained = row->drained_at != 0;
    runner->away = build_runner_away(row, w->now);
    return 0;
}

static int read_runners(Why *w, Err *err) {
    Runner *rows;
    RunnerHeld *held;
    size_t count, held_count;
    int r;

    if (w->runners_read)
        return 0;
    r = store_runners(w->b->db, w, &rows, &count, err);
    if (r >= 0)
        r = store_runners_held(w->b->db, w, &held, &held_count, err);
    if (r < 0)
        return r;
    w->runners = mem_array(w, WhyRunner, count + 1);
    for (size_t i = 0; r >= 0 && i < count; i++)
        if (!str_eq(rows[i].name, SERVER_RUNNER))
            r = fill_runner(w, &rows[i], held, held_count, &w->runners[w->runner_count++], err);
    w->runners_read = r >= 0;
    return r;
}

/* ---- none could ---- */

static bool someone_meets(const Why *w, const FitFacts *fit, const FitAspect *aspect) {
    for (size_t i = 0; i < w->runner_count; i++)
        if (aspect->met(fit, &w->runners[i].offer))
            return true;
    return false;
}

/* What of it nobody has; when each has somebody, all of it, for no one has it together. */
static const char *asked_in_vain(const Why *w, const FitFacts *fit, const void *mem) {
    const char *in_vain = "", *all = "";

    for (size_t i = 0; i < fit_aspect_count; i++) {
        const char *asked = fit_aspects[i].asked(fit, mem);

        if (!asked)
            continue;
        all = mem_printf(mem, "%s%s%s", all, *all ? ", " : "", asked);
        if (!someone_meets(w, fit, &fit_aspects[i]))
            in_vain = mem_printf(mem, "%s%s%s", in_vain, *in_vain ? ", " : "", asked);
    }
    return *in_vain ? in_vain : mem_printf(mem, "%s together", all);
}

/* What the runner has where something else is asked. */
static const char *what_it_has(const WhyRunner *runner, const FitFacts *fit, const void *mem) {
    const char *text = "";

    for (size_t i = 0; i < fit_aspect_count; i++)
        if (!fit_aspects[i].met(fit, &runner->offer))
            text =
                mem_printf(mem, "%s%s%s", text, *text ? "; " : "", fit_aspects[i].has(&runner->offer, mem));
    return text;
}

static const char *nobody_fits(const Why *w, const FitFacts *fit, const void *mem) {
    const char *list = "";

    if (w->runner_count == 0)
        return "there is no runner; start one: pelton runner --server URL --token-file FILE";
    for (size_t i = 0; i < w->runner_count && i < SHOWN_RUNNERS; i++)
        list = mem_printf(mem, "%s%s%s (%s)", list, i ? ", " : "", w->runners[i].row->name,
                          what_it_has(&w->runners[i], fit, mem));
    if (w->runner_count > SHOWN_RUNNERS)
        list = mem_printf(mem, "%s and %zu more", list, w->runner_count - SHOWN_RUNNERS);
    return mem_printf(mem, "no runner has %s; runners: %s", asked_in_vain(w, fit, mem), list);
}

/* ---- some could ---- */

typedef struct Matching {
    const WhyRunner **there, **gone; /* gone: not heard of, drained, or closed */
    size_t there_count, gone_count, busy, keeping;
    int64_t busy_since; /* when the last of them became so */
    int64_t kept_for;   /* the job that one keeps what it has free for, though this one would fit */
} Matching;

static void match(const Why *w, const FitFacts *fit, const void *mem, Matching *m) {
    *m = (Matching){0};
    for (size_t i = 0; i < w->runner_count; i++) {
        const WhyRunner *runner = &w->runners[i];

        if (!fit_match(fit, &runner->offer))
            continue;
        if (runner->away || runner->drained || runner->closed) {
            mem_append(mem, m->gone, m->gone_count, runner);
            continue;
        }
        mem_append(mem, m->there, m->there_count, runner);
        if (runner->full || !fit_match(fit, &runner->rest)) {
            m->busy++;
            m->busy_since = MAX(m->busy_since, runner->held.newest);
        } else if (runner->keeps_for) {
            m->keeping++;
            m->kept_for = runner->keeps_for;
        }
    }
}

static const char *plural(size_t count) {
    return count == 1 ? "" : "s";
}

static const char *where_it_is(const Why *w, const WhyRunner *runner, const void *mem) {
    const Runner *row = runner->row;

    if (runner->drained)
        return mem_printf(mem, "drained by %s", row->drained_by);
    if (!row->last_seen)
        return "never heard of";
    if (runner->away)
        return mem_printf(mem, "not heard of since %s", why_time(w->now - row->last_seen, mem));
    return "takes no jobs until there is room on its disk";
}

/* "r1 not heard of since 5 min, r2 drained by ann" */
static const char *where_they_are(const Why *w, const Matching *m, const char *after_name, const void *mem) {
    const char *list = "";

    for (size_t i = 0; i < m->gone_count && i < SHOWN_RUNNERS; i++) {
        list = mem_printf(mem, "%s%s%s%s %s", list, i ? ", " : "", m->gone[i]->row->name, after_name,
                          where_it_is(w, m->gone[i], mem));
    }
    if (m->gone_count > SHOWN_RUNNERS)
        list = mem_printf(mem, "%s and %zu more", list, m->gone_count - SHOWN_RUNNERS);
    return list;
}

static const char *all_are_gone(const Why *w, const Matching *m, const void *mem) {
    if (m->gone_count == 1)
        return mem_printf(mem, "1 matching runner, %s", where_they_are(w, m, ",", mem));
    return mem_printf(mem, "%zu matching runners, all out of reach: %s", m->gone_count,
                      where_they_are(w, m, "", mem));
}

/* Who comes later in a lane with more than MAX_AHEAD before a job of it has so many too. */
static int ahead_of(Why *w, const Job *job, int64_t *ret, Err *err) {
    LaneHead *last = &w->crowded;
    int r;

    if (last->job_id && last->fit_id == job->fit_id && last->priority == job->priority &&
        last->project_id == job->project_id && last->job_id < job->id) {
        *ret = MAX_AHEAD;
        return 0;
    }
    r = store_lane_ahead(w->b->db, job->id, MAX_AHEAD, ret, err);
    if (r >= 0 && *ret >= MAX_AHEAD)
        *last = (LaneHead){.fit_id = job->fit_id,
                           .priority = job->priority,
                           .project_id = job->project_id,
                           .job_id = job->id};
    return r;
}

/* "2 jobs before it", or "" when it is next. */
static int its_place(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    int64_t ahead = 0;
    int r = ahead_of(w, job, &ahead, err);

    if (r < 0)
        return r;
    *ret = ahead == 0
               ? ""
               : mem_printf(mem, "%s%" PRId64 " job%s before it", ahead >= MAX_AHEAD ? "more than " : "",
                            ahead >= MAX_AHEAD ? ahead - 1 : ahead, plural((size_t)ahead));
    return 0;
}

static const char *they_are_busy(const Why *w, const Matching *m, const char *place, const void *mem) {
    const char *text = mem_printf(mem, "%zu of %zu matching runner%s busy", m->busy,
                                  m->there_count + m->gone_count, plural(m->there_count + m->gone_count));

    if (m->busy_since)
        text = mem_printf(mem, "%s since %s", text, why_time(w->now - m->busy_since, mem));
    if (m->gone_count)
        text = mem_printf(mem, "%s, %s", text, where_they_are(w, m, "", mem));
    return *place ? mem_printf(mem, "%s; %s", text, place) : text;
}

/* "kept back for job link of build 5, which has waited for 40 s"; leaves *ret alone when that one does not
 * come first, or waits no more. */
static int kept_back(Why *w, const Job *job, const Matching *m, const char *place, const void *mem,
                     const char **ret, Err *err) {
    Job *big;
    int r;

    if (m->kept_for == 0 || m->kept_for == job->id || m->busy + m->keeping < m->there_count)
        return 0;
    r = store_job_load(w->b->db, m->kept_for, mem, &big, err);
    if (r < 0 || !str_eq(big->state, "queued") || big->priority < job->priority)
        return r;
    *ret =
        mem_printf(mem, "kept back for job %s of build %" PRId64 ", which has waited for %s%s%s", big->name,
                   big->build_id, why_time(w->now - big->queued_at, mem), *place ? "; " : "", place);
    return 0;
}

int why_runner(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    const FitFacts *fit;
    const char *place;
    Matching m;
    int r;

    if (!str_eq(job->state, "queued"))
        return 0;
    r = read_runners(w, err);
    if (r >= 0)
        r = dispatch_fit(w->b, job->fit_id, &fit, err);
    if (r < 0)
        return r;
    match(w, fit, mem, &m);
    if (m.there_count == 0) {
        *ret = m.gone_count ? all_are_gone(w, &m, mem) : nobody_fits(w, fit, mem);
        return 0;
    }
    r = its_place(w, job, mem, &place, err);
    if (r < 0)
        return r;
    if (m.busy == m.there_count)
        *ret = they_are_busy(w, &m, place, mem);
    else if (*place)
        *ret = place;
    return m.busy == m.there_count ? 0 : kept_back(w, job, &m, place, mem, ret, err);
}
