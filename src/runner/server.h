/* Finding the server again, and what both the lease thread and job processes make of its answers. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "http/client.h"
#include <stdint.h>

/* Pauses between tries: 20 ms, doubled up to the longest, each at random between half of it and all. */
typedef struct ServerRetry {
    int64_t longest_us; /* 0: 5 s */
    unsigned failures;
} ServerRetry;

/* Counts a failure and gives the pause in µs. */
int64_t server_retry_pause(ServerRetry *r);
/* The server's present address out of its server.json, in mem; NULL: no file, or it cannot be read now. */
char *server_address(const char *server_file, const void *mem);
/* When the file says another address than *server (talloc): makes a new client for it. Nothing happens when
 * there is no file, or it cannot be read now. */
void server_refresh(const char *server_file, char **server, const char *token, HttpClient **client);
/* The "error" of an answer's JSON; valid until the next call on this thread; "" when there is none. */
const char *server_error_word(const Buf *answer);
