/* Random names: UUIDs (RFC 4122, version 4) and tokens, from the kernel's generator. */
#pragma once

#include <stddef.h>

#define ID_UUID_SIZE 37
/* Lower case with dashes, zero-terminated. */
void id_uuid(char out[ID_UUID_SIZE]);
/* `len` random characters of [a-z0-9] (each 5.17 bit), zero-terminated; out has len + 1 bytes. */
void id_random(char *out, size_t len);
void id_bytes(void *out, size_t len);
