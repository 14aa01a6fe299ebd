/* One thread for what is not a request: it accepts connections, serves streams, lingers, and keeps the
 * deadlines. It sleeps until a descriptor is ready, a task was posted or a timer is due. */
#pragma once

#include "base/err.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Loop Loop;

/* A descriptor in the loop's epoll set; the loop's thread only. */
typedef struct LoopIo LoopIo;
struct LoopIo {
    void (*ready)(LoopIo *io, uint32_t events); /* may free io */
};

/* Work for the loop's thread. Posting what is posted already does nothing. */
typedef struct LoopTask LoopTask;
struct LoopTask {
    void (*run)(
        LoopTask *task); /* may post the task again, may free it unless somebody else may still post it */
    atomic_bool posted;
    LoopTask *next;
};

/* A deadline. fire() runs on the loop's thread with the timers' lock held: it must be short, may call
 * loop_timer_set_locked, and may not call other loop_timer_* functions. */
typedef struct LoopTimer LoopTimer;
struct LoopTimer {
    void (*fire)(LoopTimer *t);
    int64_t due;  /* monotonic µs */
    size_t place; /* in the heap, from 1; 0: not set */
};

_must_check_ int loop_start(Loop **ret, Err *err);
/* Ends the thread and frees. Nothing may be posted any more; tasks that are posted still run. */
void loop_stop(Loop *l);

/* Any thread. */
void loop_post(Loop *l, LoopTask *task);
/* Any thread; sets or moves. */
void loop_timer_set(Loop *l, LoopTimer *t, int64_t due);
/* Any thread; after it returned fire() neither runs nor will run. */
void loop_timer_cancel(Loop *l, LoopTimer *t);
/* From fire(). */
void loop_timer_set_locked(Loop *l, LoopTimer *t, int64_t due);
void loop_timers_lock(Loop *l);
void loop_timers_unlock(Loop *l);

/* The loop's thread only. */
/* Monotonic µs at the beginning of this turn of the loop. */
int64_t loop_now(const Loop *l);
_must_check_ int loop_add(Loop *l, int fd, uint32_t events, LoopIo *io, Err *err);
void loop_del(Loop *l, int fd);
