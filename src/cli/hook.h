/* The post-receive hook: what git says of a push (githooks(5)), and what the server is told of each ref
 * (contracts/git-ci.md, 4.2). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* What `git push -o` says of a pull request; NULL: nothing. */
typedef struct HookPull {
    const char *target, *source, *title; /* valid UTF-8 */
    const char *fork;                    /* "true", "false" */
} HookPull;

typedef struct HookRef {
    const char *old_rev, *new_rev; /* hex, as git gave them */
    const char *ref;
    bool deleted;
    /* of the commit that new_rev is or, an annotated tag, points to; "" when there is none */
    const char *commit, *author, *email, *subject; /* valid UTF-8 */
    const HookPull *pull;                          /* when it is the head of a pull request */
    bool is_signed;
    const char *gpg_status, *gpg_key, *gpg_signer; /* "N" unsigned; "E" signed, and not yet looked at */
} HookRef;

/* "<old> <new> <ref>\n", any number. The ref is all bytes to the end of the line. ERR_INVALID names the line.
 */
_must_check_ int hook_parse_refs(const char *text, size_t len, const void *mem, HookRef **ret,
                                 size_t *ret_count, Err *err);

/* One commit object's text (gitformat: headers, an empty line, the message) into author, email and subject,
 * and whether it is signed. */
void hook_parse_commit(const char *text, size_t len, const void *mem, HookRef *ref);

/* The output of `git cat-file --batch` for the refs that were asked for, in their order (deleted ones were
 * not). */
void hook_parse_batch(const char *text, size_t len, const void *mem, HookRef *refs, size_t count);

/* An option of a push ("target=main") into what is said of its pull requests; pull NULL: it has none. Gives
 * NULL, or what is wrong with it, in mem. */
const char *hook_option(const char *option, const void *mem, HookPull *pull);

/* The output of `git log` in HOOK_SIGNATURES for signed commits, into the refs that are at one of them. What
 * git could not look at ("N" for want of its tools) stays "E". */
#define HOOK_SIGNATURES "--format=%H %G? %GK%n%GS"
void hook_parse_signatures(const char *text, size_t len, const void *mem, HookRef *refs, size_t count);

/* The name of the project: the last part of the bare repository's path, without ".git". */
const char *hook_repo_name(const void *mem, const char *path);

/* The request's body for one ref. */
void hook_payload(const HookRef *ref, const char *repo_path, const char *pusher, Buf *out);
