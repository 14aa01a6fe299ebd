/* Leases: given, renewed, lost. */
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"

/* The better of what each pair of executor and architecture has at its head: priority, then age. */
static int best_fit(Builds *b, const BuildClaim *claim, JobHead *ret, Err *err) {
    const char *archs[] = {"", claim->arch};
    bool found = false;

    for (size_t e = 0; claim->executors[e]; e++) {
        for (size_t a = 0; a < ELEMENTS(archs); a++) {
            JobHead head;
            int r = store_job_queue_head(b->db, claim->executors[e], archs[a], &head, err);

            if (r == -ERR_NOT_FOUND)
                continue;
            if (r < 0)
                return r;
            if (found &&
                (head.priority < ret->priority || (head.priority == ret->priority && head.id > ret->id)))
                continue;
            *ret = head;
            found = true;
        }
    }
    return found ? 0 : err_set(err, ERR_NOT_FOUND, "no job fits");
}

static int claim_one(Tx *tx, const BuildClaim *claim, int64_t id, const void *mem, ClaimedJob *ret,
                     Err *err) {
    Builds *b = tx->b;
    int64_t attempt;
    bool started;
    Job *job;
    int r =
        store_job_lease(b->db, id, claim->runner_id, tx->now + b->options.lease_us, tx->now, &attempt, err);

    if (r >= 0)
        r = store_job_load(b->db, id, mem, &job, err);
    if (r >= 0)
        r = store_build_start(b->db, job->build_id, tx->now, &started, err);
    if (r >= 0 && started)
        r = store_deployment_building(b->db, job->build_id, tx->now, err);
    if (r >= 0)
        r = tx_event(tx, "updated", job->build_id, "running", err);
    if (r >= 0)
        r = store_build_load(b->db, job->build_id, mem, &ret->build, err);
    if (r >= 0)
        r = store_project_by_id(b->db, ret->build->project_id, mem, &ret->project, err);
    if (r < 0)
        return r;
    ret->job = *job;
    return 0;
}

static int claim_some(Tx *tx, const BuildClaim *claim, const void *mem, ClaimedJob **jobs, size_t *count,
                      Err *err) {
    while (*count < claim->max) {
        ClaimedJob one = {0};
        JobHead head;
        int r = best_fit(tx->b, claim, &head, err);

        if (r == -ERR_NOT_FOUND)
            return 0;
        if (r >= 0)
            r = claim_one(tx, claim, head.id, mem, &one, err);
        if (r < 0)
            return r;
        mem_append(mem, *jobs, *count, one);
    }
    return 0;
}

int build_claim(Builds *b, const BuildClaim *claim, const void *mem, ClaimedJob **ret, size_t *ret_count,
                Err *err) {
    ClaimedJob *jobs = NULL;
    size_t count = 0;
    JobHead head;
    Tx tx;
    int r;

    *ret_count = 0;
    if (claim->max == 0)
        return 0;
    /* a look without the writer's lock: an idle runner's call costs nobody anything */
    r = best_fit(b, claim, &head, err);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    r = tx_begin(b, &tx, err);
    if (r < 0)
        return r;
    r = tx_end(&tx, claim_some(&tx, claim, mem, &jobs, &count, err), err);
    if (r < 0)
        return err_wrap(err, "claim a job");
    *ret = jobs;
    *ret_count = count;
    if (count)
        build_reaper_wake(b);
    return 0;
}

/* ---- renewal ---- */

static bool runs(const Attempt *running, size_t count, const Job *lease) {
    for (size_t i = 0; i < count; i++)
        if (running[i].job == lease->id && running[i].attempt == lease->attempt)
            return true;
    return false;
}

static const Job *lease_of(const Job *leases, size_t count, Attempt a) {
    for (size_t i = 0; i < count; i++)
        if (leases[i].id == a.job && leases[i].attempt == a.attempt)
            return &leases[i];
    return NULL;
}

/* Whether anything must be written: a lease past a third of its time, or one that its runner does not know.
 */
static bool needs_writing(const Builds *b, const Job *leases, size_t lease_count, const Attempt *running,
                          size_t count, int64_t now) {
    for (size_t i = 0; i < lease_count; i++) {
        if (runs(running, count, &leases[i])) {
            if (leases[i].lease_until - now < b->options.lease_us * 2 / 3)
                return true;
        } else if (now - leases[i].started_at > b->options.lost_after_us) {
            return true;
        }
    }
    return false;
}

static int renew_leases(Tx *tx, int64_t runner_id, const Attempt *running, size_t count, Err *err) {
    Builds *b = tx->b;
    Job *leases;
    size_t lease_count;
    int r = store_job_leases(b->db, runner_id, tx->mem, &leases, &lease_count, err);

    for (size_t i = 0; r >= 0 && i < lease_count; i++) {
        const char *stop;

        if (runs(running, count, &leases[i]))
            r = store_job_renew(b->db, leases[i].id, leases[i].attempt, runner_id,
                                tx->now + b->options.lease_us, tx->mem, &stop, err);
        else if (tx->now - leases[i].started_at > b->options.lost_after_us)
            r = state_job_lost(tx, &leases[i], err);
    }
    return r;
}

/* An attempt that has just ended, and whose process is about to, needs no order; one that was lost does. */
static int order_for(Builds *b, const Job *lease, StopOrder *order, const void *mem, Err *err) {
    Job *job;
    int r;

    if (lease) {
        order->reason = lease->stop_reason;
        return 0;
    }
    order->reason = "stale";
    r = store_job_load(b->db, order->attempt.job, mem, &job, err);
    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r >= 0 && job->attempt == order->attempt.attempt && job->finished_at && !str_eq(job->reason, "lost"))
        order->reason = "";
    return r;
}

int build_renew(Builds *b, int64_t runner_id, const Attempt *running, size_t count, const void *mem,
                StopOrder **ret, size_t *ret_count, Err *err) {
    StopOrder *stops = NULL;
    size_t stop_count = 0, lease_count;
    Job *leases;
    Tx tx;
    int r = store_job_leases(b->db, runner_id, mem, &leases, &lease_count, err);

    if (r < 0)
        return r;
    if (needs_writing(b, leases, lease_count, running, count, clock_now())) {
        r = tx_begin(b, &tx, err);
        if (r < 0)
            return r;
        r = tx_end(&tx, renew_leases(&tx, runner_id, running, count, err), err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < count; i++) {
        StopOrder order = {.attempt = running[i]};

        r = order_for(b, lease_of(leases, lease_count, running[i]), &order, mem, err);
        if (r < 0)
            return r;
        if (!str_empty(order.reason) && !str_eq(order.reason, running[i].told))
            mem_append(mem, stops, stop_count, order);
    }
    *ret = stops;
    *ret_count = stop_count;
    return 0;
}

static int abandon_all(Tx *tx, int64_t runner_id, Err *err) {
    Job *leases;
    size_t count;
    int r = store_job_leases(tx->b->db, runner_id, tx->mem, &leases, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = state_job_lost(tx, &leases[i], err);
    return r;
}

int build_abandon(Builds *b, int64_t runner_id, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, abandon_all(&tx, runner_id, err), err);
}
