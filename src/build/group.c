/* Concurrency groups: of the builds of a project that name the same group, so many run at a time. The others
 * are held: queued, with the jobs that could begin still blocked. A build takes up its place from its start
 * until it has really ended; the oldest held one is next. */
#include "build/state.h"

#include "base/str.h"
#include <inttypes.h>

static void look_at(Tx *tx, int64_t project_id, const char *name) {
    struct Group group = {.project_id = project_id, .name = name};

    mem_append(tx->mem, tx->groups, tx->group_count, group);
}

void group_left(Tx *tx, const Build *build) {
    if (!str_empty(build->concurrency_group))
        look_at(tx, build->project_id, mem_strdup(tx->mem, build->concurrency_group));
}

static bool has_begun(const Build *build) {
    return !str_eq(build->state, "queued");
}

static int supersede(Tx *tx, const Build *by, bool running, Err *err) {
    const char *message = mem_printf(tx->mem, "superseded by build %" PRId64, by->id);
    Build *builds;
    size_t count;
    int r =
        store_group_builds(tx->b->db, by->project_id, by->concurrency_group, tx->mem, &builds, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        if (builds[i].id < by->id && (running || !has_begun(&builds[i])))
            r = state_build_stop(tx, &builds[i], "superseded", message, err);
    return r;
}

/* Whether the newest of the group, which is held itself, would have to wait. */
static int is_full(Tx *tx, const Build *build, bool *ret, Err *err) {
    int64_t started, held;
    int r = store_group_count(tx->b->db, build->project_id, build->concurrency_group, false, &started, err);

    if (r >= 0)
        r = store_group_count(tx->b->db, build->project_id, build->concurrency_group, true, &held, err);
    if (r < 0)
        return r;
    *ret = held > 1 || started >= build->concurrency_limit;
    return 0;
}

int group_enter(Tx *tx, const Build *build, const char *cancel, Err *err) {
    bool full;
    int r = is_full(tx, build, &full, err);

    if (r >= 0 && full && !str_eq(cancel, "none"))
        r = supersede(tx, build, str_eq(cancel, "running"), err);
    group_left(tx, build);
    return r;
}

static int start(Tx *tx, Build *build, Err *err) {
    int r = store_build_unhold(tx->b->db, build->id, err);

    build->held = false;
    if (r >= 0)
        r = tx_event(tx, "updated", build->id, build->state, err);
    return r < 0 ? r : state_build_begin(tx, build, err);
}

/* 1: one was started. */
static int start_next(Tx *tx, const struct Group *group, Err *err) {
    int64_t started;
    Build *next;
    int r = store_group_next(tx->b->db, group->project_id, group->name, tx->mem, &next, err);

    if (r < 0 || !next)
        return r;
    r = store_group_count(tx->b->db, group->project_id, group->name, false, &started, err);
    if (r < 0 || started >= next->concurrency_limit)
        return r;
    r = start(tx, next, err);
    return r < 0 ? r : 1;
}

/* One that is started may end at once, when none of its jobs is to run: the list grows. */
int group_start_held(Tx *tx, Err *err) {
    for (size_t i = 0; i < tx->group_count; i++) {
        int r;

        while ((r = start_next(tx, &(struct Group){tx->groups[i].project_id, tx->groups[i].name}, err)) > 0)
            ;
        if (r < 0)
            return r;
    }
    return 0;
}
