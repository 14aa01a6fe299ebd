#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

/* SQLite is not built for the thread sanitizer: what it does inside is not looked at. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libsqlite3.so\n";
}

enum { READERS = 4, WRITERS = 2, TRANSACTIONS = 150 };

typedef struct Shared {
    Db *db;
    atomic_int committed; /* pairs that are surely there */
    atomic_bool stop;
    atomic_int errors, reads;
} Shared;

/* Two rows a transaction, so that a reader who sees an odd number has seen half of one. */
static void *write_pairs(void *arg) {
    Shared *s = arg;
    Err err;
    int64_t id;

    for (int i = 0; i < TRANSACTIONS; i++) {
        if (db_begin(s->db, &err) < 0) {
            atomic_fetch_add(&s->errors, 1);
            break;
        }
        if (db_query_int(s->db, &id, &err, "INSERT INTO thing (name) VALUES (random()) RETURNING id", "") <
                0 ||
            db_query_int(s->db, &id, &err, "INSERT INTO thing (name) VALUES (random()) RETURNING id ", "") <
                0 ||
            (i % 10 == 9 ? (db_rollback(s->db), 0) : db_commit(s->db, &err)) < 0)
            atomic_fetch_add(&s->errors, 1);
        else if (i % 10 != 9)
            atomic_fetch_add(&s->committed, 1);
        db_rollback(s->db);
    }
    return NULL;
}

static void *read_pairs(void *arg) {
    Shared *s = arg;
    Err err;
    bool last;

    do {
        int before = atomic_load(&s->committed);
        int64_t n = -1;

        last = atomic_load(&s->stop);
        if (db_query_int(s->db, &n, &err, sql_count, "") < 0 || n % 2 != 0 || n < 2 * before)
            atomic_fetch_add(&s->errors, 1);
        atomic_fetch_add(&s->reads, 1);
    } while (!last);
    return NULL;
}

static void readers_see_whole_and_newest_commits_beside_writers(void **state) {
    Fixture *f = *state;
    Shared s = {.db = f->db};
    pthread_t readers[READERS], writers[WRITERS];

    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_pairs, &s), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_pairs, &s), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(s.errors, 0);
    assert_true(s.reads >= READERS);
    assert_int_equal(count(f), 2 * s.committed);
    assert_int_equal(s.committed, WRITERS * TRANSACTIONS * 9 / 10);
}

/* Open descriptors of the process that are the database file. */
static int open_files(void) {
    int n = 0;

    for (int fd = 0; fd < 256; fd++) {
        char link[64], target[256];
        ssize_t len;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, target, sizeof(target) - 1);
        if (len < 0)
            continue;
        target[len] = '\0';
        n += str_ends(target, "/t.db");
    }
    return n;
}

static void *read_once(void *arg) {
    Fixture *f = arg;
    int64_t n;
    Err err;

    if (db_query_int(f->db, &n, &err, sql_count, "") < 0)
        return arg;
    return NULL;
}

static void a_thread_takes_its_connection_with_it(void **state) {
    Fixture *f = *state;
    int before = open_files();

    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *failed;

        assert_int_equal(pthread_create(&thread, NULL, read_once, f), 0);
        pthread_join(thread, &failed);
        assert_null(failed);
    }
    assert_in_range(open_files(), before,
                    before + 1); /* SQLite may keep one for reuse, for its locks' sake */
}

static void *leave_open(void *arg) {
    Fixture *f = arg;
    Err err;
    int64_t id;

    if (db_begin(f->db, &err) < 0 || db_query_int(f->db, &id, &err, sql_insert, "si", "left", (int64_t)1) < 0)
        return arg;
    return NULL;
}

static void a_thread_that_ends_in_a_transaction_rolls_it_back(void **state) {
    Fixture *f = *state;
    pthread_t thread;
    void *failed;

    assert_int_equal(pthread_create(&thread, NULL, leave_open, f), 0);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal(count(f), 0);
    add(f, "a");
}

static void *begin_busy(void *arg) {
    Fixture *f = arg;
    Err err;

    if (db_begin(f->db, &err) != -ERR_UNAVAILABLE || !strstr(err.msg, "busy"))
        return arg;
    return NULL;
}

static void a_writer_that_waits_too_long_is_told(void **state) {
    Fixture *f = *state;
    DbOptions options = {.url = f->url, .busy_us = 1000};
    pthread_t thread;
    void *failed;

    db_close(f->db);
    OK(f, db_open(NULL, &options, &f->db, &f->err));
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(pthread_create(&thread, NULL, begin_busy, f), 0);
    pthread_join(thread, &failed);
    assert_null(failed);
    OK(f, db_commit(f->db, &f->err));
}

/* 96 MiB written without a pause; a WAL that nobody copies would be as long. */
static void the_wal_stays_bounded_under_load(void **state) {
    enum { MIB = 1 << 20 };
    Fixture *f = *state;
    struct stat st;
    off_t longest = 0;

    for (int i = 0; i < 24; i++) {
        OK(f, db_begin(f->db, &f->err));
        OK(f, db_exec(f->db, NULL, &f->err, "INSERT INTO thing (name, data) VALUES (random(), zeroblob(?1))",
                      "i", (int64_t)4 * MIB));
        OK(f, db_commit(f->db, &f->err));
        assert_int_equal(stat(mem_printf(f, "%s/t.db-wal", f->dir), &st), 0);
        longest = MAX(longest, st.st_size);
    }
    assert_true(longest < 80 * MIB);
    assert_int_equal(count(f), 24);
    db_close(f->db);
    OK(f, open_db(f));
    assert_int_equal(count(f), 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_whole_and_newest_commits_beside_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_takes_its_connection_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_that_ends_in_a_transaction_rolls_it_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wal_stays_bounded_under_load, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_that_waits_too_long_is_told, setup, teardown),
    };

    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
