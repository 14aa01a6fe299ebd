#include "base/clock.h"
#include "base/file.h"
#include "deploy/release_file.h"
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

void app_log_open(AppLog *log, int dirfd) {
    struct stat st = {0};

    log->dirfd = dirfd;
    log->fd = openat(dirfd, "app.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? st.st_size : 0;
}

static void rotate(AppLog *log) {
    if (log->fd >= 0)
        close(log->fd);
    renameat(log->dirfd, "app.log", log->dirfd, "app.log.1");
    app_log_open(log, log->dirfd);
}

/* A full disk costs output, never the application. */
void app_log_write(AppLog *log, const void *data, size_t len) {
    if (log->size + (off_t)len > APP_LOG_SIZE && log->size > 0)
        rotate(log);
    if (log->fd >= 0 && file_write_all(log->fd, data, len, &(Err){0}) == 0)
        log->size += (off_t)len;
}

void app_log_note(AppLog *log, const char *fmt, ...) {
    char text[600], line[700], now[CLOCK_RFC3339_SIZE];
    va_list ap;
    int n;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n = snprintf(line, sizeof(line), "-- pelton %s: %s\n", clock_rfc3339(clock_now(), now), text);
    app_log_write(log, line, (size_t)n);
}

void app_log_tail(const char *dir, char *out, size_t size) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/app.log", dir);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    ssize_t n = 0;
    char *line;

    if (fd >= 0 && fstat(fd, &st) == 0)
        n = pread(fd, out, size - 1, MAX(0, st.st_size - (off_t)size + 1));
    n = MAX(n, 0);
    out[n] = '\0';
    for (char *c = out; c < out + n; c++) /* zero bytes too, which would hide what is behind them */
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            *c = '?';
    if (n > 0 && st.st_size > n && (line = strchr(out, '\n')))
        memmove(out, line + 1, strlen(line + 1) + 1);
}
