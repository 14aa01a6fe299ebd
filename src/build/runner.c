/* What is done to a runner by hand: it is drained, works again, is removed. */
#include "build/state.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

static int find(Db *db, const char *name, const void *mem, Runner **ret, Err *err) {
    int r = store_runner_by_name(db, name, mem, ret, err);

    return r == -ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "there is no runner called '%s'", name) : r;
}

static int drain(Tx *tx, const char *name, const char *by, const void *mem, Runner **ret, Err *err) {
    Db *db = tx->b->db;
    Runner *runner;
    bool changed;
    int r = find(db, name, mem, &runner, err);

    if (r >= 0 && str_eq(name, SERVER_RUNNER))
        return err_set(err, ERR_INVALID,
                       "'%s' is the server itself, which deploys: pause the queue to keep it from that",
                       name);
    if (r >= 0)
        r = store_runner_drain(db, runner->id, by, tx->now, &changed, err);
    if (r >= 0)
        r = store_runner_by_id(db, runner->id, mem, ret, err);
    if (r >= 0)
        tx_wake_runner(tx, runner->id);
    return r;
}

int build_drain_runner(Builds *b, const char *name, const char *by, const void *mem, Runner **ret, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = tx_end(&tx, drain(&tx, name, by, mem, ret, err), err);
    if (r >= 0)
        bus_publish(b->bus, BUS_DRAIN, (*ret)->id);
    return r;
}

/* ---- remove ---- */

/* One that was drained and has nothing left ends by itself, if it has not yet. */
static int check_gone(Tx *tx, const Runner *runner, Err *err) {
    RunnerHeld held;
    int r = store_runner_held(tx->b->db, runner->id, &held, err);

    if (r < 0)
        return r;
    if (held.jobs > 0)
        return err_set(err, ERR_CONFLICT,
                       "runner %s has %" PRId64 " job%s: let it end them (pelton runner drain %s); when its "
                       "machine is gone, they are given to others when their leases are over",
                       runner->name, held.jobs, held.jobs == 1 ? "" : "s", runner->name);
    if (!runner->drained_at && !build_runner_away(runner, tx->now))
        return err_set(err, ERR_CONFLICT,
                       "runner %s called %" PRId64 " s ago: let it end first (pelton runner drain %s)",
                       runner->name, (tx->now - runner->last_seen) / US_PER_S, runner->name);
    return 0;
}

static int remove_it(Tx *tx, const char *name, Err *err) {
    Db *db = tx->b->db;
    Runner *runner;
    int r;

    if (str_eq(name, SERVER_RUNNER))
        return err_set(err, ERR_INVALID, "'%s' is the server itself, which deploys", name);
    r = find(db, name, tx->mem, &runner, err);
    if (r >= 0)
        r = check_gone(tx, runner, err);
    if (r >= 0)
        r = store_runner_remove(
            db, runner->id, mem_printf(tx->mem, "%s (removed %" PRId64 ")", name, runner->id), tx->now, err);
    if (r >= 0)
        r = store_tokens_revoke_runner(db, runner->id, tx->now, err);
    return r;
}

int build_remove_runner(Builds *b, const char *name, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = tx_end(&tx, remove_it(&tx, name, err), err);
    if (r < 0)
        return r;
    auth_revoked();
    bus_publish(b->bus, BUS_QUEUE, 0); /* what waits with its token looks again, and ends */
    return 0;
}
