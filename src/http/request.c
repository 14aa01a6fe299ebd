/* Reading a request. */
#include "http/request.h"

#include "base/str.h"
#include <errno.h>
#include <strings.h>

#define COLLECT_PIECE 4096

void *http_arg(const HttpRequest *req) {
    return req->server->options.arg;
}

TALLOC_CTX *http_mem(HttpRequest *req) {
    return req->mem;
}

HttpMethod http_method(const HttpRequest *req) {
    return req->method;
}

bool http_is_head(const HttpRequest *req) {
    return req->head;
}

const HttpRoute *http_route(const HttpRequest *req) {
    return req->route;
}

const char *http_url(const HttpRequest *req) {
    return req->path;
}

const char *http_query_string(const HttpRequest *req) {
    return req->query;
}

const char *http_request_id(const HttpRequest *req) {
    return req->id;
}

const char *http_peer(const HttpRequest *req) {
    return req->peer;
}

void http_set_principal(HttpRequest *req, void *principal) {
    req->principal = principal;
}

void *http_principal(const HttpRequest *req) {
    return req->principal;
}

void http_set_data(HttpRequest *req, void *data) {
    req->data = data;
}

void *http_data(const HttpRequest *req) {
    return req->data;
}

/* ---- path and query ---- */

const char *http_param(const HttpRequest *req, const char *name) {
    const RouterEntry *e = req->match.entry;

    for (unsigned i = 0; e && i < router_entry_params(e); i++)
        if (strcmp(router_entry_param(e, i), name) == 0)
            return req->values[i];
    return "";
}

int http_param_id(HttpRequest *req, const char *name, int64_t *ret, Err *err) {
    if (!str_to_i64(http_param(req, name), 1, INT64_MAX, ret))
        return err_set(err, ERR_NOT_FOUND, "%s \"%.100s\" not found", name, http_param(req, name));
    return 0;
}

/* Decodes a form value (WHATWG URL, section 5): '+' is a space. NULL when it is malformed. */
static char *form_decode(const void *mem, const char *s, size_t len) {
    char *text = mem_strndup(mem, s, len);

    for (char *p = text; *p; p++)
        if (*p == '+')
            *p = ' ';
    return str_url_decode(text) ? text : NULL;
}

int request_check_query(const HttpRequest *req, Err *err) {
    size_t len;

    for (const char *p = req->query; *p; p += len + (p[len] == '&')) {
        size_t name = strcspn(p, "=&");

        len = strcspn(p, "&");
        if (memchr(p, '%', len) && !form_decode(req->mem, p + name, len - name))
            return err_set(err, ERR_INVALID, "query \"%.*s\": bad percent-encoding",
                           (int)MIN(name, (size_t)50), p);
    }
    return 0;
}

const char *http_query(const HttpRequest *req, const char *name) {
    size_t len = strlen(name);

    for (const char *p = req->query; *p;) {
        size_t n = strcspn(p, "&");

        if (n >= len && memcmp(p, name, len) == 0 && (n == len || p[len] == '='))
            return n == len ? "" : form_decode(req->mem, p + len + 1, n - len - 1);
        p += n;
        p += *p == '&';
    }
    return NULL;
}

int http_query_i64(HttpRequest *req, const char *name, int64_t min, int64_t max, int64_t *io, Err *err) {
    const char *text = http_query(req, name);

    if (text && !str_to_i64(text, min, max, io))
        return err_set(err, ERR_INVALID, "query \"%s\": expected a number from %lld to %lld, got \"%.50s\"",
                       name, (long long)min, (long long)max, text);
    return 0;
}

int http_query_bool(HttpRequest *req, const char *name, bool *io, Err *err) {
    const char *text = http_query(req, name);

    if (!text)
        return 0;
    if (!*text || strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
        *io = true;
    else if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
        *io = false;
    else
        return err_set(err, ERR_INVALID, "query \"%s\": expected true or false, got \"%.50s\"", name, text);
    return 0;
}

/* ---- header ---- */

const char *request_header(const HttpRequest *req, const char *name) {
    if (req->copied) {
        for (size_t i = 0; i < req->copied_count; i++)
            if (strcasecmp(req->copied[i].name, name) == 0)
                return req->copied[i].value;
        return NULL;
    }
    return req->conn ? MHD_lookup_connection_value(req->conn->mhd, MHD_HEADER_KIND, name) : NULL;
}

static enum MHD_Result copy_pair(void *arg, enum MHD_ValueKind kind, const char *name, const char *value) {
    HttpRequest *req = arg;
    HeaderPair pair = {mem_strdup(req->mem, name), mem_strdup(req->mem, value ? value : "")};

    (void)kind;
    mem_append(req->mem, req->copied, req->copied_count, pair);
    return MHD_YES;
}

void request_detach_header(HttpRequest *req) {
    if (!req->copied && req->conn)
        MHD_get_connection_values(req->conn->mhd, MHD_HEADER_KIND, copy_pair, req);
}

const char *http_header(const HttpRequest *req, const char *name) {
    return request_header(req, name);
}

const char *http_trailer(const HttpRequest *req, const char *name) {
    return req->conn ? MHD_lookup_connection_value(req->conn->mhd, MHD_FOOTER_KIND, name) : NULL;
}

const char *http_cookie(const HttpRequest *req, const char *name) {
    const char *p = request_header(req, "Cookie");
    size_t len = strlen(name);

    while (p && *p) {
        size_t n;

        p += strspn(p, " \t;");
        n = strcspn(p, ";");
        if (n > len && memcmp(p, name, len) == 0 && p[len] == '=') {
            size_t value = n - len - 1;

            p += len + 1;
            while (value && (p[value - 1] == ' ' || p[value - 1] == '\t'))
                value--;
            if (value >= 2 && p[0] == '"' && p[value - 1] == '"')
                return mem_strndup(req->mem, p + 1, value - 2);
            return mem_strndup(req->mem, p, value);
        }
        p += n;
    }
    return NULL;
}

/* The password of "user:password" in base64 (RFC 7617). */
static const char *basic_password(HttpRequest *req, const char *encoded) {
    size_t len = strlen(encoded);
    char *text = mem_zalloc(req->mem, len + 1, "char[]");
    ssize_t n = str_base64_decode(encoded, len, text, len);
    char *colon;

    if (n < 0 || memchr(text, '\0', (size_t)n))
        return NULL;
    text[n] = '\0';
    colon = strchr(text, ':');
    return colon ? colon + 1 : NULL;
}

const char *http_credential(HttpRequest *req) {
    const char *value;

    if (req->credential_known)
        return req->credential;
    req->credential_known = true;
    value = request_header(req, "Authorization");
    if (!value)
        return NULL;
    if (strncasecmp(value, "Bearer ", 7) == 0)
        req->credential = mem_strdup(req->mem, value + 7 + strspn(value + 7, " "));
    else if (strncasecmp(value, "Basic ", 6) == 0)
        req->credential = basic_password(req, value + 6 + strspn(value + 6, " "));
    if (req->credential && !*req->credential)
        req->credential = NULL;
    return req->credential;
}

/* ---- body ---- */

const char *http_body(const HttpRequest *req, size_t *ret_len) {
    *ret_len = req->body.len;
    return buf_str(&req->body);
}

/* A THREADED handler's body is still on its way. */
static int collect_body(HttpRequest *req, Err *err) {
    ssize_t n;

    do {
        n = http_body_read(req, buf_reserve(&req->body, COLLECT_PIECE), COLLECT_PIECE, err);
        if (n < 0)
            return (int)n;
        req->body.len += (size_t)n;
    } while (n > 0);
    return 0;
}

/* We decompress nothing: what came compressed would be told to be no JSON, and where. */
static int check_encoding(const HttpRequest *req, Err *err) {
    const char *encoding = request_header(req, "Content-Encoding");

    return str_empty(encoding) || strcasecmp(encoding, "identity") == 0
               ? 0
               : err_set(err, ERR_UNSUPPORTED, "Content-Encoding \"%.50s\": expected the body as it is",
                         encoding);
}

int http_body_json(HttpRequest *req, bool optional, json_t **ret, Err *err) {
    int r = check_encoding(req, err);

    if (r >= 0 && req->task && !req->json && req->body.len == 0)
        r = collect_body(req, err);
    if (r < 0)
        return r;
    if (!req->json && req->body.len == 0) {
        if (!optional)
            return err_set(err, ERR_INVALID, "expected a JSON object in the body");
        req->json = json_object();
        if (!req->json)
            abort();
    }
    if (!req->json) {
        r = json_read(req->body.data, req->body.len, &req->json, err);
        if (r < 0)
            return err_wrap(err, "body");
        if (!json_is_object(req->json)) {
            json_decref(TAKE_PTR(req->json));
            return err_set(err, ERR_INVALID, "body: expected a JSON object");
        }
    }
    r = request_check_fields(req, req->json, err);
    if (r >= 0)
        *ret = req->json;
    return r;
}

bool http_still_allowed(HttpRequest *req) {
    const HttpServerOptions *o = &req->server->options;

    return !o->still || !req->route->roles || o->still(o->arg, req);
}

bool http_peer_gone(const HttpRequest *req) {
    if (req->task)
        return task_peer_gone((HttpRequest *)req);
    return !req->conn || conn_hung_up(req->conn);
}
