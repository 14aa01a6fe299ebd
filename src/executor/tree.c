#include "executor/tree.h"

#include "base/mem.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define DEPTH_MAX 256

/* Whom a signal is for, parents before their children. */
typedef struct Found {
    void *mem;
    pid_t *pids;
    size_t count;
    int min_depth;
} Found;

static void find_below(Found *found, pid_t pid, int depth);

static void find_children(Found *found, int fd, int depth) {
    int64_t number;
    char word[16];
    FILE *f = fdopen(fd, "r");

    if (!f) {
        mem_close(fd);
        return;
    }
    while (fscanf(f, "%15s", word) == 1) {
        if (!str_to_i64(word, 1, INT_MAX, &number))
            continue;
        if (depth + 1 >= found->min_depth)
            mem_append(found->mem, found->pids, found->count, (pid_t)number);
        find_below(found, (pid_t)number, depth + 1);
    }
    fclose(f);
}

static void find_below(Found *found, pid_t pid, int depth) {
    char path[64];
    struct dirent *task;
    DIR *dir;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    while (dir && (task = readdir(dir))) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, task->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            find_children(found, fd, depth);
    }
    if (dir)
        closedir(dir);
}

/* All are found before one is told: what a shell starts when it is told, to clean up, is spared. A parent is
 * told first, for otherwise it may see its children die and go on, or end, as if that were all. */
size_t tree_signal(pid_t root, int min_depth, int sig) {
    Found found = {.mem = talloc_new(NULL), .min_depth = min_depth};
    size_t count;

    find_below(&found, root, 0);
    count = found.count;
    for (size_t i = 0; sig && i < count; i++)
        kill(found.pids[i], sig);
    talloc_free(found.mem);
    return count;
}

void tree_reap_all(void) {
    pid_t pid;

    for (;;) {
        do
            pid = waitpid(-1, NULL, WNOHANG);
        while (pid > 0 || (pid < 0 && errno == EINTR));
        if (pid < 0)
            return;
        tree_signal(getpid(), 1, SIGKILL);
        while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}
