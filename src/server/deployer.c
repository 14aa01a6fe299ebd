#include "server/deployer.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "build/remove.h"
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define MAX_AT_ONCE 4  /* deploys */
#define MAX_CLAIMED 64 /* and those that wait for their turn: one project's do not keep another's from it */
#define RELEASE_ARTIFACT ".pelton/release.tar.zst"

typedef struct Run Run;
struct Run {
    Run *next;
    DeployAgent *agent;
    TALLOC_CTX *mem;
    ClaimedJob claimed;
    Deployment *deployment;
    pthread_t thread;
    int cancel_fd;
    bool lost;    /* the lease is gone: say nothing */
    bool done;    /* the thread may be joined */
    bool waiting; /* for its turn */
    bool asked;   /* to stop */
    uint64_t log; /* bytes */
};

struct DeployAgent {
    Builds *b;
    Deployer *deployer;
    int64_t runner_id;
    pthread_t thread, remover;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    BusSubscription *on_work, *on_call;
    Run *runs;
    size_t count;
    bool look, stop;
    bool leaving; /* a repository may have been deleted, or a release stopped */
};

/* ---- one deploy ---- */

static void log_line(void *arg, const char *line, size_t len) {
    Run *run = arg;
    _cleanup_buf_ Buf text = BUF_INIT;
    const Job *job = &run->claimed.job;
    uint64_t next;
    Err err;

    buf_add(&text, line, len);
    buf_addc(&text, '\n');
    if (blob_log_append(run->agent->b->blob, job->id, job->attempt, run->log, text.data, text.len, &next,
                        &err) < 0)
        log_err("deploy", "write the log", &err);
    else
        run->log += text.len;
}

static int go_live(Run *run, const char *url, Err *err) {
    Db *db = run->agent->b->db;
    Deployment *d = run->deployment;
    int64_t now = clock_now();
    Err doubt;
    int r = db_begin(db, err);

    if (r < 0)
        return r;
    r = store_deployment_supersede(db, d->project_id, err);
    if (r >= 0)
        r = store_deployment_set(db, d->id, "live", NULL, 0, url, NULL, now, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    if (r >= 0 && db_durable(db, db_promised(db), 0, &doubt) < 0) /* committed all the same */
        log_err("deploy", "a deployment that is live may not survive a power loss", &doubt);
    return r;
}

static int commit_live(void *arg, const char *url, Err *err) {
    return go_live(arg, url, err);
}

static int begin(Run *run, const Artifact *a, Err *err) {
    Db *db = run->agent->b->db;
    int r = db_begin(db, err);

    if (r < 0)
        return r;
    r = store_deployment_set(db, run->deployment->id, "deploying", a->sha256, a->size, NULL, NULL,
                             clock_now(), err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    return r;
}

/* The object `deploy` of the job's specification, as text. */
static int deploy_spec(const char *job_spec, const void *mem, const char **ret, Err *err) {
    _cleanup_json_ json_t *spec = NULL;
    _cleanup_free_ char *text = NULL;
    json_t *deploy = NULL;
    int r = json_read(job_spec, strlen(job_spec), &spec, err);

    if (r >= 0)
        r = json_opt_object(spec, "deploy", &deploy, err);
    if (r < 0)
        return r;
    text = json_dumps(deploy, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_INTERNAL, "the job has no deploy specification");
    *ret = mem_strdup(mem, text);
    return 0;
}

static int deploy_it(Run *run, const Deployment *live, Err *err) {
    DeployAgent *agent = run->agent;
    DeployHooks hooks = {.log = log_line, .commit = commit_live, .cancel_fd = run->cancel_fd, .arg = run};
    DeployJob job = {.uuid = run->deployment->uuid,
                     .slug = run->deployment->slug,
                     .commit = run->deployment->commit,
                     .previous = live ? live->uuid : NULL};
    ArtifactWish wish = {.build_id = run->deployment->build_id, .path = RELEASE_ARTIFACT, .name = ""};
    _cleanup_close_ int fd = -1;
    Artifact *a;
    char *url;
    int r = store_artifact_load(agent->b->db, &wish, run->mem, &a, err);

    if (r < 0)
        return err_wrap(err, "the release's files");
    r = blob_object_open(agent->b->blob, a->sha256, (uint64_t)a->size, &fd, err);
    if (r >= 0)
        r = deploy_spec(run->claimed.job.spec, run->mem, &job.spec, err);
    if (r >= 0)
        r = begin(run, a, err);
    if (r < 0)
        return r;
    job.artifact_fd = fd;
    return deploy_run(agent->deployer, &job, &hooks, run->mem, &url, err);
}

/* ERR_CONFLICT: a newer build of the project is live already, so this one would take it back. */
static int deploy_unless_older(Run *run, Err *err) {
    Deployment *live;
    int r = store_deployment_live(run->agent->b->db, run->deployment->project_id, run->mem, &live, err);

    if (r < 0)
        return r;
    if (live && str_eq(live->uuid, run->deployment->uuid)) {
        log_line(run, "live already", strlen("live already"));
        return 0;
    }
    if (live && live->build_id > run->deployment->build_id)
        return err_set(err, ERR_CONFLICT, "build %" PRId64 ", which is newer, is live already",
                       live->build_id);
    return deploy_it(run, live, err);
}

static const char *reason_of(ErrCode code) {
    switch (code) {
    case ERR_CONFLICT:
        return "superseded";
    case ERR_CANCELLED:
        return "user";
    case ERR_NO_SPACE:
        return "infrastructure";
    default:
        return "exit";
    }
}

static void report(Run *run, int result, const Err *failure) {
    const Job *job = &run->claimed.job;
    JobReport end = {.attempt = {.job = job->id, .attempt = job->attempt},
                     .runner_id = run->agent->runner_id,
                     .state = "success",
                     .reason = "",
                     .message = "",
                     .exit_code = result < 0 ? 1 : 0,
                     .log_size = (int64_t)run->log};
    uint64_t next;
    bool stop;
    Err err;

    if (result < 0) {
        bool cancelled = failure->code == ERR_CANCELLED || failure->code == ERR_CONFLICT;

        end.state = cancelled ? "cancelled" : "failed";
        end.reason = reason_of(failure->code);
        end.message = failure->msg;
        log_line(run, failure->msg, strlen(failure->msg));
        end.log_size = (int64_t)run->log;
    }
    if (build_report(run->agent->b, &end, &next, &stop, &err) < 0)
        log_err("deploy", "report a deploy", &err);
}

/* Deploys of one project are done one by one, in the order of their builds. */
static bool my_turn(const Run *run) {
    size_t under_way = 0;

    for (const Run *other = run->agent->runs; other; other = other->next) {
        if (other == run || other->done)
            continue;
        under_way += !other->waiting;
        if (other->claimed.project->id == run->claimed.project->id &&
            (!other->waiting || other->claimed.build->id < run->claimed.build->id))
            return false;
    }
    return under_way < MAX_AT_ONCE;
}

/* Who is asked to stop waits no longer: it has its turn to say so. */
static bool wait_turn(Run *run) {
    DeployAgent *agent = run->agent;
    bool go;

    pthread_mutex_lock(&agent->lock);
    while (!my_turn(run) && !agent->stop && !run->asked)
        pthread_cond_wait(&agent->changed, &agent->lock);
    go = !agent->stop && !run->lost;
    if (!run->asked)
        run->waiting = false;
    pthread_cond_broadcast(&agent->changed);
    pthread_mutex_unlock(&agent->lock);
    return go;
}

static void *run_main(void *arg) {
    Run *run = arg;
    DeployAgent *agent = run->agent;
    bool silent = !wait_turn(run);
    Err err;

    if (!silent) {
        int r = store_deployment_by_job(agent->b->db, run->claimed.job.id, run->mem, &run->deployment, &err);

        if (r >= 0 && run->waiting)
            r = err_set(&err, ERR_CANCELLED, "cancelled before it began");
        if (r >= 0)
            r = deploy_unless_older(run, &err);
        pthread_mutex_lock(&agent->lock);
        /* when the server stops, deploy_agent_stop gives the lease back, for the next one */
        silent = run->lost || (agent->stop && r == -ERR_CANCELLED);
        pthread_mutex_unlock(&agent->lock);
        if (!silent)
            report(run, r, &err);
    }
    pthread_mutex_lock(&agent->lock);
    run->done = true;
    agent->look = agent->leaving = true;
    pthread_cond_broadcast(&agent->changed);
    pthread_mutex_unlock(&agent->lock);
    return NULL;
}

/* ---- the agent ---- */

static void run_free(Run *run) {
    pthread_join(run->thread, NULL);
    close(run->cancel_fd);
    talloc_free(run->mem);
}

/* Called with the lock. */
static void collect(DeployAgent *a) {
    for (Run **link = &a->runs; *link;) {
        Run *run = *link;

        if (!run->done) {
            link = &run->next;
            continue;
        }
        *link = run->next;
        a->count--;
        pthread_mutex_unlock(&a->lock);
        run_free(run);
        pthread_mutex_lock(&a->lock);
        link = &a->runs;
    }
}

static int run_start(DeployAgent *a, TALLOC_CTX *mem, const ClaimedJob *claimed) {
    Run *run = mem_new(mem, Run);
    int r;

    *run = (Run){.agent = a, .mem = mem, .claimed = *claimed, .waiting = true};
    run->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (run->cancel_fd < 0)
        return -1;
    pthread_mutex_lock(&a->lock);
    r = pthread_create(&run->thread, NULL, run_main, run);
    if (r == 0) {
        run->next = a->runs;
        a->runs = run;
        a->count++;
    }
    pthread_mutex_unlock(&a->lock);
    if (r != 0)
        close(run->cancel_fd);
    return r == 0 ? 0 : -1;
}

static bool claim_next(DeployAgent *a) {
    static const char *const executors[] = {"deploy", NULL};
    TALLOC_CTX *mem = talloc_new(NULL);
    BuildClaim wish = {.runner_id = a->runner_id, .offer = {.executors = executors, .arch = ""}, .max = 1};
    Claimed claimed = {0};
    Err err;

    if (build_claim(a->b, &wish, mem, &claimed, &err) < 0)
        log_err("deploy", "claim a deploy", &err);
    if (claimed.count == 0) {
        talloc_free(mem);
        return false;
    }
    if (run_start(a, mem, &claimed.jobs[0]) < 0) {
        log_error("deploy", "no thread for a deploy; its lease will run out");
        talloc_free(mem);
        return false;
    }
    return true;
}

static void apply_stops(DeployAgent *a, const StopOrder *stops, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (Run *run = a->runs; run; run = run->next) {
            if (run->claimed.job.id != stops[i].attempt.job || run->done)
                continue;
            run->lost = str_eq(stops[i].reason, "stale");
            run->asked = true;
            eventfd_write(run->cancel_fd, 1);
        }
    }
    pthread_cond_broadcast(&a->changed);
}

static void renew(DeployAgent *a) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Attempt *running;
    StopOrder *stops;
    size_t count = 0, stop_count;
    Err err;

    pthread_mutex_lock(&a->lock);
    running = mem_array(mem, Attempt, a->count + 1);
    for (Run *run = a->runs; run; run = run->next)
        if (!run->done)
            running[count++] = (Attempt){.job = run->claimed.job.id, .attempt = run->claimed.job.attempt};
    pthread_mutex_unlock(&a->lock);
    if (build_renew(a->b, a->runner_id, running, count, mem, &stops, &stop_count, &err) < 0) {
        log_err("deploy", "renew leases", &err);
        return;
    }
    pthread_mutex_lock(&a->lock);
    apply_stops(a, stops, stop_count);
    pthread_mutex_unlock(&a->lock);
}

static void *agent_main(void *arg) {
    DeployAgent *a = arg;

    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        struct timespec until;
        int64_t next;
        bool room;

        a->look = false;
        collect(a);
        room = a->count < MAX_CLAIMED;
        pthread_mutex_unlock(&a->lock);
        if (a->runs)
            renew(a);
        room = room && claim_next(a);
        pthread_mutex_lock(&a->lock);
        next = clock_now() + a->b->options.lease_us / 4;
        until = (struct timespec){.tv_sec = next / US_PER_S, .tv_nsec = next % US_PER_S * 1000};
        while (!a->stop && !a->look && !room) {
            if (!a->runs)
                pthread_cond_wait(&a->changed, &a->lock);
            else if (pthread_cond_timedwait(&a->changed, &a->lock, &until) != 0)
                break;
        }
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- repositories that were deleted ---- */

static void take_off(DeployAgent *a) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Project *projects;
    size_t count = 0;
    Err err;

    if (build_repos_leaving(a->b, mem, &projects, &count, &err) < 0)
        log_err("deploy", "look for repositories that were deleted", &err);
    for (size_t i = 0; i < count; i++)
        if (deploy_remove(a->deployer, projects[i].slug, &err) < 0 ||
            build_repo_left(a->b, projects[i].id, &err) < 0)
            log_err("deploy", "take off what a deleted repository had live", &err);
}

/* Whether a deploy of its project is under way, which drains what it replaces by itself. */
static bool being_deployed(DeployAgent *a, const Deployment *d) {
    bool under_way = false;

    pthread_mutex_lock(&a->lock);
    for (const Run *run = a->runs; run; run = run->next)
        under_way |= !run->done && run->claimed.project->id == d->project_id;
    pthread_mutex_unlock(&a->lock);
    return under_way;
}

/* A deployment that has ended, and is not live, stays so. What is not known, or cannot be looked up, is left
 * alone. */
static bool still_wanted(void *arg, const char *uuid) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    static const char *const ended[] = {"superseded", "failed", "cancelled"};
    DeployAgent *a = arg;
    Deployment *d;
    Err err;

    if (store_deployment_by_uuid(a->b->db, uuid, mem, &d, &err) < 0)
        return true;
    for (size_t i = 0; i < ELEMENTS(ended); i++)
        if (str_eq(d->status, ended[i]))
            return being_deployed(a, d);
    return true;
}

/* What was stopped by hand, and what a server that died had not got to. */
static void sweep(DeployAgent *a) {
    Err err;

    if (deploy_sweep(a->deployer, still_wanted, a, &err) < 0)
        log_err("deploy", "stop what is not live any more", &err);
}

/* A release has its time to stop: a thread of its own, so that deploys and their leases do not wait. */
static void *remover_main(void *arg) {
    DeployAgent *a = arg;

    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        a->leaving = false;
        pthread_mutex_unlock(&a->lock);
        take_off(a);
        sweep(a);
        pthread_mutex_lock(&a->lock);
        while (!a->stop && !a->leaving)
            pthread_cond_wait(&a->changed, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void wake(void *arg, int64_t key) {
    DeployAgent *a = arg;

    pthread_mutex_lock(&a->lock);
    a->look = a->leaving = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* ---- bringing back what was live ---- */

static int open_artifact(void *arg, const char *uuid, int *ret_fd, Err *err) {
    DeployAgent *a = arg;
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Deployment *d;
    int r = store_deployment_by_uuid(a->b->db, uuid, mem, &d, err);

    return r < 0 ? r : blob_object_open(a->b->blob, d->sha256, (uint64_t)d->size, ret_fd, err);
}

static int restore(DeployAgent *a, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    Deployment *rows;
    DeployLive *live;
    size_t count;
    int r = store_deployments_live(a->b->db, mem, &rows, &count, err);

    if (r < 0)
        return r;
    live = mem_array(mem, DeployLive, count + 1);
    for (size_t i = 0; i < count; i++) {
        live[i] = (DeployLive){.uuid = rows[i].uuid, .slug = rows[i].slug, .commit = rows[i].commit};
        r = deploy_spec(rows[i].spec, mem, &live[i].spec, err);
        if (r < 0)
            return err_wrap(err, "deployment %s", rows[i].uuid);
    }
    return deploy_restore(a->deployer, live, count, open_artifact, a, err);
}

static int register_agent(DeployAgent *a, Err *err) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    char uuid[ID_UUID_SIZE];
    Runner row = {.uuid = uuid,
                  .name = SERVER_RUNNER,
                  .arch = "",
                  .labels = "{}",
                  .executors = "[\"deploy\"]",
                  .slots = MAX_AT_ONCE,
                  .version = PELTON_VERSION,
                  .created_at = clock_now()};
    int r = db_begin(a->b->db, err);

    if (r < 0)
        return r;
    id_uuid(uuid);
    r = store_runner_put(a->b->db, &row, mem, err);
    if (r >= 0)
        r = db_commit(a->b->db, err);
    db_rollback(a->b->db);
    a->runner_id = row.id;
    return r;
}

/* Nothing runs in a new process: what an earlier one had leased is given up now rather than when its lease
 * ends. */
static int give_up_old(DeployAgent *a, Err *err) {
    return build_abandon(a->b, a->runner_id, err);
}

int deploy_agent_start(Builds *b, Deployer *deployer, DeployAgent **ret, Err *err) {
    DeployAgent *a = mem_new(NULL, DeployAgent);
    int r;

    a->b = b;
    a->deployer = deployer;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    r = register_agent(a, err);
    if (r >= 0)
        r = give_up_old(a, err);
    if (r >= 0)
        r = restore(a, err);
    if (r < 0)
        return r;
    a->on_work = bus_subscribe(b->bus, BUS_DEPLOY, 0, wake, a);
    a->on_call = bus_subscribe(b->bus, BUS_RUNNER, a->runner_id, wake, a);
    if (pthread_create(&a->thread, NULL, agent_main, a) != 0 ||
        pthread_create(&a->remover, NULL, remover_main, a) != 0)
        return err_set(err, ERR_INTERNAL, "start the deployer's threads");
    *ret = a;
    return 0;
}

void deploy_agent_stop(DeployAgent *a) {
    Err err;

    bus_unsubscribe(a->on_work);
    bus_unsubscribe(a->on_call);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    for (Run *run = a->runs; run; run = run->next)
        eventfd_write(run->cancel_fd, 1);
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_join(a->remover, NULL);
    while (a->runs) {
        Run *run = a->runs;

        a->runs = run->next;
        run_free(run);
    }
    if (build_hand_back(a->b, a->runner_id, &err) < 0)
        log_err("deploy", "give back the deploys that were not done", &err);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    talloc_free(a);
}
