/* Why a job waits: a table of reasons, the first that holds is told. */
#include "build/why.h"
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

#define SHOWN_NEEDS 5

Why *why_new(Builds *b, const void *mem) {
    Why *w = mem_new(mem, Why);

    w->b = b;
    w->now = clock_now();
    return w;
}

const char *why_time(int64_t us, const void *mem) {
    static const struct {
        int64_t size;
        const char *name;
    } units[] = {{86400, "days"}, {3600, "h"}, {60, "min"}};
    int64_t s = MAX(us / US_PER_S, (int64_t)0);

    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (s >= 2 * units[i].size)
            return mem_printf(mem, "%" PRId64 " %s", s / units[i].size, units[i].name);
    return mem_printf(mem, "%" PRId64 " s", s);
}

/* "waiting for build, test" */
static int waits_for_needs(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    const char **names, *list = "";
    size_t count;
    int r;

    if (!str_eq(job->state, "blocked") || job->needs_left == 0)
        return 0;
    r = store_job_open_needs(w->b->db, job->id, SHOWN_NEEDS, mem, &names, &count, err);
    if (r < 0 || count == 0)
        return r;
    for (size_t i = 0; i < count; i++)
        list = mem_printf(mem, "%s%s%s", list, i ? ", " : "", names[i]);
    if (job->needs_left > (int64_t)count)
        list = mem_printf(mem, "%s and %" PRId64 " more", list, job->needs_left - (int64_t)count);
    *ret = mem_printf(mem, "waiting for %s", list);
    return 0;
}

/* "concurrency group deploy: behind build 41" */
static int waits_for_group(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    GroupAhead ahead = {0};
    Build *build;
    int r;

    if (!str_eq(job->state, "blocked") || job->needs_left > 0)
        return 0;
    r = store_build_load(w->b->db, job->build_id, mem, &build, err);
    if (r < 0 || !build->held)
        return r;
    r = store_group_ahead(w->b->db, build, &ahead, err);
    if (r < 0 || ahead.count == 0)
        return r;
    *ret =
        mem_printf(mem, "concurrency group %s: behind build %" PRId64, build->concurrency_group, ahead.last);
    if (ahead.count > 1)
        *ret = mem_printf(mem, "%s and %" PRId64 " before it", *ret, ahead.count - 1);
    return 0;
}

/* "waits for approval: it comes from a fork, and names secrets: pelton build approve 12" */
static int waits_for_approval(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    const char *lacks;
    Build *build;
    int r;

    if (!str_eq(job->state, "blocked") || job->needs_left > 0)
        return 0;
    r = store_build_load(w->b->db, job->build_id, mem, &build, err);
    lacks = r < 0 ? NULL : approval_lacks(build, job);
    if (lacks)
        *ret =
            mem_printf(mem, "waits for approval: it comes from a fork, and %s: pelton build approve %" PRId64,
                       lacks, build->id);
    return r;
}

/* "retry 2 of 3 in 8 s" */
static int waits_for_retry(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    int64_t due, times;
    int r;

    if (!str_eq(job->state, "blocked") || !job->retries)
        return 0;
    r = store_timer_due(w->b->db, "retry", job->id, &due, err);
    if (r >= 0 && due)
        r = retry_times(job, &times, err);
    if (r < 0 || !due)
        return r;
    *ret = mem_printf(mem, "retry %" PRId64 " of %" PRId64 " in %s", job->retries, times,
                      why_time(due - w->now + US_PER_S - 1, mem));
    return 0;
}

/* "queue paused by ann since 5 min: the disk is changed" */
static int queue_is_paused(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    const Pause *p;

    if (!w->pause_read) {
        int r = store_pause_load(w->b->db, w, &w->pause, err);

        if (r < 0)
            return r;
        w->pause_read = true;
    }
    p = w->pause;
    if (p && str_eq(job->state, "queued"))
        *ret = mem_printf(mem, "queue paused by %s since %s%s%s", p->by, why_time(w->now - p->since, mem),
                          *p->reason ? ": " : "", p->reason);
    return 0;
}

static int no_room(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    if (str_eq(job->state, "queued"))
        *ret = disk_reason(&w->b->disk, mem);
    return 0;
}

/* The server's own deployer takes deploys at once. */
static int waits_for_deployer(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    if (str_eq(job->state, "queued") && str_eq(job->executor, "deploy"))
        *ret = "waiting for the server, which deploys";
    return 0;
}

static const WhyReason reasons[] = {
    waits_for_needs, waits_for_group, waits_for_approval, waits_for_retry,
    queue_is_paused, no_room,         waits_for_deployer, why_runner,
};

int build_why(Why *w, const Job *job, const void *mem, const char **ret, Err *err) {
    const char *text = NULL;

    if (!str_eq(job->state, "queued") && !str_eq(job->state, "blocked")) {
        *ret = "";
        return 0;
    }
    for (size_t i = 0; i < ELEMENTS(reasons) && !text; i++) {
        int r = reasons[i](w, job, mem, &text, err);

        if (r < 0)
            return err_wrap(err, "why job %" PRId64 " waits", job->id);
    }
    *ret = text ? text : "about to start";
    return 0;
}
