/* By hand: nothing new starts, of the whole queue or at one runner. What runs goes on. */
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"

/* Everyone looks again: runners, and the server's own deployer. */
static void wake_everyone(Builds *b) {
    bus_publish(b->bus, BUS_QUEUE, 0);
    bus_publish(b->bus, BUS_DEPLOY, 0);
}

int build_pause(Builds *b, const char *by, const char *reason, Err *err) {
    Pause pause = {.by = by, .reason = reason ? reason : ""};
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    pause.since = tx.now;
    return tx_end(&tx, store_pause_set(b->db, &pause, err), err);
}

int build_resume(Builds *b, bool *ret_changed, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    if (r < 0)
        return r;
    r = tx_end(&tx, store_pause_clear(b->db, ret_changed, err), err);
    if (r >= 0)
        wake_everyone(b);
    return r;
}

static int drain(Tx *tx, const char *name, const char *by, const void *mem, Runner **ret, Err *err) {
    Db *db = tx->b->db;
    Runner *runner;
    bool changed;
    int r = store_runner_by_name(db, name, mem, &runner, err);

    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no runner called '%s'", name);
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
