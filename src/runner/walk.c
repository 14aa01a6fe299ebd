#include "runner/walk.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALK_DEPTH_MAX 200

typedef struct Walker {
    const void *mem;
    Walk *walk;
    Buf path; /* of what it is at; one for all levels, for the thread that walks has a small stack */
} Walker;

static int walk_folder(Walker *w, int dirfd, int depth, Err *err);

/* What lies at w->path. */
static int walk_entry(Walker *w, int dirfd, const char *name, int depth, Err *err) {
    WalkFile file = {0};
    struct stat st;
    int fd;

    if (w->path.len >= PATH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a path is too long: %.100s…", w->path.data);
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_errno(err, "%s", buf_str(&w->path));
    if (S_ISDIR(st.st_mode)) {
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_errno(err, "%s", buf_str(&w->path)) : walk_folder(w, fd, depth + 1, err);
    }
    if (w->walk->count >= WALK_FILES_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d files", WALK_FILES_MAX);
    file.path = buf_dup(&w->path, w->mem);
    file.mode = st.st_mode;
    file.size = st.st_size;
    file.mtime = st.st_mtim.tv_sec;
    mem_append(w->mem, w->walk->files, w->walk->count, file);
    return 0;
}

/* Takes over dirfd. */
static int walk_folder(Walker *w, int dirfd, int depth, Err *err) {
    struct dirent *entry;
    DIR *dir = fdopendir(dirfd);
    size_t own = w->path.len;
    int r = 0;

    if (!dir) {
        r = err_errno(err, "%s", buf_str(&w->path));
        mem_close(dirfd);
        return r;
    }
    if (depth > WALK_DEPTH_MAX)
        r = err_set(err, ERR_TOO_LARGE, "more than %d folders deep: %.100s…", WALK_DEPTH_MAX,
                    buf_str(&w->path));
    while (r == 0 && (entry = readdir(dir))) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") || str_eq(entry->d_name, ".git"))
            continue;
        buf_addf(&w->path, "%s%s", own ? "/" : "", entry->d_name);
        r = walk_entry(w, dirfd, entry->d_name, depth, err);
        w->path.data[w->path.len = own] = '\0';
    }
    closedir(dir);
    return r;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const WalkFile *)a)->path, ((const WalkFile *)b)->path);
}

int walk_tree(const char *root, const void *mem, Walk *ret, Err *err) {
    Walk walk = {0};
    Walker w = {.mem = mem, .walk = &walk, .path = BUF_INIT};
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

    if (fd < 0)
        return err_errno(err, "open %s", root);
    r = walk_folder(&w, fd, 0, err);
    buf_done(&w.path);
    if (r < 0)
        return r;
    if (walk.count)
        qsort(walk.files, walk.count, sizeof(walk.files[0]), by_path);
    *ret = walk;
    return 0;
}

static bool match_one(const char *glob, const char *path) {
    char pattern[PATH_MAX], part[PATH_MAX];
    size_t len;

    while (strncmp(glob, "./", 2) == 0)
        glob += 2;
    len = strlen(glob);
    while (len > 0 && glob[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof(pattern) || strlen(path) >= sizeof(part))
        return false;
    memcpy(pattern, glob, len);
    pattern[len] = '\0';
    if (str_eq(pattern, ".") || str_glob(pattern, path))
        return true;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (str_glob(pattern, part))
            return true;
    }
    return false;
}

bool walk_match(const char *const *globs, const char *path) {
    bool match = false;

    for (; globs && *globs; globs++) {
        bool except = **globs == '!';

        if (match == except && match_one(*globs + except, path))
            match = !match;
    }
    return match;
}

bool walk_match_build_server(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return !str_eq(name, "Makefile") && !str_ends(name, ".c") && !str_ends(name, ".h");
}

bool walk_link_inside(const char *path, const char *target) {
    int depth = 0;

    if (*target == '/' || *target == '\0')
        return false;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        depth++;
    while (*target) {
        size_t len = strcspn(target, "/");

        if (len == 2 && target[0] == '.' && target[1] == '.')
            depth--;
        else if (len > 0 && !(len == 1 && target[0] == '.'))
            depth++;
        if (depth < 0)
            return false;
        target += len;
        while (*target == '/')
            target++;
    }
    return true;
}
