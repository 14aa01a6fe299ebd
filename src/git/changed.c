/* What differs between two commits. */
#include "git/git.h"

#include "base/str.h"
#include "git/run.h"

#define NAMES_MAX_BYTES ((size_t)16 << 20)

/* argv: git diff-tree … with the two commits. */
static int names(const char *repo, const char *const *argv, const char *old_commit, const char *new_commit,
                 const void *mem, const char ***ret, size_t *ret_count, Err *err) {
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    const char **paths = mem_array(mem, const char *, 1);
    size_t count = 0;
    int r;

    if (!str_is_commit(old_commit) || !str_is_commit(new_commit))
        return err_set(err, ERR_INVALID, "\"%.64s\" and \"%.64s\": expected hashes of commits", old_commit,
                       new_commit);
    if (strspn(old_commit, "0") == strlen(old_commit))
        return err_set(err, ERR_NOT_FOUND, "there is nothing to compare with");
    git_env_add(env, "GIT_DIR=%s", repo);
    r = git_run(argv, env, NULL, 0, NAMES_MAX_BYTES, &out, err);
    if (r < 0)
        return err_wrap(err, "compare %.8s with %.8s", old_commit, new_commit);
    for (size_t at = 0; at < out.len; at += strlen(out.data + at) + 1)
        mem_append(mem, paths, count, str_utf8_clean(mem, out.data + at, strlen(out.data + at)));
    *ret = paths;
    *ret_count = count;
    return 0;
}

#define DIFF "git", "diff-tree", "-r", "-z", "--name-only", "--no-renames"

int git_changed(const char *repo, const char *old_commit, const char *new_commit, const void *mem,
                const char ***ret, size_t *ret_count, Err *err) {
    const char *const argv[] = {DIFF, old_commit, new_commit, NULL};

    return names(repo, argv, old_commit, new_commit, mem, ret, ret_count, err);
}

int git_changed_since(const char *repo, const char *target, const char *head, const void *mem,
                      const char ***ret, size_t *ret_count, Err *err) {
    const char *const argv[] = {DIFF, "--merge-base", target, head, NULL};

    return names(repo, argv, target, head, mem, ret, ret_count, err);
}
