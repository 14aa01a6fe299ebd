#include "store/rows.h"

#include <stdarg.h>
#include <string.h>

const char *row_text(DbStmt *st, int column, const void *mem) {
    const char *s = db_text(st, column);

    return mem_strdup(mem, s ? s : "");
}

static int prepare(Db *db, DbStmt **ret, Err *err, const char *sql, const char *format, va_list ap) {
    DbStmt *st;
    int r = db_prepare(db, sql, &st, err);

    if (r < 0)
        return r;
    for (int i = 0; format[i]; i++) {
        if (format[i] == 'i')
            db_bind_int(st, i + 1, va_arg(ap, int64_t));
        else
            db_bind_text(st, i + 1, va_arg(ap, const char *));
    }
    *ret = st;
    return 0;
}

int rows_one(Db *db, const void *mem, size_t size, RowFill fill, const char *what, void *ret, Err *err,
             const char *sql, const char *format, ...) {
    _cleanup_stmt_ DbStmt *st = NULL;
    va_list ap;
    void *row;
    int r;

    va_start(ap, format);
    r = prepare(db, &st, err, sql, format, ap);
    va_end(ap);
    if (r < 0)
        return r;
    r = db_step(st, err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, ERR_NOT_FOUND, "no such %s", what);
    row = mem_zalloc(mem, size, what);
    fill(st, row, row);
    *(void **)ret = row;
    return 0;
}

int rows_all(Db *db, const void *mem, size_t size, RowFill fill, void *ret, size_t *ret_count, Err *err,
             const char *sql, const char *format, ...) {
    _cleanup_stmt_ DbStmt *st = NULL;
    size_t count = 0;
    char *array = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = prepare(db, &st, err, sql, format, ap);
    va_end(ap);
    if (r < 0)
        return r;
    while ((r = db_step(st, err)) > 0) {
        array = mem_grow(mem, array, size, count, "rows");
        memset(array + count * size, 0, size);
        fill(st, mem, array + count * size);
        count++;
    }
    if (r < 0)
        return r;
    *(void **)ret = array;
    *ret_count = count;
    return 0;
}
