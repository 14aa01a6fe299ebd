/* What the supervisor writes: its state, and the application's output in two files of bounded size. */
#pragma once

#include "deploy/release.h"

#define APP_LOG_SIZE ((off_t)5 * 1024 * 1024)

_must_check_ int release_state_write(const char *dir, const ReleaseState *state, Err *err);

typedef struct AppLog {
    int dirfd;
    int fd; /* app.log; -1: it cannot be written, output is dropped */
    off_t size;
} AppLog;

void app_log_open(AppLog *log, int dirfd);
void app_log_write(AppLog *log, const void *data, size_t len);
/* A line of ours: "-- pelton: …". */
void app_log_note(AppLog *log, const char *fmt, ...) _printf_(2, 3);
/* The last lines in the folder's app.log that fit, control characters but tab and newline replaced. */
void app_log_tail(const char *dir, char *out, size_t size);
