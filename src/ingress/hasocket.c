#include "ingress/hasocket.h"

#include "base/str.h"
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_MAX ((size_t)16 * 1024 * 1024)

static int dial(const HaSocket *s, int *ret_fd, Err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 5};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_errno(err, "socket");
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", s->dirfd, s->name);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set(err, ERR_UNAVAILABLE, "HAProxy's runtime socket %s: %s", s->name, strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int talk(int fd, const char *command, size_t len, Buf *answer, Err *err) {
    while (len > 0) {
        ssize_t n = send(fd, command, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_UNAVAILABLE, "HAProxy's runtime socket: %s", strerror(errno));
        command += n;
        len -= (size_t)n;
    }
    for (;;) {
        ssize_t n = recv(fd, buf_reserve(answer, 16384), 16384, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, errno == EAGAIN ? ERR_TIMEOUT : ERR_UNAVAILABLE,
                           "HAProxy's runtime socket: %s",
                           errno == EAGAIN ? "no answer in 5 s" : strerror(errno));
        if (n == 0)
            break;
        answer->len += (size_t)n;
        if (answer->len > ANSWER_MAX)
            return err_set(err, ERR_TOO_LARGE, "HAProxy's answer is over %zu bytes", ANSWER_MAX);
    }
    buf_addc(answer, '\0');
    answer->len--;
    return 0;
}

static int _printf_(4, 0) ask(const HaSocket *s, Buf *answer, Err *err, const char *fmt, va_list ap) {
    _cleanup_close_ int fd = -1;
    char command[1024];
    int len = vsnprintf(command, sizeof(command) - 1, fmt, ap);

    if (len < 0 || (size_t)len >= sizeof(command) - 1 || strpbrk(command, "\n;\\"))
        return err_set(err, ERR_INTERNAL, "a runtime command that is not one line");
    command[len++] = '\n';
    if (dial(s, &fd, err) < 0)
        return -(int)err->code;
    return talk(fd, command, (size_t)len, answer, err);
}

int hasocket_ask(const HaSocket *s, Buf *answer, Err *err, const char *fmt, ...) {
    va_list ap;
    int ret;

    va_start(ap, fmt);
    ret = ask(s, answer, err, fmt, ap);
    va_end(ap);
    return ret;
}

int hasocket_do(const HaSocket *s, const char *expected, Err *err, const char *fmt, ...) {
    _cleanup_buf_ Buf answer = BUF_INIT;
    va_list ap;
    int ret;

    va_start(ap, fmt);
    ret = ask(s, &answer, err, fmt, ap);
    va_end(ap);
    if (ret < 0)
        return ret;
    while (answer.len > 0 && answer.data[answer.len - 1] == '\n')
        answer.data[--answer.len] = '\0';
    if (answer.len == 0 || (expected && str_eq(answer.data, expected)))
        return 0;
    return err_set(err, ERR_CONFLICT, "HAProxy: %s", answer.data);
}

char *ha_line(char **text) {
    char *line = *text, *end;

    if (!line || !*line)
        return NULL;
    end = strchrnul(line, '\n');
    *text = *end ? end + 1 : end;
    *end = '\0';
    return line;
}

char *ha_word(char **line, char separator) {
    char *word = *line, *end;

    if (!word || !*word)
        return NULL;
    end = strchrnul(word, separator);
    *line = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

int hasocket_pid(const HaSocket *s, pid_t *ret, Err *err) {
    _cleanup_buf_ Buf answer = BUF_INIT;
    char *text, *line;
    int64_t pid;

    if (hasocket_ask(s, &answer, err, "show info") < 0)
        return -(int)err->code;
    for (text = answer.data; (line = ha_line(&text));) {
        const char *value = str_after(line, "Pid: ");

        if (value && str_to_i64(value, 1, INT32_MAX, &pid)) {
            *ret = (pid_t)pid;
            return 0;
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "HAProxy does not tell its pid");
}

/* "pxname,svname,qcur,qmax,scur,…": management guide of HAProxy 2.6, section 9.1. */
int hasocket_busy(const HaSocket *s, unsigned slot, const char *release, long *ret, Err *err) {
    _cleanup_buf_ Buf answer = BUF_INIT;
    char *text, *line;

    if (hasocket_ask(s, &answer, err, "show stat app%u 4 -1", slot) < 0)
        return -(int)err->code;
    for (text = answer.data; (line = ha_line(&text));) {
        const char *field[5] = {0};
        int64_t queued, sessions;

        for (size_t i = 0; i < ELEMENTS(field); i++)
            field[i] = ha_word(&line, ',');
        if (str_eq(field[1], release) && field[4] && str_to_i64(field[2], 0, INT64_MAX, &queued) &&
            str_to_i64(field[4], 0, INT64_MAX, &sessions)) {
            *ret = (long)(queued + sessions);
            return 0;
        }
    }
    *ret = 0;
    return 0;
}
