/* With a real HAProxy, a real sandbox and small applications in Perl. The program is its own `pelton
 * release`. */
#include "deploy/deploy.h"

#include "../ingress/apps.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "deploy/release_file.h"
#include "deploy/runtime.h"
#include "deploy/spec.h"
#include "executor/sandbox.h"
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DEADLINE (20 * US_PER_S)

static const char app[] =
    "use IO::Socket::INET; $| = 1; $SIG{TERM} = sub { exit 0 }; print \"hello from the app\\n\";\n"
    "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 128,\n"
    "  ReuseAddr => 1) or die \"bind: $!\\n\";\n"
    "while (1) { my $c = $s->accept or next; my $r = <$c>; while (<$c>) { last if /^\\r?\\n$/ }\n"
    "  exit 3 if $r =~ m{/crash}; open my $f, '>>', 'written'; print $f 'x'; close $f;\n"
    "  my $b = \"$ENV{NAME} $ENV{SECRET} $ENV{PELTON_COMMIT} \" . join(',', (stat 'app.pl')[4], $<, -d "
    "'/root' ? 1 : 0);\n"
    "  my $code = $ENV{CODE} || 200;\n"
    "  print $c \"HTTP/1.1 $code X\\r\\nContent-Length: \" . length($b) . \"\\r\\nConnection: "
    "close\\r\\n\\r\\n$b\"; close $c }\n";

#define COMMIT "0123456789012345678901234567890123456789"

typedef struct Fixture {
    char root[64], ingress_dir[96], releases[96];
    Ingress *ingress;
    Deployer *deployer;
    char *address;
    int artifact;
    int commits, commit_result, cancel;
    Buf log;
    char answer[16384];
} Fixture;

#define ok(call)                                                                                             \
    do {                                                                                                     \
        Err err_ = {0}, *e = &err_;                                                                          \
        if ((call) < 0)                                                                                      \
            fail_msg("%s", e->msg);                                                                          \
    } while (0)

/* ---- archives ---- */

typedef struct Entry {
    const char *path;
    mode_t type;
    const char *content; /* of a file; a link's target */
} Entry;

static int make_archive(const Entry *entries) {
    int fd = memfd_create("release", MFD_CLOEXEC);
    struct archive *a = archive_write_new();

    archive_write_add_filter_zstd(a);
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (; entries->path; entries++) {
        struct archive_entry *e = archive_entry_new();
        size_t len = entries->content ? strlen(entries->content) : 0;

        archive_entry_set_pathname(e, entries->path);
        archive_entry_set_filetype(e, entries->type);
        archive_entry_set_perm(e, 04755);
        if (entries->type == S_IFLNK)
            archive_entry_set_symlink(e, entries->content);
        archive_entry_set_size(e, entries->type == S_IFREG ? (la_int64_t)len : 0);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (entries->type == S_IFREG)
            archive_write_data(a, entries->content, len);
        archive_entry_free(e);
    }
    archive_write_free(a);
    return fd;
}

/* ---- the fixture ---- */

static void open_server(Fixture *f) {
    IngressOptions io = {.dir = f->ingress_dir, .listen = "127.0.0.1:0"};
    DeployOptions o = {.dir = f->releases, .stop_us = 2 * US_PER_S, .drain_us = DEADLINE};

    ok(ingress_new(NULL, &io, &f->ingress, e));
    ok(ingress_start(f->ingress, e));
    o.ingress = f->ingress;
    ok(deploy_new(NULL, &o, &f->deployer, e));
    f->address = ingress_address(f->ingress, f->ingress);
}

static void close_server(Fixture *f) {
    deploy_free(f->deployer);
    ingress_free(f->ingress);
}

static int set_up(void **state) {
    static const Entry entries[] = {
        {"app.pl", S_IFREG, app}, {"lib", S_IFDIR, NULL}, {"lib/x", S_IFLNK, "../app.pl"}, {NULL}};
    Fixture *f = calloc(1, sizeof(*f));

    snprintf(f->root, sizeof(f->root), "/tmp/pelton-deploy-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(chmod(f->root, 0711), 0);
    snprintf(f->ingress_dir, sizeof(f->ingress_dir), "%s/ingress", f->root);
    snprintf(f->releases, sizeof(f->releases), "%s/releases", f->root);
    f->artifact = make_archive(entries);
    f->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    open_server(f);
    *state = f;
    return 0;
}

static bool is_uuid(void *arg, const char *uuid) {
    return arg && strcmp(arg, uuid) == 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;

    ok(deploy_remove(f->deployer, "hello", e));
    ok(deploy_sweep(f->deployer, is_uuid, NULL, e));
    deploy_free(f->deployer);
    ingress_stop(f->ingress);
    ok(file_remove_tree(f->root, e));
    close(f->artifact);
    close(f->cancel);
    buf_done(&f->log);
    free(f);
    return 0;
}

static void take_line(void *arg, const char *line, size_t len) {
    Fixture *f = arg;

    buf_add(&f->log, line, len);
    buf_addc(&f->log, '\n');
}

static int take_commit(void *arg, const char *url, Err *err) {
    Fixture *f = arg;

    f->commits++;
    return f->commit_result < 0 ? err_set(err, ERR_CONFLICT, "superseded") : 0;
}

static int deploy_as(Fixture *f, const char *uuid, const char *spec, int artifact, Err *err) {
    static const char *const env[] = {"SECRET=s3cret", NULL};
    DeployHooks hooks = {.log = take_line, .commit = take_commit, .cancel_fd = f->cancel, .arg = f};
    DeployJob job = {
        .uuid = uuid, .slug = "hello", .commit = COMMIT, .artifact_fd = artifact, .spec = spec, .env = env};
    char *url = NULL;
    int r = deploy_run(f->deployer, &job, &hooks, NULL, &url, err);

    assert_true(r < 0 || str_after(url, "http://hello.localhost:"));
    talloc_free(url);
    return r;
}

#define SPEC(name, more)                                                                                     \
    "{\"start\":\"exec perl app.pl\",\"env\":{\"NAME\":\"" name "\",\"SECRET\":\"none\"},"                   \
    "\"health\":{\"path\":\"/up\",\"timeout\":15000000}" more "}"

static void deploy_ok(Fixture *f, char *uuid, const char *spec) {
    Err err;

    id_uuid(uuid);
    if (deploy_as(f, uuid, spec, f->artifact, &err) < 0)
        fail_msg("%s\n%s", err.msg, buf_str(&f->log));
}

static int get(Fixture *f, const char *path) {
    f->answer[0] = '\0';
    return client_get(f->address, "hello.localhost", path, f->answer, sizeof(f->answer));
}

static void serves(Fixture *f, const char *text) {
    assert_int_equal(get(f, "/"), 200);
    if (!strstr(f->answer, text))
        fail_msg("expected %s in %s", text, f->answer);
}

static bool on_disk(Fixture *f, const char *uuid) {
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", f->releases, uuid);
    return access(path, F_OK) == 0;
}

static char *dir_of(Fixture *f, const char *uuid) {
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", f->releases, uuid);
    return path;
}

static pid_t supervisor(Fixture *f, const char *uuid) {
    pid_t pid = 0;

    ok(release_supervisor(dir_of(f, uuid), &pid, NULL, e));
    return pid;
}

/* ---- tests ---- */

static void a_release_goes_live_and_the_next_takes_its_place(void **state) {
    char one[ID_UUID_SIZE], two[ID_UUID_SIZE];
    Fixture *f = *state;
    pid_t first;

    deploy_ok(f, one, SPEC("one", ""));
    first = supervisor(f, one);
    serves(f, "one s3cret " COMMIT " 1000,1000,0");
    deploy_ok(f, two, SPEC("two", ""));
    serves(f, "two ");
    assert_int_equal(f->commits, 2);
    assert_false(on_disk(f, one));
    assert_true(on_disk(f, two));
    assert_int_not_equal(supervisor(f, two), first);
}

static void deploys_under_load_lose_no_request(void **state) {
    char uuid[ID_UUID_SIZE];
    Fixture *f = *state;
    Load load[2];

    deploy_ok(f, uuid, SPEC("zero", ""));
    load_start(&load[0], f->address, "hello.localhost", "GET", true);
    load_start(&load[1], f->address, "hello.localhost", "POST", false);
    for (int i = 0; i < 4; i++)
        deploy_ok(f, uuid, SPEC("next", ""));
    for (int i = 0; i < 2; i++) {
        load_stop(&load[i]);
        if (load[i].failed)
            fail_msg("%d of %d: %s", load[i].failed, load[i].asked, load[i].first_failure);
        assert_true(load[i].asked > 4);
    }
}

static void refuse(Fixture *f, const char *spec, int artifact, ErrCode code, const char *expected) {
    char uuid[ID_UUID_SIZE];
    Err err = {0};

    id_uuid(uuid);
    assert_true(deploy_as(f, uuid, spec, artifact, &err) < 0);
    if (err.code != code || !strstr(err.msg, expected))
        fail_msg("code %d, %s", err.code, err.msg);
    assert_false(on_disk(f, uuid));
}

static void a_release_that_does_not_get_healthy_leaves_the_old_one(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;

    deploy_ok(f, one, SPEC("one", ""));
    refuse(f, "{\"start\":\"echo started; echo no database >&2; exit 7\"}", f->artifact, ERR_INVALID,
           "exit status 7 before it was healthy; its last output: no database");
    assert_non_null(strstr(buf_str(&f->log), "    started\n"));
    refuse(f, "{\"start\":\"exec sleep 100\",\"health\":{\"path\":\"/\",\"timeout\":200000}}", f->artifact,
           ERR_TIMEOUT, "nothing listens on $PORT");
    refuse(f,
           "{\"start\":\"exec perl "
           "app.pl\",\"env\":{\"CODE\":\"500\"},\"health\":{\"path\":\"/\",\"timeout\":3000000}}",
           f->artifact, ERR_TIMEOUT, "status 500");
    refuse(f, "{\"start\":\"/no/such/program\"}", f->artifact, ERR_INVALID, "exit status 127");
    serves(f, "one ");
    assert_int_equal(f->commits, 1);
}

static void a_failed_commit_moves_the_traffic_back(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;

    f->commit_result = -1;
    refuse(f, SPEC("zero", ""), f->artifact, ERR_CONFLICT, "record the deployment: superseded");
    assert_int_equal(get(f, "/"), 503);
    f->commit_result = 0;
    deploy_ok(f, one, SPEC("one", ""));
    f->commit_result = -1;
    refuse(f, SPEC("two", ""), f->artifact, ERR_CONFLICT, "superseded");
    serves(f, "one ");
}

static void a_cancelled_deployment_leaves_nothing(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    uint64_t one_more = 1;

    deploy_ok(f, one, SPEC("one", ""));
    assert_int_equal(write(f->cancel, &one_more, sizeof(one_more)), sizeof(one_more));
    refuse(f, SPEC("two", ""), f->artifact, ERR_CANCELLED, "cancelled");
    serves(f, "one ");
}

static void hostile_archives_are_refused(void **state) {
    static const Entry archives[][4] = {
        {{"../outside", S_IFREG, "x"}, {NULL}},
        {{"a/../../outside", S_IFREG, "x"}, {NULL}},
        {{"/tmp/outside", S_IFREG, "x"}, {NULL}},
        {{"link", S_IFLNK, "../../outside"}, {NULL}},
        {{"link", S_IFLNK, "/etc"}, {NULL}},
        {{"link", S_IFLNK, "/usr/../etc"}, {NULL}},
        {{"d", S_IFDIR, NULL}, {"d/link", S_IFLNK, "../../spec.json"}, {NULL}},
        {{"sys", S_IFLNK, "/usr/bin"}, {"sys/evil", S_IFREG, "x"}, {NULL}},
        {{"pipe", S_IFIFO, NULL}, {NULL}},
    };
    Fixture *f = *state;
    int junk = memfd_create("junk", MFD_CLOEXEC);

    for (size_t i = 0; i < ELEMENTS(archives); i++) {
        int fd = make_archive(archives[i]);

        refuse(f, SPEC("x", ""), fd, ERR_INVALID, "unpack the release: ");
        close(fd);
    }
    assert_int_equal(write(junk, "not an archive at all", 21), 21);
    refuse(f, SPEC("x", ""), junk, ERR_INVALID, "not a release");
    close(junk);
    assert_int_equal(access("/usr/bin/evil", F_OK), -1);
    assert_int_equal(f->commits, 0);
}

static void files_are_the_releases_own(void **state) {
    char one[ID_UUID_SIZE], path[256];
    Fixture *f = *state;
    struct stat st;

    deploy_ok(f, one, SPEC("one", ""));
    serves(f, "one ");
    snprintf(path, sizeof(path), "%s/files/app.pl", dir_of(f, one));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07000, 0);
    if (geteuid() == 0)
        assert_int_equal(st.st_uid, release_uid(one));
    snprintf(path, sizeof(path), "%s/files/written", dir_of(f, one));
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/spec.json", dir_of(f, one));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Waits until the release has been started again so often and serves. */
static void await_restarts(Fixture *f, const char *uuid, int64_t restarts) {
    ReleaseState state = {0};

    for (int64_t until = clock_mono() + DEADLINE; state.restarts < restarts; poll(NULL, 0, 5)) {
        assert_true(clock_mono() < until);
        ok(release_state_read(dir_of(f, uuid), &state, e));
    }
}

static void a_crashed_application_is_started_again(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    pid_t before;

    deploy_ok(f, one, SPEC("one", ""));
    before = supervisor(f, one);
    (void)client_ask(client_dial(f->address), "POST", "hello.localhost", "/crash", "Content-Length: 0\r\n",
                     f->answer, sizeof(f->answer));
    await_restarts(f, one, 1);
    serves(f, "one ");
    assert_int_equal(supervisor(f, one), before);
}

static void serves_in_the_end(Fixture *f, const char *text) {
    int64_t until = clock_mono() + DEADLINE;

    while (get(f, "/") != 200 && clock_mono() < until)
        poll(NULL, 0, 10);
    serves(f, text);
}

static void a_killed_supervisor_is_replaced(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;

    deploy_ok(f, one, SPEC("one", ""));
    assert_int_equal(kill(supervisor(f, one), SIGKILL), 0);
    serves_in_the_end(f, "one ");
}

static void restore(Fixture *f, const char *uuid, DeployArtifact artifact) {
    DeployLive live = {.uuid = uuid, .slug = "hello", .commit = COMMIT, .spec = SPEC("again", "")};

    ok(deploy_restore(f->deployer, &live, 1, artifact, f, e));
    deploy_restore_wait(f->deployer);
}

static void a_new_server_adopts_what_runs(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    pid_t before;

    deploy_ok(f, one, SPEC("one", ""));
    before = supervisor(f, one);
    close_server(f);
    open_server(f);
    serves(f, "one ");
    restore(f, one, NULL);
    serves(f, "one ");
    assert_int_equal(supervisor(f, one), before);
}

static void a_new_server_starts_what_does_not_run(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;

    deploy_ok(f, one, SPEC("one", ""));
    close_server(f);
    assert_int_equal(kill(supervisor(f, one), SIGKILL), 0);
    open_server(f);
    restore(f, one, NULL);
    serves_in_the_end(f, "one ");
}

static int give_artifact(void *arg, const char *uuid, int *ret_fd, Err *err) {
    Fixture *f = arg;

    *ret_fd = fcntl(f->artifact, F_DUPFD_CLOEXEC, 3);
    return 0;
}

static void lost_files_are_unpacked_again(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;

    deploy_ok(f, one, SPEC("one", ""));
    close_server(f);
    assert_int_equal(kill(supervisor(f, one), SIGKILL), 0);
    ok(file_remove_tree(dir_of(f, one), e));
    open_server(f);
    restore(f, one, give_artifact);
    serves_in_the_end(f, "again ");
}

/* As after a server's end before the result was recorded. */
static void the_same_deployment_again_completes_it(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    Err err = {0};
    pid_t before;

    deploy_ok(f, one, SPEC("one", ""));
    before = supervisor(f, one);
    if (deploy_as(f, one, SPEC("one", ""), f->artifact, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(supervisor(f, one), before);
    assert_int_equal(f->commits, 2);
    serves(f, "one ");
}

static void a_half_unpacked_release_is_begun_anew(void **state) {
    char one[ID_UUID_SIZE], path[256];
    Fixture *f = *state;
    Err err = {0};

    id_uuid(one);
    snprintf(path, sizeof(path), "%s/files", dir_of(f, one));
    ok(file_mkdirs(path, 0700, e));
    if (deploy_as(f, one, SPEC("one", ""), f->artifact, &err) < 0)
        fail_msg("%s", err.msg);
    serves(f, "one ");
}

static void a_taken_port_is_left_to_its_owner(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    App *owner = app_start("owner");
    ReleaseState before = {.phase = RELEASE_STOPPED, .port = owner->port};
    Release r = {
        .uuid = one, .slug = "hello", .commit = COMMIT, .program = "/proc/self/exe", .spec = SPEC("one", "")};
    RuntimeStatus status;

    id_uuid(one);
    r.dir = dir_of(f, one);
    ok(runtime_process.prepare(&r, f->artifact, -1, e));
    ok(release_state_write(r.dir, &before, e));
    ok(runtime_process.start(&r, true, e));
    ok(runtime_process.status(&r, &status, e));
    assert_true(status.running);
    assert_string_not_equal(status.address, owner->address);
    ok(runtime_process.start(&r, true, e));
    ok(runtime_process.stop(&r, e));
    ok(runtime_process.status(&r, &status, e));
    assert_true(status.failed);
    app_stop(owner);
}

static void a_sweep_takes_what_nobody_wants(void **state) {
    char one[ID_UUID_SIZE];
    Fixture *f = *state;
    pid_t before;

    deploy_ok(f, one, SPEC("one", ""));
    before = supervisor(f, one);
    close_server(f);
    open_server(f);
    ok(deploy_sweep(f->deployer, is_uuid, one, e));
    serves(f, "one ");
    assert_int_equal(supervisor(f, one), before);
    ok(deploy_sweep(f->deployer, is_uuid, NULL, e));
    assert_false(on_disk(f, one));
    assert_int_equal(get(f, "/"), 503);
    ok(deploy_remove(f->deployer, "hello", e));
    assert_int_equal(get(f, "/"), 404);
}

static void bad_specifications_name_the_field(void **state) {
    static const struct {
        const char *spec, *expected;
    } bad[] = {
        {"[]", "expected an object"},
        {"{}", "\"start\""},
        {"{\"start\":\"\"}", "\"start\""},
        {"{\"start\":\"x\",\"network\":false}", "loopback"},
        {"{\"start\":\"x\",\"health\":{\"path\":\"x\"}}", "health.path"},
        {"{\"start\":\"x\",\"health\":{\"path\":\"/ HTTP/1.1\\r\\nX: y\"}}", "health.path"},
        {"{\"start\":\"x\",\"env\":{\"A=B\":\"c\"}}", "variable's name"},
        {"{\"start\":\"x\",\"env\":{\"A\":1}}", "\"A\""},
        {"{\"start\":\"x\",\"resources\":{\"memory\":-1}}", "resources"},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        Err err = {0};

        assert_true(deploy_spec_check(bad[i].spec, &err) < 0);
        if (err.code != ERR_INVALID || !strstr(err.msg, bad[i].expected))
            fail_msg("%s: %s", bad[i].spec, err.msg);
    }
    ok(deploy_spec_check(SPEC("x", ""), e));
    refuse(f, "{}", f->artifact, ERR_INVALID, "start");
}

static void the_output_is_kept_in_bounds(void **state) {
    Fixture *f = *state;
    int dirfd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char block[65536], tail[64], path[128];
    struct stat st;
    AppLog log;

    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\n';
    app_log_open(&log, dirfd);
    for (off_t done = 0; done < 3 * APP_LOG_SIZE; done += (off_t)sizeof(block))
        app_log_write(&log, block, sizeof(block));
    app_log_write(&log, "a\0b\nthe\033 end\n", 13);
    app_log_tail(f->root, tail, sizeof(tail));
    assert_string_equal(tail, "a?b\nthe? end\n");
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/app.log%s", f->root, i ? ".1" : "");
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size <= APP_LOG_SIZE);
    }
    close(log.fd);
    close(dirfd);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        test(a_release_goes_live_and_the_next_takes_its_place),
        test(deploys_under_load_lose_no_request),
        test(a_release_that_does_not_get_healthy_leaves_the_old_one),
        test(a_failed_commit_moves_the_traffic_back),
        test(a_cancelled_deployment_leaves_nothing),
        test(hostile_archives_are_refused),
        test(files_are_the_releases_own),
        test(a_crashed_application_is_started_again),
        test(a_killed_supervisor_is_replaced),
        test(a_new_server_adopts_what_runs),
        test(a_new_server_starts_what_does_not_run),
        test(lost_files_are_unpacked_again),
        test(the_same_deployment_again_completes_it),
        test(a_half_unpacked_release_is_begun_anew),
        test(a_taken_port_is_left_to_its_owner),
        test(a_sweep_takes_what_nobody_wants),
        test(bad_specifications_name_the_field),
        test(the_output_is_kept_in_bounds),
    };
    Err err;

    if (argc >= 4 && str_eq(argv[1], "release"))
        return argc == 5 ? release_unpack_main(argv[3]) : release_main(argv[3]);
    if (sandbox_available(&err) < 0) {
        print_message("skipped: %s\n", err.msg);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
