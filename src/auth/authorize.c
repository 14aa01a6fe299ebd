#include "auth/auth.h"

#include "base/str.h"

/* Browsers tell where a request comes from; one that another site made must not act with the user's cookie.
 */
static bool same_site(const HttpRequest *req) {
    /* a WebSocket always has its Origin, and no same-origin policy but what we make of it */
    const char *site = http_wants_websocket(req) ? NULL : http_header(req, "Sec-Fetch-Site");
    const char *origin = http_header(req, "Origin");
    const char *host = http_header(req, "Host");
    const char *after;

    if (site)
        return str_eq(site, "same-origin") || str_eq(site, "none");
    if (!origin)
        return false;
    after = strstr(origin, "://");
    return after && host && str_eq(after + 3, host);
}

static int credential(HttpRequest *req, const char **ret, Err *err) {
    const char *text = http_credential(req);

    if (!text) {
        text = http_cookie(req, AUTH_COOKIE);
        if (text && (http_method(req) != HTTP_GET || http_wants_websocket(req)) && !same_site(req))
            return err_set(err, ERR_FORBIDDEN,
                           "a request with a cookie must come from Pelton's own page; scripts send "
                           "\"Authorization: Bearer <token>\"");
    }
    if (str_empty(text))
        return err_set(err, ERR_UNAUTHORIZED, "a token is needed: send \"Authorization: Bearer <token>\"");
    *ret = text;
    return 0;
}

int auth_authorize(Db *db, HttpRequest *req, unsigned roles, Err *err) {
    const char *text;
    Principal *p;
    int r = credential(req, &text, err);

    if (r >= 0)
        r = auth_verify(db, text, http_mem(req), &p, err);
    if (r < 0)
        return r;
    if (!(p->roles & roles))
        return err_set(err, ERR_FORBIDDEN, "the token '%s' (role %s) may not do this", p->name, p->role);
    http_set_principal(req, p);
    return 0;
}
