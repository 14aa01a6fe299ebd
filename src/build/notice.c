/* What is to be said of a build: rows that are stored with it, and become due with what happens to it. The
 * `notify` room says it. */
#include "build/state.h"

#include "base/clock.h"
#include "base/str.h"
#include "secret/ring.h"
#include "store/notice.h"

/* What stages left for each other is needed when what failed runs again. */
#define KEEP_FAILED_US (24 * 3600 * US_PER_S)

static int insert(Tx *tx, const Build *build, const PlanNotice *planned, Err *err) {
    Notice notice = {.build_id = build->id, .moment = planned->moment, .kind = planned->kind};

    /* it may hold tokens */
    notice.config = tx->b->ring ? secret_seal(tx->b->ring, tx->mem, NOTICE_PLACE, planned->config) : "";
    return store_notice_insert(tx->b->db, &notice, err);
}

int notice_insert_all(Tx *tx, const Plan *plan, const Build *build, Err *err) {
    static const PlanNotice workspace = {"end", "workspace", "{}"};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < plan->notice_count; i++)
        r = insert(tx, build, &plan->notices[i], err);
    if (r >= 0 && str_eq(plan->planner, "stages") && plan->count > 1)
        r = insert(tx, build, &workspace, err);
    return r;
}

int notice_begun(Tx *tx, int64_t build_id, Err *err) {
    int64_t count = 0;
    int r = store_notices_begun(tx->b->db, build_id, tx->now, &count, err);

    tx->notices = tx->notices || count;
    return r;
}

int notice_ended(Tx *tx, int64_t build_id, const char *state, Err *err) {
    bool good = str_eq(state, "success"), bad = str_eq(state, "failed") || str_eq(state, "partial");
    int64_t count = 0;
    int r = store_notices_ended(tx->b->db, build_id,
                                good  ? "success"
                                : bad ? "failure"
                                      : NULL,
                                tx->now, good ? tx->now : tx->now + KEEP_FAILED_US, &count, err);

    tx->notices = tx->notices || count;
    return r;
}
