#include "base/file.h"

#include "base/id.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

int file_read(const char *path, size_t max, Buf *out, Err *err) {
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? err_errno(err, "read %s", path) : file_read_open(fd, path, max, out, err);
}

int file_read_open(int fd, const char *name, size_t max, Buf *out, Err *err) {
    size_t start = out->len;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, "read %s", name);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return err_set(err, ERR_TOO_LARGE, "%s: over %zu bytes", name, max);
    /* one more than it says: the end is found without another round */
    buf_reserve(out, S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 4096);
    for (;;) {
        size_t room = out->capacity - out->len - 1;
        ssize_t n = read(fd, out->data + out->len, room);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read %s", name);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len - start > max)
            return err_set(err, ERR_TOO_LARGE, "%s: over %zu bytes", name, max);
        if (n == 0)
            return 0;
        if ((size_t)n == room)
            buf_reserve(out, room);
    }
}

int file_write_all(int fd, const void *data, size_t len, Err *err) {
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "write");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_sync_folder_of(const char *path, Err *err) {
    const char *slash = strrchr(path, '/');
    _cleanup_talloc_ char *folder =
        slash ? mem_strndup(NULL, path, (size_t)MAX(slash - path, 1)) : mem_strdup(NULL, ".");
    _cleanup_close_ int fd = -1;

    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_errno(err, "sync %s", folder);
    return 0;
}

static int write_synced(const char *path, const void *data, size_t len, mode_t mode, Err *err) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0700);
    int r;

    if (fd < 0)
        return err_errno(err, "create %s", path);
    r = file_write_all(fd, data, len, err);
    if (r < 0)
        return err_wrap(err, "%s", path);
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return err_errno(err, "write %s", path);
    return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, Err *err) {
    _cleanup_talloc_ char *beside = NULL;
    char random[13];
    int r;

    id_random(random, sizeof(random) - 1);
    beside = mem_printf(NULL, "%s.%s.tmp", path, random);
    r = write_synced(beside, data, len, mode, err);
    if (r >= 0 && rename(beside, path) < 0)
        r = err_errno(err, "rename %s to %s", beside, path);
    if (r < 0) {
        unlink(beside);
        return r;
    }
    return file_sync_folder_of(path, err);
}

int file_check_path(const char *path, Err *err) {
    size_t len = strlen(path);
    const char *at = path;

    if (len == 0)
        return err_set(err, ERR_INVALID, "path is empty");
    if (len > 1024)
        return err_set(err, ERR_INVALID, "path is longer than 1024 bytes");
    if (!str_utf8_valid(path, len))
        return err_set(err, ERR_INVALID, "path is not valid UTF-8");
    if (*path == '/')
        return err_set(err, ERR_INVALID, "path \"%s\": is absolute; expected one relative to its root", path);
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return err_set(err, ERR_INVALID, "path holds a control character");
    for (;;) {
        size_t n = strcspn(at, "/");

        if (n == 0)
            return err_set(err, ERR_INVALID, "path \"%s\": has an empty segment", path);
        if ((n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
            return err_set(err, ERR_INVALID, "path \"%s\": \"%.*s\" is not allowed in it", path, (int)n, at);
        if (!at[n])
            return 0;
        at += n + 1;
    }
}

int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd, Err *err) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int fd, tries = 16;

    do /* EAGAIN: something was renamed while a ".." was looked at */
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && --tries > 0)));
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if (errno == EXDEV)
        return err_set(err, ERR_INVALID, "path \"%s\": leaves its root", path);
    if (errno == ELOOP)
        return err_set(err, ERR_INVALID, "path \"%s\": a symbolic link is in it", path);
    if (errno == ENAMETOOLONG)
        return err_set(err, ERR_INVALID, "path \"%.80s…\": too long", path);
    return err_errno(err, "open %s", path);
}

int file_mkdirs_beneath(int dirfd, const char *path, Err *err) {
    const char *at = path, *slash;
    _cleanup_close_ int folder = -1;
    int next, r;

    for (; (slash = strchr(at, '/')); at = slash + 1) {
        char name[256];
        int in = folder >= 0 ? folder : dirfd;

        if (slash == at)
            return err_set(err, ERR_INVALID, "path \"%s\": has an empty segment", path);
        if (slash - at >= (ptrdiff_t)sizeof(name))
            return err_set(err, ERR_INVALID, "path \"%.80s…\": too long", path);
        snprintf(name, sizeof(name), "%.*s", (int)(slash - at), at);
        if (mkdirat(in, name, 0755) < 0 && errno != EEXIST)
            return err_errno(err, "create folder %s", name);
        r = file_open_beneath(in, name, O_PATH | O_DIRECTORY, 0, &next, err);
        if (r < 0)
            return err_wrap(err, "%s", path);
        if (folder >= 0)
            close(folder);
        folder = next;
    }
    return 0;
}

static int make_folder(const char *path, mode_t mode, Err *err) {
    struct stat st;

    if (mkdir(path, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return err_errno(err, "create folder %s", path);
    if (stat(path, &st) < 0)
        return err_errno(err, "create folder %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_EXISTS, "create folder %s: a file of that name is there", path);
    return 0;
}

int file_mkdirs(const char *path, mode_t mode, Err *err) {
    _cleanup_talloc_ char *copy = mem_strdup(NULL, path);
    size_t len = strlen(copy);

    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    if (len == 0)
        return err_set(err, ERR_INVALID, "path is empty");
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int r;

        *slash = '\0';
        r = make_folder(copy, 0755, err);
        if (r < 0)
            return r;
        *slash = '/';
    }
    return make_folder(copy, mode, err);
}
