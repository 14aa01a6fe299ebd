#include "auth/auth.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Fixture {
    char dir[64];
    TALLOC_CTX *mem;
    Db *db;
} Fixture;

static Err err;

static int setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);
    DbOptions options = {.busy_us = US_PER_S};

    f->mem = talloc_new(f);
    strncpy(f->dir, "/tmp/pelton-auth-XXXXXX", sizeof(f->dir) - 1);
    assert_non_null(mkdtemp(f->dir));
    options.url = mem_printf(f->mem, "sqlite:%s/db", f->dir);
    assert_true(store_open(f->mem, &options, &f->db, &err) >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    db_close(f->db);
    assert_true(file_remove_tree(f->dir, &err) >= 0);
    talloc_free(f);
    return 0;
}

static int64_t make(Fixture *f, const char *role, int64_t ttl_us, char text[AUTH_TOKEN_SIZE]) {
    TokenRequest request = {.name = "t", .role = role, .ttl_us = ttl_us};
    int64_t id;

    assert_true(auth_token_create(f->db, &request, text, &id, &err) >= 0);
    return id;
}

static int verify(Fixture *f, const char *text, Principal **ret) {
    return auth_verify(f->db, text, f->mem, ret, &err);
}

static void a_token_is_who_it_was_made_for(void **state) {
    char text[AUTH_TOKEN_SIZE];
    Principal *p;

    make(*state, "user", 0, text);
    assert_true(str_after(text, "plt_") != NULL);
    assert_true(verify(*state, text, &p) >= 0);
    assert_string_equal(p->name, "t");
    assert_int_equal(p->roles, ROLE_READ | ROLE_WRITE);
}

static void a_token_off_by_one_character_is_nobody(void **state) {
    char text[AUTH_TOKEN_SIZE];
    Principal *p;

    make(*state, "admin", 0, text);
    text[20] = text[20] == 'a' ? 'b' : 'a';
    assert_int_equal(verify(*state, text, &p), -ERR_UNAUTHORIZED);
    assert_int_equal(verify(*state, "", &p), -ERR_UNAUTHORIZED);
}

static void a_token_that_has_expired_is_nobody(void **state) {
    Fixture *f = *state;
    char text[AUTH_TOKEN_SIZE];
    Principal *p;
    int64_t id = make(f, "admin", 3600 * US_PER_S, text);

    assert_true(verify(f, text, &p) >= 0);
    assert_true(db_begin(f->db, &err) >= 0);
    assert_true(db_exec(f->db, NULL, &err, "UPDATE token SET expires_at = 1 WHERE id = ?1", "i", id) >= 0);
    assert_true(db_commit(f->db, &err) >= 0);
    assert_int_equal(verify(f, text, &p), -ERR_UNAUTHORIZED);
}

static void a_revoked_token_is_nobody_at_once(void **state) {
    Fixture *f = *state;
    char text[AUTH_TOKEN_SIZE];
    Principal *p;
    int64_t id = make(f, "read", 0, text);

    assert_true(db_begin(f->db, &err) >= 0);
    assert_true(store_token_revoke(f->db, id, clock_now(), &err) >= 0);
    assert_true(db_commit(f->db, &err) >= 0);
    assert_int_equal(verify(f, text, &p), -ERR_UNAUTHORIZED);
}

static void an_admin_can_be_revoked_while_another_holds(void **state) {
    Fixture *f = *state;
    char text[AUTH_TOKEN_SIZE], session[AUTH_TOKEN_SIZE];
    int64_t first = make(f, "admin", 0, text), second = make(f, "admin", 3600 * US_PER_S, text);
    Principal *p;

    make(f, "user", 0, text);
    assert_true(auth_revoke(f->db, first, &err) >= 0);
    assert_int_equal(auth_revoke(f->db, second, &err), -ERR_CONFLICT);
    assert_int_equal(auth_revoke(f->db, first, &err), -ERR_NOT_FOUND);
    first = make(f, "admin", 0, text);
    assert_true(auth_revoke(f->db, second, &err) >= 0);
    assert_true(verify(f, text, &p) >= 0);
    assert_true(auth_session_create(f->db, p, US_PER_S * 60, session, &err) >= 0);
    assert_int_equal(auth_revoke(f->db, first, &err), -ERR_CONFLICT); /* a session is no token */
}

static void the_text_is_nowhere_in_the_database(void **state) {
    Fixture *f = *state;
    _cleanup_buf_ Buf content = BUF_INIT;
    char text[AUTH_TOKEN_SIZE];

    make(f, "user", 0, text);
    assert_true(file_read(mem_printf(f->mem, "%s/db-wal", f->dir), 1 << 26, &content, &err) >= 0);
    assert_true(file_read(mem_printf(f->mem, "%s/db", f->dir), 1 << 26, &content, &err) >= 0);
    assert_non_null(memmem(content.data, content.len, "trigger_event", 13));
    assert_null(memmem(content.data, content.len, text, strlen(text)));
}

static void a_token_file_is_kept_while_it_holds(void **state) {
    Fixture *f = *state;
    const char *path = mem_printf(f->mem, "%s/admin.token", f->dir);
    TokenRequest request = {.name = "admin", .role = "admin"};
    char first[AUTH_TOKEN_SIZE], second[AUTH_TOKEN_SIZE];
    struct stat st;
    int64_t id, again;
    bool fresh;

    assert_true(auth_token_file(f->db, path, &request, first, &id, &fresh, &err) >= 0);
    assert_true(fresh);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(auth_token_file(f->db, path, &request, second, &again, &fresh, &err) >= 0);
    assert_false(fresh);
    assert_string_equal(first, second);
    assert_int_equal(id, again);
    assert_true(file_write_atomic(path, "plt_wrong\n", 10, 0600, &err) >= 0);
    assert_true(auth_token_file(f->db, path, &request, second, &again, &fresh, &err) >= 0);
    assert_true(fresh);
    assert_int_not_equal(id, again);
}

static void bad_names_and_roles_are_refused(void **state) {
    Fixture *f = *state;
    TokenRequest request = {.name = "", .role = "admin"};
    char text[AUTH_TOKEN_SIZE];
    int64_t id;

    assert_int_equal(auth_token_create(f->db, &request, text, &id, &err), -ERR_INVALID);
    request.name = "\xff\xfe";
    assert_int_equal(auth_token_create(f->db, &request, text, &id, &err), -ERR_INVALID);
    request.name = "x";
    request.role = "root";
    assert_int_equal(auth_token_create(f->db, &request, text, &id, &err), -ERR_INVALID);
    assert_non_null(strstr(err.msg, "root"));
}

static int64_t login(Fixture *f, const char *text, int64_t ttl_us, char session[AUTH_TOKEN_SIZE]) {
    Principal *p;

    assert_true(verify(f, text, &p) >= 0);
    assert_true(auth_session_create(f->db, p, ttl_us, session, &err) >= 0);
    return p->token_id;
}

static void a_session_ends_with_the_token_that_opened_it(void **state) {
    char text[AUTH_TOKEN_SIZE], other[AUTH_TOKEN_SIZE], session[AUTH_TOKEN_SIZE], stays[AUTH_TOKEN_SIZE];
    Fixture *f = *state;
    Principal *p;
    int64_t id;

    make(f, "user", 0, text);
    make(f, "user", 0, other);
    id = login(f, text, US_PER_S * 3600, session);
    login(f, other, US_PER_S * 3600, stays);
    assert_true(verify(f, session, &p) >= 0);
    assert_true(p->session);
    assert_true(db_begin(f->db, &err) >= 0);
    assert_true(store_token_revoke(f->db, id, clock_now(), &err) >= 0);
    assert_true(db_commit(f->db, &err) >= 0);
    assert_int_equal(verify(f, session, &p), -ERR_UNAUTHORIZED);
    assert_true(verify(f, stays, &p) >= 0);
}

static void a_session_does_not_outlive_its_token(void **state) {
    char text[AUTH_TOKEN_SIZE], session[AUTH_TOKEN_SIZE];
    Fixture *f = *state;
    Principal *token, *p;

    make(f, "user", US_PER_S * 60, text);
    assert_true(verify(f, text, &token) >= 0);
    login(f, text, US_PER_S * 3600, session);
    assert_true(verify(f, session, &p) >= 0);
    assert_int_equal(p->expires_at, token->expires_at);
}

static void a_session_opens_no_other(void **state) {
    char text[AUTH_TOKEN_SIZE], session[AUTH_TOKEN_SIZE], second[AUTH_TOKEN_SIZE];
    Fixture *f = *state;
    Principal *p;

    make(f, "user", 0, text);
    login(f, text, US_PER_S * 60, session);
    assert_true(verify(f, session, &p) >= 0);
    assert_int_equal(auth_session_create(f->db, p, US_PER_S * 60, second, &err), -ERR_FORBIDDEN);
}

static void sessions_that_have_expired_do_not_pile_up(void **state) {
    char text[AUTH_TOKEN_SIZE], session[AUTH_TOKEN_SIZE];
    Fixture *f = *state;
    int64_t rows;

    make(f, "user", 0, text);
    for (int i = 0; i < 5; i++)
        login(f, text, -US_PER_S, session);
    assert_true(db_query_int(f->db, &rows, &err, "SELECT COUNT(*) FROM token", "") >= 0);
    assert_int_equal(rows, 2);
}

static void a_time_too_long_is_refused(void **state) {
    TokenRequest request = {.name = "t", .role = "user", .ttl_us = INT64_MAX};
    char text[AUTH_TOKEN_SIZE];
    Fixture *f = *state;
    int64_t id;

    assert_int_equal(auth_token_create(f->db, &request, text, &id, &err), -ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_who_it_was_made_for),
        TEST(a_token_off_by_one_character_is_nobody),
        TEST(a_token_that_has_expired_is_nobody),
        TEST(a_revoked_token_is_nobody_at_once),
        TEST(an_admin_can_be_revoked_while_another_holds),
        TEST(the_text_is_nowhere_in_the_database),
        TEST(a_token_file_is_kept_while_it_holds),
        TEST(bad_names_and_roles_are_refused),
        TEST(a_session_ends_with_the_token_that_opened_it),
        TEST(a_session_does_not_outlive_its_token),
        TEST(a_session_opens_no_other),
        TEST(sessions_that_have_expired_do_not_pile_up),
        TEST(a_time_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
