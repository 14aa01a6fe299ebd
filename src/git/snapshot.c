/* A working tree as a commit, without a trace in its repository: an index and an object folder of our own,
 * which borrows from the repository's (git(1), GIT_INDEX_FILE, GIT_OBJECT_DIRECTORY). */
#include "git/git.h"
#include "git/run.h"

#include "base/file.h"
#include "base/str.h"
#include <limits.h>
#include <string.h>

#define MAX_OUT ((size_t)65536)
#define MAX_INDEX ((size_t)1 << 30)

typedef struct Snapshot {
    const void *mem;
    const char *scratch;
    const char *top, *git_dir, *objects, *index;
    const char *borrowed; /* ":" and a folder of objects for each that submodules have */
} Snapshot;

/* The environment of a git that works in the tree; own: on the index and objects that are ours. */
static GitEnv *tree_env(const Snapshot *s, const void *mem, bool own) {
    GitEnv *env = git_env_new(mem);

    git_env_add(env, "GIT_DIR=%s", s->git_dir);
    git_env_add(env, "GIT_WORK_TREE=%s", s->top);
    if (own) {
        git_env_add(env, "GIT_INDEX_FILE=%s/index", s->scratch);
        git_env_add(env, "GIT_OBJECT_DIRECTORY=%s/objects", s->scratch);
        git_env_add(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES=%s%s", s->objects, s->borrowed ? s->borrowed : "");
    }
    return env;
}

/* The output without its last newline, in mem. */
static int ask(const char *const *argv, GitEnv *env, const char *in, const void *mem, const char **ret,
               Err *err) {
    _cleanup_buf_ Buf out = BUF_INIT;
    int r = git_run(argv, env, in, in ? strlen(in) : 0, MAX_OUT, &out, err);

    if (r >= 0)
        *ret = mem_strndup(mem, buf_str(&out), strcspn(buf_str(&out), "\n"));
    return r;
}

int git_top(const char *folder, const void *mem, const char **ret, Err *err) {
    _cleanup_talloc_ void *own = talloc_new(NULL);
    const char *argv[] = {"git", "-C", folder, "rev-parse", "--show-toplevel", NULL};

    return ask(argv, git_env_new(own), NULL, mem, ret, err);
}

static int find_repository(Snapshot *s, const char *folder, Err *err) {
    const char *dir[] = {"git", "-C", folder, "rev-parse", "--absolute-git-dir", NULL};
    const char *objects[] = {"git",        "-C",      folder, "rev-parse", "--path-format=absolute",
                             "--git-path", "objects", NULL};
    const char *index[] = {"git",        "-C",    folder, "rev-parse", "--path-format=absolute",
                           "--git-path", "index", NULL};
    int r = git_top(folder, s->mem, &s->top, err);

    if (r >= 0)
        r = ask(dir, git_env_new(s->mem), NULL, s->mem, &s->git_dir, err);
    if (r >= 0)
        r = ask(objects, git_env_new(s->mem), NULL, s->mem, &s->objects, err);
    return r < 0 ? r : ask(index, git_env_new(s->mem), NULL, s->mem, &s->index, err);
}

/* A folder that nobody has made a repository of. */
static int make_repository(Snapshot *s, const char *folder, Err *err) {
    const char *argv[] = {"git", "init", "-q", "--bare", "-b", "main", NULL, NULL};

    s->top = folder;
    s->git_dir = argv[6] = mem_printf(s->mem, "%s/git", s->scratch);
    s->objects = mem_printf(s->mem, "%s/objects", s->git_dir);
    s->index = NULL;
    return git_run(argv, git_env_new(s->mem), NULL, 0, MAX_OUT, NULL, err);
}

/* The tree's own index knows which files have not changed: they need not be read again. */
static int copy_index(const Snapshot *s, Err *err) {
    _cleanup_buf_ Buf index = BUF_INIT;
    int r = s->index ? file_read(s->index, MAX_INDEX, &index, err) : -ERR_NOT_FOUND;

    if (r == -ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r
                 : file_write_atomic(mem_printf(s->mem, "%s/index", s->scratch), index.data, index.len, 0600,
                                     err);
}

static int write_tree(Snapshot *s, const char **ret, Err *err);

/* The files of a submodule as they are, where its commit stood: that may be nowhere but here, and what is not
 * committed is in no commit. One that is not checked out stays a commit. */
static int take_submodule(Snapshot *s, const char *path, size_t number, Err *err) {
    Snapshot sub = {.mem = s->mem, .scratch = mem_printf(s->mem, "%s/module-%zu", s->scratch, number)};
    const char *where = mem_printf(s->mem, ":(top,literal)%s", path), *entry, *tree = NULL;
    const char *folder = mem_printf(s->mem, "%s/%s", s->top, path);
    const char *list[] = {"git", "ls-files", "-s", "--", where, NULL};
    const char *remove[] = {"git", "-C", s->top, "update-index", "-z", "--index-info", NULL};
    const char *put[] = {"git", "-C", s->top, "read-tree", mem_printf(s->mem, "--prefix=%s/", path),
                         NULL,  NULL};
    char gone[PATH_MAX + 64];
    Err none;
    int len = snprintf(gone, sizeof(gone), "0 %040d\t%s", 0, path) + 1, r;

    if (ask(list, tree_env(s, s->mem, true), NULL, s->mem, &entry, &none) < 0 ||
        !str_after(entry, "160000 ") || len > (int)sizeof(gone))
        return 0;
    if (access(mem_printf(s->mem, "%s/.git", folder), F_OK) < 0 || find_repository(&sub, folder, &none) < 0 ||
        !str_eq(sub.top, folder)) /* a .git that is none: it would be the tree around it */
        return 0;
    r = write_tree(&sub, &tree, err);
    s->borrowed = mem_printf(s->mem, "%s:%s/objects:%s%s", s->borrowed ? s->borrowed : "", sub.scratch,
                             sub.objects, sub.borrowed ? sub.borrowed : "");
    if (r >= 0)
        r = git_run(remove, tree_env(s, s->mem, true), gone, (size_t)len, MAX_OUT, NULL, err);
    put[5] = tree;
    return r < 0 ? r : git_run(put, tree_env(s, s->mem, true), NULL, 0, MAX_OUT, NULL, err);
}

static int take_submodules(Snapshot *s, Err *err) {
    const char *file = mem_printf(s->mem, "%s/.gitmodules", s->top);
    const char *argv[] = {"git", "config", "-z", "--file", file, "--list", NULL};
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *text;
    size_t number = 0;
    int r;

    if (access(file, F_OK) < 0)
        return 0;
    r = git_run(argv, git_env_new(s->mem), NULL, 0, MAX_OUT, &out, err);
    text = buf_str(&out);
    for (size_t at = 0; r >= 0 && at < out.len; at += strlen(text + at) + 1) {
        const char *path = strstr(text + at, ".path\n");

        if (path && str_after(text + at, "submodule."))
            r = take_submodule(s, path + strlen(".path\n"), number++, err);
    }
    return r < 0 ? err_wrap(err, "the submodules") : 0;
}

static int write_tree(Snapshot *s, const char **ret, Err *err) {
    const char *add[] = {"git", "add", "-A", "--", ":/", NULL};
    const char *write[] = {"git", "write-tree", NULL};
    int r = file_mkdirs(mem_printf(s->mem, "%s/objects", s->scratch), 0700, err);

    if (r >= 0)
        r = copy_index(s, err);
    if (r >= 0)
        r = git_run(add, tree_env(s, s->mem, true), NULL, 0, MAX_OUT, NULL, err);
    if (r >= 0)
        r = take_submodules(s, err);
    return r < 0 ? r : ask(write, tree_env(s, s->mem, true), NULL, s->mem, ret, err);
}

static int commit_tree(const Snapshot *s, const char *tree, const char *head, const char **ret, Err *err) {
    const char *argv[] = {"git", "commit-tree", tree, "-m", "the working tree", head ? "-p" : NULL,
                          head,  NULL};
    GitEnv *env = tree_env(s, s->mem, true);

    git_env_add(env, "GIT_AUTHOR_NAME=pelton run");
    git_env_add(env, "GIT_AUTHOR_EMAIL=");
    git_env_add(env, "GIT_COMMITTER_NAME=pelton run");
    git_env_add(env, "GIT_COMMITTER_EMAIL=");
    return ask(argv, env, NULL, s->mem, ret, err);
}

/* HEAD itself when nothing has changed since. */
static int make_commit(Snapshot *s, GitSnapshot *snap, Err *err) {
    const char *head_argv[] = {"git", "rev-parse", "-q", "--verify", "HEAD^{commit}", NULL};
    const char *tree_argv[] = {"git", "rev-parse", "-q", "--verify", "HEAD^{tree}", NULL};
    const char *tree, *head = NULL, *head_tree = "";
    Err none;
    int r = write_tree(s, &tree, err);

    if (r < 0)
        return r;
    if (ask(head_argv, tree_env(s, s->mem, false), NULL, s->mem, &head, &none) < 0 ||
        ask(tree_argv, tree_env(s, s->mem, false), NULL, s->mem, &head_tree, &none) < 0)
        head = NULL; /* no commit yet */
    snap->changed = !head || !str_eq(tree, head_tree);
    snap->commit = head;
    return snap->changed ? commit_tree(s, tree, head, &snap->commit, err) : 0;
}

/* Where a shallow clone's history ends. */
static int copy_shallow(const Snapshot *s, const char *repo, Err *err) {
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = file_read(mem_printf(s->mem, "%s/shallow", s->git_dir), MAX_OUT, &text, err);

    if (r == -ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r
                 : file_write_atomic(mem_printf(s->mem, "%s/shallow", repo), text.data, text.len, 0644, err);
}

/* As one pack, with all its history: by the packer itself, for no transport reads two object folders. */
static int hand_over(const Snapshot *s, const GitSnapshot *snap, const char *repo, Err *err) {
    const char *pack[] = {
        "git", "pack-objects", "-q", "--revs", mem_printf(s->mem, "%s/objects/pack/pack", repo), NULL};
    const char *update[] = {
        "git",        "-C", repo, "update-ref", mem_printf(s->mem, GIT_SNAPSHOT_REF "/%s", snap->branch),
        snap->commit, NULL};
    const char *revs = mem_printf(s->mem, "%s\n", snap->commit), *name;
    int r = copy_shallow(s, repo, err);

    if (r >= 0)
        r = ask(pack, tree_env(s, s->mem, true), revs, s->mem, &name, err);
    return r < 0 ? r : git_run(update, git_env_new(s->mem), NULL, 0, MAX_OUT, NULL, err);
}

int git_snapshot(const char *folder, const char *scratch, const char *repo, const void *mem, GitSnapshot *ret,
                 Err *err) {
    const char *branch_argv[] = {"git", "symbolic-ref", "-q", "--short", "HEAD", NULL};
    Snapshot s = {.mem = mem, .scratch = scratch};
    GitSnapshot snap = {0};
    Err none;
    int r = find_repository(&s, folder, &none) < 0 ? make_repository(&s, folder, err) : 0;

    if (r >= 0)
        r = make_commit(&s, &snap, err);
    if (r < 0)
        return err_wrap(err, "take the working tree of %s", folder);
    snap.top = s.top;
    if (ask(branch_argv, tree_env(&s, mem, false), NULL, mem, &snap.branch, &none) < 0)
        snap.branch = "main";
    r = hand_over(&s, &snap, repo, err);
    if (r < 0)
        return err_wrap(err, "take the working tree of %s", folder);
    *ret = snap;
    return 0;
}
