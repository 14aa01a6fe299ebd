/* The exact commit in a workspace: .git by hand, its objects borrowed, then one git process for the files. */
#include "git/git.h"

#include "base/file.h"
#include "base/str.h"
#include "git/internal.h"
#include "git/layout.h"
#include "git/mirror.h"
#include "git/run.h"
#include "git/submodule.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char remote_refs[] = "refs/remotes/origin/";

/* The refs as a clone has them: branches of origin, and tags. So `git describe` and `git diff origin/main`
 * work in a step. They are sorted in the source, and stay so. */
static int packed_refs(const char *source, const void *mem, char **ret, Err *err) {
    _cleanup_talloc_ void *scratch = talloc_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    GitRawRef *refs = NULL;
    size_t count = 0;
    int r;

    r = git_refs_raw(source, false, scratch, &refs, &count, err);
    if (r < 0)
        return r;
    buf_adds(&out, "# pack-refs with: sorted \n");
    for (size_t i = 0; i < count; i++) {
        const char *branch = str_after(refs[i].name, "refs/heads/");

        buf_addf(&out, "%s %s%s\n", refs[i].hash, branch ? remote_refs : "", branch ? branch : refs[i].name);
    }
    *ret = buf_dup(&out, mem);
    return 0;
}

static int write_git_folder(const GitCheckout *c, const char *source, int workspace, Err *err) {
    _cleanup_talloc_ void *mem = talloc_new(NULL);
    GitLayout layout = {
        .head = c->commit,
        .alternates = mem_printf(mem, "%s/objects", source),
        .dir = 0755,
        .file = 0644,
        .uid = c->drop_user ? c->uid : (uid_t)-1,
        .gid = c->drop_user ? c->gid : (gid_t)-1,
    };
    _cleanup_close_ int fd = -1;
    char *url = NULL, *packed = NULL;
    int r;

    r = git_config_quote(mem, c->url, &url, err);
    if (r < 0)
        return err_wrap(err, "URL");
    r = packed_refs(source, mem, &packed, err);
    if (r < 0)
        return r;
    layout.packed = packed;
    layout.config = mem_printf(mem,
                               "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
                               "\tlogallrefupdates = true\n[remote \"origin\"]\n\turl = %s\n"
                               "\tfetch = +refs/heads/*:%s*\n",
                               url, remote_refs);
    if (mkdirat(workspace, ".git", 0700) < 0)
        return err_errno(err, "create .git");
    fd = openat(workspace, ".git", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open .git");
    return git_layout_write(fd, &layout, err);
}

/* As the workspace's user: what a tree or a .gitattributes may make git do, it does with no more rights than
 * the job. */
static int run_in_workspace(const GitCheckout *c, const char *const *argv, GitEnv *env, int log_fd, Buf *tail,
                            Err *err) {
    ProcOptions options = {
        .argv = argv,
        .cwd = c->workspace,
        .die_with_parent = true,
        .drop_user = c->drop_user,
        .uid = c->uid,
        .gid = c->gid,
    };

    git_env_config(env, "core.hooksPath", "/dev/null");
    git_env_config(env, "core.fsync", "none");           /* the workspace does not outlive the job */
    git_env_config(env, "core.bigFileThreshold", "32m"); /* larger files are streamed */
    options.envp = git_env_vector(env);
    return git_run_logged(&options, log_fd, tail, err);
}

/* git-read-tree(1) does what checkout does to the files and is the quickest to start. */
static int write_files(const GitCheckout *c, int log_fd, Err *err) {
    const char *const argv[] = {"git", "read-tree", "-m", "-u", c->commit, NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf tail = BUF_INIT;

    return run_in_workspace(c, argv, env, log_fd, &tail, err);
}

/* Whether the server was asked for what it shows to nobody without a token. */
static bool server_refused(const GitCheckout *c, const Buf *said) {
    _cleanup_talloc_ char *words =
        mem_printf(NULL, "Authentication failed for '%.*s/", (int)git_origin_len(c->url), c->url);

    return strstr(buf_str(said), words) != NULL;
}

/* The commit says what they are, and may name any repository of the server: the token reads them all. */
static int update_submodules(const GitCheckout *c, Err *err) {
    static const char *const argv[] = {"git", "submodule", "update", "--init", "--recursive", NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf tail = BUF_INIT;
    int r;

    r = git_env_server(env, c->url, c->withheld ? NULL : c->token, err);
    if (r < 0)
        return r;
    r = run_in_workspace(c, argv, env, c->log_fd, &tail, err);
    if (r < 0 && c->withheld && server_refused(c, &tail))
        return err_set(err, ERR_FORBIDDEN, "submodules: %s", c->withheld);
    return r < 0 ? git_submodule_error(c, &tail, err) : 0;
}

static bool has_submodules(int workspace) {
    struct stat st;

    return fstatat(workspace, ".gitmodules", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* What is wrong is found out after the fact, so that what is right costs one process. */
static int fill_workspace(const GitCheckout *c, const char *source, bool fresh, Err *err) {
    Err why;
    int r;

    if (write_files(c, fresh ? c->log_fd : -1, err) >= 0)
        return 0;
    why = *err;
    r = git_has_commit(source, c->commit, err);
    if (r < 0)
        return r;
    if (r > 0) {
        *err = why;
        return -(int)why.code;
    }
    if (fresh)
        return err_set(err, ERR_NOT_FOUND, "commit %s is not in the repository", c->commit);
    r = git_mirror_update(c, err);
    return r < 0 ? r : fill_workspace(c, source, true, err);
}

static int check(const GitCheckout *c, Err *err) {
    if (!str_is_commit(c->commit))
        return err_set(err, ERR_INVALID, "\"%.64s\" is not a commit's hash", c->commit);
    if (!c->borrow && !c->mirror)
        return err_set(err, ERR_INVALID, "neither a repository to borrow from nor a mirror");
    return 0;
}

static int checkout(const GitCheckout *c, Err *err) {
    const char *source = c->borrow ? c->borrow : c->mirror;
    _cleanup_close_ int workspace = -1;
    bool fresh = c->borrow != NULL;
    int r = check(c, err);

    if (r >= 0 && !fresh && !git_mirror_exists(c->mirror)) {
        r = git_mirror_update(c, err);
        fresh = true;
    }
    if (r < 0)
        return r;
    workspace = open(c->workspace, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (workspace < 0)
        return err_set(err, ERR_IO, "open workspace %s: %s", c->workspace, strerror(errno)); /* not a 404 */
    if (c->drop_user && fchown(workspace, c->uid, c->gid) < 0)
        return err_errno(err, "change owner of workspace");
    r = write_git_folder(c, source, workspace, err);
    if (r >= 0)
        r = fill_workspace(c, source, fresh, err);
    if (r >= 0 && has_submodules(workspace))
        r = update_submodules(c, err);
    return r;
}

int git_checkout(const GitCheckout *c, Err *err) {
    Err own = {0};

    err = err ? err : &own;
    return checkout(c, err) < 0 ? err_wrap(err, "check out %.12s", c->commit) : 0;
}
