/* HAProxy in front of the deployed applications: one process that outlives the server and is driven over its
 * runtime socket. An application is a host name, "<slug>.<domain>"; it has releases (servers), at most one of
 * them live.
 *
 * Everything is kept in <dir>: routes.json (what should be), haproxy.cfg and hosts.map (the same for
 * HAProxy's next start), the runtime socket, the pid file and the pages for errors. All functions are
 * thread-safe and repeatable: doing again what is done already changes nothing, and what HAProxy has lost is
 * given to it again. */
#pragma once

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Ingress Ingress;

typedef struct IngressOptions {
    const char *dir;    /* made when it is not there */
    const char *listen; /* "ADDR:PORT" or "[ADDR]:PORT"; port 0: a free one, the same again after a restart */
    const char *domain; /* NULL: "localhost" */
    const char *url;    /* "https://DOMAIN[:PORT]", where a proxy is before HAProxy; NULL: there is none */
    const char *const *proxies; /* whose X-Forwarded-For is believed: addresses and networks; or NULL */
    const char *program;        /* NULL: "haproxy" of PATH or /usr/sbin */
    unsigned spares;            /* applications that fit before the first reload; 0: 64 */
} IngressOptions;

/* Reads what an earlier process left; starts nothing, is quick. A bad option is ERR_INVALID. */
_must_check_ int ingress_new(const void *mem, const IngressOptions *options, Ingress **ret, Err *err);
/* Before ingress_start: whether HAProxy can listen at the address, or an earlier server's does. A port that
 * was ours to choose is chosen anew when somebody has taken it; another one is ERR_UNAVAILABLE, with what to
 * do. */
_must_check_ int ingress_claim(Ingress *in, Err *err);
/* Starts the thread that looks after HAProxy: in the background it finds the running one, or starts it when
 * there are applications, and starts it again when it dies. */
_must_check_ int ingress_start(Ingress *in, Err *err);
/* Ends the thread and frees; HAProxy goes on. */
void ingress_free(Ingress *in);
/* Stops HAProxy too, at once. For removing an installation, and for tests. */
void ingress_stop(Ingress *in);

/* Whether slug can be a host name's first label: [a-z0-9-], 1 to 63, no '-' at the ends. */
bool ingress_slug_valid(const char *slug);
/* "127.0.0.1:8081": where HAProxy listens or will listen. */
char *ingress_address(Ingress *in, const void *mem);
/* "http://hello.localhost:8081/" (no port when it is 80); with IngressOptions.url as people reach it. */
char *ingress_url(Ingress *in, const char *slug, const void *mem);

/* Makes the application known: 503 with a page of ours until a release is live. Starts HAProxy with the first
 * one. */
_must_check_ int ingress_app_add(Ingress *in, const char *slug, Err *err);
/* Forgets the application and cuts what its releases still serve: 404 from now on. */
_must_check_ int ingress_app_remove(Ingress *in, const char *slug, Err *err);
/* The slugs, talloc in mem, NULL-terminated. */
char **ingress_apps(Ingress *in, const void *mem);

/* A release of the application (added when it is new) at "127.0.0.1:PORT"; it gets nothing yet. A release
 * that is there with another address is moved. release: [A-Za-z0-9_-], at most 63 (a UUID). */
_must_check_ int ingress_server_add(Ingress *in, const char *slug, const char *release, const char *address,
                                    Err *err);
/* The traffic goes to this release from now on; the one that was live drains: it serves what it has and gets
 * nothing new. No request is lost. ERR_NOT_FOUND: no such application or release. */
_must_check_ int ingress_switch(Ingress *in, const char *slug, const char *release, Err *err);
/* Waits until a release that is not live serves nothing, at most grace_us (then its connections are shut),
 * and removes it. Fine when there is none. ERR_CONFLICT: it is live. cancel_fd (or -1): readable ends the
 * grace. Blocks; others go on meanwhile. */
_must_check_ int ingress_drain(Ingress *in, const char *slug, const char *release, int64_t grace_us,
                               int cancel_fd, Err *err);
/* Takes a release off at once, live or not, and shuts its connections. Fine when there is none. */
_must_check_ int ingress_server_remove(Ingress *in, const char *slug, const char *release, Err *err);
/* The live release of the application, talloc in mem, or NULL. */
char *ingress_live(Ingress *in, const char *slug, const void *mem);
