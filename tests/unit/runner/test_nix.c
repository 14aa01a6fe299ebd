/* Flakes by a real nix, offline: derivations of nothing but /bin/sh. */
#include "world.h"

#include "executor/executor.h"
#include <sys/utsname.h>

#define FLAKE(checks)                                                                                        \
    "{ outputs = { self }: let make = name: script: derivation { inherit name; system = "                    \
    "\\\"x86_64-linux\\\"; builder = "                                                                       \
    "\\\"/bin/sh\\\"; args = [ \\\"-c\\\" script ]; }; in { packages.x86_64-linux.hello = make "             \
    "\\\"hello\\\" \\\"echo building; echo hi > "                                                            \
    "$out\\\"; checks.x86_64-linux = { " checks " }; }; }"
#define GOOD "good = make \\\"good\\\" \\\"echo checking; echo ok > $out\\\";"
#define BAD "bad = make \\\"bad\\\" \\\"echo about to fail; exit 3\\\";"
#define WRITE(checks) "{\"name\":\"write\",\"run\":\"cat > flake.nix <<'END'\\n" FLAKE(checks) "\\nEND\"}"

static void need_nix(void) {
    struct utsname host;
    Err err;

    uname(&host);
    if (executor_nix.available(&err) < 0 || !str_eq(host.machine, "x86_64"))
        skip();
}

static FakeJob *run(const char *steps, const char *more) {
    world_start_runner();
    return world_finish(world_job("nix", steps, more));
}

static void reported(const FakeJob *job, const char *words) {
    if (!strstr(buf_str(&job->report), words))
        fail_msg("no %s in %s\n%s", words, buf_str(&job->report), buf_str(&job->log));
}

static void logged(const FakeJob *job, const char *words) {
    if (!strstr(buf_str(&job->log), words))
        fail_msg("no \"%s\" in the log:\n%s\n%s", words, buf_str(&job->log), buf_str(&job->report));
}

static void a_flake_s_checks_are_run_and_its_summary_kept(void **state) {
    FakeJob *job;

    need_nix();
    job = run("[" WRITE(GOOD) ",{\"name\":\"check\",\"uses\":\"nix\",\"with\":{\"check\":\".\"}}]",
              ",\"network\":false");
    reported(job, "\"state\":\"success\"");
    logged(job, "$ nix flake check .\n");
    logged(job, "good> checking\n");
    assert_null(strstr(buf_str(&job->log), "@nix"));
    assert_non_null(strstr(buf_str(&job->artifacts), ".pelton/nix-summary.json "));
}

static void a_check_that_fails_is_a_failure(void **state) {
    FakeJob *job;

    need_nix();
    job = run("[" WRITE(GOOD BAD) ",{\"name\":\"check\",\"uses\":\"nix\",\"with\":{\"check\":\".\"}}]",
              ",\"network\":false");
    reported(job, "\"state\":\"failed\",\"reason\":\"exit\"");
    logged(job, "bad> about to fail\n");
    logged(job, "failed with exit code 3");
    assert_non_null(strstr(buf_str(&job->artifacts), ".pelton/nix-summary.json "));
}

static void what_is_built_is_there_for_the_next_step(void **state) {
    FakeJob *job;

    need_nix();
    job = run("[" WRITE(GOOD) ",{\"name\":\"build\",\"uses\":\"nix\",\"with\":{\"build\":[\".#hello\"]}},"
                              "{\"name\":\"see\",\"run\":\"cat result; nix eval --raw .#hello.name\"}]",
              ",\"network\":false");
    reported(job, "\"state\":\"success\"");
    logged(job, "hello> building\n");
    logged(job, "see\nhi\n");
    assert_true(str_ends(buf_str(&job->log), "hello"));
}

static void a_cancel_ends_a_build(void **state) {
    int id;

    need_nix();
    world_start_runner();
    id = world_job(
        "nix",
        "[" WRITE(
            "slow = make \\\"slow\\\" \\\"echo ready; while :; do :; done\\\";") ",{\"name\":\"check\","
                                                                                 "\"uses\":\"nix\",\"with\":{"
                                                                                 "\"check\":\".\"}}]",
        ",\"network\":false");
    world_wait(strstr(buf_str(&fake_job(id)->log), "slow> ready") != NULL);
    world_stop_job(id, "user");
    reported(world_finish(id), "\"state\":\"cancelled\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_flake_s_checks_are_run_and_its_summary_kept),
        TEST(a_check_that_fails_is_a_failure),
        TEST(what_is_built_is_there_for_the_next_step),
        TEST(a_cancel_ends_a_build),
    };

    if (argc > 1 && str_eq(argv[1], "runner"))
        return runner_program(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
