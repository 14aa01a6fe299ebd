#include "runner/process.h"

#include "base/log.h"
#include <stdarg.h>

void job_say(JobProcess *j, const char *fmt, ...) {
    _cleanup_talloc_ char *masked = NULL;
    _cleanup_buf_ Buf line = BUF_INIT;
    char text[1024];
    va_list args;
    Err err;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    if (j->last && j->last != '\n')
        buf_addc(&line, '\n');
    masked = mask_text(j->masker, NULL, text);
    buf_addf(&line, "==> %s\n", masked);
    j->last = '\n';
    if (uploader_write_soon(j->uploader, line.data, line.len, &err) < 0)
        job_fail(j, "infrastructure", 0, "%s", err.msg);
}

void job_fail(JobProcess *j, const char *reason, int exit_code, const char *fmt, ...) {
    _cleanup_talloc_ char *masked = NULL;
    va_list args;

    if (j->state || j->cancelled)
        return;
    j->state = "failed";
    j->reason = reason;
    j->exit_code = exit_code;
    va_start(args, fmt);
    vsnprintf(j->message, sizeof(j->message), fmt, args);
    va_end(args);
    masked = mask_text(j->masker, NULL, j->message);
    snprintf(j->message, sizeof(j->message), "%s", masked);
}
