#include "base/untar.h"

#include "base/ahead.h"
#include "base/disk.h"
#include "base/str.h"
#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <sys/stat.h>

#define BLOCK (256 * 1024)

/* Of libarchive, by the names of its own header. */
#define FUNCTIONS(f)                                                                                         \
    f(archive_read_new) f(archive_read_support_format_tar) f(archive_read_support_format_raw)                \
        f(archive_read_support_filter_zstd) f(archive_read_open) f(archive_read_open_fd)                     \
            f(archive_read_next_header) f(archive_read_data) f(archive_read_data_block) f(archive_read_free) \
                f(archive_write_disk_new) f(archive_write_disk_set_options) f(archive_write_header)          \
                    f(archive_write_data_block) f(archive_write_finish_entry) f(archive_write_free)          \
                        f(archive_error_string) f(archive_entry_pathname) f(archive_entry_filetype)          \
                            f(archive_entry_symlink) f(archive_entry_hardlink) f(archive_entry_size)         \
                                f(archive_entry_perm) f(archive_entry_set_perm)

#define DECLARE(name) __typeof__(name) *name##_;
static struct { FUNCTIONS(DECLARE) } lib;

static int load(Err *err) {
    void *handle = dlopen("libarchive.so.13", RTLD_NOW);

    if (!handle)
        return err_set(err, ERR_UNSUPPORTED, "%s; install the package libarchive13", dlerror());
#define LOAD(name)                                                                                           \
    if (!(lib.name##_ = (__typeof__(name) *)dlsym(handle, #name)))                                           \
        return err_set(err, ERR_UNSUPPORTED, "libarchive.so.13 has no " #name);
    FUNCTIONS(LOAD)
    return 0;
}

bool untar_has_parent(const char *path) {
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '\0' || at[2] == '/'))
            return true;
    return false;
}

typedef struct Work {
    const UntarOptions *o;
    struct archive *in, *out;
    int64_t bytes, entries;
} Work;

static int check_entry(const UntarOptions *o, struct archive_entry *entry, Err *err) {
    const char *path = lib.archive_entry_pathname_(entry), *hard = lib.archive_entry_hardlink_(entry);
    mode_t type = lib.archive_entry_filetype_(entry);

    if (str_empty(path) || path[0] == '/' || untar_has_parent(path))
        return err_set(err, ERR_INVALID, "the archive holds \"%.200s\", which leads out of the %s",
                       path ? path : "", o->what);
    if (hard && (hard[0] == '/' || untar_has_parent(hard)))
        return err_set(err, ERR_INVALID, "the archive links \"%.200s\" to \"%.200s\" outside of the %s", path,
                       hard, o->what);
    if (type == S_IFLNK && o->link_ok && !o->link_ok(path, lib.archive_entry_symlink_(entry)))
        return err_set(err, ERR_INVALID, "the archive links \"%.200s\" to \"%.200s\" outside of the %s", path,
                       lib.archive_entry_symlink_(entry), o->what);
    if (!hard && type != S_IFREG && type != S_IFDIR && type != S_IFLNK)
        return err_set(err, ERR_INVALID, "the archive holds \"%.200s\", which is no file, folder or link",
                       path);
    return 0;
}

/* An archive is large at most by mistake; then it must not take the room of all else. */
static int check_room(const UntarOptions *o, Err *err) {
    const Disk here = {.path = ".", .keep_bytes = o->keep_free};

    return o->keep_free && disk_is_low(&here)
               ? err_set(err, ERR_NO_SPACE, "the disk is nearly full: the %s has no room", o->what)
               : 0;
}

static int copy_data(Work *w, Err *err) {
    const void *block;
    size_t size;
    la_int64_t offset;
    int r;

    while ((r = lib.archive_read_data_block_(w->in, &block, &size, &offset)) == ARCHIVE_OK) {
        w->bytes += (int64_t)size;
        if (w->bytes > w->o->bytes_max)
            return err_set(err, ERR_TOO_LARGE, "the %s is over %lld bytes", w->o->what,
                           (long long)w->o->bytes_max);
        if (check_room(w->o, err) < 0)
            return -(int)err->code;
        if (lib.archive_write_data_block_(w->out, block, size, offset) < ARCHIVE_OK)
            return err_set(err, ERR_IO, "%s", lib.archive_error_string_(w->out));
    }
    return r == ARCHIVE_EOF ? 0 : err_set(err, ERR_INVALID, "%s", lib.archive_error_string_(w->in));
}

static int unpack_entry(Work *w, struct archive_entry *entry, Err *err) {
    if (++w->entries > w->o->entries_max)
        return err_set(err, ERR_TOO_LARGE, "the %s holds over %lld files", w->o->what,
                       (long long)w->o->entries_max);
    if (check_entry(w->o, entry, err) < 0)
        return -(int)err->code;
    lib.archive_entry_set_perm_(entry, (lib.archive_entry_perm_(entry) & 0777) | 0600 |
                                           (lib.archive_entry_filetype_(entry) == S_IFDIR ? 0100 : 0));
    if (lib.archive_write_header_(w->out, entry) < ARCHIVE_OK)
        return err_set(err, ERR_INVALID, "%s", lib.archive_error_string_(w->out));
    if (copy_data(w, err) < 0)
        return -(int)err->code;
    return lib.archive_write_finish_entry_(w->out) < ARCHIVE_OK
               ? err_set(err, ERR_IO, "%s", lib.archive_error_string_(w->out))
               : 0;
}

static int unpack_all(Work *w, Err *err) {
    struct archive_entry *entry;
    int r;

    while ((r = lib.archive_read_next_header_(w->in, &entry)) == ARCHIVE_OK)
        if (unpack_entry(w, entry, err) < 0)
            return -(int)err->code;
    return r == ARCHIVE_EOF
               ? 0
               : err_set(err, ERR_INVALID, "not a %s: %s", w->o->what, lib.archive_error_string_(w->in));
}

/* ---- decompression, ahead of what becomes of it ---- */

/* Opened by the first call, for only its own thread may use it. */
typedef struct Plain {
    int fd;
    struct archive *archive;
    char wrong[200];
} Plain;

static ssize_t open_plain(Plain *p) {
    struct archive_entry *entry;
    int r;

    p->archive = lib.archive_read_new_();
    lib.archive_read_support_format_raw_(p->archive);
    lib.archive_read_support_filter_zstd_(p->archive);
    r = lib.archive_read_open_fd_(p->archive, p->fd, BLOCK);
    return r == ARCHIVE_OK ? lib.archive_read_next_header_(p->archive, &entry) : r;
}

static ssize_t fill_plain(void *arg, void *buf, size_t size) {
    Plain *p = arg;
    la_ssize_t len = p->archive ? ARCHIVE_OK : open_plain(p);

    if (len == ARCHIVE_EOF)
        return 0;
    if (len >= ARCHIVE_OK)
        len = lib.archive_read_data_(p->archive, buf, size);
    if (len < 0)
        snprintf(p->wrong, sizeof(p->wrong), "%s", lib.archive_error_string_(p->archive));
    return len;
}

static la_ssize_t next_plain(struct archive *archive, void *arg, const void **ret) {
    return ahead_next(arg, ret);
}

static int unpack(Work *w, Ahead *ahead, Err *err) {
    lib.archive_read_support_format_tar_(w->in);
    lib.archive_write_disk_set_options_(
        w->out, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                    ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS |
                    (w->o->replace ? ARCHIVE_EXTRACT_UNLINK : 0));
    if (lib.archive_read_open_(w->in, ahead, NULL, next_plain, NULL) != ARCHIVE_OK)
        return err_set(err, ERR_INVALID, "not a %s: %s", w->o->what, lib.archive_error_string_(w->in));
    return unpack_all(w, err);
}

int untar(int fd, const UntarOptions *options, Err *err) {
    Plain plain = {.fd = fd};
    Work w = {.o = options};
    Ahead *ahead = NULL;
    int r = load(err);

    if (r >= 0)
        r = ahead_start(fill_plain, &plain, &ahead, err);
    if (r < 0)
        return r;
    w.in = lib.archive_read_new_();
    w.out = lib.archive_write_disk_new_();
    r = unpack(&w, ahead, err);
    lib.archive_write_free_(w.out);
    lib.archive_read_free_(w.in);
    ahead_stop(ahead);
    if (r == -ERR_INVALID && plain.wrong[0])
        r = err_set(err, ERR_INVALID, "not a %s: %s", options->what, plain.wrong);
    if (plain.archive)
        lib.archive_read_free_(plain.archive);
    return r;
}
