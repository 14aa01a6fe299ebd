/* HAProxy's configuration, its host map and the pages, made from the routes. Pure. */
#pragma once

#include "base/buf.h"
#include "ingress/routes.h"

typedef struct HaConfig {
    const char *domain;
    unsigned uid, gid;          /* HAProxy becomes this when it is started by root */
    bool tls;                   /* a proxy before it ends TLS */
    const char *const *proxies; /* valid networks, NULL-terminated; or NULL */
    bool drop;                  /* uid and gid hold, and a chroot */
    unsigned threads;
    unsigned max_files; /* two a connection; HAProxy works out how many those are */
} HaConfig;

/* The configuration for the routes' address, generation, slots and live servers. */
void haconfig_render(const HaConfig *c, const Routes *r, Buf *out);
/* A digest of what the configuration says besides routes and generation: another one means that HAProxy must
 * read it anew. */
char *haconfig_digest(const HaConfig *c, const Routes *r, const void *mem);
/* "hello.localhost app0" a line. */
void haconfig_render_map(const HaConfig *c, const Routes *r, Buf *out);

typedef struct HaPage {
    const char *file;
    int status; /* 0: only the body, with HAProxy's variables in it */
    const char *reason, *title, *text;
} HaPage;

/* The files beside the configuration that it names; ended by a NULL file. */
extern const HaPage haconfig_pages[];
void haconfig_render_page(const HaPage *page, Buf *out);
/* Host names are compared in lower case: [a-z0-9.-], labels of 1 to 63. */
bool haconfig_domain_valid(const char *domain);
/* "10.1.2.3", "10.0.0.0/8", "2001:db8::/32": of numbers only. */
bool haconfig_network_valid(const char *text);
