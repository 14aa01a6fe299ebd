#include "base/clock.h"
#include "base/str.h"
#include "db/conn.h"

static const char create_table[] = "CREATE TABLE IF NOT EXISTS schema_migration ("
                                   " version INTEGER PRIMARY KEY,"
                                   " name TEXT NOT NULL,"
                                   " applied_at INTEGER NOT NULL"
                                   ") STRICT;";

static int changed_history(const DbMigration *m, const char *name, Err *err) {
    return err_set(
        err, ERR_CONFLICT,
        "the database's migration %d is \"%s\", this program's is \"%s\": the database belongs to another "
        "line of versions; use the program that made it, or restore a backup",
        m->version, name, m->name);
}

static int newer(int64_t version, size_t count, Err *err) {
    return err_set(
        err, ERR_CONFLICT,
        "the database is at version %lld, this program knows %zu: start the newer program, or restore the "
        "backup from before the upgrade",
        (long long)version, count);
}

/* Compares what the database has with the table, and gives how many of the table are there. */
static int read_applied(Db *db, const DbMigration *migrations, size_t count, size_t *ret_applied, Err *err) {
    _cleanup_stmt_ DbStmt *st = NULL;
    size_t applied = 0;
    int r = db_prepare(db, "SELECT version, name FROM schema_migration ORDER BY version", &st, err);

    if (r < 0)
        return r;
    while ((r = db_step(st, err)) > 0) {
        int64_t version = db_int(st, 0);

        if (version > (int64_t)count)
            return newer(version, count, err);
        if (version != (int64_t)applied + 1)
            return err_set(err, ERR_CONFLICT, "the database lacks migration %zu: restore a backup",
                           applied + 1);
        if (!str_eq(db_text(st, 1), migrations[applied].name))
            return changed_history(&migrations[applied], db_text(st, 1), err);
        applied++;
    }
    if (r == 0)
        *ret_applied = applied;
    return r;
}

/* One migration, the next after *applied, in a transaction. Another process may have been quicker: so what is
 * there is read again within it. */
static int apply_next(Db *db, const DbMigration *migrations, size_t count, size_t *applied, Err *err) {
    const DbMigration *m;
    int r = read_applied(db, migrations, count, applied, err);

    if (r < 0 || *applied == count)
        return r;
    m = &migrations[*applied];
    r = db->ops->script(db->writer->raw, m->sql, err);
    if (r == 0)
        r = db_exec(db, NULL, err,
                    "INSERT INTO schema_migration (version, name, applied_at) VALUES (?1, ?2, ?3)", "isi",
                    (int64_t)m->version, m->name, clock_now());
    if (r < 0)
        return err_wrap(err, "migration %d \"%s\"", m->version, m->name);
    ++*applied;
    return 0;
}

static int migrate_step(Db *db, const DbMigration *migrations, size_t count, size_t *applied, Err *err) {
    int r = db_begin(db, err);

    if (r < 0)
        return r;
    if (*applied == 0)
        r = db->ops->script(db->writer->raw, create_table, err);
    if (r == 0)
        r = apply_next(db, migrations, count, applied, err);
    if (r == 0)
        return db_commit(db, err);
    db_rollback(db);
    return r;
}

int db_migrate(Db *db, const DbMigration *migrations, size_t count, Err *err) {
    size_t applied = 0;
    int r;

    for (size_t i = 0; i < count; i++) {
        if (migrations[i].version != (int)i + 1)
            return err_set(err, ERR_INTERNAL, "migration \"%s\": its version is not %zu", migrations[i].name,
                           i + 1);
    }
    do {
        r = migrate_step(db, migrations, count, &applied, err);
    } while (r == 0 && applied < count);
    return r < 0 ? err_wrap(err, "migrate database") : 0;
}
