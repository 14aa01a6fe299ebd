/* By hand: nothing new starts, of the whole queue. What runs goes on. */
#include "build/state.h"

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
