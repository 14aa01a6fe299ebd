#include "fixture.h"

/* The file of the controller in the slot's group: of v2 where the host has it there, else of v1. */
static const char *limit_file(const Place *p, CgroupController which, int slot) {
    static const char *const names[][2] = {
        [CGROUP_MEMORY] = {"memory.limit_in_bytes", "memory.max"},
        [CGROUP_PIDS] = {"pids.max", "pids.max"},
        [CGROUP_CPU] = {"cpu.cfs_quota_us", "cpu.max"},
    };
    bool v2 = p->host.v2[which];

    if (v2)
        return mem_printf(p, "%s/slot-%d/%s", p->host.tree, slot, names[which][1]);
    return mem_printf(p, "%s/%s-slot-%d/%s", p->host.limits[which], p->host.name, slot, names[which][0]);
}

/* What is written there; "max" (v2) and the most there is (v1) are INT64_MAX. */
static int64_t limit_of(const Place *p, CgroupController which, int slot) {
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err;

    must(file_read(limit_file(p, which, slot), 4096, &text, &err), &err);
    return str_after(buf_str(&text), "max") ? INT64_MAX : strtoll(buf_str(&text), NULL, 10);
}

static void need_limits(const Place *p) {
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (!p->host.v2[i] && !p->host.limits[i][0])
            skip();
}

static void without_limits_no_limiting_group_is_made(void **state) {
    Place *p = *state;
    CgroupLimits none = {0};
    Cgroup c;
    Err err;

    must(cgroup_open(&p->host, 3, &none, &c, &err), &err);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        assert_int_equal(c.join[i], -1);
    cgroup_close(&c);
}

static void limits_are_written_and_their_groups_go_away(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.memory = 32u << 20, .processes = 17, .cpu = 500};
    Cgroup c;
    Err err;

    need_limits(p);
    must(cgroup_open(&p->host, 4, &limits, &c, &err), &err);
    assert_int_equal(limit_of(p, CGROUP_PIDS, 4), 17);
    assert_int_equal(limit_of(p, CGROUP_CPU, 4), 50000);
    assert_int_equal(limit_of(p, CGROUP_MEMORY, 4), 32 << 20);
    cgroup_close(&c);
    cgroup_host_done(&p->host);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        assert_int_equal(access(limit_file(p, (CgroupController)i, 4), F_OK), -1);
    assert_int_equal(access(p->host.tree, F_OK), -1);
}

static void the_least_of_a_cpu_is_what_the_kernel_takes(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.cpu = 1};
    Cgroup c;
    Err err;

    need_limits(p);
    must(cgroup_open(&p->host, 4, &limits, &c, &err), &err);
    assert_int_equal(limit_of(p, CGROUP_CPU, 4), 1000);
    cgroup_close(&c);
}

static void a_slots_next_job_has_none_of_its_limits(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.memory = 32u << 20, .processes = 17, .cpu = 500}, none = {0};
    _cleanup_buf_ Buf swap = BUF_INIT;
    Cgroup c;
    Err err;

    need_limits(p);
    must(cgroup_open(&p->host, 4, &limits, &c, &err), &err);
    cgroup_close(&c);
    must(cgroup_open(&p->host, 4, &none, &c, &err), &err);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (p->host.v2[i])
            assert_int_equal(limit_of(p, (CgroupController)i, 4), INT64_MAX);
        else
            assert_int_equal(c.join[i], -1);
    if (file_read(mem_printf(p, "%s/slot-4/memory.swap.max", p->host.tree), 64, &swap, &err) == 0)
        assert_string_equal(buf_str(&swap), "max\n");
    cgroup_close(&c);
}

static void a_host_without_groups_gets_rlimits(void **state) {
    CgroupHost nothing = {.name = "x"};
    CgroupLimits limits = {.memory = 1 << 20, .processes = 5};
    Cgroup c;
    Err err;

    must(cgroup_open(&nothing, 0, &limits, &c, &err), &err);
    assert_int_equal(c.tree_fd, -1);
    assert_int_equal(c.rlimits.processes, 5);
    assert_int_equal(c.rlimits.memory, 1 << 20);
    assert_false(cgroup_kill(&c));
    assert_false(cgroup_oom(&c));
    cgroup_close(&c);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_limits_no_limiting_group_is_made),    TEST(limits_are_written_and_their_groups_go_away),
        TEST(the_least_of_a_cpu_is_what_the_kernel_takes), TEST(a_slots_next_job_has_none_of_its_limits),
        TEST(a_host_without_groups_gets_rlimits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
