/* A repository that is deleted, and what is left of it whenever the server dies. */
#include "fixture.h"

#include "build/remove.h"
#include <sys/stat.h>

static const char pipeline[] = "jobs:\n  a: {steps: [\"true\"]}\n";

static int remove_repo(Fixture *f, bool force, const char **ret_name) {
    RepoRemoval removal = {.project = f->project, .by = "ann", .force = force, .wait_us = US_PER_S / 10};

    return build_repo_remove(&f->builds, &removal, f->mem, ret_name, &err);
}

static int setup(void **state) {
    int r = fixture_setup(state);

    ((Fixture *)*state)->builds.options.no_deploy = true; /* there is nobody who would take it off */
    return r;
}

static bool is_there(const char *path) {
    struct stat st;

    return stat(path, &st) == 0;
}

static const char *aside_of(Fixture *f) {
    return mem_printf(f->mem, "%s/deleted.%s", f->dir, f->project->uuid);
}

static int64_t finished_build(Fixture *f) {
    int64_t id;
    ClaimedJob job;

    commit_pipeline(f, pipeline);
    id = start(f).id;
    job = claim_one(f, 1);
    OK(report(f, &job, "success"));
    return id;
}

static int64_t rows(Fixture *f, const char *sql) {
    int64_t count;

    OK(db_query_int(f->builds.db, &count, &err, sql, "i", f->project->id));
    return count;
}

static void its_builds_stay_and_its_name_is_free(void **state) {
    Fixture *f = *state;
    int64_t id = finished_build(f);
    char uuid[ID_UUID_SIZE];
    Project again = {.uuid = uuid, .name = "hello", .source = "hosted", .path = "", .url = ""};
    const char *name;
    Build *build;

    OK(remove_repo(f, false, &name));
    assert_false(is_there(f->project->path));
    assert_false(is_there(aside_of(f)));
    OK(store_build_load(f->builds.db, id, f->mem, &build, &err));
    assert_string_equal(build->project, name);
    assert_string_equal(name, mem_printf(f->mem, "hello (deleted %lld)", (long long)f->project->id));
    assert_string_equal(build->state, "success");
    id_uuid(uuid);
    OK(db_begin(f->builds.db, &err));
    OK(store_project_insert(f->builds.db, &again, f->mem, &err));
    OK(db_commit(f->builds.db, &err));
    assert_string_equal(again.slug, "hello");                      /* its host name as well */
    assert_int_equal(remove_repo(f, false, &name), -ERR_CONFLICT); /* the old one is not deleted twice */
    assert_string_equal(err.msg, "the repository is deleted already");
}

static void what_is_of_use_beside_it_goes(void **state) {
    static const char *const fill[] = {
        "INSERT INTO ref VALUES (?1, 'refs/heads/x', '1', 1)",
        "INSERT INTO secret VALUES (1, 1, ?1, 'TOKEN', 'sealed', 'ann', 1, 1)",
        "INSERT INTO pull_request VALUES (?1, 7, '{}')",
        "INSERT INTO flake VALUES (?1, 1, '{}')",
        "INSERT INTO cache VALUES (1, 'c', ?1, 'refs/heads/main', 'k', 1, 'x', 1, 1)",
        "INSERT INTO schedule (id, project_id, name, cron, timezone) VALUES (5, ?1, 'n', '0 3 * * *', 'UTC')",
        "INSERT INTO timer SELECT 'schedule', 5, 9 WHERE ?1 > 0",
    };
    static const char *const counts[] = {
        "SELECT COUNT(*) FROM ref WHERE project_id = ?1",
        "SELECT COUNT(*) FROM secret WHERE project_id = ?1",
        "SELECT COUNT(*) FROM pull_request WHERE project_id = ?1",
        "SELECT COUNT(*) FROM flake WHERE project_id = ?1",
        "SELECT COUNT(*) FROM cache WHERE project_id = ?1",
        "SELECT COUNT(*) FROM schedule WHERE project_id = ?1",
        "SELECT COUNT(*) FROM timer WHERE kind = 'schedule' AND ?1 > 0",
    };
    Fixture *f = *state;
    const char *name;

    OK(db_begin(f->builds.db, &err));
    for (size_t i = 0; i < ELEMENTS(fill); i++)
        OK(db_exec(f->builds.db, NULL, &err, fill[i], "i", f->project->id));
    OK(db_commit(f->builds.db, &err));
    for (size_t i = 0; i < ELEMENTS(counts); i++)
        assert_int_equal(rows(f, counts[i]), 1);
    OK(remove_repo(f, false, &name));
    for (size_t i = 0; i < ELEMENTS(counts); i++)
        assert_int_equal(rows(f, counts[i]), 0);
}

static void builds_that_have_not_ended_keep_it(void **state) {
    Fixture *f = *state;
    const char *name;
    ClaimedJob job;
    int64_t id;

    commit_pipeline(f, pipeline);
    id = start(f).id;
    assert_int_equal(remove_repo(f, false, &name), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, mem_printf(f->mem, "have not ended: %lld;", (long long)id)));
    assert_non_null(strstr(err.msg, "--force"));
    job = claim_one(f, 1);
    assert_int_equal(remove_repo(f, true, &name),
                     -ERR_CONFLICT); /* its job is told to stop, and has not yet */
    assert_non_null(strstr(err.msg, "ask again"));
    assert_true(is_there(f->project->path));
    assert_string_equal(job_named(f, id, "a")->stop_reason, "user");
    OK(report(f, &job, "cancelled"));
    OK(remove_repo(f, false, &name));
    assert_build(f, id, "cancelled");
}

static void with_force_what_waits_is_cancelled(void **state) {
    Fixture *f = *state;
    const char *name;
    int64_t id;

    commit_pipeline(f, pipeline);
    id = start(f).id;
    OK(remove_repo(f, true, &name));
    assert_build(f, id, "cancelled");
    assert_false(is_there(f->project->path));
}

static void what_is_live_keeps_it_and_its_host_name(void **state) {
    Fixture *f = *state;
    int64_t id = finished_build(f);
    Deployment d = {.project_id = f->project->id,
                    .build_id = id,
                    .job_id = job_named(f, id, "a")->id,
                    .uuid = "d",
                    .commit = f->commit,
                    .branch = "main",
                    .status = "live",
                    .spec = "{}",
                    .created_at = 1};
    Deployment *live;
    Project *leaving;
    const char *name;
    size_t count;

    f->builds.options.no_deploy = false;
    OK(db_begin(f->builds.db, &err));
    OK(store_deployment_insert(f->builds.db, &d, &err));
    OK(db_commit(f->builds.db, &err));
    assert_int_equal(remove_repo(f, false, &name), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "is live"));
    assert_true(is_there(f->project->path));
    OK(remove_repo(f, true, &name));
    OK(store_deployment_live(f->builds.db, f->project->id, f->mem, &live, &err));
    assert_null(live);
    OK(build_repos_leaving(&f->builds, f->mem, &leaving, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(leaving[0].slug, "hello");
    OK(build_repo_left(&f->builds, f->project->id, &err));
    OK(build_repos_leaving(&f->builds, f->mem, &leaving, &count, &err));
    assert_int_equal(count, 0);
}

static void nothing_comes_of_it_any_more(void **state) {
    Fixture *f = *state;
    int64_t id = finished_build(f);
    BuildRequest request = {.project = f->project,
                            .commit = f->commit,
                            .ref = "refs/heads/main",
                            .event = "manual",
                            .pusher = "ann"};
    RerunRequest again = {.build = id, .by = "ann"};
    BuildOutcome outcome;
    const char *name;

    OK(remove_repo(f, false, &name));
    assert_int_equal(build_create(&f->builds, &request, f->mem, &outcome, &err), -ERR_NOT_FOUND);
    sh(f, "git clone -q --bare work hello.git 2>/dev/null; git -C work rev-parse HEAD"); /* somebody else's,
                                                                                            of that name */
    assert_int_equal(build_create(&f->builds, &request, f->mem, &outcome, &err),
                     -ERR_CONFLICT); /* read before */
    assert_int_equal(build_rerun(&f->builds, &again, f->mem, &outcome, &err), -ERR_CONFLICT);
    assert_non_null(strstr(err.msg, "was deleted"));
    assert_int_equal(rows(f, "SELECT COUNT(*) FROM build WHERE project_id = ?1"), 1);
}

/* The server died when the folder was aside, and the transaction not through. */
static void what_was_not_deleted_is_put_back(void **state) {
    Fixture *f = *state;

    sh(f, mem_printf(f->mem, "mv '%s' '%s'; echo", f->project->path, aside_of(f)));
    OK(build_repos_sweep(&f->builds, f->dir, &err));
    assert_true(is_there(aside_of(f)));
    OK(build_repos_put_back(&f->builds, f->dir, &err));
    assert_false(is_there(aside_of(f)));
    commit_pipeline(f, pipeline);
    assert_true(start(f).id > 0);
}

/* It died behind the transaction. */
static void what_was_deleted_is_removed_when_the_server_is_back(void **state) {
    Fixture *f = *state;
    const char *name, *stranger = mem_printf(f->mem, "%s/deleted.nobody", f->dir);

    OK(remove_repo(f, false, &name));
    assert_int_equal(mkdir(aside_of(f), 0700), 0);
    assert_int_equal(mkdir(stranger, 0700), 0);
    OK(build_repos_put_back(&f->builds, f->dir, &err));
    assert_true(is_there(aside_of(f)));
    OK(build_repos_sweep(&f->builds, f->dir, &err));
    assert_false(is_there(aside_of(f)));
    assert_false(is_there(stranger));
    assert_false(is_there(f->project->path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(its_builds_stay_and_its_name_is_free),
        TEST(what_is_of_use_beside_it_goes),
        TEST(builds_that_have_not_ended_keep_it),
        TEST(with_force_what_waits_is_cancelled),
        TEST(what_is_live_keeps_it_and_its_host_name),
        TEST(nothing_comes_of_it_any_more),
        TEST(what_was_not_deleted_is_put_back),
        TEST(what_was_deleted_is_removed_when_the_server_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
