/* Login of the page, and tokens. */
#include "api/render.h"

#include "base/clock.h"
#include "base/str.h"
#include <inttypes.h>

static void render_principal(JsonWriter *w, const Principal *p) {
    jw_object(w, NULL);
    jw_str(w, "name", p->name);
    jw_str(w, "role", p->role);
    jw_end_object(w);
}

static bool behind_tls(const HttpRequest *req) {
    return str_eq(http_header(req, "X-Forwarded-Proto"), "https");
}

static void set_cookie(HttpRequest *req, const char *value, int64_t seconds) {
    http_add_header(req, "Set-Cookie",
                    mem_printf(http_mem(req),
                               AUTH_COOKIE "=%s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%" PRId64 "%s",
                               value, seconds, behind_tls(req) ? "; Secure" : ""));
}

/* A token for a session of its own, so that the browser never keeps the token itself. */
static int login(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Api *api = api_of(req);
    char text[AUTH_TOKEN_SIZE];
    const char *token;
    Principal *p;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_get_str(body, "token", &token, err);
    if (r >= 0)
        r = auth_verify(api->builds->db, token, http_mem(req), &p, err);
    if (r < 0)
        return r;
    if (!(p->roles & ROLE_READ))
        return err_set(err, ERR_FORBIDDEN, "the token '%s' (role %s) is not for people", p->name, p->role);
    r = auth_session_create(api->builds->db, p, api->session_us, text, err);
    if (r < 0)
        return r;
    set_cookie(req, text, api->session_us / US_PER_S);
    render_principal(&w, p);
    http_reply_json(req, 200, &out);
    return 0;
}

static int logout(HttpRequest *req, Err *err) {
    const Principal *who = http_principal(req);
    int r = 0;

    /* only a session ends; a token that a script sent stays */
    if (who->session)
        r = auth_revoke(api_of(req)->builds->db, who->token_id, err);
    if (r < 0)
        return r;
    set_cookie(req, "", 0);
    http_reply_empty(req, 204);
    return 0;
}

static int me(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);

    render_principal(&w, http_principal(req));
    http_reply_json(req, 200, &out);
    return 0;
}

/* ---- tokens ---- */

static const char *status_of(const Token *t) {
    return t->revoked_at ? "revoked" : t->expires_at && t->expires_at <= clock_now() ? "expired" : "active";
}

static int list(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    Token *tokens;
    size_t count;
    int r = store_tokens(api_of(req)->builds->db, http_mem(req), &tokens, &count, err);

    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_array(&w, "tokens");
    for (size_t i = 0; i < count; i++) {
        jw_object(&w, NULL);
        jw_int(&w, "id", tokens[i].id);
        jw_str(&w, "name", tokens[i].name);
        jw_str(&w, "role", tokens[i].role);
        jw_str(&w, "status", status_of(&tokens[i]));
        jw_time(&w, "created_at", tokens[i].created_at);
        jw_time(&w, "expires_at", tokens[i].expires_at);
        jw_time(&w, "revoked_at", tokens[i].revoked_at);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_reply_json(req, 200, &out);
    return 0;
}

static int read_ttl(json_t *body, int64_t *ret_us, Err *err) {
    const char *ttl = NULL;
    int r = json_opt_str(body, "ttl", &ttl, err);

    if (r < 0 || !ttl)
        return r;
    if (!str_to_duration(ttl, ret_us) || *ret_us <= 0)
        return err_set(err, ERR_INVALID,
                       "field \"ttl\": expected a duration such as \"12h\", \"30d\" or \"2w\", got \"%s\"",
                       ttl);
    return 0;
}

static int create(HttpRequest *req, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    JsonWriter w = JSON_WRITER(&out);
    TokenRequest request = {0};
    char text[AUTH_TOKEN_SIZE];
    int64_t id;
    json_t *body;
    int r = http_body_json(req, false, &body, err);

    if (r >= 0)
        r = json_get_str(body, "name", &request.name, err);
    if (r >= 0)
        r = json_get_str(body, "role", &request.role, err);
    if (r >= 0)
        r = read_ttl(body, &request.ttl_us, err);
    if (r >= 0 && (str_eq(request.role, "runner") || str_eq(request.role, "hook")))
        r = err_set(err, ERR_INVALID,
                    "field \"role\": '%s' tokens are made by the server; a runner comes with a "
                    "\"registration\" token",
                    request.role);
    if (r >= 0)
        r = auth_token_create(api_of(req)->builds->db, &request, text, &id, err);
    if (r < 0)
        return r;
    jw_object(&w, NULL);
    jw_int(&w, "id", id);
    jw_str(&w, "name", request.name);
    jw_str(&w, "role", request.role);
    jw_str(&w, "token", text);
    jw_time(&w, "expires_at", request.ttl_us ? clock_now() + request.ttl_us : 0);
    jw_end_object(&w);
    http_reply_json(req, 201, &out);
    return 0;
}

/* Builds would stop without a word of why. One that is replaced may go. */
static int check_not_own(Api *api, int64_t id, Err *err) {
    for (size_t i = 0; i < ELEMENTS(api->own_tokens); i++)
        if (api->own_tokens[i] == id)
            return err_set(
                err, ERR_CONFLICT,
                "the server itself works with this token, for %s: remove %s of its state directory and "
                "restart it, which makes a new one, then revoke this",
                i ? "its own runner" : "the hooks", i ? "runner*/token" : "hook.token");
    return 0;
}

static int revoke_token(HttpRequest *req, Err *err) {
    int64_t id;
    int r = http_param_id(req, "id", &id, err);

    if (r >= 0)
        r = check_not_own(api_of(req), id, err);
    if (r >= 0)
        r = auth_revoke(api_of(req)->builds->db, id, err);
    if (r < 0)
        return r;
    /* what waits with it looks again, and ends */
    bus_publish(api_of(req)->builds->bus, BUS_QUEUE, 0);
    http_reply_empty(req, 204);
    return 0;
}

#define ANYONE (ROLE_READ | ROLE_WRITE | ROLE_ADMIN | ROLE_RUNNER | ROLE_HOOK | ROLE_REGISTER)

const HttpRoute api_access[] = {
    {.method = HTTP_POST,
     .path = "/api/login",
     .handle = login,
     .accept = JSON,
     .max_body = 4096,
     .tag = "access",
     .summary = "A session cookie for a token: for the page",
     .request = "{\"type\":\"object\",\"required\":[\"token\"]," ONLY_THESE
                ",\"properties\":{\"token\":{\"type\":\"string\"}}}",
     .answer = "Who"},
    {.method = HTTP_POST,
     .path = "/api/logout",
     .roles = ANYONE,
     .handle = logout,
     .tag = "access",
     .summary = "Ends the session",
     .status = 204},
    {.method = HTTP_GET,
     .path = "/api/me",
     .roles = ANYONE,
     .handle = me,
     .tag = "access",
     .summary = "Whose token this is",
     .answer = "Who"},
    {.method = HTTP_GET,
     .path = "/api/tokens",
     .roles = ROLE_ADMIN,
     .handle = list,
     .tag = "access",
     .summary = "All tokens, without their texts",
     .answer = "(tokens:[Token])"},
    {.method = HTTP_POST,
     .path = "/api/tokens",
     .roles = ROLE_ADMIN,
     .handle = create,
     .accept = JSON,
     .tag = "access",
     .summary = "A new token; its text is told only now",
     .status = 201,
     .request =
         "{\"type\":\"object\",\"required\":[\"name\",\"role\"]," ONLY_THESE
         ",\"properties\":{\"name\":{\"type\":"
         "\"string\"},"
         "\"role\":{\"enum\":[\"admin\",\"user\",\"read\",\"registration\"]},\"ttl\":{\"type\":\"string\"}}}",
     .answer = "(id:int name:text role:text token:text expires_at:time?)"},
    {.method = HTTP_DELETE,
     .path = "/api/tokens/{id}",
     .roles = ROLE_ADMIN,
     .handle = revoke_token,
     .tag = "access",
     .summary = "Revokes a token at once",
     .status = 204},
    {0},
};
