/* The tables, as numbered migrations. A column of time is INTEGER, microseconds since 1970, UTC; 0: not yet.
 * A state or a kind is the word that people read. */
#pragma once

#include "db/db.h"

extern const DbMigration store_migrations[];
extern const size_t store_migration_count;
