#include "base/checksum.h"

#include "base/str.h"
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t size; /* bytes */
} kinds[] = {[CHECKSUM_SHA256] = {"sha256", SHA256_SIZE}, [CHECKSUM_XXH64] = {"xxh64", 8}};

void checksum_init(Checksum *c, ChecksumKind kind) {
    c->kind = kind;
    if (kind == CHECKSUM_SHA256)
        sha256_init(&c->sha256);
    else
        XXH64_reset(&c->xxh64, 0);
}

void checksum_add(Checksum *c, const void *data, size_t len) {
    if (c->kind == CHECKSUM_SHA256)
        sha256_add(&c->sha256, data, len);
    else
        XXH64_update(&c->xxh64, data, len);
}

void checksum_hex(const Checksum *c, char ret[CHECKSUM_HEX]) {
    Checksum whole = *c;
    XXH64_canonical_t bytes;

    if (c->kind == CHECKSUM_SHA256) {
        sha256_end_hex(&whole.sha256, ret);
    } else {
        XXH64_canonicalFromHash(&bytes, XXH64_digest(&whole.xxh64));
        str_hex(bytes.digest, sizeof(bytes.digest), ret);
    }
}

int checksum_check(const Checksum *c, const char *expected, Err *err) {
    const char *name = kinds[c->kind].name;
    size_t size = kinds[c->kind].size;
    unsigned char bytes[SHA256_SIZE];
    char came[CHECKSUM_HEX];

    if (strlen(expected) != 2 * size || !str_unhex(expected, bytes, size))
        return err_set(err, ERR_INVALID, "%s: expected %zu hex digits", name, 2 * size);
    checksum_hex(c, came);
    if (strcasecmp(came, expected) != 0)
        return err_set(err, ERR_INVALID, "%s of what has arrived is %s, expected %s", name, came, expected);
    return 0;
}
