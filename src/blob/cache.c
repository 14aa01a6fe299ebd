/* Caches: archives by name. */
#include "base/file.h"
#include "base/str.h"
#include "blob/inside.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CACHE_NAME_MAX 40 /* "ab/" and a UUID */

static int cache_name(const char *uuid, char out[CACHE_NAME_MAX], Err *err) {
    if (strlen(uuid) != 36 || !str_is_name(uuid, 36))
        return err_set(err, ERR_INVALID, "\"%.80s\" is not the name of a cache", uuid);
    snprintf(out, CACHE_NAME_MAX, "%.2s/%s", uuid, uuid);
    return 0;
}

int blob_cache_begin(Blob *b, BlobUpload **ret, Err *err) {
    return blob_upload_open(b, CHECKSUM_XXH64, ret, err);
}

int blob_cache_finish(BlobUpload *u, const char *uuid, const char *xxh64, char *ret_sum, uint64_t *ret_size,
                      Err *err) {
    _cleanup_(mem_blob_upload_abort_p) _unused_ BlobUpload *end = u;
    char name[CACHE_NAME_MAX], sum[CHECKSUM_HEX];
    int r = u->failed ? err_set(err, ERR_IO, "upload: a write has failed") : cache_name(uuid, name, err);

    if (r == 0)
        r = blob_upload_check(u, xxh64, sum, err);
    if (r == 0)
        r = file_mkdirs_beneath(u->blob->caches, name, err);
    if (r < 0)
        return r;
    if (renameat(u->blob->tmp, u->name, u->blob->caches, name) < 0)
        return err_errno(err, "file a cache");
    u->name[0] = '\0';
    memcpy(ret_sum, sum, strlen(sum) + 1);
    *ret_size = u->size;
    return 0;
}

int blob_cache_open(Blob *b, const char *uuid, int *ret_fd, Err *err) {
    char name[CACHE_NAME_MAX];
    int r = cache_name(uuid, name, err);

    return r < 0 ? r : file_open_beneath(b->caches, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, ret_fd, err);
}

void blob_cache_remove(Blob *b, const char *uuid) {
    char name[CACHE_NAME_MAX];
    Err err;

    if (cache_name(uuid, name, &err) == 0)
        unlinkat(b->caches, name, 0);
}

/* ---- what is there ---- */

typedef struct Left {
    const void *mem;
    const char **names;
    size_t count;
    time_t before;
} Left;

/* Takes over fd. */
static int read_names(int fd, Left *left, int (*each)(int fd, const char *name, Left *left, Err *err),
                      Err *err) {
    struct dirent *entry;
    DIR *dir = fdopendir(fd);
    int r = 0;

    if (!dir) {
        r = err_errno(err, "read the folder of caches");
        close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            r = each(dirfd(dir), entry->d_name, left, err);
    closedir(dir);
    return r;
}

static int one_file(int fd, const char *name, Left *left, Err *err) {
    struct stat st;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_ctime < left->before)
        mem_append(left->mem, left->names, left->count, mem_strdup(left->mem, name));
    return 0;
}

static int one_folder(int fd, const char *name, Left *left, Err *err) {
    int folder = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return folder < 0 ? 0 : read_names(folder, left, one_file, err);
}

int blob_caches_left(Blob *b, const void *mem, const char ***ret, size_t *ret_count, Err *err) {
    Left left = {.mem = mem, .before = b->opened_at};
    int r, fd = openat(b->caches, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "open the folder of caches");
    r = read_names(fd, &left, one_folder, err);
    if (r < 0)
        return r;
    *ret = left.names;
    *ret_count = left.count;
    return 0;
}
