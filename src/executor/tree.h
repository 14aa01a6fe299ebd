/* The processes below one, by /proc/PID/task/TID/children (proc(5)). A caller that is a child subreaper finds
 * whatever its steps forked, new sessions and double forks included. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Sends sig (0: none) to all below `root` that are at least min_depth below it (1: its children); gives how
 * many there are. */
size_t tree_signal(pid_t root, int min_depth, int sig);
/* Kills and reaps all children of the caller, with what they leave behind, until there is none. */
void tree_reap_all(void);
