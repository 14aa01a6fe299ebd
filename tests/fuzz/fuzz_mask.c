/* The masker beside the plain one. Input: secrets, each ended by 0xff, an empty one ends them; then the text,
 * where 0xfe is where the stream is cut, and 0xfd where it pauses as well. */
#include "fuzz.h"
#include "secret/mask.h"

#include "../unit/secret/plain.h"
#include <assert.h>

#define SECRETS_MAX 8
#define SECRET_MAX 64
#define TEXT_MAX 2048 /* the plain one is slow */

/* The next secret, in mem; NULL: no more. */
static const char *next_secret(const uint8_t **data, size_t *size, const void *mem) {
    const uint8_t *end = *size ? memchr(*data, 0xff, *size) : NULL;
    size_t len = end ? (size_t)(end - *data) : 0;
    const char *secret = len ? mem_strndup(mem, (const char *)*data, MIN(len, (size_t)SECRET_MAX)) : NULL;

    if (end) {
        *data += len + 1;
        *size -= len + 1;
    }
    return secret;
}

static void add(Buf *out, MaskText text) {
    buf_add(out, text.data, text.len);
}

/* The text without the cuts goes to whole, and where it pauses to pauses. */
static void feed(Masker *m, const uint8_t *data, size_t size, Buf *whole, bool *pauses, Buf *masked) {
    const uint8_t *end = data + size;

    while (data < end) {
        const uint8_t *cut = data;

        while (cut < end && *cut != 0xfe && *cut != 0xfd)
            cut++;
        add(masked, mask_feed(m, data, (size_t)(cut - data)));
        buf_add(whole, data, (size_t)(cut - data));
        if (cut < end && *cut == 0xfd) {
            add(masked, mask_pause(m));
            pauses[whole->len] = true;
        }
        data = cut + 1;
    }
    add(masked, mask_end(m));
    assert(mask_held(m) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *mem = talloc_new(NULL);
    _cleanup_buf_ Buf whole = BUF_INIT, masked = BUF_INIT, plain = BUF_INIT;
    const char *secrets[SECRETS_MAX], *secret;
    Needles needles = {.mem = mem};
    bool pauses[TEXT_MAX + 1] = {false};
    size_t count = 0;
    Masker *m;

    while (count < SECRETS_MAX && (secret = next_secret(&data, &size, mem))) {
        needles_add(&needles, secret, strlen(secret));
        secrets[count++] = secret;
    }
    needles_sort(&needles);
    m = mask_new(mem, secrets, count);
    assert(!m == (needles.count == 0));
    if (m) {
        feed(m, data, MIN(size, (size_t)TEXT_MAX), &whole, pauses, &masked);
        plain_mask(&needles, buf_str(&whole), whole.len, pauses, &plain);
        assert(masked.len == plain.len && memcmp(buf_str(&masked), buf_str(&plain), plain.len) == 0);
    }
    talloc_free(mem);
    return 0;
}
