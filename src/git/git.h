/* Hosted repositories and mirrors, by the git command line in a clean environment: no system or user
 * configuration, no prompts, no ext/file transports, safe.directory set, LC_ALL=C. */
#pragma once

#include "base/err.h"
#include "http/server.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct GitRef {
    const char *name;   /* "refs/heads/main" */
    const char *commit; /* 40 hex; of an annotated tag the commit it points to */
} GitRef;

typedef struct GitFile {
    const char *path;    /* asked for */
    const char *content; /* NULL: not in that commit, or not a file */
    size_t len;
} GitFile;

typedef struct GitCommit {
    const char *hash, *author, *email, *subject; /* cleaned to valid UTF-8 */
    const char *message;
} GitCommit;

/* Whether the message (NULL: none) has words by which any of the usual systems leaves a commit unbuilt. */
bool git_skip_asked(const char *message);

/* A bare repository (initial branch main, http.receivepack on, transfer.fsckObjects on) with our hook in it.
 * Deletes and forced pushes are allowed, git's refusal to delete the default branch stands. pelton: absolute
 * path of this program, for the hook. group: owner group of the files, so that jobs can borrow objects: all
 * folders 2750 and files 0640, and whatever git adds later (core.sharedRepository); (gid_t)-1: as is.
 * ERR_EXISTS. */
_must_check_ int git_repo_create(const char *path, const char *pelton, const char *state_dir, gid_t group,
                                 Err *err);
/* Out of the way, by another name beside it, so that it survives a power loss; and back. Fine when it is not
 * there. */
_must_check_ int git_repo_move(const char *from, const char *to, Err *err);
/* Writes the hook anew (after an upgrade or a move) unless it is so already: cheap enough for every start. */
_must_check_ int git_hook_install(const char *repo, const char *pelton, const char *state_dir, Err *err);
/* What a push has just changed in the repository survives a power loss: for its hook, which runs before the
 * pusher is told that all is well. */
_must_check_ int git_sync(const char *repo, Err *err);
/* The number in "refs/pull/7/head", by which git hosts call the head of a pull request; 0: it is another ref.
 */
int64_t git_pull_number(const char *ref);
/* Branches, heads of pull requests and tags, sorted by name, in mem. Branches come from files, one process
 * for all others; what is not on a commit is left out, and so is a name that is not UTF-8. */
_must_check_ int git_refs(const char *repo, const void *mem, GitRef **ret, size_t *ret_count, Err *err);
/* The same stamp, and none of its times just now: nothing that git_refs lists has changed. Starts no process.
 */
typedef struct GitStamp {
    uint64_t hash;
    int64_t newest; /* the newest time in it, µs: a change as late as this may share it */
} GitStamp;
_must_check_ int git_refs_stamp(const char *repo, GitStamp *ret, Err *err);
/* "main", "refs/tags/v1", "v1", "HEAD" or a hash, also a short one → commit and full ref ("" for a bare
 * hash); a branch goes before a tag of the same name, and both before a hash. A branch, loose or packed, is
 * read from the repository's files without starting a process (gitrepository-layout(5)); a tag or a hash asks
 * git. No other expressions ("main~3"). ERR_NOT_FOUND. */
_must_check_ int git_resolve(const char *repo, const char *ref, const void *mem, const char **ret_commit,
                             const char **ret_ref, Err *err);
/* The commit and some of its files (paths: NULL-terminated, or NULL; each file at most max bytes:
 * ERR_TOO_LARGE), by one git cat-file --batch. Symbolic links within the commit are followed. ret_files: as
 * many as paths, in their order; may be NULL. ERR_NOT_FOUND: no such repository or commit. Immutable, so the
 * newest few hundred are kept in memory by (repo, commit). Any thread. */
_must_check_ int git_commit_read(const char *repo, const char *commit, const char *const *paths, size_t max,
                                 const void *mem, GitCommit **ret_commit, GitFile **ret_files, Err *err);
/* What git_commit_read and git_resolve of tags will be asked for soon, read by one process each: those then
 * start none. What cannot be read is left for them. */
void git_commits_ahead(const char *repo, const char *const *commits, size_t count, const char *const *paths,
                       size_t max);
void git_tags_ahead(const char *repo, const char *const *refs, size_t count);
/* The paths of files that differ between two commits, in mem; a moved file is two. ERR_NOT_FOUND: old_commit
 * is forty zeros; ERR_IO: a commit is not there (any more). */
_must_check_ int git_changed(const char *repo, const char *old_commit, const char *new_commit,
                             const void *mem, const char ***ret, size_t *ret_count, Err *err);
/* The same for what head has changed since it left target: between their merge base and head. ERR_IO also
 * when they have none, or several. */
_must_check_ int git_changed_since(const char *repo, const char *target, const char *head, const void *mem,
                                   const char ***ret, size_t *ret_count, Err *err);
/* Forgets what is kept of a repository: call it when one is deleted. */
void git_forget(const char *repo);
/* The repository's default branch as in HEAD ("main"), and setting it. */
_must_check_ int git_head(const char *repo, const void *mem, const char **ret_branch, Err *err);
_must_check_ int git_set_head(const char *repo, const char *branch, Err *err);

/* The rules of git-check-ref-format(1) for a full name, and at most 1,024 bytes of valid UTF-8. */
bool git_ref_valid(const char *name);

/* Smart HTTP (gitprotocol-http(5)), a HTTP_THREADED handler's body: hands the request to git http-backend.
 * rest: what follows the repository in the path: "info/refs", "git-upload-pack", "git-receive-pack"; anything
 * else is 404. env: further "K=V" for the hook (pusher, server URL), NULL-terminated. */
_must_check_ int git_serve_http(HttpRequest *req, const char *repo, const char *rest, const char *user,
                                const char *const *env, Err *err);

/* ---- somebody's working tree ---- */
/* The folder of the working tree that the folder is in, in mem. ERR_IO: it is in none. */
_must_check_ int git_top(const char *folder, const void *mem, const char **ret, Err *err);
#define GIT_SNAPSHOT_REF "refs/pelton/run"
typedef struct GitSnapshot {
    const char *commit;
    const char *branch; /* that is checked out; main where there is none. Both in mem */
    const char *top;    /* folder of the working tree */
    bool changed;       /* something is not committed: the commit is one of our own */
} GitSnapshot;
/* Puts what `git add -A` and a commit would make of the working tree that folder is in into the bare
 * repository, below GIT_SNAPSHOT_REF, which nothing builds by itself. The working tree, its index and its
 * repository stay as they are; what is new is made in scratch, an empty folder. Submodules that are checked
 * out become folders of it, with what they have that is not committed. A folder without a repository is taken
 * as it is. */
_must_check_ int git_snapshot(const char *folder, const char *scratch, const char *repo, const void *mem,
                              GitSnapshot *ret, Err *err);

/* ---- the runner's side ---- */
typedef struct GitCheckout {
    const char *url, *token; /* of the server's repository; token by an environment header, never in a URL */
    const char *borrow;      /* the path of a repository on this disk that has the objects, or NULL */
    const char *mirror;    /* without borrow: folder of the local mirror, created and updated under a lock */
    const char *workspace; /* an empty folder */
    const char *commit;    /* exactly this one */
    const char *withheld;  /* not NULL: submodules come without the token; why, for those that need it */
    bool drop_user;        /* run the checkout as uid/gid, which owns the workspace */
    uid_t uid;
    gid_t gid;  /* as root also the mirror's, drop_user or not */
    int log_fd; /* progress and errors for the job's log; -1: none */
} GitCheckout;
/* Writes .git by hand (objects borrowed by alternates), checks out the commit, then the submodules when
 * .gitmodules is there (http and https only; relative ones from the server). ERR_NOT_FOUND when the commit is
 * not in the repository; ERR_UNAVAILABLE when the server cannot be reached; ERR_FORBIDDEN and `withheld` for
 * a submodule of the server that needs the token. */
_must_check_ int git_checkout(const GitCheckout *c, Err *err);
