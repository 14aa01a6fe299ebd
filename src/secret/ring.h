/* Sealing of what is kept at rest, and the keys it is done with: a file of the state directory (0600), made
 * when it is missing. Each key has a number, and what is sealed names its key, so that keys can be changed:
 * add one, seal everything anew, drop the old ones. The file is written before a key is used. Thread-safe. */
#pragma once

#include "base/err.h"
#include <stdbool.h>

typedef struct SecretRing SecretRing;

/* ERR_FORBIDDEN when others than its owner may read the file. */
_must_check_ int secret_ring_open(const void *mem, const char *path, SecretRing **ret, Err *err);

/* Text in mem, with the newest key. `place` says where it is kept ("secret 1/0/TOKEN"): what is moved to
 * another place does not open there. */
const char *secret_seal(SecretRing *ring, const void *mem, const char *place, const char *value);
/* ERR_NOT_FOUND: its key is not in the ring; ERR_INVALID: it was sealed for another place, or changed. In
 * mem. */
_must_check_ int secret_unseal(SecretRing *ring, const void *mem, const char *place, const char *sealed,
                               char **ret, Err *err);

/* From now on it is sealed with a new key. */
_must_check_ int secret_ring_add(SecretRing *ring, Err *err);
/* Only the newest key stays. */
_must_check_ int secret_ring_drop(SecretRing *ring, Err *err);
