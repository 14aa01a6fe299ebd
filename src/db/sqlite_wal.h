/* Inside the room: the write-ahead log: brings it to the disk, and moves it into the database without holding
 * up who writes. */
#pragma once

#include "base/err.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Checkpointer Checkpointer;

/* Watches the commits of the writing connection `db` of the file at path. */
Checkpointer *checkpointer_start(sqlite3 *db, const char *path);
/* How many commits have written something; by who commits. */
uint64_t checkpointer_commits(const Checkpointer *c);
/* Brings what is committed to the disk: the write-ahead log is enough. One thread at a time, while others
 * commit; with `again` while nobody does. */
int checkpointer_sync(Checkpointer *c, bool again, Err *err);
void checkpointer_stop(Checkpointer *c);
