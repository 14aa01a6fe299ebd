#include "runner/jobfile.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOBFILE_MAX (64u << 20)

static const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

void jobfile_path(const char *dir, int slot, const char *kind, char out[PATH_MAX]) {
    snprintf(out, PATH_MAX, "%s/jobs/slot-%d%s", dir, slot, kind);
}

bool jobfile_name(const char *name, int *ret_slot) {
    const char *number = str_after(name, "slot-");
    char text[12];
    int64_t slot;

    if (!number || strcspn(number, ".") >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(number, "."), number);
    if (!str_to_i64(text, 0, 100000, &slot))
        return false;
    *ret_slot = (int)slot;
    return true;
}

static int lock(int fd, const char *path, Err *err) {
    struct flock l = whole;

    if (fcntl(fd, F_SETLK, &l) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(err, ERR_CONFLICT, "%s: its process lives", path);
    return err_errno(err, "lock %s", path);
}

int jobfile_create(const char *dir, int slot, int64_t id, int64_t attempt, const char *job, size_t job_len,
                   int *ret_fd, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_close_ int fd = -1;
    char path[PATH_MAX];
    struct stat st;
    int r;

    jobfile_path(dir, slot, ".job", path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    if (fd < 0)
        return err_errno(err, "create %s", path);
    r = lock(fd, path, err);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0 || (st.st_size > 0 && ftruncate(fd, 0) < 0))
        return err_errno(err, "empty %s", path);
    buf_addf(&text, "{\"job\":%lld,\"attempt\":%lld}\n", (long long)id, (long long)attempt);
    buf_add(&text, job, job_len);
    buf_addc(&text, '\n');
    r = file_write_all(fd, text.data, text.len, err);
    if (r < 0) {
        jobfile_clear(fd);
        return err_wrap(err, "write %s", path);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int jobfile_take(const char *path, int *ret_fd, Err *err) {
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_APPEND);
    int r;

    if (fd < 0)
        return err_errno(err, "open %s", path);
    r = lock(fd, path, err);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int jobfile_finish(int fd, const char *report, size_t len, const char *log, size_t log_len, Err *err) {
    _cleanup_buf_ Buf line = BUF_INIT;

    buf_add(&line, report, len);
    buf_addc(&line, '\n');
    if (log)
        buf_add(&line, log, log_len);
    return file_write_all(fd, line.data, line.len, err);
}

void jobfile_clear(int fd) {
    if (ftruncate(fd, 0) < 0)
        log_error("runner", "empty a job's file: errno %d", errno);
}

pid_t jobfile_holder(const char *path) {
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock l = whole;

    return fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? l.l_pid : 0;
}

static int read_ids(const char *line, size_t len, JobFile *f, Err *err) {
    _cleanup_json_ json_t *root = NULL;
    int r = json_read(line, len, &root, err);

    if (r == 0)
        r = json_get_i64(root, "job", &f->id, err);
    if (r == 0)
        r = json_get_i64(root, "attempt", &f->attempt, err);
    return r;
}

/* The next line, its end cut off; NULL: no whole line is left. */
static char *next_line(char **at, char *end) {
    char *line = *at, *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

    if (!newline)
        return NULL;
    *newline = '\0';
    *at = newline + 1;
    return line;
}

int jobfile_read(const char *path, const void *mem, JobFile *ret, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    const char *name = strrchr(path, '/');
    char *at, *end, *ids, *job, *result;
    JobFile f = {0};
    int r = file_read(path, JOBFILE_MAX, &text, err);

    if (r < 0)
        return r;
    if (!jobfile_name(name ? name + 1 : path, &f.slot))
        return err_set(err, ERR_INVALID, "%s: not the name of a slot", path);
    if (text.len == 0)
        return err_set(err, ERR_NOT_FOUND, "%s: the slot is free", path);
    at = text.data;
    end = at + text.len;
    ids = next_line(&at, end);
    job = ids ? next_line(&at, end) : NULL;
    if (!job)
        return err_set(err, ERR_INVALID, "%s: is not whole", path);
    r = read_ids(ids, strlen(ids), &f, err);
    if (r < 0)
        return r;
    f.job = mem_strdup(mem, job);
    result = next_line(&at, end);
    if (result) {
        f.result = mem_strdup(mem, result);
        f.log_len = (size_t)(end - at);
        f.log = mem_array(mem, char, f.log_len + 1);
        memcpy(f.log, at, f.log_len);
    }
    *ret = f;
    return 0;
}
