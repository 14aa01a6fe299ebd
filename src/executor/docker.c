/* Containers of Docker or Podman as an executor. A child speaks with the engine for each step, so that
 * whatever the engine does a cancel ends it; the job process itself only tells the engine to signal, kill and
 * remove. */
#include "executor/docker.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "executor/sandbox.h"
#include "executor/tree.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- before the first step ---- */

/* An image that runs as somebody else must be able to write what the checkout made. */
static int give_workspace(const ExecutorJob *job, Err *err) {
    int r;

    if (geteuid() != 0 || job->shared->uid == 0)
        return 0;
    r = file_chown_tree(job->workspace, job->shared->uid, job->shared->gid, err);
    return r < 0 ? r : file_chown_tree(job->handover, job->shared->uid, job->shared->gid, err);
}

/* Nobody else enters the outer folder; whoever the container's user is reads the inner one, by its mount. */
static int make_scratch(const ExecutorJob *job, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const char *scripts = mem_printf(mem, "%s" DOCKER_SCRIPTS, job->scratch);
    int r = file_mkdirs(job->scratch, 0700, err);

    if (r == 0)
        r = file_mkdirs(scripts, 0711, err);
    if (r == 0 && (chmod(job->scratch, 0700) < 0 || chmod(scripts, 0711) < 0))
        r = err_errno(err, "chmod %s", scripts);
    return r;
}

static int check(const ExecutorJob *job, Err *err) {
    if (*job->container.user && geteuid() != 0)
        return err_set(err, ERR_INVALID,
                       "user \"%s\": this runner is not root, so its containers run as its own user",
                       job->container.user);
    return 0;
}

static int prepare_in_child(ExecutorJob *job, void *arg, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    _cleanup_json_ json_t *image = NULL;
    const ExecutorContainer *container = &job->container;
    const int *out = arg;
    HttpClient *c;
    int r = check(job, err);

    if (r == 0)
        r = engine_open(mem, &c, err);
    if (r == 0)
        r = make_scratch(job, err);
    if (r == 0)
        r = image_ensure(c, container, container->image, *out, &image, err);
    if (r == 0)
        r = services_start(c, job, *out, err);
    if (r == 0)
        r = container_create(c, job, image, container->service_count ? engine_job_name(mem, job, "-net") : "",
                             err);
    if (r == 0)
        r = container_user(c, job, image, &job->shared->uid, &job->shared->gid, err);
    return r == 0 ? give_workspace(job, err) : r;
}

/* What an attempt before this one has left is gone before anything of the same name is made. */
static int docker_prepare(ExecutorJob *job, int out, pid_t *ret_pid, Err *err) {
    docker_sweep_slot(job);
    return executor_fork(job, prepare_in_child, &out, ret_pid, err);
}

/* ---- steps ---- */

static int step_in_child(ExecutorJob *job, void *arg, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    const ExecutorStep *step = arg;
    HttpClient *c;
    int r = engine_open(mem, &c, err);

    if (r < 0)
        return r;
    if (step->build) {
        r = make_scratch(job, err);
        return r < 0 ? r : docker_build(c, job, step->build, step->out, err);
    }
    r = container_run(c, job, step, err);
    if (r > 0 && job->container.service_count && !job->shared->shown) {
        services_show(c, job, step->out);
        job->shared->shown = true;
    }
    return r;
}

static int docker_start(ExecutorJob *job, const ExecutorStep *step, pid_t *ret_pid, Err *err) {
    return executor_fork(job, step_in_child, (void *)step, ret_pid, err);
}

static int tell_container(const ExecutorJob *job, const char *call, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HttpClient *c;
    int r = engine_open(mem, &c, err);

    if (r == 0)
        r = engine_call(
            c,
            &(EngineCall){.method = "POST",
                          .path = mem_printf(mem, "/containers/%s/%s", engine_job_name(mem, job, ""), call),
                          .timeout_us = ENGINE_SHORT_US},
            NULL, err);
    return r;
}

/* The container when it runs; else the child, which pulls, builds or waits. */
static void docker_ask(ExecutorJob *job, pid_t pid, int sig) {
    char call[64];
    Err err;

    snprintf(call, sizeof(call), "kill?signal=%d", sig);
    if (!job->shared->running || tell_container(job, call, &err) < 0)
        kill(pid, sig);
}

/* The engine answers to a SIGKILL when the container has ended. One that does not run may be about to:
 * another start waits for the one on its way, and has no script left that it could run. */
static void docker_stop(ExecutorJob *job) {
    char path[PATH_MAX];
    Err err;
    int r;

    tree_reap_all();
    if (!job->shared->running)
        return;
    r = tell_container(job, "kill?signal=9", &err);
    if (r == -ERR_CONFLICT || r == -ERR_INTERNAL) { /* Podman's word for it is 500 */
        snprintf(path, sizeof(path), "%s" DOCKER_SCRIPTS "/" DOCKER_STEP, job->scratch);
        unlink(path);
        r = tell_container(job, "start", &err);
        if (r == 0 || err.sys == 304)
            r = tell_container(job, "kill?signal=9", &err);
    }
    if (r < 0 && r != -ERR_NOT_FOUND && r != -ERR_CONFLICT)
        log_err("executor", "kill a container", &err);
    job->shared->running = false;
}

static void docker_look_back(ExecutorJob *job, void (*say)(void *arg, const char *line), void *arg) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    HttpClient *c;
    Err err;
    int r;

    if (job->container.service_count == 0)
        return;
    r = engine_open(mem, &c, &err);
    if (r >= 0)
        r = services_tell(c, job, say, arg, &err);
    if (r < 0)
        log_err("executor", "look how a job's services are", &err);
}

static void docker_finish(ExecutorJob *job) {
    Err err;

    docker_sweep_slot(job);
    if (file_remove_tree(job->scratch, &err) < 0)
        log_err("executor", "remove a container's scripts", &err);
}

const ExecutorOps executor_docker = {
    .name = "docker",
    .help = "a container of Docker or Podman, made for the job",
    .workspace_inside = SANDBOX_FOLDER,
    .shares = true,
    .own_system = true,
    .available = engine_available,
    .prepare = docker_prepare,
    .look_back = docker_look_back,
    .finish = docker_finish,
    .sweep = docker_sweep,
    .start = docker_start,
    .ask = docker_ask,
    .stop = docker_stop,
};
