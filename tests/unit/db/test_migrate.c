#include "fixture.h"

static const DbMigration both[] = {
    {1, "things", "SELECT 1"},
    {2, "colours",
     "CREATE TABLE colour (id INTEGER PRIMARY KEY) STRICT; INSERT INTO colour (id) VALUES (1), (2)"},
};
static const DbMigration broken[] = {
    {1, "things", "SELECT 1"},
    {2, "colours", "CREATE TABLE colour (id INTEGER PRIMARY KEY) STRICT; INSERT INTO nothing VALUES (1)"},
};
static const DbMigration renamed[] = {{1, "other", "SELECT 1"}};
static const DbMigration hole[] = {{1, "things", "SELECT 1"}, {3, "colours", "SELECT 1"}};

static const char sql_colours[] = "SELECT count(*) FROM colour";
static const char sql_version[] = "SELECT max(version) FROM schema_migration";

static void what_is_missing_is_applied_once(void **state) {
    Fixture *f = *state;
    int64_t n;

    OK(f, db_migrate(f->db, both, 2, &f->err));
    OK(f, db_migrate(f->db, both, 2, &f->err));
    OK(f, db_query_int(f->db, &n, &f->err, sql_colours, ""));
    assert_int_equal(n, 2);
    OK(f,
       db_query_int(f->db, &n, &f->err, "SELECT applied_at > 0 FROM schema_migration WHERE version = 2", ""));
    assert_int_equal(n, 1);
}

static void a_newer_database_is_refused_with_both_versions(void **state) {
    Fixture *f = *state;

    OK(f, db_migrate(f->db, both, 2, &f->err));
    assert_int_equal(db_migrate(f->db, both, 1, &f->err), -ERR_CONFLICT);
    assert_non_null(strstr(f->err.msg, "version 2"));
    assert_non_null(strstr(f->err.msg, "knows 1"));
    assert_false(db_in_transaction(f->db));
}

static void a_changed_history_is_refused(void **state) {
    Fixture *f = *state;

    assert_int_equal(db_migrate(f->db, renamed, 1, &f->err), -ERR_CONFLICT);
    assert_non_null(strstr(f->err.msg, "\"things\""));
    assert_non_null(strstr(f->err.msg, "\"other\""));
}

static void a_failing_migration_leaves_nothing(void **state) {
    Fixture *f = *state;
    DbStmt *st;
    int64_t n;

    assert_true(db_migrate(f->db, broken, 2, &f->err) < 0);
    assert_non_null(strstr(f->err.msg, "migration 2 \"colours\""));
    assert_int_equal(db_prepare(f->db, sql_colours, &st, &f->err), -ERR_INTERNAL);
    OK(f, db_query_int(f->db, &n, &f->err, sql_version, ""));
    assert_int_equal(n, 1);
    OK(f, db_migrate(f->db, both, 2, &f->err));
}

static void a_table_with_a_hole_is_our_own_fault(void **state) {
    Fixture *f = *state;

    assert_int_equal(db_migrate(f->db, hole, 2, &f->err), -ERR_INTERNAL);
}

static void statements_prepared_before_a_migration_still_work(void **state) {
    Fixture *f = *state;

    assert_int_equal(count(f), 0);
    OK(f, db_migrate(f->db, both, 2, &f->err));
    assert_int_equal(count(f), 0);
    add(f, "a");
    assert_int_equal(count(f), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_missing_is_applied_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_database_is_refused_with_both_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_history_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_migration_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_with_a_hole_is_our_own_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_prepared_before_a_migration_still_work, setup, teardown),
    };

    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
