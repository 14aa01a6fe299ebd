#include "fixture.h"

static int64_t number_in(const char *path) {
    _cleanup_buf_ Buf text = BUF_INIT;
    Err err;

    must(file_read(path, 4096, &text, &err), &err);
    return strtoll(buf_str(&text), NULL, 10);
}

static void without_limits_no_limiting_group_is_made(void **state) {
    Place *p = *state;
    CgroupLimits none = {0};
    Cgroup c;
    Err err;

    must(cgroup_open(&p->host, 3, &none, &c, &err), &err);
    for (int i = 0; i < CGROUP_V1_COUNT; i++)
        assert_int_equal(c.join[i], -1);
    cgroup_close(&c);
}

static void limits_are_written_and_their_groups_go_away(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.memory = 32u << 20, .processes = 17, .cpu = 500};
    char path[PATH_MAX];
    Cgroup c;
    Err err;

    if (!p->host.limits[CGROUP_MEMORY][0] || !p->host.limits[CGROUP_PIDS][0])
        skip();
    must(cgroup_open(&p->host, 4, &limits, &c, &err), &err);
    snprintf(path, sizeof(path), "%s/%s-slot-4/pids.max", p->host.limits[CGROUP_PIDS], p->host.name);
    assert_int_equal(number_in(path), 17);
    snprintf(path, sizeof(path), "%s/%s-slot-4/cpu.cfs_quota_us", p->host.limits[CGROUP_CPU], p->host.name);
    assert_int_equal(number_in(path), 50000);
    snprintf(path, sizeof(path), "%s/%s-slot-4/memory.limit_in_bytes", p->host.limits[CGROUP_MEMORY],
             p->host.name);
    assert_int_equal(number_in(path), 32 << 20);
    cgroup_close(&c);
    assert_int_equal(access(path, F_OK), -1);
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
        TEST(without_limits_no_limiting_group_is_made),
        TEST(limits_are_written_and_their_groups_go_away),
        TEST(a_host_without_groups_gets_rlimits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
