/* Git brings the files of a push to the disk before it answers (core.fsync), but not the folders that they
 * were renamed into: a power loss could take their names. */
#include "git/git.h"

#include "base/clock.h"
#include "git/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* What is older the kernel has brought to the disk by itself: no file system lets it lie for half as long. */
#define RECENT_S 60
#define DEPTH_MAX 64

typedef struct Sync {
    int64_t since; /* seconds: folders changed before that are left alone */
    bool files;    /* their files too */
} Sync;

static int failed(const char *name, Err *err) {
    return errno == ENOENT ? 0 : err_errno(err, "bring %s to the disk", name); /* removed meanwhile: well */
}

static int sync_file(int folder, const char *name, Err *err) {
    _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? failed(name, err) : 0;
}

static int sync_folder(const Sync *s, int parent, const char *name, int depth, Err *err);

static int sync_entries(const Sync *s, DIR *dir, int depth, Err *err) {
    const struct dirent *entry;
    int r = 0;

    while (r == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type == DT_DIR && depth > 0)
            r = sync_folder(s, dirfd(dir), entry->d_name, depth - 1, err);
        else if (entry->d_type == DT_REG && s->files)
            r = sync_file(dirfd(dir), entry->d_name, err);
    }
    return r;
}

/* Those within are looked at whether it has changed itself or not. */
static int sync_folder(const Sync *s, int parent, const char *name, int depth, Err *err) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;

    if (!dir) {
        r = failed(name, err);
        mem_close_p(&fd);
        return r;
    }
    r = depth > 0 || s->files ? sync_entries(s, dir, depth, err) : 0;
    if (r == 0 && (fstat(fd, &st) < 0 || (st.st_mtime >= s->since && fsync(fd) < 0)))
        r = failed(name, err);
    closedir(dir);
    return r;
}

int git_sync(const char *repo, Err *err) {
    const Sync recent = {.since = clock_now() / US_PER_S - RECENT_S};
    _cleanup_close_ int fd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return err_errno(err, "open %s", repo);
    r = sync_folder(&recent, fd, "objects", 1, err);
    if (r == 0)
        r = sync_folder(&recent, fd, "refs", DEPTH_MAX, err);
    if (r == 0 && fsync(fd) < 0) /* packed-refs */
        r = err_errno(err, "bring %s to the disk", repo);
    return r;
}

int git_sync_new(const char *repo, Err *err) {
    const Sync all = {.files = true};

    return sync_folder(&all, AT_FDCWD, repo, DEPTH_MAX, err);
}
