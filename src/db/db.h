/* One small interface over SQL databases. Today: SQLite (WAL, STRICT tables); PostgreSQL fits behind DbOps.
 *
 * Statements are constant strings, prepared once a connection and found again by their address. SQL is
 * written so that SQLite and PostgreSQL both take it; what differs is listed in src/db/README.md and nowhere
 * else. Parameters are "?1", "?2" … One writer: db_begin takes the writing connection for the calling thread
 * until db_commit or db_rollback; readers have a connection a thread and never wait for the writer. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Db Db;
typedef struct DbStmt DbStmt;

typedef struct DbMigration {
    int version; /* 1, 2, 3 … without a hole */
    const char *name;
    const char *sql; /* several statements */
} DbMigration;

/* When a commit survives that the machine loses its power. A process's death no commit is lost by. */
typedef enum DbSync {
    DB_SYNC_ANSWERS, /* by the time that db_durable or db_when_durable says so */
    DB_SYNC_COMMITS, /* before db_commit returns (PRAGMA synchronous=FULL) */
    DB_SYNC_NEVER,   /* some time later; nobody waits for it */
} DbSync;

typedef struct DbOptions {
    const char *url; /* "sqlite:/path/pelton.db" */
    DbSync sync;
    int64_t busy_us;
} DbOptions;

_must_check_ int db_open(const void *mem, const DbOptions *options, Db **ret, Err *err);
/* By the last thread that uses it: the others have ended, or will not touch it again nor end meanwhile. */
void db_close(Db *db);
/* Applies what is missing, each in one transaction. A database newer than the table is refused: ERR_CONFLICT,
 * saying both versions and what to do. */
_must_check_ int db_migrate(Db *db, const DbMigration *migrations, size_t count, Err *err);

/* Writing. Not recursive. Between begin and commit every db_prepare of this thread is on the writing
 * connection; outside, writing is refused. After a failed statement only db_rollback is left (PostgreSQL
 * wants it so): where a row may exist already, say ON CONFLICT. A commit that fails has rolled back.
 * Statements still held at the end of a transaction may only be given to db_done. */
_must_check_ int db_begin(Db *db, Err *err);
_must_check_ int db_commit(Db *db, Err *err);
/* The same for what promises nobody anything, as it is said again soon (a lease renewed, a runner seen):
 * db_promised does not count it. */
_must_check_ int db_commit_casually(Db *db, Err *err);
/* Does nothing when this thread has no open transaction: so it may stand in every exit path. */
void db_rollback(Db *db);
/* One view of the database for all that this thread reads until the end: consistent, and much cheaper than a
 * snapshot a statement. Views nest. What is written meanwhile is not seen; a transaction of this thread's own
 * (db_begin) sees the newest as ever. Never keep one while waiting for anything. */
_must_check_ int db_view_begin(Db *db, Err *err);
void db_view_end(Db *db);
/* A view until the scope is left: `_cleanup_view_ Db *view = NULL; r = db_view(db, &view, err);` */
static inline void db_view_p(Db **view) {
    if (*view)
        db_view_end(*view);
}
#define _cleanup_view_ _cleanup_(db_view_p)
_must_check_ static inline int db_view(Db *db, Db **ret_view, Err *err) {
    int r = db_view_begin(db, err);

    if (r >= 0)
        *ret_view = db;
    return r;
}
/* Whether this thread has an open transaction. */
bool db_in_transaction(Db *db);

/* ---- what survives a power loss ----
 * A commit is seen by all at once, and is on the disk later. Who answers "it is done" waits for that in
 * between: for the position that db_promised gives, which covers its own commits and those of others that its
 * answer may rest on. However many wait, one write to the disk serves them all. Any thread, but not within a
 * transaction. */
/* What commits speak of that is not in the database: called before they go to the disk, and brings it there
 * first. Once, before there is anything to wait for. */
void db_before_durable(Db *db, int (*first)(void *arg, Err *err), void *arg);
/* The position of the last commit so far; to be asked after the commits that are to be covered. */
uint64_t db_promised(Db *db);
/* Whether all up to the position survives. Costs nothing. */
bool db_is_durable(Db *db, uint64_t position);
/* Waits until it does: a fraction of a millisecond to some, the disk's own speed. Who can spare patience_us
 * may be served by what another causes meanwhile. ERR_IO, ERR_NO_SPACE: it may not survive, though it is
 * committed. */
_must_check_ int db_durable(Db *db, uint64_t position, int64_t patience_us, Err *err);
/* The same without waiting: `done` is called once, on a thread of the room's own, with err NULL when it does.
 * It must not block. */
void db_when_durable(Db *db, uint64_t position, int64_t patience_us, void (*done)(void *arg, const Err *err),
                     void *arg);

/* A statement ready to bind, from this thread's connection. `sql` must be a constant (kept by address). Every
 * statement is given back by db_done, which also resets it; the same sql may not be in use twice at once in a
 * thread. */
_must_check_ int db_prepare(Db *db, const char *sql, DbStmt **ret, Err *err);
void db_done(DbStmt *st);
void db_bind_int(DbStmt *st, int index, int64_t value);
void db_bind_text(DbStmt *st, int index, const char *value); /* NULL binds null; borrowed until db_done */
void db_bind_blob(DbStmt *st, int index, const void *value, size_t len); /* borrowed until db_done */
void db_bind_null(DbStmt *st, int index);
/* 1: a row; 0: done; negative: error (ERR_EXISTS for a unique constraint, ERR_CONFLICT for another
 * constraint, ERR_NO_SPACE when the disk is full, ERR_UNAVAILABLE when busy too long). */
_must_check_ int db_step(DbStmt *st, Err *err);
int64_t db_int(DbStmt *st, int column);      /* from 0; null is 0 */
const char *db_text(DbStmt *st, int column); /* or NULL; valid until the next step */
const void *db_blob(DbStmt *st, int column, size_t *ret_len);
bool db_is_null(DbStmt *st, int column);
/* prepare, bind ints/texts by a format, step to the end, done: "isn" = int64_t, const char *, null.
 * *ret_changes (may be NULL) gets the number of changed rows. */
_must_check_ int db_exec(Db *db, int64_t *ret_changes, Err *err, const char *sql, const char *format, ...);
/* Runs an "INSERT … RETURNING id" or any statement that gives one integer; ERR_NOT_FOUND without a row. */
_must_check_ int db_query_int(Db *db, int64_t *ret, Err *err, const char *sql, const char *format, ...);

#define _cleanup_stmt_ _cleanup_(db_done_p)
static inline void db_done_p(DbStmt **st) {
    if (*st)
        db_done(*st);
}
