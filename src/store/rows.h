/* Inside the room: how rows become structs. */
#pragma once

#include "db/db.h"

/* Fills one struct (zeroed) from the statement's row; strings are copied into mem. */
typedef void (*RowFill)(DbStmt *st, const void *mem, void *row);

/* Parameters by a format as in db_exec: 'i' int64_t, 's' const char *. */

/* One row into a new struct of `size` in mem; ERR_NOT_FOUND ("no <what>") without one. */
_must_check_ int rows_one(Db *db, const void *mem, size_t size, RowFill fill, const char *what, void *ret,
                          Err *err, const char *sql, const char *format, ...);
/* All rows as one array in mem. */
_must_check_ int rows_all(Db *db, const void *mem, size_t size, RowFill fill, void *ret, size_t *ret_count,
                          Err *err, const char *sql, const char *format, ...);
/* An update that must hit exactly one row; else ERR_CONFLICT with the message. */
#define rows_update(db, err, message, sql, format, ...)                                                      \
    ({                                                                                                       \
        int64_t _changes = 0;                                                                                \
        int _r = db_exec((db), &_changes, (err), (sql), (format), __VA_ARGS__);                              \
        _r < 0 ? _r : _changes == 1 ? 0 : err_set((err), ERR_CONFLICT, "%s", (message));                     \
    })
/* A text column, copied; "" for null. */
const char *row_text(DbStmt *st, int column, const void *mem);

/* The job's attempt that has not ended does, with those of its steps that run. */
_must_check_ int attempt_end(Db *db, int64_t job, const char *state, const char *reason, const char *message,
                             int64_t exit_code, int64_t now, Err *err);
