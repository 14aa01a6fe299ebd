/* The state machine, whole: every state that a diamond of four jobs (the last one with always()) can come to
 * is visited, and in each of them every event is tried: claims, reports of the attempt that holds the job and
 * of those that do not, lost leases, renewals, a cancel. After each one the rows are read again and judged.
 *
 * A state is put back by writing its rows, so that a step costs two transactions and no replay. */
#include "fixture.h"

enum { JOBS = 4, MAX_ATTEMPTS = 2, RUNNER = 1, OTHER_RUNNER = 2, KEY = 64 };

/* d needs b and c, which need a; b has an executor of its own, so that b and c are claimed in any order */
static const char pipeline[] = "jobs:\n"
                               "  a: {steps: [\"true\"]}\n"
                               "  b: {needs: [a], steps: [\"true\"], runs-on: {executor: shell}}\n"
                               "  c: {needs: [a], steps: [\"true\"]}\n"
                               "  d: {needs: [b, c], steps: [\"true\"], if: always()}\n";
static const int needs[JOBS][JOBS] = {[1] = {1}, [2] = {1}, [3] = {0, 1, 1}};

typedef struct JobAt {
    char state[12], stop[12], attempts[MAX_ATTEMPTS][12];
    int64_t attempt, needs_left, runner, finished;
} JobAt;

typedef struct At {
    JobAt jobs[JOBS];
    char build[12];
    int64_t left, finished;
    char key[KEY];
} At;

typedef struct Machine {
    Fixture *f;
    Db *db;
    int64_t build, ids[JOBS];
    At *all;
    size_t count, steps;
    int64_t last_event;
    uint32_t *table; /* of index + 1 */
    size_t table_size;
    const char *event; /* that is being tried, for a message */
} Machine;

/* ---- rows ---- */

static void copy_word(char out[12], const char *word) {
    assert_true(strlen(word) < 12);
    snprintf(out, 12, "%s", word);
}

static bool ended(const char *word) {
    return !str_eq(word, "blocked") && !str_eq(word, "queued") && !str_eq(word, "running");
}

static void read_attempts(Machine *m, int job, JobAt *at) {
    DbStmt *st;

    OK(db_prepare(m->db, "SELECT number, state FROM attempt WHERE job_id = ?1 ORDER BY number", &st, &err));
    db_bind_int(st, 1, m->ids[job]);
    while (db_step(st, &err) == 1) {
        assert_in_range(db_int(st, 0), 1, MAX_ATTEMPTS);
        copy_word(at->attempts[db_int(st, 0) - 1], db_text(st, 1));
    }
    db_done(st);
}

/* What tells one state from another: no times. */
static void make_key(At *at) {
    int n = 0;

    memset(at->key, 0, KEY);
    for (int i = 0; i < JOBS; i++)
        n += snprintf(at->key + n, (size_t)(KEY - n), "%.2s%d%c ", at->jobs[i].state,
                      (int)at->jobs[i].attempt, at->jobs[i].stop[0] ? '!' : ' ');
    snprintf(at->key + n, (size_t)(KEY - n), "%s", at->build);
}

static void read_rows(Machine *m, At *at) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Build *build;
    size_t count;
    Job *jobs;

    memset(at, 0, sizeof(*at));
    OK(store_jobs_of_build(m->db, m->build, mem, &jobs, &count, &err));
    assert_int_equal(count, JOBS);
    for (int i = 0; i < JOBS; i++) {
        m->ids[i] = jobs[i].id;
        copy_word(at->jobs[i].state, jobs[i].state);
        copy_word(at->jobs[i].stop, jobs[i].stop_reason);
        at->jobs[i].attempt = jobs[i].attempt;
        at->jobs[i].needs_left = jobs[i].needs_left;
        at->jobs[i].runner = jobs[i].runner_id;
        at->jobs[i].finished = jobs[i].finished_at;
        read_attempts(m, i, &at->jobs[i]);
    }
    OK(store_build_load(m->db, m->build, mem, &build, &err));
    copy_word(at->build, build->state);
    at->left = build->jobs_left;
    at->finished = build->finished_at;
    make_key(at);
}

static void write_job(Machine *m, int64_t id, const JobAt *job) {
    OK(db_exec(m->db, NULL, &err,
               "UPDATE job SET state = ?2, stop_reason = ?3, attempt = ?4, needs_left = ?5, runner_id = ?6,"
               " finished_at = ?7, lease_until = 1, started_at = 1 WHERE id = ?1",
               "issiiii", id, job->state, job->stop, job->attempt, job->needs_left, job->runner,
               job->finished));
    for (int64_t n = 1; n <= job->attempt; n++) {
        const char *word = job->attempts[n - 1];

        OK(db_exec(m->db, NULL, &err,
                   "INSERT INTO attempt (job_id, number, runner_id, state, started_at, finished_at)"
                   " VALUES (?1, ?2, 1, ?3, 1, ?4)",
                   "iisi", id, n, word, (int64_t)(ended(word) ? 1 : 0)));
    }
}

static void write_rows(Machine *m, const At *at) {
    OK(db_begin(m->db, &err));
    OK(db_exec(m->db, NULL, &err, "DELETE FROM attempt", ""));
    for (int i = 0; i < JOBS; i++)
        write_job(m, m->ids[i], &at->jobs[i]);
    OK(db_exec(m->db, NULL, &err, "DELETE FROM lane", ""));
    OK(db_exec(m->db, NULL, &err,
               "INSERT INTO lane (fit_id, priority, project_id, served_at)"
               " SELECT DISTINCT fit_id, priority, project_id, 0 FROM job WHERE state = 'queued'",
               ""));
    OK(db_exec(m->db, NULL, &err,
               "UPDATE build SET state = ?2, jobs_left = ?3, finished_at = ?4 WHERE id = ?1", "isii",
               m->build, at->build, at->left, at->finished));
    OK(db_commit(m->db, &err));
}

/* ---- what always holds ---- */

#define HOLDS(m, before, after, what)                                                                        \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            fail_msg("%s\n  before  %s\n  event   %s\n  after   %s", #what, (before)->key, (m)->event,       \
                     (after)->key);                                                                          \
    } while (0)

/* A lane for each kind of queued job, and no other. */
static void judge_lanes(const Machine *m, const At *before, const At *after) {
    int64_t wrong;

    OK(db_query_int(m->db, &wrong, &err,
                    "SELECT (SELECT COUNT(*) FROM (SELECT fit_id, priority, project_id FROM lane EXCEPT"
                    " SELECT fit_id, priority, project_id FROM job WHERE state = 'queued'))"
                    " + (SELECT COUNT(*) FROM (SELECT fit_id, priority, project_id FROM job"
                    " WHERE state = 'queued' EXCEPT SELECT fit_id, priority, project_id FROM lane))",
                    ""));
    HOLDS(m, before, after, wrong == 0);
}

static void judge_attempts(const Machine *m, const At *before, const At *after, int i) {
    const JobAt *job = &after->jobs[i];
    int rows = 0, running = 0, success = 0;

    for (int n = 0; n < MAX_ATTEMPTS; n++) {
        rows += job->attempts[n][0] != '\0';
        running += str_eq(job->attempts[n], "running");
        success += str_eq(job->attempts[n], "success");
    }
    HOLDS(m, before, after, rows == job->attempt);
    HOLDS(m, before, after, running == str_eq(job->state, "running"));
    HOLDS(m, before, after, success == str_eq(job->state, "success"));
}

static void judge_job(const Machine *m, const At *before, const At *after, int i) {
    const JobAt *old = &before->jobs[i], *new = &after->jobs[i];
    int open_needs = 0;

    for (int k = 0; k < JOBS; k++)
        open_needs += needs[i][k] && !ended(after->jobs[k].state);
    HOLDS(m, before, after, (new->finished != 0) == ended(new->state));
    HOLDS(m, before, after, new->attempt <= MAX_ATTEMPTS);
    HOLDS(m, before, after, new->attempt >= old->attempt);
    if (ended(old->state))
        HOLDS(m, before, after, memcmp(old, new, sizeof(*old)) == 0);
    if (str_eq(new->state, "blocked"))
        HOLDS(m, before, after, open_needs > 0 && new->needs_left == open_needs);
    if (str_eq(new->state, "queued") || str_eq(new->state, "running"))
        HOLDS(m, before, after, open_needs == 0);
    if (str_eq(new->state, "skipped"))
        HOLDS(m, before, after, new->attempt == 0);
    judge_attempts(m, before, after, i);
}

static const char *result_of(const At *at) {
    bool failed = false;

    for (int i = 0; i < JOBS; i++) {
        if (str_eq(at->jobs[i].state, "cancelled"))
            return "cancelled";
        failed = failed || str_eq(at->jobs[i].state, "failed");
    }
    return failed ? "failed" : "success";
}

static void judge_build(const Machine *m, const At *before, const At *after) {
    int unfinished = 0, movable = 0;

    for (int i = 0; i < JOBS; i++) {
        unfinished += !ended(after->jobs[i].state);
        movable += str_eq(after->jobs[i].state, "queued") || str_eq(after->jobs[i].state, "running");
    }
    HOLDS(m, before, after, after->left == unfinished);
    HOLDS(m, before, after, (after->finished != 0) == (unfinished == 0));
    HOLDS(m, before, after, ended(after->build) == (unfinished == 0));
    /* something can go on as long as it has not ended: no job waits for ever */
    HOLDS(m, before, after, unfinished == 0 || movable > 0);
    if (unfinished == 0)
        HOLDS(m, before, after, str_eq(after->build, result_of(after)));
    else
        HOLDS(m, before, after, str_eq(after->build, "running") == (after->jobs[0].attempt > 0));
}

/* Only forward: a chain of events that change something has an end, so every build does. */
static int rank(const JobAt *job) {
    return ended(job->state)               ? 1000
           : str_eq(job->state, "running") ? 2 * (int)job->attempt
           : str_eq(job->state, "queued")  ? 2 * (int)job->attempt + 1
                                           : 0;
}

static void judge_progress(const Machine *m, const At *before, const At *after) {
    int gained = 0;

    for (int i = 0; i < JOBS; i++) {
        HOLDS(m, before, after, rank(&after->jobs[i]) >= rank(&before->jobs[i]));
        gained += rank(&after->jobs[i]) - rank(&before->jobs[i]);
        gained += strlen(after->jobs[i].stop) > strlen(before->jobs[i].stop);
    }
    HOLDS(m, before, after, (gained > 0) == (memcmp(before->key, after->key, KEY) != 0));
}

/* Those since the last look. */
static void judge_events(Machine *m, const At *before, const At *after) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    bool ends = !ended(before->build) && ended(after->build);
    int completed = 0, updated = 0;
    EventRow *events;
    size_t count;

    OK(store_events_after(m->db, m->last_event, 100, mem, &events, &count, &err));
    for (size_t i = 0; i < count; i++) {
        completed += str_eq(events[i].kind, "completed");
        updated += str_eq(events[i].kind, "updated");
        m->last_event = events[i].id;
    }
    HOLDS(m, before, after, completed == ends);
    if (memcmp(before->key, after->key, KEY) != 0)
        HOLDS(m, before, after, updated > 0 || ends);
}

/* ---- events ---- */

/* Adds the state unless it is known. */
static void visit(Machine *m, const At *at) {
    uint32_t slot = 2166136261U;

    for (size_t i = 0; i < KEY; i++)
        slot = (slot ^ (unsigned char)at->key[i]) * 16777619U;
    for (slot %= m->table_size; m->table[slot]; slot = (slot + 1) % m->table_size)
        if (memcmp(m->all[m->table[slot] - 1].key, at->key, KEY) == 0)
            return;
    assert_true(m->count < m->table_size / 2);
    m->table[slot] = (uint32_t)m->count + 1;
    m->all[m->count++] = *at;
}

/* What became of the state; then puts it back. */
static void judge_rows(Machine *m, const At *before, const At *after) {
    m->steps++;
    judge_events(m, before, after);
    if (memcmp(before, after, sizeof(*after)) == 0)
        return;
    for (int i = 0; i < JOBS; i++)
        judge_job(m, before, after, i);
    judge_build(m, before, after);
    judge_lanes(m, before, after);
    judge_progress(m, before, after);
    visit(m, after);
    write_rows(m, before);
}

static void judge(Machine *m, const At *before) {
    At after;

    read_rows(m, &after);
    judge_rows(m, before, &after);
}

static void say(Machine *m, const char *what, int job, const char *detail) {
    static char text[80];

    snprintf(text, sizeof(text), "%s %c %s", what, job < 0 ? ' ' : 'a' + job, detail);
    m->event = text;
}

static void try_claims(Machine *m, const At *before) {
    static const char *const offers[][2] = {{"sandbox", NULL}, {"shell", NULL}};

    for (size_t i = 0; i < ELEMENTS(offers); i++) {
        _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
        BuildClaim wish = {
            .runner_id = RUNNER, .offer = {.executors = offers[i], .arch = "x86_64"}, .max = 1};
        Claimed claimed;

        say(m, "claim", -1, offers[i][0]);
        OK(build_claim(&m->f->builds, &wish, mem, &claimed, &err));
        judge(m, before);
    }
}

/* One report; whether it has to be taken is known from the rows alone. */
static void try_report(Machine *m, const At *before, int job, const char *word, int64_t attempt,
                       int64_t runner) {
    const JobAt *at = &before->jobs[job];
    JobReport r = {.attempt = {m->ids[job], attempt},
                   .runner_id = runner,
                   .state = word,
                   .reason = "",
                   .message = "",
                   .log_size = -1};
    bool mine = attempt == at->attempt && runner == at->runner;
    bool taken = mine && (str_eq(at->state, "running") || str_eq(at->state, word));
    uint64_t next;
    bool stop;
    At after;
    int got;

    say(m, "report", job, mem_printf(m->f->mem, "%s of attempt %d at %d", word, (int)attempt, (int)runner));
    got = build_report(&m->f->builds, &r, &next, &stop, &err);
    read_rows(m, &after);
    HOLDS(m, before, &after, taken ? got >= 0 : got == -ERR_CONFLICT);
    if (!taken || ended(at->state))
        HOLDS(m, before, &after, memcmp(before, &after, sizeof(after)) == 0);
    else if (!str_eq(word, "running"))
        HOLDS(m, before, &after, str_eq(after.jobs[job].state, word));
    judge_rows(m, before, &after);
}

static void try_reports(Machine *m, const At *before, int job) {
    static const char *const words[] = {"running", "success", "failed", "cancelled"};
    int64_t attempt = before->jobs[job].attempt;

    if (attempt == 0)
        return;
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        try_report(m, before, job, words[i], attempt, RUNNER);
        try_report(m, before, job, words[i], attempt, OTHER_RUNNER);
        try_report(m, before, job, words[i], attempt - 1, RUNNER);
        try_report(m, before, job, words[i], attempt + 1, RUNNER);
    }
}

/* The runner calls with everything that it holds but one (-1: all). */
static void try_renew(Machine *m, const At *before, int lost) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Attempt running[JOBS];
    size_t count = 0, stop_count;
    StopOrder *stops;

    say(m, "renew all but", lost, "");
    for (int i = 0; i < JOBS; i++)
        if (i != lost && str_eq(before->jobs[i].state, "running"))
            running[count++] = (Attempt){m->ids[i], before->jobs[i].attempt};
    OK(build_renew(&m->f->builds, RUNNER, running, count, mem, &stops, &stop_count, &err));
    judge(m, before);
}

static void try_cancel(Machine *m, const At *before) {
    At after;
    int got;

    say(m, "cancel", -1, "");
    got = build_cancel(&m->f->builds, m->build, "user", &err);
    read_rows(m, &after);
    HOLDS(m, before, &after, ended(before->build) ? got == -ERR_CONFLICT : got >= 0);
    for (int i = 0; i < JOBS && got >= 0; i++)
        HOLDS(m, before, &after,
              ended(after.jobs[i].state) || (str_eq(after.jobs[i].state, "running") && *after.jobs[i].stop));
    judge_rows(m, before, &after);
}

static void try_all(Machine *m, const At *before) {
    write_rows(m, before);
    try_claims(m, before);
    for (int i = 0; i < JOBS; i++) {
        try_reports(m, before, i);
        if (str_eq(before->jobs[i].state, "running"))
            try_renew(m, before, i);
    }
    try_renew(m, before, -1);
    say(m, "abandon", -1, "");
    OK(build_abandon(&m->f->builds, RUNNER, &err));
    judge(m, before);
    try_cancel(m, before);
}

static void every_reachable_state_keeps_what_always_holds(void **state) {
    Machine m = {.f = *state, .db = ((Fixture *)*state)->builds.db, .table_size = 1 << 16};
    size_t ends = 0;
    At first;

    m.f->builds.options.allow_shell = true;
    m.f->builds.options.max_attempts = MAX_ATTEMPTS;
    m.f->builds.options.lost_after_us = -1;
    m.all = mem_array(m.f->mem, At, m.table_size);
    m.table = mem_array(m.f->mem, uint32_t, m.table_size);
    commit_pipeline(m.f, pipeline);
    m.build = start(m.f).id;
    OK(store_event_last(m.db, &m.last_event, &err));
    read_rows(&m, &first);
    visit(&m, &first);
    for (size_t i = 0; i < m.count; i++) {
        At at = m.all[i]; /* the list grows */

        ends += ended(at.build);
        try_all(&m, &at);
    }
    print_message("%zu states, %zu of them ends, %zu steps\n", m.count, ends, m.steps);
    assert_true(ends > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_reachable_state_keeps_what_always_holds, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
