/* The local mirror of a server's repository, and talking to that server. */
#pragma once

#include "git/env.h"
#include "git/git.h"

bool git_mirror_exists(const char *mirror);
/* Creates the mirror when it is not there and fetches branches, tags and the commit, unless the commit is
 * there by now. One process of all at a time does it, the others wait (flock on "<mirror>.lock").
 * ERR_NOT_FOUND, ERR_UNAVAILABLE. */
_must_check_ int git_mirror_update(const GitCheckout *c, Err *err);
/* 1: the commit is in the repository, 0: not. */
_must_check_ int git_has_commit(const char *repo, const char *commit, Err *err);

/* The length of url's beginning "http://host:port" or "https://…"; 0: it has none. */
size_t git_origin_len(const char *url);
/* For a process that talks to the server at url: network settings, and the token as a header for that server
 * alone. ERR_INVALID unless it is http or https. */
_must_check_ int git_env_server(GitEnv *env, const char *url, const char *token, Err *err);
/* What git's words stand for: network, not there, not allowed; `otherwise` when they say nothing of that. */
ErrCode git_transfer_code(const Buf *said, ErrCode otherwise);
/* Gives err the code that git's words stand for, and `what` before its message. */
int git_transfer_error(const Buf *said, const char *what, Err *err);
