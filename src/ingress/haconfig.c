#include "ingress/haconfig.h"

#include "base/str.h"
#include <arpa/inet.h>

/* No connection to an application is used twice (http-server-close): an application that closes an idle one
 * just when a request comes would lose it, and draining would have to wait for them. Opening one on this
 * machine takes some 30 µs. A request that changes something is sent once only; others again when the
 * connection failed or ended without an answer. */
static const char defaults[] = "defaults\n"
                               "    mode http\n"
                               "    retries 3\n"
                               "    option redispatch 1\n"
                               "    retry-on conn-failure empty-response\n"
                               "    option http-server-close\n"
                               "    timeout connect 2s\n"
                               "    timeout client 60s\n"
                               "    timeout server 300s\n"
                               "    timeout tunnel 1h\n"
                               "    timeout queue 10s\n"
                               "    timeout http-request 10s\n"
                               "    timeout http-keep-alive 30s\n"
                               "    errorfile 502 page502.http\n"
                               "    errorfile 503 page503.http\n"
                               "    errorfile 504 page504.http\n"
                               "\n";

static const char frontend[] =
    "    http-request set-var(txn.host) req.hdr(host),lower,regsub(:[0-9]*$,),rtrim(.)\n"
    "    http-request set-header X-Forwarded-Host %[req.hdr(host)]\n"
    "    http-request disable-l7-retry unless METH_GET or { method OPTIONS }\n"
    "    use_backend %[var(txn.host),map(hosts.map,unknown)]\n"
    "    default_backend unknown\n"
    "\n"
    "backend unknown\n"
    "    http-request set-var(txn.name) var(txn.host),regsub([^a-z0-9.-],,g)\n"
    "    http-request return status 404 content-type \"text/html; charset=utf-8\" hdr cache-control no-store "
    "lf-file page404.html\n";

static void render_global(const HaConfig *c, int64_t generation, Buf *out) {
    /* noreuseport: two servers with the same port must not share its connections unnoticed */
    buf_adds(out, "global\n    daemon\n    noreuseport\n    pidfile haproxy.pid\n");
    buf_addf(out, "    stats socket unix@admin.%lld.sock mode 600 level admin expose-fd listeners\n",
             (long long)generation);
    buf_addf(out, "    nbthread %u\n    fd-hard-limit %u\n    hard-stop-after 1h\n", c->threads,
             c->max_files);
    if (c->drop)
        buf_addf(out, "    uid %u\n    gid %u\n    chroot empty\n", c->uid, c->gid);
    buf_adds(out, "\n");
}

/* Who the client is comes from the connection, or from a proxy that we were told of, never from what it says
 * of itself. */
static void render_client(const HaConfig *c, Buf *out) {
    bool any = c->proxies && c->proxies[0];

    for (size_t i = 0; any && c->proxies[i]; i++) /* HAProxy takes 64 words a line */
        buf_addf(out, "    acl from_proxy src %s\n", c->proxies[i]);
    buf_addf(out,
             "    http-request set-header X-Forwarded-For %%[src]%s\n"
             "    http-request set-header X-Forwarded-Proto %s\n",
             any ? " unless { req.hdr(x-forwarded-for) -m found } from_proxy" : "",
             c->tls ? "https" : "http");
}

static void render_fixed(const HaConfig *c, const Routes *r, int64_t generation, Buf *out) {
    render_global(c, generation, out);
    buf_adds(out, defaults);
    /* idle-close-on-response: at a reload an idle client may send one more request before it is told to close
     */
    buf_addf(out, "frontend web\n    bind %s\n    option idle-close-on-response\n", r->address);
    render_client(c, out);
    buf_adds(out, frontend);
}

static const RouteApp *app_of_slot(const Routes *r, unsigned slot) {
    for (size_t i = 0; i < r->count; i++)
        if (r->apps[i].slot == slot)
            return &r->apps[i];
    return NULL;
}

/* Draining servers are left out: after a reload the older process has their requests. */
void haconfig_render(const HaConfig *c, const Routes *r, Buf *out) {
    render_fixed(c, r, r->generation, out);
    for (unsigned slot = 0; slot < r->slots; slot++) {
        const RouteApp *app = app_of_slot(r, slot);
        const RouteServer *live = app ? routes_live(app) : NULL;

        buf_addf(out, "\nbackend app%u\n    balance roundrobin\n", slot);
        if (live)
            buf_addf(out, "    server %s %s\n", live->release, live->address);
    }
}

char *haconfig_digest(const HaConfig *c, const Routes *r, const void *mem) {
    _cleanup_buf_ Buf text = BUF_INIT;
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    render_fixed(c, r, 0, &text);
    buf_adds(&text, c->domain);
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    return mem_printf(mem, "%016llx", (unsigned long long)hash);
}

void haconfig_render_map(const HaConfig *c, const Routes *r, Buf *out) {
    for (size_t i = 0; i < r->count; i++)
        buf_addf(out, "%s.%s app%u\n", r->apps[i].slug, c->domain, r->apps[i].slot);
}

const HaPage haconfig_pages[] = {
    {"page404.html", 0, NULL, "Not here", "No app is called <b>%[var(txn.name)]</b> here."},
    {"page502.http", 502, "Bad Gateway", "A broken answer",
     "The app gave an answer that is not HTTP, or none."},
    {"page503.http", 503, "Service Unavailable", "Not running",
     "This app has no healthy release at the moment. Its deployments say why."},
    {"page504.http", 504, "Gateway Timeout", "Too slow", "The app did not answer in time."},
    {NULL},
};

static const char page_html[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>%s</title><style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:15vh "
    "auto;padding:0 1em;"
    "color:#223}h1{font-size:1.6em}@media(prefers-color-scheme:dark){body{background:#112;color:#dde}}</"
    "style>"
    "<h1>%s</h1><p>%s</p></html>\n";

void haconfig_render_page(const HaPage *page, Buf *out) {
    _cleanup_buf_ Buf body = BUF_INIT;

    buf_addf(&body, page_html, page->title, page->title, page->text);
    if (page->status != 0)
        buf_addf(out,
                 "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
                 "Retry-After: 5\r\nContent-Length: %zu\r\n\r\n",
                 page->status, page->reason, body.len);
    buf_add(out, body.data, body.len);
}

bool haconfig_domain_valid(const char *domain) {
    size_t len = domain ? strlen(domain) : 0, label = 0;

    if (len == 0 || len > 180)
        return false;
    for (const char *c = domain;; c += label + 1) {
        char text[64];

        label = strcspn(c, ".");
        if (label >= sizeof(text))
            return false;
        memcpy(text, c, label);
        text[label] = '\0';
        if (!route_slug_valid(text))
            return false;
        if (!c[label])
            return true;
    }
}

bool haconfig_network_valid(const char *text) {
    _cleanup_talloc_ char *address = mem_strndup(NULL, text, strcspn(text, "/"));
    const char *bits = text + strlen(address);
    bool six = strchr(address, ':') != NULL;
    unsigned char bytes[16];
    int64_t n;

    return inet_pton(six ? AF_INET6 : AF_INET, address, bytes) == 1 &&
           (!*bits || str_to_i64(bits + 1, 0, six ? 128 : 32, &n));
}
