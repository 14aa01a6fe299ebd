#include "runner/process.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "executor/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define READ_SIZE ((size_t)256 * 1024)
#define PIPE_SIZE (1 << 20)
#define PAUSE_US (100 * US_PER_MS) /* after so long a secret that has begun is not waited for */

/* In the data segment: the pages of a fork that are never touched cost nothing. */
static char read_buffer[READ_SIZE];

int watch_pipe(int *ret_read, int *ret_write, Err *err) {
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "pipe");
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
        mem_close(fds[0]);
        mem_close(fds[1]);
        return err_errno(err, "pipe");
    }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

static void heard_signals(JobProcess *j) {
    struct signalfd_siginfo info[8];
    ssize_t len = read(j->signal_fd, info, sizeof(info));

    for (ssize_t i = 0; i * (ssize_t)sizeof(info[0]) < len; i++) {
        if (info[i].ssi_signo == JOB_SIGNAL_STALE) {
            j->stale = true;
        } else if (info[i].ssi_signo == JOB_SIGNAL_STOP && !j->cancelled) {
            j->cancelled = true;
            if (info[i].ssi_code == SI_QUEUE && info[i].ssi_int >= JOB_STOP_USER &&
                info[i].ssi_int <= JOB_STOP_TIMEOUT)
                j->stop = (JobStop)info[i].ssi_int;
        }
    }
}

static void heard_uploader(JobProcess *j) {
    unsigned events = uploader_events(j->uploader);

    if (events & UPLOADER_STALE)
        j->stale = true;
    if (events & UPLOADER_STOP)
        j->cancelled = true;
    if (events & UPLOADER_DELIVERED)
        j->delivered = true;
    if (events & UPLOADER_RAN)
        j->ran = true;
    if (events & UPLOADER_REFUSED)
        j->refused = true;
}

typedef enum Taken { TAKEN_SOME, TAKEN_NOTHING, TAKEN_END } Taken;

/* The only way of a step's output into the log. */
static bool keep(JobProcess *j, Watch *w, MaskText text) {
    if (text.len == 0)
        return true;
    j->last = text.data[text.len - 1];
    return uploader_write(j->uploader, text.data, text.len, &w->err) >= 0;
}

/* Reads once; the end is that of the pipe, or of the room for what it brings. */
static Taken take_output(JobProcess *j, Watch *w, bool *broken) {
    ssize_t len = read(w->out, read_buffer, READ_SIZE);

    if (len < 0)
        return errno == EINTR || errno == EAGAIN ? TAKEN_NOTHING : TAKEN_END;
    if (len == 0)
        return TAKEN_END;
    if (len == 65536)
        fcntl(w->out, F_SETPIPE_SZ, PIPE_SIZE); /* one that writes as much shall wait less */
    *broken = !keep(j, w,
                    j->masker ? mask_feed(j->masker, read_buffer, (size_t)len)
                              : (MaskText){read_buffer, (size_t)len});
    return *broken ? TAKEN_END : TAKEN_SOME;
}

void watch_begin_cleaning(JobProcess *j) {
    if (j->cleaning)
        return;
    j->cleaning = true;
    j->deadline = clock_mono() + j->host->o.cleanup_us;
}

/* Why the process should end, WATCH_EXITED: no reason. */
static WatchEnd reason_to_end(const JobProcess *j, const Watch *w, int64_t step_deadline, bool broken) {
    int64_t now;

    if (j->stale)
        return WATCH_STALE;
    if (broken || (j->refused && !j->state)) /* steps that clean up behind it run to their end */
        return WATCH_BROKEN;
    if (j->cancelled && !w->cleaning)
        return WATCH_CANCELLED;
    if (step_deadline == INT64_MAX && j->deadline == INT64_MAX)
        return WATCH_EXITED;
    now = clock_mono();
    return now >= step_deadline || now >= j->deadline ? WATCH_TIMEOUT : WATCH_EXITED;
}

/* Daemons that come to us as their reaper are reaped on the way. */
static bool reaped(Watch *w) {
    bool found = false;
    int status;
    pid_t pid;

    while (!found && (pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == w->pid) {
            w->status = proc_status(status);
            found = true;
        }
    return found;
}

static void wait_for_something(JobProcess *j, const Watch *w, bool open, int64_t until,
                               struct pollfd fds[3]) {
    fds[0] = (struct pollfd){.fd = j->signal_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = uploader_fd(j->uploader), .events = POLLIN};
    fds[2] = (struct pollfd){.fd = open && !uploader_full(j->uploader) ? w->out : -1, .events = POLLIN};
    if (poll(fds, 3, clock_poll_ms(until)) < 0)
        fds[0].revents = fds[1].revents = fds[2].revents = 0;
    if (fds[0].revents)
        heard_signals(j);
    if (fds[1].revents)
        heard_uploader(j);
}

/* The step is over, and with it all it started: what is in its pipe is the rest of its output. Whoever else
 * holds the pipe (it can be sent to a process that is not ours) does not keep us. */
static void end_step(JobProcess *j, Watch *w, bool *broken) {
    w->stop(&j->run);
    while (!*broken && take_output(j, w, broken) == TAKEN_SOME)
        ;
    if (!*broken && j->masker)
        *broken = !keep(j, w, mask_end(j->masker));
}

/* What the masker holds back is not kept for long from who reads along. */
static int64_t masker_until(const JobProcess *j, int64_t until) {
    return j->masker && mask_held(j->masker) ? MIN(until, clock_mono() + PAUSE_US) : until;
}

static void name_timeout(JobProcess *j, Watch *w) {
    if (clock_mono() < j->deadline) {
        w->over = "timed out";
    } else if (j->cleaning) {
        w->over = "the time for cleaning up is over";
    } else {
        w->over = "the job's time is over";
        j->timed_out = true;
    }
}

WatchEnd watch_process(JobProcess *j, Watch *w) {
    int64_t step_deadline = w->timeout_us > 0 ? clock_mono() + w->timeout_us : INT64_MAX, grace = INT64_MAX;
    WatchEnd end = WATCH_EXITED, now;
    bool open = true, broken = false, over = false;
    struct pollfd fds[3];

    w->status = 128 + SIGKILL;
    while (!over) {
        wait_for_something(
            j, w, open, masker_until(j, end == WATCH_EXITED ? MIN(step_deadline, j->deadline) : grace), fds);
        if (fds[2].revents)
            open = take_output(j, w, &broken) != TAKEN_END;
        else if (!fds[0].revents && !fds[1].revents && fds[2].fd >= 0 && j->masker)
            broken = !keep(j, w, mask_pause(j->masker));
        if (j->cancelled && w->cleaning)
            watch_begin_cleaning(j);
        over = (fds[0].revents || !open) && reaped(w);
        now = reason_to_end(j, w, step_deadline, broken);
        if (!over && end == WATCH_EXITED && now != WATCH_EXITED) {
            end = now;
            grace = clock_mono() + j->host->o.cancel_grace_us;
            if (now == WATCH_CANCELLED || now == WATCH_TIMEOUT)
                w->ask(&j->run, w->pid, SIGTERM);
        }
        if (j->stale)
            end = WATCH_STALE;
        over = over || end == WATCH_STALE || end == WATCH_BROKEN ||
               (end != WATCH_EXITED && clock_mono() >= grace);
    }
    end_step(j, w, &broken);
    if (end == WATCH_BROKEN && !broken)
        (void)err_set(&w->err, ERR_NO_SPACE, "%s", uploader_refusal(j->uploader));
    if (broken && end == WATCH_EXITED)
        end = WATCH_BROKEN;
    if (end == WATCH_TIMEOUT)
        name_timeout(j, w);
    if (end == WATCH_CANCELLED || j->timed_out)
        watch_begin_cleaning(j);
    return end;
}

/* A cancel or a stale attempt ends what the uploader runs, not this wait: it uses what is ours. */
bool watch_uploader(JobProcess *j, const bool *done) {
    int64_t until = done == &j->delivered ? INT64_MAX : j->deadline;
    struct pollfd fds[3];
    bool aborted = false;

    while (!*done && !(j->stale && done == &j->delivered)) {
        wait_for_something(j, NULL, false, until, fds);
        if (done == &j->ran && !aborted && (j->stale || j->cancelled || clock_mono() >= until)) {
            j->timed_out = j->timed_out || clock_mono() >= until;
            aborted = true;
            until = INT64_MAX; /* it ends soon, and has what is ours until then */
            uploader_abort(j->uploader, true);
        }
    }
    if (aborted) {
        uploader_abort(j->uploader, false);
        watch_begin_cleaning(j);
    }
    return !j->stale;
}

bool watch_pause(JobProcess *j, int64_t us) {
    int64_t until = clock_mono() + us;
    struct pollfd fds[3];

    while (!j->stale && !j->cancelled && clock_mono() < MIN(until, j->deadline))
        wait_for_something(j, NULL, false, MIN(until, j->deadline), fds);
    j->timed_out = j->timed_out || clock_mono() >= j->deadline;
    return !j->stale && !j->cancelled && !j->timed_out;
}
