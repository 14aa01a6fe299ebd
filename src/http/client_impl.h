/* The inside of the client: client.c has the calls and HTTP/1.1, wire.c the socket, client_curl.c https://.
 */
#pragma once

#include "http/client.h"
#include "http/parser.h"
#include <stdatomic.h>
#include <sys/uio.h>

/* A connection with a deadline that another thread can interrupt. */
typedef struct Wire {
    int fd;
    int interrupt_fd; /* an eventfd */
    int64_t deadline; /* monotonic µs; 0: none */
    HttpGuard guard;  /* allow NULL: all */
} Wire;

typedef enum WireWait { WIRE_READ = 1, WIRE_WRITE = 2 } WireWait;

/* Waits for one of what is wanted; gives which. ERR_TIMEOUT, ERR_CANCELLED. */
_must_check_ int wire_wait(Wire *w, int want, Err *err);
/* Connects: host and port, or the path of a Unix socket (host NULL). ERR_UNAVAILABLE. */
_must_check_ int wire_connect(Wire *w, const char *host, const char *port, const char *path, Err *err);
void wire_close(Wire *w);
/* Closes by a reset: what the peer has not read yet is nothing to it. */
void wire_reset(Wire *w);

struct HttpClient {
    char *host, *port, *prefix; /* of http:// */
    char *unix_path;
    char *authority; /* the Host field */
    char *url;       /* of https://: the base */
    char *token;
    Wire wire;
    Buf in;            /* what was read */
    char *answer_type; /* of the last answer, or NULL */
    bool answered;     /* a call has had an answer */
    struct CurlState *curl;
};

/* What is common to both ways: where the answer's bytes go. */
typedef struct CallSink {
    HttpCall *call;
    size_t max;
} CallSink;

int client_take(CallSink *sink, int status, const char *data, size_t len, Err *err);

/* NULL: none. */
void client_set_type(HttpClient *c, HttpCall *call, const char *type);

/* client_curl.c */
_must_check_ int curl_call(HttpClient *c, HttpCall *call, Err *err);
void curl_done(HttpClient *c);
/* Forgets the connection without a word. */
void curl_forget(HttpClient *c);
