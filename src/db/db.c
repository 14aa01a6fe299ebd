#include "db/db.h"

#include "base/clock.h"
#include "base/str.h"
#include "db/conn.h"
#include <errno.h>
#include <time.h>

static const DbOps *const backends[] = {&db_sqlite};

/* ---- threads ---- */

void db_writer_give(Db *db) {
    pthread_mutex_lock(&db->writer_lock);
    db->writer_taken = false;
    if (db->writer_waits > 0)
        pthread_cond_signal(&db->writer_free);
    pthread_mutex_unlock(&db->writer_lock);
}

static void writer_unlock(Db *db, DbThread *t) {
    db->writer->failed = 0;
    t->writing = false;
    db_writer_give(db);
}

static void rollback(Db *db, DbThread *t) {
    if (!t->writing)
        return;
    db_conn_detach(db->writer);
    db->ops->rollback(db->writer->raw);
    writer_unlock(db, t);
}

static void thread_free(DbThread *t) {
    if (t->reader)
        db_conn_close(t->reader);
    talloc_free(t);
}

/* The destructor of the thread's key: the thread ends, its connection with it. */
static void thread_end(void *arg) {
    DbThread *t = arg;
    Db *db = t->db;

    rollback(db, t);
    pthread_mutex_lock(&db->threads_lock);
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    pthread_mutex_unlock(&db->threads_lock);
    thread_free(t);
}

static DbThread *thread_get(Db *db) {
    DbThread *t = pthread_getspecific(db->key);

    if (t)
        return t;
    t = mem_new(NULL, DbThread);
    t->db = db;
    pthread_mutex_lock(&db->threads_lock);
    t->next = db->threads;
    t->prev = &db->threads;
    if (t->next)
        t->next->prev = &t->next;
    db->threads = t;
    pthread_mutex_unlock(&db->threads_lock);
    if (pthread_setspecific(db->key, t) != 0)
        abort(); /* out of memory */
    return t;
}

static int reader_of(DbThread *t, Err *err) {
    Db *db = t->db;

    return t->reader ? 0 : db_conn_open(db->ops, db->place, &db->options, false, &t->reader, err);
}

int db_conn_of_thread(Db *db, DbConn **ret, Err *err) {
    DbThread *t = thread_get(db);
    int r = t->writing ? 0 : reader_of(t, err);

    if (r < 0)
        return r;
    *ret = t->writing ? db->writer : t->reader;
    return 0;
}

/* ---- opening ---- */

static const DbOps *find_backend(const char *url, const char **ret_place) {
    for (size_t i = 0; i < ELEMENTS(backends); i++) {
        *ret_place = str_after(url, backends[i]->scheme);
        if (*ret_place)
            return backends[i];
    }
    return NULL;
}

static void init_locks(Db *db) {
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&db->writer_free, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&db->writer_lock, NULL);
    pthread_mutex_init(&db->threads_lock, NULL);
    durable_init(&db->durable);
}

/* The key's destructor would find the calling thread's connection only when the thread ends, so it goes
 * first. */
static int db_destroy(Db *db) {
    DbThread *t;

    durable_done(db);
    pthread_key_delete(db->key);
    t = db->threads;
    while (t) {
        DbThread *next = t->next;

        thread_free(t);
        t = next;
    }
    if (db->writer)
        db_conn_close(db->writer);
    pthread_cond_destroy(&db->writer_free);
    pthread_mutex_destroy(&db->writer_lock);
    pthread_mutex_destroy(&db->threads_lock);
    return 0;
}

int db_open(const void *mem, const DbOptions *options, Db **ret, Err *err) {
    const char *place;
    const DbOps *ops = find_backend(options->url, &place);
    Db *db;
    int r;

    if (!ops)
        return err_set(err, ERR_UNSUPPORTED, "database \"%.20s…\": not known; expected sqlite:PATH",
                       options->url);
    db = mem_new(mem, Db);
    db->ops = ops;
    db->place = mem_strdup(db, place);
    db->options = *options;
    db->options.url = NULL;
    if (pthread_key_create(&db->key, thread_end) != 0) {
        talloc_free(db);
        return err_set(err, ERR_INTERNAL, "open database: too many thread keys");
    }
    init_locks(db);
    talloc_set_destructor(db, db_destroy);
    r = db_conn_open(ops, place, options, true, &db->writer, err);
    if (r < 0) {
        talloc_free(db);
        return r;
    }
    durable_committed(db, false);
    *ret = db;
    return 0;
}

void db_close(Db *db) {
    if (!db)
        return;
    db_rollback(db);
    talloc_free(db);
}

/* ---- transactions ---- */

int db_writer_take(Db *db, Err *err) {
    int64_t until = clock_mono() + db->options.busy_us;
    struct timespec ts = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};
    int r = 0;

    pthread_mutex_lock(&db->writer_lock);
    db->writer_waits++;
    while (db->writer_taken && r == 0)
        r = pthread_cond_timedwait(&db->writer_free, &db->writer_lock, &ts);
    db->writer_waits--;
    if (!db->writer_taken) {
        db->writer_taken = true;
        r = 0;
    }
    pthread_mutex_unlock(&db->writer_lock);
    if (r != 0)
        return err_set(err, ERR_UNAVAILABLE,
                       "database is busy: another transaction has been open for %lld ms",
                       (long long)(db->options.busy_us / US_PER_MS));
    return 0;
}

int db_begin(Db *db, Err *err) {
    DbThread *t = thread_get(db);
    int r;

    if (t->writing)
        return err_set(err, ERR_INTERNAL, "begin: this thread has a transaction already");
    r = db_writer_take(db, err);
    if (r < 0)
        return r;
    r = db->ops->begin(db->writer->raw, err);
    if (r < 0) {
        db_writer_give(db);
        return r;
    }
    t->writing = true;
    return 0;
}

static int commit(Db *db, bool casual, Err *err) {
    DbThread *t = thread_get(db);
    ErrCode failed;
    int r;

    if (!t->writing)
        return err_set(err, ERR_INTERNAL, "commit: this thread has no transaction");
    failed = db->writer->failed;
    db_conn_detach(db->writer);
    if (failed)
        r = err_set(err, failed, "commit: a statement of the transaction has failed; it is rolled back");
    else
        r = db->ops->commit(db->writer->raw, err);
    if (r < 0)
        db->ops->rollback(db->writer->raw);
    else
        durable_committed(db, casual);
    writer_unlock(db, t);
    return r;
}

int db_commit(Db *db, Err *err) {
    return commit(db, false, err);
}

int db_commit_casually(Db *db, Err *err) {
    return commit(db, true, err);
}

int db_view_begin(Db *db, Err *err) {
    DbThread *t = thread_get(db);
    int r = reader_of(t, err);

    if (r >= 0 && t->views == 0)
        r = db->ops->read_begin(t->reader->raw, err);
    if (r < 0)
        return r;
    t->views++;
    return 0;
}

void db_view_end(Db *db) {
    DbThread *t = thread_get(db);

    if (--t->views == 0)
        db->ops->read_end(t->reader->raw);
}

void db_rollback(Db *db) {
    rollback(db, thread_get(db));
}

bool db_in_transaction(Db *db) {
    return thread_get(db)->writing;
}
