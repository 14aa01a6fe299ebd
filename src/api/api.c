#include "api/api.h"

#include "api/finished.h"
#include "base/str.h"

/* A push and a job's end are followed by a lease within this time, when there is something to be leased: its
 * sync serves them all. */
#define PATIENCE_US 400

extern const HttpRoute api_access[], api_artifacts[], api_builds[], api_caches[], api_deployments[],
    api_downloads[], api_events[], api_jobs[], api_lease[], api_logs[], api_misc[], api_pulls[], api_queue[],
    api_repos[], api_rerun[], api_runners[], api_secrets[], api_pipelines[], api_pipeline_hook[],
    api_executions[];

const HttpRoute *const api_tables[] = {
    api_misc,   api_access,      api_repos,     api_builds,        api_logs,       api_rerun,  api_artifacts,
    api_events, api_deployments, api_queue,     api_runners,       api_secrets,    api_caches, api_lease,
    api_jobs,   api_downloads,   api_pipelines, api_pipeline_hook, api_executions, api_pulls,  NULL,
};

void api_init(Api *api, const void *mem) {
    api->finished = finished_new(mem);
}

int api_authorize(void *arg, HttpRequest *req, const HttpRoute *route, Err *err) {
    Api *api = arg;
    int r = auth_authorize(api->builds->db, req, route->roles, err);

    /* git asks its user for a password only when it is challenged this way; a browser must not be */
    if (r == -ERR_UNAUTHORIZED && str_eq(route->tag, "git"))
        http_add_header(req, "WWW-Authenticate", "Basic realm=\"pelton\"");
    return r >= 0 && route->grows ? disk_check(&api->builds->disk, err) : r;
}

bool api_still(void *arg, HttpRequest *req) {
    Api *api = arg;

    return auth_still(api->builds->db, http_principal(req));
}

static void release(void *arg, const Err *err) {
    http_release(arg, err);
}

void api_settle(void *arg, HttpRequest *req) {
    Api *api = arg;
    Db *db = api->builds->db;
    int64_t patience = http_promise(req) == HTTP_PROMISE_URGENT ? 0 : PATIENCE_US;
    uint64_t position = db_promised(db);
    Err err;

    if (db_is_durable(db, position))
        return;
    if (!http_may_block(req))
        db_when_durable(db, position, patience, release, http_hold(req));
    else if (db_durable(db, position, patience, &err) < 0)
        http_reply_instead(req, &err);
}
