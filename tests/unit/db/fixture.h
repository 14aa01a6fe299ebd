/* A database in a folder of its own with two tables, for every test. */
#pragma once

#include "db/db.h"

#include "base/file.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static const DbMigration first[] = {
    {1, "things",
     "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, note TEXT, data BLOB,"
     " size INTEGER CHECK (size >= 0)) STRICT;"
     "CREATE TABLE part (id INTEGER PRIMARY KEY, thing_id INTEGER NOT NULL REFERENCES thing (id)) STRICT"},
};

typedef struct Fixture {
    char dir[64];
    char url[128];
    Db *db;
    Err err;
} Fixture;

#define OK(f, call)                                                                                          \
    do {                                                                                                     \
        int _r = (call);                                                                                     \
        if (_r < 0)                                                                                          \
            fail_msg("%s", (f)->err.msg);                                                                    \
    } while (0)

static inline int open_db(Fixture *f) {
    DbOptions options = {.url = f->url, .busy_us = 5000000};

    return db_open(NULL, &options, &f->db, &f->err);
}

static inline int setup(void **state) {
    Fixture *f = mem_new(NULL, Fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/pelton-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->url, sizeof(f->url), "sqlite:%s/t.db", f->dir);
    OK(f, open_db(f));
    OK(f, db_migrate(f->db, first, 1, &f->err));
    *state = f;
    return 0;
}

static inline int teardown(void **state) {
    Fixture *f = *state;

    db_close(f->db);
    OK(f, file_remove_tree(f->dir, &f->err));
    talloc_free(f);
    return 0;
}

static const char sql_insert[] = "INSERT INTO thing (name, size) VALUES (?1, ?2) RETURNING id";
static const char sql_count[] = "SELECT count(*) FROM thing";

static inline int insert(Fixture *f, const char *name, int64_t size) {
    int64_t id;

    return db_query_int(f->db, &id, &f->err, sql_insert, "si", name, size);
}

static inline int64_t count(Fixture *f) {
    int64_t n = -1;

    OK(f, db_query_int(f->db, &n, &f->err, sql_count, ""));
    return n;
}

static inline void add(Fixture *f, const char *name) {
    OK(f, db_begin(f->db, &f->err));
    OK(f, insert(f, name, 1));
    OK(f, db_commit(f->db, &f->err));
}
