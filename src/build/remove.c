#include "build/remove.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "build/state.h"
#include "git/git.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

#define ASIDE "deleted." /* and the project's uuid: no repository has a dot in its name */
#define NAMED 5          /* builds in a message */
#define AT_ONCE 100      /* builds to cancel */

/* Beside it, on the same file system. */
static const char *aside(const Project *p, const void *mem) {
    const char *slash = strrchr(p->path, '/');

    return mem_printf(mem, "%.*s/" ASIDE "%s", slash ? (int)(slash - p->path) : 1, slash ? p->path : ".",
                      p->uuid);
}

/* ---- what keeps it ---- */

static int check_ended(Builds *b, const Project *p, const void *mem, Err *err) {
    _cleanup_buf_ Buf numbers = BUF_INIT;
    int64_t *ids;
    size_t count;
    int r = store_builds_active(b->db, p->id, NAMED + 1, mem, &ids, &count, err);

    if (r < 0 || count == 0)
        return r;
    for (size_t i = 0; i < MIN(count, (size_t)NAMED); i++)
        buf_addf(&numbers, "%s%" PRId64, i ? ", " : "", ids[i]);
    return err_set(
        err, ERR_CONFLICT,
        "builds of %s have not ended: %s%s; wait for them, or delete it with force: pelton repo delete "
        "%s --force",
        p->name, buf_str(&numbers), count > NAMED ? " and more" : "", p->name);
}

static int check_live(Builds *b, const Project *p, const void *mem, Err *err) {
    Deployment *live;
    int r = store_deployment_live(b->db, p->id, mem, &live, err);

    if (r < 0 || !live)
        return r;
    return err_set(err, ERR_CONFLICT,
                   "%s is live; delete it with force to take that off: pelton repo delete %s --force",
                   p->name, p->name);
}

int repo_check(Tx *tx, int64_t project_id, Err *err) {
    Project *project;
    int r = store_project_by_id(tx->b->db, project_id, tx->mem, &project, err);

    if (r < 0 || !project->deleted_at)
        return r;
    return err_set(err, ERR_CONFLICT, "the repository was deleted: %s", project->name);
}

/* ---- the transaction ---- */

typedef struct Removed {
    const char *name; /* from now on */
    Cache *caches;
    size_t cache_count;
} Removed;

/* The folder last: whatever fails before leaves it alone. */
static int remove_now(Builds *b, const RepoRemoval *removal, Removed *removed, const void *mem, Err *err) {
    const Project *p = removal->project;
    int r = check_ended(b, p, mem, err);

    if (r >= 0 && !removal->force)
        r = check_live(b, p, mem, err);
    if (r >= 0)
        r = store_caches(b->db, p->id, mem, &removed->caches, &removed->cache_count, err);
    if (r >= 0)
        r = store_project_delete(b->db, p->id, removed->name, clock_now(), err);
    return r < 0 ? r : git_repo_move(p->path, aside(p, mem), err);
}

static int remove_once(Builds *b, const RepoRemoval *removal, Removed *removed, const void *mem, Err *err) {
    const Project *p = removal->project;
    Err again;
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = remove_now(b, removal, removed, mem, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    if (r < 0 && git_repo_move(aside(p, mem), p->path, &again) < 0)
        log_err("build", "put a repository back that was not deleted", &again);
    db_rollback(b->db);
    return r;
}

/* ---- with force ---- */

typedef struct Wait {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
    int64_t until; /* clock_mono() */
    BusSubscription *on_build;
} Wait;

static void wake(void *arg, int64_t key) {
    Wait *w = arg;

    pthread_mutex_lock(&w->lock);
    w->woken = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void wait_begin(Builds *b, int64_t wait_us, Wait *w) {
    pthread_condattr_t attributes;

    *w = (Wait){.lock = PTHREAD_MUTEX_INITIALIZER, .until = clock_mono() + wait_us};
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    w->on_build = bus_subscribe(b->bus, BUS_BUILD, 0, wake, w);
}

static void wait_end(Wait *w) {
    bus_unsubscribe(w->on_build);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

/* Until something has changed since the last time. False: it has taken too long. */
static bool wait_more(Wait *w) {
    struct timespec time = {.tv_sec = w->until / US_PER_S, .tv_nsec = w->until % US_PER_S * 1000};
    int late = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->woken && late == 0)
        late = pthread_cond_timedwait(&w->changed, &w->lock, &time);
    w->woken = false;
    pthread_mutex_unlock(&w->lock);
    return clock_mono() < w->until;
}

/* Once: cancelling wakes who waits, us too. */
static int cancel_one(Builds *b, const RepoRemoval *removal, int64_t id, const void *mem, Err *err) {
    Build *build;
    int r = store_build_load(b->db, id, mem, &build, err);

    if (r < 0 || !str_empty(build->stop_reason))
        return r;
    r = build_cancel(b, id, removal->by, err);
    return r == -ERR_CONFLICT ? 0 : r; /* it has just ended */
}

/* What was pushed meanwhile, too. *ret_count: how many have not ended yet. */
static int cancel_all(Builds *b, const RepoRemoval *removal, const void *mem, size_t *ret_count, Err *err) {
    int64_t *ids;
    int r = store_builds_active(b->db, removal->project->id, AT_ONCE, mem, &ids, ret_count, err);

    for (size_t i = 0; r >= 0 && i < *ret_count; i++)
        r = cancel_one(b, removal, ids[i], mem, err);
    return r;
}

static int stop_builds(Builds *b, const RepoRemoval *removal, Wait *w, const void *mem, Err *err) {
    size_t count = 0;
    int r = cancel_all(b, removal, mem, &count, err);

    while (r >= 0 && count > 0) {
        if (!wait_more(w))
            return err_set(err, ERR_CONFLICT,
                           "the builds of %s are being stopped, and have not ended yet: ask again in a while",
                           removal->project->name);
        r = cancel_all(b, removal, mem, &count, err);
    }
    return r;
}

/* ---- what is live ---- */

int build_repos_leaving(Builds *b, const void *mem, Project **ret, size_t *ret_count, Err *err) {
    return store_projects_leaving(b->db, mem, ret, ret_count, err);
}

int build_repo_left(Builds *b, int64_t project_id, Err *err) {
    int r = db_begin(b->db, err);

    if (r < 0)
        return r;
    r = store_project_free_slug(b->db, project_id, err);
    if (r >= 0)
        r = db_commit(b->db, err);
    db_rollback(b->db);
    if (r >= 0)
        bus_publish(b->bus, BUS_BUILD, 0);
    return r;
}

static bool is_leaving(Builds *b, int64_t project_id, const void *mem) {
    Project *project;
    Err err;

    return store_project_by_id(b->db, project_id, mem, &project, &err) >= 0 &&
           !str_eq(project->slug, project->uuid);
}

/* Who deploys does it; here nobody may. */
static void take_off(Builds *b, const Project *p, Wait *w, const void *mem) {
    Err err;

    if (b->options.no_deploy && build_repo_left(b, p->id, &err) < 0)
        log_err("build", "free the host name of a deleted repository", &err);
    bus_publish(b->bus, BUS_DEPLOY, 0);
    while (is_leaving(b, p->id, mem))
        if (!wait_more(w))
            return;
}

/* ---- the files ---- */

/* What it was moved aside for is on the disk. */
static void remove_files(Builds *b, const char *path, const Removed *removed) {
    Err err;

    if (db_durable(b->db, db_promised(b->db), 0, &err) < 0 || file_remove_tree(path, &err) < 0) {
        log_err("build", "remove a deleted repository; it is tried again when the server starts", &err);
        return;
    }
    for (size_t i = 0; i < removed->cache_count; i++)
        blob_cache_remove(b->blob, removed->caches[i].uuid);
}

int build_repo_remove(Builds *b, const RepoRemoval *removal, const void *mem, const char **ret_name,
                      Err *err) {
    const Project *p = removal->project;
    Removed removed = {.name = mem_printf(mem, "%s (deleted %" PRId64 ")", p->name, p->id)};
    Wait w;
    int r;

    wait_begin(b, removal->wait_us, &w);
    r = removal->force ? stop_builds(b, removal, &w, mem, err) : 0;
    if (r >= 0)
        r = remove_once(b, removal, &removed, mem, err);
    if (r >= 0) {
        log_info("build", "repository %s deleted by %s", p->name, removal->by);
        take_off(b, p, &w, mem);
        remove_files(b, aside(p, mem), &removed);
        *ret_name = removed.name;
    }
    wait_end(&w);
    return r;
}

/* ---- what an earlier server has left ---- */

typedef int (*EachAside)(Builds *b, const Project *project, const char *path, Err *err);

/* project NULL: there is no such project. */
static int each_aside(Builds *b, const char *folder, EachAside each, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int r = dir || errno == ENOENT ? 0 : err_errno(err, "open %s", folder);

    while (r >= 0 && dir && (entry = readdir(dir))) {
        const char *uuid = str_after(entry->d_name, ASIDE);
        Project *project = NULL;

        if (!uuid)
            continue;
        r = store_project_by_uuid(b->db, uuid, mem, &project, err);
        if (r >= 0 || r == -ERR_NOT_FOUND)
            r = each(b, r < 0 ? NULL : project, mem_printf(mem, "%s/%s", folder, entry->d_name), err);
    }
    if (dir)
        closedir(dir);
    return r;
}

static int put_back(Builds *b, const Project *project, const char *path, Err *err) {
    if (!project || project->deleted_at)
        return 0;
    log_info("build", "repository %s was not deleted: it is put back", project->name);
    return git_repo_move(path, project->path, err);
}

int build_repos_put_back(Builds *b, const char *folder, Err *err) {
    return each_aside(b, folder, put_back, err);
}

static int sweep(Builds *b, const Project *project, const char *path, Err *err) {
    if (project && !project->deleted_at)
        return 0;
    return file_remove_tree(path, err);
}

int build_repos_sweep(Builds *b, const char *folder, Err *err) {
    int r = db_durable(b->db, db_promised(b->db), 0, err);

    return r < 0 ? r : each_aside(b, folder, sweep, err);
}
