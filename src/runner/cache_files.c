#include "runner/cache_files.h"

#include "base/file.h"
#include "base/str.h"
#include "base/tar.h"
#include "base/untar.h"
#include "runner/walk.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define BYTES_MAX (INT64_C(64) << 30)
#define ENTRIES_MAX 5000000

/* Into the workspace, as its owner. A change of user forgets what shall happen when the parent dies. */
static int enter(const JobProcess *j, Err *err) {
    const ExecutorJob *run = &j->run;

    umask(022);
    if (chdir(j->workspace) < 0)
        return err_errno(err, "enter the workspace");
    if (run->drop_user && (setgroups(0, NULL) < 0 || setresgid(run->gid, run->gid, run->gid) < 0 ||
                           setresuid(run->uid, run->uid, run->uid) < 0))
        return err_errno(err, "become user %u", (unsigned)run->uid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return 0;
}

int cache_unpack(void *arg, int out, Err *err) {
    const CacheFiles *c = arg;
    const UntarOptions options = {
        .what = c->what, .bytes_max = BYTES_MAX, .entries_max = ENTRIES_MAX, .replace = true};
    int r = enter(c->j, err);

    if (r == 0 && lseek(c->fd, 0, SEEK_SET) < 0)
        r = err_errno(err, "read the archive");
    return r < 0 ? r : untar(c->fd, &options, err);
}

/* ---- packing ---- */

typedef struct Pack {
    const CacheFiles *c;
    void *mem;
    char **roots; /* where the patterns may match, NULL-terminated */
    size_t root_count;
    Tar *tar; /* opened with the first entry */
} Pack;

/* The folders of a pattern before its first wildcard; "." when there are none. */
static char *root_of(const char *glob, const void *mem) {
    size_t len;

    while (strncmp(glob, "./", 2) == 0)
        glob += 2;
    len = strcspn(glob, "*?[");
    if (glob[len])
        while (len > 0 && glob[len - 1] != '/')
            len--;
    while (len > 0 && glob[len - 1] == '/')
        len--;
    return len ? mem_strndup(mem, glob, len) : mem_strdup(mem, ".");
}

static bool covers(const char *root, const char *path) {
    const char *rest = str_after(path, root);

    return str_eq(root, ".") || (rest && (*rest == '\0' || *rest == '/'));
}

/* Each folder is walked once: by the root above all others. A root behind a link is none of the workspace's.
 */
static void add_root(Pack *p, int workspace, char *root) {
    _cleanup_close_ int fd = -1;
    size_t kept = 0;
    Err err;

    if (!str_eq(root, ".") && file_open_beneath(workspace, root, O_PATH | O_NOFOLLOW, 0, &fd, &err) < 0)
        return;
    for (size_t i = 0; i < p->root_count; i++)
        if (covers(p->roots[i], root))
            return;
    for (size_t i = 0; i < p->root_count; i++)
        if (!covers(root, p->roots[i]))
            p->roots[kept++] = p->roots[i];
    p->root_count = kept;
    mem_append(p->mem, p->roots, p->root_count, root);
}

static int find_roots(Pack *p, Err *err) {
    _cleanup_close_ int workspace = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (workspace < 0)
        return err_errno(err, "open the workspace");
    for (const char *const *path = p->c->paths; *path; path++)
        add_root(p, workspace, root_of(*path, p->mem));
    mem_append(p->mem, p->roots, p->root_count, NULL);
    p->root_count--;
    return 0;
}

static int put(Pack *p, const char *path, const struct stat *st, Err *err) {
    TarEntry entry = {.path = path, .mode = st->st_mode, .size = st->st_size, .mtime = st->st_mtim.tv_sec};
    _cleanup_close_ int fd = -1;
    char target[PATH_MAX];
    ssize_t len;
    int r = p->tar ? 0 : tar_open(p->mem, p->c->fd, TAR_QUICK, &p->tar, err);

    if (r < 0)
        return r;
    if (S_ISLNK(st->st_mode)) {
        len = readlink(path, target, sizeof(target) - 1);
        target[MAX(len, 0)] = '\0';
        entry.link = target;
    } else if (S_ISREG(st->st_mode)) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, "open %s", path);
        entry.fd = fd;
    }
    return tar_add(p->tar, &entry, err);
}

static int one(Pack *p, FTS *walk, FTSENT *e, Err *err) {
    const char *path = str_after(e->fts_path, "./");

    path = path ? path : e->fts_path;
    switch (e->fts_info) {
    case FTS_D:
        if (str_eq(path, ".git"))
            fts_set(walk, e, FTS_SKIP);
        return str_eq(path, ".") || str_eq(path, ".git") || !walk_match(p->c->paths, path)
                   ? 0
                   : put(p, path, e->fts_statp, err);
    case FTS_F:
    case FTS_SL:
    case FTS_SLNONE:
        return walk_match(p->c->paths, path) ? put(p, path, e->fts_statp, err) : 0;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        errno = e->fts_errno;
        return err_errno(err, "%s", path);
    default: /* a folder's end; sockets and the like, which cannot be kept */
        return 0;
    }
}

static int walk_all(Pack *p, Err *err) {
    FTS *walk;
    FTSENT *e;
    int r = 0;

    if (p->root_count == 0)
        return 0;
    walk = fts_open(p->roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return err_errno(err, "read the workspace");
    while (r == 0 && (e = fts_read(walk)))
        r = one(p, walk, e, err);
    fts_close(walk);
    return r;
}

int cache_pack(void *arg, int out, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Pack p = {.c = arg, .mem = mem};
    int r;

    close(p.c->others); /* or who has it could leave without being noticed */
    r = enter(p.c->j, err);
    if (r == 0)
        r = find_roots(&p, err);
    if (r == 0)
        r = walk_all(&p, err);
    if (r < 0)
        return r;
    return p.tar ? tar_finish(p.tar, err) : err_set(err, ERR_NOT_FOUND, "nothing of it is there");
}
