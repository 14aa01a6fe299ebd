#include "base/tar.h"

#include "base/file.h"
#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#define PIECE (256 * 1024)

/* Of libarchive, by the names of its own header. */
#define FUNCTIONS(f)                                                                                         \
    f(archive_write_new) f(archive_write_add_filter_zstd) f(archive_write_set_filter_option)                 \
        f(archive_write_set_format_pax_restricted) f(archive_write_set_bytes_per_block)                      \
            f(archive_write_set_bytes_in_last_block) f(archive_write_open) f(archive_write_header)           \
                f(archive_write_data) f(archive_write_close) f(archive_write_free) f(archive_error_string)   \
                    f(archive_entry_new) f(archive_entry_free) f(archive_entry_set_pathname)                 \
                        f(archive_entry_set_symlink) f(archive_entry_set_size) f(archive_entry_set_filetype) \
                            f(archive_entry_set_perm) f(archive_entry_set_mtime)

typedef struct Lib {
    void *handle;
#define DECLARE(name) __typeof__(name) *name##_;
    FUNCTIONS(DECLARE)
} Lib;

struct Tar {
    Lib lib;
    struct archive *archive;
    int fd;
    Err out; /* what went wrong with fd */
    char buffer[PIECE];
};

static int load(Lib *lib, Err *err) {
    lib->handle = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return err_set(err, ERR_UNSUPPORTED, "libarchive.so.13 is missing; install the package libarchive13");
#define LOAD(name)                                                                                           \
    if (!(lib->name##_ = (__typeof__(name) *)dlsym(lib->handle, #name)))                                     \
        return err_set(err, ERR_UNSUPPORTED, "libarchive.so.13 has no " #name);
    FUNCTIONS(LOAD)
    return 0;
}

static int tar_free(Tar *t) {
    if (t->archive)
        t->lib.archive_write_free_(t->archive);
    if (t->lib.handle)
        dlclose(t->lib.handle);
    return 0;
}

static int failed(Tar *t, const char *what, Err *err) {
    const char *text = t->lib.archive_error_string_(t->archive);

    if (t->out.code) {
        *err = t->out;
        return err_wrap(err, "%s", what);
    }
    return err_set(err, ERR_IO, "%s: %s", what, text ? text : "no reason given");
}

static bool set_option(Tar *t, const char *option, int64_t value) {
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return t->lib.archive_write_set_filter_option_(t->archive, "zstd", option, text) == ARCHIVE_OK;
}

/* In a hurry all processors help, a few at most; one thread more, for it is not always that one has
 * something. */
static bool compress(Tar *t, int level) {
    int64_t threads = level == TAR_QUICK ? MIN(sysconf(_SC_NPROCESSORS_ONLN) + 1, 4L) : 0;

    return t->lib.archive_write_add_filter_zstd_(t->archive) >= ARCHIVE_WARN &&
           set_option(t, "compression-level", level) && (threads == 0 || set_option(t, "threads", threads));
}

static la_ssize_t put_out(struct archive *archive, void *arg, const void *data, size_t len) {
    Tar *t = arg;

    return file_write_all(t->fd, data, len, &t->out) < 0 ? -1 : (la_ssize_t)len;
}

static int begin(Tar *t, int level, Err *err) {
    int r = load(&t->lib, err);

    if (r < 0)
        return r;
    t->archive = t->lib.archive_write_new_();
    if ((level && !compress(t, level)) ||
        t->lib.archive_write_set_format_pax_restricted_(t->archive) != ARCHIVE_OK ||
        t->lib.archive_write_set_bytes_per_block_(t->archive, PIECE) != ARCHIVE_OK ||
        t->lib.archive_write_set_bytes_in_last_block_(t->archive, 1) != ARCHIVE_OK ||
        t->lib.archive_write_open_(t->archive, t, NULL, put_out, NULL) != ARCHIVE_OK)
        return failed(t, "make an archive", err);
    return 0;
}

int tar_open(const void *mem, int fd, int level, Tar **ret, Err *err) {
    Tar *t = mem_new(mem, Tar);
    int r;

    t->fd = fd;
    talloc_set_destructor(t, tar_free);
    r = begin(t, level, err);
    if (r < 0) {
        talloc_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

static int put_content(Tar *t, const TarEntry *e, Err *err) {
    int64_t left = e->size;

    while (left > 0) {
        ssize_t len = read(e->fd, t->buffer, (size_t)MIN(left, (int64_t)sizeof(t->buffer)));

        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return err_set(err, ERR_IO, "%s: became shorter while it was read", e->path);
        if (t->lib.archive_write_data_(t->archive, t->buffer, (size_t)len) != len)
            return failed(t, e->path, err);
        left -= len;
    }
    return 0;
}

int tar_add(Tar *t, const TarEntry *e, Err *err) {
    struct archive_entry *entry = t->lib.archive_entry_new_();
    bool file = S_ISREG(e->mode);
    int r = 0;

    t->lib.archive_entry_set_pathname_(entry, e->path);
    t->lib.archive_entry_set_perm_(entry, e->mode & 0777);
    t->lib.archive_entry_set_mtime_(entry, e->mtime, 0);
    t->lib.archive_entry_set_filetype_(entry, e->mode & S_IFMT);
    if (file)
        t->lib.archive_entry_set_size_(entry, e->size);
    else if (S_ISLNK(e->mode))
        t->lib.archive_entry_set_symlink_(entry, e->link);
    if (t->lib.archive_write_header_(t->archive, entry) != ARCHIVE_OK)
        r = failed(t, e->path, err);
    else if (file)
        r = put_content(t, e, err);
    t->lib.archive_entry_free_(entry);
    return r;
}

int tar_finish(Tar *t, Err *err) {
    return t->lib.archive_write_close_(t->archive) == ARCHIVE_OK ? 0 : failed(t, "end the archive", err);
}
