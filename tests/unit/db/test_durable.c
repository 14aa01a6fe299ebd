#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* SQLite is not built for the thread sanitizer: what it does inside is not looked at. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libsqlite3.so\n";
}

enum { THREADS = 8 };

/* What goes to the disk first: counts the rounds, may stop in one, and may fail. */
typedef struct Disk {
    atomic_int rounds, fail;
    atomic_bool stop;
    sem_t stopped, go_on;
} Disk;

static int before(void *arg, Err *err) {
    Disk *d = arg;

    atomic_fetch_add(&d->rounds, 1);
    if (atomic_exchange(&d->stop, false)) {
        sem_post(&d->stopped);
        sem_wait(&d->go_on);
    }
    if (atomic_load(&d->fail) == 0)
        return 0;
    atomic_fetch_sub(&d->fail, 1);
    return err_set(err, ERR_IO, "the disk is broken");
}

static void watch(Fixture *f, Disk *d) {
    *d = (Disk){0};
    sem_init(&d->stopped, 0, 0);
    sem_init(&d->go_on, 0, 0);
    db_before_durable(f->db, before, d);
    OK(f, db_durable(f->db, db_promised(f->db), 0, &f->err));
    atomic_store(&d->rounds, 0);
}

static void a_commit_is_on_the_disk_after_one_wait(void **state) {
    Fixture *f = *state;
    uint64_t position;
    Disk d;

    watch(f, &d);
    add(f, "a");
    position = db_promised(f->db);
    assert_false(db_is_durable(f->db, position));
    OK(f, db_durable(f->db, position, 0, &f->err));
    assert_true(db_is_durable(f->db, position));
    OK(f, db_durable(f->db, position, 1000, &f->err));
    assert_int_equal(atomic_load(&d.rounds), 1);
}

static void what_an_earlier_process_left_counts_as_not_on_the_disk(void **state) {
    Fixture *f = *state;

    assert_false(db_is_durable(f->db, db_promised(f->db)));
    db_close(f->db);
    OK(f, open_db(f));
    assert_false(db_is_durable(f->db, db_promised(f->db)));
    OK(f, db_durable(f->db, db_promised(f->db), 0, &f->err));
    assert_true(db_is_durable(f->db, db_promised(f->db)));
}

static void casual_and_empty_commits_promise_nothing(void **state) {
    Fixture *f = *state;
    Disk d;

    watch(f, &d);
    OK(f, db_begin(f->db, &f->err));
    OK(f, db_commit(f->db, &f->err));
    assert_true(db_is_durable(f->db, db_promised(f->db)));
    OK(f, db_begin(f->db, &f->err));
    OK(f, insert(f, "a", 1));
    OK(f, db_commit_casually(f->db, &f->err));
    assert_true(db_is_durable(f->db, db_promised(f->db)));
    add(f, "b");
    assert_false(db_is_durable(f->db, db_promised(f->db)));
}

static void without_waiting_there_is_nothing_to_wait_for(void **state) {
    Fixture *f = *state;
    static const DbSync both[] = {DB_SYNC_NEVER, DB_SYNC_COMMITS};

    for (size_t i = 0; i < ELEMENTS(both); i++) {
        DbOptions options = {.url = f->url, .busy_us = 5000000, .sync = both[i]};

        db_close(f->db);
        OK(f, db_open(NULL, &options, &f->db, &f->err));
        add(f, i ? "a" : "b");
        assert_true(db_is_durable(f->db, db_promised(f->db)));
    }
}

static void waiting_in_a_transaction_is_refused(void **state) {
    Fixture *f = *state;

    add(f, "a");
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(db_durable(f->db, db_promised(f->db), 0, &f->err), -ERR_INTERNAL);
    db_rollback(f->db);
}

/* ---- many ---- */

typedef struct Crowd {
    Fixture *f;
    Disk *disk;
    atomic_int number, errors;
    sem_t committed;
    bool later; /* called back instead of waiting */
    sem_t called;
} Crowd;

static void called(void *arg, const Err *err) {
    Crowd *c = arg;

    if (err)
        atomic_fetch_add(&c->errors, 1);
    sem_post(&c->called);
}

static void *commit_and_wait(void *arg) {
    Crowd *c = arg;
    Db *db = c->f->db;
    int64_t id, number = atomic_fetch_add(&c->number, 1);
    char name[32];
    Err err;
    int r = db_begin(db, &err);

    snprintf(name, sizeof(name), "crowd %lld", (long long)number);
    if (r >= 0)
        r = db_query_int(db, &id, &err, sql_insert, "si", name, (int64_t)1);
    if (r >= 0)
        r = db_commit(db, &err);
    db_rollback(db);
    if (c->later)
        db_when_durable(db, db_promised(db), 0, called, c);
    sem_post(&c->committed);
    if (r >= 0 && !c->later)
        r = db_durable(db, db_promised(db), 0, &err);
    if (r < 0)
        atomic_fetch_add(&c->errors, 1);
    return NULL;
}

/* While a first round is under way all of them commit. */
static void gather(Fixture *f, Disk *d, Crowd *c) {
    pthread_t threads[THREADS + 1];

    sem_init(&c->committed, 0, 0);
    sem_init(&c->called, 0, 0);
    atomic_store(&d->stop, true);
    for (int i = 0; i <= THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, commit_and_wait, c), 0);
        sem_wait(&c->committed);
        if (i == 0)
            sem_wait(&d->stopped);
    }
    sem_post(&d->go_on);
    for (int i = 0; i <= THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (c->later)
            sem_wait(&c->called);
    }
    assert_true(db_is_durable(f->db, db_promised(f->db)));
}

static void many_that_wait_share_one_write(void **state) {
    Fixture *f = *state;
    Disk d;
    Crowd c = {.f = f, .disk = &d};

    watch(f, &d);
    gather(f, &d, &c);
    assert_int_equal(atomic_load(&c.errors), 0);
    assert_int_equal(atomic_load(&d.rounds), 2);
}

static void many_that_are_called_back_share_one_write(void **state) {
    Fixture *f = *state;
    Disk d;
    Crowd c = {.f = f, .disk = &d, .later = true};

    watch(f, &d);
    gather(f, &d, &c);
    assert_int_equal(atomic_load(&c.errors), 0);
    assert_int_equal(atomic_load(&d.rounds), 2);
}

static void a_patient_one_is_served_by_who_is_in_a_hurry(void **state) {
    Fixture *f = *state;
    Crowd c = {.f = f};
    Disk d;

    sem_init(&c.called, 0, 0);
    watch(f, &d);
    add(f, "a");
    db_when_durable(f->db, db_promised(f->db), INT64_C(600000000), called, &c);
    add(f, "b");
    OK(f, db_durable(f->db, db_promised(f->db), 0, &f->err));
    sem_wait(&c.called);
    assert_int_equal(atomic_load(&d.rounds), 1);
}

/* ---- a disk that fails ---- */

static void a_disk_that_fails_is_told_to_who_waits_and_tried_again(void **state) {
    Fixture *f = *state;
    Crowd c = {.f = f};
    Disk d;

    sem_init(&c.called, 0, 0);
    watch(f, &d);
    atomic_store(&d.fail, 2);
    add(f, "a");
    assert_int_equal(db_durable(f->db, db_promised(f->db), 0, &f->err), -ERR_IO);
    assert_string_equal(f->err.msg, "the disk is broken");
    assert_false(db_is_durable(f->db, db_promised(f->db)));
    db_when_durable(f->db, db_promised(f->db), 0, called, &c);
    sem_wait(&c.called);
    assert_int_equal(atomic_load(&c.errors), 1);
    OK(f, db_durable(f->db, db_promised(f->db), 0, &f->err)); /* all of it once more */
    add(f, "b");
    OK(f, db_durable(f->db, db_promised(f->db), 0, &f->err));
    assert_int_equal(count(f), 2);
}

static void who_still_waits_at_the_end_is_called_back(void **state) {
    Fixture *f = *state;
    Crowd c = {.f = f};

    sem_init(&c.called, 0, 0);
    add(f, "a");
    db_when_durable(f->db, db_promised(f->db), INT64_C(600000000), called, &c);
    db_close(f->db);
    assert_int_equal(sem_trywait(&c.called), 0);
    assert_int_equal(atomic_load(&c.errors), 0);
    OK(f, open_db(f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_is_on_the_disk_after_one_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(what_an_earlier_process_left_counts_as_not_on_the_disk, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(casual_and_empty_commits_promise_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(without_waiting_there_is_nothing_to_wait_for, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_in_a_transaction_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many_that_wait_share_one_write, setup, teardown),
        cmocka_unit_test_setup_teardown(many_that_are_called_back_share_one_write, setup, teardown),
        cmocka_unit_test_setup_teardown(a_patient_one_is_served_by_who_is_in_a_hurry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_is_told_to_who_waits_and_tried_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_still_waits_at_the_end_is_called_back, setup, teardown),
    };

    return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
