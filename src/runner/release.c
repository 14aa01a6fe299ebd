#include "runner/release.h"

#include "base/file.h"
#include "base/mem.h"
#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

typedef struct Lib {
    void *handle;
    struct archive *(*write_new)(void);
    int (*add_filter_zstd)(struct archive *);
    int (*set_format_pax_restricted)(struct archive *);
    int (*set_bytes_in_last_block)(struct archive *, int);
    int (*open_fd)(struct archive *, int);
    int (*write_header)(struct archive *, struct archive_entry *);
    la_ssize_t (*write_data)(struct archive *, const void *, size_t);
    int (*write_close)(struct archive *);
    int (*write_free)(struct archive *);
    const char *(*error_string)(struct archive *);
    struct archive_entry *(*entry_new)(void);
    void (*entry_free)(struct archive_entry *);
    void (*set_pathname)(struct archive_entry *, const char *);
    void (*set_symlink)(struct archive_entry *, const char *);
    void (*set_size)(struct archive_entry *, la_int64_t);
    void (*set_filetype)(struct archive_entry *, unsigned);
    void (*set_perm)(struct archive_entry *, __LA_MODE_T);
    void (*set_mtime)(struct archive_entry *, time_t, long);
} Lib;

static int lib_load(Lib *lib, Err *err) {
    struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"archive_write_new", &lib->write_new},
        {"archive_write_add_filter_zstd", &lib->add_filter_zstd},
        {"archive_write_set_format_pax_restricted", &lib->set_format_pax_restricted},
        {"archive_write_set_bytes_in_last_block", &lib->set_bytes_in_last_block},
        {"archive_write_open_fd", &lib->open_fd},
        {"archive_write_header", &lib->write_header},
        {"archive_write_data", &lib->write_data},
        {"archive_write_close", &lib->write_close},
        {"archive_write_free", &lib->write_free},
        {"archive_error_string", &lib->error_string},
        {"archive_entry_new", &lib->entry_new},
        {"archive_entry_free", &lib->entry_free},
        {"archive_entry_set_pathname", &lib->set_pathname},
        {"archive_entry_set_symlink", &lib->set_symlink},
        {"archive_entry_set_size", &lib->set_size},
        {"archive_entry_set_filetype", &lib->set_filetype},
        {"archive_entry_set_perm", &lib->set_perm},
        {"archive_entry_set_mtime", &lib->set_mtime},
    };

    lib->handle = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return err_set(err, ERR_UNSUPPORTED, "libarchive.so.13 is missing; install the package libarchive13");
    for (size_t i = 0; i < ELEMENTS(wanted); i++) {
        *(void **)wanted[i].place = dlsym(lib->handle, wanted[i].name);
        if (!*(void **)wanted[i].place)
            return err_set(err, ERR_UNSUPPORTED, "libarchive.so.13 has no %s", wanted[i].name);
    }
    return 0;
}

static int failed(const Lib *lib, struct archive *a, const char *what, Err *err) {
    const char *text = lib->error_string(a);

    return err_set(err, ERR_IO, "%s: %s", what, text ? text : "no reason given");
}

static int put_content(const Lib *lib, struct archive *a, int fd, const WalkFile *file, Err *err) {
    static char buffer[64 * 1024];
    int64_t left = file->size;
    ssize_t len;

    while (left > 0) {
        len = read(fd, buffer, (size_t)MIN(left, (int64_t)sizeof(buffer)));
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return err_set(err, ERR_IO, "%s: became shorter while it was read", file->path);
        if (lib->write_data(a, buffer, (size_t)len) != len)
            return failed(lib, a, file->path, err);
        left -= len;
    }
    return 0;
}

static int put_file(const Lib *lib, struct archive *a, int root, const WalkFile *file, Err *err) {
    struct archive_entry *entry = lib->entry_new();
    _cleanup_close_ int fd = -1;
    char target[PATH_MAX];
    ssize_t len = 0;
    int r = 0;

    lib->set_pathname(entry, file->path);
    lib->set_perm(entry, file->mode & 0777);
    lib->set_mtime(entry, 0, 0);
    if (S_ISLNK(file->mode)) {
        len = readlinkat(root, file->path, target, sizeof(target) - 1);
        target[MAX(len, 0)] = '\0';
        lib->set_filetype(entry, AE_IFLNK);
        lib->set_symlink(entry, target);
    } else {
        r = file_open_beneath(root, file->path, O_RDONLY | O_NONBLOCK, 0, &fd, err);
        lib->set_filetype(entry, AE_IFREG);
        lib->set_size(entry, file->size);
    }
    if (r == 0 && (!S_ISLNK(file->mode) || walk_link_inside(file->path, target))) {
        if (lib->write_header(a, entry) != ARCHIVE_OK)
            r = failed(lib, a, file->path, err);
        else if (fd >= 0)
            r = put_content(lib, a, fd, file, err);
    }
    lib->entry_free(entry);
    return r;
}

static int put_all(const Lib *lib, struct archive *a, int root, const Walk *walk, const char *const *globs,
                   int fd, Err *err) {
    int r = 0;

    if (lib->add_filter_zstd(a) < ARCHIVE_WARN || lib->set_format_pax_restricted(a) != ARCHIVE_OK ||
        lib->set_bytes_in_last_block(a, 1) != ARCHIVE_OK || lib->open_fd(a, fd) != ARCHIVE_OK)
        return failed(lib, a, "make an archive", err);
    for (size_t i = 0; r == 0 && i < walk->count; i++)
        if ((S_ISREG(walk->files[i].mode) || S_ISLNK(walk->files[i].mode)) &&
            walk_match(globs, walk->files[i].path))
            r = put_file(lib, a, root, &walk->files[i], err);
    if (r == 0 && lib->write_close(a) != ARCHIVE_OK)
        r = failed(lib, a, "end the archive", err);
    return r;
}

int release_pack(const char *root, const Walk *walk, const char *const *globs, int fd, Err *err) {
    _cleanup_close_ int dirfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct archive *a;
    Lib lib = {0};
    int r;

    if (dirfd < 0)
        return err_errno(err, "open %s", root);
    r = lib_load(&lib, err);
    if (r == 0) {
        a = lib.write_new();
        r = put_all(&lib, a, dirfd, walk, globs, fd, err);
        lib.write_free(a);
    }
    if (lib.handle)
        dlclose(lib.handle);
    return r;
}
