/* Pushes that nobody told us of are found by comparing refs: at the start, when there is reason to think that
 * one was missed, and now and then. A repository whose folders of refs look as they did costs a few calls of
 * stat. */
#include "build/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "git/git.h"
#include <pthread.h>

#define SETTLED_US (2 * US_PER_S) /* a time as old as this is shared by no later change */
#define RETRY_US US_PER_S

typedef struct Watched {
    uint64_t stamp; /* as it was when all its refs were known; 0: look */
    uint64_t heard; /* pushes that the hook told of */
    int64_t due;    /* monotonic; 0: with the others */
    int64_t pause;  /* before the next try, as long as there is an error */
} Watched;

struct Compare {
    Builds *b;
    CompareOptions options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    Watched *watched; /* by project id */
    size_t count;
};

/* With the lock held. */
static Watched *watched(Compare *c, int64_t project_id) {
    while ((size_t)project_id >= c->count)
        mem_append(c, c->watched, c->count, (Watched){0});
    return &c->watched[project_id];
}

/* ---- one project ---- */

static bool is_known(Compare *c, int64_t project_id, uint64_t stamp) {
    bool known;

    pthread_mutex_lock(&c->lock);
    known = stamp && watched(c, project_id)->stamp == stamp;
    pthread_mutex_unlock(&c->lock);
    return known;
}

static void note(Compare *c, int64_t project_id, const GitStamp *stamp, int result) {
    Watched *w;

    pthread_mutex_lock(&c->lock);
    w = watched(c, project_id);
    w->stamp = result >= 0 && clock_now() - stamp->newest > SETTLED_US ? stamp->hash : 0;
    w->pause = result >= 0 ? 0 : MAX(2 * w->pause, RETRY_US);
    w->due = result >= 0 || w->pause > c->options.every_us ? 0 : clock_mono() + w->pause;
    pthread_mutex_unlock(&c->lock);
}

static void compare(Compare *c, const Project *project) {
    GitStamp stamp = {0};
    size_t found = 0;
    Err err;
    int r;

    if (!str_eq(project->source, "hosted"))
        return;
    r = git_refs_stamp(project->path, &stamp, &err);
    if (r >= 0 && is_known(c, project->id, stamp.hash))
        return;
    if (r >= 0)
        r = refs_compare(c->b, project, &found, &err);
    if (r < 0)
        log_err("build", "compare the refs of a repository", &err);
    note(c, project->id, &stamp, r);
}

static void compare_all(Compare *c) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Project *projects;
    size_t count = 0;
    Err err;

    if (store_projects(c->b->db, mem, &projects, &count, &err) < 0)
        log_err("build", "compare refs", &err);
    for (size_t i = 0; i < count; i++)
        compare(c, &projects[i]);
}

static void compare_one(Compare *c, int64_t project_id) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Project *project;
    Err err;

    if (store_project_by_id(c->b->db, project_id, mem, &project, &err) < 0)
        log_err("build", "compare refs", &err);
    else
        compare(c, project);
}

/* ---- the thread ---- */

/* The project that is due first; 0: none. With the lock held. */
static int64_t first_due(const Compare *c, int64_t *ret_due) {
    int64_t first = 0;

    *ret_due = INT64_MAX;
    for (size_t i = 0; i < c->count; i++)
        if (c->watched[i].due && c->watched[i].due < *ret_due) {
            *ret_due = c->watched[i].due;
            first = (int64_t)i;
        }
    return first;
}

static void sleep_until(Compare *c, int64_t due) {
    struct timespec until = {.tv_sec = due / US_PER_S, .tv_nsec = due % US_PER_S * 1000};

    if (due == INT64_MAX)
        pthread_cond_wait(&c->changed, &c->lock);
    else
        pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

/* With the lock held, but not while it works. */
static void do_next(Compare *c, int64_t *all_due) {
    int64_t due, one = first_due(c, &due), now = clock_mono();

    if (MIN(due, *all_due) > now) {
        sleep_until(c, MIN(due, *all_due));
        return;
    }
    if (due <= now)
        watched(c, one)->due = 0;
    pthread_mutex_unlock(&c->lock);
    if (due <= now) {
        compare_one(c, one);
    } else {
        compare_all(c);
        *all_due = c->options.every_us ? clock_mono() + c->options.every_us : INT64_MAX;
    }
    pthread_mutex_lock(&c->lock);
}

static void *run(void *arg) {
    Compare *c = arg;
    int64_t all_due = 0; /* at once: what happened while we were away */

    if (c->options.begin)
        c->options.begin(c->options.arg);
    pthread_mutex_lock(&c->lock);
    while (!c->stop)
        do_next(c, &all_due);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int build_compare_start(Builds *b, const CompareOptions *options, Err *err) {
    Compare *c = mem_new(NULL, Compare);
    pthread_condattr_t attributes;
    int r;

    c->b = b;
    c->options = *options;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    r = pthread_create(&c->thread, NULL, run, c);
    if (r != 0) {
        talloc_free(c);
        return err_set(err, ERR_UNAVAILABLE, "start the thread that compares refs: error %d", r);
    }
    b->compare = c;
    return 0;
}

void build_compare_stop(Builds *b) {
    Compare *c = b->compare;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    b->compare = NULL;
    talloc_free(c);
}

void build_compare_ask(Builds *b, int64_t project_id) {
    Compare *c = b->compare;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    watched(c, project_id)->due = clock_mono();
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void build_push_heard(Builds *b, int64_t project_id) {
    Compare *c = b->compare;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    watched(c, project_id)->heard++;
    pthread_mutex_unlock(&c->lock);
}

uint64_t build_pushes_heard(Builds *b, int64_t project_id) {
    Compare *c = b->compare;
    uint64_t heard;

    if (!c)
        return 0;
    pthread_mutex_lock(&c->lock);
    heard = watched(c, project_id)->heard;
    pthread_mutex_unlock(&c->lock);
    return heard;
}
