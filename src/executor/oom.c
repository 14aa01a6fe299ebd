#include "executor/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX 8192 /* as the kernel has it */

int oom_log_open(void) {
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0)
        lseek(fd, 0, SEEK_END);
    return fd;
}

/* "oom-kill:constraint=…,oom_memcg=/PATH,task_memcg=/PATH,task=…": nobody but the kernel begins a record so.
 */
bool oom_record_names(const char *record, size_t len, const char *id) {
    static const char begin[] = "oom-kill:", key[] = ",oom_memcg=";
    const char *text = memchr(record, ';', len), *end = record + len, *path, *stop;

    if (!text || (size_t)(end - ++text) < sizeof(begin) || memcmp(text, begin, sizeof(begin) - 1) != 0)
        return false;
    path = memmem(text, (size_t)(end - text), key, sizeof(key) - 1);
    if (!path)
        return false;
    path += sizeof(key) - 1;
    stop = memchr(path, ',', (size_t)(end - path));
    return *id && memmem(path, (size_t)((stop ? stop : end) - path), id, strlen(id)) != NULL;
}

bool oom_log_names(int fd, const char *id) {
    char record[RECORD_MAX];
    bool found = false;

    while (fd >= 0) {
        ssize_t n = read(fd, record, sizeof(record));

        if (n > 0)
            found = found || oom_record_names(record, (size_t)n, id);
        else if (n == 0 || (errno != EPIPE && errno != EINTR)) /* EPIPE: some were overwritten meanwhile */
            break;
    }
    return found;
}
