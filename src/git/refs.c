/* Refs from the files of a repository (gitrepository-layout(5), git-pack-refs(1)), without a process; what is
 * behind a tag git must tell. */
#include "git/git.h"

#include "base/file.h"
#include "base/str.h"
#include "git/cache.h"
#include "git/internal.h"
#include "git/run.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PACKED_MAX ((size_t)256 << 20)
#define NAME_MAX_LEN ((size_t)1024)
#define SYMBOLIC_DEPTH 5 /* as git */
#define HASH_LEN ((size_t)40)

bool git_ref_valid(const char *name) {
    size_t len = strlen(name);

    if (len > NAME_MAX_LEN || !str_after(name, "refs/") || file_check_path(name, NULL) < 0)
        return false;
    if (strpbrk(name, " ~^:?*[\\") || strstr(name, "..") || strstr(name, "@{") || strstr(name, "/.") ||
        strstr(name, ".lock/"))
        return false;
    return name[len - 1] != '.' && !str_ends(name, ".lock");
}

int64_t git_pull_number(const char *ref) {
    const char *digits = str_after(ref, "refs/pull/"), *end = digits ? strchr(digits, '/') : NULL;
    _cleanup_talloc_ char *text = end ? mem_strndup(NULL, digits, (size_t)(end - digits)) : NULL;
    int64_t number;

    if (!text || !str_eq(end, "/head") || *text == '0' || !str_to_i64(text, 1, INT32_MAX, &number))
        return 0;
    return number;
}

/* ---- one ref ---- */

/* "<hash>\n" or "ref: <name>\n". 1: *hash is set; 2: *target is; 0: there is no such file. */
static int read_loose(int dirfd, const char *name, char *hash, Buf *target, Err *err) {
    _cleanup_close_ int fd = -1;
    char text[NAME_MAX_LEN + 16];
    const char *to;
    Err why = {0};
    ssize_t n;
    int r;

    r = file_open_beneath(dirfd, name, O_RDONLY, 0, &fd, &why);
    if (r < 0 && (why.sys == ENOENT || why.sys == ENOTDIR || r == -ERR_NOT_FOUND))
        return 0;
    n = r < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0 && r >= 0 && errno == EISDIR)
        return 0;
    if (n < 0)
        return err_set(err, ERR_IO, "read %s: %s", name, r < 0 ? why.msg : strerror(errno));
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (str_is_commit(text)) {
        memcpy(hash, text, GIT_HASH_SIZE);
        return 1;
    }
    to = str_after(text, "ref: ");
    if (!to || !git_ref_valid(to))
        return err_set(err, ERR_IO, "%s: the ref is damaged", name);
    buf_clear(target);
    buf_adds(target, to);
    return 2;
}

static int read_packed_file(int dirfd, Buf *out, Err *err) {
    _cleanup_close_ int fd = openat(dirfd, "packed-refs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    size_t size;

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(err, "open packed-refs");
    if (fstat(fd, &st) < 0)
        return err_errno(err, "packed-refs");
    if ((uint64_t)st.st_size > PACKED_MAX)
        return err_set(err, ERR_TOO_LARGE, "packed-refs is over %zu bytes", PACKED_MAX);
    size = (size_t)st.st_size;
    while (out->len < size) { /* it is only ever replaced, never changed */
        ssize_t n = read(fd, buf_reserve(out, size - out->len), size - out->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "read packed-refs");
        if (n == 0)
            break;
        out->len += (size_t)n;
    }
    if (out->data)
        out->data[out->len] = '\0';
    return 0;
}

/* The line "<hash> <name>\n" at s; gives the length of the name, 0 for another line ("# …", "^<peeled>"). */
static size_t packed_line(const char *s, const char *end, const char **ret_name) {
    const char *nl = memchr(s, '\n', (size_t)(end - s));

    if (!nl || (size_t)(nl - s) < HASH_LEN + 2 || s[HASH_LEN] != ' ' || *s == '#' || *s == '^')
        return 0;
    *ret_name = s + HASH_LEN + 1;
    return (size_t)(nl - *ret_name);
}

static bool copy_hash(const char *s, char *hash) {
    memcpy(hash, s, HASH_LEN);
    hash[HASH_LEN] = '\0';
    return str_is_commit(hash);
}

static bool find_packed(const Buf *packed, const char *name, char *hash) {
    size_t len = strlen(name);
    const char *end = packed->data + packed->len, *found = packed->data;

    while (packed->data && (found = memmem(found, (size_t)(end - found), name, len)) != NULL) {
        const char *line = found - HASH_LEN - 1, *at = NULL;

        if (line >= packed->data && (line == packed->data || line[-1] == '\n') &&
            packed_line(line, end, &at) == len)
            return copy_hash(line, hash);
        found++;
    }
    return false;
}

/* Loose before packed: git-pack-refs writes packed-refs first and then removes the loose file. 1, or 0: none.
 */
static int read_ref(int dirfd, const char *name, char *hash, Err *err) {
    _cleanup_buf_ Buf packed = BUF_INIT, target = BUF_INIT;
    int r = 2;

    buf_adds(&target, name);
    for (int depth = 0; r == 2; depth++) {
        if (depth > SYMBOLIC_DEPTH)
            return err_set(err, ERR_IO, "%s: symbolic refs in a circle", name);
        name = buf_str(&target);
        r = read_loose(dirfd, name, hash, &target, err);
    }
    if (r != 0)
        return r;
    r = read_packed_file(dirfd, &packed, err);
    if (r < 0)
        return r;
    return find_packed(&packed, name, hash) ? 1 : 0;
}

/* ---- all refs ---- */

typedef struct Walk {
    const void *mem;
    int repo;
    bool pulls;
    GitRawRef *refs;
    size_t count;
} Walk;

static int walk_folder(Walk *walk, const char *folder, int depth, Err *err);

/* Of refs/pull/ only the heads: what lies beside them is for others. */
static bool is_listed(const Walk *walk, const char *name) {
    if (!git_ref_valid(name))
        return false;
    return str_after(name, "refs/heads/") || str_after(name, "refs/tags/") ||
           (walk->pulls && git_pull_number(name));
}

static int walk_entry(Walk *walk, const char *name, unsigned char type, int depth, Err *err) {
    GitRawRef ref = {.name = name};
    struct stat st;
    int r;

    if (type == DT_UNKNOWN && fstatat(walk->repo, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
    if (type == DT_DIR)
        return walk_folder(walk, name, depth + 1, err);
    if (type != DT_REG || !is_listed(walk, name))
        return 0; /* a lock, or nothing that git would know */
    r = read_ref(walk->repo, name, ref.hash, err);
    if (r > 0)
        mem_append(walk->mem, walk->refs, walk->count, ref);
    return r < 0 ? r : 0; /* gone meanwhile, or a symbolic ref to nothing */
}

static int walk_folder(Walk *walk, const char *folder, int depth, Err *err) {
    int fd = openat(walk->repo, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;

    if (!dir) {
        if (fd >= 0)
            mem_close(fd);
        return errno == ENOENT ? 0 : err_errno(err, "open %s", folder);
    }
    while (r >= 0 && depth < 64 && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            r = walk_entry(walk, mem_printf(walk->mem, "%s/%s", folder, entry->d_name), entry->d_type, depth,
                           err);
    closedir(dir);
    return r;
}

static void add_packed(Walk *walk, const Buf *packed) {
    const char *end = packed->data + packed->len, *line = packed->data;

    while (line && line < end) {
        const char *name = NULL, *nl = memchr(line, '\n', (size_t)(end - line));
        size_t len = packed_line(line, end, &name);
        GitRawRef ref = {.packed = true};

        if (len && copy_hash(line, ref.hash)) {
            ref.name = mem_strndup(walk->mem, name, len);
            if (is_listed(walk, ref.name))
                mem_append(walk->mem, walk->refs, walk->count, ref);
        }
        line = nl ? nl + 1 : end;
    }
}

static int by_name(const void *a, const void *b) {
    const GitRawRef *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : x->packed - y->packed;
}

/* Drops all but the first of a name, the loose one. */
static size_t unique(GitRawRef *refs, size_t count) {
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(refs[kept - 1].name, refs[i].name) != 0)
            refs[kept++] = refs[i];
    return kept;
}

int git_refs_raw(const char *repo, bool pulls, const void *mem, GitRawRef **ret, size_t *ret_count,
                 Err *err) {
    _cleanup_close_ int dirfd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_buf_ Buf packed = BUF_INIT;
    Walk walk = {.mem = mem, .repo = dirfd, .pulls = pulls};
    int r;

    if (dirfd < 0)
        return err_errno(err, "repository %s", repo);
    r = walk_folder(&walk, "refs/heads", 0, err);
    if (r >= 0)
        r = walk_folder(&walk, "refs/tags", 0, err);
    if (r >= 0 && pulls)
        r = walk_folder(&walk, "refs/pull", 0, err);
    if (r >= 0)
        r = read_packed_file(dirfd, &packed, err);
    if (r < 0)
        return err_wrap(err, "repository %s", repo);
    add_packed(&walk, &packed);
    if (walk.count)
        qsort(walk.refs, walk.count, sizeof(*walk.refs), by_name);
    *ret = walk.refs;
    *ret_count = unique(walk.refs, walk.count);
    return 0;
}

/* ---- tags, pull requests ---- */

/* Asks git which commits the names (hashes, also short ones) stand for, all in one process. commits[i] is ""
 * where there is none. */
static int peel(const char *repo, const Buf *names, size_t count, GitHash *commits, Err *err) {
    static const char *const argv[] = {"git", "cat-file", "--batch-check=%(objectname) %(objecttype)", NULL};
    _cleanup_talloc_ GitEnv *env = git_env_new(NULL);
    _cleanup_buf_ Buf out = BUF_INIT;
    const char *line;
    int r;

    git_env_add(env, "GIT_DIR=%s", repo);
    r = git_run(argv, env, names->data, names->len, count * (NAME_MAX_LEN + 64), &out, err);
    if (r < 0)
        return r;
    line = buf_str(&out);
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(line, "\n");

        commits[i][0] = '\0';
        if (len == HASH_LEN + strlen(" commit") && str_after(line + HASH_LEN, " commit") &&
            !copy_hash(line, commits[i]))
            commits[i][0] = '\0';
        line += len + (line[len] != '\0');
    }
    return 0;
}

static bool is_known(const char *repo, const char *hash, GitHash commit) {
    if (!git_cache_has(repo, hash))
        return git_peeled_get(hash, commit);
    memcpy(commit, hash, sizeof(GitHash));
    return true;
}

void git_tags_ahead(const char *repo, const char *const *refs, size_t count) {
    _cleanup_close_ int dirfd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_talloc_ GitHash *objects = mem_array(NULL, GitHash, count);
    _cleanup_talloc_ GitHash *commits = mem_array(NULL, GitHash, count);
    _cleanup_buf_ Buf asked = BUF_INIT;
    size_t asked_count = 0;

    for (size_t i = 0; dirfd >= 0 && i < count; i++) {
        char *object = objects[asked_count];

        if (!str_after(refs[i], "refs/heads/") && git_ref_valid(refs[i]) &&
            read_ref(dirfd, refs[i], object, NULL) > 0 && !is_known(repo, object, commits[0])) {
            buf_addf(&asked, "%s^{commit}\n", object);
            asked_count++;
        }
    }
    if (asked_count < 2 || peel(repo, &asked, asked_count, commits, NULL) < 0)
        return;
    for (size_t i = 0; i < asked_count; i++)
        if (commits[i][0])
            git_peeled_put(objects[i], commits[i]);
}

/* Git lets nothing but commits in refs/heads/. */
static bool is_branch(const GitRawRef *ref) {
    return str_after(ref->name, "refs/heads/") != NULL;
}

int git_refs(const char *repo, const void *mem, GitRef **ret, size_t *ret_count, Err *err) {
    _cleanup_buf_ Buf asked = BUF_INIT;
    GitRawRef *raw = NULL;
    GitRef *refs;
    GitHash *commits;
    size_t count = 0, others = 0, kept = 0, other = 0;
    int r;

    r = git_refs_raw(repo, true, mem, &raw, &count, err);
    if (r < 0)
        return r;
    assert(raw || count == 0);
    for (size_t i = 0; i < count; i++)
        if (!is_branch(&raw[i])) {
            buf_addf(&asked, "%s^{commit}\n", raw[i].hash);
            others++;
        }
    commits = mem_array(mem, GitHash, others);
    r = others ? peel(repo, &asked, others, commits, err) : 0;
    if (r < 0)
        return err_wrap(err, "refs of %s", repo);
    refs = mem_array(mem, GitRef, count);
    for (size_t i = 0; i < count; i++) {
        const char *commit = is_branch(&raw[i]) ? raw[i].hash : commits[other++];

        if (*commit) /* a tag may also name a file or a tree */
            refs[kept++] = (GitRef){.name = raw[i].name, .commit = commit};
    }
    *ret = refs;
    *ret_count = kept;
    return 0;
}

/* ---- what a person may call a commit ---- */

static bool is_hex(const char *s) {
    size_t len = strlen(s);

    return len >= 4 && len <= HASH_LEN && strspn(s, "0123456789abcdefABCDEF") == len;
}

static int resolve_hash(const char *repo, const char *name, const void *mem, const char **ret_commit,
                        Err *err) {
    _cleanup_buf_ Buf asked = BUF_INIT;
    GitHash commit;
    int r;

    if (git_cache_has(repo, name)) {
        *ret_commit = mem_strdup(mem, name);
        return 0;
    }
    buf_addf(&asked, "%s^{commit}\n", name);
    r = peel(repo, &asked, 1, &commit, err);
    if (r < 0)
        return r;
    if (!commit[0])
        return err_set(err, ERR_NOT_FOUND, "there is no commit %s", name);
    *ret_commit = mem_strdup(mem, commit);
    return 0;
}

/* What a tag's file names, which is there: it may have been seen before. */
static int resolve_tag(const char *repo, const char *object, const void *mem, const char **ret_commit,
                       Err *err) {
    GitHash commit;
    int r;

    if (git_peeled_get(object, commit)) {
        *ret_commit = mem_strdup(mem, commit);
        return 0;
    }
    r = resolve_hash(repo, object, mem, ret_commit, err);
    if (r >= 0)
        git_peeled_put(object, *ret_commit);
    return r;
}

/* 1: it is this ref; 0: there is none of that name. */
static int resolve_ref(const char *repo, int dirfd, const char *ref, const void *mem, const char **ret_commit,
                       const char **ret_ref, Err *err) {
    char hash[GIT_HASH_SIZE];
    int r;

    if (!git_ref_valid(ref))
        return 0;
    r = read_ref(dirfd, ref, hash, err);
    if (r <= 0)
        return r;
    if (str_after(ref, "refs/heads/")) {
        *ret_commit = mem_strdup(mem, hash);
    } else {
        r = resolve_tag(repo, hash, mem, ret_commit, err);
        if (r < 0)
            return err_wrap(err, "%s", ref);
    }
    *ret_ref = mem_strdup(mem, ref);
    return 1;
}

int git_resolve(const char *repo, const char *ref, const void *mem, const char **ret_commit,
                const char **ret_ref, Err *err) {
    static const char *const places[] = {"", "refs/heads/", "refs/tags/"};
    _cleanup_close_ int dirfd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *head;
    int r = 0;

    if (dirfd < 0)
        return err_errno(err, "repository %s", repo);
    if (str_eq(ref, "HEAD")) {
        r = git_head(repo, mem, &head, err);
        if (r < 0)
            return r;
        ref = mem_printf(mem, "refs/heads/%s", head);
    }
    for (size_t i = 0; i < ELEMENTS(places) && r == 0; i++) {
        _cleanup_talloc_ char *full = mem_printf(NULL, "%s%s", places[i], ref);

        r = resolve_ref(repo, dirfd, full, mem, ret_commit, ret_ref, err);
    }
    if (r != 0)
        return r < 0 ? r : 0;
    if (!is_hex(ref))
        return err_set(err, ERR_NOT_FOUND, "there is no branch, tag or commit \"%s\"", ref);
    r = resolve_hash(repo, ref, mem, ret_commit, err);
    if (r >= 0)
        *ret_ref = "";
    return r;
}
