#include "git/mirror.h"

#include "base/file.h"
#include "base/str.h"
#include "git/layout.h"
#include "git/run.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define REFS_DEPTH_MAX 64

/* gc waits for its end: a job's processes are killed with it, and gc would never be done. */
static const char config[] = "[core]\n"
                             "\trepositoryformatversion = 0\n"
                             "\tfilemode = true\n"
                             "\tbare = true\n"
                             "\tsharedRepository = 0640\n"
                             "[gc]\n"
                             "\tautoDetach = false\n"
                             "\tpruneExpire = 14.days\n";

/* What git, curl and a server say, and what it is to us; the first that fits. */
static const struct {
    const char *words;
    ErrCode code;
} meanings[] = {
    {"not allowed", ERR_INVALID}, /* transport 'file' not allowed */
    {"not our ref", ERR_NOT_FOUND},
    {"couldn't find remote ref", ERR_NOT_FOUND},
    {"did not contain", ERR_NOT_FOUND},
    {"error: 404", ERR_NOT_FOUND},
    {"' not found", ERR_NOT_FOUND},
    {"error: 403", ERR_FORBIDDEN},
    {"could not read Username", ERR_UNAUTHORIZED},
    {"Authentication failed", ERR_UNAUTHORIZED},
    {"No space left", ERR_NO_SPACE},
    {"unable to access", ERR_UNAVAILABLE},
    {"RPC failed", ERR_UNAVAILABLE},
    {"early EOF", ERR_UNAVAILABLE},
    {"expected '", ERR_UNAVAILABLE}, /* 'acknowledgments', 'packfile': the answer ended before it */
    {"invalid index-pack output", ERR_UNAVAILABLE},
    {"hung up", ERR_UNAVAILABLE},
};

ErrCode git_transfer_code(const Buf *said, ErrCode otherwise) {
    for (size_t i = 0; i < ELEMENTS(meanings); i++)
        if (strstr(buf_str(said), meanings[i].words))
            return meanings[i].code;
    return otherwise;
}

int git_transfer_error(const Buf *said, const char *what, Err *err) {
    err->code = git_transfer_code(said, err->code);
    return err_wrap(err, "%s", what);
}

size_t git_origin_len(const char *url) {
    const char *host = str_after(url, "http://") ? str_after(url, "http://") : str_after(url, "https://");

    return host && *host ? (size_t)(host - url) + strcspn(host, "/") : 0;
}

int git_env_server(GitEnv *env, const char *url, const char *token, Err *err) {
    size_t origin = git_origin_len(url);

    if (!origin)
        return err_set(err, ERR_INVALID, "the server's address is not http:// or https://");
    git_env_network(env);
    if (!str_empty(token))
        git_env_config(env, mem_printf(env, "http.%.*s/.extraHeader", (int)origin, url),
                       mem_printf(env, "Authorization: Bearer %s", token));
    return 0;
}

int git_has_commit(const char *repo, const char *commit, Err *err) {
    static const char *const argv[] = {"git", "cat-file", "--batch-check=%(objecttype)", NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    char *asked = mem_printf(env, "%s\n", commit);
    int r;

    git_env_add(env, "GIT_DIR=%s", repo);
    r = git_run(argv, env, asked, strlen(asked), 4096, &out, err);
    return r < 0 ? r : str_eq(buf_str(&out), "commit\n");
}

bool git_mirror_exists(const char *mirror) {
    _cleanup_talloc_ char *head = mem_printf(NULL, "%s/HEAD", mirror);

    return access(head, F_OK) == 0;
}

/* The mirror's group is the jobs', whoever makes it: the first job may be one that keeps the runner's own
 * rights. */
static int create(const GitCheckout *c, Err *err) {
    _cleanup_talloc_ char *fresh = mem_printf(NULL, "%s.new", c->mirror);
    const GitLayout layout = {
        .head = "ref: refs/heads/main",
        .config = config,
        .dir = S_ISGID | 0750,
        .file = 0640,
        .uid = (uid_t)-1,
        .gid = geteuid() == 0 ? c->gid : (gid_t)-1,
    };
    _cleanup_close_ int fd = -1;
    int r;

    r = file_remove_tree(fresh, err);
    if (r < 0)
        return r;
    if (mkdir(fresh, 0700) < 0)
        return err_errno(err, "create %s", fresh);
    fd = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "open %s", fresh);
    r = git_layout_write(fd, &layout, err);
    if (r < 0)
        return r;
    return rename(fresh, c->mirror) < 0 ? err_errno(err, "create %s", c->mirror) : 0;
}

/* Whoever is killed in a fetch leaves the lock of the ref that he was at, and nobody could write that one
 * again. The mirror's own lock says that no git works on it now. */
static void remove_locks(int parent, const char *name, int depth) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth > 0)
            remove_locks(fd, entry->d_name, depth - 1);
        else if (entry->d_type == DT_REG && str_ends(entry->d_name, ".lock"))
            unlinkat(fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        mem_close(fd);
}

/* The commit is asked for by its hash too: it may be on no branch any more. Objects come as one pack, which
 * is there whole or not at all: a commit that is there has all its files. */
static int fetch(const GitCheckout *c, Err *err) {
    const char *const argv[] = {"git",
                                "fetch",
                                "--quiet",
                                "--prune",
                                "--no-tags",
                                "--force",
                                "--no-write-fetch-head",
                                c->url,
                                "+refs/heads/*:refs/heads/*",
                                "+refs/tags/*:refs/tags/*",
                                c->commit,
                                NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf tail = BUF_INIT;
    ProcOptions options = {.argv = argv, .die_with_parent = true};
    int r;

    r = git_env_server(env, c->url, c->token, err);
    if (r < 0)
        return r;
    git_env_add(env, "GIT_DIR=%s", c->mirror);
    git_env_config(env, "fetch.unpackLimit", "1");
    options.envp = git_env_vector(env);
    r = git_run_logged(&options, c->log_fd, &tail, err);
    return r < 0 ? git_transfer_error(&tail, "fetch", err) : 0;
}

static int update(const GitCheckout *c, Err *err) {
    _cleanup_talloc_ char *refs = mem_printf(NULL, "%s/refs", c->mirror);
    int r = 0;

    if (!git_mirror_exists(c->mirror))
        r = create(c, err);
    if (r >= 0)
        r = git_has_commit(c->mirror, c->commit, err);
    if (r != 0)
        return r < 0 ? r : 0;
    remove_locks(AT_FDCWD, c->mirror, 0);
    remove_locks(AT_FDCWD, refs, REFS_DEPTH_MAX);
    return fetch(c, err);
}

int git_mirror_update(const GitCheckout *c, Err *err) {
    _cleanup_talloc_ char *path = mem_printf(NULL, "%s.lock", c->mirror);
    _cleanup_close_ int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (lock < 0)
        return err_errno(err, "open %s", path);
    while (flock(lock, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_errno(err, "lock %s", path);
    return update(c, err) < 0 ? err_wrap(err, "mirror") : 0;
}
