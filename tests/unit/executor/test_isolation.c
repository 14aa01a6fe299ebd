#include "executor/tree.h"
#include "fixture.h"

#define RUN(script, limits) place_run(p, &executor_sandbox, (script), (limits))

static void the_script_runs_in_the_workspace_with_its_environment_only(void **state) {
    Place *p = *state;
    Ran *ran;

    need_sandbox();
    setenv("SECRET_OF_THE_HOST", "x", 1);
    ran = RUN("pwd; echo $GREETING; echo made > file; env", NULL);
    assert_int_equal(ran->status, 0);
    assert_non_null(str_after(ran->out, "/workspace\nhello\n"));
    assert_null(strstr(ran->out, "SECRET"));
    assert_int_equal(access(mem_printf(p, "%s/file", p->workspace), F_OK), 0);
}

static void the_exit_status_is_the_scripts_and_the_first_failure_ends_it(void **state) {
    Place *p = *state;
    Ran *ran;

    need_sandbox();
    ran = RUN("echo a\nfalse\necho b", NULL);
    assert_int_equal(ran->status, 1);
    assert_string_equal(ran->out, "a\n");
    assert_int_equal(RUN("exit 42", NULL)->status, 42);
}

static void only_workspace_tmp_and_home_can_be_written(void **state) {
    Place *p = *state;

    need_sandbox();
    assert_string_equal(
        RUN("for d in / /usr /usr/bin /etc /bin /var /run /proc/sys/kernel /home; do\n"
            "  touch $d/pelton-was-here 2>/dev/null && echo wrote $d\n"
            "done\n"
            "for d in /workspace /tmp /home/build /var/tmp; do touch $d/ok || echo not $d; done; true",
            NULL)
            ->out,
        "");
}

static void nothing_of_the_host_but_its_system_is_seen(void **state) {
    Place *p = *state;
    char *script = mem_printf(p,
                              "ls -d /root /srv /opt /mnt /sys /boot /work %s 2>/dev/null;"
                              "cat /etc/shadow /etc/ssh/sshd_config /etc/gshadow 2>/dev/null; true",
                              p->dir);

    need_sandbox();
    assert_string_equal(RUN(script, NULL)->out, "");
}

static void processes_of_the_host_are_neither_seen_nor_reached(void **state) {
    Place *p = *state;
    Ran *ran;

    need_sandbox();
    ran =
        RUN(mem_printf(p,
                       "ls /proc | grep -c '^[0-9]'; grep -la test_[e]xecutor /proc/[0-9]*/cmdline; kill -0 "
                       "%d || echo no such",
                       (int)getpid()),
            NULL);
    assert_true(atol(ran->out) < 8);
    assert_null(strstr(ran->out, "/cmdline"));
}

static void the_user_is_not_root_inside_or_outside(void **state) {
    Place *p = *state;
    Ran *ran;
    struct stat st;

    need_sandbox();
    ran = RUN("id -u; id -g; whoami; hostname; cat /proc/self/uid_map; echo > mine; grep -h CapEff "
              "/proc/self/status;"
              "grep NoNewPrivs /proc/self/status",
              NULL);
    assert_non_null(str_after(ran->out, "1000\n1000\nbuild\npelton\n"));
    assert_non_null(strstr(ran->out, "0000000000000000"));
    assert_non_null(strstr(ran->out, "NoNewPrivs:\t1"));
    assert_int_equal(stat(mem_printf(p, "%s/mine", p->workspace), &st), 0);
    assert_int_not_equal(st.st_uid, 0);
}

static void a_name_space_without_network_has_only_a_loopback(void **state) {
    Place *p = *state;

    need_sandbox();
    p->job.network = false;
    assert_string_equal(RUN("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", NULL)->out, "lo\n");
}

static void the_filter_denies_mount_and_new_user_name_spaces(void **state) {
    Place *p = *state;
    Ran *ran;

    need_sandbox();
    ran = RUN("python3 - <<'X'\n"
              "import ctypes, os\n"
              "libc = ctypes.CDLL(None, use_errno=True)\n"
              "def call(name, n, *a):\n"
              "    ctypes.set_errno(0); r = libc.syscall(n, *a); print(name, r, ctypes.get_errno())\n"
              "call('mount', 165, 0, b'/tmp', b'tmpfs', 0, 0)\n"
              "call('unshare', 272, 0x10000000)\n"
              "call('keyctl', 250, 0, 0, 0, 0, 0)\n"
              "call('bpf', 321, 99, 0, 0)\n"
              "call('clone3', 435, 0, 0)\n"
              "call('tiocsti', 16, 0, 0x100005412, b'x')\n"
              "call('getpid', 39)\n"
              "X\n"
              "grep Seccomp: /proc/self/status",
              NULL);
    assert_non_null(
        strstr(ran->out, "mount -1 1\nunshare -1 1\nkeyctl -1 1\nbpf -1 1\nclone3 -1 38\ntiocsti -1 1\n"));
    assert_non_null(strstr(ran->out, "Seccomp:\t2"));
}

static void a_fork_bomb_meets_the_limit(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.processes = 64};
    Ran *ran;

    need_sandbox();
    ran = RUN("python3 - <<'X'\n"
              "import os, time\n"
              "n = 0\n"
              "try:\n"
              "    while n < 500:\n"
              "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
              "        n += 1\n"
              "except OSError as e:\n"
              "    print('refused', e.errno, n < 64)\n"
              "X",
              &limits);
    assert_string_equal(ran->out, "refused 11 True\n");
}

static void a_sandbox_without_a_limit_still_has_the_default_one(void **state) {
    Place *p = *state;

    need_sandbox();
    if (!p->job.drop_user)
        skip();
    assert_string_equal(RUN("grep -o 'processes  *4096' /proc/self/limits | tr -s ' '", NULL)->out,
                        "processes 4096\n");
}

static void memory_over_the_limit_is_told_as_such(void **state) {
    Place *p = *state;
    CgroupLimits limits = {.memory = 64u << 20};
    Ran *ran;

    need_sandbox();
    if (!p->host.v2[CGROUP_MEMORY] && !p->host.limits[CGROUP_MEMORY][0])
        skip();
    ran = RUN("python3 -c 'x = bytearray(400 << 20); print(len(x))'", &limits);
    assert_int_not_equal(ran->status, 0);
    assert_true(cgroup_oom(&p->job.cgroup));
    assert_false(cgroup_oom(&p->job.cgroup));
    cgroup_close(&p->job.cgroup);
    ran = RUN("echo fine", &limits);
    assert_false(cgroup_oom(&p->job.cgroup));
    cgroup_close(&p->job.cgroup);
}

static void daemons_of_a_step_die_with_it(void **state) {
    Place *p = *state;

    need_sandbox();
    RUN("setsid sh -c '(sleep 76543 &) ; sleep 76543' >/dev/null 2>&1 & sleep 0.05", NULL);
    assert_false(runs("sleep 76543"));
}

static void asked_to_end_the_script_may_clean_up(void **state) {
    Place *p = *state;
    char out[256] = "";
    int fd, status;
    pid_t pid;

    need_sandbox();
    pid = place_start(p, &executor_sandbox,
                      "trap 'echo bye; exit 7' TERM\necho ready\nwhile :; do sleep 0.01; done", NULL, &fd);
    assert_int_equal(read(fd, out, 6), 6);
    executor_sandbox.ask(&p->job, pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(proc_status(status), 7);
    executor_sandbox.stop(&p->job);
    read_all(fd, out, sizeof(out));
    assert_non_null(strstr(out, "bye\n"));
    close(fd);
}

static void a_script_that_does_not_listen_is_killed_with_all_it_started(void **state) {
    Place *p = *state;
    char out[16];
    int fd;

    need_sandbox();
    place_start(p, &executor_sandbox,
                "trap '' TERM\nsetsid sleep 87654 &\necho ready\nwhile :; do sleep 1; done", NULL, &fd);
    assert_int_equal(read(fd, out, 6), 6);
    executor_sandbox.stop(&p->job);
    assert_int_equal(tree_signal(getpid(), 1, 0), 0);
    assert_false(runs("sleep 87654"));
    close(fd);
}

static void borrowed_folders_can_be_read_and_not_written(void **state) {
    Place *p = *state;
    const char *folder = mem_printf(p, "%s/borrowed", p->dir);
    const char *list[] = {folder, NULL};
    Err err;

    need_sandbox();
    assert_int_equal(mkdir(folder, 0755), 0);
    must(file_write_atomic(mem_printf(p, "%s/x", folder), "object", 6, 0644, &err), &err);
    p->job.read_only = list;
    assert_string_equal(
        RUN(mem_printf(p, "cat %s/x; touch %s/y 2>/dev/null || echo -no", folder, folder), NULL)->out,
        "object-no\n");
}

static void a_closed_folder_on_the_way_is_named(void **state) {
    Place *p = *state;
    char *closed = mem_printf(p, "%s/closed", p->dir), *inner = mem_printf(p, "%s/inner", closed);
    Err err = {0};

    assert_int_equal(mkdir(closed, 0700), 0);
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_int_equal(sandbox_reachable(inner, 201234, SANDBOX_GID, &err), -ERR_FORBIDDEN);
    assert_non_null(strstr(err.msg, closed));
    assert_int_equal(chmod(closed, 0711), 0);
    must(sandbox_reachable(inner, 201234, SANDBOX_GID, &err), &err);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_script_runs_in_the_workspace_with_its_environment_only),
        TEST(the_exit_status_is_the_scripts_and_the_first_failure_ends_it),
        TEST(only_workspace_tmp_and_home_can_be_written),
        TEST(nothing_of_the_host_but_its_system_is_seen),
        TEST(processes_of_the_host_are_neither_seen_nor_reached),
        TEST(the_user_is_not_root_inside_or_outside),
        TEST(a_name_space_without_network_has_only_a_loopback),
        TEST(the_filter_denies_mount_and_new_user_name_spaces),
        TEST(a_fork_bomb_meets_the_limit),
        TEST(a_sandbox_without_a_limit_still_has_the_default_one),
        TEST(memory_over_the_limit_is_told_as_such),
        TEST(daemons_of_a_step_die_with_it),
        TEST(asked_to_end_the_script_may_clean_up),
        TEST(a_script_that_does_not_listen_is_killed_with_all_it_started),
        TEST(borrowed_folders_can_be_read_and_not_written),
        TEST(a_closed_folder_on_the_way_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
