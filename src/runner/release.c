#include "runner/release.h"

#include "base/file.h"
#include "base/tar.h"
#include <fcntl.h>
#include <limits.h>

/* The times are left out, so that the same files give the same bytes. */
static int put_file(Tar *tar, int root, const WalkFile *file, Err *err) {
    char target[PATH_MAX];
    _cleanup_close_ int fd = -1;
    TarEntry entry = {.path = file->path, .mode = file->mode, .size = file->size, .link = target};
    ssize_t len;
    int r;

    if (S_ISLNK(file->mode)) {
        len = readlinkat(root, file->path, target, sizeof(target) - 1);
        target[MAX(len, 0)] = '\0';
        return walk_link_inside(file->path, target) ? tar_add(tar, &entry, err) : 0;
    }
    r = file_open_beneath(root, file->path, O_RDONLY | O_NONBLOCK, 0, &fd, err);
    entry.fd = fd;
    return r < 0 ? r : tar_add(tar, &entry, err);
}

int release_pack(const char *root, const Walk *walk, const char *const *globs, int fd, Err *err) {
    _cleanup_close_ int dirfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Tar *tar;
    int r;

    if (dirfd < 0)
        return err_errno(err, "open %s", root);
    r = tar_open(mem, fd, TAR_SMALL, &tar, err);
    for (size_t i = 0; r == 0 && i < walk->count; i++)
        if ((S_ISREG(walk->files[i].mode) || S_ISLNK(walk->files[i].mode)) &&
            walk_match(globs, walk->files[i].path))
            r = put_file(tar, dirfd, &walk->files[i], err);
    return r < 0 ? r : tar_finish(tar, err);
}
