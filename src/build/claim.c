/* Leases: given, renewed, lost. */
#include "build/dispatch.h"
#include "build/secret.h"
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

/* A job that has waited so long for a runner with enough of everything is not overtaken for ever. */
#define PATIENCE_US (30 * US_PER_S)
#define LEAVE_US (5 * US_PER_S)         /* what a process has to be gone in, whose result we have */
#define ANSWER_ENOUGH ((size_t)4 << 20) /* bytes of jobs at a time; the next call gets more */
#define OUTPUTS_MAX (8 << 20)           /* bytes that one job gets of others */

typedef struct Look {
    Builds *b;
    const BuildClaim *claim;
    RunnerOffer rest;
    RunnerHeld held;
    ClaimBar bar;
    int64_t free_slots, now;
} Look;

/* What the runner has left; nothing while the queue is paused or the runner drained. */
static int look_at_runner(Look *look, Err *err) {
    const BuildClaim *claim = look->claim;
    int r = store_claim_bar(look->b->db, claim->runner_id, &look->bar, err);

    if (r >= 0)
        r = store_runner_held(look->b->db, claim->runner_id, &look->held, err);
    if (r < 0)
        return r;
    look->rest = offer_less(&claim->offer, &look->held);
    look->free_slots = look->bar.paused || look->bar.drained ? 0
                       : claim->slots                        ? MAX(claim->slots - look->held.jobs, (int64_t)0)
                                                             : INT64_MAX;
    return 0;
}

static bool goes_before(const LaneHead *a, const LaneHead *b) {
    return a->priority != b->priority     ? a->priority > b->priority
           : a->served_at != b->served_at ? a->served_at < b->served_at
                                          : a->job_id < b->job_id;
}

/* Whether the job has waited so long that it is time to keep slots for it. One that is queued well
 * in the future is from before the clock was set back while no server ran: nobody knows how long it has
 * waited. */
static int is_overdue(const Look *look, int64_t job_id, bool *ret, Err *err) {
    Job *job;
    int r = store_job_load(look->b->db, job_id, NULL, &job, err);

    if (r < 0)
        return r;
    *ret = job->queued_at - look->now >= PATIENCE_US || look->now - job->queued_at >= PATIENCE_US;
    talloc_free(job);
    return 0;
}

static void keep_best(LaneHead *best, const LaneHead *head) {
    if (!best->job_id || goes_before(head, best))
        *best = *head;
}

/* The head of the fit's lanes is the best yet of those that the runner has room for (fits), or of those that
 * have waited long for it to have (big). */
static int look_at_fit(const Look *look, int64_t fit_id, LaneHead *fits, LaneHead *big, Err *err) {
    const FitFacts *fit;
    bool overdue = false;
    LaneHead head;
    int r = dispatch_fit(look->b, fit_id, &fit, err);

    if (r < 0 || !fit_match(fit, &look->claim->offer))
        return r;
    r = store_lane_head(look->b->db, fit_id, &head, err);
    if (r < 0)
        return r;
    if (fit_match(fit, &look->rest)) {
        keep_best(fits, &head);
        return 0;
    }
    r = is_overdue(look, head.job_id, &overdue, err);
    if (r >= 0 && overdue)
        keep_best(big, &head);
    return r;
}

/* The best lane of those that the runner has room for. ERR_NOT_FOUND: none, or a big job comes first. */
static int best_lane(const Look *look, LaneHead *ret, Err *err) {
    LaneHead fits = {0}, big = {0};
    int64_t fit_id = 0;
    int r;

    while ((r = store_lane_next_fit(look->b->db, fit_id, &fit_id, err)) >= 0 && fit_id) {
        r = look_at_fit(look, fit_id, &fits, &big, err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    if (!fits.job_id)
        return err_set(err, ERR_NOT_FOUND, "no job fits");
    if (big.job_id && goes_before(&big, &fits) &&
        dispatch_keep(look->b->dispatch, big.job_id, look->claim->runner_id))
        return err_set(err, ERR_NOT_FOUND, "what is free is kept for job %" PRId64, big.job_id);
    *ret = fits;
    return 0;
}

/* The next job for the runner as it is now; ERR_NOT_FOUND. */
static int look_for_job(Look *look, LaneHead *ret, Err *err) {
    int r = look_at_runner(look, err);

    if (r < 0)
        return r;
    return look->free_slots ? best_lane(look, ret, err) : err_set(err, ERR_NOT_FOUND, "no slot is free");
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
        r = notice_begun(tx, job->build_id, err);
    if (r >= 0 && started)
        r = store_deployment_building(b->db, job->build_id, tx->now, err);
    if (r >= 0)
        r = tx_event(tx, "updated", job->build_id, "running", err);
    if (r >= 0)
        r = store_build_load(b->db, job->build_id, mem, &ret->build, err);
    if (r >= 0 && job->queue_timeout)
        r = store_timer_drop(b->db, "queue", id, NULL, err);
    if (r >= 0 && started && ret->build->timeout)
        r = timer_set(tx, "build", job->build_id, tx->now + ret->build->timeout, err);
    if (r >= 0)
        r = store_project_by_id(b->db, ret->build->project_id, mem, &ret->project, err);
    if (r >= 0)
        r = needs_read(b, id, job->spec, mem, &ret->needs, &ret->need_count, err);
    if (r < 0)
        return r;
    tx_unqueued(tx, id);
    ret->job = *job;
    return 0;
}

static size_t bytes_of_outputs(const ClaimedJob *c) {
    size_t bytes = 0;

    for (size_t i = 0; i < c->need_count; i++)
        for (size_t k = 0; k < c->needs[i].output_count; k++)
            bytes += strlen(c->needs[i].outputs[k].value);
    return bytes;
}

/* A job that names a secret which it cannot have ends instead of being given to a runner: *ret_job.id is 0.
 * So does one that needs more than can be given, or that should never have been queued. */
static int give_secrets(Tx *tx, ClaimedJob *ret_job, const void *mem, Err *err) {
    JobEnd invalid = {.state = "failed", .reason = "invalid", .exit_code = -1};
    const Job job = ret_job->job;
    const char *lacks = approval_lacks(ret_job->build, &job);
    int r = 0;

    if (lacks)
        invalid.message = mem_printf(mem, "it %s, and comes from a fork that nobody has approved", lacks);
    else if (bytes_of_outputs(ret_job) > OUTPUTS_MAX)
        invalid.message = mem_printf(mem,
                                     "the outputs that it names of the jobs that it needs have %zu bytes "
                                     "together, and %d are the limit; hand over files as artifacts",
                                     bytes_of_outputs(ret_job), OUTPUTS_MAX);
    else
        r = secrets_of_job(tx->b, &job, ret_job->build, mem, &ret_job->secrets, &ret_job->secret_count,
                           &invalid.message, err);
    if (r < 0 || !invalid.message)
        return r;
    ret_job->job.id = 0;
    return state_job_end(tx, &job, job.attempt, &invalid, err);
}

static int claim_some(Tx *tx, Look *look, const void *mem, Claimed *claimed, Err *err) {
    size_t bytes = 0;

    look->now = tx->now;
    while (claimed->count < look->claim->max && bytes < ANSWER_ENOUGH) {
        ClaimedJob one = {0};
        LaneHead head;
        int r = look_for_job(look, &head, err);

        if (r == -ERR_NOT_FOUND)
            return 0;
        if (r >= 0)
            r = claim_one(tx, look->claim, head.job_id, mem, &one, err);
        if (r >= 0)
            r = give_secrets(tx, &one, mem, err);
        if (r < 0)
            return r;
        if (!one.job.id)
            continue;
        bytes += strlen(one.job.spec) + strlen(one.build->env) + bytes_of_outputs(&one);
        mem_append(mem, claimed->jobs, claimed->count, one);
    }
    return 0;
}

/* Without the writer's lock, so that an idle runner's call costs nobody anything. */
static int any_job(Look *look, bool *ret, Err *err) {
    _cleanup_view_ Db *view = NULL;
    LaneHead head;
    int r = db_view(look->b->db, &view, err);

    if (r >= 0)
        r = look_for_job(look, &head, err);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = r >= 0 && look->claim->max > 0;
    return 0;
}

int build_claim(Builds *b, const BuildClaim *claim, const void *mem, Claimed *ret, Err *err) {
    Look look = {.b = b, .claim = claim, .now = clock_now()};
    Claimed claimed = {0};
    bool any, low = disk_is_low(&b->disk);
    Tx tx;
    int r = any_job(&look, &any, err);

    if (r >= 0 && any && !low) {
        r = tx_begin(b, &tx, err);
        if (r < 0)
            return r;
        r = tx_end(&tx, claim_some(&tx, &look, mem, &claimed, err), err);
    }
    if (r < 0)
        return err_wrap(err, "claim a job");
    claimed.rest = look.rest;
    claimed.free_slots = low ? 0 : look.free_slots;
    claimed.paused = low || look.bar.paused;
    claimed.drained = look.bar.drained && look.held.jobs == 0;
    *ret = claimed;
    if (low)
        build_reaper_await_room(b);
    if (claimed.count)
        build_reaper_wake(b, clock_now() + b->options.lease_us);
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
            r = state_job_lost(tx, &leases[i], "its runner did not have it any more", err);
    }
    return r;
}

/* An attempt that has just ended, and whose process is about to, needs no order; one that was lost does, and
 * one whose process is there after a while: somebody has stopped it, say, and its runner is to look after it.
 */
static int order_for(Builds *b, const Job *lease, StopOrder *order, const void *mem, Err *err) {
    AttemptRow *row;
    int r;

    if (lease) {
        order->reason = lease->stop_reason;
        return 0;
    }
    order->reason = "stale";
    r = store_attempt_load(b->db, order->attempt.job, order->attempt.attempt, mem, &row, err);
    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r >= 0 && row->finished_at && !str_eq(row->reason, "lost") &&
        clock_now() - row->finished_at < LEAVE_US)
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
        tx.casual = true;
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

typedef int (*LeaseEnd)(Tx *tx, const Job *lease, Err *err);

static int end_all(Tx *tx, int64_t runner_id, LeaseEnd end, Err *err) {
    Job *leases;
    size_t count;
    int r = store_job_leases(tx->b->db, runner_id, tx->mem, &leases, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = end(tx, &leases[i], err);
    return r;
}

static int end_leases(Builds *b, int64_t runner_id, LeaseEnd end, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, end_all(&tx, runner_id, end, err), err);
}

static int abandon(Tx *tx, const Job *lease, Err *err) {
    return state_job_lost(tx, lease, STATE_RUNNER_LOST, err);
}

int build_abandon(Builds *b, int64_t runner_id, Err *err) {
    return end_leases(b, runner_id, abandon, err);
}

int build_hand_back(Builds *b, int64_t runner_id, Err *err) {
    return end_leases(b, runner_id, state_job_handed_back, err);
}
