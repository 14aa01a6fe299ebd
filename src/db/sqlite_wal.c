/* A checkpoint syncs the WAL, copies its pages into the database, and syncs that: milliseconds that no commit
 * should pay. So a thread with a connection of its own does it, each time the WAL has grown by 1,000 pages;
 * it is passive, so that nobody waits for it, neither readers nor the writer. It is made at the first need:
 * an idle server has none.
 *
 * A WAL starts again from its beginning only when all of it has been copied and somebody writes; under a load
 * without a pause the thread is always some pages behind. So from 16,000 pages on (64 MiB) the committing
 * thread copies what is left, while nothing is written: the WAL stays bounded.
 *
 * With synchronous=NORMAL a commit is in the WAL, and the WAL is synced before it is copied. So what is
 * committed survives a power loss as soon as the WAL was synced once more: recovery reads it up to the first
 * frame whose checksum is wrong. What was in the WAL before it started again from its beginning is in the
 * database, which the checkpoint has synced; and the first frame of the new round is written only after its
 * header was synced. The WAL is one file for as long as the writing connection is open. */
#include "db/sqlite_wal.h"

#include "base/log.h"
#include "base/mem.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP 1000
#define FRAMES_MAX 16000
#define COPY_SIZE ((size_t)64 * 1024)

struct Checkpointer {
    char *path;
    sqlite3 *writer;
    uint64_t commits; /* that have written something */
    int fd;           /* of the WAL, for syncing; -1 until the first time */
    int last, next;   /* pages in the WAL after the last commit; the thread is woken from next on */
    bool running;     /* the thread has been started */
    pthread_t thread;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t wake;
    bool due, stop;
    pthread_mutex_t copying; /* two at once do not work: SQLite would say that it is busy */
};

/* False when it is time to end. */
static bool wait_due(Checkpointer *c) {
    bool stop;

    pthread_mutex_lock(&c->lock);
    while (!c->due && !c->stop)
        pthread_cond_wait(&c->wake, &c->lock);
    c->due = false;
    stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return !stop;
}

static sqlite3 *open_own(const char *path) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
        rc = sqlite3_exec(db, "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        return db;
    log_warn("db", "checkpoints: open %s: %s", path, sqlite3_errmsg(db));
    sqlite3_close(db);
    return NULL;
}

static void copy(Checkpointer *c, sqlite3 *db) {
    pthread_mutex_lock(&c->copying);
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    pthread_mutex_unlock(&c->copying);
}

/* What a checkpoint cannot do (a full disk) the next one does: nothing is lost, the WAL is longer for a
 * while. */
static void *checkpoint(void *arg) {
    Checkpointer *c = arg;
    sqlite3 *db = NULL;

    while (wait_due(c)) {
        if (!db)
            db = open_own(c->path);
        if (db)
            copy(c, db);
    }
    sqlite3_close(db);
    return NULL;
}

/* Signals are the other threads' to take. */
static bool start_thread(Checkpointer *c) {
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&c->thread, NULL, checkpoint, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r == 0;
}

/* After each commit, in the committing thread, with the number of pages in the WAL. */
static int committed(void *arg, sqlite3 *db, const char *name, int frames) {
    Checkpointer *c = arg;

    c->commits++;
    if (frames < c->last)
        c->next = STEP;
    c->last = frames;
    if (frames < c->next)
        return SQLITE_OK;
    c->next = frames + STEP;
    if (!c->running)
        c->running = start_thread(c);
    if (!c->running || frames >= FRAMES_MAX) {
        copy(c, db);
    } else {
        pthread_mutex_lock(&c->lock);
        c->due = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
    }
    return SQLITE_OK;
}

/* ---- to the disk ---- */

uint64_t checkpointer_commits(const Checkpointer *c) {
    return c->commits;
}

/* What the kernel could not write it forgets, and says so only once (fsync(2)). The bytes are still to be
 * read: written again, they are to be written out again. */
static int write_again(int fd, Err *err) {
    _cleanup_free_ char *page = malloc(COPY_SIZE);
    off_t at = 0;
    ssize_t n;

    if (!page)
        abort();
    while ((n = pread(fd, page, COPY_SIZE, at)) > 0) {
        if (pwrite(fd, page, (size_t)n, at) != n)
            return err_errno(err, "write the write-ahead log again");
        at += n;
    }
    return n < 0 ? err_errno(err, "read the write-ahead log") : 0;
}

/* Locks are on the database's other files, so that closing a descriptor of this one drops none. */
static int open_wal(Checkpointer *c, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s-wal", c->path);

    c->fd = open(path, O_RDWR | O_CLOEXEC);
    return c->fd < 0 ? err_errno(err, "open %s", path) : 0;
}

int checkpointer_sync(Checkpointer *c, bool again, Err *err) {
    int r = c->fd < 0 ? open_wal(c, err) : 0;

    if (r == 0 && again)
        r = write_again(c->fd, err);
    if (r == 0 && fdatasync(c->fd) < 0)
        r = err_errno(err, "bring the database to the disk");
    return r;
}

/* ---- life ---- */

Checkpointer *checkpointer_start(sqlite3 *db, const char *path) {
    Checkpointer *c = mem_new(NULL, Checkpointer);

    c->path = mem_strdup(c, path);
    c->writer = db;
    c->next = STEP;
    c->fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->copying, NULL);
    pthread_cond_init(&c->wake, NULL);
    sqlite3_wal_hook(db, committed, c);
    return c;
}

void checkpointer_stop(Checkpointer *c) {
    if (!c)
        return;
    sqlite3_wal_hook(c->writer, NULL, NULL);
    if (c->running) {
        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    mem_close_p(&c->fd);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->copying);
    talloc_free(c);
}
