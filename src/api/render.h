/* Inside the room: rows as JSON, and what several resources need. */
#pragma once

#include "api/api.h"

#define JSON "application/json"
#define TEXT "text/plain"

static inline Api *api_of(const HttpRequest *req) {
    return http_arg(req);
}

/* How the routes of document 3 word their errors: a line of plain text, or our JSON for who asks for it
 * (Accept). */
extern const HttpFamily family_git_ci;

/* BuildInfo of contracts/git-ci.md, as the fields of the object that is open. */
void render_build_fields(JsonWriter *w, const Build *b);
void render_build(JsonWriter *w, const char *key, const Build *b);
void render_deployment(HttpRequest *req, JsonWriter *w, const Deployment *d);
/* In the schema of a body: a field that it does not have is refused, and the nearest named. For our own
 * routes; clients of the founding documents, and runners of other versions, may send what they like. */
#define ONLY_THESE "\"additionalProperties\":false"

/* Of an attempt. */
void render_steps(JsonWriter *w, const Step *steps, size_t count);
/* The job whose attempts, steps and logs this one's are: its own, or that of which it is a copy. */
static inline int64_t log_job(const Job *job) {
    return job->copied_from ? job->copied_from : job->id;
}
/* The request's Idempotency-Key, by which it is known again; NULL without one. */
_must_check_ int read_delivery(HttpRequest *req, const char **ret, Err *err);
/* A field that is missing or of the wrong type, where a founding document's clients know it as 422. Gives 0,
 * for the handler to return. */
int reply_unprocessable(HttpRequest *req, const Err *err);
/* {"id","status","message","url"}, without the braces. */
void render_outcome(HttpRequest *req, JsonWriter *w, const BuildOutcome *outcome);
/* 202 with the build, 200 when none came of it. */
void reply_outcome(HttpRequest *req, const BuildOutcome *outcome);

/* The path's {id}, which is a build's; ERR_NOT_FOUND "Build not found: x". */
_must_check_ int build_id(HttpRequest *req, int64_t *ret, Err *err);
/* The build itself, likewise. */
_must_check_ int load_build(HttpRequest *req, Build **ret, Err *err);
/* The project of the path's {name} or the query's repo; ERR_NOT_FOUND "Repository 'x' not found". */
_must_check_ int load_project(HttpRequest *req, const char *name, Project **ret, Err *err);
/* The same, without those that have no repository (stored pipelines). */
_must_check_ int load_repository(HttpRequest *req, const char *name, Project **ret, Err *err);
/* Variables given by hand: names of variables, none that we set ourselves, texts. ERR_INVALID names the
 * field. */
_must_check_ int check_env(const char *field, json_t *env, Err *err);
/* "http://…/builds/7", in the request's memory. */
const char *build_url(HttpRequest *req, int64_t id);
