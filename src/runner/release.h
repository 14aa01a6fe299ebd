/* A release: files of the workspace as one archive, tar (pax) with zstd; the same files give the same bytes.
 */
#pragma once

#include "base/err.h"
#include "runner/walk.h"

/* Writes the files of `walk` that match the globs to fd: regular files with their modes and links that stay
 * within; owner and times are not kept. libarchive is loaded for it and for as long as it takes: no other
 * process of ours pays for it. ERR_UNSUPPORTED: it is not installed. */
_must_check_ int release_pack(const char *root, const Walk *walk, const char *const *globs, int fd, Err *err);
