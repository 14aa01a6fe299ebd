/* HAProxy's runtime socket: a command a connection. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <sys/types.h>

/* The socket <dir>/<name>, whatever the length of dir's path. */
typedef struct HaSocket {
    int dirfd;
    char name[40];
} HaSocket;

/* Sends one line and reads the answer, at most 16 MiB, within 5 s. ERR_UNAVAILABLE: nobody listens. */
_must_check_ int hasocket_ask(const HaSocket *s, Buf *answer, Err *err, const char *fmt, ...) _printf_(4, 5);
/* A command whose answer is nothing, or `expected`; anything else is ERR_CONFLICT with that text. */
_must_check_ int hasocket_do(const HaSocket *s, const char *expected, Err *err, const char *fmt, ...)
    _printf_(4, 5);
/* The pid of the process behind the socket. */
_must_check_ int hasocket_pid(const HaSocket *s, pid_t *ret, Err *err);
/* Requests that the server has or that wait for it; 0 when it is not there. */
_must_check_ int hasocket_busy(const HaSocket *s, unsigned slot, const char *release, long *ret, Err *err);

/* Lines of `show servers state` and `show map`, without their first `skip` words… one field of a line at a
 * time. */
/* The next line of *text, zero-terminated in place; NULL at the end. */
char *ha_line(char **text);
/* The next word of *line up to `separator`, zero-terminated in place; NULL at the end. */
char *ha_word(char **line, char separator);
