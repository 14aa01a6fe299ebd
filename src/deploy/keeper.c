/* What is live stays so: restore after a start of the server, start again what died, sweep what nobody wants.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "deploy/deployer.h"
#include "deploy/spec.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>

#define BACKOFF_MIN US_PER_S
#define BACKOFF_MAX (60 * US_PER_S)

static int live_destroy(Live *live) {
    if (live->watch_fd >= 0)
        close(live->watch_fd);
    return 0;
}

static void wake(Deployer *d) {
    uint64_t one = 1;

    if (write(d->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_warn("deploy", "eventfd: %s", strerror(errno));
}

/* The lock is held. */
static void drop(Deployer *d, size_t at) {
    talloc_free(d->lives[at]);
    d->lives[at] = d->lives[--d->count];
}

static void forget(Deployer *d, const char *slug) {
    for (size_t i = 0; i < d->count;)
        if (str_eq(d->lives[i]->slug, slug))
            drop(d, i);
        else
            i++;
}

static Live *remember(Deployer *d, const char *slug, const char *uuid) {
    Live *live = mem_new(d, Live);

    live->uuid = mem_strdup(live, uuid);
    live->slug = mem_strdup(live, slug);
    live->watch_fd = -1;
    talloc_set_destructor(live, live_destroy);
    mem_append(d, d->lives, d->count, live);
    return live;
}

void keeper_set(Deployer *d, const char *slug, const char *uuid) {
    pthread_mutex_lock(&d->lock);
    forget(d, slug);
    if (uuid)
        remember(d, slug, uuid);
    pthread_mutex_unlock(&d->lock);
    wake(d);
}

/* ---- one release ---- */

static int unpack_again(Deployer *d, const Release *r, Err *err) {
    _cleanup_close_ int fd = -1;

    if (!r->spec)
        return err_set(err, ERR_NOT_FOUND, "the release's files are gone");
    if (d->artifact && d->artifact(d->arg, r->uuid, &fd, err) < 0)
        return -(int)err->code;
    return d->runtime->prepare(r, fd, -1, err);
}

static int start_again(Deployer *d, const Release *r, RuntimeStatus *status, Err *err) {
    _cleanup_talloc_ ReleaseSpec *spec = NULL;

    if (release_spec_read(r->dir, NULL, &spec, &(Err){0}) < 0 && unpack_again(d, r, err) < 0)
        return -(int)err->code;
    if (d->runtime->start(r, true, err) < 0 || d->runtime->status(r, status, err) < 0)
        return -(int)err->code;
    log_info("deploy", "release %s of %s started again at %s", r->uuid, r->slug, status->address);
    return 0;
}

/* Watched first, looked at then: nothing is missed between. */
static int make_live(Deployer *d, Live *live, Err *err) {
    _cleanup_talloc_ Release *r = deploy_release(d, live->uuid, NULL);
    RuntimeStatus status = {0};

    r->slug = live->slug;
    r->commit = live->commit;
    r->spec = live->spec;
    r->env = live->env;
    if (live->watch_fd >= 0)
        close(live->watch_fd);
    live->watch_fd = -1;
    if (d->runtime->watch(r, &live->watch_fd, &(Err){0}) < 0)
        live->watch_fd = -1;
    if ((d->runtime->status(r, &status, &(Err){0}) < 0 || !status.running) &&
        start_again(d, r, &status, err) < 0)
        return -(int)err->code;
    if (live->watch_fd < 0 && d->runtime->watch(r, &live->watch_fd, err) < 0)
        return -(int)err->code;
    if (d->runtime->confirm(r, err) < 0 ||
        ingress_server_add(d->ingress, live->slug, live->uuid, status.address, err) < 0)
        return -(int)err->code;
    return ingress_switch(d->ingress, live->slug, live->uuid, err);
}

static void look_at(Deployer *d, Live *live) {
    Err err;

    if (make_live(d, live, &err) == 0) {
        live->backoff = live->due = 0;
        return;
    }
    log_warn("deploy", "release %s of %s: %s", live->uuid, live->slug, err.msg);
    if (live->watch_fd >= 0)
        close(live->watch_fd);
    live->watch_fd = -1;
    live->backoff = MIN(MAX(live->backoff * 2, BACKOFF_MIN), BACKOFF_MAX);
    live->due = clock_mono() + live->backoff;
}

/* ---- the thread ---- */

static bool still_runs(Deployer *d, const Live *live) {
    _cleanup_talloc_ Release *r = deploy_release(d, live->uuid, NULL);
    RuntimeStatus status;

    return d->runtime->status(r, &status, &(Err){0}) == 0 && status.running;
}

static void drain_events(int fd) {
    char events[4096];

    while (read(fd, events, sizeof(events)) > 0)
        continue;
}

/* Looks at what has changed or is due; gives the descriptors to wait for and how long (µs, -1: for ever). */
static struct pollfd *round_of(Deployer *d, size_t *ret_count, int64_t *ret_wait) {
    struct pollfd *fds = mem_array(NULL, struct pollfd, d->count + 1);
    int64_t now = clock_mono(), next = 0;

    fds[0] = (struct pollfd){.fd = d->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < d->count; i++) {
        Live *live = d->lives[i];
        struct pollfd changed = {.fd = live->watch_fd, .events = POLLIN};

        if (live->watch_fd >= 0 && poll(&changed, 1, 0) > 0) {
            drain_events(live->watch_fd);
            if (!still_runs(d, live))
                look_at(d, live);
        } else if (live->watch_fd < 0 && now >= live->due) {
            look_at(d, live);
        }
        if (live->watch_fd < 0)
            next = next ? MIN(next, live->due) : live->due;
        fds[i + 1] = (struct pollfd){.fd = live->watch_fd, .events = POLLIN};
    }
    *ret_count = d->count + 1;
    *ret_wait = next ? MAX(next - clock_mono(), 0) : -1;
    return fds;
}

static void *keep(void *arg) {
    Deployer *d = arg;

    for (;;) {
        _cleanup_talloc_ struct pollfd *fds = NULL;
        int64_t wait = -1;
        uint64_t ignored;
        size_t count = 0;

        pthread_mutex_lock(&d->lock);
        if (d->stop) {
            pthread_mutex_unlock(&d->lock);
            return NULL;
        }
        fds = round_of(d, &count, &wait);
        d->restoring = false;
        pthread_cond_broadcast(&d->restored);
        pthread_mutex_unlock(&d->lock);
        poll(fds, count, wait < 0 ? -1 : (int)(wait / US_PER_MS + 1));
        if (fds[0].revents && read(d->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
            log_warn("deploy", "eventfd: %s", strerror(errno));
    }
}

int keeper_start(Deployer *d, Err *err) {
    int r = pthread_create(&d->thread, NULL, keep, d);

    if (r != 0)
        return err_set(err, ERR_UNAVAILABLE, "deploy thread: %s", strerror(r));
    d->threaded = true;
    return 0;
}

void keeper_end(Deployer *d) {
    if (!d->threaded)
        return;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_mutex_unlock(&d->lock);
    wake(d);
    pthread_join(d->thread, NULL);
    d->threaded = false;
}

/* ---- restore, sweep, remove ---- */

static void restore_one(Deployer *d, const DeployLive *from) {
    Live *live;
    size_t count = 0;

    forget(d, from->slug);
    live = remember(d, from->slug, from->uuid);
    live->commit = mem_strdup(live, from->commit);
    live->spec = mem_strdup(live, from->spec);
    for (const char *const *e = from->env; e && *e; e++)
        mem_append(live, live->env, count, mem_strdup(live, *e));
    if (live->env)
        mem_append(live, live->env, count, NULL);
}

int deploy_restore(Deployer *d, const DeployLive *live, size_t count, DeployArtifact artifact, void *arg,
                   Err *err) {
    for (size_t i = 0; i < count; i++)
        if (!deploy_uuid_valid(live[i].uuid) || !ingress_slug_valid(live[i].slug))
            return err_set(err, ERR_INVALID, "restore: \"%.80s\" of \"%.80s\" is not a release", live[i].uuid,
                           live[i].slug);
    pthread_mutex_lock(&d->lock);
    d->artifact = artifact;
    d->arg = arg;
    d->restoring = true;
    for (size_t i = 0; i < count; i++)
        restore_one(d, &live[i]);
    pthread_mutex_unlock(&d->lock);
    wake(d);
    return 0;
}

void deploy_restore_wait(Deployer *d) {
    pthread_mutex_lock(&d->lock);
    while (d->restoring)
        pthread_cond_wait(&d->restored, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

/* The uuids of the releases on disk; slug (may be NULL): only its own. */
static char **list_releases(Deployer *d, const char *slug, const void *mem) {
    char **uuids = mem_array(mem, char *, 1);
    DIR *dir = opendir(d->dir);
    struct dirent *entry;
    size_t count = 0;

    while (dir && (entry = readdir(dir))) {
        _cleanup_talloc_ char *path = mem_printf(NULL, "%s/%s", d->dir, entry->d_name);
        _cleanup_talloc_ ReleaseSpec *spec = NULL;

        if (!deploy_uuid_valid(entry->d_name))
            continue;
        if (slug && (release_spec_read(path, NULL, &spec, &(Err){0}) < 0 || !str_eq(spec->slug, slug)))
            continue;
        mem_append(mem, uuids, count, mem_strdup(mem, entry->d_name));
    }
    if (dir)
        closedir(dir);
    mem_append(mem, uuids, count, NULL);
    return uuids;
}

/* It is not started again. */
static void stop_keeping(Deployer *d, const char *uuid) {
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->count;)
        if (str_eq(d->lives[i]->uuid, uuid))
            drop(d, i);
        else
            i++;
    pthread_mutex_unlock(&d->lock);
    wake(d);
}

/* Its route goes before the release does. */
static int sweep_one(Deployer *d, const char *uuid, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/%s", d->dir, uuid);
    _cleanup_talloc_ ReleaseSpec *spec = NULL;

    stop_keeping(d, uuid);
    if (release_spec_read(path, NULL, &spec, &(Err){0}) == 0 && ingress_slug_valid(spec->slug) &&
        ingress_server_remove(d->ingress, spec->slug, uuid, err) < 0)
        return -(int)err->code;
    log_info("deploy", "release %s is not wanted any more", uuid);
    deploy_discard(d, uuid);
    return 0;
}

int deploy_sweep(Deployer *d, DeployWanted wanted, void *arg, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    char **slugs = ingress_apps(d->ingress, mem);

    for (char **uuid = list_releases(d, NULL, mem); *uuid; uuid++)
        if (!wanted(arg, *uuid) && sweep_one(d, *uuid, err) < 0)
            return err_wrap(err, "sweep");
    for (; *slugs; slugs++) {
        const char *live = ingress_live(d->ingress, *slugs, mem);

        if (live && !wanted(arg, live) && ingress_server_remove(d->ingress, *slugs, live, err) < 0)
            return err_wrap(err, "sweep");
    }
    return 0;
}

int deploy_remove(Deployer *d, const char *slug, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);

    keeper_set(d, slug, NULL);
    if (ingress_app_remove(d->ingress, slug, err) < 0)
        return -(int)err->code;
    for (char **uuid = list_releases(d, slug, mem); *uuid; uuid++)
        deploy_discard(d, *uuid);
    return 0;
}
