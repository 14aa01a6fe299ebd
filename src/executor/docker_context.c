#include "executor/docker_context.h"

#include "base/file.h"
#include "base/str.h"
#include "base/tar.h"
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>

#define IGNORE_MAX ((size_t)1024 * 1024)

/* ---- .dockerignore ---- */

static char *clean(const void *mem, const char *line) {
    const char *end = line + strlen(line);

    while (end > line && strchr(" \t\r/", end[-1]))
        end--;
    while (line < end && (*line == '/' || (line[0] == '.' && line[1] == '/')))
        line++;
    return mem_strndup(mem, line, (size_t)(end - line));
}

void ignore_read(const char *text, const void *mem, Ignore *ret) {
    char *copy = mem_strdup(mem, text), *line;

    *ret = (Ignore){0};
    while ((line = strsep(&copy, "\n"))) {
        IgnoreRule rule = {0};

        line += strspn(line, " \t");
        if (*line == '#')
            continue;
        rule.except = *line == '!';
        rule.pattern = clean(mem, line + rule.except + strspn(line + rule.except, " \t"));
        if (*rule.pattern)
            mem_append(mem, ret->rules, ret->count, rule);
    }
}

static bool fits(const char *pattern, const char *path) {
    char part[PATH_MAX];

    if (str_glob(pattern, path))
        return true;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (str_glob(pattern, part))
            return true;
    }
    return false;
}

bool ignore_match(const Ignore *ignore, const char *path) {
    bool ignored = false;

    for (size_t i = 0; i < ignore->count; i++)
        if (ignored == ignore->rules[i].except && fits(ignore->rules[i].pattern, path))
            ignored = !ignored;
    return ignored;
}

/* An exception may be about something in a folder that is left out. */
static bool has_exceptions(const Ignore *ignore) {
    for (size_t i = 0; i < ignore->count; i++)
        if (ignore->rules[i].except)
            return true;
    return false;
}

/* ---- packing ---- */

typedef struct Packer {
    void *mem;
    const char *file;
    Ignore ignore;
    Tar *tar;
} Packer;

static int by_name(const FTSENT **a, const FTSENT **b) {
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int pack_entry(Packer *p, const FTSENT *at, const char *path, Err *err) {
    char target[PATH_MAX];
    _cleanup_close_ int fd = -1;
    TarEntry entry = {.path = path,
                      .mode = at->fts_statp->st_mode,
                      .size = at->fts_statp->st_size,
                      .mtime = at->fts_statp->st_mtim.tv_sec,
                      .link = target};
    ssize_t len;

    if (S_ISLNK(entry.mode)) {
        len = readlink(at->fts_accpath, target, sizeof(target) - 1);
        target[MAX(len, 0)] = '\0';
    } else if (S_ISREG(entry.mode)) {
        fd = entry.fd = open(at->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, "%s", path);
    } else if (!S_ISDIR(entry.mode)) {
        return 0;
    }
    return tar_add(p->tar, &entry, err);
}

/* The engine reads its own two files, whatever they say of themselves. */
static bool is_left_out(const Packer *p, const char *path) {
    return !str_eq(path, p->file) && !str_eq(path, ".dockerignore") && ignore_match(&p->ignore, path);
}

static int take(Packer *p, FTS *fts, FTSENT *at, const char *path, Err *err) {
    bool folder = at->fts_info == FTS_D;

    if (at->fts_info == FTS_ERR || at->fts_info == FTS_DNR || at->fts_info == FTS_NS)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(at->fts_errno));
    if (at->fts_info == FTS_DP || !*path)
        return 0;
    if (folder && str_eq(path, ".git")) {
        fts_set(fts, at, FTS_SKIP);
        return 0;
    }
    if (is_left_out(p, path)) {
        if (folder && !has_exceptions(&p->ignore))
            fts_set(fts, at, FTS_SKIP);
        return 0;
    }
    return pack_entry(p, at, path, err);
}

static int pack_folder(Packer *p, const char *root, Err *err) {
    char *const roots[] = {(char *)root, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
    size_t len = strlen(root);
    FTSENT *at;
    int r = 0;

    if (!fts)
        return err_errno(err, "read the build's context");
    while (r == 0 && (at = fts_read(fts)))
        r = take(p, fts, at, at->fts_path[len] == '/' ? at->fts_path + len + 1 : "", err);
    fts_close(fts);
    return r;
}

/* "Dockerfile.dockerignore" is better than ".dockerignore". */
static int read_ignore(Packer *p, int dirfd, Err *err) {
    const char *names[] = {mem_printf(p->mem, "%s.dockerignore", p->file), ".dockerignore"};
    _cleanup_buf_ Buf text = BUF_INIT;
    char path[64];
    Err ignored;
    int fd, r;

    for (size_t i = 0; i < ELEMENTS(names); i++) {
        if (file_open_beneath(dirfd, names[i], O_RDONLY | O_NONBLOCK, 0, &fd, &ignored) < 0)
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = file_read(path, IGNORE_MAX, &text, err);
        mem_close(fd);
        if (r < 0)
            return err_wrap(err, "%s", names[i]);
        ignore_read(buf_str(&text), p->mem, &p->ignore);
        return 0;
    }
    return 0;
}

/* A link that leads out of the workspace is no context. */
static int open_folder(const char *root, const char *folder, int *ret, Err *err) {
    _cleanup_close_ int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (rootfd < 0)
        return err_errno(err, "open %s", root);
    if (str_eq(folder, ".")) {
        *ret = TAKE_FD(rootfd);
        return 0;
    }
    if (file_open_beneath(rootfd, folder, O_RDONLY | O_DIRECTORY, 0, ret, err) < 0) {
        err->code = ERR_INVALID;
        return err_wrap(err, "build: %s", folder);
    }
    return 0;
}

static int pack(Packer *p, int dirfd, int out, Err *err) {
    char root[64];
    _cleanup_close_ int dockerfile = -1;
    int r;

    if (file_open_beneath(dirfd, p->file, O_RDONLY | O_NONBLOCK, 0, &dockerfile, err) < 0)
        return err_set(err, ERR_INVALID, "there is no %s in the build's context", p->file);
    r = read_ignore(p, dirfd, err);
    if (r == 0)
        r = tar_open(p->mem, out, TAR_PLAIN, &p->tar, err);
    snprintf(root, sizeof(root), "/proc/self/fd/%d", dirfd);
    if (r == 0)
        r = pack_folder(p, root, err);
    return r < 0 ? r : tar_finish(p->tar, err);
}

int context_pack(const char *root, const char *folder, const char *file, const char *scratch, int *ret_fd,
                 int64_t *ret_size, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    Packer p = {.mem = mem, .file = file};
    _cleanup_close_ int dirfd = -1, out = open(scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int r;

    if (out < 0)
        return err_errno(err, "a file for the build's context in %s", scratch);
    r = open_folder(root, folder, &dirfd, err);
    if (r == 0)
        r = pack(&p, dirfd, out, err);
    if (r < 0)
        return r;
    *ret_size = lseek(out, 0, SEEK_CUR);
    if (lseek(out, 0, SEEK_SET) < 0)
        return err_errno(err, "the build's context");
    *ret_fd = TAKE_FD(out);
    return 0;
}
