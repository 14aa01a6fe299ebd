#include "base/disk.h"

#include "base/mem.h"
#include <sys/statvfs.h>

#define PART 10 /* of the disk, at most */
#define CRUMBS (UINT64_C(1) << 20)
#define MIB (1024.0 * 1024.0)

typedef struct Room {
    uint64_t free, keep;
} Room;

static bool look(const Disk *d, Room *ret) {
    struct statvfs fs;
    uint64_t size;

    if (!d->path || statvfs(d->path, &fs) < 0)
        return false;
    size = (uint64_t)fs.f_blocks * fs.f_frsize;
    ret->free = (uint64_t)fs.f_bavail * fs.f_frsize;
    ret->keep = MIN(d->keep_bytes, size / PART);
    return ret->free < ret->keep;
}

bool disk_is_low(const Disk *d) {
    return look(d, &(Room){0});
}

uint64_t disk_room(const Disk *d) {
    Room room = {.free = UINT64_MAX};

    if (look(d, &room))
        return 0;
    return room.free - room.keep;
}

bool disk_is_full(const Disk *d) {
    Room room = {.free = UINT64_MAX};

    look(d, &room);
    return room.free < CRUMBS;
}

const char *disk_reason(const Disk *d, const void *mem) {
    Room room;

    if (!look(d, &room))
        return NULL;
    return mem_printf(mem, "%s is nearly full: %.1f MiB free in %s, %.0f MiB are kept free", d->whose,
                      (double)room.free / MIB, d->path, (double)room.keep / MIB);
}

int disk_check(const Disk *d, Err *err) {
    _cleanup_talloc_ const char *reason = disk_reason(d, NULL);

    return reason ? err_set(err, ERR_NO_SPACE, "%s", reason) : 0;
}
