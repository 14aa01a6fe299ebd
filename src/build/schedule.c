/* Builds that the clock starts. What counts is the pipeline file of the default branch's newest commit: a
 * push to that sets the schedules in its own transaction, and when the time of one has come, that commit,
 * with what its file says by then, is built. */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "git/git.h"

#define PAUSE_US (60 * US_PER_S) /* before the next try of one that cannot be started */

static bool same(const Schedule *a, const PlanSchedule *b) {
    return str_eq(a->name, b->name) && str_eq(a->cron, b->cron) && str_eq(a->timezone, b->timezone);
}

static bool is_planned(const Schedule *s, const Plan *plan) {
    for (size_t i = 0; plan && i < plan->schedule_count; i++)
        if (same(s, &plan->schedules[i]))
            return true;
    return false;
}

static bool is_stored(const PlanSchedule *planned, const Schedule *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (same(&rows[i], planned))
            return true;
    return false;
}

static int set_next(Tx *tx, const Schedule *s, Err *err) {
    return timer_set_cron(tx, "schedule", s->id, s->cron, s->timezone, err);
}

static int insert(Tx *tx, int64_t project_id, const PlanSchedule *planned, Err *err) {
    Schedule s = {.project_id = project_id,
                  .name = planned->name,
                  .cron = planned->cron,
                  .timezone = planned->timezone};
    int r = store_schedule_insert(tx->b->db, &s, err);

    return r < 0 ? r : set_next(tx, &s, err);
}

/* One that stays as it is keeps its time, also one that is due just now. */
int schedules_set(Tx *tx, int64_t project_id, const Plan *plan, Err *err) {
    Schedule *rows;
    size_t count = 0;
    int r = store_schedules(tx->b->db, project_id, tx->mem, &rows, &count, err);

    for (size_t i = 0; r >= 0 && i < count; i++)
        if (!is_planned(&rows[i], plan))
            r = store_schedule_drop(tx->b->db, rows[i].id, err);
    for (size_t i = 0; r >= 0 && plan && i < plan->schedule_count; i++)
        if (!is_stored(&plan->schedules[i], rows, count))
            r = insert(tx, project_id, &plan->schedules[i], err);
    return r;
}

int schedules_default(const Project *project, const char *ref, bool *ret, Err *err) {
    const char *branch = str_after(ref, "refs/heads/"), *head;
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    int r = branch ? git_head(project->path, mem, &head, err) : -ERR_NOT_FOUND;

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = r >= 0 && str_eq(head, branch);
    return 0;
}

/* ---- its time has come ---- */

int schedule_take(Tx *tx, const BuildRequest *request, const Plan *plan, bool broken, bool *ret, Err *err) {
    const Schedule *s = request->due->schedule;
    const char *now;
    bool was;
    int r = trigger_ref_now(request->project, request->ref, tx->mem, &now, err);

    *ret = false;
    if (r < 0 || !str_eq(now, request->commit)) /* of another commit then: it stays due */
        return r;
    r = timer_take(tx, request->due->timer, &was, err);
    if (r < 0 || !was) /* it was changed or removed meanwhile */
        return r;
    if (!broken && !is_planned(s, plan)) /* the same, by a push that nobody has told of yet */
        return schedules_set(tx, s->project_id, plan, err);
    *ret = true;
    return set_next(tx, s, err);
}

static int forget_in(Tx *tx, const ScheduleDue *due, Err *err) {
    bool was;
    int r = timer_take(tx, due->timer, &was, err);

    return r < 0 || !was || !due->schedule ? r : schedules_set(tx, due->schedule->project_id, NULL, err);
}

/* There is no such schedule, or no default branch, which nobody has told of yet. */
static int forget(Builds *b, const ScheduleDue *due, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    return r < 0 ? r : tx_end(&tx, forget_in(&tx, due, err), err);
}

static int start(Builds *b, const ScheduleDue *due, const void *mem, Err *err) {
    BuildRequest request = {.event = "schedule", .pusher = "schedule", .due = due};
    BuildOutcome outcome;
    const char *branch;
    Project *project;
    int r = store_project_by_id(b->db, due->schedule->project_id, mem, &project, err);

    if (r >= 0)
        r = git_head(project->path, mem, &branch, err);
    if (r < 0)
        return r;
    request.project = project;
    request.ref = mem_printf(mem, "refs/heads/%s", branch);
    r = trigger_ref_now(project, request.ref, mem, &request.commit, err);
    if (r < 0)
        return r;
    return request.commit ? build_create(b, &request, mem, &outcome, err) : forget(b, due, err);
}

static int put_off_in(Tx *tx, const ScheduleDue *due, const char *why, Err *err) {
    bool was;
    int r = timer_take(tx, due->timer, &was, err);

    if (r < 0 || !was)
        return r;
    r = store_schedule_excuse(tx->b->db, due->schedule->id, mem_printf(tx->mem, "cannot be started: %s", why),
                              err);
    return r < 0 ? r : timer_set(tx, "schedule", due->schedule->id, tx->now + PAUSE_US, err);
}

static int put_off(Builds *b, const ScheduleDue *due, const Err *why, Err *err) {
    Tx tx;
    int r = tx_begin(b, &tx, err);

    log_err("build", "start a build that is scheduled", why);
    return r < 0 ? r : tx_end(&tx, put_off_in(&tx, due, why->msg, err), err);
}

int schedule_due(Builds *b, const Timer *timer, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    ScheduleDue due = {.timer = timer};
    Schedule *schedule;
    Err why;
    int r = store_schedule_load(b->db, timer->subject_id, mem, &schedule, err);

    if (r == -ERR_NOT_FOUND)
        return forget(b, &due, err);
    if (r < 0)
        return r;
    due.schedule = schedule;
    r = start(b, &due, mem, &why);
    return r < 0 ? put_off(b, &due, &why, err) : 0;
}
