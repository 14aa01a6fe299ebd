/* The release's archive, unpacked as the release's own user by a process of its own: libarchive reads what
 * strangers wrote, and is loaded only here. */
#include "base/disk.h"
#include "base/str.h"
#include "deploy/release.h"
#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <grp.h>
#include <sys/stat.h>

#define ENTRIES_MAX 500000
#define BYTES_MAX (INT64_C(4) << 30)
#define KEEP_FREE (UINT64_C(256) << 20)
#define BLOCK 65536

/* Of libarchive, by the names of its own header. */
#define FUNCTIONS(f)                                                                                         \
    f(archive_read_new) f(archive_read_support_format_tar) f(archive_read_support_filter_zstd)               \
        f(archive_read_open_fd) f(archive_read_next_header) f(archive_read_data_block) f(archive_read_free)  \
            f(archive_write_disk_new) f(archive_write_disk_set_options) f(archive_write_header)              \
                f(archive_write_data_block) f(archive_write_finish_entry) f(archive_write_free)              \
                    f(archive_error_string) f(archive_entry_pathname) f(archive_entry_filetype)              \
                        f(archive_entry_symlink) f(archive_entry_hardlink) f(archive_entry_size)             \
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

/* Folders below the root that a relative path ends in; negative: it leaves the root. */
static int depth_of(const char *path, int depth) {
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && path[0] == '.' && path[1] == '.')
            depth--;
        else if (len > 0 && !(len == 1 && path[0] == '.'))
            depth++;
        if (depth < 0)
            return depth;
        path += len;
        path += strspn(path, "/");
    }
    return depth;
}

static bool has_parent(const char *path) {
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '\0' || at[2] == '/'))
            return true;
    return false;
}

/* Inside the sandbox a link to the system leads to its read-only copy of it (a virtual environment's python).
 */
static bool link_stays(const char *path, const char *target) {
    static const char *const system[] = {"/usr/", "/bin/", "/lib/", NULL};
    const char *slash = strrchr(path, '/');
    _cleanup_talloc_ char *folder = mem_strndup(NULL, path, slash ? (size_t)(slash - path) : 0);

    if (target[0] != '/')
        return depth_of(target, depth_of(folder, 0)) >= 0;
    for (const char *const *s = system; *s; s++)
        if (str_after(target, *s))
            return !has_parent(target);
    return false;
}

static int check_entry(struct archive_entry *entry, Err *err) {
    const char *path = lib.archive_entry_pathname_(entry), *hard = lib.archive_entry_hardlink_(entry);
    mode_t type = lib.archive_entry_filetype_(entry);

    if (str_empty(path) || path[0] == '/' || has_parent(path))
        return err_set(err, ERR_INVALID, "the archive holds \"%.200s\", which leads out of the release",
                       path ? path : "");
    if (hard && (hard[0] == '/' || has_parent(hard)))
        return err_set(err, ERR_INVALID, "the archive links \"%.200s\" to \"%.200s\" outside of the release",
                       path, hard);
    if (type == S_IFLNK && !link_stays(path, lib.archive_entry_symlink_(entry)))
        return err_set(err, ERR_INVALID, "the archive links \"%.200s\" to \"%.200s\" outside of the release",
                       path, lib.archive_entry_symlink_(entry));
    if (!hard && type != S_IFREG && type != S_IFDIR && type != S_IFLNK)
        return err_set(err, ERR_INVALID, "the archive holds \"%.200s\", which is no file, folder or link",
                       path);
    return 0;
}

/* A release is large at most by mistake; then it must not take the room of all else. */
static int check_room(Err *err) {
    const Disk here = {.path = ".", .keep_bytes = KEEP_FREE};

    return disk_is_low(&here)
               ? err_set(err, ERR_NO_SPACE, "the server's disk is nearly full: the release has no room")
               : 0;
}

static int copy_data(struct archive *in, struct archive *out, int64_t *total, Err *err) {
    const void *block;
    size_t size;
    la_int64_t offset;
    int r;

    while ((r = lib.archive_read_data_block_(in, &block, &size, &offset)) == ARCHIVE_OK) {
        *total += (int64_t)size;
        if (*total > BYTES_MAX)
            return err_set(err, ERR_TOO_LARGE, "the release is over %lld bytes", (long long)BYTES_MAX);
        if (check_room(err) < 0)
            return -(int)err->code;
        if (lib.archive_write_data_block_(out, block, size, offset) < ARCHIVE_OK)
            return err_set(err, ERR_IO, "%s", lib.archive_error_string_(out));
    }
    return r == ARCHIVE_EOF ? 0 : err_set(err, ERR_INVALID, "%s", lib.archive_error_string_(in));
}

static int unpack_all(struct archive *in, struct archive *out, Err *err) {
    struct archive_entry *entry;
    int64_t total = 0, entries = 0;
    int r;

    while ((r = lib.archive_read_next_header_(in, &entry)) == ARCHIVE_OK) {
        if (++entries > ENTRIES_MAX)
            return err_set(err, ERR_TOO_LARGE, "the release holds over %d files", ENTRIES_MAX);
        if (check_entry(entry, err) < 0)
            return -(int)err->code;
        lib.archive_entry_set_perm_(entry, (lib.archive_entry_perm_(entry) & 0777) | 0600 |
                                               (lib.archive_entry_filetype_(entry) == S_IFDIR ? 0100 : 0));
        if (lib.archive_write_header_(out, entry) < ARCHIVE_OK)
            return err_set(err, ERR_INVALID, "%s", lib.archive_error_string_(out));
        if (copy_data(in, out, &total, err) < 0)
            return -(int)err->code;
        if (lib.archive_write_finish_entry_(out) < ARCHIVE_OK)
            return err_set(err, ERR_IO, "%s", lib.archive_error_string_(out));
    }
    return r == ARCHIVE_EOF ? 0
                            : err_set(err, ERR_INVALID, "not a release: %s", lib.archive_error_string_(in));
}

static int unpack(int fd, Err *err) {
    struct archive *in, *out;
    int r;

    if (load(err) < 0)
        return -(int)err->code;
    in = lib.archive_read_new_();
    out = lib.archive_write_disk_new_();
    lib.archive_read_support_format_tar_(in);
    lib.archive_read_support_filter_zstd_(in);
    lib.archive_write_disk_set_options_(
        out, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                 ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
    if (lib.archive_read_open_fd_(in, fd, BLOCK) != ARCHIVE_OK)
        r = err_set(err, ERR_INVALID, "not a release: %s", lib.archive_error_string_(in));
    else
        r = unpack_all(in, out, err);
    lib.archive_write_free_(out);
    lib.archive_read_free_(in);
    return r;
}

/* Into the folder, and then to its owner: what the archive holds is done with the release's rights only. */
static int enter(const char *files, Err *err) {
    struct stat st;

    if (chdir(files) < 0 || stat(".", &st) < 0)
        return err_errno(err, "%s", files);
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
                           setresuid(st.st_uid, st.st_uid, st.st_uid) < 0))
        return err_errno(err, "become user %u", (unsigned)st.st_uid);
    return 0;
}

int release_unpack_main(const char *dir) {
    _cleanup_talloc_ char *files = mem_printf(NULL, "%s/files", dir);
    Err err;

    umask(022);
    if (enter(files, &err) == 0 && unpack(STDIN_FILENO, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.msg);
    return err.code == ERR_NO_SPACE ? RELEASE_NO_ROOM : 1;
}
