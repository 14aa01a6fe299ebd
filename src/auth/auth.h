/* Who may do what: tokens, sessions, roles. A token is random, kept as its hash only, named, may expire and
 * be revoked. */
#pragma once

#include "http/server.h"
#include "store/store.h"

/* What a route may ask for: any one of its bits is enough. */
enum {
    ROLE_READ = 1,
    ROLE_WRITE = 2,
    ROLE_ADMIN = 4,
    ROLE_RUNNER = 8,
    ROLE_HOOK = 16,
    ROLE_REGISTER = 32,
};

/* "admin", "user", "read", "runner", "hook", "registration" → bits; 0: no such role. */
unsigned auth_role_bits(const char *role);
/* The words, NULL-terminated. */
extern const char *const auth_roles[];

typedef struct Principal {
    int64_t token_id, runner_id;
    int64_t expires_at; /* 0: does not */
    bool session;
    const char *name; /* of the token: who it is */
    const char *role;
    unsigned roles;
    const char *hash;     /* of the token's text */
    unsigned revocations; /* seen by then: see auth_still */
} Principal;

#define AUTH_TOKEN_SIZE 48
#define AUTH_TTL_MAX (100 * 366 * INT64_C(86400) * 1000000)

typedef struct TokenRequest {
    const char *name, *role;
    int64_t runner_id;
    int64_t ttl_us; /* 0: does not expire; at most AUTH_TTL_MAX */
} TokenRequest;

/* A new token; its text ("plt_…") is told only here. Inside a transaction of its own. ERR_INVALID for a bad
 * name, role or time. */
_must_check_ int auth_token_create(Db *db, const TokenRequest *request, char text[AUTH_TOKEN_SIZE],
                                   int64_t *ret_id, Err *err);
/* A session of the token: ends when the token does, or after ttl_us, and with it. ERR_FORBIDDEN for a
 * session: it opens no other. */
_must_check_ int auth_session_create(Db *db, const Principal *of, int64_t ttl_us, char text[AUTH_TOKEN_SIZE],
                                     Err *err);
/* Who the text is: ERR_UNAUTHORIZED (saying no more than that) when it is wrong, expired or revoked. In mem.
 */
_must_check_ int auth_verify(Db *db, const char *text, const void *mem, Principal **ret, Err *err);
/* From now on it and its sessions open nothing. ERR_NOT_FOUND: no such token, or revoked already.
 * ERR_CONFLICT: nobody could make another token without this one. */
_must_check_ int auth_revoke(Db *db, int64_t id, Err *err);
/* For who has revoked tokens in a transaction of its own, when that has been: whoever waits looks again. Any
 * thread. */
void auth_revoked(void);
/* Whether the principal's token has neither expired nor been revoked since it was verified: for what goes on
 * after its request. Reads the database only when some token was revoked. From one thread at a time. */
bool auth_still(Db *db, Principal *p);
/* A token kept in a file (mode 0600): the one that is there if it still holds, else a new one. *ret_new
 * tells. */
_must_check_ int auth_token_file(Db *db, const char *path, const TokenRequest *request,
                                 char text[AUTH_TOKEN_SIZE], int64_t *ret_id, bool *ret_new, Err *err);

/* HttpServerOptions.authorize: the request's bearer token, Basic password or session cookie, against the
 * route's roles. The principal is a Principal. `db` is what arg points to. A cookie alone may only change
 * something, or open a WebSocket, when the browser says the request comes from our own page (Origin,
 * Sec-Fetch-Site). */
#define AUTH_COOKIE "pelton_session"
_must_check_ int auth_authorize(Db *db, HttpRequest *req, unsigned roles, Err *err);

/* ---- webhooks ---- */
#define AUTH_KEY_SIZE 32
#define AUTH_SECRET_SIZE 65
/* The key in the file, made when there is none (0600). */
_must_check_ int auth_key_file(const char *path, unsigned char key[AUTH_KEY_SIZE], Err *err);
/* The secret of one webhook: the same for the same subject, as long as the key is. */
void auth_webhook_secret(const unsigned char key[AUTH_KEY_SIZE], const char *subject,
                         char text[AUTH_SECRET_SIZE]);
/* HMAC-SHA256 of the body in hex, with or without "sha256=" before it (GitHub, Gitea). Constant time. */
bool auth_webhook_signed(const char *secret, const void *body, size_t len, const char *signature);
/* The secret itself (GitLab). Constant time. */
bool auth_webhook_same(const char *secret, const char *text);
