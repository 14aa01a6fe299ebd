/* Which job a runner is given: jobs are written as rows, claims are real. */
#include "fixture.h"

#include <inttypes.h>

#define GIB (INT64_C(1) << 30)

static const char *const sandbox[] = {"sandbox", NULL};

typedef struct Ask {
    const char *arch, *labels;
    int64_t cpu, memory, disk, priority;
} Ask;

static Project *project_named(Fixture *f, const char *name) {
    char uuid[ID_UUID_SIZE];
    Project p = {.uuid = uuid, .name = name, .source = "hosted", .path = "", .url = "", .created_at = 1};
    Project *project;

    id_uuid(uuid);
    OK(db_begin(f->builds.db, &err));
    OK(store_project_insert(f->builds.db, &p, f->mem, &err));
    OK(db_commit(f->builds.db, &err));
    OK(store_project_by_id(f->builds.db, p.id, f->mem, &project, &err));
    return project;
}

static int64_t insert_build(Fixture *f, const Project *project) {
    char uuid[ID_UUID_SIZE];
    Build b = {.project_id = project->id,
               .uuid = uuid,
               .commit = "",
               .ref = "",
               .branch = "",
               .event = "manual",
               .planner = "",
               .author = "",
               .email = "",
               .subject = "",
               .pusher = "",
               .env = "{}",
               .state = "queued",
               .reason = "",
               .message = "",
               .jobs_left = 1,
               .created_at = clock_now()};

    id_uuid(uuid);
    OK(store_build_insert(f->builds.db, &b, &err));
    return b.id;
}

/* A build of one job that waits since `queued_at`; gives the job's number. */
static int64_t queue_since(Fixture *f, const Project *project, Ask ask, int64_t queued_at) {
    Fit fit = {.executor = "sandbox",
               .arch = ask.arch ? ask.arch : "",
               .labels = ask.labels ? ask.labels : "{}",
               .cpu = ask.cpu,
               .memory = ask.memory,
               .disk = ask.disk};
    char uuid[ID_UUID_SIZE];
    Job job = {.uuid = uuid,
               .project_id = project->id,
               .name = "a",
               .kind = "steps",
               .executor = "sandbox",
               .arch = fit.arch,
               .condition = "",
               .spec = "{}",
               .state = "queued",
               .reason = "",
               .message = "",
               .priority = ask.priority,
               .created_at = queued_at,
               .queued_at = queued_at};

    id_uuid(uuid);
    OK(db_begin(f->builds.db, &err));
    job.build_id = insert_build(f, project);
    OK(store_fit_put(f->builds.db, &fit, &err));
    job.fit_id = fit.id;
    OK(store_job_insert(f->builds.db, &job, &err));
    OK(db_commit(f->builds.db, &err));
    return job.id;
}

static int64_t queue(Fixture *f, const Project *project, Ask ask) {
    return queue_since(f, project, ask, clock_now());
}

/* The number of the job that the runner is given; 0: none. */
static int64_t given(Fixture *f, int64_t runner, RunnerOffer offer) {
    BuildClaim wish = {.runner_id = runner, .offer = offer, .max = 1};
    Claimed claimed;

    wish.offer.executors = sandbox;
    if (!wish.offer.arch)
        wish.offer.arch = "x86_64";
    OK(build_claim(&f->builds, &wish, f->mem, &claimed, &err));
    return claimed.count ? claimed.jobs[0].job.id : 0;
}

static int64_t lanes(Fixture *f) {
    int64_t count;

    OK(db_query_int(f->builds.db, &count, &err, "SELECT COUNT(*) FROM lane", ""));
    return count;
}

static void the_oldest_job_of_a_project_is_next(void **state) {
    Fixture *f = *state;
    int64_t first = queue(f, f->project, (Ask){0}), second = queue(f, f->project, (Ask){0});

    assert_int_equal(given(f, 1, (RunnerOffer){0}), first);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), second);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), 0);
}

static void projects_take_turns_however_many_jobs_one_has(void **state) {
    Fixture *f = *state;
    const Project *big = f->project, *small = project_named(f, "small"), *third = project_named(f, "third");
    int64_t a[4], b[2], c;

    for (int i = 0; i < 4; i++)
        a[i] = queue(f, big, (Ask){0});
    b[0] = queue(f, small, (Ask){0});
    b[1] = queue(f, small, (Ask){0});
    c = queue(f, third, (Ask){0});
    assert_int_equal(given(f, 1, (RunnerOffer){0}), a[0]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), b[0]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), c);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), a[1]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), b[1]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), a[2]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), a[3]);
}

/* One runner's jobs ask for something, the other's do not: a turn is a turn. */
static void projects_take_turns_across_what_their_jobs_ask(void **state) {
    Fixture *f = *state;
    const Project *other = project_named(f, "other");
    int64_t a = queue(f, f->project, (Ask){.arch = "x86_64"}), b = queue(f, f->project, (Ask){0});
    int64_t c = queue(f, other, (Ask){0});

    assert_int_equal(given(f, 1, (RunnerOffer){0}), a);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), c);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), b);
}

static void a_project_that_comes_back_waits_for_its_turn(void **state) {
    Fixture *f = *state;
    const Project *other = project_named(f, "other");
    int64_t a = queue(f, f->project, (Ask){0}), b, c;

    assert_int_equal(given(f, 1, (RunnerOffer){0}), a);
    assert_int_equal(lanes(f), 0);
    b = queue(f, f->project, (Ask){0}); /* its lane is new, its turn was just now */
    c = queue(f, other, (Ask){0});
    assert_int_equal(given(f, 1, (RunnerOffer){0}), c);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), b);
}

static void priority_goes_before_fairness_and_age(void **state) {
    Fixture *f = *state;
    const Project *other = project_named(f, "other");
    int64_t low = queue(f, other, (Ask){.priority = -1}), plain = queue(f, other, (Ask){0});
    int64_t high[2] = {queue(f, f->project, (Ask){.priority = 5}),
                       queue(f, f->project, (Ask){.priority = 5, .arch = "x86_64"})};

    assert_int_equal(given(f, 1, (RunnerOffer){0}), high[0]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), high[1]);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), plain);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), low);
}

static void a_runner_gets_only_what_fits_it(void **state) {
    static const char *const gpu_in_eu[] = {"gpu=yes", "zone=eu", NULL}, *const eu[] = {"zone=eu", NULL};
    Fixture *f = *state;
    int64_t arm = queue(f, f->project, (Ask){.arch = "aarch64"});
    int64_t gpu = queue(f, f->project, (Ask){.labels = "{\"gpu\":\"yes\",\"zone\":\"eu\"}"});
    int64_t any;

    assert_int_equal(given(f, 1, (RunnerOffer){0}), 0);
    assert_int_equal(given(f, 1, (RunnerOffer){.labels = eu}), 0);
    assert_int_equal(given(f, 1, (RunnerOffer){.labels = gpu_in_eu}), gpu);
    assert_int_equal(given(f, 1, (RunnerOffer){.labels = gpu_in_eu}), 0);
    any = queue(f, f->project, (Ask){0});
    assert_int_equal(given(f, 1, (RunnerOffer){.arch = "aarch64"}), arm);
    assert_int_equal(given(f, 1, (RunnerOffer){.arch = "aarch64"}), any);
}

static void a_runner_gets_no_more_than_it_has_left(void **state) {
    Fixture *f = *state;
    RunnerOffer four_gib = {.memory = 4 * GIB, .cpu = 8000, .disk = 100 * GIB};
    int64_t a = queue(f, f->project, (Ask){.memory = 3 * GIB});
    int64_t b = queue(f, f->project, (Ask){.memory = 2 * GIB});
    int64_t small = queue(f, f->project, (Ask){.memory = GIB});
    int64_t wide = queue(f, f->project, (Ask){.cpu = 9000});
    int64_t deep = queue(f, f->project, (Ask){.disk = 101 * GIB});
    int64_t none = queue(f, f->project, (Ask){0});

    assert_int_equal(given(f, 1, four_gib), a);
    assert_int_equal(given(f, 1, four_gib), small);
    assert_int_equal(given(f, 1, four_gib), none); /* the memory is all taken, and it asks for none */
    assert_int_equal(given(f, 1, four_gib), 0);
    assert_int_equal(given(f, 2, four_gib), b);
    assert_int_equal(given(f, 2, four_gib), 0);
    assert_int_equal(given(f, 3, (RunnerOffer){0}), wide); /* who does not tell what it has has enough */
    assert_int_equal(given(f, 3, (RunnerOffer){0}), deep);
}

static void a_big_job_is_not_overtaken_for_ever(void **state) {
    Fixture *f = *state;
    RunnerOffer four_gib = {.memory = 4 * GIB};
    const Project *other = project_named(f, "other");
    int64_t running = queue(f, other, (Ask){.memory = GIB}), second = queue(f, other, (Ask){.memory = GIB});
    int64_t big, small;

    assert_int_equal(given(f, 1, four_gib), running);
    assert_int_equal(given(f, 2, four_gib), second);
    big = queue(f, f->project, (Ask){.memory = 4 * GIB});
    small = queue(f, other, (Ask){.memory = GIB});
    assert_int_equal(given(f, 1, four_gib), small); /* it has only just come */
    small = queue(f, other, (Ask){.memory = GIB});
    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, "UPDATE job SET queued_at = queued_at - 31000000 WHERE id = ?1", "i",
               big));
    OK(db_commit(f->builds.db, &err));
    assert_int_equal(given(f, 1, four_gib), 0);     /* keeps what it has free */
    assert_int_equal(given(f, 2, four_gib), small); /* one that waits is enough */
    OK(build_abandon(&f->builds, 1, &err));
    assert_int_equal(given(f, 1, four_gib), big);
}

/* ---- what is kept for a big job ---- */

typedef struct KeptFor {
    int64_t big, small;
} KeptFor;

/* Runner 1 has a gibibyte of four taken, and keeps the rest for one that is queued since then. */
static KeptFor keep_since(Fixture *f, int64_t queued_at) {
    RunnerOffer four_gib = {.memory = 4 * GIB};
    const Project *other = project_named(f, "other");
    int64_t running = queue(f, other, (Ask){.memory = GIB});
    KeptFor kept;

    assert_int_equal(given(f, 1, four_gib), running);
    kept.big = queue_since(f, f->project, (Ask){.memory = 4 * GIB}, queued_at);
    kept.small = queue(f, other, (Ask){.memory = GIB});
    assert_int_equal(given(f, 1, four_gib), 0);
    return kept;
}

static KeptFor keep(Fixture *f) {
    return keep_since(f, clock_now() - 40 * US_PER_S);
}

/* The clock was set back while no server ran. */
static void a_big_job_of_the_future_has_waited_long(void **state) {
    keep_since(*state, clock_now() + 3600 * US_PER_S);
}

static int64_t build_of(Fixture *f, int64_t job) {
    Job *row;

    OK(store_job_load(f->builds.db, job, f->mem, &row, &err));
    return row->build_id;
}

static int due_now(Fixture *f, const char *kind, int64_t subject) {
    change(f, "INSERT INTO timer (kind, subject_id, due_at) VALUES (?2, ?1, 1)", subject, kind);
    return timer_fire_due(&f->builds, &err);
}

static void count(void *arg, int64_t key) {
    (*(int *)arg)++;
}

/* How often the topic was published with this key (0: any) by the call. */
#define WAKES(f, topic, key, call)                                                                           \
    ({                                                                                                       \
        int _woken = 0;                                                                                      \
        BusSubscription *_on = bus_subscribe((f)->builds.bus, topic, key, count, &_woken);                   \
                                                                                                             \
        OK(call);                                                                                            \
        bus_unsubscribe(_on);                                                                                \
        _woken;                                                                                              \
    })

/* The big job has left the queue since the runner looked: it is woken, once, and looks again. */
#define ASSERT_WAKES(f, kept, leave)                                                                         \
    do {                                                                                                     \
        assert_int_equal(WAKES(f, BUS_RUNNER, 1, leave), 1);                                                 \
        assert_int_equal(given(f, 1, (RunnerOffer){.memory = 4 * GIB}), (kept).small);                       \
    } while (0)

static void a_cancel_of_a_job_wakes_who_kept_something_for_it(void **state) {
    Fixture *f = *state;
    KeptFor kept = keep(f);

    ASSERT_WAKES(f, kept, build_cancel(&f->builds, build_of(f, kept.big), "", &err));
}

static void the_end_of_its_time_in_the_queue_wakes_who_kept_something_for_it(void **state) {
    Fixture *f = *state;
    KeptFor kept = keep(f);

    ASSERT_WAKES(f, kept, due_now(f, "queue", kept.big));
}

static void the_end_of_its_builds_time_wakes_who_kept_something_for_it(void **state) {
    Fixture *f = *state;
    KeptFor kept = keep(f);

    ASSERT_WAKES(f, kept, due_now(f, "build", build_of(f, kept.big)));
}

static void another_runner_that_takes_a_job_wakes_who_kept_something_for_it(void **state) {
    Fixture *f = *state;
    KeptFor kept = keep(f);

    ASSERT_WAKES(f, kept, given(f, 2, (RunnerOffer){0}) == kept.big ? 0 : -1);
}

static void the_end_of_a_pause_wakes_everyone(void **state) {
    Fixture *f = *state;
    bool changed;

    OK(build_pause(&f->builds, "ann", "", &err));
    assert_int_equal(WAKES(f, BUS_QUEUE, 0, build_resume(&f->builds, &changed, &err)), 1);
}

static void a_drained_runner_that_is_resumed_is_woken(void **state) {
    Fixture *f = *state;
    Runner runner =
               {.uuid = "r", .name = "one", .arch = "", .labels = "{}", .executors = "[]", .version = ""},
           *row;

    OK(db_begin(f->builds.db, &err));
    OK(store_runner_put(f->builds.db, &runner, f->mem, &err));
    OK(db_commit(f->builds.db, &err));
    OK(build_drain_runner(&f->builds, "one", "ann", f->mem, &row, &err));
    assert_int_equal(
        WAKES(f, BUS_RUNNER, row->id, build_drain_runner(&f->builds, "one", NULL, f->mem, &row, &err)), 1);
}

/* A clock that is set back must not make the one that was served then the next for ever. */
static void turns_go_on_when_the_clock_is_set_back(void **state) {
    Fixture *f = *state;
    const Project *other = project_named(f, "other");
    int64_t a, b;

    OK(db_begin(f->builds.db, &err));
    OK(db_exec(f->builds.db, NULL, &err, "UPDATE project SET served_at = ?1", "i",
               clock_now() + 3600 * US_PER_S));
    OK(db_commit(f->builds.db, &err));
    a = queue(f, f->project, (Ask){0});
    queue(f, f->project, (Ask){0});
    b = queue(f, other, (Ask){0});
    assert_int_equal(given(f, 1, (RunnerOffer){0}), a);
    assert_int_equal(given(f, 1, (RunnerOffer){0}), b);
}

static void a_full_runner_gets_nothing_and_says_so(void **state) {
    Fixture *f = *state;
    BuildClaim wish = {
        .runner_id = 1, .offer = {.executors = sandbox, .arch = "x86_64"}, .slots = 1, .max = 1};
    Claimed claimed;

    queue(f, f->project, (Ask){0});
    queue(f, f->project, (Ask){0});
    OK(build_claim(&f->builds, &wish, f->mem, &claimed, &err));
    assert_int_equal(claimed.count, 1);
    OK(build_claim(&f->builds, &wish, f->mem, &claimed, &err));
    assert_int_equal(claimed.count, 0);
    assert_int_equal(claimed.free_slots, 0);
}

/* The place that is told beside the order in which they are really given, of projects that have had turns
 * before and of some that have not. */
static void a_jobs_place_is_how_many_are_given_before_it(void **state) {
    enum { PROJECTS = 4, JOBS = 40 };
    Fixture *f = *state;
    const Project *projects[PROJECTS] = {f->project, project_named(f, "b"), project_named(f, "c"),
                                         project_named(f, "d")};
    int64_t jobs[JOBS], places[JOBS], limited, urgent;
    uint32_t random = 7;

    for (int i = 0; i < 2; i++) {
        queue(f, projects[2 * i], (Ask){0});
        given(f, 1, (RunnerOffer){0});
    }
    for (int i = 0; i < JOBS; i++) {
        random = random * 1664525 + 1013904223;
        jobs[i] = queue(f, projects[(random >> 16) % PROJECTS], (Ask){0});
    }
    for (int i = 0; i < JOBS; i++)
        OK(store_lane_ahead(f->builds.db, jobs[i], 100, &places[i], &err));
    OK(store_lane_ahead(f->builds.db, jobs[JOBS - 1], 3, &limited, &err));
    assert_int_equal(limited, 3);
    urgent = queue(f, f->project, (Ask){.priority = 1});
    OK(store_lane_ahead(f->builds.db, jobs[0], 100, &limited, &err));
    assert_int_equal(limited, places[0] + 1);
    OK(store_lane_ahead(f->builds.db, urgent, 100, &limited, &err));
    assert_int_equal(limited, 0);
    OK(db_begin(f->builds.db, &err));
    OK(store_job_end(f->builds.db, urgent, -1, "cancelled", "user", "", -1, 1, &err));
    OK(db_commit(f->builds.db, &err));
    for (int64_t n = 0; n < JOBS; n++) {
        int64_t next = given(f, 1, (RunnerOffer){0});

        for (int i = 0; i < JOBS; i++)
            if (jobs[i] == next)
                assert_int_equal(places[i], n);
    }
    assert_int_equal(lanes(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_oldest_job_of_a_project_is_next),
        TEST(projects_take_turns_however_many_jobs_one_has),
        TEST(projects_take_turns_across_what_their_jobs_ask),
        TEST(a_project_that_comes_back_waits_for_its_turn),
        TEST(priority_goes_before_fairness_and_age),
        TEST(a_runner_gets_only_what_fits_it),
        TEST(a_runner_gets_no_more_than_it_has_left),
        TEST(a_big_job_is_not_overtaken_for_ever),
        TEST(a_big_job_of_the_future_has_waited_long),
        TEST(a_cancel_of_a_job_wakes_who_kept_something_for_it),
        TEST(the_end_of_its_time_in_the_queue_wakes_who_kept_something_for_it),
        TEST(the_end_of_its_builds_time_wakes_who_kept_something_for_it),
        TEST(another_runner_that_takes_a_job_wakes_who_kept_something_for_it),
        TEST(the_end_of_a_pause_wakes_everyone),
        TEST(a_drained_runner_that_is_resumed_is_woken),
        TEST(turns_go_on_when_the_clock_is_set_back),
        TEST(a_full_runner_gets_nothing_and_says_so),
        TEST(a_jobs_place_is_how_many_are_given_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
