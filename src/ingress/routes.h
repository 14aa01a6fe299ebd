/* What the ingress should do: applications, their slots (pre-made backends of HAProxy) and releases, kept in
 * routes.json. Not thread-safe: ingress.c holds its lock. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum RouteState {
    ROUTE_ADDED,    /* known, gets nothing */
    ROUTE_LIVE,     /* gets the application's traffic; at most one an application */
    ROUTE_DRAINING, /* was live: finishes what it has */
} RouteState;

typedef struct RouteServer {
    char *release;
    char *address; /* "127.0.0.1:PORT" */
    RouteState state;
    int64_t generation; /* of the HAProxy that was the newest when it was added */
} RouteServer;

typedef struct RouteApp {
    char *slug;
    unsigned slot; /* its backend is "app<slot>" */
    RouteServer *servers;
    size_t count;
} RouteApp;

/* An older HAProxy that serves its last requests after a reload. */
typedef struct RouteOld {
    pid_t pid;
    uint64_t started; /* field 22 of /proc/PID/stat, so that a pid used again is not mistaken for it */
    int64_t generation;
} RouteOld;

typedef struct Routes {
    char *listen;       /* the setting that `address` was chosen for */
    char *address;      /* "ADDR:PORT" with the port that holds */
    char *bound;        /* the address of the HAProxy that was started last, NULL: not known */
    char *config;       /* digest of the configuration without routes that HAProxy was started with */
    unsigned slots;     /* backends of the running configuration */
    int64_t generation; /* one more with each start; names the runtime socket */
    RouteApp *apps;
    size_t count;
    RouteOld *old;
    size_t old_count;
} Routes;

Routes *routes_new(const void *mem);
/* An absent file leaves the routes empty; a broken one is an error. */
_must_check_ int routes_load(Routes *r, const char *path, Err *err);
_must_check_ int routes_save(const Routes *r, const char *path, Err *err);

RouteApp *routes_app(const Routes *r, const char *slug);
/* Takes the lowest free slot. */
RouteApp *routes_app_add(Routes *r, const char *slug);
void routes_app_remove(Routes *r, const char *slug);
RouteServer *routes_server(const RouteApp *app, const char *release);
RouteServer *routes_server_add(Routes *r, RouteApp *app, const char *release, const char *address);
void routes_server_remove(RouteApp *app, const char *release);
RouteServer *routes_live(const RouteApp *app);
/* The number of slots that must be there for the applications of now. */
unsigned routes_slots_needed(const Routes *r);

bool route_slug_valid(const char *slug);
/* [A-Za-z0-9_-], 1 to 63. */
bool route_release_valid(const char *release);
/* "IPv4:PORT" with a port of 1..65535. */
bool route_address_valid(const char *address);
