/* Inside the room: moves the write-ahead log into the database without holding up who writes. */
#pragma once

#include <sqlite3.h>

typedef struct Checkpointer Checkpointer;

/* Watches the commits of the writing connection `db` of the file at path. */
Checkpointer *checkpointer_start(sqlite3 *db, const char *path);
void checkpointer_stop(Checkpointer *c);
