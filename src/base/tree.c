/* Walks over whole trees that somebody else made: no link is followed, no mount is entered, and no depth of
 * folders takes our stack or our descriptors. */
#include "base/file.h"

#include "base/id.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

DEFINE_CLEANUP(DIR *, closedir)
#define _cleanup_dir_ _cleanup_(mem_closedir_p)

/* Deeper folders are moved up to the top and removed from there. */
#define REMOVE_DEPTH 32
#define CHOWN_DEPTH 400

static int open_folder(int dirfd, const char *name, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | flags),
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    int fd;

    if (dirfd == AT_FDCWD) /* the tree's own path is the caller's, and may go over links and mounts */
        return open(name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | flags);
    do
        fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* A folder without its owner's r, w or x: given them through its descriptor, so that no link can come
 * between. */
static int open_locked_folder(int dirfd, const char *name) {
    _cleanup_close_ int handle = open_folder(dirfd, name, O_PATH);
    char self[32];

    if (handle < 0)
        return -1;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", handle);
    if (chmod(self, 0700) < 0)
        return -1;
    return open_folder(dirfd, name, O_RDONLY);
}

static DIR *open_to_empty(int dirfd, const char *name) {
    int fd = open_folder(dirfd, name, O_RDONLY);
    DIR *dir;

    if (fd < 0 && errno == EACCES)
        fd = open_locked_folder(dirfd, name);
    if (fd < 0)
        return NULL;
    dir = fdopendir(fd);
    if (!dir)
        mem_close(fd);
    return dir;
}

static bool is_dots(const char *name) {
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* unlinkat in a folder that may be read-only. */
static int unlink_in(int folder, const char *name, int flags) {
    int saved;

    if (unlinkat(folder, name, flags) == 0)
        return 0;
    saved = errno;
    if ((saved == EACCES || saved == EPERM) && folder != AT_FDCWD && fchmod(folder, 0700) == 0)
        return unlinkat(folder, name, flags);
    errno = saved;
    return -1;
}

static int move_up(int folder, const char *name, int top) {
    char random[25];

    id_random(random, sizeof(random) - 1);
    if (renameat(folder, name, top, random) == 0)
        return 0;
    if (errno != EACCES && errno != EPERM)
        return -1;
    /* to move a folder is to write in it too, for its ".." */
    if (fchmod(folder, 0700) < 0)
        return -1;
    mem_close(open_locked_folder(folder, name));
    return renameat(folder, name, top, random);
}

static int remove_entry(int dirfd, const char *name, unsigned char type, int top, int depth);

/* Empties the folder; goes over it again while that gets on, as moved ones come in at the top. 0 or -1. */
static int empty_folder(DIR *dir, int top, int depth) {
    int fd = dirfd(dir), failed = 0;
    bool removed;

    do {
        struct dirent *entry;

        removed = false;
        failed = 0;
        while ((entry = readdir(dir))) {
            if (is_dots(entry->d_name))
                continue;
            if (remove_entry(fd, entry->d_name, entry->d_type, top, depth) == 0)
                removed = true;
            else
                failed = errno;
        }
        rewinddir(dir);
    } while (removed);
    errno = failed;
    return failed ? -1 : 0;
}

static int remove_folder(int dirfd_, const char *name, int top, int depth) {
    _cleanup_dir_ DIR *dir = NULL;

    if (unlink_in(dirfd_, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY)
        return -1;
    if (depth >= REMOVE_DEPTH)
        return move_up(dirfd_, name, top);
    dir = open_to_empty(dirfd_, name);
    if (!dir)
        return errno == ENOENT ? 0 : -1;
    if (empty_folder(dir, top >= 0 ? top : dirfd(dir), depth + 1) < 0)
        return -1;
    return unlink_in(dirfd_, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

static int remove_entry(int dirfd_, const char *name, unsigned char type, int top, int depth) {
    if (type != DT_DIR) {
        if (unlink_in(dirfd_, name, 0) == 0 || errno == ENOENT)
            return 0;
        if (errno != EISDIR)
            return -1;
    }
    return remove_folder(dirfd_, name, top, depth);
}

int file_remove_tree_at(int dirfd_, const char *name, Err *err) {
    if (!*name || is_dots(name) || strchr(name, '/'))
        return err_set(err, ERR_INVALID, "remove \"%s\": not a plain name", name);
    if (remove_entry(dirfd_, name, DT_UNKNOWN, -1, 0) < 0)
        return err_errno(err, "remove %s", name);
    return 0;
}

int file_remove_tree(const char *path, Err *err) {
    if (remove_entry(AT_FDCWD, path, DT_UNKNOWN, -1, 0) < 0)
        return err_errno(err, "remove %s", path);
    return 0;
}

static int chown_folder(int dirfd_, const char *name, uid_t uid, gid_t gid, int depth);

static int chown_content(DIR *dir, uid_t uid, gid_t gid, int depth) {
    struct dirent *entry;
    int fd = dirfd(dir);

    while ((errno = 0, entry = readdir(dir))) {
        if (is_dots(entry->d_name))
            continue;
        if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) {
            if (chown_folder(fd, entry->d_name, uid, gid, depth) == 0)
                continue;
            if (errno != ENOTDIR && errno != ELOOP)
                return -1;
        }
        if (fchownat(fd, entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
            return -1;
    }
    return errno ? -1 : 0;
}

static int chown_folder(int dirfd_, const char *name, uid_t uid, gid_t gid, int depth) {
    _cleanup_dir_ DIR *dir = NULL;
    int fd;

    if (depth >= CHOWN_DEPTH) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open_folder(dirfd_, name, O_RDONLY);
    if (fd < 0)
        return -1;
    dir = fdopendir(fd);
    if (!dir) {
        mem_close(fd);
        return -1;
    }
    if (fchown(fd, uid, gid) < 0)
        return -1;
    return chown_content(dir, uid, gid, depth + 1);
}

int file_chown_tree(const char *path, uid_t uid, gid_t gid, Err *err) {
    if (chown_folder(AT_FDCWD, path, uid, gid, 0) == 0)
        return 0;
    if (errno != ENOTDIR && errno != ELOOP)
        return err_errno(err, "chown %s", path);
    if (fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, "chown %s", path);
    return 0;
}
