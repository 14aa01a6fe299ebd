/* Whether a repository's refs may have changed, without reading them: git makes every change by a rename into
 * the folder of the ref, or of packed-refs (gitrepository-layout(5)), so a folder's time tells of it. */
#include "git/git.h"

#include "base/clock.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DEPTH_MAX 64

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) {
    const unsigned char *c = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ c[i]) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

static void take(GitStamp *stamp, const char *name, const struct stat *st) {
    int64_t time = st->st_mtim.tv_sec * US_PER_S + st->st_mtim.tv_nsec / 1000;

    stamp->hash = mix(stamp->hash, name, strlen(name) + 1);
    stamp->hash = mix(stamp->hash, &st->st_ino, sizeof(st->st_ino));
    stamp->hash = mix(stamp->hash, &st->st_size, sizeof(st->st_size));
    stamp->hash = mix(stamp->hash, &st->st_mtim, sizeof(st->st_mtim));
    stamp->newest = MAX(stamp->newest, time);
}

static int take_folder(GitStamp *stamp, int parent, const char *name, int depth, Err *err);

static int take_folders(GitStamp *stamp, DIR *dir, int depth, Err *err) {
    struct dirent *entry;
    int r = 0;

    while (r >= 0 && (errno = 0, entry = readdir(dir)))
        if (entry->d_name[0] != '.' && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
            r = take_folder(stamp, dirfd(dir), entry->d_name, depth, err);
    return r < 0 || !errno ? r : err_errno(err, "read a folder of refs");
}

/* A folder that is gone meanwhile has changed its parent. */
static int take_folder(GitStamp *stamp, int parent, const char *name, int depth, Err *err) {
    struct stat st;
    DIR *dir;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, "open %s", name);
    dir = depth < DEPTH_MAX && fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        mem_close(fd);
        return err_set(err, ERR_IO, "read %s: too deep, or out of reach", name);
    }
    take(stamp, name, &st);
    r = take_folders(stamp, dir, depth + 1, err);
    closedir(dir);
    return r;
}

int git_refs_stamp(const char *repo, GitStamp *ret, Err *err) {
    static const char *const folders[] = {"refs/heads", "refs/tags", "refs/pull"};
    _cleanup_close_ int fd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    GitStamp stamp = {.hash = UINT64_C(14695981039346656037)};
    struct stat st;
    int r = 0;

    if (fd < 0)
        return err_errno(err, "repository %s", repo);
    if (fstatat(fd, "packed-refs", &st, 0) == 0)
        take(&stamp, "packed-refs", &st);
    for (size_t i = 0; r >= 0 && i < ELEMENTS(folders); i++)
        r = take_folder(&stamp, fd, folders[i], 0, err);
    if (r < 0)
        return err_wrap(err, "repository %s", repo);
    *ret = stamp;
    return 0;
}
