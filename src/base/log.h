/* The program's own log: a line an event on standard error, "level room: message key=value …", with an RFC
 * 3339 time unless the journal keeps it (JOURNAL_STREAM is set). Never a secret. Thread-safe. */
#pragma once

#include "base/err.h"
#include <stdbool.h>

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } LogLevel;

/* The lowest level that is written; LOG_INFO at the start. */
void log_set_level(LogLevel level);
bool log_enabled(LogLevel level);

/* One line, made of the text with control characters escaped. `room` is the room's name. */
void log_write(LogLevel level, const char *room, const char *fmt, ...) _printf_(3, 4);

#define log_debug(room, ...)                                                                                 \
    do {                                                                                                     \
        if (log_enabled(LOG_DEBUG))                                                                          \
            log_write(LOG_DEBUG, (room), __VA_ARGS__);                                                       \
    } while (0)
#define log_info(room, ...) log_write(LOG_INFO, (room), __VA_ARGS__)
#define log_warn(room, ...) log_write(LOG_WARN, (room), __VA_ARGS__)
#define log_error(room, ...) log_write(LOG_ERROR, (room), __VA_ARGS__)
/* An error that ends here: "what: message (file.c:12)". */
void log_err(const char *room, const char *what, const Err *err);
