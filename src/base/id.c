#include "base/id.h"

#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

void id_bytes(void *out, size_t len) {
    char *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        at += n;
        len -= (size_t)n;
    }
}

void id_uuid(char out[ID_UUID_SIZE]) {
    uint8_t b[16];
    char hex[33];

    id_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    str_hex(b, sizeof(b), hex);
    snprintf(out, ID_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void id_random(char *out, size_t len) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t pool[64];
    size_t made = 0;

    while (made < len) {
        id_bytes(pool, sizeof(pool));
        /* 252 is the last multiple of 36 in a byte: what is above would favour the first letters */
        for (size_t i = 0; i < sizeof(pool) && made < len; i++)
            if (pool[i] < 252)
                out[made++] = letters[pool[i] % 36];
    }
    out[len] = '\0';
}
