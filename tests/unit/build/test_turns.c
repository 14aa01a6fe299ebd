/* Builds that take turns, whole: every state that three builds of one group can come to is reached, and in
 * each every event is tried: another build (with each rule for older ones), a claim, ends of each running
 * build (a failure that is tried again too), a cancel of each, the end of its time, once more of one that has
 * ended, the loss of the runner. A job is tried again where one build runs at a time; beside another, with
 * the losses of both, that is some thousand states more and nothing that a group sees. A state is reached
 * again by the events that led to it, in a group of its own: what is tried on it is seen by nobody else. */
#include "fixture.h"

enum { BUILDS = 3, RULES = 3, DEPTH = 24, KEY = 64, STATES = 1 << 12, RUNNER = 1 };
enum { CREATE, CLAIM, SUCCEED, FAIL, STOP, CANCEL, TIMEOUT, RERUN, LOSE, KINDS };

typedef struct Event {
    int kind;
    int which; /* of the builds, or of the rules */
} Event;

static const char *const rules[RULES] = {"queued", "running", "none"};

typedef struct BuildAt {
    const char *state, *reason, *job, *stop;
    bool held;
    int64_t attempt, retries, superseded_by; /* index from 1; 0: by nobody */
} BuildAt;

typedef struct At {
    BuildAt builds[BUILDS];
    int count;
    char key[KEY];
} At;

typedef struct Path {
    Event events[DEPTH];
    int count;
    char key[KEY];
    bool can[KINDS][BUILDS]; /* happen next */
} Path;

typedef struct Turns {
    Fixture *f;
    TALLOC_CTX *mem; /* of one path */
    int64_t limit, ids[BUILDS];
    const char *rule[BUILDS];
    const char *commits[RULES];
    int count, groups;
    Path *paths;
    size_t path_count, steps;
    const char *event;
    int woken; /* who waits for a job, by the event */
} Turns;

/* ---- what is there ---- */

static bool ended(const BuildAt *b) {
    return !str_eq(b->state, "queued") && !str_eq(b->state, "running");
}

static void read_build(Turns *t, int i, BuildAt *at) {
    Build *build;
    size_t count;
    Job *jobs;

    OK(store_build_load(t->f->builds.db, t->ids[i], t->mem, &build, &err));
    OK(store_jobs_of_build(t->f->builds.db, t->ids[i], t->mem, &jobs, &count, &err));
    assert_int_equal(count, 1);
    *at = (BuildAt){.state = build->state,
                    .reason = build->reason,
                    .job = jobs[0].state,
                    .stop = jobs[0].stop_reason,
                    .held = build->held,
                    .attempt = jobs[0].attempt,
                    .retries = jobs[0].retries};
    for (int k = 0; str_eq(build->reason, "superseded") && k < t->count; k++)
        if (str_eq(build->message, mem_printf(t->mem, "superseded by build %d", (int)t->ids[k])))
            at->superseded_by = k + 1;
}

static void read_all(Turns *t, At *at) {
    int n = 0;

    *at = (At){.count = t->count};
    for (int i = 0; i < t->count; i++) {
        BuildAt *b = &at->builds[i];

        read_build(t, i, b);
        n += ended(b) ? snprintf(at->key + n, (size_t)(KEY - n), "E ")
                      : snprintf(at->key + n, (size_t)(KEY - n), "%.1s%.1s%d%d%c%.2s ", b->state, b->job,
                                 (int)b->attempt, (int)b->retries, b->held ? 'h' : '.', b->stop);
    }
    /* how one ended, and which rule it came with, matters no more */
}

#define HOLDS(t, before, after, what)                                                                        \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            fail_msg("%s\n  before  %s\n  event   %s\n  after   %s", #what, (before)->key, (t)->event,       \
                     (after)->key);                                                                          \
    } while (0)

static void judge_build(const Turns *t, const At *before, const At *after, int i) {
    const BuildAt *b = &after->builds[i];

    if (b->held)
        HOLDS(t, before, after, ended(b) || (str_eq(b->state, "queued") && str_eq(b->job, "blocked")));
    else if (!ended(b))
        HOLDS(t, before, after, str_eq(b->job, "queued") || str_eq(b->job, "running"));
    if (i < before->count && ended(&before->builds[i]))
        HOLDS(t, before, after, str_eq(b->state, before->builds[i].state));
    if (!str_eq(b->reason, "superseded"))
        return;
    /* by a newer one, which wanted it so; one that had begun only where that is the rule */
    HOLDS(t, before, after, str_eq(b->state, "cancelled") && b->superseded_by > i + 1);
    HOLDS(t, before, after, !str_eq(t->rule[b->superseded_by - 1], "none"));
    HOLDS(t, before, after, b->attempt == 0 || str_eq(t->rule[b->superseded_by - 1], "running"));
}

static void judge(Turns *t, const At *before, const At *after) {
    int started = 0, held = 0, first_held = BUILDS, last_started = -1, claimable = 0;

    t->steps++;
    for (int i = 0; i < after->count; i++) {
        const BuildAt *b = &after->builds[i];

        judge_build(t, before, after, i);
        claimable +=
            str_eq(b->job, "queued") && (i >= before->count || !str_eq(before->builds[i].job, "queued"));
        if (ended(b))
            continue;
        held += b->held;
        started += !b->held;
        first_held = b->held ? MIN(first_held, i) : first_held;
        last_started = b->held ? last_started : i;
    }
    HOLDS(t, before, after, t->woken == claimable); /* nobody has to come by to find it */
    HOLDS(t, before, after, started <= t->limit);
    HOLDS(t, before, after, held == 0 || started == t->limit);       /* none waits where there is room */
    HOLDS(t, before, after, held == 0 || last_started < first_held); /* in their order */
}

/* ---- events ---- */

static void create(Turns *t, int rule) {
    BuildRequest request = {.project = t->f->project,
                            .commit = t->commits[rule],
                            .ref = mem_printf(t->mem, "refs/heads/g%d", t->groups),
                            .event = "manual",
                            .pusher = "ann"};
    BuildOutcome outcome;

    OK(build_create(&t->f->builds, &request, t->mem, &outcome, &err));
    t->rule[t->count] = rules[rule];
    t->ids[t->count++] = outcome.id;
}

static int report_end(Turns *t, int i, const char *word) {
    Job *job;
    JobReport r = {.runner_id = RUNNER,
                   .state = word,
                   .reason = str_eq(word, "failed") ? "exit" : "",
                   .message = "",
                   .log_size = -1};
    uint64_t next;
    bool stop;

    OK(store_job_at(t->f->builds.db, t->ids[i], 0, t->mem, &job, &err));
    r.attempt = (Attempt){job->id, job->attempt, NULL};
    return build_report(&t->f->builds, &r, &next, &stop, &err);
}

/* Of a build that has begun; its time is not stored with one that was not given to a runner. */
static void time_out(Turns *t, int i) {
    change(t->f, "INSERT INTO timer (kind, subject_id, due_at) VALUES (?2, ?1, 1)", t->ids[i], "build");
    OK(timer_fire_due(&t->f->builds, &err));
}

/* It takes nobody's place, whatever its file says of older ones. */
static void rerun(Turns *t, int i) {
    RerunRequest request = {.build = t->ids[i], .by = "ann"};
    BuildOutcome outcome;

    OK(build_rerun(&t->f->builds, &request, t->mem, &outcome, &err));
    t->rule[t->count] = "none";
    t->ids[t->count++] = outcome.id;
}

static void happen(Turns *t, const Event *e) {
    ClaimedJob *jobs;

    switch (e->kind) {
    case CREATE:
        create(t, e->which);
        break;
    case CLAIM:
        claim(t->f, RUNNER, 1, &jobs);
        break;
    case SUCCEED:
        OK(report_end(t, e->which, "success"));
        break;
    case FAIL:
        OK(report_end(t, e->which, "failed"));
        break;
    case STOP:
        OK(report_end(t, e->which, "cancelled"));
        break;
    case TIMEOUT:
        time_out(t, e->which);
        break;
    case RERUN:
        rerun(t, e->which);
        break;
    case CANCEL:
        OK(build_cancel(&t->f->builds, t->ids[e->which], "", &err));
        break;
    case LOSE:
        OK(build_abandon(&t->f->builds, RUNNER, &err));
        break;
    }
}

static bool can_happen(const At *at, const Event *e) {
    switch (e->kind) {
    case CREATE:
        return at->count < BUILDS && e->which < RULES;
    case RERUN: /* of the first that can be: it comes to the same of which */
        return at->count < BUILDS && e->which == 0 && at->count > 0 && ended(&at->builds[0]);
    case TIMEOUT:
        return e->which < at->count && str_eq(at->builds[e->which].state, "running");
    case SUCCEED:
    case FAIL:
    case STOP:
        return e->which < at->count && str_eq(at->builds[e->which].job, "running");
    case CANCEL:
        return e->which < at->count && !ended(&at->builds[e->which]);
    default: /* of no build */
        return e->which == 0;
    }
}

/* ---- paths ---- */

/* What an earlier path left is nobody's any more. */
static void begin(Turns *t) {
    static const char *const sweeps[] = {
        "UPDATE job SET state = 'skipped' WHERE state NOT IN ('success', 'failed', 'cancelled')",
        "UPDATE build SET state = 'cancelled' WHERE state IN ('queued', 'running')",
        "DELETE FROM lane",
    };

    OK(db_begin(t->f->builds.db, &err));
    for (size_t i = 0; i < ELEMENTS(sweeps); i++)
        OK(db_exec(t->f->builds.db, NULL, &err, sweeps[i], ""));
    OK(db_commit(t->f->builds.db, &err));
    talloc_free(t->mem);
    t->mem = t->f->mem = talloc_new(t->f);
    t->count = 0;
    t->groups++;
}

static void note_possible(Path *path, const At *at) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int which = 0; which < BUILDS; which++)
            path->can[kind][which] = can_happen(at, &(Event){.kind = kind, .which = which});
}

static void visit(Turns *t, const At *at, const Path *before, const Event *event) {
    Path *path;

    for (size_t i = 0; i < t->path_count; i++)
        if (str_eq(t->paths[i].key, at->key))
            return;
    assert_true(t->path_count < STATES && before->count < DEPTH);
    path = &t->paths[t->path_count++];
    *path = *before;
    path->events[path->count++] = *event;
    memcpy(path->key, at->key, KEY);
    note_possible(path, at);
}

static const char *say(const Turns *t, const Event *e) {
    static const char *const words[] = {"create", "claim",   "succeed", "fail", "stop",
                                        "cancel", "timeout", "rerun",   "lose"};

    return mem_printf(t->mem, "%s %d", words[e->kind], e->which);
}

static void try_event(Turns *t, const Path *path, const Event *event) {
    At before, after;

    begin(t);
    for (int i = 0; i < path->count; i++)
        happen(t, &path->events[i]);
    read_all(t, &before);
    t->event = say(t, event);
    t->woken = 0;
    happen(t, event);
    read_all(t, &after);
    judge(t, &before, &after);
    visit(t, &after, path, event);
}

static void count_wake(void *arg, int64_t key) {
    (*(int *)arg)++;
}

static void try_all(Turns *t, const Path *path) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int which = 0; which < BUILDS; which++)
            if (path->can[kind][which])
                try_event(t, path, &(Event){.kind = kind, .which = which});
}

static BusSubscription *on_queue; /* ends with the test, however that does */

static int teardown(void **state) {
    bus_unsubscribe(on_queue);
    return fixture_teardown(state);
}

static void visit_all(Fixture *f, int64_t limit) {
    Turns t = {.f = f, .limit = limit, .paths = mem_array(f, Path, STATES), .path_count = 1};

    on_queue = bus_subscribe(f->builds.bus, BUS_QUEUE, 0, count_wake, &t.woken);
    f->builds.options.max_attempts = 2;
    note_possible(&t.paths[0], &(At){0});
    for (size_t i = 0; i < RULES; i++) {
        commit_pipeline(f, mem_printf(f->mem,
                                      "concurrency: {group: \"${{ branch }}\", limit: %d, cancel: %s}\n"
                                      "jobs:\n  a: {steps: [\"true\"]%s}\n",
                                      (int)limit, rules[i],
                                      limit == 1 ? ", retry: {times: 1, on: [exit]}" : ""));
        t.commits[i] = mem_strdup(f, f->commit);
    }
    for (size_t i = 0; i < t.path_count; i++) {
        Path path = t.paths[i];

        try_all(&t, &path);
    }
    print_message("limit %d: %zu states, %zu steps\n", (int)limit, t.path_count, t.steps);
    assert_true(t.path_count > 40);
}

static void three_builds_of_a_group_take_turns_in_every_state(void **state) {
    visit_all(*state, 1);
}

static void three_builds_of_a_group_of_two_take_turns_in_every_state(void **state) {
    visit_all(*state, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(three_builds_of_a_group_take_turns_in_every_state),
        TEST(three_builds_of_a_group_of_two_take_turns_in_every_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
