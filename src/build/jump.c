/* The wall clock is set while the server runs, by hand or by who keeps it. What is stored with a time and
 * lasts for a while (a lease, a timeout, a pause) is moved by the same jump, or it would stand still for as
 * long as the clock was set back. Every transaction looks first, so that none writes by one clock what was
 * read by another. What is of the wall clock (a schedule, the end of a token or an artifact) stays as it is.
 */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/notice.h"
#include <stdatomic.h>
#include <stdlib.h>

/* What keeps the clock right a little at a time is no jump. */
#define JUMP_US (2 * US_PER_S)

/* 0: none. */
static int64_t jump_to(const Builds *b, int64_t distance) {
    int64_t known = atomic_load(&b->clock_distance);

    return known == 0 || llabs(distance - known) < JUMP_US ? 0 : distance - known;
}

static int shift(Tx *tx, int64_t by, Err *err) {
    Db *db = tx->b->db;
    int r = leases_anew(tx, err);

    if (r >= 0)
        r = timers_shift(tx, by, err);
    if (r >= 0)
        r = store_jobs_queued_shift(db, by, err);
    if (r >= 0)
        r = store_notices_shift(db, by, err);
    if (r >= 0)
        r = store_runners_seen_shift(db, by, err);
    if (r >= 0) /* one that was seen since, for that is written apart */
        r = store_runners_seen_cap(db, tx->now, err);
    return r < 0 ? err_wrap(err, "follow the clock, which was set") : 0;
}

static void say(int64_t by) {
    char time[CLOCK_RFC3339_SIZE];

    log_warn("build",
             "the clock was set %s by %s: leases begin anew, timeouts and pauses last as long as before",
             by < 0 ? "back" : "forward", clock_human(llabs(by), time));
}

/* Those who wait for a time look once more when it is through. */
int jump_follow(Tx *tx, Err *err) {
    int64_t distance = clock_distance(), by = jump_to(tx->b, distance);

    if (atomic_load(&tx->b->clock_distance) == 0)
        atomic_store(&tx->b->clock_distance, distance);
    if (by == 0)
        return 0;
    say(by);
    tx->clock_distance = distance;
    tx->due = 0;
    tx->notices = tx->deploy = true;
    return shift(tx, by, err);
}

void jump_followed(const Tx *tx) {
    if (tx->clock_distance)
        atomic_store(&tx->b->clock_distance, tx->clock_distance);
}

int jump_look(Builds *b, Err *err) {
    Tx tx;
    int r;

    if (jump_to(b, clock_distance()) == 0)
        return 0;
    r = tx_begin(b, &tx, err);
    return r < 0 ? r : tx_end(&tx, 0, err);
}

int jump_at_start(Tx *tx, Err *err) {
    Db *db = tx->b->db;
    int r = leases_anew(tx, err);

    if (r >= 0)
        r = store_timers_cap(db, tx->now, RETRY_PAUSE_MAX, err);
    return r < 0 ? r : store_runners_seen_cap(db, tx->now, err);
}
