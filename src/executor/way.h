/* A way through closed folders. The jobs' user must get to its workspace; below /root, or a folder that
 * mktemp made, it cannot. A process of root's gives itself a mount name space of its own, covers the closed
 * folder there with an empty open one, and binds in it just the folders that are needed, at the very paths
 * they have. The host sees nothing of it. */
#pragma once

#include "base/err.h"
#include <sys/types.h>

/* Makes each of the absolute paths (folders, NULL-terminated) reachable for uid and gid, in this
 * thread and the processes it starts. Does nothing when they are. Needs root. */
_must_check_ int way_open(const char *const *paths, uid_t uid, gid_t gid, Err *err);
