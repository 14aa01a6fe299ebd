#include "auth/auth.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include <fcntl.h>
#include <sodium.h>
#include <stdatomic.h>

#define PREFIX "plt_"
#define RANDOM 40 /* characters: 206 bits */
#define HASH_SIZE 65

typedef struct RoleWord {
    const char *word;
    unsigned bits;
} RoleWord;

static const RoleWord role_words[] = {
    {"admin", ROLE_READ | ROLE_WRITE | ROLE_ADMIN},
    {"user", ROLE_READ | ROLE_WRITE},
    {"read", ROLE_READ},
    {"runner", ROLE_RUNNER},
    {"hook", ROLE_HOOK},
    {"registration", ROLE_REGISTER},
};

const char *const auth_roles[] = {"admin", "user", "read", "runner", "hook", "registration", NULL};

unsigned auth_role_bits(const char *role) {
    for (size_t i = 0; i < ELEMENTS(role_words); i++)
        if (str_eq(role_words[i].word, role))
            return role_words[i].bits;
    return 0;
}

/* The text has 206 random bits, so a plain hash is enough: there is nothing to guess. */
static void hash_of(const char *text, char out[HASH_SIZE]) {
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
    str_hex(hash, sizeof(hash), out);
}

/* Gives the token its text and keeps it. */
static int issue(Db *db, Token *token, char text[AUTH_TOKEN_SIZE], Err *err) {
    char hash[HASH_SIZE];
    int r;

    memcpy(text, PREFIX, strlen(PREFIX));
    id_random(text + strlen(PREFIX), RANDOM);
    hash_of(text, hash);
    r = db_begin(db, err);
    if (r < 0)
        return r;
    r = store_sessions_prune(db, token->created_at, err);
    if (r >= 0)
        r = store_token_insert(db, token, hash, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    return r < 0 ? err_wrap(err, "create token %s", token->name) : 0;
}

static int check_request(const TokenRequest *request, Err *err) {
    if (str_empty(request->name) || strlen(request->name) > 100 ||
        !str_utf8_valid(request->name, strlen(request->name)))
        return err_set(err, ERR_INVALID, "field \"name\": expected 1 to 100 bytes of text");
    if (!auth_role_bits(request->role))
        return err_set(err, ERR_INVALID,
                       "field \"role\": expected admin, user, read or registration, got \"%s\"",
                       request->role);
    if (request->ttl_us < 0 || request->ttl_us > AUTH_TTL_MAX)
        return err_set(err, ERR_INVALID, "field \"ttl\": expected at most 100 years");
    return 0;
}

int auth_token_create(Db *db, const TokenRequest *request, char text[AUTH_TOKEN_SIZE], int64_t *ret_id,
                      Err *err) {
    int64_t now = clock_now();
    Token token = {.name = request->name,
                   .role = request->role,
                   .kind = "token",
                   .runner_id = request->runner_id,
                   .created_at = now};
    int r = check_request(request, err);

    if (r < 0)
        return r;
    token.expires_at = request->ttl_us ? now + request->ttl_us : 0;
    r = issue(db, &token, text, err);
    if (r < 0)
        return r;
    *ret_id = token.id;
    return 0;
}

int auth_session_create(Db *db, const Principal *of, int64_t ttl_us, char text[AUTH_TOKEN_SIZE], Err *err) {
    int64_t now = clock_now(), end = now + ttl_us;
    Token session = {.name = of->name,
                     .role = of->role,
                     .kind = "session",
                     .parent_id = of->token_id,
                     .created_at = now,
                     .expires_at = of->expires_at ? MIN(of->expires_at, end) : end};

    if (of->session)
        return err_set(err, ERR_FORBIDDEN, "a session cannot open another one: log in with a token");
    return issue(db, &session, text, err);
}

/* How many tokens were revoked since the start. */
static atomic_uint revocations;

static int load_valid(Db *db, const char *hash, const void *mem, Token **ret, Err *err) {
    int r = store_token_by_hash(db, hash, mem, ret, err);

    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (r < 0 || (*ret)->revoked_at || ((*ret)->expires_at && (*ret)->expires_at <= clock_now()))
        return err_set(err, ERR_UNAUTHORIZED, "the token is wrong, has expired or was revoked");
    return 0;
}

int auth_verify(Db *db, const char *text, const void *mem, Principal **ret, Err *err) {
    char hash[HASH_SIZE];
    unsigned seen = atomic_load(&revocations); /* before the row is read */
    Principal *p;
    Token *token;
    int r;

    hash_of(text, hash);
    r = load_valid(db, hash, mem, &token, err);
    if (r < 0)
        return r;
    p = mem_new(mem, Principal);
    *p = (Principal){.token_id = token->id,
                     .runner_id = token->runner_id,
                     .expires_at = token->expires_at,
                     .session = str_eq(token->kind, "session"),
                     .name = token->name,
                     .role = token->role,
                     .roles = auth_role_bits(token->role),
                     .hash = mem_strdup(mem, hash),
                     .revocations = seen};
    *ret = p;
    return 0;
}

/* Inside the transaction that revokes it: two admins do not end each other's token at once. */
static int check_revoke(Db *db, int64_t id, int64_t now, Err *err) {
    bool last;
    int r = store_token_is_last_admin(db, id, now, &last, err);

    if (r < 0 || !last)
        return r;
    return err_set(err, ERR_CONFLICT,
                   "this is the last admin token that holds: make another one first "
                   "(pelton token create NAME --role admin)");
}

int auth_revoke(Db *db, int64_t id, Err *err) {
    int64_t now = clock_now();
    int r = db_begin(db, err);

    if (r < 0)
        return r;
    r = check_revoke(db, id, now, err);
    if (r >= 0)
        r = store_token_revoke(db, id, now, err);
    if (r >= 0)
        r = db_commit(db, err);
    db_rollback(db);
    if (r >= 0)
        auth_revoked();
    return r;
}

void auth_revoked(void) {
    atomic_fetch_add(&revocations, 1);
}

bool auth_still(Db *db, Principal *p) {
    unsigned now = atomic_load(&revocations);
    _cleanup_talloc_ void *mem = NULL;
    Token *token;
    Err err;

    if (p->expires_at && p->expires_at <= clock_now())
        return false;
    if (p->revocations == now)
        return true;
    mem = talloc_new(NULL);
    if (load_valid(db, p->hash, mem, &token, &err) == -ERR_UNAUTHORIZED)
        return false;
    p->revocations = now;
    return true;
}

static bool file_holds(Db *db, const char *path, char text[AUTH_TOKEN_SIZE], int64_t *ret_id) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    _cleanup_buf_ Buf content = BUF_INIT;
    Principal *p;
    size_t len;
    Err err;

    if (file_read(path, 1024, &content, &err) < 0)
        return false;
    len = strcspn(buf_str(&content), "\r\n");
    if (len >= AUTH_TOKEN_SIZE)
        return false;
    memcpy(text, buf_str(&content), len);
    text[len] = '\0';
    if (auth_verify(db, text, mem, &p, &err) < 0)
        return false;
    *ret_id = p->token_id;
    return true;
}

int auth_token_file(Db *db, const char *path, const TokenRequest *request, char text[AUTH_TOKEN_SIZE],
                    int64_t *ret_id, bool *ret_new, Err *err) {
    char line[AUTH_TOKEN_SIZE + 1];
    int64_t id;
    int r, n;

    if (file_holds(db, path, text, ret_id)) {
        *ret_new = false;
        return 0;
    }
    r = auth_token_create(db, request, text, &id, err);
    if (r < 0)
        return r;
    n = snprintf(line, sizeof(line), "%s\n", text);
    r = file_write_atomic(path, line, (size_t)n, 0600, err);
    if (r < 0)
        return err_wrap(err, "write token file");
    *ret_id = id;
    *ret_new = true;
    return 0;
}
