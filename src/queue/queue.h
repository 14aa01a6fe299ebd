/* How a runner hears of work. Today: long poll. A runner's lease call that finds nothing waits here; a queued
 * job wakes the runner that has waited longest, and that one passes the wake on when there may be more than
 * it can take. (RabbitMQ will be another QueueOps: only the wake-up changes.) */
#pragma once

#include "bus/bus.h"
#include "http/server.h"
#include <stdbool.h>

typedef struct Queue Queue;

/* Subscribes to BUS_QUEUE and, for each waiter, BUS_RUNNER. */
Queue *queue_new(const void *mem, Bus *bus);
/* Wakes all that wait, so that they end. */
void queue_free(Queue *q);

/* A number that grows with each wake: read before looking for work, so that queue_wait sees what came in
 * between. */
uint64_t queue_mark(Queue *q);
/* Begins a runner's call: forgets what waits for the runner. own: http_waiter of the request. A call that has
 * come back while a newer one of its runner has come in is given false: it has lost its place and must take
 * nothing, for it is most likely a connection that nobody reads. The newer one wakes it, so that it ends. */
bool queue_enter(Queue *q, int64_t runner_id, const HttpWaiter *own);
/* Registers the waiter (takes over the reference) of a runner until it is woken and enters again; wakes it at
 * once when something came after mark. */
void queue_wait(Queue *q, int64_t runner_id, HttpWaiter *waiter, uint64_t mark);
/* There may be work that this runner could not take (or will not: its connection is gone): wakes the next one
 * that has not looked since `mark`. */
void queue_pass_on(Queue *q, uint64_t mark);
