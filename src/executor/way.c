#include "executor/way.h"

#include "base/file.h"
#include "executor/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define MAX_PATHS 8

typedef struct Way {
    const char *path;
    char closed[PATH_MAX]; /* the first folder on it that is closed; "": none */
    int fd;                /* of the path's end */
} Way;

static int look(Way *way, const char *path, uid_t uid, gid_t gid, Err *err) {
    int r;

    way->path = path;
    r = sandbox_first_closed(path, uid, gid, way->closed, err);
    if (r < 0 || !way->closed[0])
        return r;
    if (strcmp(way->closed, path) == 0)
        return err_set(err, ERR_FORBIDDEN, "%s itself is closed to the jobs' user (%u)", path, (unsigned)uid);
    return 0;
}

/* In the new name space (the old one's mounts cannot be bound there), and before anything is covered. */
static int open_end(Way *way, Err *err) {
    if (!way->closed[0])
        return 0;
    way->fd = open(way->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return way->fd < 0 ? err_errno(err, "open %s", way->path) : 0;
}

/* Two ways may lead through one closed folder: it is covered once. */
static bool is_covered(const Way *ways, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (strcmp(ways[i].closed, ways[index].closed) == 0)
            return true;
    return false;
}

static int cover(const char *closed, Err *err) {
    if (mount("tmpfs", closed, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1M") < 0)
        return err_errno(err, "cover %s", closed);
    return 0;
}

static int bind_way(const Way *way, Err *err) {
    char source[64];
    int r = file_mkdirs(way->path, 0755, err);

    if (r < 0)
        return r;
    snprintf(source, sizeof(source), "/proc/self/fd/%d", way->fd);
    if (mount(source, way->path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_errno(err, "bind %s", way->path);
    return 0;
}

static int rebuild(Way *ways, size_t count, Err *err) {
    int r = 0;

    if (unshare(CLONE_NEWNS) < 0)
        return err_errno(err, "a mount name space of its own");
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(err, "make mounts private");
    for (size_t i = 0; r == 0 && i < count; i++)
        r = open_end(&ways[i], err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (ways[i].closed[0] && !is_covered(ways, i))
            r = cover(ways[i].closed, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (ways[i].closed[0])
            r = bind_way(&ways[i], err);
    return r;
}

int way_open(const char *const *paths, uid_t uid, gid_t gid, Err *err) {
    Way ways[MAX_PATHS];
    bool closed = false;
    size_t count = 0;
    int r = 0;

    for (; r == 0 && paths[count]; count++) {
        if (count == MAX_PATHS)
            return err_set(err, ERR_INTERNAL, "more than %d ways", MAX_PATHS);
        ways[count].fd = -1;
        r = look(&ways[count], paths[count], uid, gid, err);
        closed = closed || (r == 0 && ways[count].closed[0]);
    }
    if (r == 0 && closed)
        r = rebuild(ways, count, err);
    for (size_t i = 0; i < count; i++)
        if (ways[i].fd >= 0)
            mem_close(ways[i].fd);
    return r;
}
