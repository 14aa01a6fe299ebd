/* Commits on their way to the disk. Whoever waits first brings all to it that is committed by then; who comes
 * meanwhile waits for that, and one of them is the next: so the disk is as busy as it can be with as few
 * writes as there are needed (group commit). */
#include "db/conn.h"

#include "base/clock.h"
#include "base/mem.h"
#include <signal.h>

struct DbWaiter {
    uint64_t position;
    int64_t due; /* monotonic: so long it may wait for somebody in more of a hurry */
    void (*done)(void *arg, const Err *err);
    void *arg;
    DbWaiter *next;
};

void durable_init(Durable *d) {
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->synced, NULL);
    pthread_cond_init(&d->wanted, NULL);
    d->last = &d->first;
}

void durable_committed(Db *db, bool casual) {
    uint64_t position = db->ops->position(db->writer->raw);

    atomic_store(&db->durable.committed, position);
    if (!casual)
        atomic_store(&db->durable.promised, position);
}

void db_before_durable(Db *db, int (*first)(void *arg, Err *err), void *arg) {
    db->durable.before = first;
    db->durable.before_arg = arg;
}

uint64_t db_promised(Db *db) {
    return atomic_load(&db->durable.promised);
}

bool db_is_durable(Db *db, uint64_t position) {
    return atomic_load(&db->durable.durable) >= position;
}

/* ---- waiting ---- */

/* After a failure nobody may write, for all is written again. */
static int sync_now(Db *db, bool again, Err *err) {
    int r = again ? db_writer_take(db, err) : 0;

    if (r < 0)
        return r;
    if (db->durable.before)
        r = db->durable.before(db->durable.before_arg, err);
    if (r >= 0)
        r = db->ops->sync(db->writer->raw, again, err);
    if (again)
        db_writer_give(db);
    return r;
}

/* With the lock, which is free meanwhile. Its failure is that of all who count on this round: they try for
 * themselves. */
static int sync_round(Db *db, Err *err) {
    Durable *d = &db->durable;
    uint64_t covered = atomic_load(&d->committed);
    bool again = d->doubtful;
    int r;

    d->syncing = true;
    pthread_mutex_unlock(&d->lock);
    r = sync_now(db, again, err);
    pthread_mutex_lock(&d->lock);
    d->syncing = false;
    d->doubtful = r < 0;
    if (r >= 0)
        atomic_store(&d->durable, covered);
    pthread_cond_broadcast(&d->synced);
    if (d->first)
        pthread_cond_signal(&d->wanted);
    return r;
}

static void wait_until(Durable *d, pthread_cond_t *changed, int64_t mono_us) {
    struct timespec at = {.tv_sec = mono_us / US_PER_S, .tv_nsec = mono_us % US_PER_S * 1000};

    pthread_cond_clockwait(changed, &d->lock, CLOCK_MONOTONIC, &at);
}

int db_durable(Db *db, uint64_t position, int64_t patience_us, Err *err) {
    Durable *d = &db->durable;
    int64_t due = patience_us ? clock_mono() + patience_us : 0;
    int r = 0;

    if (db_is_durable(db, position))
        return 0;
    if (db_in_transaction(db))
        return err_set(err, ERR_INTERNAL, "waiting for the disk within a transaction");
    pthread_mutex_lock(&d->lock);
    while (r == 0 && !db_is_durable(db, position)) {
        if (d->syncing)
            pthread_cond_wait(&d->synced, &d->lock);
        else if (due && clock_mono() < due)
            wait_until(d, &d->synced, due);
        else
            r = sync_round(db, err);
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* ---- being called back ---- */

static void call_back(DbWaiter *list, const Err *err) {
    while (list) {
        DbWaiter *next = list->next;

        list->done(list->arg, err);
        talloc_free(list);
        list = next;
    }
}

/* The position that serves all who wait, and the time by which the first of them must be. */
static int64_t wanted(const Durable *d, uint64_t *ret_position) {
    int64_t due = INT64_MAX;

    *ret_position = 0;
    for (const DbWaiter *w = d->first; w; w = w->next) {
        *ret_position = MAX(*ret_position, w->position);
        due = MIN(due, w->due);
    }
    return due;
}

static void serve(Db *db, uint64_t position) {
    Durable *d = &db->durable;
    DbWaiter *list = TAKE_PTR(d->first);
    Err err;
    int r;

    d->last = &d->first;
    pthread_mutex_unlock(&d->lock);
    r = db_durable(db, position, 0, &err);
    call_back(list, r < 0 ? &err : NULL);
    pthread_mutex_lock(&d->lock);
}

static void *serve_all(void *arg) {
    Db *db = arg;
    Durable *d = &db->durable;

    pthread_setname_np(pthread_self(), "db-durable");
    pthread_mutex_lock(&d->lock);
    while (d->first || !d->stop) {
        uint64_t position;
        int64_t due = wanted(d, &position);

        if (!d->first)
            pthread_cond_wait(&d->wanted, &d->lock);
        else if (d->stop || db_is_durable(db, position) || due <= clock_mono())
            serve(db, position);
        else
            wait_until(d, &d->wanted, due);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* With the lock. Signals are the other threads' to take. */
static bool start_thread(Db *db) {
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&db->durable.thread, NULL, serve_all, db);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r == 0;
}

void db_when_durable(Db *db, uint64_t position, int64_t patience_us, void (*done)(void *arg, const Err *err),
                     void *arg) {
    Durable *d = &db->durable;
    DbWaiter *w = mem_new(NULL, DbWaiter);
    bool running;
    Err err;

    *w = (DbWaiter){
        .position = position, .due = patience_us ? clock_mono() + patience_us : 0, .done = done, .arg = arg};
    pthread_mutex_lock(&d->lock);
    if (!d->running)
        d->running = start_thread(db);
    running = d->running;
    if (running) {
        *d->last = w;
        d->last = &w->next;
        pthread_cond_signal(&d->wanted);
    }
    pthread_mutex_unlock(&d->lock);
    if (!running) /* threads have run out: then the caller has to wait after all */
        call_back(w, db_durable(db, position, 0, &err) < 0 ? &err : NULL);
}

void durable_done(Db *db) {
    Durable *d = &db->durable;

    if (d->running) {
        pthread_mutex_lock(&d->lock);
        d->stop = true;
        pthread_cond_signal(&d->wanted);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->thread, NULL);
    }
    pthread_cond_destroy(&d->synced);
    pthread_cond_destroy(&d->wanted);
    pthread_mutex_destroy(&d->lock);
}
