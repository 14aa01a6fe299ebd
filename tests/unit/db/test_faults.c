#include "fixture.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>

static char *path_of(Fixture *f, const char *name) {
    return mem_printf(f, "%s/%s", f->dir, name);
}

static void write_file(const char *path, const char *text) {
    FILE *out = fopen(path, "we");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static int open_other(Fixture *f, const char *name) {
    DbOptions options = {.url = mem_printf(f, "sqlite:%s", path_of(f, name)), .busy_us = 1000};
    Db *db = NULL;
    int r = db_open(NULL, &options, &db, &f->err);

    db_close(db);
    return r;
}

static void what_is_not_ours_is_refused_and_left_alone(void **state) {
    Fixture *f = *state;
    char text[32] = "";
    FILE *in;

    write_file(path_of(f, "text"), "this is no database at all, but a longer text of a person");
    assert_int_equal(open_other(f, "text"), -ERR_INVALID);
    assert_non_null(strstr(f->err.msg, "not an SQLite database"));
    in = fopen(path_of(f, "text"), "re");
    assert_non_null(fgets(text, sizeof(text), in));
    fclose(in);
    assert_memory_equal(text, "this is no", 10);
    assert_int_equal(open_other(f, "none/t.db"), -ERR_NOT_FOUND);
    assert_int_equal(mkdir(path_of(f, "folder"), 0700), 0);
    assert_int_equal(open_other(f, "folder"), -ERR_IO);
    OK(f, open_other(f, "new"));
}

static void another_programs_database_is_refused(void **state) {
    Fixture *f = *state;

    OK(f, db_begin(f->db, &f->err));
    OK(f, db_exec(f->db, NULL, &f->err, "PRAGMA application_id = 7", ""));
    OK(f, db_commit(f->db, &f->err));
    db_close(f->db);
    f->db = NULL;
    assert_int_equal(open_other(f, "t.db"), -ERR_INVALID);
    assert_non_null(strstr(f->err.msg, "another program"));
}

static void an_unknown_url_is_refused(void **state) {
    Fixture *f = *state;
    DbOptions options = {.url = "mysql:host"};
    Db *db;

    assert_int_equal(db_open(NULL, &options, &db, &f->err), -ERR_UNSUPPORTED);
    options.url = "sqlite::memory:";
    assert_int_equal(db_open(NULL, &options, &db, &f->err), -ERR_INVALID);
}

/* As a user without rights, since root may write anywhere. */
static void a_folder_that_is_not_writable_is_a_clear_error(void **state) {
    Fixture *f = *state;
    int status;
    pid_t child;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->dir, 0755), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (setuid(65534) < 0)
            _exit(2);
        _exit(open_other(f, "new.db") == -ERR_IO && strstr(f->err.msg, "Permission denied") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void the_file_is_private(void **state) {
    Fixture *f = *state;
    struct stat st;

    add(f, "a");
    assert_int_equal(stat(path_of(f, "t.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path_of(f, "t.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Inserts 4 KiB rows until one fails; gives how many were committed. */
static int64_t fill(Fixture *f, int *ret_r) {
    char text[4096];
    int64_t n = 0;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (;;) {
        int r = db_begin(f->db, &f->err);

        if (r == 0)
            r = db_exec(f->db, NULL, &f->err, "INSERT INTO thing (name, note) VALUES (random(), ?1)", "s",
                        text);
        if (r == 0)
            r = db_commit(f->db, &f->err);
        db_rollback(f->db);
        if (r < 0) {
            *ret_r = r;
            return n;
        }
        n++;
    }
}

static void a_full_disk_is_no_space_and_passes(void **state) {
    Fixture *f = *state;
    char *where = path_of(f, "small"), *ballast = path_of(f, "small/ballast");
    int r, fd;
    int64_t n;

    db_close(f->db);
    f->db = NULL;
    assert_int_equal(mkdir(where, 0700), 0);
    if (mount("tmpfs", where, "tmpfs", 0, "size=2m") < 0)
        skip();
    fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(posix_fallocate(fd, 0, 1000000), 0);
    close(fd);
    snprintf(f->url, sizeof(f->url), "sqlite:%s/t.db", where);
    OK(f, open_db(f));
    OK(f, db_migrate(f->db, first, 1, &f->err));

    n = fill(f, &r);
    assert_int_equal(r, -ERR_NO_SPACE);
    assert_true(n > 10);
    assert_int_equal(count(f), n);
    assert_int_equal(unlink(ballast), 0);
    n += fill(f, &r);
    assert_int_equal(r, -ERR_NO_SPACE);
    assert_int_equal(count(f), n);
    db_close(f->db);
    OK(f, open_db(f));
    assert_int_equal(count(f), n);
    db_close(f->db);
    f->db = NULL;
    assert_int_equal(umount(where), 0);
}

/* The child holds a transaction with rows in it, says so, and is killed. */
static _Noreturn void hold_transaction(Fixture *f, int out) {
    if (open_db(f) < 0 || insert(f, "x", 1) != -ERR_INTERNAL || db_begin(f->db, &f->err) < 0)
        _exit(1);
    for (int i = 0; i < 2000; i++) { /* enough to spill out of the cache into the WAL */
        char name[600];

        snprintf(name, sizeof(name), "%d%0590d", i, 0);
        if (insert(f, name, 1) < 0)
            _exit(1);
    }
    if (write(out, "!", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void a_killed_writer_leaves_the_old_state(void **state) {
    Fixture *f = *state;
    int pipefd[2], status;
    pid_t child;
    char c;

    add(f, "a");
    db_close(f->db); /* no connection is taken through a fork */
    f->db = NULL;
    assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        hold_transaction(f, pipefd[1]);
    close(pipefd[1]);
    assert_int_equal(read(pipefd[0], &c, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(pipefd[0]);
    OK(f, open_db(f));
    assert_int_equal(count(f), 1);
    add(f, "b");
    assert_int_equal(count(f), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_refused_and_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(another_programs_database_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_url_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_writable_is_a_clear_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_private, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_no_space_and_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_writer_leaves_the_old_state, setup, teardown),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
