/* Inside the room: a connection with its prepared statements, and the database that owns the connections. */
#pragma once

#include "db/backend.h"
#include <pthread.h>
#include <stdatomic.h>

/* A connection and the statements prepared on it. Statements are found by the address of their text in a
 * cache of sets of a few ways, the latest used first; what falls out is finalized, so memory is bounded. */
typedef struct DbConn {
    const DbOps *ops;
    void *raw;
    bool writer;
    ErrCode failed;  /* a statement of the open transaction failed with it: only rollback is left; or 0 */
    DbStmt *in_use;  /* between prepare and done */
    unsigned shift;  /* 64 - log2(sets) */
    DbStmt *cache[]; /* DB_WAYS a set */
} DbConn;

#define DB_WAYS 4

int db_conn_open(const DbOps *ops, const char *place, const DbOptions *options, bool writer, DbConn **ret,
                 Err *err);
void db_conn_close(DbConn *c);
/* Takes the statements in use away from those who hold them: they may only be given back from now on. */
void db_conn_detach(DbConn *c);

/* What a thread has of a database. */
typedef struct DbThread {
    Db *db;
    DbConn *reader; /* or NULL until the first read */
    bool writing;   /* it holds the writer */
    int views;      /* db_view_begin without its end, on the reader */
    struct DbThread *next, **prev;
} DbThread;

typedef struct DbWaiter DbWaiter;

/* How far commits have got to the disk (durable.c). */
typedef struct Durable {
    _Atomic uint64_t promised, durable; /* positions; durable grows with the lock only */
    _Atomic uint64_t committed;         /* casual ones included */
    pthread_mutex_t lock;               /* of the rest */
    pthread_cond_t synced, wanted;
    bool syncing;  /* somebody is at it */
    bool doubtful; /* the last time has failed */
    bool running, stop;
    pthread_t thread; /* calls back; started when it is first needed */
    DbWaiter *first, **last;
    int (*before)(void *arg, Err *err); /* constant */
    void *before_arg;
} Durable;

void durable_init(Durable *d);
/* Calls back whoever still waits. */
void durable_done(Db *db);
/* After a commit, by whoever has the writer. */
void durable_committed(Db *db, bool casual);

struct Db {
    const DbOps *ops;
    char *place;
    DbOptions options;
    pthread_mutex_t writer_lock; /* of the next three */
    pthread_cond_t writer_free;
    bool writer_taken;
    unsigned writer_waits;
    DbConn *writer; /* whoever has taken it */
    Durable durable;
    pthread_key_t key; /* a DbThread each */
    pthread_mutex_t threads_lock;
    DbThread *threads;
};

/* The writing connection without a transaction; waits for it at most busy_us. */
int db_writer_take(Db *db, Err *err);
void db_writer_give(Db *db);
/* The connection that this thread's statements are on now. */
int db_conn_of_thread(Db *db, DbConn **ret, Err *err);
