/* What tells whether bytes are still the same, whatever they are: added piece by piece, compared as hex. */
#pragma once

#include "base/err.h"
#include "base/sha256.h"
#include <stddef.h>

#define XXH_STATIC_LINKING_ONLY /* the state's size */
#include <xxhash.h>

typedef enum ChecksumKind {
    CHECKSUM_SHA256, /* who would like to cannot make others of the same sum */
    CHECKSUM_XXH64,  /* tells damage only, in a tenth of the time; https://xxhash.com */
} ChecksumKind;

#define CHECKSUM_HEX SHA256_HEX /* room for any kind's */

typedef struct Checksum {
    ChecksumKind kind;
    union {
        Sha256 sha256;
        XXH64_state_t xxh64;
    };
} Checksum;

void checksum_init(Checksum *c, ChecksumKind kind);
void checksum_add(Checksum *c, const void *data, size_t len);
/* Of what came so far, as lower-case hex; more may follow. */
void checksum_hex(const Checksum *c, char ret[CHECKSUM_HEX]);
/* ERR_INVALID: another one than the expected one, or that is none of its kind. */
_must_check_ int checksum_check(const Checksum *c, const char *expected, Err *err);
