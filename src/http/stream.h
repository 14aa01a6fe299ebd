/* The inside of streams: stream.c has their life, ws.c the frames of WebSockets. Everything but making one
 * and waking it happens on the loop's thread. */
#pragma once

#include "http/request.h"
#include <wslay/wslay.h>

struct HttpStream {
    LoopTask task; /* a wake */
    LoopIo io;
    LoopTimer timer;
    atomic_bool timer_due;
    HttpServer *server;
    HttpRequest *req; /* owns this */
    int fd;
    const HttpSource *source;
    void *state;
    void (*attach)(void *state, HttpStream *stream);
    int64_t keepalive_us;
    int64_t wrote; /* when bytes last went out */
    bool websocket, chunked, added;
    bool full;  /* the socket takes no more: the source is not read */
    bool ended; /* the source has given its last */
    bool dead;
    Buf pending; /* what the socket did not take */
    size_t pending_at;
    wslay_event_context_ptr ws;
    HttpStream *prev, *next;
};

/* Sends what is pending, then bytes; keeps what the socket does not take. False: the connection is broken. */
_must_check_ bool stream_send(HttpStream *st, const void *bytes, size_t len);

/* ws.c */
/* "Sec-WebSocket-Accept" of a key (RFC 6455, section 4.2.2); out has 29 bytes. */
void ws_accept_key(const char *key, char *out);
void ws_open(HttpStream *st);
void ws_free(HttpStream *st);
/* These give false when the connection is over. */
_must_check_ bool ws_message(HttpStream *st, const Buf *text);
_must_check_ bool ws_ping(HttpStream *st);
_must_check_ bool ws_close(HttpStream *st, unsigned code);
_must_check_ bool ws_writable(HttpStream *st);
_must_check_ bool ws_readable(HttpStream *st);
