/* Finds the route of a path. Built once from the constant tables into a tree of segments; within a place in
 * the tree a plain segment wins over "{name}", and that over "{name*}". Immutable once built: any thread. */
#pragma once

#include "http/server.h"

#define ROUTER_PARAMS_MAX 8

typedef struct Router Router;
typedef struct RouterEntry RouterEntry;

/* A part of the request's path, as sent (percent-encoded). */
typedef struct RouterSpan {
    const char *at;
    size_t len;
} RouterSpan;

typedef struct RouterMatch {
    const RouterEntry *entry; /* NULL: no route of that method */
    unsigned allowed; /* when entry is NULL: a bit for each method that the path has (1 << HttpMethod) */
    RouterSpan values[ROUTER_PARAMS_MAX];
} RouterMatch;

/* tables: as HttpServerOptions.tables. ERR_INVALID names the route that is wrong or collides. */
_must_check_ int router_new(const void *mem, const HttpRoute *const *tables, Router **ret, Err *err);
/* path begins with '/' and has no query. True when there is a route; out->values borrow from path. */
bool router_find(const Router *r, HttpMethod method, const char *path, RouterMatch *out);

const HttpRoute *router_entry_route(const RouterEntry *e);
unsigned router_entry_params(const RouterEntry *e);
const char *router_entry_param(const RouterEntry *e, unsigned i);
