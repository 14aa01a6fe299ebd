/* The HTTP API: a file a resource. A handler reads the request, calls a room, answers; no logic, no SQL. */
#pragma once

#include "auth/auth.h"
#include "build/build.h"
#include "http/server.h"
#include "ingress/ingress.h"
#include "queue/queue.h"

#define API_OWN_RUNNERS 16

/* What the handlers work with (http_arg). */
typedef struct Api {
    Builds *builds;
    struct Finished *finished; /* see api_init */
    Queue *queue;
    Ingress *ingress;    /* where applications are served; NULL: nothing is deployed */
    const char *url;     /* of this server: "http://127.0.0.1:8080" */
    const char *repos;   /* folder of the hosted repositories */
    const char *state;   /* the state directory, for the hook */
    const char *program; /* absolute path of this binary, for the hook */
    const char *version;
    gid_t repo_group;                                /* of the repositories' files, or (gid_t)-1 */
    int64_t runner_wait_us;                          /* the longest a lease call is held */
    int64_t session_us;                              /* how long a login lasts */
    unsigned char webhook_key[AUTH_KEY_SIZE];        /* what the secrets of webhooks are made from */
    _Atomic int64_t own_runners[API_OWN_RUNNERS];    /* ids of those that the server starts; 0: none */
    _Atomic int64_t own_tokens[API_OWN_RUNNERS + 1]; /* ids of theirs, and of the hooks' before them */
} Api;

/* Fills in what the room itself keeps, in mem. */
void api_init(Api *api, const void *mem);
/* All tables, NULL-terminated; handed to http_server_start with arg an Api. */
extern const HttpRoute *const api_tables[];
/* Whether the server starts this runner itself. */
bool api_own_runner(Api *api, int64_t id);
/* HttpServerOptions.schemas. */
extern const HttpSchema api_schemas[];
/* HttpServerOptions.authorize. */
int api_authorize(void *arg, HttpRequest *req, const HttpRoute *route, Err *err);
/* HttpServerOptions.still: the token is good as before. */
bool api_still(void *arg, HttpRequest *req);
/* HttpServerOptions.settle: what is answered survives a power loss. */
void api_settle(void *arg, HttpRequest *req);
