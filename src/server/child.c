#include "server/child.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A runner that ends at once is not started more often than this; one that ran well is started again right
 * away. */
#define FIRST_PAUSE_US (100 * US_PER_MS)
#define LONGEST_PAUSE_US (10 * US_PER_S)
#define WELL_US (10 * US_PER_S)

struct Child {
    ChildOptions options;
    pid_t pid; /* 0: not running */
    int pidfd;
    int64_t started, pause, next;
};

static int spawn(Child *k, Err *err) {
    ProcOptions proc = {.argv = k->options.argv, .new_session = true, .die_with_parent = true};
    int r = proc_start(&proc, &k->pid, &k->pidfd, err);

    if (r < 0)
        return err_wrap(err, "start the runner");
    k->started = clock_mono();
    k->next = 0;
    return 0;
}

static bool wanted(const Child *k) {
    return !k->options.wanted || k->options.wanted(k->options.arg);
}

int child_start(const void *mem, const ChildOptions *options, Child **ret, Err *err) {
    Child *k = mem_new(mem, Child);
    int r;

    k->options = *options;
    k->pause = FIRST_PAUSE_US;
    r = wanted(k) ? spawn(k, err) : 0;
    if (r < 0)
        return r;
    *ret = k;
    return 0;
}

static void ended(Child *k, int status) {
    int64_t now = clock_mono();

    if (wanted(k))
        log_warn("server", "the runner ended: status %d; it is started again", proc_status(status));
    k->pause = now - k->started > WELL_US ? FIRST_PAUSE_US : MIN(k->pause * 2, LONGEST_PAUSE_US);
    close(k->pidfd);
    k->pid = 0;
    k->next = now + k->pause;
}

int64_t child_check(Child *k) {
    int status;
    Err err;

    if (k->pid && waitpid(k->pid, &status, WNOHANG) == k->pid)
        ended(k, status);
    if (k->pid)
        return 0;
    if (!wanted(k))
        return k->next = 0;
    if (clock_mono() >= k->next && spawn(k, &err) < 0) {
        log_err("server", "runner", &err);
        k->next = clock_mono() + LONGEST_PAUSE_US;
    }
    return k->next;
}

void child_ask(Child *k) {
    if (k->pid)
        kill(k->pid, SIGTERM);
}

void child_stop(Child *k, int64_t until) {
    struct pollfd end = {.fd = k->pidfd, .events = POLLIN};
    int64_t left = MAX(until - clock_mono(), (int64_t)0);
    int status;

    if (!k->pid)
        return;
    if (poll(&end, 1, (int)(left / US_PER_MS)) == 0) {
        log_warn("server", "the runner does not end when asked: it is killed");
        kill(k->pid, SIGKILL);
    }
    waitpid(k->pid, &status, 0);
    close(k->pidfd);
    k->pid = 0;
}
