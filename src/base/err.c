#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const char *const words[] = {
    [ERR_INVALID] = "invalid",
    [ERR_UNAUTHORIZED] = "unauthorized",
    [ERR_FORBIDDEN] = "forbidden",
    [ERR_NOT_FOUND] = "not-found",
    [ERR_CONFLICT] = "conflict",
    [ERR_EXISTS] = "exists",
    [ERR_TOO_LARGE] = "too-large",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_TIMEOUT] = "timeout",
    [ERR_UNAVAILABLE] = "unavailable",
    [ERR_NO_SPACE] = "no-space",
    [ERR_CANCELLED] = "cancelled",
    [ERR_IO] = "io",
    [ERR_INTERNAL] = "internal",
};

const char *err_word(ErrCode code) {
    return code > 0 && code < ELEMENTS(words) ? words[code] : "internal";
}

int err_set_(Err *err, const char *where, ErrCode code, int sys, const char *fmt, ...) {
    va_list ap;

    if (!err)
        return -(int)code;
    err->code = code;
    err->sys = sys;
    err->where = where;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return -(int)code;
}

static ErrCode code_of_errno(int e) {
    switch (e) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

int err_errno_(Err *err, const char *where, const char *fmt, ...) {
    int saved = errno;
    ErrCode code = code_of_errno(saved);
    char text[480];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set_(err, where, code, saved, "%s: %s", text, strerror(saved));
}

int err_wrap_(Err *err, const char *fmt, ...) {
    char text[sizeof(err->msg)];
    va_list ap;
    int n;

    if (!err)
        return -(int)ERR_INTERNAL;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(text) - 3)
        snprintf(text + n, sizeof(text) - (size_t)n, ": %s", err->msg);
    memcpy(err->msg, text, sizeof(text));
    err->msg[sizeof(err->msg) - 1] = '\0';
    return -(int)err->code;
}
