/* The files of an empty repository (gitrepository-layout(5)), written without a process. */
#pragma once

#include "base/err.h"
#include <sys/types.h>

typedef struct GitLayout {
    const char *head;       /* the content of HEAD without the newline: "ref: refs/heads/main" or a commit */
    const char *config;     /* the content of config */
    const char *alternates; /* the objects folder to borrow from, or NULL */
    const char *packed;     /* the content of packed-refs, or NULL */
    mode_t dir, file;       /* exactly, whatever the umask */
    uid_t uid;              /* owner; -1: as is */
    gid_t gid;
} GitLayout;

/* Fills the empty folder dirfd, and gives it owner and mode too. */
_must_check_ int git_layout_write(int dirfd, const GitLayout *layout, Err *err);
/* The value for a config file, quoted; ERR_INVALID with a line break or a zero byte in it. */
_must_check_ int git_config_quote(const void *mem, const char *value, char **ret, Err *err);
