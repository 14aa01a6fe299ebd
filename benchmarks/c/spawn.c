/* How long this machine takes to run a program, and how many a second:
 *
 *     bench-spawn COUNT AT-A-TIME PROGRAM [ARGUMENT ...]
 *
 * prints {"median_ms","rate"}. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define MOST 100000

extern char **environ;

static double milliseconds[MOST];
static size_t finished;

static struct {
    pid_t pid;
    double started;
} running[64];

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void start(char **argv, const posix_spawn_file_actions_t *actions) {
    size_t slot = 0;
    int r;

    while (running[slot].pid)
        slot++;
    running[slot].started = now();
    r = posix_spawnp(&running[slot].pid, argv[0], actions, NULL, argv, environ);
    if (r != 0)
        errx(1, "%s: %s", argv[0], strerror(r));
}

static void reap(const char *name) {
    int status;
    pid_t pid = wait(&status);

    if (pid < 0)
        err(1, "wait");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        errx(1, "%s: exit status %d", name, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++) {
        if (running[i].pid != pid)
            continue;
        milliseconds[finished++] = now() - running[i].started;
        running[i].pid = 0;
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t count = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t at_a_time = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
    posix_spawn_file_actions_t actions;
    double begin = now();

    if (count < 1 || count > MOST || at_a_time < 1 || at_a_time > 64)
        errx(2, "usage: bench-spawn COUNT AT-A-TIME PROGRAM [ARGUMENT ...]");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    for (size_t i = 0; i < count; i++) {
        if (i >= at_a_time)
            reap(argv[3]);
        start(argv + 3, &actions);
    }
    while (finished < count)
        reap(argv[3]);
    begin = now() - begin;
    qsort(milliseconds, count, sizeof(double), compare);
    printf("{\"median_ms\":%.4f,\"rate\":%.1f}\n", milliseconds[count / 2], (double)count / begin * 1e3);
    posix_spawn_file_actions_destroy(&actions);
    return 0;
}
