#include "git/layout.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/stat.h>

static const char *const folders[] = {
    "objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags", "hooks",
};

/* Owner first: changing it takes the set-group-id bit away. */
static int own(int fd, const char *name, mode_t mode, const GitLayout *layout, Err *err) {
    if ((layout->uid != (uid_t)-1 || layout->gid != (gid_t)-1) && fchown(fd, layout->uid, layout->gid) < 0)
        return err_errno(err, "change owner of %s", name);
    if (fchmod(fd, mode) < 0)
        return err_errno(err, "change mode of %s", name);
    return 0;
}

static int make_folder(int dirfd, const char *name, const GitLayout *layout, Err *err) {
    _cleanup_close_ int fd = -1;

    if (mkdirat(dirfd, name, 0700) < 0)
        return err_errno(err, "create %s", name);
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open %s", name);
    return own(fd, name, layout->dir, layout, err);
}

static int make_file(int dirfd, const char *name, const char *content, const char *end,
                     const GitLayout *layout, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    _cleanup_close_ int fd = -1;
    int r;

    if (!content)
        return 0;
    buf_adds(&text, content);
    buf_adds(&text, end);
    fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "create %s", name);
    r = file_write_all(fd, text.data, text.len, err);
    if (r < 0)
        return err_wrap(err, "write %s", name);
    return own(fd, name, layout->file, layout, err);
}

int git_layout_write(int dirfd, const GitLayout *layout, Err *err) {
    int r = 0;

    if (layout->alternates && (layout->alternates[0] != '/' || strchr(layout->alternates, '\n')))
        return err_set(err, ERR_INVALID, "objects folder: not an absolute path on one line");
    for (size_t i = 0; i < ELEMENTS(folders) && r >= 0; i++)
        r = make_folder(dirfd, folders[i], layout, err);
    if (r >= 0)
        r = make_file(dirfd, "HEAD", layout->head, "\n", layout, err);
    if (r >= 0)
        r = make_file(dirfd, "config", layout->config, "", layout, err);
    if (r >= 0)
        r = make_file(dirfd, "objects/info/alternates", layout->alternates, "\n", layout, err);
    if (r >= 0)
        r = make_file(dirfd, "packed-refs", layout->packed, "", layout, err);
    if (r >= 0)
        r = own(dirfd, "repository", layout->dir, layout, err);
    return r;
}

int git_config_quote(const void *mem, const char *value, char **ret, Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;

    buf_addc(&out, '"');
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ')
            return err_set(err, ERR_INVALID, "a control character in a git setting");
        if (*c == '"' || *c == '\\')
            buf_addc(&out, '\\');
        buf_addc(&out, *c);
    }
    buf_addc(&out, '"');
    *ret = buf_dup(&out, mem);
    return 0;
}
