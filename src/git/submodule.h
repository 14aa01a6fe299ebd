/* Why a submodule is not there, in words that a person can act on. */
#pragma once

#include "base/buf.h"
#include "git/git.h"

/* said: what `git submodule update` has printed. err, which has its exit status, becomes: which submodule,
 * from where, git's reason, and what to do. */
int git_submodule_error(const GitCheckout *c, const Buf *said, Err *err);
