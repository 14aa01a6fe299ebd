/* Artifacts: content-addressed objects, and the names that they have as hard links. */
#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "blob/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define OBJECT_NAME_MAX (3 + SHA256_HEX) /* "ab/" in front */
#define FOLDER_TRIES 10

/* ---- uploading ---- */

int blob_upload_open(Blob *b, ChecksumKind kind, BlobUpload **ret, Err *err) {
    BlobUpload *u = mem_new(NULL, BlobUpload);

    u->blob = b;
    id_random(u->name, sizeof(u->name) - 1);
    checksum_init(&u->sum, kind);
    /* nobody may change an object in place: it may have many names */
    u->fd = openat(b->tmp, u->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (u->fd < 0) {
        talloc_free(u);
        return err_errno(err, "upload");
    }
    *ret = u;
    return 0;
}

int blob_upload_begin(Blob *b, BlobUpload **ret, Err *err) {
    return blob_upload_open(b, CHECKSUM_SHA256, ret, err);
}

int blob_upload_write(BlobUpload *u, const void *data, size_t len, Err *err) {
    int r = file_write_all(u->fd, data, len, err);

    if (r < 0) {
        u->failed = true;
        return err_wrap(err, "upload");
    }
    u->size += len;
    checksum_add(&u->sum, data, len);
    return 0;
}

uint64_t blob_upload_size(const BlobUpload *u) {
    return u->size;
}

void blob_upload_abort(BlobUpload *u) {
    if (!u)
        return;
    close(u->fd);
    if (u->name[0])
        unlinkat(u->blob->tmp, u->name, 0);
    talloc_free(u);
}

int blob_upload_check(BlobUpload *u, const char *expected, char ret[CHECKSUM_HEX], Err *err) {
    checksum_hex(&u->sum, ret);
    return expected ? checksum_check(&u->sum, expected, err) : 0;
}

/* ---- folders ---- */

/* Each folder on the way to the last, from within. */
static int sync_way(Blob *b, int root, char *path, Err *err) {
    int r = 0;

    for (char *slash = strrchr(path, '/'); slash && r == 0; slash = strrchr(path, '/')) {
        _cleanup_close_ int fd = -1;

        *slash = '\0';
        r = file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
        if (r == 0)
            r = blob_sync_folder(b, fd, err);
    }
    return r < 0 ? r : blob_sync_folder(b, root, err);
}

/* The folder that the file's name is in, made where it is missing, no link followed. */
static int open_parent(Blob *b, int root, const char *path, int *ret_fd, Err *err) {
    _cleanup_talloc_ char *parent = mem_strndup(NULL, path, (size_t)(strrchr(path, '/') - path));
    int r = file_open_beneath(root, parent, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);

    if (r != -ERR_NOT_FOUND)
        return r;
    r = file_mkdirs_beneath(root, path, err);
    if (r == 0)
        r = file_open_beneath(root, parent, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
    return r == 0 ? sync_way(b, root, parent, err) : r;
}

/* ---- objects ---- */

static void object_name(char out[OBJECT_NAME_MAX], const char *sha) {
    snprintf(out, OBJECT_NAME_MAX, "%.2s/%s", sha, sha);
}

/* Puts the upload in the object's place, over one that may be there. */
static int object_put(BlobUpload *u, const char *name, Err *err) {
    if (renameat(u->blob->tmp, u->name, u->blob->objects, name) < 0)
        return err_errno(err, "file object");
    u->name[0] = '\0';
    return 0;
}

/* Its bytes are on the disk before its name says what they are. ret_folder: the folder of its name, to be
 * synced. */
static int object_new(BlobUpload *u, const char *name, int *ret_folder, Err *err) {
    Blob *b = u->blob;
    int r = b->sync == BLOB_SYNC_NEVER || fdatasync(u->fd) == 0
                ? 0
                : err_errno(err, "bring an object to the disk");

    if (r == 0)
        r = open_parent(b, b->objects, name, ret_folder, err);
    return r == 0 ? object_put(u, name, err) : r;
}

/* Files the upload as an object. One that is there stays, unless its size shows that it is damaged; then
 * ret_folder is left alone. */
static int object_file(BlobUpload *u, const char *name, int *ret_folder, Err *err) {
    struct stat st;

    if (fstatat(u->blob->objects, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size == u->size)
        return 0;
    return object_new(u, name, ret_folder, err);
}

/* ---- names ---- */

static int path_conflict(const char *path, const Err *cause, Err *err) {
    Err copy = *cause;

    if (copy.sys == ENOTDIR)
        return err_set(err, ERR_CONFLICT, "artifact \"%s\": a file stands where it needs a folder", path);
    *err = copy;
    return err_wrap(err, "artifact \"%s\"", path);
}

/* An object has only so many links (65,000 on ext4), and one that was there may be removed meanwhile; then
 * the upload, its equal, takes its place. u NULL: there is none. */
static int link_temp(Blob *b, BlobUpload *u, const char *name, const char *temp, Err *err) {
    _cleanup_close_ int folder = -1;
    int r;

    if (linkat(b->objects, name, b->tmp, temp, 0) == 0)
        return 0;
    if ((errno != EMLINK && errno != ENOENT) || !u || !u->name[0])
        return err_errno(err, "link artifact");
    r = object_new(u, name, &folder, err);
    if (r == 0 && linkat(b->objects, name, b->tmp, temp, 0) < 0)
        r = err_errno(err, "link artifact");
    return r < 0 ? r : blob_sync_folder(b, folder, err);
}

/* Made beside and renamed, so that the name is never without a file. */
static int link_once(Blob *b, BlobUpload *u, const char *name, const char *path, Err *err) {
    _cleanup_close_ int parent = -1;
    char temp[33];
    int r = open_parent(b, b->artifacts, path, &parent, err);

    if (r < 0)
        return path_conflict(path, err, err);
    id_random(temp, sizeof(temp) - 1);
    r = link_temp(b, u, name, temp, err);
    if (r < 0)
        return r;
    if (renameat(b->tmp, temp, parent, strrchr(path, '/') + 1) < 0)
        r = errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST
                ? err_set(err, ERR_CONFLICT, "artifact \"%s\": a folder of that name is there", path)
                : err_errno(err, "artifact \"%s\"", path);
    /* also after success: renaming to another link of the same file does nothing at all (rename(2)) */
    unlinkat(b->tmp, temp, 0);
    return r < 0 ? r : blob_sync_folder(b, parent, err);
}

/* A folder that was just opened may be removed for being empty. */
static int artifact_link(Blob *b, BlobUpload *u, const char *name, const char *path, Err *err) {
    int r = -ERR_NOT_FOUND;

    for (int i = 0; i < FOLDER_TRIES && r == -ERR_NOT_FOUND; i++)
        r = link_once(b, u, name, path, err);
    return r;
}

int blob_upload_finish(BlobUpload *u, const char *commit, const char *path, const char *sha256, char *ret_sha,
                       uint64_t *ret_size, Err *err) {
    _cleanup_(mem_blob_upload_abort_p) _unused_ BlobUpload *end = u;
    _cleanup_talloc_ char *full = NULL;
    _cleanup_close_ int folder = -1;
    char name[OBJECT_NAME_MAX], sha[SHA256_HEX];
    int r;

    if (u->failed)
        return err_set(err, ERR_IO, "upload: a write has failed");
    if (!str_is_name(commit, 64))
        return err_set(err, ERR_INVALID, "commit \"%.80s\": not a plain name", commit);
    r = file_check_path(path, err);
    if (r == 0)
        r = blob_upload_check(u, sha256, sha, err);
    if (r < 0)
        return r;
    object_name(name, sha);
    full = mem_printf(NULL, "%s/%s", commit, path);
    r = object_file(u, name, &folder, err);
    if (r == 0)
        r = artifact_link(u->blob, u, name, full, err);
    if (r == 0 &&
        folder >= 0) /* after both names were made: one write of the file system's journal has both */
        r = blob_sync_folder(u->blob, folder, err);
    if (r < 0)
        return r;
    memcpy(ret_sha, sha, sizeof(sha));
    *ret_size = u->size;
    return 0;
}

/* ---- reading ---- */

static int object_open(Blob *b, const char *sha256, int *ret_fd, struct stat *st, Err *err) {
    unsigned char sha[SHA256_SIZE];
    char hex[SHA256_HEX], name[OBJECT_NAME_MAX];
    int fd, r;

    if (strlen(sha256) != 2 * SHA256_SIZE || !str_unhex(sha256, sha, sizeof(sha)))
        return err_set(err, ERR_INVALID, "sha256: expected 64 hex digits");
    str_hex(sha, sizeof(sha), hex);
    object_name(name, hex);
    r = file_open_beneath(b->objects, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &fd, err);
    if (r == -ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "object %s is not there", hex);
    if (r < 0)
        return r;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
        close(fd);
        return err_set(err, ERR_IO, "object %s is not a file", hex);
    }
    *ret_fd = fd;
    return 0;
}

int blob_object_open(Blob *b, const char *sha256, uint64_t size, int *ret_fd, Err *err) {
    struct stat st;
    int fd = -1, r = object_open(b, sha256, &fd, &st, err);

    if (r < 0)
        return r;
    if ((uint64_t)st.st_size != size) {
        close(fd);
        return err_set(err, ERR_IO, "object %s has %llu bytes, expected %llu: it is damaged", sha256,
                       (unsigned long long)st.st_size, (unsigned long long)size);
    }
    *ret_fd = fd;
    return 0;
}

static int hash_file(int fd, char ret_sha[SHA256_HEX], Err *err) {
    enum { PIECE = 256 * 1024 };
    _cleanup_free_ unsigned char *buf = malloc(PIECE);
    Sha256 state;
    ssize_t n;

    if (!buf)
        abort();
    sha256_init(&state);
    while ((n = read(fd, buf, PIECE)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read");
        sha256_add(&state, buf, (size_t)n);
    }
    sha256_end_hex(&state, ret_sha);
    return 0;
}

int blob_object_check(Blob *b, const char *sha256, Err *err) {
    _cleanup_close_ int fd = -1;
    char sha[SHA256_HEX];
    struct stat st;
    int r = object_open(b, sha256, &fd, &st, err);

    if (r < 0)
        return r;
    r = hash_file(fd, sha, err);
    if (r < 0)
        return err_wrap(err, "object %s", sha256);
    if (strcasecmp(sha, sha256) != 0)
        return err_set(err, ERR_IO, "object %s: its sha256 is %s: it is damaged", sha256, sha);
    return 0;
}

/* ---- removing ---- */

/* The object's name by its hash; false: that is none. */
static bool object_called(const char *sha256, char name[OBJECT_NAME_MAX]) {
    unsigned char sha[SHA256_SIZE];

    if (strlen(sha256) != 2 * SHA256_SIZE || !str_unhex(sha256, sha, sizeof(sha)))
        return false;
    object_name(name, sha256);
    return true;
}

/* The folder of a name beneath a root, no link followed on the way; -1: it is not there. */
static int folder_of(int root, const char *path, int *ret, Err *err) {
    _cleanup_talloc_ char *parent = mem_strndup(NULL, path, (size_t)(strrchr(path, '/') - path));
    int r = file_open_beneath(root, parent, O_RDONLY | O_DIRECTORY, 0, ret, err);

    return r == -ERR_NOT_FOUND ? 0 : r;
}

bool blob_artifact_there(Blob *b, const char *sha256, const char *commit, const char *path) {
    _cleanup_talloc_ char *full = mem_printf(NULL, "%s/%s", commit, path);
    _cleanup_close_ int folder = -1;
    char name[OBJECT_NAME_MAX];
    struct stat st;
    Err err;

    return object_called(sha256, name) && fstatat(b->objects, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           folder_of(b->artifacts, full, &folder, &err) == 0 && folder >= 0 &&
           fstatat(folder, strrchr(full, '/') + 1, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Folders that are empty now, the innermost first. */
static void remove_empty(Blob *b, char *path) {
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        _cleanup_close_ int parent = -1;
        const char *last;
        Err err;

        *slash = '\0';
        last = strrchr(path, '/');
        if (last && (folder_of(b->artifacts, path, &parent, &err) < 0 || parent < 0))
            return;
        if (unlinkat(last ? parent : b->artifacts, last ? last + 1 : path, AT_REMOVEDIR) < 0)
            return;
    }
}

int blob_name_remove(Blob *b, const char *commit, const char *path, Err *err) {
    _cleanup_talloc_ char *full = mem_printf(NULL, "%s/%s", commit, path);
    _cleanup_close_ int folder = -1;
    int r = folder_of(b->artifacts, full, &folder, err);

    if (r < 0 || folder < 0)
        return r;
    if (unlinkat(folder, strrchr(full, '/') + 1, 0) < 0 && errno != ENOENT)
        return err_errno(err, "remove %s", full);
    remove_empty(b, full);
    return 0;
}

int blob_name_change(Blob *b, const char *sha256, const char *commit, const char *path, const char *instead,
                     Err *err) {
    _cleanup_talloc_ char *full = mem_printf(NULL, "%s/%s", commit, path);
    char object[OBJECT_NAME_MAX], other[OBJECT_NAME_MAX];
    _cleanup_close_ int folder = -1;
    struct stat of_object, of_name;
    int r;

    if (!object_called(sha256, object) || !object_called(instead, other))
        return err_set(err, ERR_INVALID, "sha256: expected 64 hex digits");
    r = folder_of(b->artifacts, full, &folder, err);
    if (r < 0 || folder < 0 || fstatat(folder, strrchr(full, '/') + 1, &of_name, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(b->objects, object, &of_object, AT_SYMLINK_NOFOLLOW) < 0 ||
        of_name.st_ino != of_object.st_ino)
        return r;
    return artifact_link(b, NULL, other, full, err);
}

int blob_object_remove(Blob *b, const char *sha256, Err *err) {
    char name[OBJECT_NAME_MAX];

    if (!object_called(sha256, name))
        return err_set(err, ERR_INVALID, "sha256: expected 64 hex digits");
    if (unlinkat(b->objects, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, "remove object %s", sha256);
    return 0;
}
