/* Errors: a code that maps to an HTTP status, an exit code and whether to retry; where it came from; and a
 * message for people, outermost first: "start build 42: clone repository: exit status 128". */
#pragma once

#include "base/mem.h"

typedef enum ErrCode {
    ERR_INVALID = 1, /* the caller's input is wrong: 400; the message names the place and what was expected */
    ERR_UNAUTHORIZED, /* no or a bad credential: 401 */
    ERR_FORBIDDEN,    /* a good credential without the right: 403 */
    ERR_NOT_FOUND,    /* 404 */
    ERR_CONFLICT,     /* the state does not allow it (stale attempt, wrong offset, finished build): 409 */
    ERR_EXISTS,       /* a thing of that name exists: 409 */
    ERR_TOO_LARGE,    /* over a limit of the configuration: 413 */
    ERR_UNSUPPORTED,  /* a media type, a method or a feature that is not there: 415/501 */
    ERR_TIMEOUT,      /* 504; worth a retry */
    ERR_UNAVAILABLE,  /* a peer or a service is out of reach: 503; worth a retry */
    ERR_NO_SPACE,     /* disk or quota is full: 507 */
    ERR_CANCELLED,    /* somebody asked to stop */
    ERR_IO,           /* reading, writing, the operating system: 500 */
    ERR_INTERNAL,     /* our own fault: 500 */
} ErrCode;

typedef struct Err {
    ErrCode code;
    int sys;           /* errno, or a library's own code, or 0 */
    const char *where; /* "file.c:123" of the origin */
    char msg[480];
} Err;

/* The word of a code for JSON and logs: "not-found". */
const char *err_word(ErrCode code);

int err_set_(Err *err, const char *where, ErrCode code, int sys, const char *fmt, ...) _printf_(5, 6);
int err_wrap_(Err *err, const char *fmt, ...) _printf_(2, 3);

/* What is no error is one of ours; and so the compiler sees that `if (r < 0) return r;` is taken after an
 * error. */
static inline int err_negative(int r) {
    return r < 0 ? r : -(int)ERR_INTERNAL;
}

#define ERR_STR2(x) #x
#define ERR_STR(x) ERR_STR2(x)
#define ERR_HERE __FILE__ ":" ERR_STR(__LINE__)

/* Fills err (may be NULL) and gives -code: `return err_set(err, ERR_INVALID, "port %d: not 0..65535", p);` */
#define err_set(err, code, ...) err_negative(err_set_((err), ERR_HERE, (code), 0, __VA_ARGS__))
/* The same from errno, with ": <strerror>" behind it; ENOSPC and EDQUOT become ERR_NO_SPACE, ENOENT
 * ERR_NOT_FOUND, EEXIST ERR_EXISTS, the rest ERR_IO. */
#define err_errno(err, ...) err_negative(err_errno_((err), ERR_HERE, __VA_ARGS__))
int err_errno_(Err *err, const char *where, const char *fmt, ...) _printf_(3, 4);
/* Puts "context: " before the message of an error that is on its way out; gives -err->code. */
#define err_wrap(err, ...) err_negative(err_wrap_((err), __VA_ARGS__))
