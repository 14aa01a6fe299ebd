/* The state machine, whole: every state that a small graph can come to is visited, and in each of them every
 * event is tried: claims, reports of the attempt that holds the job and of those that do not, lost leases,
 * renewals, timers, a cancel. After each one the rows are read again and judged, and who was woken. The
 * graphs: a diamond of four jobs (the last one with always()); two jobs of which the first is tried again by
 * its own rule, after a pause or at once, in a build whose time may be over, at a runner that may hand back
 * what it has; three in a row, whose ends are repeated in each way: what becomes of that are further states
 * to begin with; and three from a fork, of which the second waits for an approval, too.
 *
 * Left out, for the space would not be small any more or has no bound: a lease that is handed back more than
 * once (nothing counts them), and jobs that a job hands over, which are further rows (test_part has those).
 *
 * A state is put back by writing its rows, so that a step costs two transactions and no replay. */
#include "fixture.h"

enum { JOBS = 4, MAX_LOSSES = 2, RETRIES = 2, MAX_BACK = 1 };
enum { MAX_ATTEMPTS = MAX_LOSSES * (RETRIES + 1) + MAX_BACK };
enum { RUNNER = 1, OTHER_RUNNER = 2, KEY = 80 };

typedef struct Model {
    const char *pipeline;
    int jobs, needs[JOBS][JOBS];
    const char *retry;  /* the first job's rule */
    int retries;        /* its times */
    bool at_once;       /* it has no pause */
    bool timed, again;  /* the build's time may be over, and that in the queue; ends are repeated */
    bool handed;        /* the runner may hand back what it has */
    bool guarded[JOBS]; /* of a fork: the job waits for an approval */
} Model;

/* d needs b and c, which need a; b has an executor of its own, so that b and c are claimed in any order */
static const Model diamond = {.pipeline = "jobs:\n"
                                          "  a: {steps: [\"true\"]}\n"
                                          "  b: {needs: [a], steps: [\"true\"], runs-on: {executor: shell}}\n"
                                          "  c: {needs: [a], steps: [\"true\"]}\n"
                                          "  d: {needs: [b, c], steps: [\"true\"], if: always()}\n",
                              .jobs = 4,
                              .needs = {[1] = {1}, [2] = {1}, [3] = {0, 1, 1}},
                              .retry = ""};
static const Model retried = {.pipeline = "jobs:\n"
                                          "  a: {steps: [\"true\"]}\n"
                                          "  b: {needs: [a], steps: [\"true\"], if: always()}\n",
                              .jobs = 2,
                              .needs = {[1] = {1}},
                              .retry = "{\"times\":2,\"on\":[\"exit\",\"lost\"],\"backoff\":3600000000}",
                              .retries = RETRIES,
                              .timed = true};
static const Model at_once = {.pipeline = "jobs:\n"
                                          "  a: {steps: [\"true\"]}\n"
                                          "  b: {needs: [a], steps: [\"true\"]}\n",
                              .jobs = 2,
                              .needs = {[1] = {1}},
                              .retry = "{\"times\":1,\"on\":[\"exit\"],\"backoff\":0}",
                              .retries = 1,
                              .at_once = true,
                              .timed = true,
                              .handed = true};
static const Model repeated = {.pipeline = "jobs:\n"
                                           "  a: {steps: [\"true\"]}\n"
                                           "  b: {needs: [a], steps: [\"true\"]}\n"
                                           "  c: {needs: [b], steps: [\"true\"], if: always()}\n",
                               .jobs = 3,
                               .needs = {[1] = {1}, [2] = {0, 1}},
                               .retry = "",
                               .again = true};

static const Model foreign = {.pipeline = "jobs:\n"
                                          "  a: {steps: [\"true\"]}\n"
                                          "  b: {needs: [a], steps: [\"true\"], runs-on: {executor: shell}}\n"
                                          "  c: {needs: [b], steps: [\"true\"], if: always()}\n",
                              .jobs = 3,
                              .needs = {[1] = {1}, [2] = {0, 1}},
                              .retry = "",
                              .guarded = {[1] = true}};

typedef struct JobAt {
    char state[12], stop[12], attempts[MAX_ATTEMPTS][12], reasons[MAX_ATTEMPTS][12];
    int64_t attempt, needs_left, runner, finished, retries, losses, pause; /* pause: there is a timer */
    int64_t copied; /* from the build that this one repeats: it has no attempts here */
} JobAt;

typedef struct At {
    JobAt jobs[JOBS];
    char build[12], stop[12];
    int64_t left, finished, untrusted;
    char key[KEY];
} At;

typedef struct Machine {
    Fixture *f;
    Db *db;
    const Model *model;
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

    OK(db_prepare(m->db, "SELECT number, state, reason FROM attempt WHERE job_id = ?1 ORDER BY number", &st,
                  &err));
    db_bind_int(st, 1, m->ids[job]);
    while (db_step(st, &err) == 1) {
        assert_in_range(db_int(st, 0), 1, MAX_ATTEMPTS);
        copy_word(at->attempts[db_int(st, 0) - 1], db_text(st, 1));
        copy_word(at->reasons[db_int(st, 0) - 1], db_text(st, 2));
    }
    db_done(st);
}

static int handed_back(const JobAt *job) {
    int count = 0;

    for (int n = 0; n < MAX_ATTEMPTS; n++)
        count += str_eq(job->reasons[n], "handed back");
    return count;
}

/* What tells one state from another: no times. */
static void make_key(At *at) {
    int n = 0;

    memset(at->key, 0, KEY);
    for (int i = 0; i < JOBS && *at->jobs[i].state; i++)
        n += snprintf(at->key + n, (size_t)(KEY - n), "%.2s%d%d%d%s%c ", at->jobs[i].state,
                      (int)at->jobs[i].attempt, (int)at->jobs[i].retries, (int)at->jobs[i].losses,
                      handed_back(&at->jobs[i]) ? "<" : "",
                      at->jobs[i].copied    ? '='
                      : at->jobs[i].stop[0] ? '!'
                                            : ' ');
    snprintf(at->key + n, (size_t)(KEY - n), "%s%.1s%s", at->build, at->stop, at->untrusted ? "?" : "");
}

static void read_job(Machine *m, int i, const Job *job, JobAt *at) {
    copy_word(at->state, job->state);
    copy_word(at->stop, job->stop_reason);
    at->copied = job->copied_from != 0;
    at->attempt = at->copied ? 0 : job->attempt;
    at->needs_left = job->needs_left;
    at->runner = job->runner_id;
    at->finished = job->finished_at;
    at->retries = job->retries;
    at->losses = job->losses;
    OK(store_timer_due(m->db, "retry", job->id, &at->pause, &err));
    read_attempts(m, i, at);
}

static void read_rows(Machine *m, At *at) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Build *build;
    size_t count;
    Job *jobs;

    memset(at, 0, sizeof(*at));
    OK(store_jobs_of_build(m->db, m->build, mem, &jobs, &count, &err));
    assert_int_equal(count, m->model->jobs);
    for (int i = 0; i < m->model->jobs; i++) {
        m->ids[i] = jobs[i].id;
        read_job(m, i, &jobs[i], &at->jobs[i]);
    }
    OK(store_build_load(m->db, m->build, mem, &build, &err));
    copy_word(at->build, build->state);
    copy_word(at->stop, build->stop_reason);
    at->left = build->jobs_left;
    at->finished = build->finished_at;
    at->untrusted = build->untrusted;
    make_key(at);
}

static void write_job(Machine *m, int64_t id, const JobAt *job) {
    OK(db_exec(
        m->db, NULL, &err,
        "UPDATE job SET state = ?2, stop_reason = ?3, attempt = ?4, needs_left = ?5, runner_id = ?6,"
        " finished_at = ?7, retries = ?8, losses = ?9, copied_from = ?10, lease_until = 1, started_at = 1"
        " WHERE id = ?1",
        "issiiiiiii", id, job->state, job->stop, job->attempt, job->needs_left, job->runner, job->finished,
        job->retries, job->losses, job->copied));
    if (job->pause)
        OK(store_timer_set(m->db, &(Timer){.kind = "retry", .subject_id = id, .due_at = job->pause}, &err));
    for (int64_t n = 1; n <= job->attempt; n++) {
        const char *word = job->attempts[n - 1];

        OK(db_exec(m->db, NULL, &err,
                   "INSERT INTO attempt (job_id, number, runner_id, state, reason, started_at, finished_at)"
                   " VALUES (?1, ?2, 1, ?3, ?4, 1, ?5)",
                   "iissi", id, n, word, job->reasons[n - 1], (int64_t)(ended(word) ? 1 : 0)));
    }
}

static void write_rows(Machine *m, const At *at) {
    OK(db_begin(m->db, &err));
    OK(db_exec(m->db, NULL, &err, "DELETE FROM attempt", ""));
    OK(db_exec(m->db, NULL, &err, "DELETE FROM timer", ""));
    for (int i = 0; i < m->model->jobs; i++)
        write_job(m, m->ids[i], &at->jobs[i]);
    OK(db_exec(m->db, NULL, &err, "DELETE FROM lane", ""));
    OK(db_exec(m->db, NULL, &err,
               "INSERT INTO lane (fit_id, priority, project_id, served_at)"
               " SELECT DISTINCT fit_id, priority, project_id, 0 FROM job WHERE state = 'queued'",
               ""));
    OK(db_exec(
        m->db, NULL, &err,
        "UPDATE build SET state = ?2, jobs_left = ?3, finished_at = ?4, stop_reason = ?5, untrusted = ?6,"
        " approved_by = '' WHERE id = ?1",
        "isiisi", m->build, at->build, at->left, at->finished, at->stop, at->untrusted));
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
    HOLDS(m, before, after, success == (str_eq(job->state, "success") && !job->copied));
}

static bool pauses(const JobAt *job) {
    return str_eq(job->state, "blocked") && job->pause;
}

/* It waits for nothing but an approval. */
static bool waits(const Machine *m, const At *at, int i) {
    const JobAt *job = &at->jobs[i];

    return at->untrusted && m->model->guarded[i] && str_eq(job->state, "blocked") && job->needs_left == 0;
}

static void judge_retries(const Machine *m, const At *before, const At *after, int i) {
    const JobAt *job = &after->jobs[i];

    HOLDS(m, before, after, job->retries <= (i == 0 ? m->model->retries : 0));
    HOLDS(m, before, after, job->losses < MAX_LOSSES);
    HOLDS(m, before, after, job->attempt <= MAX_LOSSES * (job->retries + 1) + handed_back(job));
    HOLDS(m, before, after, !job->pause || str_eq(job->state, "blocked"));
    if (pauses(job))
        HOLDS(m, before, after, job->retries > 0 && job->needs_left == 0);
}

static void judge_job(const Machine *m, const At *before, const At *after, int i) {
    const JobAt *old = &before->jobs[i], *new = &after->jobs[i];
    int open_needs = 0;

    for (int k = 0; k < JOBS; k++)
        open_needs += m->model->needs[i][k] && !ended(after->jobs[k].state);
    HOLDS(m, before, after, (new->finished != 0) == ended(new->state));
    HOLDS(m, before, after, new->attempt >= old->attempt);
    if (ended(old->state))
        HOLDS(m, before, after, memcmp(old, new, sizeof(*old)) == 0);
    if (after->untrusted && m->model->guarded[i])
        HOLDS(m, before, after, new->attempt == 0 && !str_eq(new->state, "queued"));
    if (str_eq(new->state, "blocked") && !pauses(new) && !waits(m, after, i))
        HOLDS(m, before, after, open_needs > 0 && new->needs_left == open_needs);
    if (str_eq(new->state, "queued") || str_eq(new->state, "running"))
        HOLDS(m, before, after, open_needs == 0);
    if (str_eq(new->state, "skipped"))
        HOLDS(m, before, after, new->attempt == 0);
    judge_retries(m, before, after, i);
    judge_attempts(m, before, after, i);
}

static const char *result_of(const Machine *m, const At *at) {
    bool failed = false;

    for (int i = 0; i < m->model->jobs; i++) {
        if (str_eq(at->jobs[i].state, "cancelled"))
            return str_eq(at->stop, "timeout") ? "failed" : "cancelled";
        failed = failed || str_eq(at->jobs[i].state, "failed");
    }
    return failed ? "failed" : "success";
}

static void judge_build(const Machine *m, const At *before, const At *after) {
    int unfinished = 0, movable = 0, begun = 0;

    for (int i = 0; i < m->model->jobs; i++) {
        begun += after->jobs[i].attempt > 0;
        unfinished += !ended(after->jobs[i].state);
        movable += str_eq(after->jobs[i].state, "queued") || str_eq(after->jobs[i].state, "running") ||
                   pauses(&after->jobs[i]) || waits(m, after, i);
    }
    HOLDS(m, before, after, after->left == unfinished);
    HOLDS(m, before, after, (after->finished != 0) == (unfinished == 0));
    HOLDS(m, before, after, ended(after->build) == (unfinished == 0));
    /* something can go on as long as it has not ended: no job waits for ever */
    HOLDS(m, before, after, unfinished == 0 || movable > 0);
    if (unfinished == 0)
        HOLDS(m, before, after, str_eq(after->build, result_of(m, after)));
    else
        HOLDS(m, before, after, str_eq(after->build, "running") == (begun > 0));
}

/* Only forward: a chain of events that change something has an end, so every build does. */
static int rank(const JobAt *job) {
    return ended(job->state)               ? 1000
           : str_eq(job->state, "running") ? 3 * (int)job->attempt
           : str_eq(job->state, "queued")  ? 3 * (int)job->attempt + 2
           : pauses(job)                   ? 3 * (int)job->attempt + 1
                                           : 0;
}

static void judge_progress(const Machine *m, const At *before, const At *after) {
    int gained = 0;

    for (int i = 0; i < m->model->jobs; i++) {
        HOLDS(m, before, after, rank(&after->jobs[i]) >= rank(&before->jobs[i]));
        gained += rank(&after->jobs[i]) - rank(&before->jobs[i]);
        gained += strlen(after->jobs[i].stop) > strlen(before->jobs[i].stop);
    }
    HOLDS(m, before, after, !after->untrusted || before->untrusted);
    gained += after->untrusted != before->untrusted;
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

/* ---- who is woken ---- */

/* Since the last look: who waits for a job, and a runner. */
static struct {
    int queue, runner;
    BusSubscription *on_queue, *on_runner;
} wakes;

static void count_wake(void *arg, int64_t key) {
    (*(int *)arg)++;
}

static int setup(void **state) {
    int r = fixture_setup(state);
    Bus *bus = ((Fixture *)*state)->builds.bus;

    wakes.on_queue = bus_subscribe(bus, BUS_QUEUE, 0, count_wake, &wakes.queue);
    wakes.on_runner = bus_subscribe(bus, BUS_RUNNER, 0, count_wake, &wakes.runner);
    return r;
}

static int teardown(void **state) {
    bus_unsubscribe(wakes.on_queue);
    bus_unsubscribe(wakes.on_runner);
    return fixture_teardown(state);
}

/* Work that can be claimed now wakes who waits for some, and a slot that is free, or a job that is to stop,
 * its runner: nobody has to come by to find it. */
static void judge_wakes(Machine *m, const At *before, const At *after) {
    int claimable = 0, concerned = 0;

    for (int i = 0; i < m->model->jobs; i++) {
        const JobAt *old = &before->jobs[i], *new = &after->jobs[i];

        claimable += str_eq(new->state, "queued") && !str_eq(old->state, "queued");
        concerned += str_eq(old->state, "running") &&
                     (!str_eq(new->state, "running") || !str_eq(old->stop, new->stop));
    }
    HOLDS(m, before, after, wakes.queue == claimable);
    HOLDS(m, before, after, wakes.runner > 0 || concerned == 0);
}

static void forget_wakes(void) {
    wakes.queue = wakes.runner = 0;
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
    judge_wakes(m, before, after);
    forget_wakes();
    if (memcmp(before, after, sizeof(*after)) == 0)
        return;
    for (int i = 0; i < m->model->jobs; i++)
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

static bool may_retry(const Machine *m, const JobAt *at, int job) {
    return job == 0 && at->retries < m->model->retries && !*at->stop;
}

/* The attempt has ended so, and not by a loss. */
static bool said_before(const Machine *m, int job, int64_t attempt, const char *word) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    AttemptRow *row;

    return store_attempt_load(m->db, m->ids[job], attempt, mem, &row, &err) >= 0 &&
           str_eq(row->state, word) && row->finished_at && !str_eq(row->reason, "lost");
}

/* One report; whether it has to be taken is known from the rows alone. */
static void try_report(Machine *m, const At *before, int job, const char *word, int64_t attempt,
                       int64_t runner) {
    const JobAt *at = &before->jobs[job];
    JobReport r = {.attempt = {m->ids[job], attempt},
                   .runner_id = runner,
                   .state = word,
                   .reason = str_eq(word, "failed") ? "exit" : "",
                   .message = "",
                   .log_size = -1};
    bool mine = attempt == at->attempt && runner == at->runner;
    bool taken = mine && str_eq(at->state, "running");
    bool said = runner == RUNNER && !taken && said_before(m, job, attempt, word);
    uint64_t next;
    bool stop;
    At after;
    int got;

    say(m, "report", job, mem_printf(m->f->mem, "%s of attempt %d at %d", word, (int)attempt, (int)runner));
    got = build_report(&m->f->builds, &r, &next, &stop, &err);
    read_rows(m, &after);
    HOLDS(m, before, &after, taken || said ? got >= 0 : got == -ERR_CONFLICT);
    if (!taken)
        HOLDS(m, before, &after, memcmp(before, &after, sizeof(after)) == 0);
    else if (str_eq(word, "failed") && may_retry(m, at, job))
        HOLDS(m, before, &after,
              m->model->at_once ? str_eq(after.jobs[job].state, "queued") : pauses(&after.jobs[job]));
    else if (str_eq(word, "lost"))
        HOLDS(m, before, &after, !str_eq(after.jobs[job].state, "running"));
    else if (!str_eq(word, "running"))
        HOLDS(m, before, &after, str_eq(after.jobs[job].state, word));
    judge_rows(m, before, &after);
}

static void try_reports(Machine *m, const At *before, int job) {
    static const char *const words[] = {"running", "success", "failed", "cancelled"};
    int64_t attempt = before->jobs[job].attempt;

    if (attempt == 0)
        return;
    try_report(m, before, job, "lost", attempt, RUNNER);
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
    for (int i = 0; i < m->model->jobs; i++)
        if (i != lost && str_eq(before->jobs[i].state, "running"))
            running[count++] = (Attempt){m->ids[i], before->jobs[i].attempt};
    OK(build_renew(&m->f->builds, RUNNER, running, count, mem, &stops, &stop_count, &err));
    judge(m, before);
}

static void try_cancel(Machine *m, const At *before) {
    At after;
    int got;

    say(m, "cancel", -1, "");
    got = build_cancel(&m->f->builds, m->build, "", &err);
    read_rows(m, &after);
    HOLDS(m, before, &after, ended(before->build) ? got == -ERR_CONFLICT : got >= 0);
    for (int i = 0; i < m->model->jobs && got >= 0; i++)
        HOLDS(m, before, &after,
              ended(after.jobs[i].state) || (str_eq(after.jobs[i].state, "running") && *after.jobs[i].stop));
    judge_rows(m, before, &after);
}

static void try_approve(Machine *m, const At *before) {
    At after;
    int got;

    say(m, "approve", -1, "");
    got = build_approve(&m->f->builds, m->build, "bob", &err);
    read_rows(m, &after);
    HOLDS(m, before, &after, before->untrusted ? got >= 0 : got == -ERR_CONFLICT);
    HOLDS(m, before, &after, got < 0 || !after.untrusted);
    for (int i = 0; i < m->model->jobs; i++)
        if (waits(m, before, i) && got >= 0)
            HOLDS(m, before, &after, str_eq(after.jobs[i].state, "queued"));
    judge_rows(m, before, &after);
}

static void try_timer(Machine *m, const At *before, int job) {
    say(m, "pause over", job, "");
    pass(m->f, "retry", m->ids[job]);
    judge(m, before);
}

static void try_timeout(Machine *m, const At *before) {
    At after;

    say(m, "the build's time is over", -1, "");
    OK(db_begin(m->db, &err));
    OK(store_timer_set(m->db, &(Timer){.kind = "build", .subject_id = m->build, .due_at = 1}, &err));
    OK(db_commit(m->db, &err));
    OK(timer_fire_due(&m->f->builds, &err));
    read_rows(m, &after);
    for (int i = 0; i < m->model->jobs; i++)
        HOLDS(m, before, &after,
              ended(after.jobs[i].state) || (str_eq(after.jobs[i].state, "running") && *after.jobs[i].stop));
    judge_rows(m, before, &after);
}

static void try_queue_timeout(Machine *m, const At *before, int job) {
    At after;

    say(m, "the time in the queue is over", job, "");
    OK(db_begin(m->db, &err));
    OK(store_timer_set(m->db, &(Timer){.kind = "queue", .subject_id = m->ids[job], .due_at = 1}, &err));
    OK(db_commit(m->db, &err));
    OK(timer_fire_due(&m->f->builds, &err));
    read_rows(m, &after);
    HOLDS(m, before, &after, str_eq(after.jobs[job].state, "failed"));
    judge_rows(m, before, &after);
}

/* Nothing of it counts: neither as a loss nor as a retry. */
static void try_hand_back(Machine *m, const At *before) {
    At after;

    for (int i = 0; i < m->model->jobs; i++)
        if (str_eq(before->jobs[i].state, "running") && handed_back(&before->jobs[i]) == MAX_BACK)
            return;
    say(m, "hand back", -1, "");
    OK(build_hand_back(&m->f->builds, RUNNER, &err));
    read_rows(m, &after);
    for (int i = 0; i < m->model->jobs; i++) {
        const JobAt *old = &before->jobs[i], *new = &after.jobs[i];

        if (!str_eq(old->state, "running"))
            continue;
        HOLDS(m, before, &after, str_eq(new->state, *old->stop ? "cancelled" : "queued"));
        HOLDS(m, before, &after, new->losses == old->losses &&new->retries == old->retries);
    }
    judge_rows(m, before, &after);
}

/* ---- ends that are repeated ---- */

static void judge_copies(const Machine *m, const At *old, const At *new, int chosen) {
    HOLDS(m, old, new, str_eq(new->build, "queued") && !*new->stop);
    for (int i = 0; i < m->model->jobs; i++) {
        bool again = !new->jobs[i].copied;

        if (i == chosen)
            HOLDS(m, old, new, again);
        for (int k = 0; k < m->model->jobs; k++)
            if (m->model->needs[i][k] && !new->jobs[k].copied)
                HOLDS(m, old, new, again);
        if (again)
            HOLDS(m, old, new, new->jobs[i].attempt == 0);
        else
            HOLDS(m, old, new, str_eq(new->jobs[i].state, old->jobs[i].state));
        judge_job(m, new, new, i);
    }
    judge_build(m, new, new);
}

static void forget(Machine *m, int64_t build) {
    OK(db_begin(m->db, &err));
    OK(db_exec(m->db, NULL, &err,
               "DELETE FROM job_need WHERE job_id IN (SELECT id FROM job WHERE build_id = ?1)", "i", build));
    OK(db_exec(m->db, NULL, &err, "DELETE FROM job WHERE build_id = ?1", "i", build));
    OK(db_exec(m->db, NULL, &err, "DELETE FROM build WHERE id = ?1", "i", build));
    OK(db_commit(m->db, &err));
    OK(store_event_last(m->db, &m->last_event, &err));
}

/* The new build's rows, read as a state of ours, and taken away again. A chosen job whose need failed is
 * skipped at once. */
static void look_at_repeated(Machine *m, const At *before, int64_t build, int chosen) {
    Machine other = *m;
    At old, new;

    other.build = build;
    read_rows(&other, &new);
    read_rows(m, &old);
    HOLDS(m, before, &old, memcmp(before, &old, sizeof(old)) == 0);
    if (!ended(new.build)) {
        judge_copies(&other, before, &new, chosen);
        visit(m, &new);
    }
    forget(m, build);
    forget_wakes();
    write_rows(m, before);
}

static void try_rerun(Machine *m, const At *before, bool failed, int chosen) {
    static const char *const names[] = {"a", "b", "c", "d"};
    const char *jobs[] = {chosen < 0 ? NULL : names[chosen], NULL};
    RerunRequest request = {.build = m->build, .by = "", .failed = failed, .jobs = jobs[0] ? jobs : NULL};
    BuildOutcome outcome;
    int got;

    say(m, failed ? "rerun of what failed" : "rerun of", chosen, "");
    got = build_rerun(&m->f->builds, &request, m->f->mem, &outcome, &err);
    if (failed && got == -ERR_CONFLICT)
        HOLDS(m, before, before, str_eq(before->build, "success"));
    else if (got < 0)
        fail_msg("%s: %s", m->event, err.msg);
    else
        look_at_repeated(m, before, outcome.id, chosen);
}

static void try_reruns(Machine *m, const At *before) {
    try_rerun(m, before, false, -1);
    try_rerun(m, before, true, -1);
    for (int i = 0; i < m->model->jobs; i++)
        try_rerun(m, before, false, i);
}

static void try_all(Machine *m, const At *before) {
    write_rows(m, before);
    try_claims(m, before);
    for (int i = 0; i < m->model->jobs; i++) {
        try_reports(m, before, i);
        if (before->jobs[i].pause)
            try_timer(m, before, i);
        if (str_eq(before->jobs[i].state, "running"))
            try_renew(m, before, i);
        if (m->model->timed && str_eq(before->jobs[i].state, "queued"))
            try_queue_timeout(m, before, i);
    }
    try_renew(m, before, -1);
    say(m, "abandon", -1, "");
    OK(build_abandon(&m->f->builds, RUNNER, &err));
    judge(m, before);
    if (m->model->handed)
        try_hand_back(m, before);
    try_cancel(m, before);
    try_approve(m, before);
    if (m->model->timed && !ended(before->build))
        try_timeout(m, before);
    if (m->model->again && ended(before->build))
        try_reruns(m, before);
}

static void visit_all(Fixture *f, const Model *model) {
    Machine m = {.f = f, .db = f->builds.db, .model = model, .table_size = 1 << 16};
    size_t ends = 0;
    At first;

    f->builds.options.allow_shell = true;
    f->builds.options.max_attempts = MAX_LOSSES;
    f->builds.options.lost_after_us = -1;
    m.all = mem_array(f->mem, At, m.table_size);
    m.table = mem_array(f->mem, uint32_t, m.table_size);
    commit_pipeline(f, model->pipeline);
    m.build = start(f).id;
    change(f, "UPDATE job SET retry = ?2 WHERE build_id = ?1 AND position = 0", m.build, model->retry);
    if (model->guarded[1])
        change(f, "UPDATE build SET untrusted = 1 WHERE id = ?1 AND ?2 = ''", m.build, "");
    OK(store_event_last(m.db, &m.last_event, &err));
    forget_wakes();
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

static void every_state_of_a_diamond_keeps_what_always_holds(void **state) {
    visit_all(*state, &diamond);
}

static void every_state_of_a_job_that_is_retried_keeps_what_always_holds(void **state) {
    visit_all(*state, &retried);
}

static void
every_state_of_a_job_that_is_retried_at_once_or_handed_back_keeps_what_always_holds(void **state) {
    visit_all(*state, &at_once);
}

static void every_state_of_a_build_that_is_repeated_keeps_what_always_holds(void **state) {
    visit_all(*state, &repeated);
}

static void every_state_of_a_build_from_a_fork_keeps_what_always_holds(void **state) {
    visit_all(*state, &foreign);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_state_of_a_job_that_is_retried_at_once_or_handed_back_keeps_what_always_holds),
        TEST(every_state_of_a_diamond_keeps_what_always_holds),
        TEST(every_state_of_a_job_that_is_retried_keeps_what_always_holds),
        TEST(every_state_of_a_build_that_is_repeated_keeps_what_always_holds),
        TEST(every_state_of_a_build_from_a_fork_keeps_what_always_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
