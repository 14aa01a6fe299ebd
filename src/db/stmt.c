/* Connections, and the statements prepared on them. */
#include "db/conn.h"

#include <stdarg.h>

struct DbStmt {
    DbConn *conn; /* NULL: detached, its transaction is over */
    const char *sql;
    void *raw;
    bool busy, cached;
    int bad_bind; /* the first parameter that could not be bound, or 0 */
    DbStmt *next, **prev;
};

#define WRITER_SETS_LOG2 6 /* 256 statements */
#define READER_SETS_LOG2 5 /* 128 */

int db_conn_open(const DbOps *ops, const char *place, const DbOptions *options, bool writer, DbConn **ret,
                 Err *err) {
    unsigned log2 = writer ? WRITER_SETS_LOG2 : READER_SETS_LOG2;
    void *raw;
    DbConn *c;
    int r = ops->open(place, options, writer, &raw, err);

    if (r < 0)
        return r;
    c = mem_zalloc(NULL, sizeof(*c) + ((size_t)DB_WAYS << log2) * sizeof(c->cache[0]), "DbConn");
    c->ops = ops;
    c->raw = raw;
    c->writer = writer;
    c->shift = 64 - log2;
    *ret = c;
    return 0;
}

static void stmt_free(DbStmt *st) {
    st->conn->ops->finalize(st->raw);
    free(st);
}

void db_conn_close(DbConn *c) {
    size_t slots = (size_t)DB_WAYS << (64 - c->shift);

    for (size_t i = 0; i < slots; i++) {
        if (c->cache[i])
            stmt_free(c->cache[i]);
    }
    c->ops->close(c->raw);
    talloc_free(c);
}

/* ---- the cache ---- */

static DbStmt **cache_set(DbConn *c, const char *sql) {
    uint64_t hash = (uint64_t)(uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15);

    return &c->cache[(hash >> c->shift) * DB_WAYS];
}

/* Puts st into the way, the ones before it one further. */
static void cache_to_front(DbStmt **set, int way, DbStmt *st) {
    for (; way > 0; way--)
        set[way] = set[way - 1];
    set[0] = st;
}

static DbStmt *cache_find(DbStmt **set, const char *sql) {
    for (int way = 0; way < DB_WAYS && set[way]; way++) {
        DbStmt *st = set[way];

        if (st->sql == sql) {
            cache_to_front(set, way, st);
            return st;
        }
    }
    return NULL;
}

/* Where all ways are in use the statement stays out of the cache, and is finalized when it is given back. */
static void cache_add(DbStmt **set, DbStmt *st) {
    for (int way = DB_WAYS - 1; way >= 0; way--) {
        if (set[way] && set[way]->busy)
            continue;
        while (way > 0 && !set[way - 1])
            way--;
        if (set[way])
            stmt_free(set[way]);
        cache_to_front(set, way, st);
        st->cached = true;
        return;
    }
}

static DbStmt *stmt_new(DbConn *c, const char *sql, void *raw) {
    DbStmt *st = calloc(1, sizeof(*st));

    if (!st)
        abort();
    st->conn = c;
    st->sql = sql;
    st->raw = raw;
    return st;
}

static void stmt_use(DbStmt *st) {
    DbConn *c = st->conn;

    st->busy = true;
    st->bad_bind = 0;
    st->next = c->in_use;
    st->prev = &c->in_use;
    if (st->next)
        st->next->prev = &st->next;
    c->in_use = st;
}

static void stmt_unuse(DbStmt *st) {
    st->busy = false;
    *st->prev = st->next;
    if (st->next)
        st->next->prev = st->prev;
}

/* After the end of a transaction another thread may be on the connection, so a statement that is still held
 * must not touch it: what was prepared stays in the cache under a new owner. */
void db_conn_detach(DbConn *c) {
    DbStmt *st;

    while ((st = c->in_use)) {
        stmt_unuse(st);
        if (st->cached) {
            DbStmt **set = cache_set(c, st->sql);
            DbStmt *heir = stmt_new(c, st->sql, st->raw);

            while (*set != st)
                set++;
            heir->cached = true;
            *set = heir;
            c->ops->reset(heir->raw);
        } else {
            c->ops->finalize(st->raw);
        }
        st->conn = NULL;
    }
}

/* ---- statements ---- */

/* PostgreSQL refuses everything behind a failed statement of a transaction; so do we, on every back end. */
static int transaction_failed(DbConn *c, Err *err) {
    return err_set(err, c->failed, "an earlier statement of the transaction has failed: roll it back");
}

static int fail(DbConn *c, int r) {
    if (c->writer && !c->failed)
        c->failed = (ErrCode)-r;
    return r;
}

int db_prepare(Db *db, const char *sql, DbStmt **ret, Err *err) {
    DbStmt **set, *st;
    void *raw;
    DbConn *c;
    int r = db_conn_of_thread(db, &c, err);

    if (r < 0)
        return r;
    if (c->failed)
        return transaction_failed(c, err);
    set = cache_set(c, sql);
    st = cache_find(set, sql);
    if (!st) {
        r = c->ops->prepare(c->raw, sql, &raw, err);
        if (r < 0)
            return fail(c, r);
        st = stmt_new(c, sql, raw);
        cache_add(set, st);
    } else if (st->busy) {
        return err_set(err, ERR_INTERNAL, "statement is in use already: %.80s", sql);
    }
    stmt_use(st);
    *ret = st;
    return 0;
}

void db_done(DbStmt *st) {
    if (!st->conn) {
        free(st);
        return;
    }
    stmt_unuse(st);
    if (st->cached)
        st->conn->ops->reset(st->raw);
    else
        stmt_free(st);
}

static void note_bind(DbStmt *st, int index, int r) {
    if (r != 0 && !st->bad_bind)
        st->bad_bind = index;
}

void db_bind_int(DbStmt *st, int index, int64_t value) {
    if (st->conn)
        note_bind(st, index, st->conn->ops->bind_int(st->raw, index, value));
}

void db_bind_text(DbStmt *st, int index, const char *value) {
    if (!value)
        db_bind_null(st, index);
    else if (st->conn)
        note_bind(st, index, st->conn->ops->bind_text(st->raw, index, value));
}

void db_bind_blob(DbStmt *st, int index, const void *value, size_t len) {
    if (!value)
        db_bind_null(st, index);
    else if (st->conn)
        note_bind(st, index, st->conn->ops->bind_blob(st->raw, index, value, len));
}

void db_bind_null(DbStmt *st, int index) {
    if (st->conn)
        note_bind(st, index, st->conn->ops->bind_null(st->raw, index));
}

int db_step(DbStmt *st, Err *err) {
    DbConn *c = st->conn;
    int r;

    if (!c)
        return err_set(err, ERR_INTERNAL, "step: the transaction is over: %.80s", st->sql);
    if (c->failed)
        return transaction_failed(c, err);
    if (st->bad_bind)
        return fail(c, err_set(err, ERR_INTERNAL, "no parameter ?%d in: %.200s", st->bad_bind, st->sql));
    r = c->ops->step(c->raw, st->raw, err);
    return r < 0 ? fail(c, r) : r;
}

int64_t db_int(DbStmt *st, int column) {
    return st->conn ? st->conn->ops->get_int(st->raw, column) : 0;
}

const char *db_text(DbStmt *st, int column) {
    return st->conn ? st->conn->ops->get_text(st->raw, column) : NULL;
}

const void *db_blob(DbStmt *st, int column, size_t *ret_len) {
    *ret_len = 0;
    return st->conn ? st->conn->ops->get_blob(st->raw, column, ret_len) : NULL;
}

bool db_is_null(DbStmt *st, int column) {
    return !st->conn || st->conn->ops->is_null(st->raw, column);
}

/* ---- in one call ---- */

static int prepare_bound(Db *db, DbStmt **ret, Err *err, const char *sql, const char *format, va_list ap) {
    DbStmt *st;
    int r = db_prepare(db, sql, &st, err);

    if (r < 0)
        return r;
    for (int i = 0; format[i]; i++) {
        if (format[i] == 'i') {
            db_bind_int(st, i + 1, va_arg(ap, int64_t));
        } else if (format[i] == 's') {
            db_bind_text(st, i + 1, va_arg(ap, const char *));
        } else if (format[i] == 'n') {
            db_bind_null(st, i + 1);
        } else {
            db_done(st);
            return err_set(err, ERR_INTERNAL, "bind format \"%s\": expected i, s or n", format);
        }
    }
    *ret = st;
    return 0;
}

int db_exec(Db *db, int64_t *ret_changes, Err *err, const char *sql, const char *format, ...) {
    _cleanup_stmt_ DbStmt *st = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = prepare_bound(db, &st, err, sql, format, ap);
    va_end(ap);
    if (r < 0)
        return r;
    do {
        r = db_step(st, err);
    } while (r > 0);
    if (r == 0 && ret_changes)
        *ret_changes = st->conn->ops->changes(st->conn->raw);
    return r;
}

int db_query_int(Db *db, int64_t *ret, Err *err, const char *sql, const char *format, ...) {
    _cleanup_stmt_ DbStmt *st = NULL;
    int64_t value = 0;
    bool found = false;
    va_list ap;
    int r;

    va_start(ap, format);
    r = prepare_bound(db, &st, err, sql, format, ap);
    va_end(ap);
    if (r < 0)
        return r;
    while ((r = db_step(st, err)) > 0) {
        if (!found)
            value = db_int(st, 0);
        found = true;
    }
    if (r < 0)
        return r;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "no such row");
    *ret = value;
    return 0;
}
