/* How a runner hears of work. Today: long poll. A runner's lease call that finds nothing waits here, with
 * what it has left for a job; a queued job wakes the one that has waited longest of those that it fits, and
 * no other. (RabbitMQ will be another QueueOps: only the wake-up changes.) */
#pragma once

#include "bus/bus.h"
#include "http/server.h"
#include <stdbool.h>

typedef struct Queue Queue;

/* Whether a job of this fit could run in `room`, what a waiting runner has left. Any thread, must be quick
 * and must not call the queue. */
typedef bool (*QueueFits)(void *arg, int64_t fit, const void *room);

/* Subscribes to BUS_QUEUE and, for each waiter, BUS_RUNNER. */
Queue *queue_new(const void *mem, Bus *bus, QueueFits fits, void *arg);
/* Wakes all that wait, so that they end. */
void queue_free(Queue *q);

/* A number that grows with each wake: read before looking for work, so that queue_wait sees what came in
 * between. */
uint64_t queue_mark(Queue *q);

/* Begins a runner's call: forgets what waits for the runner. own: http_waiter of the request. A call that has
 * come back while a newer one of its runner has come in is given false: it has lost its place and must take
 * nothing, for it is most likely a connection that nobody reads. The newer one wakes it, so that it ends.
 * *ret_bears: a job has woken the call, and no other runner: it must pass on what it leaves. */
bool queue_enter(Queue *q, int64_t runner_id, const HttpWaiter *own, bool *ret_bears);

/* Registers the waiter (takes over the reference) of a runner until it is woken and enters again; wakes it at
 * once when something that fits came after mark. room: a talloc object, taken over; NULL: the runner can take
 * nothing, and no job wakes it. */
void queue_wait(Queue *q, int64_t runner_id, HttpWaiter *waiter, uint64_t mark, void *room);

/* A job of this fit may be left that this runner could not take (or will not: its connection is gone): wakes
 * the next one that it fits and that has not looked since `mark`. */
void queue_pass_on(Queue *q, int64_t fit, uint64_t mark);
