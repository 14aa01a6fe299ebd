#include "fixture.h"

static void committed_rows_are_seen_and_rolled_back_ones_are_not(void **state) {
    Fixture *f = *state;

    assert_int_equal(count(f), 0);
    OK(f, db_begin(f->db, &f->err));
    assert_true(db_in_transaction(f->db));
    OK(f, insert(f, "a", 1));
    assert_int_equal(count(f), 1);
    db_rollback(f->db);
    assert_false(db_in_transaction(f->db));
    assert_int_equal(count(f), 0);
    add(f, "b");
    assert_int_equal(count(f), 1);
    db_rollback(f->db);
    assert_int_equal(count(f), 1);
}

static void begin_is_not_recursive_and_commit_wants_a_begin(void **state) {
    Fixture *f = *state;

    assert_int_equal(db_commit(f->db, &f->err), -ERR_INTERNAL);
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(db_begin(f->db, &f->err), -ERR_INTERNAL);
    OK(f, db_commit(f->db, &f->err));
}

static void writing_outside_a_transaction_is_refused(void **state) {
    Fixture *f = *state;

    assert_int_equal(insert(f, "a", 1), -ERR_INTERNAL);
    assert_non_null(strstr(f->err.msg, "without a transaction"));
    add(f, "a");
}

static void constraints_have_their_codes(void **state) {
    Fixture *f = *state;

    add(f, "a");
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(insert(f, "a", 1), -ERR_EXISTS);
    assert_non_null(strstr(f->err.msg, "thing.name"));
    db_rollback(f->db);
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(db_exec(f->db, NULL, &f->err, "INSERT INTO thing (id, name) VALUES (1, 'z')", ""),
                     -ERR_EXISTS);
    db_rollback(f->db);
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(insert(f, "b", -1), -ERR_CONFLICT);
    db_rollback(f->db);
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(insert(f, NULL, 1), -ERR_CONFLICT);
    db_rollback(f->db);
    OK(f, db_begin(f->db, &f->err));
    assert_int_equal(
        db_exec(f->db, NULL, &f->err, "INSERT INTO part (thing_id) VALUES (?1)", "i", (int64_t)77),
        -ERR_CONFLICT);
    db_rollback(f->db);
}

static void after_a_failed_statement_only_rollback_is_left(void **state) {
    Fixture *f = *state;
    int64_t n;

    add(f, "a");
    OK(f, db_begin(f->db, &f->err));
    OK(f, insert(f, "b", 1));
    assert_int_equal(insert(f, "a", 1), -ERR_EXISTS);
    assert_int_equal(db_query_int(f->db, &n, &f->err, sql_count, ""), -ERR_EXISTS);
    assert_non_null(strstr(f->err.msg, "roll it back"));
    assert_int_equal(db_commit(f->db, &f->err), -ERR_EXISTS);
    assert_false(db_in_transaction(f->db));
    assert_int_equal(count(f), 1);
    add(f, "c");
}

static const char sql_all[] = "INSERT INTO thing (name, note, data, size) VALUES (?1, ?2, ?3, ?4)";

static void insert_all(Fixture *f, const char *name, const char *note, const void *data, size_t len) {
    _cleanup_stmt_ DbStmt *st = NULL;

    OK(f, db_prepare(f->db, sql_all, &st, &f->err));
    db_bind_text(st, 1, name);
    db_bind_text(st, 2, note);
    db_bind_blob(st, 3, data, len);
    db_bind_int(st, 4, INT64_MAX);
    assert_int_equal(db_step(st, &f->err), 0);
}

static void values_come_back_as_they_went_in(void **state) {
    static const unsigned char bytes[] = {0, 255, 1, 0};
    _cleanup_stmt_ DbStmt *st = NULL;
    Fixture *f = *state;
    size_t len = 99;

    OK(f, db_begin(f->db, &f->err));
    insert_all(f, "\xc3\xbc'\";--", NULL, bytes, sizeof(bytes));
    insert_all(f, "empty", "", "", 0);
    insert_all(f, "null", "text", NULL, 7);
    OK(f, db_commit(f->db, &f->err));

    OK(f, db_prepare(f->db, "SELECT name, note, data, size FROM thing ORDER BY id", &st, &f->err));
    assert_int_equal(db_step(st, &f->err), 1);
    assert_string_equal(db_text(st, 0), "\xc3\xbc'\";--");
    assert_null(db_text(st, 1));
    assert_true(db_is_null(st, 1));
    assert_memory_equal(db_blob(st, 2, &len), bytes, sizeof(bytes));
    assert_int_equal(len, sizeof(bytes));
    assert_true(db_int(st, 3) == INT64_MAX);
    assert_int_equal(db_step(st, &f->err), 1);
    assert_string_equal(db_text(st, 1), "");
    assert_non_null(db_blob(st, 2, &len));
    assert_int_equal(len, 0);
    assert_false(db_is_null(st, 2));
    assert_int_equal(db_step(st, &f->err), 1);
    assert_null(db_blob(st, 2, &len));
    assert_int_equal(db_int(st, 2), 0);
    assert_int_equal(db_step(st, &f->err), 0);
}

static void done_forgets_what_was_bound(void **state) {
    static const char sql[] = "SELECT ?1";
    Fixture *f = *state;
    DbStmt *first_use, *second_use;

    OK(f, db_prepare(f->db, sql, &first_use, &f->err));
    db_bind_int(first_use, 1, 5);
    assert_int_equal(db_step(first_use, &f->err), 1);
    db_done(first_use);
    OK(f, db_prepare(f->db, sql, &second_use, &f->err));
    assert_ptr_equal(first_use, second_use);
    assert_int_equal(db_step(second_use, &f->err), 1);
    assert_true(db_is_null(second_use, 0));
    db_done(second_use);
}

static void a_statement_is_in_use_once(void **state) {
    _cleanup_stmt_ DbStmt *st = NULL;
    DbStmt *again;
    Fixture *f = *state;

    OK(f, db_prepare(f->db, sql_count, &st, &f->err));
    assert_int_equal(db_prepare(f->db, sql_count, &again, &f->err), -ERR_INTERNAL);
}

/* More than the cache has ways and places for, some of them held all the while. */
static void any_number_of_statements_works(void **state) {
    static char sql[1000][32];
    DbStmt *held[500];
    Fixture *f = *state;
    int64_t n;

    for (int i = 0; i < 1000; i++)
        snprintf(sql[i], sizeof(sql[i]), "SELECT %d + ?1", i);
    for (int i = 0; i < 500; i++) {
        OK(f, db_prepare(f->db, sql[i], &held[i], &f->err));
        db_bind_int(held[i], 1, 1);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 500; i < 1000; i++) {
            OK(f, db_query_int(f->db, &n, &f->err, sql[i], "i", (int64_t)round));
            assert_int_equal(n, i + round);
        }
    }
    for (int i = 0; i < 500; i++) {
        assert_int_equal(db_step(held[i], &f->err), 1);
        assert_int_equal(db_int(held[i], 0), i + 1);
        db_done(held[i]);
    }
}

static void a_statement_held_over_the_commit_touches_nothing(void **state) {
    _cleanup_stmt_ DbStmt *st = NULL;
    Fixture *f = *state;

    OK(f, db_begin(f->db, &f->err));
    OK(f, db_prepare(f->db, sql_insert, &st, &f->err));
    db_bind_text(st, 1, "a");
    assert_int_equal(db_step(st, &f->err), 1); /* the row of RETURNING, not stepped to its end */
    OK(f, db_commit(f->db, &f->err));
    assert_int_equal(db_step(st, &f->err), -ERR_INTERNAL);
    assert_null(db_text(st, 0));
    add(f, "b"); /* the same statement, under its new owner */
    assert_int_equal(count(f), 2);
}

static void a_wrong_parameter_or_statement_is_an_error(void **state) {
    Fixture *f = *state;
    int64_t n;
    DbStmt *st;

    assert_int_equal(db_query_int(f->db, &n, &f->err, sql_count, "i", (int64_t)1), -ERR_INTERNAL);
    assert_non_null(strstr(f->err.msg, "?1"));
    assert_int_equal(db_query_int(f->db, &n, &f->err, "SELECT ?1", "x"), -ERR_INTERNAL);
    assert_int_equal(db_prepare(f->db, "SELECT nothing", &st, &f->err), -ERR_INTERNAL);
    assert_int_equal(db_prepare(f->db, "SELECT \"text\"", &st, &f->err), -ERR_INTERNAL);
    assert_int_equal(db_prepare(f->db, "", &st, &f->err), -ERR_INTERNAL);
    assert_int_equal(db_query_int(f->db, &n, &f->err, "SELECT id FROM thing", ""), -ERR_NOT_FOUND);
}

static void exec_counts_the_changes(void **state) {
    Fixture *f = *state;
    int64_t changes = -1;

    add(f, "a");
    add(f, "b");
    OK(f, db_begin(f->db, &f->err));
    OK(f, db_exec(f->db, &changes, &f->err, "UPDATE thing SET note = ?1, data = ?2", "sn", "x"));
    assert_int_equal(changes, 2);
    OK(f, db_exec(f->db, &changes, &f->err, "DELETE FROM thing WHERE name = ?1", "s", "c"));
    assert_int_equal(changes, 0);
    OK(f, db_commit(f->db, &f->err));
}

static void a_view_stays_as_it_was_begun(void **state) {
    Fixture *f = *state;
    int64_t seen;

    OK(f, db_view_begin(f->db, &f->err));
    OK(f, db_query_int(f->db, &seen, &f->err, "SELECT COUNT(*) FROM thing", ""));
    assert_int_equal(seen, 0);
    OK(f, db_begin(f->db, &f->err));
    OK(f, db_exec(f->db, NULL, &f->err, "INSERT INTO thing (name) VALUES ('x')", ""));
    OK(f, db_query_int(f->db, &seen, &f->err, "SELECT COUNT(*) FROM thing AS mine", ""));
    assert_int_equal(seen, 1);
    OK(f, db_commit(f->db, &f->err));
    OK(f, db_view_begin(f->db, &f->err));
    db_view_end(f->db);
    OK(f, db_query_int(f->db, &seen, &f->err, "SELECT COUNT(*) FROM thing AS still", ""));
    assert_int_equal(seen, 0);
    db_view_end(f->db);
    OK(f, db_query_int(f->db, &seen, &f->err, "SELECT COUNT(*) FROM thing AS later", ""));
    assert_int_equal(seen, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(committed_rows_are_seen_and_rolled_back_ones_are_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(begin_is_not_recursive_and_commit_wants_a_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_outside_a_transaction_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(constraints_have_their_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_failed_statement_only_rollback_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(values_come_back_as_they_went_in, setup, teardown),
        cmocka_unit_test_setup_teardown(done_forgets_what_was_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_statement_is_in_use_once, setup, teardown),
        cmocka_unit_test_setup_teardown(any_number_of_statements_works, setup, teardown),
        cmocka_unit_test_setup_teardown(a_statement_held_over_the_commit_touches_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_parameter_or_statement_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(exec_counts_the_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_view_stays_as_it_was_begun, setup, teardown),
    };

    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
