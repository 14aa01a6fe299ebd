/* SHA-256 (FIPS 180-4), by the processor's own instructions where it has them: whole files are hashed on
 * their way in and out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX (2 * SHA256_SIZE + 1)

typedef struct Sha256 {
    uint32_t state[8];
    uint64_t len; /* bytes so far */
    unsigned char block[64];
} Sha256;

void sha256_init(Sha256 *s);
void sha256_add(Sha256 *s, const void *data, size_t len);
void sha256_end(Sha256 *s, unsigned char out[SHA256_SIZE]);
/* The same as lower-case hex. */
void sha256_end_hex(Sha256 *s, char out[SHA256_HEX]);
