/* What a database has to be able to do: a back end is one constant table, and one line in db.c's list.
 *
 * A connection and a statement are the back end's own structs; each is used by one thread at a time. A
 * function that fails fills in err with the codes that db.h promises. */
#pragma once

#include "db/db.h"

typedef struct DbOps {
    const char *scheme; /* of the url, with the colon: "sqlite:" */

    /* `place` is the url behind the scheme. The writing connection is opened first, and creates what is
     * missing; a reading one must refuse to write. */
    int (*open)(const char *place, const DbOptions *options, bool writer, void **ret_conn, Err *err);
    void (*close)(void *conn);
    int (*begin)(void *conn, Err *err); /* takes the write lock at once */
    int (*commit)(void *conn, Err *err);
    void (*rollback)(void *conn);
    /* Of the writer: a number that grows with each transaction that has changed something. 0: a commit that
     * has returned is durable, or nobody cares. By whoever has the writer. */
    uint64_t (*position)(void *conn);
    /* Of the writer: brings all that is committed to the disk. One thread at a time, while others write.
     * `again`: the last time has failed, and nobody writes now: what the disk was given then is not to be
     * trusted, it gets all anew. */
    int (*sync)(void *conn, bool again, Err *err);
    /* A reading connection's: one snapshot for all its statements until read_end. */
    int (*read_begin)(void *conn, Err *err);
    void (*read_end)(void *conn);
    /* Several statements in the open transaction, in the SQL of README.md. */
    int (*script)(void *conn, const char *sql, Err *err);

    int (*prepare)(void *conn, const char *sql, void **ret_stmt, Err *err);
    void (*finalize)(void *stmt);
    /* Ready to be bound again; nothing stays bound. */
    void (*reset)(void *stmt);
    /* 0, or a code of the back end's own when there is no such parameter. */
    int (*bind_int)(void *stmt, int index, int64_t value);
    int (*bind_text)(void *stmt, int index, const char *value);
    int (*bind_blob)(void *stmt, int index, const void *value, size_t len);
    int (*bind_null)(void *stmt, int index);
    int (*step)(void *conn, void *stmt, Err *err);
    int64_t (*changes)(void *conn); /* of the last statement that ended */
    int64_t (*get_int)(void *stmt, int column);
    const char *(*get_text)(void *stmt, int column);
    const void *(*get_blob)(void *stmt, int column, size_t *ret_len);
    bool (*is_null)(void *stmt, int column);
} DbOps;

extern const DbOps db_sqlite;
