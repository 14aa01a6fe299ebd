/* The address where HAProxy listens: "ADDR:PORT" or "[ADDR]:PORT", numeric. */
#pragma once

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Takes it apart as HAProxy's `bind` wants it: the host with the brackets of IPv6, "localhost" as 127.0.0.1;
 * port 0 is one. ERR_INVALID. */
_must_check_ int listen_split(const char *listen, char *host, size_t size, int64_t *ret_port, Err *err);
/* Binds the address of listen_split for a moment, as HAProxy would. *ret_port: the port, for 0 a free one of
 * the kernel's choice. The error says what to do. */
_must_check_ int listen_try(const char *host, int64_t port, int64_t *ret_port, Err *err);
