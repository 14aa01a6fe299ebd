#include "http/router.h"

#include "base/str.h"
#include <ctype.h>
#include <stdlib.h>

struct RouterEntry {
    const HttpRoute *route;
    unsigned count;
    const char *names[ROUTER_PARAMS_MAX];
};

typedef struct Node Node;
struct Node {
    const char *name; /* the plain segment that leads here */
    size_t len;
    Node **kids; /* sorted by segment_order */
    size_t count;
    Node *param; /* "{name}" */
    Node *rest;  /* "{name*}" */
    RouterEntry *entries[HTTP_METHODS];
};

struct Router {
    Node *root;
};

static int segment_order(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}

/* ---- building ---- */

static Node *kid_of(const void *mem, Node *n, const char *name, size_t len) {
    Node *kid;
    size_t at = 0;

    while (at < n->count) {
        int order = segment_order(name, len, n->kids[at]->name, n->kids[at]->len);

        if (order == 0)
            return n->kids[at];
        if (order < 0)
            break;
        at++;
    }
    kid = mem_new(mem, Node);
    kid->name = name;
    kid->len = len;
    mem_append(mem, n->kids, n->count, kid);
    memmove(&n->kids[at + 1], &n->kids[at], (n->count - 1 - at) * sizeof(Node *));
    n->kids[at] = kid;
    return kid;
}

static bool name_valid(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return len > 0;
}

/* Goes down by one "{name}" or "{name*}" segment. */
static int add_param(const void *mem, RouterEntry *e, Node **io, const char *s, size_t len, bool last,
                     Err *err) {
    bool rest = s[len - 2] == '*';
    Node **next = rest ? &(*io)->rest : &(*io)->param;

    if (!name_valid(s + 1, len - 2 - rest) || (rest && !last) || e->count == ROUTER_PARAMS_MAX)
        return err_set(err, ERR_INVALID, "route \"%s\": bad parameter \"%.*s\"", e->route->path, (int)len, s);
    e->names[e->count++] = mem_strndup(mem, s + 1, len - 2 - rest);
    if (!*next)
        *next = mem_new(mem, Node);
    *io = *next;
    return 0;
}

static int add_route(const void *mem, Node *root, const HttpRoute *route, Err *err) {
    RouterEntry *e = mem_new(mem, RouterEntry);
    const char *p = route->path;
    Node *n = root;

    e->route = route;
    if (p[0] != '/' || (unsigned)route->method >= HTTP_METHODS || !route->handle)
        return err_set(err, ERR_INVALID, "route \"%s\": needs a path from \"/\", a method and handle()", p);
    for (p++; *p;) {
        size_t len = strcspn(p, "/");

        if (len == 0 || (p[len] && !p[len + 1]))
            return err_set(err, ERR_INVALID, "route \"%s\": empty segment", route->path);
        if (len > 2 && p[0] == '{' && p[len - 1] == '}') {
            int r = add_param(mem, e, &n, p, len, !p[len], err);
            if (r < 0)
                return r;
        } else {
            n = kid_of(mem, n, p, len);
        }
        p += len + (p[len] == '/');
    }
    if (n->entries[route->method])
        return err_set(err, ERR_INVALID, "route \"%s\" collides with \"%s\"", route->path,
                       n->entries[route->method]->route->path);
    n->entries[route->method] = e;
    return 0;
}

int router_new(const void *mem, const HttpRoute *const *tables, Router **ret, Err *err) {
    Router *r = mem_new(mem, Router);

    r->root = mem_new(r, Node);
    for (; tables && *tables; tables++) {
        for (const HttpRoute *route = *tables; route->path; route++) {
            int e = add_route(r, r->root, route, err);
            if (e < 0) {
                talloc_free(r);
                return e;
            }
        }
    }
    *ret = r;
    return 0;
}

/* ---- finding ---- */

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* Whether the segment as sent means the plain text. */
static bool encoded_equal(const char *s, size_t len, const char *plain, size_t plain_len) {
    size_t i = 0, k = 0;

    for (; i < len && k < plain_len; i++, k++) {
        int c = (unsigned char)s[i];

        if (c == '%') {
            if (i + 2 >= len || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
                return false;
            c = hex(s[i + 1]) * 16 + hex(s[i + 2]);
            i += 2;
        }
        if (c != (unsigned char)plain[k])
            return false;
    }
    return i == len && k == plain_len;
}

static const Node *find_kid(const Node *n, const char *s, size_t len) {
    size_t low = 0, high = n->count;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = segment_order(s, len, n->kids[mid]->name, n->kids[mid]->len);

        if (order == 0)
            return n->kids[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    if (memchr(s, '%', len)) {
        for (size_t i = 0; i < n->count; i++)
            if (encoded_equal(s, len, n->kids[i]->name, n->kids[i]->len))
                return n->kids[i];
    }
    return NULL;
}

static bool arrive(const Node *n, HttpMethod method, RouterMatch *out) {
    for (unsigned m = 0; m < HTTP_METHODS; m++)
        if (n->entries[m])
            out->allowed |= 1u << m;
    out->entry = n->entries[method];
    return out->entry != NULL;
}

/* p: the next segment, or NULL at the end of the path. Goes back when a way has no route of the method. */
static bool walk(const Node *n, HttpMethod method, const char *p, unsigned depth, RouterMatch *out) {
    const Node *kid;
    const char *next;
    size_t len;

    if (!p)
        return arrive(n, method, out);
    len = strcspn(p, "/");
    next = p[len] ? p + len + 1 : NULL;
    kid = len ? find_kid(n, p, len) : NULL;
    if (kid && walk(kid, method, next, depth, out))
        return true;
    if (n->param && len) {
        out->values[depth] = (RouterSpan){p, len};
        if (walk(n->param, method, next, depth + 1, out))
            return true;
    }
    if (!n->rest)
        return false;
    out->values[depth] = (RouterSpan){p, strlen(p)};
    return arrive(n->rest, method, out);
}

bool router_find(const Router *r, HttpMethod method, const char *path, RouterMatch *out) {
    out->entry = NULL;
    out->allowed = 0;
    if (path[0] != '/')
        return false;
    return walk(r->root, method, path[1] ? path + 1 : NULL, 0, out);
}

const HttpRoute *router_entry_route(const RouterEntry *e) {
    return e->route;
}

unsigned router_entry_params(const RouterEntry *e) {
    return e->count;
}

const char *router_entry_param(const RouterEntry *e, unsigned i) {
    return e->names[i];
}
