#include "git/git.h"

#include "base/file.h"
#include "base/str.h"
#include "git/internal.h"
#include "git/layout.h"
#include "git/run.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* sharedRepository 0640: what git adds later can be read by the group too, and not written: jobs borrow
 * objects. Loose objects and refs are synced before a push is answered, in one batch. Every object of a push
 * is checked; three old mistakes that honest histories are full of are let pass. Deleting and forcing are the
 * pusher's right; the reflog and two weeks' grace keep what running builds need. Automatic gc stays on (git
 * starts it behind a push, detached): without it many small pushes would leave tens of thousands of loose
 * objects to every fetch. hooksPath: a local pusher's own core.hooksPath must not take our hook away. */
static const char config[] = "[core]\n"
                             "\trepositoryformatversion = 0\n"
                             "\tfilemode = true\n"
                             "\tbare = true\n"
                             "\tsharedRepository = 0640\n"
                             "\tlogAllRefUpdates = true\n"
                             "\tfsync = committed,reference\n"
                             "\tfsyncMethod = batch\n"
                             "\thooksPath = hooks\n"
                             "[transfer]\n"
                             "\tfsckObjects = true\n"
                             "[receive]\n"
                             "\tdenyDeletes = false\n"
                             "\tdenyNonFastForwards = false\n"
                             "\tadvertisePushOptions = true\n"
                             "\tautogc = true\n"
                             "[receive \"fsck\"]\n"
                             "\tbadTimezone = ignore\n"
                             "\tmissingSpaceBeforeDate = ignore\n"
                             "\tzeroPaddedFilemode = ignore\n"
                             "[gc]\n"
                             "\tpruneExpire = 14.days\n"
                             "[http]\n"
                             "\treceivepack = true\n"
                             "\tuploadpack = true\n"
                             "[uploadpack]\n"
                             "\tallowFilter = true\n";

static int fill(const char *path, const char *pelton, const char *state_dir, gid_t group, Err *err) {
    const GitLayout layout = {
        .head = "ref: refs/heads/main",
        .config = config,
        .dir = S_ISGID | 0750,
        .file = 0640,
        .uid = (uid_t)-1,
        .gid = group,
    };
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return err_errno(err, "open %s", path);
    r = git_layout_write(fd, &layout, err);
    if (r < 0)
        return r;
    return git_hook_install(path, pelton, state_dir, err);
}

/* Made beside and renamed: a crash leaves no half of a repository under its name. */
int git_repo_create(const char *path, const char *pelton, const char *state_dir, gid_t group, Err *err) {
    _cleanup_talloc_ char *fresh = mem_printf(NULL, "%s.XXXXXX", path);
    int r;

    if (access(path, F_OK) == 0)
        return err_set(err, ERR_EXISTS, "repository %s exists", path);
    if (!mkdtemp(fresh))
        return err_errno(err, "create repository %s", path);
    r = fill(fresh, pelton, state_dir, group, err);
    if (r >= 0)
        r = git_sync_new(fresh, err);
    if (r >= 0 && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        r = err_errno(err, "put in place");
    if (r >= 0)
        return file_sync_folder_of(path, err);
    if (file_remove_tree(fresh, NULL) < 0)
        return err_wrap(err, "create repository %s (left behind: %s)", path, fresh);
    return err_wrap(err, "create repository %s", path);
}

int git_repo_move(const char *from, const char *to, Err *err) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        return errno == ENOENT ? 0 : err_errno(err, "move %s to %s", from, to);
    git_forget(from);
    return file_sync_folder_of(to, err);
}

int git_head(const char *repo, const void *mem, const char **ret_branch, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s/HEAD", repo);
    _cleanup_buf_ Buf text = BUF_INIT;
    const char *name;
    int r;

    r = file_read(path, 4096, &text, err);
    if (r < 0)
        return err_wrap(err, "repository %s", repo);
    name = str_after(buf_str(&text), "ref: refs/heads/");
    if (!name)
        return err_set(err, ERR_NOT_FOUND, "repository %s: HEAD is not on a branch", repo);
    *ret_branch = mem_strndup(mem, name, strcspn(name, "\n"));
    return 0;
}

int git_set_head(const char *repo, const char *branch, Err *err) {
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    char *ref = mem_printf(env, "refs/heads/%s", branch);
    const char *const argv[] = {"git", "symbolic-ref", "HEAD", ref, NULL};

    if (!git_ref_valid(ref))
        return err_set(err, ERR_INVALID, "\"%s\" is not a branch name", branch);
    git_env_add(env, "GIT_DIR=%s", repo);
    return git_run(argv, env, NULL, 0, 0, NULL, err);
}
