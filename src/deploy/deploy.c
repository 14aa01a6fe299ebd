#include "deploy/deployer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "deploy/health.h"
#include "deploy/spec.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/eventfd.h>

/* One deployment under way. */
typedef struct Run {
    Deployer *d;
    const DeployJob *job;
    const DeployHooks *hooks;
    ReleaseSpec *spec;
    Release *release;
    const char
        *old; /* the release that has the traffic, or had it before an earlier try of this one; or NULL */
    char *host;
    bool switched;
} Run;

bool deploy_uuid_valid(const char *uuid) {
    if (!uuid || strlen(uuid) != ID_UUID_SIZE - 1)
        return false;
    for (size_t i = 0; i < ID_UUID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? uuid[i] != '-' : !strchr("0123456789abcdef", uuid[i]))
            return false;
    }
    return true;
}

Release *deploy_release(Deployer *d, const char *uuid, const void *mem) {
    Release *r = mem_new(mem, Release);

    r->uuid = mem_strdup(r, uuid);
    r->dir = mem_printf(r, "%s/%s", d->dir, uuid);
    r->program = d->program;
    r->stop_us = d->stop_us;
    return r;
}

void deploy_discard(Deployer *d, const char *uuid) {
    _cleanup_talloc_ Release *r = deploy_release(d, uuid, NULL);
    Err err;

    if (d->runtime->stop(r, &err) < 0 || d->runtime->remove(r, &err) < 0)
        log_err("deploy", "remove a release", &err);
}

static int deployer_destroy(Deployer *d) {
    if (d->wake_fd >= 0)
        close(d->wake_fd);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->restored);
    return 0;
}

/* By its own name, for who looks at a list of processes; when that has been replaced by an upgrade, still
 * this one. */
static char *own_program(const void *mem) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[MAX(n, 0)] = '\0';
    return mem_strdup(mem, n > 0 && access(path, X_OK) == 0 ? path : "/proc/self/exe");
}

int deploy_new(const void *mem, const DeployOptions *o, Deployer **ret, Err *err) {
    _cleanup_talloc_ Deployer *d = mem_new(mem, Deployer);

    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->restored, NULL);
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    talloc_set_destructor(d, deployer_destroy);
    d->program = o->program ? mem_strdup(d, o->program) : own_program(d);
    d->ingress = o->ingress;
    d->drain_us = o->drain_us > 0 ? o->drain_us : 30 * US_PER_S;
    d->stop_us = o->stop_us > 0 ? o->stop_us : 10 * US_PER_S;
    d->runtime = &runtime_process;
    if (file_mkdirs(o->dir, 0711, err) < 0)
        return -(int)err->code;
    _cleanup_free_ char *absolute = realpath(o->dir, NULL);
    if (!absolute || d->wake_fd < 0)
        return err_errno(err, "%s", o->dir);
    d->dir = mem_strdup(d, absolute);
    if (keeper_start(d, err) < 0)
        return -(int)err->code;
    *ret = TAKE_PTR(d);
    return 0;
}

void deploy_free(Deployer *d) {
    if (!d)
        return;
    keeper_end(d);
    talloc_free(d);
}

int deploy_spec_check(const char *spec, Err *err) {
    return runtime_process.check(spec, err);
}

/* ---- one deployment ---- */

static void say(Run *run, const char *fmt, ...) _printf_(2, 3);

static void say(Run *run, const char *fmt, ...) {
    char line[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (run->hooks->log && n >= 0)
        run->hooks->log(run->hooks->arg, line, MIN((size_t)n, sizeof(line) - 1));
}

/* What the application said last, a line at a time. */
static void say_tail(Run *run) {
    char tail[4096], *rest = tail, *line;

    run->d->runtime->tail(run->release, tail, sizeof(tail));
    if (*tail)
        say(run, "the last output of the application:");
    while ((line = strsep(&rest, "\n")))
        if (*line)
            say(run, "    %s", line);
}

static int check_cancel(Run *run, Err *err) {
    struct pollfd cancel = {.fd = run->hooks->cancel_fd, .events = POLLIN};

    return poll(&cancel, 1, 0) > 0 ? err_set(err, ERR_CANCELLED, "cancelled") : 0;
}

static int check_job(Run *run, Err *err) {
    const DeployJob *job = run->job;

    if (!deploy_uuid_valid(job->uuid) || (job->previous && !deploy_uuid_valid(job->previous)))
        return err_set(err, ERR_INVALID, "a deployment's id is a UUID");
    if (!ingress_slug_valid(job->slug))
        return err_set(err, ERR_INVALID, "\"%.80s\" cannot be a host name", job->slug ? job->slug : "");
    if (job->commit && !str_is_commit(job->commit))
        return err_set(err, ERR_INVALID, "\"%.80s\" is not a commit", job->commit);
    return release_spec_parse(job->spec, run->release, &run->spec, err);
}

/* The last line of its output that is not a note of ours; "" when there is none. */
static const char *last_line(Run *run, char *tail, size_t size) {
    const char *last = "";
    char *rest = tail, *line;

    run->d->runtime->tail(run->release, tail, size);
    while ((line = strsep(&rest, "\n")))
        if (*line && !str_after(line, "-- pelton"))
            last = line;
    return last;
}

/* For the health check: where it is now. Its end, or that of its supervisor, is the end of the wait, with its
 * last words. */
static int where(void *arg, char *address, size_t size, Err *err) {
    Run *run = arg;
    RuntimeStatus status;
    char tail[1024];
    const char *last;

    if (run->d->runtime->status(run->release, &status, err) < 0)
        return -(int)err->code;
    if (!status.failed) {
        snprintf(address, size, "%s", status.address);
        return 0;
    }
    last = last_line(run, tail, sizeof(tail));
    return err_set(err, ERR_INVALID, "%s before it was healthy%s%.200s", status.message,
                   *last ? "; its last output: " : "", last);
}

static int await_health(Run *run, Err *err) {
    HealthCheck check = {.host = run->host,
                         .path = run->spec->health_path,
                         .timeout_us = run->spec->health_timeout_us,
                         .cancel_fd = run->hooks->cancel_fd,
                         .where = where,
                         .arg = run};
    char human[CLOCK_RFC3339_SIZE];
    _cleanup_close_ int watch = -1;
    int64_t took = 0;

    if (run->d->runtime->watch(run->release, &watch, err) < 0)
        return -(int)err->code;
    check.watch_fd = watch;
    if (health_wait(&check, &took, err) < 0) {
        say_tail(run);
        return -(int)err->code;
    }
    say(run, "healthy after %s (GET %s)", clock_human(took, human), run->spec->health_path);
    return run->d->runtime->confirm(run->release, err);
}

static int bring_up(Run *run, Err *err) {
    const RuntimeOps *runtime = run->d->runtime;
    RuntimeStatus status;

    say(run, "unpacking the release");
    if (runtime->prepare(run->release, run->job->artifact_fd, run->hooks->cancel_fd, err) < 0 ||
        check_cancel(run, err) < 0 || runtime->start(run->release, false, err) < 0 ||
        runtime->status(run->release, &status, err) < 0)
        return -(int)err->code;
    say(run, "started: %s (PORT=%s)", run->spec->start, strrchr(status.address, ':') + 1);
    return await_health(run, err);
}

/* From the commit's success on there is no way back. */
static int move_traffic(Run *run, const char *url, Err *err) {
    Deployer *d = run->d;
    RuntimeStatus status;

    if (d->runtime->status(run->release, &status, err) < 0 || check_cancel(run, err) < 0 ||
        ingress_server_add(d->ingress, run->job->slug, run->job->uuid, status.address, err) < 0)
        return -(int)err->code;
    keeper_set(d, run->job->slug, run->job->uuid);
    run->switched = true;
    if (ingress_switch(d->ingress, run->job->slug, run->job->uuid, err) < 0)
        return -(int)err->code;
    if (run->hooks->commit && run->hooks->commit(run->hooks->arg, url, err) < 0)
        return err_wrap(err, "record the deployment");
    say(run, "live at %s", url);
    return 0;
}

static void retire(Run *run, const char *uuid, int64_t grace) {
    Err err;

    if (!uuid || str_eq(uuid, run->job->uuid))
        return;
    say(run, "draining the release before, %s", uuid);
    if (ingress_drain(run->d->ingress, run->job->slug, uuid, grace, -1, &err) < 0) {
        log_err("deploy", "drain", &err);
        return;
    }
    deploy_discard(run->d, uuid);
}

/* The old release gets the traffic again, if it had it; of the new one nothing is left. */
static void undo(Run *run) {
    Deployer *d = run->d;
    const char *old = run->old;
    Err err;

    if (run->switched) {
        keeper_set(d, run->job->slug, old);
        if (old && ingress_switch(d->ingress, run->job->slug, old, &err) < 0)
            log_err("deploy", "switch back", &err);
    }
    if (old && ingress_drain(d->ingress, run->job->slug, run->job->uuid, d->drain_us, -1, &err) < 0)
        log_err("deploy", "drain", &err);
    if (ingress_server_remove(d->ingress, run->job->slug, run->job->uuid, &err) < 0)
        log_err("deploy", "undo", &err);
    deploy_discard(d, run->job->uuid);
}

static void fill_release(Run *run) {
    run->release = deploy_release(run->d, run->job->uuid, NULL);
    run->release->slug = run->job->slug;
    run->release->commit = run->job->commit;
    run->release->spec = run->job->spec;
    run->release->env = run->job->env;
}

int deploy_run(Deployer *d, const DeployJob *job, const DeployHooks *hooks, const void *mem, char **ret_url,
               Err *err) {
    Run run = {.d = d, .job = job, .hooks = hooks};
    _cleanup_talloc_ Release *scope = NULL;
    _cleanup_talloc_ char *url = NULL, *before = NULL;
    int r;

    fill_release(&run);
    scope = run.release; /* NOLINT(clang-analyzer-deadcode.DeadStores): freed when the scope ends */
    r = check_job(&run, err);
    if (r < 0)
        return r;
    deploy_restore_wait(d);
    before = ingress_live(d->ingress, job->slug, NULL);
    run.old = before && !str_eq(before, job->uuid) ? before : job->previous;
    if (str_eq(run.old, job->uuid))
        run.old = NULL;
    url = ingress_url(d->ingress, job->slug, NULL);
    run.host = mem_strndup(run.release, url + strlen("http://"), strcspn(url + strlen("http://"), "/"));
    r = bring_up(&run, err);
    if (r >= 0)
        r = move_traffic(&run, url, err);
    if (r < 0) {
        undo(&run);
        return r;
    }
    retire(&run, run.old, d->drain_us);
    if (!str_eq(run.old, job->previous))
        retire(&run, job->previous, d->drain_us);
    *ret_url = mem_strdup(mem, url);
    return 0;
}

int deploy_log_open(Deployer *d, const char *uuid, int *ret_fd, Err *err) {
    _cleanup_talloc_ char *path =
        mem_printf(NULL, "%s/%s/app.log", d->dir, deploy_uuid_valid(uuid) ? uuid : "none");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return err_errno(err, "the output of the release");
    *ret_fd = fd;
    return 0;
}
