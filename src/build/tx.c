#include "build/dispatch.h"
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"

#define MAX_WAKES 64

int tx_begin(Builds *b, Tx *tx, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    *tx = (Tx){.b = b, .mem = talloc_new(NULL), .now = clock_now(), .due = INT64_MAX};
    r = jump_follow(tx, err);
    return r < 0 ? tx_end(tx, r, err) : 0;
}

static void wake_all(Tx *tx) {
    Bus *bus = tx->b->bus;

    for (size_t i = 0; i < tx->ended_count; i++)
        blob_log_end(tx->b->blob, tx->ended[i].job, tx->ended[i].attempt);
    for (size_t i = 0; i < tx->build_count; i++)
        bus_publish(bus, BUS_BUILD, tx->builds[i]);
    if (tx->events)
        bus_publish(bus, BUS_EVENT, 0);
    for (size_t i = 0; i < tx->fit_count; i++)
        bus_publish(bus, BUS_QUEUE, tx->fits[i]);
    if (tx->deploy)
        bus_publish(bus, BUS_DEPLOY, 0);
    for (size_t i = 0; i < tx->unqueued_count; i++)
        tx_wake_runner(tx, dispatch_unkeep(tx->b->dispatch, tx->unqueued[i]));
    for (size_t i = 0; i < tx->runner_count; i++)
        bus_publish(bus, BUS_RUNNER, tx->runners[i]);
    if (tx->notices)
        bus_publish(bus, BUS_NOTICE, 0);
    if (tx->due != INT64_MAX)
        build_reaper_wake(tx->b, tx->due);
}

/* The logs of the attempts that end: not a byte comes after the end, nor is one lost that was there.
 * *ret_count: of how many. */
static int keep_logs(const Tx *tx, size_t *ret_count, Err *err) {
    int r = 0;

    for (; r >= 0 && *ret_count < tx->ended_count; *ret_count += r >= 0)
        r = blob_log_keep(tx->b->blob, tx->ended[*ret_count].job, tx->ended[*ret_count].attempt, err);
    return r;
}

int tx_end(Tx *tx, int r, Err *err) {
    size_t kept = 0;

    if (r >= 0)
        r = group_start_held(tx, err);
    if (r >= 0)
        r = keep_logs(tx, &kept, err);
    if (r >= 0)
        r = tx->casual ? db_commit_casually(tx->b->db, err) : db_commit(tx->b->db, err);
    if (r >= 0)
        jump_followed(tx);
    if (r >= 0)
        wake_all(tx);
    db_rollback(tx->b->db);
    while (kept-- > 0)
        blob_log_unkeep(tx->b->blob, tx->ended[kept].job, tx->ended[kept].attempt);
    talloc_free(tx->mem);
    return r;
}

static void add_once(Tx *tx, int64_t **list, size_t *count, int64_t id) {
    for (size_t i = 0; i < *count; i++)
        if ((*list)[i] == id)
            return;
    mem_append(tx->mem, *list, *count, id);
}

/* A wake a job, so that one that comes with others does not wait until it is passed on; but not thousands. */
void tx_queued(Tx *tx, const Job *job) {
    if (str_eq(job->executor, "deploy"))
        tx->deploy = true;
    else if (tx->fit_count < MAX_WAKES)
        mem_append(tx->mem, tx->fits, tx->fit_count, job->fit_id);
    else
        add_once(tx, &tx->fits, &tx->fit_count, job->fit_id);
}

void tx_unqueued(Tx *tx, int64_t job_id) {
    mem_append(tx->mem, tx->unqueued, tx->unqueued_count, job_id);
}

void tx_touch_build(Tx *tx, int64_t build_id) {
    add_once(tx, &tx->builds, &tx->build_count, build_id);
}

void tx_wake_runner(Tx *tx, int64_t runner_id) {
    if (runner_id)
        add_once(tx, &tx->runners, &tx->runner_count, runner_id);
}

int tx_event(Tx *tx, const char *kind, int64_t build_id, const char *state, Err *err) {
    tx->events = true;
    tx_touch_build(tx, build_id);
    return store_event_insert(tx->b->db, kind, build_id, state, tx->now, err);
}
