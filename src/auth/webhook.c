/* Who may call a webhook: whoever signs with its secret. Secrets are made from one key and are kept nowhere.
 */
#include "auth/auth.h"

#include "base/file.h"
#include "base/str.h"
#include <sodium.h>

int auth_key_file(const char *path, unsigned char key[AUTH_KEY_SIZE], Err *err) {
    _cleanup_buf_ Buf content = BUF_INIT;
    Err why;

    if (file_read(path, AUTH_KEY_SIZE, &content, &why) >= 0 && content.len == AUTH_KEY_SIZE) {
        memcpy(key, content.data, AUTH_KEY_SIZE);
        return 0;
    }
    if (content.len)
        return err_set(err, ERR_INVALID,
                       "%s is damaged: expected %d bytes; remove it, and give all webhooks their new secrets",
                       path, AUTH_KEY_SIZE);
    randombytes_buf(key, AUTH_KEY_SIZE);
    return file_write_atomic(path, key, AUTH_KEY_SIZE, 0600, err);
}

void auth_webhook_secret(const unsigned char key[AUTH_KEY_SIZE], const char *subject,
                         char text[AUTH_SECRET_SIZE]) {
    unsigned char hash[crypto_auth_hmacsha256_BYTES];

    crypto_auth_hmacsha256(hash, (const unsigned char *)subject, strlen(subject), key);
    str_hex(hash, sizeof(hash), text);
}

bool auth_webhook_signed(const char *secret, const void *body, size_t len, const char *signature) {
    const char *hex = str_after(signature, "sha256=");
    unsigned char want[crypto_auth_hmacsha256_BYTES], got[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;

    if (!str_unhex(hex ? hex : signature, got, sizeof(got)))
        return false;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&state, body, len);
    crypto_auth_hmacsha256_final(&state, want);
    return sodium_memcmp(want, got, sizeof(want)) == 0;
}

bool auth_webhook_same(const char *secret, const char *text) {
    return strlen(text) == strlen(secret) && sodium_memcmp(secret, text, strlen(secret)) == 0;
}
