#include "secret/ring.h"

#include "base/file.h"
#include "base/str.h"
#include <pthread.h>
#include <sodium.h>
#include <sys/stat.h>

#define KEY_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define KEYS_MAX 64
#define FILE_MAX (64 * 1024)
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
/* "p1:<key>:<base64 of nonce and ciphertext>": the 1 is this way of sealing */
#define VERSION "p1:"

static const char head[] =
    "# The keys that this server's secrets are sealed with. Without this file they are lost,\n"
    "# and who has it and the database reads them: keep its backup apart.\n";

typedef struct Key {
    int64_t number;
    unsigned char bytes[KEY_SIZE];
} Key;

struct SecretRing {
    const char *path;
    pthread_mutex_t lock;
    Key keys[KEYS_MAX]; /* oldest first */
    size_t count;
};

static int ring_free(SecretRing *ring) {
    sodium_memzero(ring->keys, sizeof(ring->keys));
    pthread_mutex_destroy(&ring->lock);
    return 0;
}

/* ---- the file ---- */

static int write_ring(const SecretRing *ring, const Key *keys, size_t count, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    char hex[2 * KEY_SIZE + 1];
    int r;

    buf_adds(&text, head);
    for (size_t i = 0; i < count; i++) {
        str_hex(keys[i].bytes, KEY_SIZE, hex);
        buf_addf(&text, "%lld %s\n", (long long)keys[i].number, hex);
    }
    r = file_write_atomic(ring->path, text.data, text.len, 0600, err);
    sodium_memzero(text.data, text.len);
    sodium_memzero(hex, sizeof(hex));
    return r < 0 ? err_wrap(err, "keys of secrets") : 0;
}

static int new_key(SecretRing *ring, Err *err) {
    Key keys[KEYS_MAX];
    int r;

    if (ring->count == KEYS_MAX)
        return err_set(err, ERR_CONFLICT, "%s holds %d keys already", ring->path, KEYS_MAX);
    memcpy(keys, ring->keys, sizeof(keys));
    keys[ring->count].number = ring->count ? keys[ring->count - 1].number + 1 : 1;
    randombytes_buf(keys[ring->count].bytes, KEY_SIZE);
    r = write_ring(ring, keys, ring->count + 1, err);
    if (r == 0) {
        memcpy(ring->keys, keys, sizeof(keys));
        ring->count++;
    }
    sodium_memzero(keys, sizeof(keys));
    return r;
}

/* "3 <64 hex digits>" */
static int read_key(SecretRing *ring, char *line, size_t number, Err *err) {
    Key *key = &ring->keys[ring->count];
    char *space = strchr(line, ' ');
    int64_t last = ring->count ? ring->keys[ring->count - 1].number : 0;

    if (line[0] == '#' || line[0] == '\0')
        return 0;
    if (ring->count == KEYS_MAX)
        return err_set(err, ERR_INVALID, "%s: more than %d keys", ring->path, KEYS_MAX);
    if (space)
        *space = '\0';
    if (!space || !str_to_i64(line, last + 1, INT64_MAX, &key->number) || strlen(space + 1) != 2 * KEY_SIZE ||
        !str_unhex(space + 1, key->bytes, KEY_SIZE))
        return err_set(err, ERR_INVALID, "%s:%zu: expected a key's number and %zu hex digits", ring->path,
                       number, (size_t)2 * KEY_SIZE);
    ring->count++;
    return 0;
}

static int read_keys(SecretRing *ring, char *text, Err *err) {
    size_t number = 1;
    char *line;
    int r = 0;

    while (r == 0 && (line = strsep(&text, "\n")))
        r = read_key(ring, line, number++, err);
    if (r == 0 && ring->count == 0)
        r = err_set(err, ERR_INVALID, "%s holds no key: restore it from its backup", ring->path);
    return r;
}

static int read_ring(SecretRing *ring, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    struct stat st;
    int r;

    if (stat(ring->path, &st) < 0)
        return err_errno(err, "%s", ring->path);
    if (st.st_mode & 077)
        return err_set(err, ERR_FORBIDDEN, "%s may be read by others than its owner: chmod 600 %s",
                       ring->path, ring->path);
    r = file_read(ring->path, FILE_MAX, &text, err);
    buf_addc(&text, '\n');
    if (r == 0)
        r = read_keys(ring, text.data, err);
    sodium_memzero(text.data, text.len);
    return r;
}

int secret_ring_open(const void *mem, const char *path, SecretRing **ret, Err *err) {
    SecretRing *ring;
    int r;

    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium does not start");
    ring = mem_new(mem, SecretRing);
    ring->path = mem_strdup(ring, path);
    pthread_mutex_init(&ring->lock, NULL);
    talloc_set_destructor(ring, ring_free);
    r = access(path, F_OK) == 0 ? read_ring(ring, err) : new_key(ring, err);
    if (r < 0) {
        talloc_free(ring);
        return r;
    }
    *ret = ring;
    return 0;
}

int secret_ring_add(SecretRing *ring, Err *err) {
    int r;

    pthread_mutex_lock(&ring->lock);
    r = new_key(ring, err);
    pthread_mutex_unlock(&ring->lock);
    return r;
}

int secret_ring_drop(SecretRing *ring, Err *err) {
    int r;

    pthread_mutex_lock(&ring->lock);
    r = write_ring(ring, &ring->keys[ring->count - 1], 1, err);
    if (r == 0) {
        ring->keys[0] = ring->keys[ring->count - 1];
        ring->count = 1;
        sodium_memzero(&ring->keys[1], sizeof(ring->keys) - sizeof(Key));
    }
    pthread_mutex_unlock(&ring->lock);
    return r;
}

/* ---- sealing ---- */

static Key newest_key(SecretRing *ring) {
    Key key;

    pthread_mutex_lock(&ring->lock);
    key = ring->keys[ring->count - 1];
    pthread_mutex_unlock(&ring->lock);
    return key;
}

static int find_key(SecretRing *ring, int64_t number, Key *ret) {
    int r = -ERR_NOT_FOUND;

    pthread_mutex_lock(&ring->lock);
    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].number == number) {
            *ret = ring->keys[i];
            r = 0;
        }
    pthread_mutex_unlock(&ring->lock);
    return r;
}

const char *secret_seal(SecretRing *ring, const void *mem, const char *place, const char *value) {
    size_t len = strlen(value), size = NONCE_SIZE + len + TAG_SIZE, text_size;
    _cleanup_talloc_ unsigned char *bytes = mem_array(NULL, unsigned char, size);
    _cleanup_talloc_ char *text = NULL;
    Key key = newest_key(ring);

    randombytes_buf(bytes, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(bytes + NONCE_SIZE, NULL, (const unsigned char *)value, len,
                                               (const unsigned char *)place, strlen(place), NULL, bytes,
                                               key.bytes);
    sodium_memzero(key.bytes, sizeof(key.bytes));
    text_size = sodium_base64_encoded_len(size, BASE64);
    text = mem_array(NULL, char, text_size);
    sodium_bin2base64(text, text_size, bytes, size, BASE64);
    return mem_printf(mem, VERSION "%lld:%s", (long long)key.number, text);
}

/* The number of its key and where the base64 begins. */
static const char *read_envelope(const char *sealed, int64_t *ret_key) {
    const char *at = str_after(sealed, VERSION), *colon = at ? strchr(at, ':') : NULL;
    char number[24];

    if (!colon || (size_t)(colon - at) >= sizeof(number))
        return NULL;
    memcpy(number, at, (size_t)(colon - at));
    number[colon - at] = '\0';
    return str_to_i64(number, 1, INT64_MAX, ret_key) ? colon + 1 : NULL;
}

static int unseal_with(const Key *key, const void *mem, const char *place, const char *text, char **ret,
                       Err *err) {
    size_t size = strlen(text), len = 0;
    _cleanup_talloc_ unsigned char *bytes = mem_array(NULL, unsigned char, size + 1);
    char *value;

    if (sodium_base642bin(bytes, size, text, size, NULL, &len, NULL, BASE64) < 0 ||
        len < NONCE_SIZE + TAG_SIZE)
        return err_set(err, ERR_INVALID, "what is kept as %s is damaged", place);
    value = mem_array(mem, char, len - NONCE_SIZE - TAG_SIZE + 1);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)value, NULL, NULL, bytes + NONCE_SIZE,
                                                   len - NONCE_SIZE, (const unsigned char *)place,
                                                   strlen(place), bytes, key->bytes) < 0) {
        talloc_free(value);
        return err_set(err, ERR_INVALID, "what is kept as %s is damaged, or was sealed for another place",
                       place);
    }
    *ret = value;
    return 0;
}

int secret_unseal(SecretRing *ring, const void *mem, const char *place, const char *sealed, char **ret,
                  Err *err) {
    int64_t number = 0;
    const char *text = read_envelope(sealed, &number);
    Key key;
    int r;

    if (!text)
        return err_set(err, ERR_INVALID, "what is kept as %s is damaged", place);
    if (find_key(ring, number, &key) < 0)
        return err_set(err, ERR_NOT_FOUND,
                       "%s is sealed with key %lld, which is not in %s: restore that file, or set it again",
                       place, (long long)number, ring->path);
    r = unseal_with(&key, mem, place, text, ret, err);
    sodium_memzero(&key, sizeof(key));
    return r;
}
