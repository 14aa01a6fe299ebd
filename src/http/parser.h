/* Reads an HTTP/1.1 answer (RFC 9112) as it comes in, in pieces of any size. Pure: no descriptor, no clock.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define PARSER_HEADER_MAX ((size_t)64 * 1024) /* bytes of status line and header, and of trailers */
#define PARSER_LINE_MAX ((size_t)1024)        /* of a chunk's size line */

typedef enum ParserState {
    PARSER_STATUS,
    PARSER_HEADER,
    PARSER_LENGTH,     /* `left` bytes of body to come */
    PARSER_CHUNK_SIZE, /* the line with a chunk's size */
    PARSER_CHUNK,      /* `left` bytes of a chunk to come */
    PARSER_CHUNK_END,  /* the line end behind it */
    PARSER_TRAILER,
    PARSER_TO_END, /* the body ends with the connection */
    PARSER_DONE,
} ParserState;

typedef struct Parser {
    bool head; /* the answer to a HEAD: it has no body whatever it says */
    /* Takes a piece of the body; non-zero ends feeding with ERR_CANCELLED, unless it filled err and gave its
     * code. */
    int (*on_data)(void *arg, const char *data, size_t len, Err *err);
    void *arg;
    ParserState state;
    int status;
    bool keep; /* the connection can carry another call */
    Buf type;  /* content type, "" when there is none */
    Buf line;
    size_t header_bytes;
    uint64_t left;
    bool has_length, chunked, encoded;
} Parser;

void parser_init(Parser *p, bool head, int (*on_data)(void *, const char *, size_t, Err *), void *arg);
void parser_done(Parser *p);
/* Takes len bytes; *ret_used is less only when the answer ended before. ERR_IO: not HTTP, or over a limit. */
_must_check_ int parser_feed(Parser *p, const char *data, size_t len, size_t *ret_used, Err *err);
/* The peer closed. ERR_IO when the answer is not whole. */
_must_check_ int parser_end(Parser *p, Err *err);
