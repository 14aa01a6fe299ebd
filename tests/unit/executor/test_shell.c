#include "executor/tree.h"
#include "fixture.h"

#define RUN(script) place_run(p, &executor_shell, (script), NULL)

static void the_script_runs_in_the_workspace(void **state) {
    Place *p = *state;
    Ran *ran = RUN("pwd; echo $GREETING; echo oops >&2");

    assert_int_equal(ran->status, 0);
    assert_string_equal(ran->out, mem_printf(p, "%s\nhello\noops\n", p->workspace));
}

static void the_first_failure_ends_it(void **state) {
    Place *p = *state;
    Ran *ran = RUN("echo a; exit 3; echo b");

    assert_int_equal(ran->status, 3);
    assert_string_equal(ran->out, "a\n");
}

static void a_double_fork_into_a_new_session_is_killed(void **state) {
    Place *p = *state;

    RUN("setsid sh -c 'setsid sleep 65432 & exit' & sleep 0.05");
    assert_false(runs("sleep 65432"));
    assert_int_equal(tree_signal(getpid(), 1, 0), 0);
}

/* The tree is found process by process where there are no control groups. */
static void it_is_killed_without_control_groups_too(void **state) {
    Place *p = *state;

    cgroup_host_done(&p->host);
    p->host.tree[0] = '\0';
    RUN("setsid sh -c 'setsid sleep 54321 & exit' & sleep 0.05");
    assert_false(runs("sleep 54321"));
}

static void a_step_is_born_in_its_slots_group(void **state) {
    Place *p = *state;

    if (!p->host.tree[0])
        skip();
    assert_non_null(strstr(RUN("cat /proc/self/cgroup")->out, mem_printf(p, "/%s/slot-0\n", p->host.name)));
}

static void a_slot_can_be_used_again_after_a_kill(void **state) {
    Place *p = *state;

    RUN("setsid sleep 32109 & sleep 0.02");
    for (int i = 0; i < 3; i++)
        assert_int_equal(RUN("exit 42")->status, 42);
    assert_false(runs("sleep 32109"));
}

/* As a container engine, or another Pelton, does in a step. Where v2 has the controllers, a group that gives
 * them to its children takes no process any more. */
static void groups_that_a_step_makes_in_its_own_are_gone_after_it(void **state) {
    Place *p = *state;
    const char *slot = mem_printf(p, "%s/slot-0", p->host.tree);

    if (!p->host.tree[0])
        skip();
    assert_int_equal(RUN(mem_printf(p,
                                    "mkdir -p %s/a/b; echo $$ > %s/a/b/cgroup.procs\n"
                                    "echo +pids > %s/cgroup.subtree_control || true",
                                    slot, slot, slot))
                         ->status,
                     0);
    assert_int_equal(access(mem_printf(p, "%s/a", slot), F_OK), -1);
    assert_int_equal(RUN("exit 42")->status, 42);
}

static void what_a_job_left_in_memory_is_not_the_next_ones(void **state) {
    Place *p = *state;
    const CgroupLimits limits = {.memory = 64u << 20};
    const char *file = mem_printf(p, "/dev/shm/pelton-test-%d", getpid());
    Ran *ran;

    if (!p->host.v2[CGROUP_MEMORY] && !p->host.limits[CGROUP_MEMORY][0])
        skip();
    assert_int_equal(RUN(mem_printf(p, "head -c 50331648 /dev/zero >%s", file))->status, 0);
    ran = place_run(p, &executor_shell, "python3 -c 'bytearray(40 << 20)'", &limits);
    unlink(file);
    assert_int_equal(ran->status, 0);
}

static void groups_that_a_dead_job_process_left_are_swept(void **state) {
    Place *p = *state;
    const char *inner = mem_printf(p, "%s/slot-7/a/b", p->host.tree);
    Err err;

    if (!p->host.tree[0])
        skip();
    must(file_mkdirs(inner, 0755, &err), &err);
    cgroup_sweep(&p->host, 7);
    assert_int_equal(access(mem_printf(p, "%s/slot-7", p->host.tree), F_OK), -1);
}

static void what_a_dead_job_process_left_is_swept(void **state) {
    Place *p = *state;
    char path[PATH_MAX], byte;
    int fd, status;
    pid_t job;

    if (!p->host.tree[0])
        skip();
    job = fork();
    if (job == 0) {
        place_start(p, &executor_shell, "setsid sleep 43210 & echo ready; sleep 43210", NULL, &fd);
        _exit(read(fd, &byte, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(job, &status, 0), job);
    assert_int_equal(status, 0);
    assert_true(runs("sleep 43210"));
    cgroup_sweep(&p->host, 0);
    snprintf(path, sizeof(path), "%s/slot-0", p->host.tree);
    assert_int_equal(access(path, F_OK), -1);
    tree_reap_all();
    assert_false(runs("sleep 43210"));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_script_runs_in_the_workspace),
        TEST(the_first_failure_ends_it),
        TEST(a_double_fork_into_a_new_session_is_killed),
        TEST(it_is_killed_without_control_groups_too),
        TEST(a_step_is_born_in_its_slots_group),
        TEST(a_slot_can_be_used_again_after_a_kill),
        TEST(what_a_dead_job_process_left_is_swept),
        TEST(groups_that_a_step_makes_in_its_own_are_gone_after_it),
        TEST(what_a_job_left_in_memory_is_not_the_next_ones),
        TEST(groups_that_a_dead_job_process_left_are_swept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
