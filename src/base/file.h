/* Files: whole reads, atomic writes, trees; and opening beneath a root that no path may leave. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include <sys/stat.h>

/* Whole content, at most max bytes (ERR_TOO_LARGE). Appended to out. */
_must_check_ int file_read(const char *path, size_t max, Buf *out, Err *err);
/* The same of an open file, from where it is; `name` is for messages. */
_must_check_ int file_read_open(int fd, const char *name, size_t max, Buf *out, Err *err);
/* Writes beside and renames: a reader sees the old or the new, never half. fsyncs file and folder. */
_must_check_ int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, Err *err);
/* The file's name in its folder survives a power loss. */
_must_check_ int file_sync_folder_of(const char *path, Err *err);
/* All bytes, whatever write() takes at a time. */
_must_check_ int file_write_all(int fd, const void *data, size_t len, Err *err);

/* Opens `path` (relative) beneath the folder dirfd: openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS (and
 * RESOLVE_NO_SYMLINKS). ERR_INVALID for a path that would leave it. flags as open(2); O_CLOEXEC is added. */
_must_check_ int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd,
                                   Err *err);
/* Creates the folders of path's parents beneath dirfd (0755 less umask). */
_must_check_ int file_mkdirs_beneath(int dirfd, const char *path, Err *err);
/* A relative path of plain segments: no leading '/', no empty, "." or ".." segment, no control characters,
 * valid UTF-8, at most 1,024 bytes. Says what is wrong. */
_must_check_ int file_check_path(const char *path, Err *err);

/* mkdir -p with the mode for the last one. */
_must_check_ int file_mkdirs(const char *path, mode_t mode, Err *err);
/* rm -rf without following a link, beneath the folder; fine when there is nothing. Makes folders writable on
 * the way. */
_must_check_ int file_remove_tree(const char *path, Err *err);
_must_check_ int file_remove_tree_at(int dirfd, const char *name, Err *err);
/* chown -R -h, without following a link. */
_must_check_ int file_chown_tree(const char *path, uid_t uid, gid_t gid, Err *err);
