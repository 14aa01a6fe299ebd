/* A commit and some of its files: from memory, or by one git cat-file --batch. */
#include "git/git.h"

#include "base/file.h"
#include "base/str.h"
#include "git/cache.h"
#include "git/run.h"
#include <inttypes.h>

#define COMMIT_MAX ((size_t)1 << 20)
#define HEADER_MAX                                                                                           \
    ((size_t)4096) /* of an answer: "<hash> <type> <size>", or the name asked for and a word                 \
                    */
#define PATHS_MAX ((size_t)64)
#define AHEAD_MAX ((size_t)16 << 20)

/* An answer of cat-file. */
typedef struct Object {
    const char *content; /* NULL: there is none */
    size_t len;
    bool blob, commit;
} Object;

bool git_skip_asked(const char *message) {
    static const char *const words[] = {"[skip ci]", "[ci skip]", "[no ci]", "[skip actions]",
                                        "[actions skip]"};

    for (size_t i = 0; message && i < ELEMENTS(words); i++)
        if (strcasestr(message, words[i]))
            return true;
    return false;
}

/* The line behind *at, which it goes past; NULL at the end of what there is. */
static char *next_line(const Buf *out, size_t *at, const void *mem) {
    const char *start = out->data + *at;
    const char *nl = *at < out->len ? memchr(start, '\n', out->len - *at) : NULL;

    if (!nl)
        return NULL;
    *at += (size_t)(nl - start) + 1;
    return mem_strndup(mem, start, (size_t)(nl - start));
}

static int cut_off(const char *what, Err *err) {
    return err_set(err, ERR_IO, "%s: git's answer is cut off", what);
}

/* With --follow-symlinks a link to nowhere, round in a circle or out of the tree is "dangling 4\n<path>\n"
 * and so on; what is not there is "<name> missing", and so is a submodule's commit. */
static int next_object(const Buf *out, size_t *at, const char *what, size_t max, Object *ret, Err *err) {
    _cleanup_talloc_ char *line = next_line(out, at, NULL);
    char *size, *type;
    uint64_t len;

    *ret = (Object){0};
    if (!line)
        return cut_off(what, err);
    size = strrchr(line, ' ');
    if (!size)
        return cut_off(what, err);
    *size++ = '\0';
    if (str_eq(size, "missing") || str_eq(size, "ambiguous"))
        return 0;
    if (!str_to_u64(size, INT64_MAX, &len))
        return cut_off(what, err);
    type = strrchr(line, ' ');
    ret->blob = type && str_eq(type, " blob");
    ret->commit = type && str_eq(type, " commit");
    if ((ret->blob || ret->commit) && len > max)
        return err_set(err, ERR_TOO_LARGE, "%s: %" PRIu64 " bytes, at most %zu", what, len, max);
    if (len >= out->len - *at)
        return cut_off(what, err);
    ret->content = out->data + *at;
    ret->len = len;
    *at += len + 1;
    return 0;
}

/* ---- the commit ---- */

/* "author Name <mail> 1700000000 +0100" behind "author ". */
static void read_author(const void *mem, const char *line, size_t len, GitCommit *commit) {
    const char *open = memchr(line, '<', len);
    const char *close = open ? memchr(open, '>', len - (size_t)(open - line)) : NULL;
    size_t name_len = open ? (size_t)(open - line) : len;

    while (name_len > 0 && line[name_len - 1] == ' ')
        name_len--;
    commit->author = str_utf8_clean(mem, line, name_len);
    if (close)
        commit->email = str_utf8_clean(mem, open + 1, (size_t)(close - open - 1));
}

/* The first paragraph on one line, as git's %s. */
static char *subject_of(const void *mem, const char *message) {
    char *subject, *out;

    while (*message == '\n')
        message++;
    subject = out = mem_strdup(mem, message);
    for (; *message && !(message[0] == '\n' && (message[1] == '\n' || !message[1])); message++)
        *out++ = *message == '\n' ? ' ' : *message;
    *out = '\0';
    return subject;
}

/* Cleaned of what is not UTF-8, and of zero bytes by ending there. */
static GitCommit *parse_commit(const void *mem, const char *hash, const char *text, size_t len) {
    GitCommit *commit = mem_new(mem, GitCommit);
    const char *end = text + len;

    commit->hash = mem_strdup(commit, hash);
    commit->author = commit->email = "";
    while (text < end && *text != '\n') {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const char *stop = nl ? nl : end;

        if ((size_t)(stop - text) > 7 && memcmp(text, "author ", 7) == 0 && !*commit->author)
            read_author(commit, text + 7, (size_t)(stop - text) - 7, commit);
        text = nl ? nl + 1 : end;
    }
    if (text < end)
        text++;
    commit->message = str_utf8_clean(commit, text, (size_t)(end - text));
    commit->subject = subject_of(commit, commit->message);
    return commit;
}

/* ---- asking git ---- */

static void question(const char *commit, const char *const *paths, Buf *ret) {
    buf_addf(ret, "%s\n", commit);
    for (size_t i = 0; paths[i]; i++)
        buf_addf(ret, "%s:%s\n", commit, paths[i]);
}

/* The answer to one question, from *at on, which goes past it. */
static int parse_answer(const Buf *out, size_t *at, const char *hash, const char *const *paths, size_t count,
                        size_t max, const void *mem, GitCommit **ret_commit, GitFile **ret_files, Err *err) {
    GitFile *files = mem_array(mem, GitFile, count);
    Object object = {0};
    int r;

    r = next_object(out, at, "commit", COMMIT_MAX, &object, err);
    if (r < 0)
        return r;
    if (!object.commit)
        return err_set(err, ERR_NOT_FOUND, "there is no commit %s", hash);
    *ret_commit = parse_commit(mem, hash, object.content, object.len);
    for (size_t i = 0; i < count; i++) {
        r = next_object(out, at, paths[i], max, &object, err);
        if (r < 0)
            return r;
        files[i].path = mem_strdup(mem, paths[i]);
        if (object.blob) {
            files[i].content = git_copy_bytes(mem, object.content, object.len);
            files[i].len = object.len;
        }
    }
    *ret_files = files;
    return 0;
}

static int cat_file(const char *repo, const Buf *in, size_t limit, Buf *out, Err *err) {
    static const char *const argv[] = {"git", "cat-file", "--batch", "--follow-symlinks", NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);

    git_env_add(env, "GIT_DIR=%s", repo);
    return git_run(argv, env, in->data, in->len, limit, out, err);
}

static int ask(const char *repo, const char *commit, const char *const *paths, size_t count, size_t max,
               const void *mem, GitCommit **ret_commit, GitFile **ret_files, Err *err) {
    _cleanup_buf_ Buf in = BUF_INIT, out = BUF_INIT;
    size_t limit = COMMIT_MAX + count * max + (count + 1) * HEADER_MAX, at = 0;
    int r, parsed;

    question(commit, paths, &in);
    r = cat_file(repo, &in, limit, &out, err);
    if (r < 0 && r != -ERR_TOO_LARGE)
        return access(repo, F_OK) < 0 ? err_errno(err, "repository") : r;
    parsed = parse_answer(&out, &at, commit, paths, count, max, mem, ret_commit, ret_files, err);
    return parsed < 0 ? parsed : r; /* what is too large is told by its name */
}

static int check_paths(const char *const *paths, size_t *ret_count, Err *err) {
    size_t count = 0;
    int r;

    for (; paths[count]; count++) {
        r = file_check_path(paths[count], err);
        if (r < 0)
            return r;
    }
    if (count > PATHS_MAX)
        return err_set(err, ERR_INVALID, "%zu files asked for, at most %zu", count, PATHS_MAX);
    *ret_count = count;
    return 0;
}

/* Up to the first that is not as it should be: who asks for that one hears why. */
static void keep_answers(const char *repo, const Buf *out, const char *const *commits, size_t commit_count,
                         const char *const *paths, size_t count, size_t max) {
    size_t at = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < commit_count; i++) {
        _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
        GitCommit *commit;
        GitFile *files;

        r = parse_answer(out, &at, commits[i], paths, count, max, mem, &commit, &files, NULL);
        if (r >= 0)
            git_cache_put(repo, commit, files, count);
    }
}

void git_commits_ahead(const char *repo, const char *const *commits, size_t commit_count,
                       const char *const *paths, size_t max) {
    _cleanup_talloc_ TALLOC_CTX *mem = talloc_new(NULL);
    _cleanup_buf_ Buf in = BUF_INIT, out = BUF_INIT;
    const char **asked = NULL;
    size_t count = 0, asked_count = 0;

    if (check_paths(paths, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < commit_count; i++)
        if (str_is_commit(commits[i]) && !git_cache_has(repo, commits[i])) {
            question(commits[i], paths, &in);
            mem_append(mem, asked, asked_count, commits[i]);
        }
    if (asked_count < 2)
        return;
    if (cat_file(repo, &in, AHEAD_MAX, &out, NULL) >= 0 || out.len)
        keep_answers(repo, &out, asked, asked_count, paths, count, max);
}

int git_commit_read(const char *repo, const char *commit, const char *const *paths, size_t max,
                    const void *mem, GitCommit **ret_commit, GitFile **ret_files, Err *err) {
    static const char *const none[] = {NULL};
    GitCommit *found = NULL;
    GitFile *files = NULL;
    size_t count = 0;
    int r;

    if (!str_is_commit(commit))
        return err_set(err, ERR_INVALID, "\"%.64s\" is not a commit's hash", commit);
    paths = paths ? paths : none;
    r = check_paths(paths, &count, err);
    if (r < 0)
        return r;
    if (!git_cache_get(repo, commit, paths, count, max, mem, &found, &files)) {
        r = ask(repo, commit, paths, count, max, mem, &found, &files, err);
        if (r < 0)
            return err_wrap(err, "repository %s", repo);
        git_cache_put(repo, found, files, count);
    }
    *ret_commit = found;
    if (ret_files)
        *ret_files = files;
    return 0;
}
