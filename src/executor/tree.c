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

static size_t signal_below(pid_t pid, int depth, int min_depth, int sig);

static size_t signal_children(int fd, int depth, int min_depth, int sig) {
    size_t count = 0;
    int64_t number;
    char word[16];
    FILE *f = fdopen(fd, "r");

    if (!f) {
        mem_close(fd);
        return 0;
    }
    while (fscanf(f, "%15s", word) == 1) {
        if (!str_to_i64(word, 1, INT_MAX, &number))
            continue;
        /* those below first: what a killed parent leaves comes to the reaper, what it forks meanwhile is
         * found next time */
        count += signal_below((pid_t)number, depth + 1, min_depth, sig);
        if (depth + 1 < min_depth)
            continue;
        count++;
        if (sig)
            kill((pid_t)number, sig);
    }
    fclose(f);
    return count;
}

static size_t signal_below(pid_t pid, int depth, int min_depth, int sig) {
    char path[64];
    size_t count = 0;
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
            count += signal_children(fd, depth, min_depth, sig);
    }
    if (dir)
        closedir(dir);
    return count;
}

size_t tree_signal(pid_t root, int min_depth, int sig) {
    return signal_below(root, 0, min_depth, sig);
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
