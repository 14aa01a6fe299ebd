#include "store/store.h"

#include "store/schema.h"

int store_open(const void *mem, const DbOptions *options, Db **ret, Err *err) {
    Db *db;
    int r = db_open(mem, options, &db, err);

    if (r < 0)
        return r;
    r = db_migrate(db, store_migrations, store_migration_count, err);
    if (r < 0) {
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}
