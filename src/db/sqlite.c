/* SQLite: WAL, one writing connection, reading connections that never wait for it. */
#include "base/clock.h"
#include "base/str.h"
#include "db/backend.h"
#include "db/sqlite_wal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>

#define APPLICATION_ID 0x50656c74 /* "Pelt": see PRAGMA application_id */

typedef struct Sqlite {
    sqlite3 *db;
    sqlite3_stmt *begin, *read_begin, *commit, *rollback;
    Checkpointer *checkpointer; /* of the writer; NULL for a reader */
    bool counts;                /* commits become durable behind their back, and somebody waits for it */
} Sqlite;

/* ---- errors ---- */

static ErrCode code_of_io(int rc, int sys) {
    if (sys == ENOSPC || sys == EDQUOT)
        return ERR_NO_SPACE;
    /* growing the shared index of the WAL: SQLite keeps no errno of it */
    return rc == SQLITE_IOERR_SHMSIZE ? ERR_NO_SPACE : ERR_IO;
}

static ErrCode code_of_constraint(int rc) {
    return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
                   rc == SQLITE_CONSTRAINT_ROWID
               ? ERR_EXISTS
               : ERR_CONFLICT;
}

static ErrCode code_of(int rc, int sys) {
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return code_of_constraint(rc);
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return code_of_io(rc, sys);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_UNAVAILABLE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_IO;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    default:
        return ERR_INTERNAL;
    }
}

/* What SQLite says of its last error, with the operating system's reason where there is one. */
static int fail_at(sqlite3 *db, const char *where, const char *what, Err *err) {
    int rc = sqlite3_extended_errcode(db);
    int kind = rc & 0xff;
    int sys =
        kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN || kind == SQLITE_FULL ? sqlite3_system_errno(db) : 0;
    ErrCode code = code_of(rc, sys);
    const char *msg = sqlite3_errmsg(db);

    if (kind == SQLITE_READONLY)
        msg = "writing without a transaction, or into a database that cannot be written";
    else if (code == ERR_NO_SPACE)
        msg = "the disk is full";
    if (sys && code != ERR_NO_SPACE)
        return err_set_(err, where, code, rc, "%s: %s (%s)", what, msg, strerror(sys));
    return err_set_(err, where, code, rc, "%s: %s", what, msg);
}

#define fail(db, what, err) fail_at((db), ERR_HERE, (what), (err))

/* ---- opening ---- */

static void sqlite_close(void *conn) {
    Sqlite *c = conn;

    checkpointer_stop(c->checkpointer);
    sqlite3_finalize(c->begin);
    sqlite3_finalize(c->read_begin);
    sqlite3_finalize(c->commit);
    sqlite3_finalize(c->rollback);
    sqlite3_close_v2(c->db);
    free(c);
}

static int run(Sqlite *c, const char *sql, Err *err) {
    if (sqlite3_exec(c->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(c->db, sql, err);
    return 0;
}

/* The one value that a statement gives, as text of at most size - 1 bytes. */
static int query(Sqlite *c, const char *sql, char *out, size_t size, Err *err) {
    sqlite3_stmt *st = NULL;
    int r = 0;

    out[0] = '\0';
    if (sqlite3_prepare_v2(c->db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
        r = fail(c->db, sql, err);
    else
        snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    return r;
}

/* Ours, or new and empty; anything else is left as it is. */
static int check_owner(Sqlite *c, Err *err) {
    char id[32], tables[32];
    int r = query(c, "PRAGMA application_id", id, sizeof(id), err);

    if (r == 0)
        r = query(c, "SELECT count(*) FROM sqlite_schema", tables, sizeof(tables), err);
    if (r < 0)
        return (err->sys & 0xff) == SQLITE_NOTADB ? err_set(err, ERR_INVALID, "it is not an SQLite database")
                                                  : r;
    if (str_eq(id, "0") && str_eq(tables, "0"))
        return run(c, "PRAGMA application_id = " ERR_STR(APPLICATION_ID), err);
    if (strtoll(id, NULL, 10) != APPLICATION_ID)
        return err_set(err, ERR_INVALID, "it is the database of another program (application_id %s)", id);
    return 0;
}

static int set_up_writer(Sqlite *c, const DbOptions *options, Err *err) {
    char mode[16];
    int r = check_owner(c, err);

    if (r == 0)
        r = query(c, "PRAGMA journal_mode = WAL", mode, sizeof(mode), err);
    if (r < 0)
        return r;
    if (!str_eq(mode, "wal"))
        return err_set(err, ERR_IO, "its file system cannot keep a write-ahead log (journal mode %s)", mode);
    r = run(c, options->sync == DB_SYNC_COMMITS ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
            err);
    if (r < 0)
        return r;
    return run(c,
               "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024;"
               "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 16777216",
               err);
}

/* A thread's reading connection has little of its own: a small lookaside, 256 KiB of pages at most. */
static int set_up_reader(Sqlite *c, Err *err) {
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 256, 32);
    return run(c, "PRAGMA cache_size = -256; PRAGMA temp_store = MEMORY", err);
}

static int set_up(Sqlite *c, const DbOptions *options, bool writer, Err *err) {
    sqlite3_busy_timeout(c->db, (int)MIN(options->busy_us / US_PER_MS, INT_MAX));
    /* as in PostgreSQL, "x" is a name and never a text */
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if (writer && sqlite3_db_readonly(c->db, "main") == 1)
        return err_set(err, ERR_IO, "it cannot be written: check its owner and permissions");
    return writer ? set_up_writer(c, options, err) : set_up_reader(c, err);
}

/* Each connection is used by one thread at a time, and nobody asks SQLite how much memory it uses. */
static void configure(void) {
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* So that the file, and SQLite's files beside it, are nobody else's to read. Only a new file is opened here:
 * closing a descriptor of one that is in use would drop its locks (fcntl(2)). */
static int create(const char *path, Err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno != EEXIST)
        return err_errno(err, "create database %s", path);
    if (fd >= 0)
        close(fd);
    return 0;
}

static int sqlite_open(const char *path, const DbOptions *options, bool writer, void **ret, Err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int flags =
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    Sqlite *c;
    int r;

    pthread_once(&once, configure);
    if (path[0] == '\0' || path[0] == ':')
        return err_set(err, ERR_INVALID, "open database: \"%s\" is not the path of a file", path);
    r = writer ? create(path, err) : 0;
    if (r < 0)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    if (sqlite3_open_v2(path, &c->db, flags, NULL) != SQLITE_OK)
        r = fail(c->db, "open", err);
    else
        r = set_up(c, options, writer, err);
    if (r == 0 && writer) {
        c->checkpointer = checkpointer_start(c->db, path);
        c->counts = options->sync == DB_SYNC_ANSWERS;
    }
    if (r < 0) {
        sqlite_close(c);
        return err_wrap(err, "open database %s", path);
    }
    *ret = c;
    return 0;
}

/* ---- transactions ---- */

static int run_prepared(Sqlite *c, sqlite3_stmt **st, const char *sql, Err *err) {
    int r = 0;

    if (!*st && sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return fail(c->db, sql, err);
    if (sqlite3_step(*st) != SQLITE_DONE)
        r = fail(c->db, sql, err);
    sqlite3_reset(*st);
    return r;
}

static int sqlite_begin(void *conn, Err *err) {
    Sqlite *c = conn;

    return run_prepared(c, &c->begin, "BEGIN IMMEDIATE", err);
}

static int sqlite_commit(void *conn, Err *err) {
    Sqlite *c = conn;

    return run_prepared(c, &c->commit, "COMMIT", err);
}

/* Some errors (a full disk) have rolled back already. Where ROLLBACK itself fails SQLite has done it all the
 * same. */
static void sqlite_rollback(void *conn) {
    Sqlite *c = conn;

    if (!sqlite3_get_autocommit(c->db))
        run_prepared(c, &c->rollback, "ROLLBACK", NULL);
}

static uint64_t sqlite_position(void *conn) {
    Sqlite *c = conn;

    /* what an earlier process has left may still be on its way, and counts as the first */
    return c->counts ? checkpointer_commits(c->checkpointer) + 1 : 0;
}

static int sqlite_sync(void *conn, bool again, Err *err) {
    Sqlite *c = conn;

    return checkpointer_sync(c->checkpointer, again, err);
}

static int sqlite_read_begin(void *conn, Err *err) {
    Sqlite *c = conn;

    return run_prepared(c, &c->read_begin, "BEGIN", err);
}

static void sqlite_read_end(void *conn) {
    sqlite_rollback(conn); /* nothing was written; it cannot fail */
}

static int sqlite_script(void *conn, const char *sql, Err *err) {
    Sqlite *c = conn;

    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(c->db, "script", err);
}

/* ---- statements ---- */

static int sqlite_prepare(void *conn, const char *sql, void **ret, Err *err) {
    Sqlite *c = conn;
    sqlite3_stmt *st = NULL;
    char what[100];

    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
        snprintf(what, sizeof(what), "prepare \"%.80s\"", sql);
        return fail(c->db, what, err);
    }
    if (!st)
        return err_set(err, ERR_INTERNAL, "prepare: no statement in \"%.80s\"", sql);
    *ret = st;
    return 0;
}

static void sqlite_finalize(void *stmt) {
    sqlite3_finalize(stmt);
}

static void sqlite_reset(void *stmt) {
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

static int sqlite_bind_int(void *stmt, int index, int64_t value) {
    return sqlite3_bind_int64(stmt, index, value);
}

static int sqlite_bind_text(void *stmt, int index, const char *value) {
    return sqlite3_bind_text(stmt, index, value, -1, SQLITE_STATIC);
}

static int sqlite_bind_blob(void *stmt, int index, const void *value, size_t len) {
    return sqlite3_bind_blob64(stmt, index, value, len, SQLITE_STATIC);
}

static int sqlite_bind_null(void *stmt, int index) {
    return sqlite3_bind_null(stmt, index);
}

static int sqlite_step(void *conn, void *stmt, Err *err) {
    Sqlite *c = conn;
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return fail(c->db, "database", err);
}

static int64_t sqlite_changes(void *conn) {
    Sqlite *c = conn;

    return sqlite3_changes64(c->db);
}

static int64_t sqlite_get_int(void *stmt, int column) {
    return sqlite3_column_int64(stmt, column);
}

static const char *sqlite_get_text(void *stmt, int column) {
    return (const char *)sqlite3_column_text(stmt, column);
}

/* sqlite3_column_blob() gives NULL for an empty blob too; ours only for null. */
static const void *sqlite_get_blob(void *stmt, int column, size_t *ret_len) {
    const void *blob = sqlite3_column_blob(stmt, column);

    *ret_len = (size_t)sqlite3_column_bytes(stmt, column);
    if (!blob && sqlite3_column_type(stmt, column) != SQLITE_NULL)
        return "";
    return blob;
}

static bool sqlite_is_null(void *stmt, int column) {
    return sqlite3_column_type(stmt, column) == SQLITE_NULL;
}

const DbOps db_sqlite = {
    .scheme = "sqlite:",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .position = sqlite_position,
    .sync = sqlite_sync,
    .read_begin = sqlite_read_begin,
    .read_end = sqlite_read_end,
    .script = sqlite_script,
    .prepare = sqlite_prepare,
    .finalize = sqlite_finalize,
    .reset = sqlite_reset,
    .bind_int = sqlite_bind_int,
    .bind_text = sqlite_bind_text,
    .bind_blob = sqlite_bind_blob,
    .bind_null = sqlite_bind_null,
    .step = sqlite_step,
    .changes = sqlite_changes,
    .get_int = sqlite_get_int,
    .get_text = sqlite_get_text,
    .get_blob = sqlite_get_blob,
    .is_null = sqlite_is_null,
};
