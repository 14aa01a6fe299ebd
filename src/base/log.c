#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define LOG_TEXT_MAX 4096

static atomic_int lowest = LOG_INFO;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;

void log_set_level(LogLevel level) {
    atomic_store_explicit(&lowest, (int)level, memory_order_relaxed);
}

bool log_enabled(LogLevel level) {
    return (int)level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* systemd.exec(5): JOURNAL_STREAM is "device:inode"; a child inherits it even when its standard error goes
 * elsewhere, so it is compared. */
static void find_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return;
    snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    to_journal = str_eq(stream, own);
}

static bool is_control(const char *s) {
    unsigned char c = (unsigned char)*s;

    return c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0);
}

/* Whoever sends us a name or a message must not write lines of his own here, nor steer a terminal. */
static void add_escaped(Buf *out, const char *text) {
    for (const char *s = text; *s; s++) {
        if (!is_control(s))
            buf_addc(out, *s);
        else if (*s == '\n')
            buf_adds(out, "\\n");
        else if (*s == '\t')
            buf_adds(out, "\\t");
        else
            buf_addf(out, "\\x%02x", (unsigned char)*s);
    }
}

void log_write(LogLevel level, const char *room, const char *fmt, ...) {
    static const char *const words[] = {"debug", "info", "warn", "error"};
    _cleanup_buf_ Buf line = BUF_INIT;
    char text[LOG_TEXT_MAX], when[CLOCK_RFC3339_SIZE];
    int saved = errno;
    va_list ap;
    int n;

    if (!log_enabled(level))
        return;
    pthread_once(&journal_once, find_journal);
    if (!to_journal)
        buf_addf(&line, "%s ", clock_rfc3339(clock_now(), when));
    buf_addf(&line, "%s %s: ", words[level], room);
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_escaped(&line, text);
    buf_adds(&line, n >= (int)sizeof(text) ? "…\n" : "\n");
    /* one write a line: lines of several threads do not mix; there is nobody to tell when it fails */
    if (write(STDERR_FILENO, line.data, line.len) < 0) {
    }
    errno = saved;
}

void log_err(const char *room, const char *what, const Err *err) {
    log_error(room, "%s: %s (%s)", what, err->msg, err->where ? err->where : "?");
}
