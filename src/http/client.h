/* The HTTP client. Plain http:// speaks HTTP/1.1 itself over TCP or a Unix socket, because the runner, each
 * job process and the command line live on it and must start in no time and weigh nothing; https:// is
 * libcurl's, loaded when the first such URL is used. Blocking, one connection kept alive per client; a client
 * belongs to one thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct HttpClient HttpClient;

struct sockaddr;
/* Which addresses may be spoken with: asked for each one that is tried, after names are resolved, so that no
 * name leads elsewhere. */
typedef struct HttpGuard {
    bool (*allow)(const void *arg, const struct sockaddr *address);
    const void *arg;
} HttpGuard;
/* Whether an address is of the world outside: not of this machine or its link, not unspecified, not
 * multicast. */
bool http_address_is_outside(const struct sockaddr *address);

typedef struct HttpCall {
    const char *method; /* "GET" … */
    const char *path;   /* from the base URL's path on, with the query; already encoded */
    const char *content_type;
    const void *body; /* or NULL */
    size_t body_len;
    /* A streamed body of body_len bytes (body NULL): gives the next bytes (≤ size), 0 at the end, negative on
     * error. */
    ssize_t (*body_read)(void *arg, void *buf, size_t size, Err *err);
    /* How long the streamed body is shows at its end: it is sent in chunks, body_len unused. Behind it comes
     * this field, "Name: value", without line ends, asked for when the body has ended. */
    const char *(*trailer)(void *arg);
    const char *const *headers; /* further "Name: value", NULL-terminated, or NULL */
    int64_t timeout_us; /* for the whole call; 0: none. For streams it bounds the silence between bytes */
    bool stream;        /* the answer may be endless: timeout_us bounds silence only */
    size_t max_answer;  /* bytes kept in `answer`; more is ERR_TOO_LARGE; 0: 16 MiB */
    /* Called for each piece of a 2xx answer instead of keeping it; non-zero ends the call with ERR_CANCELLED.
     */
    int (*on_data)(void *arg, const void *data, size_t len);
    /* Called when the head of a 2xx answer has come, before any of its body: whoever follows a stream knows
     * then that it listens. Non-zero ends the call with ERR_CANCELLED. Not for https://. */
    int (*on_head)(void *arg);
    /* Called each time that nothing of the answer has come for idle_us. NULL: not at all. */
    void (*on_idle)(void *arg);
    int64_t idle_us;
    void *arg;
    /* filled in */
    int status;
    bool untrusted; /* somebody answered, but no certificate or no TLS that is good enough: ERR_UNAVAILABLE,
                     * whose message says what to do */
    Buf answer;     /* the caller frees it by buf_done */
    const char *answer_type; /* content type, the client's, until its next call; known when on_data is called;
                              * NULL: not told */
} HttpCall;

/* base: "http://host:port[/prefix]", "https://…", "unix:/path". token (may be NULL) is sent as Bearer;
 * copied. */
_must_check_ int http_client_new(const void *mem, const char *base, const char *token, HttpClient **ret,
                                 Err *err);
/* From now on this process, and what it starts, also believes certificates of the CAs in the file (PEM): it
 * becomes SSL_CERT_FILE. *ret_file: its whole path. Before there is another thread. */
_must_check_ int http_trust_file(const void *mem, const char *file, const char **ret_file, Err *err);
/* From now on; a kept connection is given up. */
void http_client_guard(HttpClient *c, HttpGuard guard);
/* Performs the call. Any HTTP status is success here (call->status). A kept connection that the peer has
 * closed is opened anew once, when the body can be sent again. ERR_UNAVAILABLE: no connection; ERR_TIMEOUT;
 * ERR_IO: cut off. */
_must_check_ int http_client_call(HttpClient *c, HttpCall *call, Err *err);
/* Turns a non-2xx status into an error (sys: the status), with the message of the answer's JSON ("message" or
 * "error") if it has one. */
_must_check_ int http_call_check(const HttpCall *call, Err *err);
/* Makes a blocked http_client_call of another thread return ERR_CANCELLED; the client can be used again.
 * When no call is running the next one ends so. */
void http_client_interrupt(HttpClient *c);
/* Forgets the connection without a word, for a forked child. */
void http_client_forget(HttpClient *c);
