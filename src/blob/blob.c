#include "blob/blob.h"

#include "base/file.h"
#include "base/str.h"
#include "blob/inside.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <time.h>

static int open_folder(int root, const char *name, int *ret, Err *err) {
    int fd;

    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return err_errno(err, "create folder %s", name);
    fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open folder %s", name);
    *ret = fd;
    return 0;
}

int blob_sync_folder(const Blob *b, int fd, Err *err) {
    return b->sync == BLOB_SYNC_NEVER || fsync(fd) == 0 ? 0 : err_errno(err, "bring a folder to the disk");
}

static int open_folders(Blob *b, const char *root, Err *err) {
    int r = file_mkdirs(root, 0700, err);

    if (r < 0)
        return r;
    b->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->root < 0)
        return err_errno(err, "open folder");
    r = file_remove_tree_at(b->root, "tmp", err);
    if (r == 0)
        r = open_folder(b->root, "tmp", &b->tmp, err);
    if (r == 0)
        r = open_folder(b->root, "logs", &b->logs, err);
    if (r == 0)
        r = open_folder(b->root, "objects", &b->objects, err);
    if (r == 0)
        r = open_folder(b->root, "artifacts", &b->artifacts, err);
    if (r == 0)
        r = open_folder(b->root, "caches", &b->caches, err);
    if (r == 0)
        r = blob_sync_folder(b, b->root, err);
    return r;
}

/* ---- what the machine has lost ---- */

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static bool is_another_boot(const Blob *b) {
    _cleanup_buf_ Buf now = BUF_INIT, then = BUF_INIT;
    Err ignored;

    return file_read(BOOT_ID, 64, &now, &ignored) < 0 || file_read(b->boot_file, 64, &then, &ignored) < 0 ||
           !str_eq(buf_str(&now), buf_str(&then));
}

bool blob_power_was_off(const Blob *b) {
    return b->power_was_off;
}

int blob_mended(Blob *b, Err *err) {
    _cleanup_buf_ Buf now = BUF_INIT;
    int r = file_read(BOOT_ID, 64, &now, err);

    if (r == 0)
        r = file_write_atomic(b->boot_file, now.data, now.len, 0644, err);
    if (r == 0)
        b->power_was_off = false;
    return r;
}

int blob_open(const void *mem, const char *root, Bus *bus, Blob **ret, Err *err) {
    Blob *b;
    int r;

    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium does not start");
    b = mem_new(mem, Blob);
    b->bus = bus;
    b->opened_at = time(NULL);
    b->root = b->logs = b->objects = b->artifacts = b->caches = b->tmp = -1;
    log_table_init(&b->table);
    pthread_mutex_init(&b->kept_lock, NULL);
    r = open_folders(b, root, err);
    if (r < 0) {
        blob_close(b);
        return err_wrap(err, "blob store %s", root);
    }
    b->boot_file = mem_printf(b, "%s/boot", root);
    b->power_was_off = is_another_boot(b);
    *ret = b;
    return 0;
}

void blob_close(Blob *b) {
    if (!b)
        return;
    while (b->kept) {
        Kept *kept = b->kept;

        b->kept = kept->next;
        log_put(kept->log);
        talloc_free(kept);
    }
    log_table_done(&b->table);
    pthread_mutex_destroy(&b->kept_lock);
    mem_close_p(&b->tmp);
    mem_close_p(&b->caches);
    mem_close_p(&b->artifacts);
    mem_close_p(&b->objects);
    mem_close_p(&b->logs);
    mem_close_p(&b->root);
    talloc_free(b);
}

void blob_set_sync(Blob *b, BlobSync sync) {
    b->sync = sync;
}
